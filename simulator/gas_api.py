"""City Gas's live API. Source: docs/wire/gas-api.md."""

import base64
import hmac
import re
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.clock import BILLING_ZONE, utc_now
from core.errors import Conflict, Invalid, NotSignedIn
from simulator.confirmation_files import gas_file
from simulator.confirmations import DayList
from simulator.counter import Counter
from simulator.signatures import MAX_AGE_SECONDS
from simulator.utility_books import Account, OpenBills, ReversalRequest, Verdict, WriteOffRequest
from simulator.wire import read_json, utc_text

_CODES = {
    "bills": "00", "none": "01", "known": "00", "closed": "13", "unknown_account": "11",
    "several_accounts": "12", "account_closed": "21", "already_paid": "22", "pending": "20",
    "accepted": "00", "not_written_off": "26", "already_reversed": "27",
}  # fmt: skip
_MESSAGES = {
    "00": "成功", "01": "无欠费", "11": "户号不存在", "12": "户号不唯一", "13": "该户已销户",
    "20": "处理中", "21": "该户已销户", "22": "该账单已销账", "25": "流水号重复且内容不同",
    "26": "无此销账记录", "27": "该销账已冲正", "31": "无此流水号", "41": "对账文件未生成",
}  # fmt: skip


def routes(counter: Counter) -> list[Route]:
    """Return what City Gas can be asked, all at one address."""

    async def gateway(request: Request) -> Response:
        trans, asked = await _asked(request, counter.secret)
        account_no, serial_no = asked.findtext("AccountNo", ""), asked.findtext("SerialNo", "")
        match trans:
            case "QueryBills":
                return await counter.open_bills(account_no, lambda said: _bills(account_no, said))
            case "CheckAccount":
                holder = asked.findtext("Holder", "")
                return await counter.account(
                    account_no, holder, lambda said: _account(account_no, said)
                )
            case "Pay":
                try:
                    return await counter.write_off(_write_off(asked), _verdict)
                except Conflict:
                    return _answer("25", SerialNo=serial_no)
            case "Reverse":
                try:
                    return await counter.reverse(_reversal(asked), _reversed)
                except Conflict:
                    return _answer("25", SerialNo=serial_no)
            case "QueryPay":
                return await counter.find(serial_no, _found)
        raise Invalid(f"there is no trans {trans[:32]!r}", code="request.malformed")

    async def confirmations(request: Request) -> Response:
        await _signed_body(request, counter.secret)
        return await counter.confirmations(request.path_params["day"], _confirmations)

    return [
        Route("/confirmations/{day}", confirmations),
        Route("/gateway", gateway, methods=["POST"]),
    ]


async def _asked(request: Request, secret: str) -> tuple[str, ElementTree.Element]:
    """Return the transaction and its document. Raises NotSignedIn, Invalid."""
    form = {
        name: values[0]
        for name, values in parse_qs((await _signed_body(request, secret)).decode()).items()
    }
    document = form.get("xml", "")
    if "<!DOCTYPE" in document:
        raise Invalid("no DOCTYPE is taken", code="request.malformed")
    try:
        return form.get("trans", ""), ElementTree.fromstring(document)  # noqa: S314  no entities
    except ElementTree.ParseError as wrong:
        raise Invalid(f"xml: {wrong}", code="request.malformed") from wrong


async def _signed_body(request: Request, secret: str) -> bytes:
    """Return the body of a request whose signature holds. Raises NotSignedIn, Invalid."""
    body = await request.body()
    moment = request.headers.get("x-gas-time", "")
    signed = hmac.new(secret.encode(), f"{moment}\n".encode() + body, "sha1").digest()
    given = request.headers.get("x-gas-sign", "")
    if not hmac.compare_digest(given.encode(), base64.b64encode(signed)):
        raise NotSignedIn("the signature is wrong", code="signature.wrong")
    age = utc_now() - _moment(moment)
    if abs(age.total_seconds()) > MAX_AGE_SECONDS:
        raise NotSignedIn("the request is stale", code="signature.stale")
    return body


def _moment(text: str) -> datetime:
    if re.fullmatch("[0-9]{14}", text) is None:
        raise Invalid("a moment is written 20261120120000", code="request.malformed")
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BILLING_ZONE)


