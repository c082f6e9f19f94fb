"""Complaints as people page through them: their own, a company's, and all that staff look after."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, text, tuple_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import NotFound
from support.models import Complaint, ComplaintEntry, Kind, State

PAGE = 50
# As the index has it: with bound values it would not be known for the same.
_WAITS = text("complaint.state IN ('received', 'in_hand')")


class Wanted(NamedTuple):
    """Which complaints; what is None does not matter. Without a state: what waits for us."""

    state: State | None = None
    every: bool = False  # whatever their state
    kind: Kind | None = None
    company: str | None = None  # it is about, or was passed to
    taken_by: int | None = None
    overdue_at: datetime | None = None  # what should have been answered by then

    @property
    def waiting_only(self) -> bool:
        """Tell whether only what waits is wanted: then what is due first comes first."""
        return self.overdue_at is not None or (self.state is None and not self.every)


def find_complaints(
    session: Session, wanted: Wanted, *, after: int | None = None, limit: int = PAGE
) -> list[Complaint]:
    """Return complaints: what waits by when it is due, all else the newest first.

    Args:
        after: the id of the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    found = _matching(wanted)
    if after is not None:
        last = session.get(Complaint, after)
        if last is None:
            raise NotFound("there is no such complaint")
        by_due = tuple_(col(Complaint.due_at), col(Complaint.id)) > (last.due_at, after)
        found = found.where(by_due if wanted.waiting_only else col(Complaint.id) < after)
    return list(session.exec(found.limit(limit)))


def every_complaint(session: Session, wanted: Wanted) -> Iterator[Sequence[Complaint]]:
    """Yield all of them in the same order, a thousand in each list."""
    yield from session.exec(_matching(wanted).execution_options(yield_per=1_000)).partitions()


def _matching(wanted: Wanted) -> SelectOfScalar[Complaint]:
    found = select(Complaint).where(*_asked(wanted))
    if wanted.waiting_only:
        return found.order_by(col(Complaint.due_at), col(Complaint.id))
    return found.order_by(col(Complaint.id).desc())


def _asked(wanted: Wanted) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = []
    if wanted.state is not None:
        asked.append(col(Complaint.state) == wanted.state)
    if wanted.kind is not None:
        asked.append(col(Complaint.kind) == wanted.kind)
    if wanted.company is not None:
        about, passed_to = col(Complaint.provider_code), col(Complaint.passed_to)
        asked.append((about == wanted.company) | (passed_to == wanted.company))
    if wanted.taken_by is not None:
        asked.append(col(Complaint.taken_by) == wanted.taken_by)
    if wanted.overdue_at is not None:
        asked.append(col(Complaint.due_at) <= wanted.overdue_at)
    if wanted.waiting_only:
        asked.append(_WAITS)  # type: ignore[arg-type]
    return asked


def list_own(
    session: Session, person_id: int, *, after: int | None = None, limit: int = PAGE
) -> list[Complaint]:
    """Return what somebody wrote to us of, the newest first."""
    found = select(Complaint).where(Complaint.person_id == person_id)
    if after is not None:
        found = found.where(col(Complaint.id) < after)
    return list(session.exec(found.order_by(col(Complaint.id).desc()).limit(limit)))


def entries_among(
    session: Session, some: Sequence[Complaint]
) -> dict[int, list[ComplaintEntry]]:  # fmt: skip
    """Return all that was said about each, in order, by the complaint's id."""
    wanted = select(ComplaintEntry).where(
        col(ComplaintEntry.complaint_id).in_([one.id for one in some])
    )
    found: dict[int, list[ComplaintEntry]] = defaultdict(list)
    for each in session.exec(wanted.order_by(col(ComplaintEntry.id))):
        found[each.complaint_id].append(each)
    return found


def list_passed(
    session: Session, company: str, *, after: int | None = None, limit: int = PAGE
) -> list[Complaint]:
    """Return what was passed to a company, the newest first."""
    found = select(Complaint).where(Complaint.passed_to == company)
    if after is not None:
        found = found.where(col(Complaint.id) < after)
    return list(session.exec(found.order_by(col(Complaint.id).desc()).limit(limit)))


_OVERDUE = text("""
    SELECT count(*) FROM complaint WHERE state IN ('received', 'in_hand') AND due_at <= :now
""")


def count_overdue(session: Session, *, now: datetime) -> int:
    """Count what should have been answered by now."""
    return int(session.execute(_OVERDUE, {"now": now}).scalar_one())


_COMPANY_ANSWERED = text("""
    SELECT complaint_id FROM (
        SELECT DISTINCT ON (complaint_id) complaint_id, said FROM complaint_entry
        WHERE complaint_id = ANY(:ids) AND said IN ('passed', 'company')
        ORDER BY complaint_id, id DESC) last
    WHERE said = 'company'
""")


def company_answered(session: Session, some: Sequence[Complaint]) -> set[int]:
    """Return those, by id, whose company has said something since it was last asked."""
    ids = [one.id for one in some if one.passed_to is not None]
    return set(session.execute(_COMPANY_ANSWERED, {"ids": ids}).scalars()) if ids else set()


_FOUND = text("""
    SELECT c.id FROM complaint c
    WHERE c.person_id = :person_id
      AND (c.id = :number OR EXISTS (
          SELECT FROM complaint_entry e
          WHERE e.complaint_id = c.id AND e.said IN ('asked', 'reopened', 'answered', 'closed')
            AND position(:words IN lower(e.words)) > 0))
    ORDER BY c.id DESC LIMIT :limit
""")


def find_own(session: Session, person_id: int, typed: str, *, limit: int) -> list[Complaint]:
    """Return what somebody wrote to us of, by its number or by words of it they may read."""
    words = " ".join(typed.lower().split())
    if not words:
        return []
    number = re.search(r"([0-9]{1,18})$", words)
    values = {
        "person_id": person_id, "words": words, "limit": limit,
        "number": int(number[1]) if number else 0,
    }  # fmt: skip
    ids = session.execute(_FOUND, values).scalars().all()
    found = select(Complaint).where(col(Complaint.id).in_(ids))
    return list(session.exec(found.order_by(col(Complaint.id).desc())))


# Since the clerk did something about it: a word of its person, or of the company that was asked.
_WROTE_BACK = """
    SELECT c.id FROM complaint c
    CROSS JOIN LATERAL (
        SELECT e.said FROM complaint_entry e
        WHERE e.complaint_id = c.id ORDER BY e.id DESC LIMIT 1) last
    WHERE c.state IN ('received', 'in_hand') AND c.taken_by {whose}
      AND last.said IN ('asked', 'reopened', 'company')
"""
_COUNT_WROTE_BACK = text(
    f"SELECT count(*) FROM ({_WROTE_BACK.format(whose='= :clerk_id')}) wrote"  # noqa: S608  ours
)
_WHO_WROTE_BACK = text(
    _WROTE_BACK.format(whose="IS NOT NULL") + " AND c.id = ANY(:ids)"  # ours
)


def count_wrote_back(session: Session, clerk_id: int) -> int:
    """Count what a clerk has taken that waits because somebody wrote of it since."""
    return int(session.execute(_COUNT_WROTE_BACK, {"clerk_id": clerk_id}).scalar_one())


def wrote_back(session: Session, some: Sequence[Complaint]) -> set[int]:
    """Return those, by id, of which somebody wrote since their clerk did something about it."""
    ids = [one.id for one in some]
    return set(session.execute(_WHO_WROTE_BACK, {"ids": ids}).scalars()) if ids else set()
