"""Cash at a shop or bank branch, as its agent reports it.

By then it is in the drawer. So what an agent tells is recorded whatever becomes of it: a bill takes
it, or it is suspended and to be given back. An agent's number of a payment is its idempotency key
for ever.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, select

from billing.bills import BillRef
from billing.documents.barcodes import parse_barcode
from billing.rules.payable import Chosen
from core.clock import billing_date
from core.errors import AmountMismatch, Conflict, Invalid, NotFound
from payments.checkout import keep, new_payment, next_no
from payments.counter.codes import Found, find_bill
from payments.counter.holds import (
    CHANNEL,
    MODE,
    asked_in_cash,
    open_payment,
    order_of,
    waiting_for,
)
from payments.counter.models import CashState, CounterPayment
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.gateways.counter import CODE, agent_ref, cash_order_no, check_code, is_order_code
from payments.models import Receipt, ReceiptState, lock_payment
from payments.quotes import Quote
from payments.returns.receipts import return_no
from payments.returns.suspense import book_returned, suspend
from payments.settlement import book_reply, give_up
from payments.states import PENDING, News, PaymentStatus

_AHEAD = timedelta(minutes=5)  # how far an agent's clock may be
_LATEST = timedelta(days=31)  # cash of longer ago is a case for people
_OTHER = "the bill does not take this payment at a counter"
_WORDS = {
    "paid": "the bill was paid before this payment arrived",
    "cancelled": "the company has cancelled the bill",
    "expired": "the order had ended before this payment arrived",
    "being_paid": "another payment of the bill was under way",
    "superseded": "the company has corrected the bill since it was printed",
    "amount": "another amount than the bill asks for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cash:
    """What an agent reports: money in its drawer."""

    agent_txn_no: str
    barcode: str
    amount_fen: int
    paid_at: datetime


_RECORD = text("""
    INSERT INTO counter_payment (agent, agent_txn_no, barcode, amount_fen, paid_at, received_at,
                                 received_via, state, reason)
    VALUES (:agent, :agent_txn_no, :barcode, :amount_fen, :paid_at, :now, :via, 'unmatched',
            'no_bill')
    ON CONFLICT (agent, agent_txn_no) DO NOTHING RETURNING agent
""")


def take(
    session: Session, agent: str, cash: Cash, *, now: datetime, via: str = "api"
) -> CounterPayment:
    """Record cash that is in an agent's drawer, once, and put it on its bill if that takes it.

    Raises:
        Invalid: a code that is none, or a time that cannot be.
        AmountMismatch: the agent told of this payment before, and said otherwise.
    """
    check_code(cash.barcode)
    if not now - _LATEST <= cash.paid_at <= now + _AHEAD:
        raise Invalid(
            "paid_at is in the future, or more than 31 days ago: set the clock, or write to us",
            code="counter.paid_at",
        )
    code = cash.barcode.replace(" ", "")
    values = {
        "agent": agent, "agent_txn_no": cash.agent_txn_no, "barcode": code, "via": via, "now": now,
        "amount_fen": cash.amount_fen, "paid_at": min(cash.paid_at, now),
    }  # fmt: skip
    is_new = session.execute(_RECORD, values).scalar_one_or_none() is not None
    row = session.get_one(CounterPayment, (agent, cash.agent_txn_no), populate_existing=True)
    if not is_new:
        if (row.barcode, row.amount_fen) != (code, cash.amount_fen):
            raise AmountMismatch(
                "you told of this agent_txn_no before, with another amount or barcode: each"
                " payment has a number of its own",
                code="counter.txn_no_used", before_fen=row.amount_fen,
            )  # fmt: skip
        return row
    if is_order_code(code):
        _book_order(session, row, now=now)
    else:
        _book_bill(session, row, now=now)
    session.flush()
    return row


def _book_order(session: Session, row: CounterPayment, *, now: datetime) -> None:
    payment = order_of(session, row.barcode)
    if payment is None:
        return
    payment = lock_payment(session, payment.id)
    session.refresh(payment)
    # Cash that was laid down while the order still stood, and that we hear of only now (rule 14).
    in_time = payment.status is PaymentStatus.EXPIRED and row.paid_at < payment.status_at
    if payment.status in PENDING or (in_time and _fits_still(session, payment.id)):
        _settle(session, row, payment.id, now=now)
    else:
        reason = "paid" if payment.status is PaymentStatus.PAID else "expired"
        _suspend(session, row, payment.id, reason, now=now)


_FITS = text("""
    SELECT bool_and(fits) FROM (
        SELECT b.held_by IS NULL AND b.cancelled_at IS NULL AND CASE i.adjust_fen
               WHEN 0 THEN i.amount_fen - i.advance_fen <= b.amount_fen + b.adjusted_fen
                                                           - b.paid_fen - b.credited_fen
               ELSE i.amount_fen - i.advance_fen = b.amount_fen + b.adjusted_fen + i.adjust_fen
                                                   - b.paid_fen - b.credited_fen END AS fits
        FROM payment_item i JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
        WHERE i.payment_id = :payment_id
        ORDER BY b.account_id, b.id FOR UPDATE OF b) line
