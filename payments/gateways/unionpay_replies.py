"""UnionPay's codes in our words.

Source: docs/wire/unionpay.md, "Codes".
"""

from datetime import datetime

from payments.gateways.base import (
    Asked,
    GatewayReply,
    GatewayStatus,
    RefundOrder,
    RefundReply,
    RefundState,
)
from payments.gateways.unionpay_line import Told, beijing_stamp, order_id, stamp_after

DONE = frozenset({"00", "A6"})
NO_SUCH = "34"
NO_FILE = "98"
TWICE = "12"
ASK_AGAIN = frozenset({"03", "04", "05"})
_TIMED_OUT = "69"
_WAITS = frozenset({"05", "70"})
_NOT_TAKEN_UP = frozenset({"02", "10", "11", "13", "31", "32", "33", "38", "39", "43"})
# A card, a bank or UnionPay said no: nothing was taken.
_FAILED = frozenset(
    {
        "01", "30", "31", "32", "33", "38", "39", "40", "43", "44", "60", "61", "62", "63", "64",
        "65", "66", "67", "68", "71", "72", "73", "76", "77", "78", "79", "80", "81", "82", "85",
    }
)  # fmt: skip
_REFUND_REFUSED = _FAILED | {NO_SUCH, "35", "36"}
_NOT_NOW = frozenset({"39", "43"})  # not at this hour, or not at the moment: later it may go
_DONT_KNOW = GatewayReply(status=GatewayStatus.UNKNOWN)


def opened(told: Told | None, order_no: str) -> GatewayReply:
    """Say what came of asking for a code to scan."""
    if told is None:
        return _DONT_KNOW
    code = told.text("qrCode")
    if told.code == "00" and code:
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=order_no, pay_code=code)
    if told.code in _NOT_TAKEN_UP:
        return GatewayReply(status=GatewayStatus.REFUSED, reason=told.code)
    return _DONT_KNOW


def found(told: Told | None, asked: Asked) -> GatewayReply:
    """Say how an order stands that a query was about."""
    if told is None:
        return _DONT_KNOW
    if told.code == NO_SUCH:
        return GatewayReply(status=GatewayStatus.NOT_FOUND)
    if told.code != "00":
        return _DONT_KNOW
    known = told.text("origRespCode")
    if known in DONE:
        return _paid(told, asked)
    if known in _WAITS:
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=asked.order_no)
    if known == _TIMED_OUT:
        return GatewayReply(status=GatewayStatus.CLOSED, gateway_ref=asked.order_no)
    if known in _FAILED:
        return GatewayReply(status=GatewayStatus.REFUSED, gateway_ref=asked.order_no, reason=known)
    return _DONT_KNOW


def refused_for_good(told: Told | None) -> bool:
    """Tell whether a refund's answer is a no that stays one."""
    return told is not None and told.code in _REFUND_REFUSED - _NOT_NOW


def refunded(told: Told | None, order: RefundOrder) -> RefundReply:
    """Say how a refund stands that a query was about."""
    unknown = RefundReply(state=RefundState.UNKNOWN)
    if told is None:
        return unknown
    if told.code == NO_SUCH:
        return RefundReply(state=RefundState.NOT_FOUND)
    if told.code != "00" or told.text("txnAmt") != str(order.amount_fen):
        return unknown
    known = told.text("origRespCode")
    if known in ASK_AGAIN:
        return RefundReply(state=RefundState.PENDING)
    if known in _REFUND_REFUSED:
        return RefundReply(state=RefundState.REFUSED, reason=known)
    query_id = told.text("queryId")
    if known not in DONE or not query_id:
        return unknown
    try:
        refunded_at = _moment(told, order.asked_at)
    except ValueError:
        return unknown
    return RefundReply(state=RefundState.SENT, refund_ref=query_id, refunded_at=refunded_at)


def original(asked: Asked) -> dict[str, str]:
    """Return what names a payment that is to go back: UnionPay's number, or else ours."""
    ref = asked.gateway_ref or ""
    if len(ref) == 21 and ref.isascii() and ref.isdigit():
        return {"origQryId": ref}
    return {
        "origOrderId": order_id(asked.order_no),
        "origTxnTime": beijing_stamp(asked.asked_at),
    }


def _paid(told: Told, asked: Asked) -> GatewayReply:
    query_id, amount = told.text("queryId"), told.text("txnAmt")
    sound = query_id and amount.isascii() and amount.isdigit() and len(amount) <= 12
    if not sound or told.text("currencyCode") not in ("", "156"):
        return _DONT_KNOW
    try:
        paid_at = _moment(told, asked.asked_at)
    except ValueError:
        return _DONT_KNOW
    return GatewayReply(
        status=GatewayStatus.PAID, gateway_ref=query_id, amount_fen=int(amount), paid_at=paid_at
    )


def _moment(told: Told, earliest: datetime) -> datetime | None:
    """Return when it went over UnionPay's wires, as its file will say, too."""
    text = told.text("traceTime")
    return stamp_after(text, earliest) if text else None
