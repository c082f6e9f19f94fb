"""Alipay's statuses and codes in our words.

Source: docs/wire/alipay.md, "Orders" and "Refunds".
"""

from datetime import datetime

from core.errors import Invalid
from core.money import parse_yuan
from payments.gateways.alipay_line import Told, read_beijing
from payments.gateways.base import (
    Asked,
    FileState,
    GatewayReply,
    GatewayStatus,
    RefundOrder,
    RefundReply,
    RefundState,
)

NO_TRADE = "ACQ.TRADE_NOT_EXIST"
# Neither open nor unknown to Alipay: only a query tells which.
NOT_WAITING = frozenset(
    {"ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "ACQ.REASON_ILLEGAL_STATUS"}
)
_NOT_TAKEN_UP = frozenset({"40001", "40002", "40006"})
_OPENING_REFUSED = frozenset(
    {"ACQ.INVALID_PARAMETER", "ACQ.ACCESS_FORBIDDEN", "ACQ.TOTAL_FEE_EXCEED"}
)
_REFUND_REFUSED = NOT_WAITING | {
    NO_TRADE,
    "ACQ.TRADE_HAS_FINISHED",
    "ACQ.TRADE_NOT_ALLOW_REFUND",
    "ACQ.NOT_ALLOW_PARTIAL_REFUND",
    "ACQ.REASON_TRADE_REFUND_FEE_ERR",
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
    "ACQ.REFUND_FEE_ERROR",
}
_FILE_STATES = {"BILL_NOT_EXIST": FileState.NOT_YET, "NO_BILL_DATA": FileState.NO_DATA}
_DONT_KNOW = GatewayReply(status=GatewayStatus.UNKNOWN)


def opened(told: Told | None, order_no: str) -> GatewayReply:
    """Say what came of asking for a code to scan."""
    if told is None:
        return _DONT_KNOW
    code = told.text("qr_code")
    if told.done and told.text("out_trade_no") == order_no and code:
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=order_no, pay_code=code)
    refused = told.code == "40004" and told.sub_code in _OPENING_REFUSED
    if refused or told.code in _NOT_TAKEN_UP:
        reason = told.sub_code or told.code
        return GatewayReply(status=GatewayStatus.REFUSED, reason=reason)
    return _DONT_KNOW


def found(told: Told | None, asked: Asked) -> GatewayReply:
    """Say how an order stands that a query was about."""
    if told is None:
        return _DONT_KNOW
    if told.code == "40004" and told.sub_code == NO_TRADE:
        return GatewayReply(status=GatewayStatus.NOT_FOUND)
    if not told.done or told.text("out_trade_no") != asked.order_no:
        return _DONT_KNOW
    trade_no = told.text("trade_no") or None
    try:
        paid_at = _moment(told.text("send_pay_date"))
        amount_fen = parse_yuan(told.text("total_amount"))
    except (ValueError, Invalid):
        return _DONT_KNOW
    match told.text("trade_status"):
        case "WAIT_BUYER_PAY":
            return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=trade_no)
        case "TRADE_CLOSED" if paid_at is None:
            return GatewayReply(status=GatewayStatus.CLOSED, gateway_ref=trade_no)
        case "TRADE_SUCCESS" | "TRADE_FINISHED" | "TRADE_CLOSED" if trade_no:
            # Closed after it was paid: all of it was sent back, and that is told by its refunds.
            return GatewayReply(
                status=GatewayStatus.PAID, gateway_ref=trade_no, amount_fen=amount_fen,
                paid_at=paid_at,
            )  # fmt: skip
    return _DONT_KNOW


def refused_for_good(told: Told | None) -> bool:
    """Tell whether a refund's answer is a no that stays one."""
    return told is not None and told.code == "40004" and told.sub_code in _REFUND_REFUSED


def refunded(told: Told | None, order: RefundOrder) -> RefundReply:
    """Say how a refund stands that a query was about."""
    unknown = RefundReply(state=RefundState.UNKNOWN)
    if told is None:
        return unknown
    if told.code == "40004" and told.sub_code == NO_TRADE:
        return RefundReply(state=RefundState.NOT_FOUND)
    if not told.done:
        return unknown
    if not told.text("refund_status"):
        return RefundReply(state=RefundState.NOT_FOUND)
    try:
        same = parse_yuan(told.text("refund_amount")) == order.amount_fen
        refunded_at = _moment(told.text("gmt_refund_pay"))
    except (ValueError, Invalid):
        return unknown
    named = (told.text("out_trade_no"), told.text("out_request_no"))
    same = same and named == (order.paid.order_no, order.refund_no)
    if not same or told.text("refund_status") != "REFUND_SUCCESS":
        return unknown
    ref = refund_ref(told.text("trade_no"), order.refund_no)
    return RefundReply(state=RefundState.SENT, refund_ref=ref, refunded_at=refunded_at)


def refund_ref(trade_no: str, refund_no: str) -> str:
    """Return what names a refund at Alipay, which gives it no number of its own."""
    return f"{trade_no}:{refund_no}" if refund_no else trade_no


def file_state(told: Told | None) -> FileState:
    """Say why there is no address of a bill."""
    if told is None or told.code != "40004":
        return FileState.UNKNOWN
    return _FILE_STATES.get(told.sub_code.upper().removeprefix("ISP."), FileState.UNKNOWN)


def _moment(text: str) -> datetime | None:
    return read_beijing(text) if text else None