""")


def _fits_still(session: Session, payment_id: int) -> bool:
    """Tell whether every bill of an order that has ended is free and owes its part; locks them."""
    return bool(session.execute(_FITS, {"payment_id": payment_id}).scalar_one())


def _book_bill(session: Session, row: CounterPayment, *, now: datetime) -> None:
    try:
        found = find_bill(session, parse_barcode(row.barcode))
    except NotFound:
        return
    waiting = waiting_for(session, found.bill, row.agent)
    if waiting is None:
        asked, reason = _fitting(session, found, row, now=now)
        if asked is None:
            _set_aside(session, row, found.ref, reason or "amount", now=now)
            return
        waiting = open_payment(session, asked, until=now, now=now)
    waiting.order_no = cash_order_no(row.agent, row.agent_txn_no)
    session.flush()
    _settle(session, row, waiting.id, now=now)


def _fitting(
    session: Session, found: Found, row: CounterPayment, *, now: datetime
) -> tuple[Quote | None, str | None]:
    """Return the quote that cash answers to whose bill nobody held for it, or why there is none."""
    reason: str | None = None
    for amount_fen in (None, row.amount_fen):
        asked, reason = asked_in_cash(session, found.ref, amount_fen, now=now)
        if asked is not None and asked.amount_fen == row.amount_fen:
            return asked, None
    if reason in {"being_paid", "paid", "cancelled"}:
        return None, reason
    # What a late fee has added since the cash was laid down is not due (rule 20); a correction is.
    printed_fen, bill = parse_barcode(row.barcode).amount_fen, found.bill
    earlier = billing_date(row.paid_at) < billing_date(now)
    added_fen = bill.open_fen - row.amount_fen
    if earlier and printed_fen == row.amount_fen and 0 <= added_fen <= bill.adjusted_fen:
        return _plainly(found.ref, row, now=now), None
    return None, "superseded" if found.superseded else "amount"


def _plainly(ref: BillRef, row: CounterPayment, *, now: datetime) -> Quote:
    """Return a quote of just the cash: no fee, no option."""
    chosen = {ref: Chosen(row.amount_fen, 0, 0, None)}
    return Quote(chosen, 0, 0, row.amount_fen, billing_date(row.paid_at), now)


def _reply(row: CounterPayment) -> GatewayReply:
    return GatewayReply(
        status=GatewayStatus.PAID, gateway_ref=agent_ref(row.agent, row.agent_txn_no),
        amount_fen=row.amount_fen, paid_at=row.paid_at,
    )  # fmt: skip


def _settle(session: Session, row: CounterPayment, payment_id: int, *, now: datetime) -> None:
    """Book cash to the payment that waits for it; another amount than it asks is suspended."""
    book_reply(session, payment_id, _reply(row), now=now)
    booked = _receipt_of(session, row) is None
    row.payment_id, row.reason = payment_id, None if booked else "amount"
    row.state = CashState.BOOKED if booked else CashState.SUSPENDED


def _set_aside(
    session: Session, row: CounterPayment, ref: BillRef, reason: str, *, now: datetime
) -> None:
    """Suspend cash that its bill does not take, under a payment that came to nothing."""
    asked = _plainly(ref, row, now=now)
    payment = new_payment(
        asked, None, next_no(session), gateway=CODE, mode=MODE, channel=CHANNEL, return_url="",
        now=now,
    )  # fmt: skip
    keep(session, payment, asked, now=now, hold=False)
    payment.order_no = cash_order_no(row.agent, row.agent_txn_no)
    session.flush()
    _suspend(session, row, payment.id, reason, now=now)
    give_up(session, payment.id, News.OTHER_AMOUNT, now=now)


def _suspend(
    session: Session, row: CounterPayment, payment_id: int, reason: str, *, now: datetime
) -> None:
    suspend(session, payment_id, _reply(row), reason=_WORDS.get(reason, _OTHER), now=now)
    row.payment_id, row.state, row.reason = payment_id, CashState.SUSPENDED, reason


def _receipt_of(session: Session, row: CounterPayment) -> Receipt | None:
    source_ref = agent_ref(row.agent, row.agent_txn_no)
    return session.exec(
        select(Receipt).where(Receipt.source == CODE, Receipt.source_ref == source_ref)
    ).one_or_none()


def get_cash(session: Session, agent: str, agent_txn_no: str) -> CounterPayment:
    """Return what an agent told of.

    Raises:
        NotFound: this agent told of no such payment.
    """
    row = session.get(CounterPayment, (agent, agent_txn_no))
    if row is None:
        raise NotFound("you told of no payment of this agent_txn_no", code="counter.no_payment")
    return row


def may_give_back(session: Session, row: CounterPayment, *, until: datetime, now: datetime) -> bool:
    """Tell whether an agent is to give cash back that is on no bill, and still can.

    Args:
        until: as for ``give_back``, which refuses it later: the city sends the money then.
    """
    if row.state is not CashState.SUSPENDED:
        return row.state is CashState.UNMATCHED
    receipt = _receipt_of(session, row)
    return now <= until and receipt is not None and receipt.state is ReceiptState.SUSPENDED


def give_back(
    session: Session, agent: str, agent_txn_no: str, *, until: datetime, now: datetime
) -> CounterPayment:
    """Note that an agent gives cash back that is on no bill; given back it stays so.

    Args:
        until: the last moment for it.

    Raises:
        NotFound: this agent told of no such payment.
        Conflict: a bill has taken the cash, or it is too late for the agent to give it back.
    """
    row = get_cash(session, agent, agent_txn_no)
    session.refresh(row, with_for_update=True)
    if row.state is CashState.RETURNED:
        return row
    if now > until:
        raise Conflict(
            "its day is over: the money goes back by bank transfer, send the payer to the city",
            code="counter.too_late",
        )
    receipt = _receipt_of(session, row)
    if row.state is CashState.UNMATCHED:
        raise Conflict(
            "no bill of ours was meant: give the cash back and leave it out of the day file",
            code="counter.no_bill",
        )
    if receipt is None:
        raise Conflict(
            "the bill has taken this cash, and its company is told: the payer asks the city for a"
            " refund",
            code="counter.booked",
        )
    if receipt.state is ReceiptState.RETURNED:
        raise Conflict(
            "the city has sent this money back by bank transfer: the cash stays with you",
            code="counter.sent_back",
        )
    book_returned(session, receipt.id, agent_ref(agent, agent_txn_no), now, now=now)
    row.state, row.returned_at, row.return_no = CashState.RETURNED, now, return_no(receipt)
    session.flush()
    return row
