"""Sending money back by the way it came."""

from datetime import datetime

from sqlmodel import Session

from billing import ledger, postings
from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict, NotFound
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, RefundReply, RefundState
from payments.models import (
    Payment,
    PaymentItem,
    Refund,
    RefundStatus,
    list_items,
    lock_payment,
    refund_no_of,
)
from payments.states import Outcome

_GOING_BACK = {Outcome.RETURNING, Outcome.RETURNED}


def get_refund(session: Session, refund_no: str) -> Refund:
    """Return a refund.

    Raises:
        NotFound: no such refund.
    """
    refund = session.get(Refund, refund_no)
    if refund is None:
        raise NotFound("there is no such refund")
    return refund


def request_refund(
    session: Session, payment: Payment, item: PaymentItem, *, reason: str, now: datetime
) -> None:
    """Ask for an item's money to be sent back, once; the payment is locked.

    With the last of a payment's bills goes its fee: nothing of the payment came to be (rule 44).
    """
    kept = [one for one in list_items(session, payment.id) if one.outcome not in _GOING_BACK]
    fee_fen = 0 if kept else payment.fee_fen + payment.fee_tax_fen
    refund = Refund(
        refund_no=refund_no_of(item.write_off_no),
        payment_id=item.payment_id,
        account_id=item.account_id,
        bill_id=item.bill_id,
        amount_fen=item.amount_fen + fee_fen,
        fee_fen=fee_fen,
        reason=reason,
        requested_at=now,
    )
    session.add(refund)
    outbox.emit(session, "refund.requested", refund.refund_no, now=now)
    session.flush()
    if fee_fen:
        moves = postings.fee_given_back(payment.id, payment.fee_fen, payment.fee_tax_fen)
        ledger.post(session, moves, now=now)


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
    reply = gateway_named(gateways, payment.gateway).refund(refund.order(payment))
    if reply.state is RefundState.REFUSED:
        raise Conflict("the gateway refuses this refund", code="refund.refused")
    if reply.state is not RefundState.SENT:
        return False
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
    session.flush()
    moves = postings.returned(
        (refund.account_id, refund.bill_id), payment.gateway, payment.id,
        refund.amount_fen - refund.fee_fen,
    )  # fmt: skip
    moves += postings.returned(
        postings.about(payment.id), payment.gateway, payment.id, refund.fee_fen
    )
    ledger.post(session, moves, now=now)
    outbox.emit(session, "refund.succeeded", refund_no, now=now)
