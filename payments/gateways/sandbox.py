"""The sandbox gateway.

Source: docs/wire/sandbox-gateway.md.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, BinaryIO

import httpx

from core import crypto
from core.clock import utc_now
from core.errors import Invalid, NotAllowed, SettlementFileError, UpstreamUnavailable
from core.money import yuan_text
from core.progress import tell
from core.settings import Environment, Settings
from payments.gateways import sandbox_bulk
from payments.gateways.as_written import moment, yuan
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
    CallbackKind,
    Capabilities,
    FileState,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
    RefundOrder,
    RefundReply,
    RefundState,
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from payments.gateways.bulk import Unusual
from payments.gateways.day_files import read_frame

_STATUS = {
    "open": GatewayStatus.OPEN,
    "paid": GatewayStatus.PAID,
    "declined": GatewayStatus.REFUSED,
    "closed": GatewayStatus.CLOSED,
}
_MANDATE_STATE = {
    "open": MandateState.OPEN,
    "active": MandateState.ACTIVE,
    "refused": MandateState.REFUSED,
    "ended": MandateState.ENDED,
}
_TOLERANCE_SECONDS = 300
_TIMEOUT = httpx.Timeout(5, connect=2)
_TITLE = "#SANDBOX SETTLEMENT"
_COLUMNS = [
    "kind",
    "order_no",
    "gateway_ref",
    "refund_no",
    "refund_ref",
    "amount",
    "fee",
    "happened_at",
]


class Sandbox:
    code = "sandbox"
    name = Spoken("沙箱支付", "Sandbox Pay")
    capabilities = Capabilities(
        modes=("wallet",), channels=frozenset({"web", "api", "tv", "kiosk", "autopay"})
    )
    description = Spoken("演示用，不涉及真实资金", "For demonstration, no real money moves")

    def __init__(
        self, base_url: str, secret: str, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._secret, self._clock, self._base_url = secret, clock, base_url.rstrip("/")
        # Without a client around it, which costs as much again: no cookies, nothing to follow.
        self._http = httpx.HTTPTransport(trust_env=False)

    def open_order(self, order: Order) -> GatewayReply:
        return _order_reply(self._call("POST", "/sandbox/orders", _order_body(order)), {200, 201})

    def query(self, asked: Asked) -> GatewayReply:
        answer = self._call("GET", f"/sandbox/orders/{asked.order_no}")
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            return GatewayReply(status=GatewayStatus.NOT_FOUND)
        return _order_reply(answer, {200})

    def close(self, asked: Asked) -> GatewayReply:
        answer = self._call("POST", f"/sandbox/orders/{asked.order_no}/close", {})
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            return GatewayReply(status=GatewayStatus.NOT_FOUND)
        return _order_reply(answer, {200, 409})

    def refund(self, order: RefundOrder) -> RefundReply:
        body = {
            "refund_no": order.refund_no,
            "order_no": order.paid.order_no,
            "amount_fen": order.amount_fen,
        }
        answer = self._call("POST", "/sandbox/refunds", body)
        if answer is not None and answer.status_code == httpx.codes.CONFLICT:
            return RefundReply(state=RefundState.REFUSED)
        return _refund_reply(answer, order, {200, 201})

    def query_refund(self, order: RefundOrder) -> RefundReply:
        answer = self._call("GET", f"/sandbox/refunds/{order.refund_no}")
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            return RefundReply(state=RefundState.NOT_FOUND)
        return _refund_reply(answer, order, {200})

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        body = {
            "mandate_no": order.mandate_no,
            "maximum_fen": order.maximum_fen,
            "subject": order.subject,
            "notify_url": order.notify_url,
            "return_url": order.return_url,
        }
        return _mandate_reply(self._call("POST", "/sandbox/mandates", body), {200, 201})

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        return _mandate_reply(self._call("GET", f"/sandbox/mandates/{mandate_no}"), {200})

    def end_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        return _mandate_reply(self._call("POST", f"/sandbox/mandates/{mandate_no}/end", {}), {200})

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        body = _order_body(order) | {"mandate_ref": mandate_ref}
        answer = self._call("POST", "/sandbox/debits", body)
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            return GatewayReply(status=GatewayStatus.REFUSED, reason="mandate_ended: unknown there")
        return _order_reply(answer, {200, 201})

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        sent_at = headers.get("x-sandbox-time", "")
        signature = headers.get("x-sandbox-signature", "")
        fresh = (
            re.fullmatch("[0-9]{1,12}", sent_at) is not None
            and abs(int(now.timestamp()) - int(sent_at)) <= _TOLERANCE_SECONDS
        )
        message = sent_at.encode() + b"." + body
        if not fresh or not crypto.verify(self._secret, message, signature):
            raise NotAllowed("the callback's signature is wrong or stale", code="callback.forged")
        try:
            told = json.loads(body)
            of_mandate = str(told["event"]).startswith("mandate.")
            callback = Callback(
                external_id=str(told["event_id"]),
                reference=str(told["mandate_no" if of_mandate else "order_no"]),
                kind=CallbackKind.MANDATE if of_mandate else CallbackKind.PAYMENT,
            )
            if not "".join(callback).isprintable():
                raise ValueError("a number with control characters in it")
            return callback
        except (ValueError, KeyError, TypeError, RecursionError) as wrong:
            raise Invalid("not a sandbox notification", code="callback.malformed") from wrong

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer() if taken else CallbackAnswer(status_code=400)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        answer = self._call("GET", f"/sandbox/settlements/{day}.csv")
        if answer is None or answer.status_code not in {200, 404}:
            return SettlementFetch(FileState.UNKNOWN)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return SettlementFetch(FileState.NOT_YET)
        return SettlementFetch(FileState.READY, f"sandbox-{day}.csv", answer.content)

    def hang_up(self) -> None:
        self._http.close()

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        return iter(_settlement_rows(stream.read(), day))

    def read_bulk(self, content: bytes, *, day: date, file_id: int) -> Iterator[bytes]:
        body = sandbox_bulk.body_of(content, first_lines=2)
        if _lines(content[: body.start]) != [[_TITLE, day.isoformat()], _COLUMNS]:
            raise Unusual
        read = sandbox_bulk.Reader(body, _COLUMNS, first_line=3)
        of = content.count(b"\n", body.start, body.stop)
        for block in read.blocks(file_id=file_id):
            yield block
            tell(read.rows, of, always=True)
        total = ["#TOTAL", str(read.rows), yuan_text(read.amount_fen), yuan_text(read.fee_fen)]
        if _lines(content[body.stop :]) != [total]:
            raise Unusual

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response | None:
        """Send one signed request; None when the far side may have acted and did not tell."""
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        seconds = str(int(self._clock().timestamp()))
        signed = seconds.encode() + b"." + (content if body is not None else path.encode())
        headers = {
            "x-sandbox-time": seconds,
            "x-sandbox-signature": crypto.sign(self._secret, signed),
            "content-type": "application/json",
        }
        request = httpx.Request(
            method, self._base_url + path, content=content, headers=headers,
            extensions={"timeout": _TIMEOUT.as_dict()},
        )  # fmt: skip
        try:
            answer = self._http.handle_request(request)
            answer.read()
            return answer
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as down:
            raise UpstreamUnavailable("the sandbox gateway cannot be reached") from down
        except httpx.HTTPError:
            return None


def from_settings(settings: Settings) -> Sandbox | None:
    """Make the gateway; production has none: its money is play money, and it costs nothing."""
    if settings.environment is Environment.PRODUCTION:
        return None
    return Sandbox(settings.sandbox_url, settings.sandbox_secret.get_secret_value())


def _order_reply(answer: httpx.Response | None, expected: set[int]) -> GatewayReply:
    if answer is None or answer.status_code not in expected:
        return GatewayReply(status=GatewayStatus.UNKNOWN)
    told = _json(answer)
    status = _STATUS.get(str(told.get("status")), GatewayStatus.UNKNOWN)
    gateway_ref, amount_fen = told.get("gateway_ref"), told.get("amount_fen")
    try:
        paid_at = None if told.get("paid_at") is None else _moment(told["paid_at"])
    except (ValueError, TypeError):
        return GatewayReply(status=GatewayStatus.UNKNOWN)
    return GatewayReply(
        status=status,
        gateway_ref=gateway_ref if isinstance(gateway_ref, str) else None,
        amount_fen=amount_fen if type(amount_fen) is int else None,  # JSON's true is no amount
        paid_at=paid_at,
        pay_url=told.get("pay_url"),
        reason=_text_or_none(told.get("reason")),
    )


def _mandate_reply(answer: httpx.Response | None, expected: set[int]) -> MandateReply:
    if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
        return MandateReply(state=MandateState.NOT_FOUND)
    if answer is None or answer.status_code not in expected:
        return MandateReply(state=MandateState.UNKNOWN)
    told = _json(answer)
    return MandateReply(
        state=_MANDATE_STATE.get(str(told.get("status")), MandateState.UNKNOWN),
        mandate_ref=_text_or_none(told.get("mandate_ref")),
        sign_url=_text_or_none(told.get("sign_url")),
    )


def _refund_reply(
    answer: httpx.Response | None, order: RefundOrder, expected: set[int]
) -> RefundReply:
    if answer is None or answer.status_code not in expected:
        return RefundReply(state=RefundState.UNKNOWN)
    told = _json(answer)
    if told.get("status") != "succeeded" or told.get("amount_fen") != order.amount_fen:
        return RefundReply(state=RefundState.UNKNOWN)
    try:
        refunded_at = _moment(told["refunded_at"])
    except (KeyError, ValueError, TypeError):
        return RefundReply(state=RefundState.UNKNOWN)
    return RefundReply(
        state=RefundState.SENT, refund_ref=told.get("refund_ref"), refunded_at=refunded_at
    )


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _moment(text: str) -> datetime:
    """Read a time of theirs; ValueError for one that does not say its zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} does not say its zone")
    return moment


