"""Asking a gateway once more about an order that a difference is about: a person wants to know."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from core.db import HotStatement, transaction
from core.errors import NotFound
from core.money import format_yuan
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, GatewayReply, GatewayStatus
from payments.models import Payment, find_payment_by_order
from payments.pauses import pause_seconds
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair.models import BreakAct
from payments.settlement import book_reply
from payments.states import PENDING


def ask(act_id: int, gateways: Mapping[str, Gateway], *, now: datetime) -> bool:
    """Ask what became of an order, keep the answer with the act, and book money we did not know of.

    What came too late, twice or in another amount goes back by itself, as always. No transaction
    is open while we wait.

    Returns:
        Whether the gateway has answered; otherwise ask again later.

    Raises:
        NotFound: no such act, or its gateway is not installed any more.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        act, payment = _subject(session, act_id)
    if act.answered_at is not None:
        return True
    reply = gateway_named(dict(gateways), payment.gateway).query(payment.asked())
    if reply.status is GatewayStatus.UNKNOWN:
        return False
    with transaction() as session:
        if reply.status is GatewayStatus.PAID or payment.status in PENDING:
            book_reply(session, payment.id, reply, now=now)
        keep_answer(session, act_id, _words(reply), now=now)
    return True


def keep_answer(session: Session, act_id: int, answer: str, *, now: datetime) -> None:
    """Keep what somebody who was asked has said, with the act; the first answer stays."""
    _ANSWERED.rows(session, {"id": act_id, "now": now, "answer": answer})


_ANSWERED = HotStatement("""
    UPDATE break_act SET answered_at = :now, answer = :answer
    WHERE id = :id AND answered_at IS NULL RETURNING id
""")


def _subject(session: Session, act_id: int) -> tuple[BreakAct, Payment]:
    act = session.get(BreakAct, act_id)
    if act is None:
        raise NotFound("there is no such act")
    found = session.get_one(ReconciliationBreak, act.break_id)
    payment = find_payment_by_order(session, found.reference)
    if payment is None:
        raise NotFound("this order is none of ours", code="break.not_ours")
    return act, payment


def _words(reply: GatewayReply) -> str:
    """Return an answer as it is kept: ``paid ¥86.50 sbx-17``."""
    fen = "" if reply.amount_fen is None else format_yuan(reply.amount_fen)
    return " ".join(filter(None, (reply.status.value, fen, reply.gateway_ref)))


def ask_again_seconds(session: Session, act_id: int, *, now: datetime) -> int:
    """Tell when to ask again: seconds, then minutes, then hours after somebody wanted to know."""
    act = session.get_one(BreakAct, act_id)
    return pause_seconds(now - (act.done_at or act.proposed_at))
