"""A household's calendar: when bills usually come, came, and are to be paid (rules 19 and 22).

What is known is a bill's own day. What is expected is reckoned from the cycle of its company and
from the day of the month on which the account's bills came before; it is never a promise.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from statistics import median_low
from typing import Any, Final

from sqlalchemy import or_
from sqlmodel import Session, col, select

from billing.bills import views
from billing.cycles import is_billed, list_missing
from billing.homes.households import account_view
from billing.homes.spans import Span, bills_of, spans_of
from billing.models import Bill
from billing.rows import AnyAccount
from billing.rules.terms import Cycle, Due
from billing.terms import terms_of
from billing.views import AccountView, BillState
from core.clock import add_months
from core.db import HotStatement
from core.keys import month_range

_BACK: Final = 13  # billing months before the calendar's, of which a bill may still be due
_AHEAD: Final = 13  # and after them, billed before they begin
_ROLLS: Final = timedelta(days=31)  # a last day to pay is no farther from what is printed
_A_MONTH: Final = timedelta(days=31)
_LOOKED_AT: Final = 6  # bills, for the day on which they usually come
_VOID: Final = {BillState.CANCELLED, BillState.PAID_ELSEWHERE}


class Kind(StrEnum):
    """What falls on a day; debits and payments are known to the payments' room."""

    DUE = "due"
    DEBIT = "debit"  # autopay takes it
    MISSING = "missing"  # it should have come by then
    ISSUED = "issued"
    EXPECTED = "expected"  # it usually comes about then
    PAID = "paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing on one day. ``amount_fen`` None: nobody knows it yet."""

    on: date
    kind: Kind
    account: AccountView
    billing_month: date
    bill_ref: str | None = None
    amount_fen: int | None = None
    printed_on: date | None = None  # of a due day that was moved: what the company printed
    settled: bool = False  # nothing is to be done about it any more


def bill_entries(
    session: Session,
    accounts: Mapping[int, AnyAccount],
    first_on: date,
    last_on: date,
    *,
    today: date,
) -> list[Entry]:
    """Return what of bills falls on the days from ``first_on`` to ``last_on``, in no order."""
    if not accounts:
        return []
    spans = spans_of(accounts)
    lived_in = {
        account_id: account
        for account_id, account in accounts.items()
        if any(span.left_on is None for span in spans.get(account_id, [Span()]))
    }
    return [
        one
        for one in (
            *_known(session, accounts, first_on, last_on, today=today),
            *_missing(session, lived_in),
            *_expected(session, lived_in, last_on, today=today),
        )
        if first_on <= one.on <= last_on
    ]


def _known(
    session: Session,
    accounts: Mapping[int, AnyAccount],
    first_on: date,
    last_on: date,
    *,
    today: date,
) -> Iterator[Entry]:
    """Yield the days of bills that are here."""
    found = session.exec(
        select(Bill)
        .where(bills_of(accounts))
        .where(col(Bill.id) >= month_range(add_months(first_on, -_BACK))[0])
        .where(col(Bill.id) < month_range(add_months(last_on, _AHEAD))[1])
        .where(
            or_(
                col(Bill.issued_on).between(first_on, last_on),
                col(Bill.due_on).between(first_on - _ROLLS, last_on + _ROLLS),
            )
        )
        .order_by(col(Bill.account_id), col(Bill.id))
    )
    for bill in views(session, found, accounts, today=today):
        if bill.state in _VOID:
            continue
        shared: dict[str, Any] = {
            "account": bill.account, "billing_month": bill.billing_month, "bill_ref": bill.ref,
            "settled": not bill.state.payable,
        }  # fmt: skip
        yield Entry(on=bill.issued_on, kind=Kind.ISSUED, amount_fen=bill.amount_fen, **shared)
        if bill.amount_fen > 0:
            moved = bill.due_on if bill.due_on != bill.pay_by_on else None
            left_fen = bill.open_fen or bill.amount_fen + bill.adjusted_fen
            yield Entry(
                on=bill.pay_by_on, kind=Kind.DUE, amount_fen=left_fen, printed_on=moved, **shared
            )


def _missing(session: Session, accounts: Mapping[int, AnyAccount]) -> Iterator[Entry]:
    for one in list_missing(session, accounts):
        yield Entry(
            on=one.expected_by_on,
            kind=Kind.MISSING,
            account=account_view(accounts[one.account_id]),
            billing_month=one.billing_month,
        )


# When the bills of each month came, the newest month first.
_CAME = HotStatement("""
    SELECT b.account_id, b.billing_month, min(b.issued_on) FROM bill b
    WHERE b.account_id = ANY(:account_ids) AND b.id >= :first_id
    GROUP BY 1, 2 ORDER BY 1, 2 DESC
""")


def _expected(
    session: Session, accounts: Mapping[int, AnyAccount], last_on: date, *, today: date
) -> Iterator[Entry]:
    """Yield when the bills that are still to come usually would; of the past nothing is."""
    terms = terms_of(session, {one.provider_code for one in accounts.values()}, today)
    came: dict[int, list[tuple[date, date]]] = defaultdict(list)
    first_id = month_range(add_months(today, -2 * _BACK))[0]
    values = {"account_ids": list(accounts), "first_id": first_id}
    for account_id, month, issued_on in _CAME.rows(session, values):
        came[account_id].append((month, issued_on))
    for account_id, bills in came.items():
        account = accounts[account_id]
        cycle = terms[account.provider_code].cycle
        for month, on in usual_days(cycle, bills, last_on, today=today):
            yield Entry(
                on=on, kind=Kind.EXPECTED, account=account_view(account), billing_month=month
            )


def usual_days(
    cycle: Cycle, came: list[tuple[date, date]], last_on: date, *, today: date
) -> Iterator[tuple[date, date]]:
    """Yield the billing months whose bills are to come until ``last_on``, and about when.

    Args:
        came: billing month and day of issue of the bills before, the newest first. When two
            are late by a month, the account is taken to have ended: nothing is expected of it.
    """
    lag = median_low((issued_on - month).days for month, issued_on in came[:_LOOKED_AT])
    late = 0
    month = add_months(came[0][0], 1)
    while month + timedelta(days=lag) <= last_on:
        if is_billed(cycle, month):
            usual_on = month + timedelta(days=lag)
            late += usual_on < today - _A_MONTH
            if late > 1:
                return
            if usual_on >= today:
                yield month, usual_on
        month = add_months(month, 1)


def days_off_calendar(session: Session, accounts: Mapping[int, AnyAccount], *, today: date) -> str:
    """Return whose days off are marked: of the calendars of the companies' terms the commonest."""
    terms = terms_of(session, {one.provider_code for one in accounts.values()}, today)
    names = [one.due.calendar for one in terms.values()] or [Due().calendar]
    return min(set(names), key=lambda name: (-names.count(name), name))
