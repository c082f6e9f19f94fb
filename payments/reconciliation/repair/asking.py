"""Asking a gateway once more about what a difference is about: a person wants to know."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from core.db import HotStatement, transaction
from core.errors import NotFound
from core.money import format_yuan
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, GatewayReply, GatewayStatus
from payments.models import find_payment_by_order
from payments.pauses import pause_seconds
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair.models import BreakAct
from payments.returns import came_back, refunds, suspense
from payments.returns.models import Refund
from payments.returns.receipts import receipt_of
from payments.settlement import book_reply
from payments.states import PENDING


def ask(act_id: int, gateways: Mapping[str, Gateway], *, now: datetime) -> bool:
    """Ask what became of an order, or of money sent back; book the answer and keep it with the act.

    What came too late, twice or in another amount goes back by itself, as always; what came back
    after it had been sent is sent again. No transaction is open while we wait.

    Returns:
        Whether the gateway has answered; otherwise ask again later.

    Raises:
        NotFound: no such act, or its gateway is not installed any more.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        act, found = _subject(session, act_id)
    if act.answered_at is not None:
        return True
    if found.row_kind == "refund":
        gateway = gateway_named(dict(gateways), found.source)
        answer = _look_at_refund(found.reference, gateway, now)
    else:
        answer = _look_at_order(found.reference, gateways, now)
    if answer is None:
        return False
    with transaction() as session:
        keep_answer(session, act_id, answer, now=now)
    return True


def _look_at_order(order_no: str, gateways: Mapping[str, Gateway], now: datetime) -> str | None:
    """Ask about an order and book the answer; returns it in words once there is one."""
    with transaction() as session:
        payment = find_payment_by_order(session, order_no)
    if payment is None:
        raise NotFound("this order is none of ours", code="break.not_ours")
    reply = gateway_named(dict(gateways), payment.gateway).query(payment.asked())
    if reply.status is GatewayStatus.UNKNOWN:
        return None
    if reply.status is GatewayStatus.PAID or payment.status in PENDING:
        with transaction() as session:
            book_reply(session, payment.id, reply, now=now)
    return _words(reply)


def _look_at_refund(number: str, gateway: Gateway, now: datetime) -> str | None:
    """Ask about a refund, or suspended money that went back, as above."""
    if not refunds.look(number, gateway, now):
        return None
    with transaction() as session:
        back = came_back.find(session, number)
        receipt_id = receipt_of(number)
        row = (
            refunds.get_refund(session, number) if receipt_id is None
            else suspense.get_receipt(session, receipt_id)
        )  # fmt: skip
    if back is not None:
        return f"came_back {format_yuan(back.amount_fen)}"
    if row.asked_at is None:
        return "never_asked"
    sent_at = row.succeeded_at if isinstance(row, Refund) else row.returned_at
    return "refused" if sent_at is None else f"sent {format_yuan(row.to_send_fen)}"


def keep_answer(session: Session, act_id: int, answer: str, *, now: datetime) -> None:
    """Keep what somebody who was asked has said, with the act; the first answer stays."""
    _ANSWERED.rows(session, {"id": act_id, "now": now, "answer": answer})


_ANSWERED = HotStatement("""
    UPDATE break_act SET answered_at = :now, answer = :answer
    WHERE id = :id AND answered_at IS NULL RETURNING id
""")


def _subject(session: Session, act_id: int) -> tuple[BreakAct, ReconciliationBreak]:
    act = session.get(BreakAct, act_id)
    if act is None:
        raise NotFound("there is no such act")
    return act, session.get_one(ReconciliationBreak, act.break_id)


def _words(reply: GatewayReply) -> str:
    """Return an answer as it is kept: ``paid ¥86.50 sbx-17``."""
    fen = "" if reply.amount_fen is None else format_yuan(reply.amount_fen)
    return " ".join(filter(None, (reply.status.value, fen, reply.gateway_ref)))


def ask_again_seconds(session: Session, act_id: int, *, now: datetime) -> int:
    """Tell when to ask again: seconds, then minutes, then hours after somebody wanted to know."""
    act = session.get_one(BreakAct, act_id)
    return pause_seconds(now - (act.done_at or act.proposed_at))
