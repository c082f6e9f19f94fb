"""Reading bills: by household, by reference, and what state each is in today."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import and_, tuple_
from sqlmodel import Session, col, select

from billing.homes.households import account_view
from billing.homes.spans import bills_of, may_see
from billing.models import Bill, BillReminder, BillVersion
from billing.rows import COLUMNS, AnyAccount, BillRow
from billing.rules.apportionment import heads_paid
from billing.rules.calendars import pay_by
from billing.rules.terms import Head, Terms
from billing.terms import terms_of
from billing.views import AccountView, BillState, BillView
from core.clock import add_months
from core.db import HotStatement
from core.errors import NotFound
from core.keys import month_of, month_range
from providers.base import LineItem

DUE_SOON_DAYS = 7
_HOME_MONTHS = 3  # before this one: some companies bill every second month
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


def state_of(bill: Bill | BillRow, *, pay_by_on: date, today: date) -> BillState:
    """Tell what a bill is to the resident; it follows from amounts, dates and payments alone."""
    if bill.paid_elsewhere_at is not None:
        return BillState.PAID_ELSEWHERE
    if bill.cancelled_at is not None:
        return BillState.CANCELLED
    if bill.amount_fen < 0:
        return BillState.CREDIT if bill.open_fen else BillState.CREDIT_USED
    if bill.open_fen == 0:
        return _closed_state(bill)
    if bill.held_by is not None:
        return BillState.IN_PAYMENT
    if today > pay_by_on:
        return BillState.OVERDUE
    soon = (pay_by_on - today).days <= DUE_SOON_DAYS
    return BillState.DUE_SOON if soon else BillState.OPEN


def _closed_state(bill: Bill | BillRow) -> BillState:
    if bill.paid_fen == 0:
        return BillState.COVERED if bill.credited_fen else BillState.NOTHING_DUE
    return BillState.CONFIRMED if bill.written_off_fen == bill.paid_fen else BillState.PAID


def view(
    bill: Bill | BillRow, account: AnyAccount, *, terms: Terms, today: date,
    shown: AccountView | None = None,
) -> BillView:  # fmt: skip
    """Return a bill as pages, API and PDF show it.

    Args:
        terms: its company's, in force today.
        shown: the account, if it has been made to be shown already.
    """
    pay_by_on = pay_by(bill.due_on, terms.due)
    charge_fen = bill.amount_fen - bill.credited_fen
    heads = heads_paid(charge_fen, bill.adjusted_fen, bill.paid_fen, terms.apportion)
    return BillView(
        ref=format_ref((bill.account_id, bill.id)),
        account=shown or account_view(account),
        account_no=account.account_no,
        billing_month=bill.billing_month,
        bill_no=bill.bill_no,
        version=bill.version,
        period_from_on=bill.period_from_on,
        period_to_on=bill.period_to_on,
        issued_on=bill.issued_on,
        due_on=bill.due_on,
        pay_by_on=pay_by_on,
        usage=bill.usage,
        usage_unit=bill.usage_unit,
        items=tuple(
            LineItem(name, None if quantity is None else Decimal(quantity), unit, amount_fen)
            for name, quantity, unit, amount_fen in bill.items or ()
        ),
        amount_fen=bill.amount_fen,
        adjusted_fen=bill.adjusted_fen,
        credited_fen=bill.credited_fen,
        paid_fen=bill.paid_fen,
        paid_late_fee_fen=heads[Head.LATE_FEE],
        open_fen=bill.open_fen,
        state=state_of(bill, pay_by_on=pay_by_on, today=today),
        days_left=(pay_by_on - today).days,
    )


def views(
    session: Session,
    bills: Iterable[Bill | BillRow],
    accounts: Mapping[int, AnyAccount],
    *,
    today: date,
) -> list[BillView]:
    """Return bills of some accounts as pages show them, with one look at the companies' terms."""
    terms = terms_of(session, {one.provider_code for one in accounts.values()}, today)
    shown = {account_id: account_view(one) for account_id, one in accounts.items()}
    return [
        view(
            bill, accounts[bill.account_id], shown=shown[bill.account_id],
            terms=terms[accounts[bill.account_id].provider_code], today=today,
        )
        for bill in bills
    ]  # fmt: skip


