"""City Power's live API. Source: docs/wire/power-api.md."""

import hmac
import re
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.clock import BILLING_ZONE
from core.errors import Conflict, Invalid, NotSignedIn
from core.money import parse_yuan, yuan_text
from simulator.confirmation_files import power_file
from simulator.confirmations import DayList
from simulator.counter import Counter
from simulator.utility_books import Account, OpenBills, ReversalRequest, Verdict, WriteOffRequest
from simulator.wire import read_json, utc_text

_CODES = {
    "bills": "0000", "none": "2001", "known": "0000", "closed": "0000", "unknown_account": "1001",
    "several_accounts": "1002", "account_closed": "3001", "already_paid": "3002",
    "not_written_off": "3006", "already_reversed": "3007",
}  # fmt: skip
_MESSAGES = {
    "0000": "成功", "1001": "户号不存在", "1002": "户号不唯一", "2001": "无欠费",
    "3001": "该户已销户", "3002": "该账单已销账", "3006": "无此销账记录", "3007": "该销账已冲正",
    "3009": "流水号重复且内容不同",
    "4004": "无此流水号", "5001": "对账文件未生成", "5002": "当日无交易",
}  # fmt: skip


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    head: dict[str, str]
    body: dict[str, str]


def routes(counter: Counter) -> list[Route]:
    """Return what City Power can be asked."""

    async def bills(request: Request) -> Response:
        asked = await _asked(request, counter.secret, "consNo")
        account_no = asked["consNo"]
        return await counter.open_bills(account_no, lambda said: _bills(account_no, said))

    async def check(request: Request) -> Response:
        asked = await _asked(request, counter.secret, "consNo", "consName")
        account_no = asked["consNo"]
        return await counter.account(
            account_no, asked["consName"], lambda said: _account(account_no, said)
        )

    async def pay(request: Request) -> Response:
        asked = await _asked(
            request, counter.secret,
            "extSerialNo", "consNo", "billNo", "electricMonth", "amount", "payTime",
        )  # fmt: skip
        try:
            return await counter.write_off(_write_off(asked), _paid)
        except Conflict:
            return _answer("3009", {"extSerialNo": asked["extSerialNo"]})

    async def find(request: Request) -> Response:
        asked = await _asked(request, counter.secret, "extSerialNo")
        return await counter.find(asked["extSerialNo"], _found)

    async def confirmations(request: Request) -> Response:
        _check_token(request, counter.secret)
        return await counter.confirmations(request.path_params["day"], _confirmations)

    return [
        Route("/epay/confirmations/{day}", confirmations),
        Route("/epay/accounts/bills", bills, methods=["POST"]),
        Route("/epay/accounts/check", check, methods=["POST"]),
        Route("/epay/payments", pay, methods=["POST"]),
        Route("/epay/payments/query", find, methods=["POST"]),
        Route("/epay/payments/reverse", partial(_reverse, counter), methods=["POST"]),
    ]


async def _reverse(counter: Counter, request: Request) -> Response:
    asked = await _asked(
        request, counter.secret, "reverseSerialNo", "extSerialNo", "consNo", "billNo", "amount"
    )
    try:
        return await counter.reverse(_reversal(asked), _reversed)
    except Conflict:
        return _answer("3009", {"extSerialNo": asked["extSerialNo"]})


async def _asked(request: Request, secret: str, *names: str) -> dict[str, str]:
    """Return the body's members. Raises NotSignedIn, Invalid."""
    _check_token(request, secret)
    asked = read_json(_Question, await request.body())
    if {"requestNo", "requestTime"} != set(asked.head) or set(names) != set(asked.body):
        raise Invalid(f"the body holds {', '.join(names)}", code="request.malformed")
    return asked.body


def _check_token(request: Request, secret: str) -> None:
    """Let a request pass, or not. Raises NotSignedIn."""
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
        raise NotSignedIn("the token is wrong", code="token.wrong")


