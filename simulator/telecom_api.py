"""City Telecom's live API. Source: docs/wire/telecom-api.md."""

import hmac
import json
import secrets
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.clock import utc_now
from core.errors import Conflict, Invalid, NotSignedIn
from simulator.confirmation_files import telecom_file
from simulator.confirmations import DayList
from simulator.counter import Counter
from simulator.utility_books import Account, OpenBills, ReversalRequest, Verdict, WriteOffRequest
from simulator.wire import read_json

_WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TOKEN_LASTS = timedelta(minutes=5)
_CODES = {
    "bills": "1", "none": "0", "known": "1", "closed": "-3", "unknown_account": "-1",
    "several_accounts": "-2", "account_closed": "-31", "already_paid": "-32",
    "not_written_off": "-36", "already_reversed": "-37",
}  # fmt: skip
_MESSAGES = {
    "1": "成功", "0": "无欠费", "5": "处理中", "-1": "号码不存在", "-2": "号码不唯一",
    "-3": "已销户", "-31": "已销户", "-32": "已销账", "-35": "订单号重复且内容不同",
    "-36": "无此销账记录", "-37": "已冲正",
    "-40": "无此订单", "-41": "对账文件未生成",
    "-401": "令牌失效",
}  # fmt: skip


class _SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    client: str
    secret: str


class _Invocation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    service: str
    data: str


class Tokens:
    """Who is signed in; gone after a restart."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}

    def give(self, now: datetime) -> str:
        """Sign somebody in."""
        self._until = {token: until for token, until in self._until.items() if until > now}
        token = secrets.token_urlsafe(24)
        self._until[token] = now + _TOKEN_LASTS
        return token

    def holds(self, token: str, now: datetime) -> bool:
        return token in self._until and self._until[token] > now


def routes(counter: Counter) -> list[Route]:
    """Return what City Telecom can be asked."""
    tokens = Tokens()

    async def sign_in(request: Request) -> Response:
        asked = read_json(_SignIn, await request.body())
        if not hmac.compare_digest(asked.secret.encode(), counter.secret.encode()):
            raise NotSignedIn("the secret is wrong", code="secret.wrong")
        seconds = int(_TOKEN_LASTS.total_seconds())
        return JSONResponse({"token": tokens.give(utc_now()), "expires_in": seconds})

    def is_known(request: Request) -> bool:
        token = request.headers.get("authorization", "").removeprefix("Token ")
        return tokens.holds(token, utc_now())

    async def confirmations(request: Request) -> Response:
        if not is_known(request):
            return _answer("-401")
        return await counter.confirmations(request.path_params["day"], _confirmations)

    async def invoke(request: Request) -> Response:
        if not is_known(request):
            return _answer("-401")
        asked = read_json(_Invocation, await request.body())
        return await _invoke(counter, asked.service, _object(asked.data))

    return [
        Route("/open/confirmations/{day}", confirmations),
        Route("/open/token", sign_in, methods=["POST"]),
        Route("/open/invoke", invoke, methods=["POST"]),
    ]


async def _invoke(counter: Counter, service: str, data: dict[str, Any]) -> Response:
    account_no, order = str(data.get("account", "")), str(data.get("order", ""))
    match service:
        case "bill.list":
            return await counter.open_bills(account_no, lambda said: _bills(account_no, said))
        case "account.check":
            return await counter.account(
                account_no, str(data.get("holder", "")), lambda said: _account(account_no, said)
            )
        case "payment.create":
            try:
                return await counter.write_off(_write_off(data), _verdict)
            except Conflict:
                return _answer("-35", {"order": order})
        case "payment.reverse":
            try:
                return await counter.reverse(_reversal(data), _verdict)
            except Conflict:
                return _answer("-35", {"order": order})
        case "payment.find":
            return await counter.find(order, _found)
    raise Invalid(f"there is no service {service[:32]!r}", code="request.malformed")


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Invalid("data is a JSON object, written as text", code="request.malformed")
    return found


def _write_off(data: dict[str, Any]) -> WriteOffRequest:
    names = {
        "order": "write_off_no", "account": "account_no", "bill": "bill_no",
        "month": "billing_month", "fen": "amount_fen", "paid": "paid_at",
    }  # fmt: skip
    facts = {names.get(name, name): value for name, value in data.items()}
    return read_json(WriteOffRequest, json.dumps(facts).encode())


def _reversal(data: dict[str, Any]) -> ReversalRequest:
    names = {
        "reversal": "reversal_no", "order": "write_off_no", "account": "account_no",
        "bill": "bill_no", "fen": "amount_fen",
    }  # fmt: skip
    facts = {names.get(name, name): value for name, value in data.items()}
    return read_json(ReversalRequest, json.dumps(facts).encode())


def _answer(code: str, data: dict[str, Any] | None = None, status: int = HTTPStatus.OK) -> Response:
    inside = json.dumps(data or {}, ensure_ascii=False)
    return JSONResponse({"code": code, "msg": _MESSAGES[code], "data": inside}, status)


def _confirmations(said: DayList | None) -> Response:
    if said is None:
        return _answer("-41", status=HTTPStatus.NOT_FOUND)
    if all(row.kind == "refused" for row in said.rows):
        return _answer("0")
    return Response(telecom_file(said), media_type=_WORKBOOK)


def _day(day: date) -> str:
    return f"{day.year}/{day.month}/{day.day}"


def _bills(account_no: str, said: OpenBills) -> Response:
    rows = [
        {
            "month": f"{bill.billing_month:%Y-%m}",
            "bill": bill.bill_no,
            "version": bill.version,
            "issued": _day(bill.issued_on),
            "due": _day(bill.due_on),
            "fen": bill.amount_fen,
        }
        for bill in said.bills
    ]
    return _answer(_CODES[said.result], {"account": account_no, "bills": rows})


def _account(account_no: str, said: Account) -> Response:
    return _answer(_CODES[said.result], {"account": account_no, "holder": said.holder})


def _verdict(said: Verdict) -> Response:
    data: dict[str, Any] = {"order": said.write_off_no}
    if said.result == "refused":
        return _answer(_CODES[said.reason_code], data)
    if said.result == "pending":
        return _answer("5", data)
    return _answer("1", data | {"flow": said.receipt, "fen": said.amount_fen})


def _found(said: Verdict | None) -> Response:
    return _answer("-40") if said is None else _verdict(said)
