"""A household's calendar with what payments add: days on which autopay takes money, days paid."""

from collections.abc import Iterator, Mapping
from datetime import date

from sqlmodel import Session, col, select

from billing import calendar
from billing.bills import format_ref
from billing.calendar import Entry, Kind
from billing.finding import OF_SPANS, span_values
from billing.homes.households import account_view
from billing.homes.spans import bills_of
from billing.models import Bill
from billing.rows import AnyAccount
from core.clock import add_months, billing_date, day_bounds
from core.db import HotStatement
from core.keys import month_of, month_range
from payments.autopay.models import AutopayRun
from payments.autopay.states import RunState

_AHEAD = (RunState.PLANNED, RunState.ANNOUNCED, RunState.DEBITING, RunState.RETRY)
_ORDER = {kind: at for at, kind in enumerate(Kind)}
_ONLINE_MONTHS = 25


def list_entries(
    session: Session,
    accounts: Mapping[int, AnyAccount],
    first_on: date,
    last_on: date,
    *,
    today: date,
) -> list[Entry]:
    """Return all that falls on the days from ``first_on`` to ``last_on``, in their order."""
    if not accounts:
        return []
    found = [
        *calendar.bill_entries(session, accounts, first_on, last_on, today=today),
        *_debits(session, accounts, first_on, last_on),
        *_paid(session, accounts, first_on, last_on),
    ]
    return sorted(
        found, key=lambda one: (one.on, _ORDER[one.kind], one.account.account_id, one.billing_month)
    )


def _debits(
    session: Session, accounts: Mapping[int, AnyAccount], first_on: date, last_on: date
) -> Iterator[Entry]:
    """Yield what is to be debited; what was planned only may still move, and has no amount yet."""
    runs = session.exec(
        select(AutopayRun)
        .join(
            Bill,
            (col(Bill.account_id) == col(AutopayRun.account_id))
            & (col(Bill.id) == col(AutopayRun.bill_id)),
        )
        .where(bills_of(accounts), col(AutopayRun.state).in_(_AHEAD))
        .where(col(AutopayRun.debit_on).between(first_on, last_on))
        .order_by(col(AutopayRun.id))
    )
    for run in runs:
        yield Entry(
            on=run.debit_on, kind=Kind.DEBIT, account=account_view(accounts[run.account_id]),
            billing_month=month_of(run.bill_id), amount_fen=run.amount_fen,
            bill_ref=format_ref((run.account_id, run.bill_id)),
        )  # fmt: skip


_PAID = HotStatement(f"""
    SELECT i.account_id, i.bill_id, i.amount_fen, p.paid_at
    FROM payment_item i
    JOIN payment p ON p.id = i.payment_id
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    WHERE {OF_SPANS} AND i.account_id = ANY(:account_ids) AND i.bill_id >= :first_id
      AND i.outcome IN ('paid', 'written_off') AND p.paid_at >= :start AND p.paid_at < :end
    ORDER BY p.paid_at, i.write_off_no
""")  # noqa: S608  our own text


def _paid(
    session: Session, accounts: Mapping[int, AnyAccount], first_on: date, last_on: date
) -> Iterator[Entry]:
    values = span_values(accounts) | {
        "account_ids": list(accounts),
        "first_id": month_range(add_months(first_on, -_ONLINE_MONTHS))[0],
        "start": day_bounds(first_on)[0],
        "end": day_bounds(last_on)[1],
    }
    for account_id, bill_id, amount_fen, paid_at in _PAID.rows(session, values):
        yield Entry(
            on=billing_date(paid_at), kind=Kind.PAID, account=account_view(accounts[account_id]),
            billing_month=month_of(bill_id), amount_fen=amount_fen, settled=True,
            bill_ref=format_ref((account_id, bill_id)),
        )  # fmt: skip
