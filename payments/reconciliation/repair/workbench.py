"""Differences as staff work through them: found by what they are, counted by age, owned."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, func, text, tuple_
from sqlmodel import Session, col, select

from core.clock import billing_date, day_bounds
from core.errors import Conflict, Invalid
from identity.duties import Duty, duties_of
from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak
from payments.reconciliation.repair.deciding import get_break, lock_break
from payments.reconciliation.repair.models import BY_TWO, CLOSING, BreakAct

PAGE = 50
_B = ReconciliationBreak


class Age(StrEnum):
    """How long ago a difference was found, in Shanghai days."""

    TODAY = "today"
    DAYS = "days"  # one to three
    OLDER = "older"


_YOUNG_DAYS = 3
MOST = 10_000  # at a glance nobody needs to know how many more
# Of acts: those that wait for a second person.
WAITS = (
    col(BreakAct.act).in_(CLOSING | BY_TWO), col(BreakAct.done_at).is_(None),
    col(BreakAct.declined_at).is_(None),
)  # fmt: skip
_PROPOSED = exists().where(col(BreakAct.break_id) == col(_B.id), *WAITS)


class Filter(NamedTuple):
    """Which differences are looked for; what is none is not asked."""

    leg: Leg | None = None
    source: str | None = None
    kind: BreakKind | None = None
    state: BreakState | None = BreakState.OPEN
    owner_id: int | None = None
    age: Age | None = None
    proposed: bool = False  # only what waits for a second person


class Counted(NamedTuple):
    """How many of one kind are open, by age."""

    kind: BreakKind
    today: int
    days: int
    older: int

    @property
    def all(self) -> int:
        return self.today + self.days + self.older

    @property
    def or_more(self) -> bool:
        """Tell whether counting at a glance ended before the last of them."""
        return max(self.today, self.days, self.older) >= MOST


def find_breaks(
    session: Session, wanted: Filter, *, now: datetime, after: int | None = None, limit: int = PAGE
) -> list[ReconciliationBreak]:
    """Return differences, the longest due first; ``after`` is the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    order = (col(_B.due_at), col(_B.id))
    found = select(_B).where(*_asked(wanted, now)).order_by(*order).limit(limit)
    if after is not None:
        last = get_break(session, after)
        found = found.where(tuple_(*order) > (last.due_at, last.id))
    return list(session.exec(found))


def every_break(session: Session, wanted: Filter, *, now: datetime) -> Iterator[_B]:
    """Yield all that ``find_breaks`` finds, page by page."""
    after: int | None = None
    while rows := find_breaks(session, wanted, now=now, after=after, limit=1_000):
        yield from rows
        after = rows[-1].id
        session.expunge_all()


def _asked(wanted: Filter, now: datetime) -> list[ColumnElement[bool]]:
    named: Sequence[tuple[Any, object]] = (
        (_B.leg, wanted.leg), (_B.source, wanted.source), (_B.kind, wanted.kind),
        (_B.state, wanted.state), (_B.owner_id, wanted.owner_id),
    )  # fmt: skip
    asked = [col(column) == value for column, value in named if value is not None]
    if wanted.age is not None:
        asked.append(_of_age(wanted.age, now))
    if wanted.proposed:
        asked.append(_PROPOSED)
    return asked


def _of_age(age: Age, now: datetime) -> ColumnElement[bool]:
    (today, young), found_at = _borders(now), col(_B.found_at)
    match age:
        case Age.TODAY:
            return found_at >= today
        case Age.DAYS:
            return (found_at >= young) & (found_at < today)
        case Age.OLDER:
            return found_at < young


def _borders(now: datetime) -> tuple[datetime, datetime]:
    """Return since when a difference is found today, and since when it is not old yet."""
    today = billing_date(now)
    return day_bounds(today)[0], day_bounds(today - timedelta(days=_YOUNG_DAYS))[0]


def age_of(found: ReconciliationBreak, *, now: datetime) -> int:
    """Return for how many Shanghai days a difference has been known."""
    return (billing_date(now) - billing_date(found.found_at)).days


def count_open(session: Session, wanted: Filter, *, now: datetime) -> list[Counted]:
    """Count what is open by kind and age, whatever kind, state and age are looked for."""
    open_ = wanted._replace(kind=None, state=BreakState.OPEN, age=None, proposed=False)
    asked = _asked(open_, now)
    ages = [func.count().filter(_of_age(age, now)) for age in Age]
    rows = session.execute(select(_B.kind, *ages).where(*asked).group_by(col(_B.kind)))
    found = {row[0]: Counted(*row) for row in rows}
    return [found[kind] for kind in BreakKind if kind in found]


# Each by the index of what is open, and no further than the page tells.
_GLANCE = text("""
    SELECT kind, age, (SELECT count(*) FROM (
        SELECT FROM reconciliation_break b
        WHERE b.state = 'open' AND b.kind = k.kind
          AND b.found_at >= a.since AND b.found_at < a.until
        LIMIT :most) one)
    FROM unnest(CAST(:kinds AS text[])) AS k (kind),
         (VALUES ('today', CAST(:today AS timestamptz), 'infinity'::timestamptz),
                 ('days', CAST(:young AS timestamptz), CAST(:today AS timestamptz)),
                 ('older', '-infinity', CAST(:young AS timestamptz))) AS a (age, since, until)
""")


def glance(session: Session, *, now: datetime) -> list[Counted]:
    """Count what ``count_open`` does, of all that is open, each to ``MOST`` and no further."""
    today, young = _borders(now)
    values = {"kinds": list(BreakKind), "today": today, "young": young, "most": MOST}
    found = {(kind, age): count for kind, age, count in session.execute(_GLANCE, values)}
    counted = [Counted(kind, *(found[kind, age] for age in Age)) for kind in BreakKind]
    return [one for one in counted if one.all]


def count_proposed(session: Session) -> int:
    """Return how many acts wait for a second person."""
    return session.exec(select(func.count()).select_from(_B).where(_PROPOSED)).one()


def proposed_among(session: Session, break_ids: Sequence[int | None]) -> set[int]:
    """Return which of these differences have an act that waits for a second person."""
    of_these = col(BreakAct.break_id).in_(break_ids)
    return set(session.exec(select(BreakAct.break_id).where(of_these, *WAITS)))


def list_sources(session: Session) -> list[str]:
    """Return whose differences there ever were, by name."""
    return list(session.exec(select(_B.source).distinct().order_by(col(_B.source))))


def take(session: Session, break_id: int, *, by: int) -> ReconciliationBreak:
    """Make a difference somebody's to explain; the same person again changes nothing.

    Raises:
        NotFound: no such difference.
        Conflict: a colleague has taken it.
    """
    found = lock_break(session, break_id)
    if found.owner_id not in {None, by}:
        raise Conflict("a colleague has taken this difference: ask them", code="break.taken")
    found.owner_id = by
    session.flush()
    return found


def assign(session: Session, break_id: int, owner_id: int) -> ReconciliationBreak:
    """Make a difference a colleague's to explain, whoever had it.

    Raises:
        NotFound: no such difference.
        Invalid: that is nobody who explains differences.
    """
    found = lock_break(session, break_id)
    if Duty.FINANCE not in duties_of(session, owner_id):
        raise Invalid("choose a colleague of finance", code="break.no_owner")
    found.owner_id = owner_id
    session.flush()
    return found


def release(session: Session, break_id: int) -> ReconciliationBreak:
    """Make a difference nobody's again; any of the staff may, for a colleague who is away.

    Raises:
        NotFound: no such difference.
    """
    found = lock_break(session, break_id)
    found.owner_id = None
    session.flush()
    return found
