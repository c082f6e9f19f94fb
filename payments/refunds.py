"""Sending money back by the way it came."""

from datetime import datetime

from sqlmodel import Session

from billing import ledger
from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict, NotFound
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, RefundReply
from payments.models import Payment, PaymentItem, Refund, RefundStatus, lock_payment
from payments.states import Outcome


def get_refund(session: Session, refund_no: str) -> Refund:
    """Return a refund.

    Raises:
        NotFound: no such refund.
    """
    refund = session.get(Refund, refund_no)
    if refund is None:
        raise NotFound("there is no such refund")
    return refund


def send(refund_no: str, gateways: dict[str, Gateway]) -> bool:
    """Ask the gateway to send a refund; True once it has. May be repeated: it knows the number.

    Raises:
        Conflict: the gateway refuses for good; a person must look.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        refund = get_refund(session, refund_no)
        payment = session.get_one(Payment, refund.payment_id)
    if refund.status is RefundStatus.SUCCEEDED:
        return True
    reply = gateway_named(gateways, payment.gateway).refund(
        refund_no=refund_no, order_no=payment.order_no, amount_fen=refund.amount_fen
    )
    if reply.succeeded is None:
        return False
    if not reply.succeeded:
        raise Conflict("the gateway refuses this refund", code="refund.refused")
    with transaction() as session:
        book(session, refund_no, reply, now=utc_now())
    return True


def book(session: Session, refund_no: str, reply: RefundReply, *, now: datetime) -> None:
    """Enter that a refund was sent, once; on the gateway's day, as its settlement file has it."""
    refund = get_refund(session, refund_no)
    payment = lock_payment(session, refund.payment_id)
    session.refresh(refund, with_for_update=True)
    if refund.status is RefundStatus.SUCCEEDED:
        return
    refund.status, refund.succeeded_at = RefundStatus.SUCCEEDED, reply.refunded_at or now
    refund.gateway_ref = reply.refund_ref
    item = session.get_one(PaymentItem, (refund.payment_id, refund.account_id, refund.bill_id))
    item.move_to(Outcome.RETURNED, now=now)
    move = ledger.Move(
        refund.account_id, refund.bill_id, f"returned:{refund.payment_id}",
        ledger.RETURNS, ledger.gateway(payment.gateway), refund.amount_fen,
    )  # fmt: skip
    session.flush()
    ledger.post(session, [move], now=now)
    outbox.emit(session, "refund.succeeded", refund_no, now=now)
