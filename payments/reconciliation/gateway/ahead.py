"""What the ledger moved for a day's payments, summed up while the day's file still lands.

It is the longest look of a run and asks nothing of the file. A connection of its own takes it and
sees what is committed: what it found counts where it saw the very payments that the run sees.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from core.db import transaction
from payments.reconciliation.gateway.comparing import make_off, make_paid

# Of which payments: how many, and two sums that hardly any others have.
_MARK = text("""
    SELECT count(*), coalesce(sum(id), 0), coalesce(sum(amount_fen), 0) FROM matching_paid
""")
_FOUND = text("SELECT id, fen FROM matching_off")
_TAKE = text("""
    CREATE TEMPORARY TABLE matching_off ON COMMIT DROP AS
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:fens AS bigint[])) AS o (id, fen)
""")


class Ahead(NamedTuple):
    """The payments that were seen, and by how much the ledger is off of some of them."""

    mark: tuple[Any, ...]
    off: list[tuple[int, int]]


@contextmanager
def summing_up(values: Mapping[str, Any]) -> Iterator[Future[Ahead]]:
    """Have the sums made beside what is done meanwhile; wait for them at the end."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        yield pool.submit(_sum_up, dict(values))


def _sum_up(values: Mapping[str, Any]) -> Ahead:
    with transaction() as session:
        make_paid(session, values)
        make_off(session, values)
        off = [(int(row[0]), int(row[1])) for row in session.execute(_FOUND)]
        return Ahead(_mark(session), off)


def take_off(session: Session, values: Mapping[str, Any], summed: Future[Ahead]) -> None:
    """Have ``matching_off`` in this session: what was found ahead, if it still holds.

    Payments that this transaction has booked itself, or that came since, are summed up here.
    """
    try:
        found = summed.result()
    except SQLAlchemyError:  # no connection was free, or it was lost
        found = None
    if found is None or found.mark != _mark(session):
        make_off(session, values)
        return
    ids, fens = [one for one, _ in found.off], [fen for _, fen in found.off]
    session.execute(_TAKE, {"ids": ids, "fens": fens})


def _mark(session: Session) -> tuple[Any, ...]:
    return tuple(session.execute(_MARK).one())
