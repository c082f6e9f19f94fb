"""What the ledger moved for a day's payments, summed up while the day's file still lands.

It is the longest look of a run and asks nothing of the file. A connection of its own takes it and
sees what is committed: what it found counts where it saw the very payments that the run sees.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool
from sqlmodel import Session

from core.db import engine, transaction
from payments.reconciliation.gateway.comparing import make_off, make_paid

# Of which payments: how many, and two sums that hardly any others have.
_PAID = text("""
    SELECT count(*), coalesce(sum(id), 0), coalesce(sum(amount_fen), 0) FROM matching_paid
""")
_SEEN = text("SELECT paid, ids, paid_fen FROM matching_seen")
_FOUND = text("SELECT id, fen FROM matching_off")
_TAKE = text("""
    CREATE TEMPORARY TABLE matching_off ON COMMIT DROP AS
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:fens AS bigint[])) AS o (id, fen)
""")
# Rows land meanwhile: more processes would only take turns with that, and cost a fifth more.
_ALONE = text("SET LOCAL max_parallel_workers_per_gather = 0")


class Mark(NamedTuple):
    """Which payments; ``ids`` is the sum of theirs."""

    paid: int
    ids: int
    paid_fen: int


class Ahead(NamedTuple):
    """The payments that were seen, and by how much the ledger is off of some of them."""

    mark: Mark
    off: list[tuple[int, int]]


@contextmanager
def summing_up(values: Mapping[str, Any]) -> Iterator[Future[Ahead] | None]:
    """Have the sums made beside what is done meanwhile; wait for them at the end.

    Where half of the connections are in use nobody waits for a second one, as others wait for
    this run: None.
    """
    held = engine().pool
    if isinstance(held, QueuePool) and 2 * held.checkedout() > held.size():
        yield None
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        yield pool.submit(_sum_up, dict(values))


def _sum_up(values: Mapping[str, Any]) -> Ahead:
    with transaction() as session:
        session.execute(_ALONE)
        make_paid(session, values)
        make_off(session, values)
        off = [(int(row[0]), int(row[1])) for row in session.execute(_FOUND)]
        return Ahead(_mark(session, _PAID), off)


def take_off(
    session: Session, values: Mapping[str, Any], summed: Future[Ahead] | None = None
) -> dict[str, Any]:
    """Have ``matching_off`` in this session: what was found ahead, if it still holds.

    Payments that this transaction has booked itself, or that came since, are summed up here. None
    ever leave a day: where as many were seen as ahead, the file has none of them twice.

    Returns:
        How many payments the day has, their sum, and whether the file repeats any of them.
    """
    seen = mark = _mark(session, _SEEN)
    found = _result(summed)
    if found is None or found.mark != seen:
        make_paid(session, values)
        mark = _mark(session, _PAID)
    if found is None or found.mark != mark:
        make_off(session, values)
    else:
        ids, fens = [one for one, _ in found.off], [fen for _, fen in found.off]
        session.execute(_TAKE, {"ids": ids, "fens": fens})
    return {"paid": mark.paid, "paid_fen": mark.paid_fen, "repeats": seen.paid != mark.paid}


def _result(summed: Future[Ahead] | None) -> Ahead | None:
    try:
        return None if summed is None else summed.result()
    except SQLAlchemyError:  # no connection was free, or it was lost
        return None


def _mark(session: Session, of: TextClause) -> Mark:
    return Mark(*map(int, session.execute(of).one()))
