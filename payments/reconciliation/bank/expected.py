"""What should come into our account or go out of it, as staff look through it."""

from collections.abc import Iterator
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, case, exists, text, tuple_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from core.errors import NotFound
from payments.reconciliation.bank.models import BankDue, BankEntry, DueKind
from payments.reconciliation.source_terms import AGREED, USUAL, Sources, terms_values

PAGE = 50
_D = BankDue
_PAYOUT = aliased(BankDue)
# A gateway that says itself what it pays out: its days are no sums then.
_IS_MONEY = (col(_D.amount_fen) != 0) & (
    (col(_D.kind) != DueKind.NET)
    | ~exists().where(_PAYOUT.source == _D.source, _PAYOUT.kind == DueKind.PAYOUT)  # type: ignore[arg-type]
)


class DueState(StrEnum):
    """How money that should move stands."""

    OPEN = "open"  # in no statement yet
    LATE = "late"  # the same, and it should be
    MATCHED = "matched"


class Wanted(NamedTuple):
    """Which money is looked for; what is none is not asked."""

    state: DueState | None = None
    source: str | None = None
    kind: DueKind | None = None


class DueLine(NamedTuple):
    """Money that should move; ``entry_ids`` are what it was matched with."""

    due: BankDue
    state: DueState
    age_days: int
    entry_ids: list[int]


def late_before(source: str, sources: Sources, today: date) -> date:
    """Return the day before which a source's money that is in no statement yet is late."""
    return today - timedelta(days=sources.get(source, USUAL).late_after_days)


def find_dues(
    session: Session,
    wanted: Wanted,
    *,
    today: date,
    sources: Sources = AGREED,
    after: int | None = None,
    limit: int = PAGE,
) -> list[DueLine]:
    """Return money that should move, the newest first; ``after`` is where a page ended.

    Raises:
        NotFound: there is no such last one.
    """
    order = (col(_D.day), col(_D.id))
    found = (
        select(_D).where(*_asked(wanted, today, sources)).order_by(*(one.desc() for one in order))
    ).limit(limit)
    if after is not None:
        last = session.get(BankDue, after)
        if last is None:
            raise NotFound("there is no such sum")
        found = found.where(tuple_(*order) < (last.day, last.id))
    return _lines(session, list(session.exec(found)), today, sources)


def every_due(
    session: Session, wanted: Wanted, *, today: date, sources: Sources = AGREED
) -> Iterator[DueLine]:
    """Yield all that ``find_dues`` finds, page by page."""
    after: int | None = None
    while rows := find_dues(
        session, wanted, today=today, sources=sources, after=after, limit=1_000
    ):
        yield from rows
        after = rows[-1].due.id
        session.expunge_all()


def _asked(wanted: Wanted, today: date, sources: Sources) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = [_IS_MONEY]
    if wanted.source is not None:
        asked.append(col(_D.source) == wanted.source)
    if wanted.kind is not None:
        asked.append(col(_D.kind) == wanted.kind)
    match wanted.state:
        case DueState.MATCHED:
            asked.append(col(_D.match_id).is_not(None))
        case DueState.OPEN:
            asked.append(col(_D.match_id).is_(None))
        case DueState.LATE:
            late = {one: late_before(one, sources, today) for one in sources}
            usual = late_before("", AGREED, today)
            limit = case(late, value=col(_D.source), else_=usual) if late else usual
            asked += [col(_D.match_id).is_(None), col(_D.day) < limit]
    return asked


def _lines(session: Session, dues: list[BankDue], today: date, sources: Sources) -> list[DueLine]:
    matches = {one.match_id for one in dues if one.match_id is not None}
    brought: dict[int, list[int]] = {}
    for entry_id, match_id in session.exec(
        select(BankEntry.id, BankEntry.match_id)
        .where(col(BankEntry.match_id).in_(matches))
        .order_by(col(BankEntry.id))
    ):
        assert entry_id is not None
        assert match_id is not None
        brought.setdefault(match_id, []).append(entry_id)
    return [
        DueLine(one, _state(one, today, sources), (today - one.day).days,
                brought.get(one.match_id or 0, []))
        for one in dues
    ]  # fmt: skip


def _state(due: BankDue, today: date, sources: Sources) -> DueState:
    if due.match_id is not None:
        return DueState.MATCHED
    is_late = due.day < late_before(due.source, sources, today)
    return DueState.LATE if is_late else DueState.OPEN


class SourceSum(NamedTuple):
    """What of one source is in no statement yet."""

    source: str
    kind: DueKind
    times: int
    sum_fen: int
    late: int
    oldest_on: date


_OPEN = text("""
    SELECT d.source, d.kind, count(*), sum(d.amount_fen)::bigint,
           count(*) FILTER (WHERE d.day + coalesce(t.late_after_days, :late_after_days) < :today),
           min(d.day)
    FROM bank_due d
    LEFT JOIN unnest(CAST(:sources AS text[]), CAST(:lates AS int[]))
         AS t (source, late_after_days) ON t.source = d.source
    WHERE d.match_id IS NULL AND d.amount_fen <> 0
      AND (d.kind <> 'net' OR NOT EXISTS (
          SELECT FROM bank_due p WHERE (p.source, p.kind) = (d.source, 'payout')))
    GROUP BY d.source, d.kind ORDER BY min(d.day), d.source
""")


def count_open(session: Session, *, today: date, sources: Sources = AGREED) -> list[SourceSum]:
    """Return what is in no statement yet, by source and kind, the longest waited for first."""
    rows = session.execute(_OPEN, terms_values(sources) | {"today": today})
    return [SourceSum(source, DueKind(kind), *rest) for source, kind, *rest in rows]


def list_sources(session: Session) -> list[str]:
    """Return whose money was ever waited for, by name."""
    return list(session.exec(select(_D.source).distinct().order_by(col(_D.source))))


def open_dues(session: Session, entry: BankEntry, *, limit: int = 60) -> list[BankDue]:
    """Return money an entry may be that is waited for, the nearest days first.

    A gateway's day may be below zero and come with others.
    """
    same_way = col(_D.amount_fen) > 0 if entry.amount_fen > 0 else col(_D.amount_fen) < 0
    same_way |= col(_D.kind) == DueKind.NET
    found = session.exec(
        select(_D)
        .where(_IS_MONEY, col(_D.match_id).is_(None), same_way)
        .where(col(_D.day) <= entry.booked_on + timedelta(days=3))
        .order_by(col(_D.day).desc(), col(_D.source), col(_D.id))
        .limit(limit)
    )
    return list(found)