def list_bills(
    session: Session,
    accounts: Mapping[int, AnyAccount],
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
    wanted = select(Bill).where(bills_of(accounts), col(Bill.id) >= first)
    if after is not None:
        key = tuple_(col(Bill.id), col(Bill.account_id))
        wanted = wanted.where(key < tuple_(after[1], after[0]))
    newest = wanted.order_by(col(Bill.id).desc(), col(Bill.account_id).desc()).limit(limit)
    found = session.exec(newest)
    return views(session, found, accounts, today=today)


_AT_HOME = HotStatement(f"""
    SELECT {COLUMNS.replace("items", "NULL")} FROM bill
    WHERE account_id = ANY(:account_ids) AND id >= :first
      AND (id >= :recent
           OR cancelled_at IS NULL
              AND (amount_fen + adjusted_fen - paid_fen - credited_fen <> 0
                   OR written_off_fen <> paid_fen))
    ORDER BY id DESC, account_id DESC
""")  # noqa: S608  names of columns


def list_at_home(
    session: Session, accounts: Mapping[int, AnyAccount], *, today: date
) -> list[BillView]:
    """Return what a home page shows, newest first: the last months, and what is older and not over.

    A list has no room for their items, so these have none: ``get_bill`` returns one with them.
    Not over: to be paid, a credit with something left, or paid and not confirmed by the company.
    """
    if not accounts:
        return []
    first, recent = (
        month_range(add_months(today, -back))[0] for back in (ONLINE_MONTHS, _HOME_MONTHS)
    )
    values = {"account_ids": list(accounts), "first": first, "recent": recent}
    found = [BillRow(*row) for row in _AT_HOME.rows(session, values)]
    return views(session, [one for one in found if may_see(accounts, one)], accounts, today=today)


def resolve_ref(session: Session, ref: BillRef) -> BillRef:
    """Return the bill a reference means: a reminder's is that of its bill (rule 11)."""
    if session.get(Bill, ref) is not None:
        return ref
    reminder = session.get(BillReminder, ref)
    return ref if reminder is None else (reminder.account_id, reminder.bill_id)


_MEANT = HotStatement("""
    SELECT r.account_id, r.id, r.bill_id FROM bill_reminder r
    WHERE (r.account_id, r.id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
      AND NOT EXISTS (SELECT FROM bill b WHERE (b.account_id, b.id) = (r.account_id, r.id))
""")


def resolve_refs(session: Session, refs: Sequence[BillRef]) -> dict[BillRef, BillRef]:
    """Return what ``resolve_ref`` does for each of several references, in one query."""
    values = {"account_ids": [ref[0] for ref in refs], "bill_ids": [ref[1] for ref in refs]}
    reminders = {
        (account_id, reminder_id): (account_id, bill_id)
        for account_id, reminder_id, bill_id in _MEANT.rows(session, values)
    }
    return {ref: reminders.get(ref, ref) for ref in refs}


_ONE = HotStatement(
    f"SELECT {COLUMNS} FROM bill WHERE account_id = :account_id AND id = :bill_id"  # noqa: S608
)


def _find(session: Session, ref: BillRef) -> BillRow | None:
    rows = _ONE.rows(session, {"account_id": ref[0], "bill_id": ref[1]})
    return BillRow(*rows[0]) if rows else None


def _get(session: Session, ref: BillRef, accounts: Mapping[int, AnyAccount]) -> BillRow:
    bill = None
    if ref[0] in accounts:
        bill = _find(session, ref) or _find(session, resolve_ref(session, ref))
    if bill is None or not may_see(accounts, bill):
        raise NotFound("there is no such bill")
    return bill


def get_bill(
    session: Session, ref: BillRef, accounts: Mapping[int, AnyAccount], *, today: date
) -> BillView:
    """Return one bill of one of ``accounts``, by its own reference or that of a reminder.

    Raises:
        NotFound: no such bill, or not one of theirs: the two are not told apart.
    """
    return views(session, [_get(session, ref, accounts)], accounts, today=today)[0]


def get_with_history(
    session: Session,
    ref: BillRef,
    accounts: Mapping[int, AnyAccount],
    *,
    today: date,
    limit: int,
) -> tuple[BillView, list[BillView]]:
    """Return what ``get_bill`` and ``list_history`` do, with one look at the company's terms.

    Raises:
        NotFound: as ``get_bill``.
    """
    bill = _get(session, ref, accounts)
    earlier = _history(session, (bill.account_id, bill.id), accounts, limit)
    shown, *history = views(session, [bill, *earlier], accounts, today=today)
    return shown, history


def list_versions(session: Session, ref: BillRef) -> list[BillVersion]:
    """Return what a bill said before its corrections, the newest first; nothing of what it says."""
    kept = and_(col(BillVersion.account_id) == Bill.account_id, col(BillVersion.id) == Bill.id)
    earlier = select(BillVersion).join(Bill, kept).where(BillVersion.version < Bill.version)
    own = earlier.where(BillVersion.account_id == ref[0], BillVersion.id == ref[1])
    return list(session.exec(own.order_by(col(BillVersion.version).desc())))


def list_reminders(session: Session, ref: BillRef) -> list[BillReminder]:
    """Return the reminders of a bill, the newest first."""
    sent = select(BillReminder).where(
        BillReminder.account_id == ref[0], BillReminder.bill_id == ref[1]
    )
    newest = sent.order_by(col(BillReminder.reminded_on).desc(), col(BillReminder.id))
    return list(session.exec(newest))


def list_history(
    session: Session,
    bill: BillView,
    accounts: Mapping[int, AnyAccount],
    *,
    today: date,
    limit: int = 13,
) -> list[BillView]:
    """Return an account's bills up to and with ``bill``, oldest first, to compare it with.

    Cancelled ones, credits and other bills of its own month say nothing of the month before: they
    are left out.
    """
    earlier = _history(session, parse_ref(bill.ref), accounts, limit)
    return views(session, earlier, accounts, today=today)


_HISTORY = HotStatement(f"""
    SELECT {COLUMNS} FROM bill
    WHERE account_id = :account_id AND id >= :first AND id < :after AND cancelled_at IS NULL
      AND (id = :bill_id OR billing_month < :month AND amount_fen >= 0)
    ORDER BY billing_month DESC, id
""")  # noqa: S608  names of columns


def _history(
    session: Session, ref: BillRef, accounts: Mapping[int, AnyAccount], limit: int
) -> list[BillRow]:
    month = month_of(ref[1])
    first, after = month_range(add_months(month, -ONLINE_MONTHS))[0], month_range(month)[1]
    values = {
        "account_id": ref[0], "bill_id": ref[1], "first": first, "after": after, "month": month,
    }  # fmt: skip
    found = [BillRow(*row) for row in _HISTORY.rows(session, values)]
    return [one for one in found if may_see(accounts, one)][:limit][::-1]
