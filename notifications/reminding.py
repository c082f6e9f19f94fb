"""Which bills are to be reminded of today: in three days, today, and 1, 7 and 30 days after.

The last day to pay is the company's due date rolled over days off by its terms; so the question is
turned round: which due dates have the last day that a reminder speaks of?
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session, col, func, select

from billing.homes.spans import SEEN
from billing.rules.calendars import pay_by
from billing.rules.terms import Terms
from billing.terms import terms_of
from core.clock import add_months, day_bounds, month_start
from core.db import HotStatement
from core.keys import month_range
from notifications.bill_notices import share_out
from notifications.models import News, ReminderDay
from notifications.still_so import COVERED
from providers.registry import provider_codes

# How many days after the last day to pay each is; and how many days a run that was missed is made
# up for: never so many that two of them meet.
STEPS: Mapping[News, int] = {
    News.SOON: -3, News.TODAY: 0, News.LATE_1: 1, News.LATE_7: 7, News.LATE_30: 30,
}  # fmt: skip
CATCH_UP_DAYS = 2
_ROLLS_DAYS = 35  # a due date lies at most so far from its last day to pay
_MONTHS_BACK, _MONTHS_AHEAD = 7, 13  # of billing months, around the due date
_DAY = timedelta(days=1)


class Wanted(NamedTuple):
    """Bills of a company due on a day, and what they are reminded of.

    ``known_by``: one that came later was told as new after its last day, and is not called late.
    """

    provider_code: str
    due_on: date
    news: News
    known_by: datetime


def wanted_on(
    today: date, terms: Mapping[str, Terms], *, missed: int, now: datetime
) -> Iterator[Wanted]:
    """Yield the due dates whose bills are to be reminded of today.

    Args:
        missed: days just before without a run; what they would have told is told today.
    """
    for news, after in STEPS.items():
        back = 0 if news is News.TODAY else min(missed, CATCH_UP_DAYS)
        last_days = {today - _DAY * (after + more) for more in range(back + 1)}
        around = [min(last_days) + _DAY * off for off in range(-_ROLLS_DAYS, _ROLLS_DAYS + back)]
        for code, own in terms.items():
            for due_on in around:
                last_on = pay_by(due_on, own.due)
                if last_on in last_days:
                    known_by = day_bounds(last_on)[1] if after > 0 else now
                    yield Wanted(code, due_on, news, known_by)


_CLAIM = HotStatement("""
    INSERT INTO reminder_day (day, bills, found_at) VALUES (:day, 0, :now)
    ON CONFLICT (day) DO NOTHING RETURNING day
""")

# By the days alone: the index reads the few places where such bills lie, whoever's they are.
FIND = HotStatement(f"""
    WITH wanted AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:codes AS text[]), CAST(:due_ons AS date[]),
                             CAST(:news AS text[]), CAST(:known_bys AS timestamptz[]))
                      AS w (provider_code, due_on, news, known_by)
    ), due AS MATERIALIZED (
        SELECT b.account_id, b.id, b.version, b.due_on, b.recorded_at, a.provider_code
        FROM bill b JOIN utility_account a ON a.id = b.account_id
        WHERE b.due_on = ANY(CAST(:days AS date[])) AND b.id >= :first_id AND b.id < :after_id
          AND b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen > 0
          AND b.cancelled_at IS NULL AND b.held_by IS NULL
          AND EXISTS (SELECT FROM household_account h WHERE h.account_id = b.account_id AND {SEEN})
    ), found AS (
        INSERT INTO bill_news (account_id, bill_id, version, news, found_at)
        SELECT b.account_id, b.id, b.version, w.news, :now
        FROM due b JOIN wanted w ON w.provider_code = b.provider_code AND w.due_on = b.due_on
        WHERE b.recorded_at <= w.known_by AND NOT {COVERED}
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM found
""")  # noqa: S608  our own text


def find_due(session: Session, *, today: date, now: datetime) -> int:
    """Find the bills to be reminded of today, once a day; returns how many."""
    before = session.exec(
        select(func.max(col(ReminderDay.day))).where(ReminderDay.day < today)
    ).one()
    if not _CLAIM.rows(session, {"day": today, "now": now}):
        return 0
    missed = 0 if before is None else (today - before).days - 1
    terms = terms_of(session, provider_codes(), today)
    wanted = list(wanted_on(today, terms, missed=missed, now=now))
    bills: int = FIND.rows(session, find_values(wanted, now=now))[0][0]
    session.get_one(ReminderDay, today).bills = bills
    return share_out(session, bills, now=now)


def find_values(wanted: list[Wanted], *, now: datetime) -> dict[str, object]:
    """Return what ``FIND`` is asked with."""
    codes, due_ons, news, known_bys = zip(*wanted, strict=True)
    first = add_months(month_start(min(due_ons)), -_MONTHS_BACK)
    last = add_months(month_start(max(due_ons)), _MONTHS_AHEAD)
    return {
        "codes": list(codes), "due_ons": list(due_ons), "news": list(news),
        "known_bys": list(known_bys), "days": sorted(set(due_ons)),
        "first_id": month_range(first)[0], "after_id": month_range(last)[1], "now": now,
    }  # fmt: skip
