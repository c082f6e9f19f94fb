"""Turning a gateway's word into our books, once.

A callback, a poll and the answer to our own request may all bring the same news, in any order and
at the same moment: each ends here, under the payment's row lock.
"""

from datetime import datetime

from sqlmodel import Session, col, select

from billing import ledger
from billing.models import Bill, UtilityAccount
from core import outbox
from core.errors import AmountMismatch, IllegalTransition
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import Payment, PaymentItem, Refund, list_items, lock_payment
from payments.states import PENDING, Outcome, PaymentStatus


def book_reply(session: Session, payment_id: int, reply: GatewayReply, *, now: datetime) -> Payment:
    """Enter a gateway's reply; the same reply again changes nothing.

    Raises:
        NotFound: no such payment.
        AmountMismatch: the gateway took another amount than we asked; a person must look.
        IllegalTransition: it contradicts an earlier reply; a person must look.
    """
    payment = lock_payment(session, payment_id)
    match reply.status:
        case GatewayStatus.PAID:
            _book_paid(session, payment, reply, now=now)
        case GatewayStatus.REFUSED | GatewayStatus.CLOSED if payment.status in PENDING:
            refused = reply.status is GatewayStatus.REFUSED
            payment.move_to(PaymentStatus.REFUSED if refused else PaymentStatus.EXPIRED, now=now)
            _release(session, payment, now=now)
            outbox.emit(session, f"payment.{payment.status}", payment.id, now=now)
        case GatewayStatus.OPEN if payment.status is PaymentStatus.CREATED:
            payment.move_to(PaymentStatus.OPEN, now=now)
            payment.gateway_ref = reply.gateway_ref
            payment.pay_url = reply.pay_url
    session.flush()
    return payment


def _book_paid(session: Session, payment: Payment, reply: GatewayReply, *, now: datetime) -> None:
    if payment.status is PaymentStatus.PAID:
        if reply.gateway_ref != payment.gateway_ref:
            raise IllegalTransition(
                "paid a second time, under another reference", code="payment.paid_twice"
            )
        return
    if reply.amount_fen != payment.amount_fen:
        raise AmountMismatch(
            "the gateway took another amount than we asked",
            asked_fen=payment.amount_fen,
            took_fen=reply.amount_fen,
        )
    payment.move_to(PaymentStatus.PAID, now=now)
    payment.gateway_ref = reply.gateway_ref
    payment.paid_at = reply.paid_at or now
    session.flush()
    _apply(session, payment, now=now)
    outbox.emit(session, "payment.paid", payment.id, now=now)


def _apply(session: Session, payment: Payment, *, now: datetime) -> None:
    """Put the money on the bills; what a bill cannot take any more goes back (rules 14, 29)."""
    moves = []
    for item, bill, account in _lock_bills(session, payment.id):
        free = bill.held_by in (None, payment.id) and bill.cancelled_at is None
        fits = free and item.amount_fen <= bill.amount_fen - bill.paid_fen
        if bill.held_by == payment.id:
            bill.held_by = None
        if fits:
            bill.paid_fen += item.amount_fen
            item.move_to(Outcome.PAID, now=now)
            credit, why = ledger.receivable(account.provider_code), "paid"
            outbox.emit(session, "write_off.due", item.write_off_no, now=now)
        else:
            item.reason = "the bill was settled or changed before this payment arrived"
            item.move_to(Outcome.RETURNING, now=now)
            credit, why = ledger.RETURNS, "stray"
            request_refund(session, item, reason=item.reason, now=now)
        moves.append(
            ledger.Move(
                item.account_id,
                item.bill_id,
                f"{why}:{payment.id}",
                ledger.gateway(payment.gateway),
                credit,
                item.amount_fen,
            )
        )
    session.flush()
    ledger.post(session, moves, now=now)


def _release(session: Session, payment: Payment, *, now: datetime) -> None:
    for item, bill, _account in _lock_bills(session, payment.id):
        item.move_to(Outcome.NOT_PAID, now=now)
        if bill.held_by == payment.id:
            bill.held_by = None


def _lock_bills(
    session: Session, payment_id: int
) -> list[tuple[PaymentItem, Bill, UtilityAccount]]:
    """Return a payment's items with their bills, locked in key order so that nobody deadlocks."""
    items = {(item.account_id, item.bill_id): item for item in list_items(session, payment_id)}
    found = []
    for key in sorted(items):
        wanted = (
            select(Bill, UtilityAccount)
            .join(UtilityAccount, col(UtilityAccount.id) == col(Bill.account_id))
            .where(Bill.account_id == key[0], Bill.id == key[1])
            .with_for_update(of=Bill)
            .execution_options(populate_existing=True)
        )
        bill, account = session.exec(wanted).one()
        found.append((items[key], bill, account))
    return found


def request_refund(session: Session, item: PaymentItem, *, reason: str, now: datetime) -> None:
    """Ask for an item's money to be sent back; once per item, held by a unique key."""
    refund = Refund(
        refund_no=f"R{item.write_off_no[1:]}",
        payment_id=item.payment_id,
        account_id=item.account_id,
        bill_id=item.bill_id,
        amount_fen=item.amount_fen,
        reason=reason,
        requested_at=now,
    )
    session.add(refund)
    outbox.emit(session, "refund.requested", refund.refund_no, now=now)
