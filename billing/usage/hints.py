"""Hints that a bill's usage is unusual, until somebody says that they know why."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.bills import BillRef, parse_ref
from billing.usage.unusual import MONTHS_BACK, Reading, Unusual, judge
from billing.views import BillState, BillView
from core.clock import add_months
from core.db import HotStatement

_HINTED_MONTHS = 4  # of an older bill nobody can do anything any more


class Hint(NamedTuple):
    """An unusual usage, and whether this person has put it aside."""

    bill: BillView
    odd: Unusual
    known: bool

    @property
    def leaks(self) -> bool:
        """Whether it looks like water that runs away."""
        return self.odd.rising and self.odd.unit == "m³"


_KNOWN = HotStatement("""
    SELECT k.account_id, k.bill_id FROM usage_known k
    WHERE k.person_id = :person_id AND (k.account_id, k.bill_id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
""")


def hints_of(
    session: Session, shown: Collection[BillView], *, person_id: int, today: date
) -> list[Hint]:
    """Return the hints about the newest bill of each account among some bills, by company.

    Judged by the bills that are shown alone, so that nobody learns what others used before them;
    and no query where nothing is unusual.
    """
    by_account: dict[int, list[BillView]] = {}
    for one in shown:
        if one.usage is not None and one.amount_fen >= 0 and one.state is not BillState.CANCELLED:
            by_account.setdefault(one.account.account_id, []).append(one)
    since = add_months(today, -_HINTED_MONTHS)
    judged = [_judge(own, since) for own in by_account.values()]
    unusual = {parse_ref(one.ref): (one, odd) for one, odd in filter(None, judged)}
    known = _known(session, unusual, person_id) if unusual else set()
    hints = [Hint(one, odd, ref in known) for ref, (one, odd) in unusual.items()]
    return sorted(hints, key=lambda one: (one.bill.account.provider_code, one.bill.ref))


def _judge(own: Sequence[BillView], since: date) -> tuple[BillView, Unusual] | None:
    """Judge an account's newest bill by the ones before; None: it is old, or not unusual."""
    newest = max(own, key=lambda one: (one.billing_month, one.ref))
    if newest.billing_month < since:
        return None
    months: dict[date, list[BillView]] = {}
    for one in own:
        if one.usage_unit == newest.usage_unit:
            months.setdefault(one.billing_month, []).append(one)
    readings = sorted(
        Reading(
            month,
            sum((one.usage for one in rows if one.usage is not None), Decimal()),
            max((one.period_to_on - one.period_from_on).days + 1 for one in rows),
        )
        for month, rows in months.items()
        if month >= add_months(newest.billing_month, -MONTHS_BACK)
    )
    odd = judge(readings[-1], readings[:-1], newest.usage_unit)
    return None if odd is None else (newest, odd)


def _known(session: Session, refs: Collection[BillRef], person_id: int) -> set[BillRef]:
    values = {
        "person_id": person_id,
        "account_ids": [ref[0] for ref in refs],
        "bill_ids": [ref[1] for ref in refs],
    }
    return {(account_id, bill_id) for account_id, bill_id in _KNOWN.rows(session, values)}


def put_aside(session: Session, ref: BillRef, *, person_id: int, now: datetime) -> None:
    """Note that somebody knows why a bill is as it is: once, however often they say so.

    The caller has made sure that they may see the bill.
    """
    session.execute(
        text(
            "INSERT INTO usage_known (account_id, bill_id, person_id, known_at)"
            " VALUES (:account_id, :bill_id, :person_id, :now) ON CONFLICT DO NOTHING"
        ),
        {"account_id": ref[0], "bill_id": ref[1], "person_id": person_id, "now": now},
    )


def bring_back(session: Session, ref: BillRef, *, person_id: int) -> None:
    """Show a hint again."""
    session.execute(
        text(
            "DELETE FROM usage_known WHERE account_id = :account_id AND bill_id = :bill_id"
            " AND person_id = :person_id"
        ),
        {"account_id": ref[0], "bill_id": ref[1], "person_id": person_id},
    )
