"""Reading bills: by household, by reference, and what state each is in today."""

from datetime import date
from decimal import Decimal

from sqlalchemy import tuple_
from sqlmodel import Session, col, select

from billing.households import account_view
from billing.models import Bill, UtilityAccount
from billing.views import BillState, BillView
from core.clock import add_months
from core.errors import NotFound
from core.keys import month_range
from providers.base import LineItem

DUE_SOON_DAYS = 7
ONLINE_MONTHS = 24
BillRef = tuple[int, int]  # (account id, bill id)


def format_ref(ref: BillRef) -> str:
    """Return a bill's public name: it carries the account and, inside the id, the month."""
    return f"{ref[0]}.{ref[1]}"


def parse_ref(text: str) -> BillRef:
    """Read a bill's public name.

    Raises:
        NotFound: not the name of a bill: whoever guesses learns nothing more.
    """
    account_id, dot, bill_id = text.partition(".")
    numbers = account_id.isascii() and account_id.isdecimal() and bill_id.isascii()
    if not (dot and numbers and bill_id.isdecimal() and len(text) <= 40):
        raise NotFound("there is no such bill")
    ref = int(account_id), int(bill_id)
    if max(ref) >= 1 << 63:
        raise NotFound("there is no such bill")
    return ref


def state_of(bill: Bill, *, today: date) -> BillState:
    """Tell what a bill is to the resident; it follows from amounts, dates and payments alone."""
    if bill.cancelled_at is not None:
        return BillState.CANCELLED
    if bill.amount_fen < 0:
        return BillState.CREDIT
    if bill.amount_fen == 0:
        return BillState.NOTHING_DUE
    if bill.paid_fen == bill.amount_fen:
        confirmed = bill.written_off_fen == bill.amount_fen
        return BillState.CONFIRMED if confirmed else BillState.PAID
    if bill.held_by is not None:
        return BillState.IN_PAYMENT
    if today > bill.due_on:
        return BillState.OVERDUE
    soon = (bill.due_on - today).days <= DUE_SOON_DAYS
    return BillState.DUE_SOON if soon else BillState.OPEN


def view(bill: Bill, account: UtilityAccount, *, today: date) -> BillView:
    """Return a bill as pages, API and PDF show it."""
    state = state_of(bill, today=today)
    owed = state not in {BillState.CANCELLED, BillState.CREDIT}
    return BillView(
        ref=format_ref((bill.account_id, bill.id)),
        account=account_view(account),
        account_no=account.account_no,
        billing_month=bill.billing_month,
        bill_no=bill.bill_no,
        version=bill.version,
        period_from_on=bill.period_from_on,
        period_to_on=bill.period_to_on,
        issued_on=bill.issued_on,
        due_on=bill.due_on,
        usage=bill.usage,
        usage_unit=bill.usage_unit,
        items=tuple(
            LineItem(name, None if quantity is None else Decimal(quantity), unit, amount_fen)
            for name, quantity, unit, amount_fen in bill.items
        ),
        amount_fen=bill.amount_fen,
        open_fen=bill.amount_fen - bill.paid_fen if owed else 0,
        state=state,
        days_left=(bill.due_on - today).days,
    )


def list_bills(
    session: Session,
    accounts: dict[int, UtilityAccount],
    *,
    today: date,
    months: int = ONLINE_MONTHS,
    limit: int = 200,
    after: BillRef | None = None,
) -> list[BillView]:
    """Return the bills of some accounts, newest month first, going on after ``after``."""
    if not accounts:
        return []
    first, _ = month_range(add_months(today, -months))
    wanted = select(Bill).where(col(Bill.account_id).in_(accounts), col(Bill.id) >= first)
    if after is not None:
        key = tuple_(col(Bill.id), col(Bill.account_id))
        wanted = wanted.where(key < tuple_(after[1], after[0]))
    newest = wanted.order_by(col(Bill.id).desc(), col(Bill.account_id).desc()).limit(limit)
    return [view(bill, accounts[bill.account_id], today=today) for bill in session.exec(newest)]


def get_bill(
    session: Session, ref: BillRef, accounts: dict[int, UtilityAccount], *, today: date
) -> BillView:
    """Return one bill of one of ``accounts``.

    Raises:
        NotFound: no such bill, or not one of theirs: the two are not told apart.
    """
    bill = session.get(Bill, ref) if ref[0] in accounts else None
    if bill is None:
        raise NotFound("there is no such bill")
    return view(bill, accounts[bill.account_id], today=today)


def list_history(
    session: Session, bill: BillView, account: UtilityAccount, *, today: date, limit: int = 13
) -> list[BillView]:
    """Return an account's bills up to and with ``bill``, oldest first, cancelled ones left out."""
    _, after = month_range(bill.billing_month)
    first, _ = month_range(add_months(bill.billing_month, -ONLINE_MONTHS))
    found = session.exec(
        select(Bill)
        .where(Bill.account_id == account.id, col(Bill.id) >= first, col(Bill.id) < after)
        .where(col(Bill.cancelled_at).is_(None))
        .order_by(col(Bill.billing_month).desc(), col(Bill.id))
        .limit(limit)
    ).all()
    return [view(one, account, today=today) for one in reversed(found)]
