"""Gateways' days as the console lists them: compared, and those whose file is not here yet."""

from collections.abc import Collection, Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from payments.figures import unreconciled

PAGE = 50


class DayState(StrEnum):
    BALANCED = "balanced"
    BREAKS = "breaks"  # differences are open
    NOT_YET = "not_yet"  # money was taken, and the file is not here: that is no error (rule 48)


class Wanted(NamedTuple):
    """Which days; what is None does not matter."""

    source: str | None = None
    state: DayState | None = None
    first_on: date | None = None
    last_on: date | None = None


class Place(NamedTuple):
    """Where a list goes on: after this source of this day."""

    day: date
    source: str


class GatewayDay(NamedTuple):
    """A day of one gateway; of one whose file is not here all figures are zero."""

    source: str
    day: date
    state: DayState
    matched: int = 0
    breaks: int = 0
    our_total_fen: int = 0
    their_total_fen: int = 0
    fee_total_fen: int = 0
    run_at: datetime | None = None

    @property
    def place(self) -> Place:
        return Place(self.day, self.source)


# The differences of a day are counted for the days of the page alone.
_COMPARED = text("""
    SELECT r.source, r.day, CASE WHEN b.breaks = 0 THEN 'balanced' ELSE 'breaks' END,
           r.matched + r.matched_elsewhere, b.breaks, r.our_total_fen, r.their_total_fen,
           r.fee_total_fen, r.run_at
    FROM reconciliation r
    CROSS JOIN LATERAL (
        SELECT count(*) AS breaks FROM reconciliation_break b
        WHERE b.leg = 'gateway' AND b.source = r.source AND b.day = r.day AND b.state = 'open'
          AND b.kind <> 'late') b
    WHERE (CAST(:source AS text) IS NULL OR r.source = :source)
      AND (CAST(:state AS text) IS NULL OR (b.breaks = 0) = (:state = 'balanced'))
      AND r.day BETWEEN :first_on AND :last_on
      AND r.day <= :after_day AND (r.day < :after_day OR r.source > :after_source)
    ORDER BY r.day DESC, r.source LIMIT :limit
""")


def list_days(
    session: Session,
    wanted: Wanted,
    *,
    gateways: Collection[str],
    today: date,
    after: Place | None = None,
    limit: int = PAGE,
) -> list[GatewayDay]:
    """Return days, the newest first.

    Args:
        gateways: whose days before ``today`` are to be compared.
        after: the last one of the page before.
    """
    found: list[GatewayDay] = []
    if wanted.state is not DayState.NOT_YET:
        found += _compared(session, wanted, after=after, limit=limit)
    if wanted.state in {None, DayState.NOT_YET}:
        missing = unreconciled(session, gateways=gateways, today=today)
        days = (GatewayDay(source, day, DayState.NOT_YET) for source, day in missing)
        found += [one for one in days if _is_wanted(one, wanted) and _follows(one, after)]
    return sorted(found, key=lambda one: (-one.day.toordinal(), one.source))[:limit]


def every_day(
    session: Session, wanted: Wanted, *, gateways: Collection[str], today: date
) -> Iterator[GatewayDay]:
    """Yield all of them, the newest first."""
    after: Place | None = None
    while days := list_days(
        session, wanted, gateways=gateways, today=today, after=after, limit=1_000
    ):
        yield from days
        after = days[-1].place


def _compared(
    session: Session, wanted: Wanted, *, after: Place | None, limit: int
) -> Iterator[GatewayDay]:
    place = after or Place(date.max, "")
    values = {
        "source": wanted.source, "state": wanted.state, "first_on": wanted.first_on or date.min,
        "last_on": wanted.last_on or date.max, "after_day": place.day,
        "after_source": place.source, "limit": limit,
    }  # fmt: skip
    for source, day, state, *figures in session.execute(_COMPARED, values):
        yield GatewayDay(source, day, DayState(state), *figures)


def _is_wanted(one: GatewayDay, wanted: Wanted) -> bool:
    first_on, last_on = wanted.first_on or date.min, wanted.last_on or date.max
    return wanted.source in {None, one.source} and first_on <= one.day <= last_on


def _follows(one: GatewayDay, after: Place | None) -> bool:
    if after is None:
        return True
    return one.day < after.day or (one.day == after.day and one.source > after.source)
