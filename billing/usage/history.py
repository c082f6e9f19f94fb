"""An account's usage and amounts month by month, as pages, charts and forecasts read them.

From the bills themselves, by ``billing.bills``: whoever may not see a bill sees nothing of its
usage. Usage is held in whole thousandths of its unit, the finest a bill says.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing import bills
from billing.homes.households import account_view
from billing.rows import AnyAccount
from billing.views import AccountView, BillState, BillView
from core.clock import add_months
from core.db import HotStatement
from providers.profiles import Service
from providers.registry import get_provider

_MOST_BILLS = 2_000  # of thirty accounts in two years, with room for corrections


# Nobody saw the meter: what the company wrote was reckoned.
_ESTIMATED = HotStatement("""
    SELECT r.account_id, r.bill_id
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                CAST(:versions AS smallint[])) AS w (account_id, bill_id, version)
    JOIN bill_reading r USING (account_id, bill_id, version)
    WHERE r.kind = 'estimated'
""")


class UsageMonth(NamedTuple):
    """What an account was billed in a month; ``milli`` is its usage in thousandths."""

    month: date
    days: int
    amount_fen: int
    milli: int | None
    estimated: bool = False  # nobody had seen the meter

    @property
    def milli_in_30_days(self) -> int | None:
        """Usage of thirty days, so that long and short bills compare."""
        return None if self.milli is None else (self.milli * 60 + self.days) // (2 * self.days)


class History(NamedTuple):
    """An account and its months, oldest first; ``unit`` is that of the newest metered bill.

    ``other_units``: of how many months the usage is left out, being stated in another unit.
    """

    account: AccountView
    service: Service
    unit: str
    months: tuple[UsageMonth, ...]
    bills: tuple[BillView, ...]  # newest first
    other_units: int

    @property
    def metered(self) -> tuple[UsageMonth, ...]:
        return tuple(one for one in self.months if one.milli is not None)


def histories(
    session: Session, accounts: Mapping[int, AnyAccount], *, today: date
) -> list[History]:
    """Return the history of each account, in the order of the companies and account numbers."""
    found: dict[int, list[BillView]] = {account_id: [] for account_id in accounts}
    shown = bills.list_bills(session, accounts, today=today, limit=_MOST_BILLS)
    estimated = _estimated(session, shown)
    for bill in shown:
        if bill.state is not BillState.CANCELLED:
            found[bill.account.account_id].append(bill)
    ordered = sorted(accounts.items(), key=lambda one: (one[1].provider_code, one[1].account_no))
    return [_history(account, found[account_id], estimated) for account_id, account in ordered]


def _estimated(session: Session, shown: Sequence[BillView]) -> frozenset[str]:
    """Return the references of those bills whose reading is an estimate."""
    refs = [bills.parse_ref(one.ref) for one in shown]
    values = {
        "account_ids": [account_id for account_id, _ in refs],
        "bill_ids": [bill_id for _, bill_id in refs],
        "versions": [one.version for one in shown],
    }
    return frozenset(map(bills.format_ref, _ESTIMATED.rows(session, values)))


def _history(account: AnyAccount, own: Sequence[BillView], estimated: Collection[str]) -> History:
    """Return an account's history from its bills, the newest first."""
    metered = [one for one in own if one.usage is not None and one.amount_fen >= 0]
    unit = metered[0].usage_unit if metered else ""
    by_month: dict[date, list[BillView]] = {}
    for one in reversed(own):
        by_month.setdefault(one.billing_month, []).append(one)
    months = tuple(
        _add_up(month, rows, unit, estimated) for month, rows in sorted(by_month.items())
    )
    other = {one.billing_month for one in metered if one.usage_unit != unit}
    return History(
        account_view(account), get_provider(account.provider_code).service, unit, months,
        tuple(own), len(other),
    )  # fmt: skip


def _add_up(
    month: date, rows: Sequence[BillView], unit: str, estimated: Collection[str]
) -> UsageMonth:
    """Add up a month's bills: two meters, or a credit and the bill that stands in for it."""
    days = max((one.period_to_on - one.period_from_on).days + 1 for one in rows)
    used = [
        int(one.usage.scaleb(3))
        for one in rows
        if one.usage is not None and one.usage_unit == unit and one.amount_fen >= 0
    ]
    amount_fen = sum(one.amount_fen for one in rows)
    guessed = any(one.ref in estimated for one in rows)
    return UsageMonth(month, days, amount_fen, sum(used) if used else None, guessed)


def year_on_year(
    values: Mapping[date, int], newest: date
) -> list[tuple[date, int | None, int | None]]:
    """Return the last twelve months, oldest first: this year's value and that of a year before.

    Months that have neither are left out: many companies bill every second one.
    """
    months = [add_months(newest, -back) for back in range(11, -1, -1)]
    rows = [(one, values.get(one), values.get(add_months(one, -12))) for one in months]
    return [one for one in rows if one[1] is not None or one[2] is not None]