def _write_off(asked: ElementTree.Element) -> WriteOffRequest:
    bill = asked.find("Bill")
    month, amount = bill.get("month", "") if bill is not None else "", asked.findtext("Amount", "")
    if bill is None or re.fullmatch("[1-9][0-9]{0,14}", amount) is None:
        raise Invalid("Pay needs Bill, and Amount in fen", code="request.malformed")
    facts: dict[str, Any] = {
        "write_off_no": asked.findtext("SerialNo", ""),
        "account_no": asked.findtext("AccountNo", ""),
        "bill_no": bill.get("no", ""),
        "billing_month": f"{month[:4]}-{month[4:]}",
        "amount_fen": int(amount),
        "paid_at": utc_text(_moment(asked.findtext("PaidAt", ""))),
    }
    return read_json(WriteOffRequest, bytes(JSONResponse(facts).body))


def _reversal(asked: ElementTree.Element) -> ReversalRequest:
    amount = asked.findtext("Amount", "")
    if re.fullmatch("[1-9][0-9]{0,14}", amount) is None:
        raise Invalid("Reverse needs Amount in fen", code="request.malformed")
    facts: dict[str, Any] = {
        "reversal_no": asked.findtext("ReverseNo", ""),
        "write_off_no": asked.findtext("SerialNo", ""),
        "account_no": asked.findtext("AccountNo", ""),
        "bill_no": asked.findtext("BillNo", ""),
        "amount_fen": int(amount),
    }
    return read_json(ReversalRequest, bytes(JSONResponse(facts).body))


def _document(code: str, **texts: str) -> ElementTree.Element:
    root = ElementTree.Element("Response")
    for name, text in {"Code": code, "Msg": _MESSAGES[code], **texts}.items():
        ElementTree.SubElement(root, name).text = text
    return root


def _sent(root: ElementTree.Element, status: int = HTTPStatus.OK) -> Response:
    text = ElementTree.tostring(root, encoding="unicode")
    body = f'<?xml version="1.0" encoding="GB18030"?>\n{text}'.encode("gb18030")
    return Response(body, status, media_type="application/xml")


def _answer(code: str, **texts: str) -> Response:
    return _sent(_document(code, **texts))


def _confirmations(said: DayList | None) -> Response:
    if said is None:
        return _sent(_document("41"), HTTPStatus.NOT_FOUND)
    return Response(gas_file(said), media_type="application/xml")


def _bills(account_no: str, said: OpenBills) -> Response:
    root = _document(_CODES[said.result], AccountNo=account_no)
    rows = ElementTree.SubElement(root, "Bills")
    for bill in said.bills:
        facts = {
            "no": bill.bill_no,
            "month": f"{bill.billing_month:%Y%m}",
            "ver": str(bill.version),
        }
        row = ElementTree.SubElement(rows, "Bill", facts)
        ElementTree.SubElement(row, "Issued").text = f"{bill.issued_on:%Y%m%d}"
        ElementTree.SubElement(row, "Due").text = f"{bill.due_on:%Y%m%d}"
        ElementTree.SubElement(row, "Amount").text = str(bill.amount_fen)
    return _sent(root)


def _account(account_no: str, said: Account) -> Response:
    return _answer(_CODES[said.result], AccountNo=account_no, Holder=said.holder)


def _verdict(said: Verdict) -> Response:
    serial_no = said.write_off_no
    if said.result == "refused":
        return _answer(_CODES[said.reason_code], SerialNo=serial_no)
    if said.result == "pending":
        return _answer(_CODES["pending"], SerialNo=serial_no)
    return _answer("00", SerialNo=serial_no, ReceiptNo=said.receipt, Amount=str(said.amount_fen))


def _reversed(said: Verdict) -> Response:
    code = _CODES[said.reason_code or said.result]
    texts = {"ReverseNo": said.reversal_no, "SerialNo": said.write_off_no}
    if said.result == "accepted":
        texts |= {"ReceiptNo": said.receipt, "Amount": str(said.amount_fen)}
    return _answer(code, **texts)


def _found(said: Verdict | None) -> Response:
    return _answer("31") if said is None else _verdict(said)
