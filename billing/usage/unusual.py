"""Usage far above what an account is used to, and water that seems to run away.

Bills cover different numbers of days, so it is the usage a day that is compared; a bill of two
months is not unusual for being long.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from statistics import median
from typing import NamedTuple

from sqlmodel import Session

from billing.bills import BillRef
from core.clock import add_months
from core.db import HotStatement
from core.keys import month_range

LEAST_BILLS = 4  # before these nobody knows what is usual
FAR_ABOVE = Decimal("1.5")
# What it must be above the usual: a home that used one cubic metre and now uses two is no news.
FLOORS: Mapping[str, Decimal] = {"m³": Decimal(5), "kWh": Decimal(50)}
MONTHS_BACK = 13
_MILLION = 10**6
_RISES = Decimal("1.1")
_LEAK_BILLS = 6


class Reading(NamedTuple):
    """A month's usage and the days it covers."""

    month: date
    usage: Decimal
    days: int

    @property
    def a_day(self) -> Decimal:
        """Return the usage a day, in millionths."""
        return self.usage * _MILLION // self.days


class Unusual(NamedTuple):
    """A usage far above the usual one of as many days.

    ``seasonal``: compared with the same time last year, else with the last four bills. ``rising``:
    the lowest usage of each two bills keeps rising, as it does when something leaks.
    """

    usage: Decimal
    usual: Decimal
    unit: str
    seasonal: bool
    rising: bool


def judge(now: Reading, earlier: Sequence[Reading], unit: str) -> Unusual | None:
    """Tell whether a usage is unusual for its account; None: it is not, or nobody can know.

    Args:
        earlier: the months before, in any order.
    """
    if unit not in FLOORS or len(earlier) < LEAST_BILLS or now.days <= 0:
        return None
    known = sorted(earlier)
    season = _season(now.month, known)
    a_day = median(one.a_day for one in season or known[-LEAST_BILLS:])
    usual = (a_day * now.days).scaleb(-6)
    if now.usage <= usual * FAR_ABOVE or now.usage - usual < FLOORS[unit]:
        return None
    tenth = usual.quantize(Decimal("0.1"), ROUND_HALF_UP)
    return Unusual(now.usage, tenth, unit, bool(season), _is_rising([*known, now]))


def _season(month: date, known: Sequence[Reading]) -> list[Reading]:
    """Return the readings of this time last year; nothing, if there are not two of them."""
    around = {add_months(month, -back) for back in (11, 12, 13)}
    found = [one for one in known if one.month in around]
    return found if len(found) > 1 else []


def _is_rising(known: Sequence[Reading]) -> bool:
    last = [one.a_day for one in known[-_LEAK_BILLS:]]
    if len(last) < _LEAK_BILLS:
        return False
    lows = [min(last[at : at + 2]) for at in range(0, _LEAK_BILLS, 2)]
    return lows[0] > 0 and all(lows[at + 1] >= lows[at] * _RISES for at in (0, 1))


# The account's own bills by their keys: a dozen looks for each bill, however many there are. What
# was used before somebody moved away is nobody's to know who came after, and says nothing of them.
_READINGS = HotStatement("""
    SELECT n.account_id, n.bill_id, b.billing_month, sum(b.usage), max(b.usage_unit),
           max(b.period_to_on - b.period_from_on) + 1
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                CAST(:first_ids AS bigint[]), CAST(:month_ids AS bigint[]),
                CAST(:after_ids AS bigint[]))
         AS n (account_id, bill_id, first_id, month_id, after_id)
    JOIN bill t ON t.account_id = n.account_id AND t.id = n.bill_id
    CROSS JOIN LATERAL (
        SELECT max(left_on) AS left_on FROM account_departure
        WHERE account_id = n.account_id AND left_on < t.period_to_on) d
    JOIN bill b ON b.account_id = n.account_id AND b.id >= n.first_id AND b.id < n.after_id
    WHERE b.usage IS NOT NULL AND b.cancelled_at IS NULL AND b.amount_fen >= 0
      AND (d.left_on IS NULL OR b.period_to_on > d.left_on)
      AND (b.id < n.month_id OR b.id = n.bill_id)
    GROUP BY n.account_id, n.bill_id, b.billing_month
""")


def unusual_usage(session: Session, bills: Mapping[BillRef, date]) -> dict[BillRef, Unusual]:
    """Return those of some bills, given with their months, whose usage is unusual."""
    months = [month_range(month) for month in bills.values()]
    values = {
        "account_ids": [account_id for account_id, _ in bills],
        "bill_ids": [bill_id for _, bill_id in bills],
        "first_ids": [month_range(add_months(month, -MONTHS_BACK))[0] for month in bills.values()],
        "month_ids": [first for first, _ in months],
        "after_ids": [after for _, after in months],
    }
    readings: dict[BillRef, list[Reading]] = {}
    units: dict[BillRef, str] = {}
    for account_id, bill_id, month, usage, unit, days in _READINGS.rows(session, values):
        ref = account_id, bill_id
        readings.setdefault(ref, []).append(Reading(month, usage, days))
        if month == bills[ref]:
            units[ref] = unit
    found = {}
    for ref, unit in units.items():
        *earlier, now = sorted(readings[ref])
        odd = judge(now, earlier, unit)
        if odd is not None:
            found[ref] = odd
    return found
