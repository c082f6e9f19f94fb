"""What an agent is told before it takes cash, and the hold it gets: nobody else pays meanwhile."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session

from billing.bills import BillRef
from billing.documents.barcodes import parse_barcode
from billing.models import Bill
from core import outbox
from core.clock import billing_date
from core.errors import Conflict, Invalid, NotFound
from core.masking import mask_no
from payments.checkout import keep, new_payment, next_no
from payments.counter.codes import Found, find_bill
from payments.counter.models import CounterHold
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.gateways.counter import CODE, check_code, is_order_code, parse_order_code
from payments.models import Payment, find_payment_by_order, get_payment, lock_payment
from payments.quotes import Quote, Wanted, quote, standing
from payments.settlement import book_reply, give_up
from payments.states import PENDING, News, PaymentStatus

MODE, CHANNEL = "cash", "counter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the city lets an agent do; ``float_fen`` is of one day."""

    agent: str
    hold_minutes: int = 5
    days_after_due: int = 90
    most_fen: int | None = None
    float_fen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standpoint:
    """What a shop may know of a code it scanned: nothing of who lives where.

    ``reason`` is None when cash may be taken, and then the bill is held until ``held_until``; of a
    bill that is being paid otherwise, that is when it is free again.
    """

    reason: str | None = None
    amount_fen: int | None = None  # to take: fee and tax included
    fee_fen: int = 0
    company: str | None = None  # None: an order, which may be of several
    account_no_masked: str | None = None
    billing_month: date | None = None
    due_on: date | None = None
    held_until: datetime | None = None


def stand(session: Session, barcode: str, rules: Rules, *, now: datetime) -> Standpoint:
    """Tell whether cash may be taken for a code at this moment, and hold its bill for the agent.

    Asked again by the same agent, the hold stays the one it was.

    Raises:
        Invalid: neither a bill's barcode nor an order's code.
        NotFound: no bill or order of ours.
    """
    check_code(barcode)
    if is_order_code(barcode):
        return _order_standpoint(session, barcode, rules, now=now)
    found = find_bill(session, parse_barcode(barcode))
    bill = found.bill
    facts = Standpoint(
        company=found.account.provider_code, billing_month=bill.billing_month,
        account_no_masked=mask_no(found.account.account_no), due_on=bill.due_on,
    )  # fmt: skip
    waiting = waiting_for(session, bill, rules.agent)
    if waiting is not None:
        if now < waiting.expires_at:
            return _to_take(facts, waiting)
        give_up(session, waiting.id, News.CLOSED, now=now)
        session.refresh(bill)
    if bill.held_by is not None:
        holder = get_payment(session, bill.held_by)
        return replace(facts, reason="being_paid", held_until=holder.expires_at)
    reason = _standing_reason(found, rules, now=now)
    if reason is not None:
        return replace(facts, reason=reason)
    return _hold(session, facts, found.ref, rules, now=now)


def _to_take(facts: Standpoint, payment: Payment) -> Standpoint:
    return replace(
        facts, amount_fen=payment.amount_fen, fee_fen=payment.fee_fen + payment.fee_tax_fen,
        held_until=payment.expires_at,
    )  # fmt: skip


def waiting_for(session: Session, bill: Bill, agent: str) -> Payment | None:
    """Return the payment of a bill that waits for this agent's cash, locked."""
    hold = None if bill.held_by is None else session.get(CounterHold, bill.held_by)
    if hold is None or hold.agent != agent:
        return None
    payment = lock_payment(session, hold.payment_id)
    session.refresh(payment)
    return payment if payment.status in PENDING else None


def _standing_reason(found: Found, rules: Rules, *, now: datetime) -> str | None:
    bill = found.bill
    if bill.cancelled_at is not None:
        return "paid" if bill.paid_elsewhere_at is not None else "cancelled"
    if bill.open_fen <= 0:
        return "paid"
    if found.superseded:
        return "superseded"
    late = billing_date(now) > bill.due_on + timedelta(days=rules.days_after_due)
    return "too_late" if late else None


