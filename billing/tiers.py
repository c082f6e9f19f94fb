"""Where an account stands among its company's steps: the usage of its year, summed where it lies.

A bill counts in the year of its billing month. What a credit takes back of usage comes off it.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session

from billing.bills import BillRef, parse_ref
from billing.rules.tiers import Tiers, TierStand, stand
from billing.views import BillView
from core.clock import add_months
from core.db import HotStatement
from core.keys import month_range

_LONGEST_CYCLE = 3  # months: a year's first bill may begin as much later, or the last before it


class YearStand(NamedTuple):
    """A stand among the steps, and the year it is counted in.

    ``counted_from``: no bill of the year's earlier months is here, so what they used is not known.
    """

    stand: TierStand
    year_from: date
    year_until: date  # the first month of the next
    counted_from: date | None


# The account's own bills by their keys, which begin with the account and the month: a dozen each.
_USED = HotStatement("""
    SELECT n.account_id, n.bill_id,
           coalesce(sum(CASE WHEN b.amount_fen < 0 THEN -abs(b.usage) ELSE b.usage END)
                    FILTER (WHERE b.id >= n.first_id), 0),
           min(b.period_from_on) FILTER (WHERE b.id >= n.first_id),
           bool_or(b.id < n.first_id)
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                CAST(:since_ids AS bigint[]), CAST(:first_ids AS bigint[]),
                CAST(:after_ids AS bigint[]), CAST(:months AS date[]))
         AS n (account_id, bill_id, since_id, first_id, after_id, month)
    JOIN bill b ON b.account_id = n.account_id AND b.id >= n.since_id AND b.id < n.after_id
    WHERE (b.billing_month, b.id) < (n.month, n.bill_id)
      AND b.usage IS NOT NULL AND b.usage_unit = :unit AND b.cancelled_at IS NULL
    GROUP BY n.account_id, n.bill_id
""")


def year_of(month: date, from_month: int) -> date:
    """Return the first month of the tier year a billing month lies in."""
    return date(month.year - (month.month < from_month), from_month, 1)


def tier_stands(
    session: Session, shown: Sequence[BillView], tiers: Tiers | None
) -> dict[BillRef, YearStand]:
    """Return where accounts stand after bills of one company; bills without steps are not in it."""
    counted = {
        parse_ref(bill.ref): bill
        for bill in shown
        if tiers and bill.usage is not None and bill.usage_unit == tiers.unit
        and bill.amount_fen >= 0
    }  # fmt: skip
    if tiers is None or not counted:
        return {}
    months = [bill.billing_month for bill in counted.values()]
    firsts = [year_of(month, tiers.year_from_month) for month in months]
    values = {
        "account_ids": [account_id for account_id, _ in counted],
        "bill_ids": [bill_id for _, bill_id in counted],
        "since_ids": [month_range(add_months(first, -_LONGEST_CYCLE))[0] for first in firsts],
        "first_ids": [month_range(first)[0] for first in firsts],
        "after_ids": [month_range(month)[1] for month in months],
        "months": months,
        "unit": tiers.unit,
    }
    used = {
        (account_id, bill_id): (before, since_on, had_before)
        for account_id, bill_id, before, since_on, had_before in _USED.rows(session, values)
    }
    nothing = (Decimal(0), None, False)
    return {
        ref: _stand(tiers, bill, first, *used.get(ref, nothing))
        for (ref, bill), first in zip(counted.items(), firsts, strict=True)
    }


def _stand(
    tiers: Tiers, bill: BillView, first: date, before: Decimal, since_on: date | None,
    had_before: bool,
) -> YearStand:  # fmt: skip
    assert bill.usage is not None
    begins_on = min(since_on or bill.period_from_on, bill.period_from_on)
    whole = had_before or begins_on < add_months(first, 1)
    return YearStand(
        stand(tiers, max(before, Decimal(0)), max(bill.usage, Decimal(0))),
        first,
        add_months(first, 12),
        None if whole else begins_on,
    )
