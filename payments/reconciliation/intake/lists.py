"""Every file that came in, the newest first, and which of them need a person."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from payments.reconciliation.intake.models import OVER, BookFile, BookState, CameBy
from payments.reconciliation.models import Leg

PAGE = 50
STUCK = (BookState.UNCLEAR, BookState.REFUSED)


class Filter(NamedTuple):
    """What is looked for; None: any."""

    state: BookState | None = None
    leg: Leg | None = None
    source: str | None = None
    came_by: CameBy | None = None


class Counted(NamedTuple):
    """How many files need a person, and how many are on their way."""

    refused: int
    unclear: int
    under_way: int


def find_files(
    session: Session, wanted: Filter, *, after: int | None = None, limit: int = PAGE
) -> list[BookFile]:
    """Return files, the newest first; ``after`` is the last id of the page before."""
    found = _wanted(wanted)
    if after is not None:
        found = found.where(col(BookFile.id) < after)
    return list(session.exec(found.limit(limit)))


def every_file(session: Session, wanted: Filter) -> Iterator[BookFile]:
    """Yield all files that are looked for."""
    yield from session.exec(_wanted(wanted).execution_options(yield_per=500))


def _wanted(wanted: Filter) -> SelectOfScalar[BookFile]:
    found = select(BookFile).order_by(col(BookFile.id).desc())
    for column, value in (
        (BookFile.state, wanted.state), (BookFile.leg, wanted.leg),
        (BookFile.source, wanted.source), (BookFile.came_by, wanted.came_by),
    ):  # fmt: skip
        if value is not None:
            found = found.where(col(column) == value)
    return found


def count_files(session: Session) -> Counted:
    """Count what needs a person, and what is on its way."""
    rows = session.exec(
        select(BookFile.state, func.count())
        .where(BookFile.state != BookState.DONE)
        .group_by(col(BookFile.state))
    )
    of = dict(rows.all())
    under_way = sum(number for state, number in of.items() if state not in OVER)
    return Counted(of.get(BookState.REFUSED, 0), of.get(BookState.UNCLEAR, 0), under_way)