def _hold(
    session: Session, facts: Standpoint, ref: BillRef, rules: Rules, *, now: datetime
) -> Standpoint:
    """Make a payment that waits for this agent's cash, and hold the bill for it."""
    asked, reason = asked_in_cash(session, ref, None, now=now)
    if asked is not None:
        reason = _limit_reason(session, rules, asked.amount_fen, now=now)
    if asked is None or reason is not None:
        return replace(facts, reason=reason)
    payment = open_payment(
        session, asked, until=now + timedelta(minutes=rules.hold_minutes), now=now
    )
    session.add(CounterHold(payment_id=payment.id, agent=rules.agent))
    outbox.emit(session, "payment.created", payment.id, now=now)  # it is given up when it is over
    session.flush()
    return _to_take(facts, payment)


def asked_in_cash(
    session: Session, ref: BillRef, amount_fen: int | None, *, now: datetime
) -> tuple[Quote | None, str | None]:
    """Return what a bill asks for in cash, or why it does not; the bill is locked."""
    found, terms = standing(session, [ref], now=now, lock=True)
    if found[ref].held_by is not None:
        return None, "being_paid"
    if found[ref].open_fen <= 0:
        return None, "paid" if found[ref].facts.amount_fen else "cancelled"
    wanted = [Wanted(ref, None, None, amount_fen)]
    try:
        return quote(wanted, found, terms, mode=MODE, channel=CHANNEL, now=now), None
    except (Invalid, Conflict) as refused:
        return None, refused.code


_ONE_BY_ONE = text("SELECT pg_advisory_xact_lock(hashtextextended('float', hashtext(:agent)))")
# With what it has been told that it may take, and will tell of in a moment.
_TAKEN = text("""
    SELECT CAST(coalesce((
        SELECT sum(amount_fen) FROM counter_payment
        WHERE agent = :agent AND state <> 'returned'
          AND (paid_at AT TIME ZONE 'Asia/Shanghai')::date = :day AND paid_at > :since), 0)
    + coalesce((
        SELECT sum(p.amount_fen) FROM payment p JOIN counter_hold h ON h.payment_id = p.id
        WHERE p.status IN ('created', 'unknown', 'open') AND p.created_at > :since
          AND p.expires_at > :now AND h.agent = :agent), 0) AS bigint)
""")


def _limit_reason(session: Session, rules: Rules, amount_fen: int, *, now: datetime) -> str | None:
    if rules.most_fen is not None and amount_fen > rules.most_fen:
        return "agent.too_much"
    if rules.float_fen is None:
        return None
    values = {
        "agent": rules.agent, "day": billing_date(now), "now": now,
        "since": now - timedelta(days=1),
    }  # fmt: skip
    session.execute(_ONE_BY_ONE, {"agent": rules.agent})
    taken_fen = session.execute(_TAKEN, values).scalar_one()
    return "agent.float" if taken_fen + amount_fen > rules.float_fen else None


def open_payment(session: Session, asked: Quote, *, until: datetime, now: datetime) -> Payment:
    """Make a payment of nobody we know, and hold its bill."""
    payment = new_payment(
        asked, None, next_no(session), gateway=CODE, mode=MODE, channel=CHANNEL, return_url="",
        now=now,
    )  # fmt: skip
    payment.expires_at = until
    keep(session, payment, asked, now=now)
    book_reply(session, payment.id, GatewayReply(status=GatewayStatus.OPEN), now=now)
    return get_payment(session, payment.id)


def _order_standpoint(session: Session, barcode: str, rules: Rules, *, now: datetime) -> Standpoint:
    payment = order_of(session, barcode)
    if payment is None:
        raise NotFound("there is no order of this code", code="counter.no_bill")
    if payment.status is PaymentStatus.PAID:
        return Standpoint(reason="paid")
    if payment.status not in PENDING or now >= payment.expires_at:
        return Standpoint(reason="expired")
    reason = _limit_reason(session, rules, payment.amount_fen, now=now)
    return _to_take(Standpoint(reason=reason), payment)


def order_of(session: Session, code: str) -> Payment | None:
    payment = find_payment_by_order(session, parse_order_code(code))
    return None if payment is None or payment.gateway != CODE else payment