def _write_off(asked: dict[str, str]) -> WriteOffRequest:
    month = asked["electricMonth"]
    if (
        re.fullmatch("[0-9]{6}", month) is None
        or re.fullmatch("[0-9]{14}", asked["payTime"]) is None
    ):
        raise Invalid("electricMonth is 202610, payTime 20261120120000", code="request.malformed")
    paid_at = datetime.strptime(asked["payTime"], "%Y%m%d%H%M%S").replace(tzinfo=BILLING_ZONE)
    facts = {
        "write_off_no": asked["extSerialNo"],
        "account_no": asked["consNo"],
        "bill_no": asked["billNo"],
        "billing_month": f"{month[:4]}-{month[4:]}",
        "amount_fen": parse_yuan(asked["amount"]),
        "paid_at": utc_text(paid_at),
    }
    return read_json(WriteOffRequest, _json(facts))


def _reversal(asked: dict[str, str]) -> ReversalRequest:
    facts = {
        "reversal_no": asked["reverseSerialNo"],
        "write_off_no": asked["extSerialNo"],
        "account_no": asked["consNo"],
        "bill_no": asked["billNo"],
        "amount_fen": parse_yuan(asked["amount"]),
    }
    return read_json(ReversalRequest, _json(facts))


def _json(facts: dict[str, Any]) -> bytes:
    return bytes(JSONResponse(facts).body)


def _answer(code: str, body: dict[str, object], status: int = HTTPStatus.OK) -> Response:
    head = {"resultCode": code, "resultMsg": _MESSAGES[code]}
    return JSONResponse({"head": head, "body": body}, status)


def _confirmations(said: DayList | None) -> Response:
    if said is None:
        return _answer("5001", {}, HTTPStatus.NOT_FOUND)
    if all(row.kind == "refused" for row in said.rows):
        return _answer("5002", {})
    return Response(power_file(said), media_type="text/plain; charset=GB18030")


def _bills(account_no: str, said: OpenBills) -> Response:
    rows = [
        {
            "electricMonth": f"{bill.billing_month:%Y%m}",
            "billNo": bill.bill_no,
            "version": bill.version,
            "issueDate": f"{bill.issued_on:%Y%m%d}",
            "endDate": f"{bill.due_on:%Y%m%d}",
            "receivable": yuan_text(bill.amount_fen),
        }
        for bill in said.bills
    ]
    return _answer(
        _CODES[said.result], {"consNo": account_no, "total": len(rows), "bills": list(rows)}
    )


def _account(account_no: str, said: Account) -> Response:
    status = {"known": "01", "closed": "02"}.get(said.result, "")
    body = {"consNo": account_no, "consName": said.holder, "status": status}
    return _answer(_CODES[said.result], dict(body))


def _paid(said: Verdict) -> Response:
    body: dict[str, object] = {"extSerialNo": said.write_off_no}
    if said.result == "refused":
        return _answer(_CODES[said.reason_code], body)
    return _answer("0000", body | _state(said))


def _reversed(said: Verdict) -> Response:
    body: dict[str, object] = {
        "reverseSerialNo": said.reversal_no, "extSerialNo": said.write_off_no,
    }  # fmt: skip
    if said.result == "refused":
        return _answer(_CODES[said.reason_code], body)
    if said.result == "pending":
        return _answer("0000", body | {"payState": "03"})
    done = {"payState": "04", "reverseNo": said.receipt, "amount": yuan_text(said.amount_fen)}
    return _answer("0000", body | done)


def _found(said: Verdict | None) -> Response:
    if said is None:
        return _answer("4004", {})
    body: dict[str, object] = {"extSerialNo": said.write_off_no}
    if said.result == "refused":
        code = _CODES[said.reason_code]
        told = {"payState": "02", "reasonCode": code, "reason": _MESSAGES[code]}
        return _answer("0000", body | told)
    return _answer("0000", body | _state(said))


def _state(said: Verdict) -> dict[str, object]:
    if said.result == "pending":
        return {"payState": "03"}
    return {"payState": "01", "chargeNo": said.receipt, "amount": yuan_text(said.amount_fen)}