def _order_body(order: Order) -> dict[str, Any]:
    return {
        "order_no": order.order_no,
        "amount_fen": order.amount_fen,
        "subject": order.subject,
        "notify_url": order.notify_url,
        "return_url": order.return_url,
        "expires_at": _stamp(order.expires_at),
    }


def _text_or_none(told: object) -> str | None:
    return told if isinstance(told, str) else None


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _settlement_rows(content: bytes, day: date) -> list[SettlementRecord]:
    frame = read_frame(content, title=_TITLE, day=day, columns=_COLUMNS)
    rows = []
    for at, (line_no, fields) in enumerate(frame.rows, start=1):
        tell(at, len(frame.rows))
        rows.append(_settlement_row(fields, line_no))
    _check_totals(frame.total[1], rows, line_no=frame.total[0])
    return rows


def _lines(content: bytes) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise SettlementFileError(f"not a UTF-8 CSV file: {wrong}") from wrong


def _settlement_row(fields: dict[str, str], line_no: int) -> SettlementRecord:
    kind = fields["kind"].lower()
    ours, theirs = ("order_no", "gateway_ref") if kind == "payment" else ("refund_no", "refund_ref")
    try:
        if kind not in {"payment", "refund"}:
            raise ValueError("kind is payment or refund")
        return SettlementRecord(
            line_no=line_no,
            kind=kind,
            reference=fields[ours],
            gateway_ref=fields[theirs],
            amount_fen=yuan(fields["amount"]),
            fee_fen=yuan(fields["fee"]),
            happened_at=moment(fields["happened_at"], None),
        )
    except (Invalid, ValueError) as wrong:
        raise SettlementFileError(f"unreadable row: {wrong}", line_no=line_no) from wrong


def _check_totals(total: list[str], rows: list[SettlementRecord], *, line_no: int) -> None:
    ours = [len(rows), sum(row.amount_fen for row in rows), sum(row.fee_fen for row in rows)]
    try:
        theirs = [int(total[1]), yuan(total[2]), yuan(total[3])]
    except (Invalid, ValueError, IndexError) as wrong:
        raise SettlementFileError(f"unreadable #TOTAL row: {wrong}", line_no=line_no) from wrong
    for name, mine, told in zip(("rows", "amount in fen", "fee in fen"), ours, theirs, strict=True):
        if mine != told:
            raise SettlementFileError(
                f"#TOTAL says {name} {told}, the rows add up to {mine}", line_no=line_no
            )
