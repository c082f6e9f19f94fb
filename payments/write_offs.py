"""Telling a company that its bill was paid (销账), and what follows from its answer."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from billing import late_fees, ledger, postings
from billing.elsewhere import void_paid_elsewhere
from billing.models import Bill, UtilityAccount
from billing.terms import terms_on
from core import outbox
from core.clock import billing_date
from core.db import transaction
from core.errors import NotFound
from core.keys import month_of
from payments.models import Payment, PaymentItem, lock_payment
from payments.pauses import pause_seconds
from payments.returns.refunds import request_refund
from payments.states import ItemNews, Outcome
from providers.base import UtilityClient, WriteOffOrder, WriteOffOutcome, WriteOffReply

REFUSED_REASON = "the company did not take the payment"
NEVER_SEEN = WriteOffReply(
    outcome=WriteOffOutcome.REFUSED, reason="the company did not confirm the payment in time"
)
_NEWS: dict[WriteOffOutcome, ItemNews | None] = {
    WriteOffOutcome.ACCEPTED: ItemNews.ACCEPTED,
    WriteOffOutcome.REFUSED: ItemNews.REFUSED,
    WriteOffOutcome.UNKNOWN: None,
}
_HEARD = {  # where the same answer again finds an item
    ItemNews.ACCEPTED: {Outcome.WRITTEN_OFF},
    ItemNews.REFUSED: {Outcome.RETURNING, Outcome.RETURNED},
}


def prepare(session: Session, write_off_no: str) -> tuple[str, WriteOffOrder] | None:
    """Return the company's code and what to tell it; None when there is nothing (left) to tell."""
    item = _get_item(session, write_off_no)
    if item.outcome is not Outcome.PAID:
        return None
    payment = session.get_one(Payment, item.payment_id)
    account = session.get_one(UtilityAccount, item.account_id)
    bill = session.get_one(Bill, (item.account_id, item.bill_id))
    assert payment.paid_at is not None
    return account.provider_code, WriteOffOrder(
        write_off_no=write_off_no,
        account_no=account.account_no,
        bill_no=bill.bill_no,
        billing_month=month_of(bill.id),
        amount_fen=item.amount_fen,
        paid_at=payment.paid_at,
    )


def send(write_off_no: str, clients: dict[str, UtilityClient], *, now: datetime) -> bool:
    """Write one paid bill off at its company; True once the answer is final.

    May be repeated: the company knows ``write_off_no``. No transaction is open while we wait. When
    the company's time is over nothing more is sent, only asked: what it never saw goes back.

    Raises:
        UpstreamUnavailable: the company could not be reached; try again later.
    """
    with transaction() as session:
        prepared = prepare(session, write_off_no)
        if prepared is None:
            return True
        provider_code, order = prepared
        hours = terms_on(session, provider_code, billing_date(now)).write_off.hours
    if provider_code not in clients:
        raise NotFound(f"no live API is configured for {provider_code}", code="utility.no_api")
    if order.amount_fen == 0:  # nothing to tell: a bill of zero is closed as it came (rule 7)
        reply = WriteOffReply(outcome=WriteOffOutcome.ACCEPTED)
    elif now < order.paid_at + timedelta(hours=hours):
        reply = clients[provider_code].write_off(order)
    else:
        reply = clients[provider_code].query(write_off_no) or NEVER_SEEN
    if reply.outcome is WriteOffOutcome.UNKNOWN:
        return False
    with transaction() as session:
        book(session, write_off_no, reply, now=now)
    return True


def send_again_seconds(session: Session, write_off_no: str, *, now: datetime) -> int:
    """Tell when to try again: half a minute at first (rule 28), then minutes, then hours."""
    payment = session.get_one(Payment, _get_item(session, write_off_no).payment_id)
    assert payment.paid_at is not None
    return max(30, pause_seconds(now - payment.paid_at))


def book(session: Session, write_off_no: str, reply: WriteOffReply, *, now: datetime) -> None:
    """Enter a company's final answer, once: the bill is closed there, or the money goes back.

    Raises:
        NotFound: no such write-off.
        IllegalTransition: it contradicts an earlier answer; a person must look.
    """
    item = _get_item(session, write_off_no)
    payment = lock_payment(session, item.payment_id)
    session.refresh(item, with_for_update=True)
    news = _NEWS[reply.outcome]
    if news is None or item.outcome in _HEARD[news]:
        return
    if news is ItemNews.REFUSED and item.amount_fen == 0:
        return  # there is nothing to return
    item.hear(news, now=now)  # a "no" to money we never had is refused: it must send none back
    bill = session.get_one(Bill, (item.account_id, item.bill_id), with_for_update=True)
    account = session.get_one(UtilityAccount, item.account_id)
    if news is ItemNews.ACCEPTED:
        _accepted(session, item, bill, account.provider_code, reply, now=now)
    else:
        _refused(session, payment, item, bill, account.provider_code, reply, now=now)


def _accepted(
    session: Session,
    item: PaymentItem,
    bill: Bill,
    provider_code: str,
    reply: WriteOffReply,
    *,
    now: datetime,
) -> None:
    item.utility_ref = reply.utility_ref
    bill.written_off_fen += item.amount_fen - item.advance_fen
    session.flush()
    moves = postings.written_off(
        (item.account_id, item.bill_id), provider_code, item.payment_id,
        amount_fen=item.amount_fen, advance_fen=item.advance_fen,
    )  # fmt: skip
    ledger.post(session, moves, now=now)
    outbox.emit(session, "write_off.accepted", item.write_off_no, now=now)


def _refused(
    session: Session,
    payment: Payment,
    item: PaymentItem,
    bill: Bill,
    provider_code: str,
    reply: WriteOffReply,
    *,
    now: datetime,
) -> None:
    """The company's no is final: the bill owes again, the payer gets the money back (rule 28)."""
    item.reason = reply.reason or REFUSED_REASON
    bill.paid_fen -= item.amount_fen - item.advance_fen
    # A late amount that was paid in parts stays owed: others paid the rest of it.
    stays_fen = max(0, item.adjust_fen) if bill.paid_fen or bill.credited_fen else 0
    bill.adjusted_fen -= item.adjust_fen - stays_fen
    session.flush()
    moves = postings.unpaid(
        (item.account_id, item.bill_id), provider_code, item.payment_id,
        amount_fen=item.amount_fen, advance_fen=item.advance_fen, adjust_fen=item.adjust_fen,
    )  # fmt: skip
    moves += postings.late_fee(
        (item.account_id, item.bill_id), provider_code, "surcharge", str(payment.id), stays_fen
    )
    ledger.post(session, moves, now=now)
    elsewhere = reply.paid_elsewhere and void_paid_elsewhere(session, bill, provider_code, now=now)
    if not elsewhere:
        late_fees.reopened(session, (item.account_id, item.bill_id), on=billing_date(now))
    request_refund(session, payment, item, reason=item.reason, now=now)
    outbox.emit(session, "write_off.refused", item.write_off_no, now=now)


def _get_item(session: Session, write_off_no: str) -> PaymentItem:
    item = session.exec(
        select(PaymentItem).where(col(PaymentItem.write_off_no) == write_off_no)
    ).one_or_none()
    if item is None:
        raise NotFound("there is no such write-off")
    return item
