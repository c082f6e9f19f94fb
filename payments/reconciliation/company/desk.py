"""Companies' lists of write-offs as staff look at them: which are here, and what a list says."""

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from core.errors import NotFound
from payments.reconciliation.company.models import (
    ConfirmationArrival,
    ConfirmationFile,
    ConfirmationReject,
)
from payments.reconciliation.gateway.arrivals import LATE_AFTER
from providers.base import ConfirmationKind

PAGE = 50


class DayState(StrEnum):
    """How a company's day stands."""

    WAITING = "waiting"
    LATE = "late"
    BALANCED = "balanced"
    BREAKS = "breaks"  # differences are open, or rows could not be read


class Wanted(NamedTuple):
    """Which days are looked for; what is none is not asked."""

    source: str | None = None
    state: DayState | None = None


class CompanyDay(NamedTuple):
    """A company's list of a day, here or not; of one that is not, all counts are zero."""

    source: str
    day: date
    state: DayState
    is_nothing: bool  # the company says that it wrote nothing off
    due_at: datetime
    asked_at: datetime | None
    answer: str | None
    matched: int
    awaited: int
    open_breaks: int
    rejected: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    run_at: datetime | None


_DAYS = text("""
    SELECT provider_code, day,
           CASE WHEN state <> 'waiting' THEN
                     CASE WHEN breaks + rejected > 0 THEN 'breaks' ELSE 'balanced' END
                WHEN due_at < :late_before THEN 'late' ELSE 'waiting' END,
           state = 'no_data', due_at, asked_at, answer, matched, awaited, breaks, rejected,
           our_count, rows, our_total_fen, sum_fen, run_at
    FROM (
        SELECT a.provider_code, a.day, a.state, a.due_at, a.asked_at, a.answer, a.run_at,
               coalesce(a.matched, 0) AS matched, coalesce(a.awaited, 0) AS awaited,
               coalesce(a.our_count, 0) AS our_count, coalesce(a.our_total_fen, 0) AS our_total_fen,
               coalesce(f.rows, 0) AS rows, coalesce(f.rejected, 0) AS rejected,
               coalesce(f.sum_fen, 0) AS sum_fen,
               (SELECT count(*) FROM reconciliation_break b
                WHERE b.leg = 'company' AND b.source = a.provider_code AND b.day = a.day
                  AND b.state = 'open') AS breaks
        FROM confirmation_arrival a
        LEFT JOIN confirmation_file f ON f.id = a.confirmation_file_id
        WHERE (CAST(:source AS text) IS NULL OR a.provider_code = :source)
          AND (CAST(:day AS date) IS NULL OR (a.day, a.provider_code) < (:day, :code))
    ) d
    WHERE CASE CAST(:state AS text)
               WHEN 'waiting' THEN state = 'waiting' AND due_at >= :late_before
               WHEN 'late' THEN state = 'waiting' AND due_at < :late_before
               WHEN 'balanced' THEN state <> 'waiting' AND breaks + rejected = 0
               WHEN 'breaks' THEN state <> 'waiting' AND breaks + rejected > 0
               ELSE true END
    ORDER BY day DESC, provider_code DESC
    LIMIT :limit
""")


def find_days(
    session: Session,
    wanted: Wanted,
    *,
    now: datetime,
    after: tuple[date, str] | None = None,
    limit: int = PAGE,
) -> list[CompanyDay]:
    """Return days, the newest first; ``after`` is the day and company a page ended with."""
    day, code = after or (None, None)
    values = {
        "source": wanted.source, "state": wanted.state, "day": day, "code": code, "limit": limit,
        "late_before": now - LATE_AFTER,
    }  # fmt: skip
    return [
        CompanyDay(source, on, DayState(state), *rest)
        for source, on, state, *rest in session.execute(_DAYS, values)
    ]


def every_day(session: Session, wanted: Wanted, *, now: datetime) -> Iterator[CompanyDay]:
    """Yield all that ``find_days`` finds, page by page."""
    after: tuple[date, str] | None = None
    while rows := find_days(session, wanted, now=now, after=after, limit=1_000):
        yield from rows
        after = (rows[-1].day, rows[-1].source)


def late_at(arrival: ConfirmationArrival) -> datetime:
    """Return from when on a list that is not here needs a person."""
    return arrival.due_at + LATE_AFTER


class KindSum(NamedTuple):
    """How many rows of a list are of one kind, and their sum; a reversal's is below zero."""

    kind: ConfirmationKind
    rows: int
    sum_fen: int


class CompanyList(NamedTuple):
    """What stands of a company's day: the list in force, by kinds, and the lists it replaced."""

    arrival: ConfirmationArrival
    file: ConfirmationFile | None  # none: it is not here
    kinds: list[KindSum]
    replaced: list[ConfirmationFile]


_KINDS = text("""
    SELECT kind, count(*), sum(amount_fen)::bigint FROM confirmation_row
    WHERE confirmation_file_id = :file_id GROUP BY kind ORDER BY kind DESC
""")


def get_list(session: Session, source: str, day: date) -> CompanyList:
    """Return what is known of a company's list of a day.

    Raises:
        NotFound: none is here and none is expected.
    """
    arrival = session.get(ConfirmationArrival, (source, day), populate_existing=True)
    if arrival is None:
        raise NotFound("no list of this day is here or expected")
    of_day = select(ConfirmationFile).where(
        ConfirmationFile.provider_code == source, ConfirmationFile.day == day
    )
    files = session.exec(of_day.order_by(col(ConfirmationFile.id).desc())).all()
    in_force = next((one for one in files if one.id == arrival.confirmation_file_id), None)
    rows = [] if in_force is None else session.execute(_KINDS, {"file_id": in_force.id}).all()
    return CompanyList(
        arrival, in_force, [KindSum(ConfirmationKind(kind), *rest) for kind, *rest in rows],
        [one for one in files if one is not in_force],
    )  # fmt: skip


def list_rejects(session: Session, source: str, day: date) -> list[ConfirmationReject]:
    """Return the first rows that nobody could read of the list of a day that is in force."""
    found = select(ConfirmationReject).join(
        ConfirmationArrival,
        col(ConfirmationArrival.confirmation_file_id)
        == col(ConfirmationReject.confirmation_file_id),
    )
    of_day = found.where(
        ConfirmationArrival.provider_code == source, ConfirmationArrival.day == day
    )
    return list(session.exec(of_day.order_by(col(ConfirmationReject.place))))
