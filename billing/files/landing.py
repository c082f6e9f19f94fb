"""Staged rows into the books, chunk by chunk, each chunk one transaction.

A chunk lands in one of three ways:

1. *As new*: COPY straight into bills and transfers, in two lanes side by side. Most chunks of most
   files end here. A key that exists already undoes it, and nothing has happened.
2. *As known*, once bills we hold have been met: is every row exactly what we hold? Nothing is
   locked, and nothing written but the count.
3. *Alone*, when neither will do: new bills by ``INSERT … ON CONFLICT``, the others by
   ``billing.corrections``.

``billing.files.turns`` keeps the chunks in the order of the file.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import polars as pl
import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from billing import corrections, readings
from billing.files import arrivals, holders
from billing.files.held import held
from billing.files.staging import Staged
from billing.files.turns import GiveWay, Stopped, Turns
from core import outbox
from core.db import connection, count_changed, transaction
from core.errors import Conflict

LANES: Final = 2  # beside two, the database has no core left
Progress = Callable[[int, int], None]

# Another's key, or a wait for one that may be a lane's of ours: such a chunk is landed alone.
IN_THE_WAY = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
)


class LandingFailed(Exception):
    """The database would not take rows that their reader let pass: a fault of ours."""


@dataclass(slots=True, kw_only=True)
class Landing:
    """What the chunks of one import share; ``meets`` tells that the latest met bills we hold."""

    staged: Staged
    bill_file_id: int
    provider_code: str
    receivable_id: int
    uncollected_id: int
    now: datetime
    first: int = 0  # the chunks before it need no landing: `note_known`
    meets: bool = False

    def chunk(self, chunk_no: int, rows: pl.DataFrame) -> corrections.Chunk:
        """Return a chunk as corrections know it."""
        after = self.staged.landed + chunk_no * self.staged.chunk_rows
        ids = rows["id"].append(rows["original_id"].drop_nulls())
        return corrections.Chunk(
            bill_file_id=self.bill_file_id,
            provider_code=self.provider_code,
            rows=rows,
            after=after,
            upto=after + rows.height,
            first_id=ids.min(),  # type: ignore[arg-type]
            last_id=ids.max(),  # type: ignore[arg-type]
            receivable_id=self.receivable_id,
            uncollected_id=self.uncollected_id,
            now=self.now,
        )


def land(landing: Landing, held: Connection, *, progress: Progress) -> None:
    """Land every chunk, on ``held`` if one lane is enough; ``progress`` is told of each.

    Raises:
        Exception: whatever a lane failed with; the chunks before are in the books.
    """
    turns = Turns(landing.staged.chunks, first=landing.first)
    if landing.staged.chunks - landing.first <= 1:
        _run_lane(landing, turns, held)
        _tell(landing, turns, progress)
        return
    with ThreadPoolExecutor(LANES, thread_name_prefix="lane") as pool:
        lanes = [pool.submit(_lane, landing, turns) for _ in range(LANES)]
        for lane in lanes:
            lane.add_done_callback(lambda done: turns.stop() if done.exception() else None)
        try:
            _tell(landing, turns, progress)
        finally:
            turns.stop()
    for lane in lanes:
        lane.result()


def note_known(landing: Landing, held: Connection, chunks: int) -> None:
    """Count the first ``chunks`` of a file, which are exactly what we hold, as landed.

    Raises:
        Conflict: they are counted already.
    """
    if chunks == 0:
        return
    after = landing.staged.landed
    upto = min(after + chunks * landing.staged.chunk_rows, landing.staged.rows)
    with transaction(on=held) as session:
        _note(session, landing, after, upto, _counts(unchanged=upto - after))
    landing.first, landing.meets = chunks, True


def _tell(landing: Landing, turns: Turns, progress: Progress) -> None:
    staged = landing.staged
    for done in turns.progress():
        progress(min(staged.landed + done * staged.chunk_rows, staged.rows), staged.rows)


def _lane(landing: Landing, turns: Turns) -> None:
    """Work as one of several lanes, on a connection of its own."""
    try:
        with connection() as own:
            _run_lane(landing, turns, own)
    except Stopped:
        return


def _run_lane(landing: Landing, turns: Turns, own: Connection) -> None:
    while (chunk_no := turns.take()) is not None:
        chunk = landing.chunk(chunk_no, landing.staged.chunk(chunk_no))
        ways = _ways(landing, chunk)
        if not any(_try(way, landing, turns, own, chunk, chunk_no) for way in ways):
            _land_alone(landing, turns, own, chunk, chunk_no)
        turns.committed(chunk_no)


class Landed(NamedTuple):
    """A chunk's counts; ``renamed``: a holder's name is not the one we held."""

    counts: dict[str, int]
    renamed: bool


Way = Callable[[Session, corrections.Chunk], Landed | None]


def _ways(landing: Landing, chunk: corrections.Chunk) -> tuple[Way, ...]:
    if not arrivals.may_be_new(chunk):
        return ()
    return (_land_as_known,) if landing.meets else (_land_as_new, _land_as_known)


def _try(
    way: Way, landing: Landing, turns: Turns, own: Connection, chunk: corrections.Chunk, no: int
) -> bool:
    """Land a chunk one way if that will do, and count it; tells whether it did."""
    while True:
        try:
            with turns.opened(no), transaction(on=own) as session:
                session.execute(LIGHTLY)
                landed = way(session, chunk)
                if landed is None:
                    return False
                turns.await_turn(no)
                readings.keep(session, chunk.provider_code, chunk.rows, now=chunk.now)
                if landed.renamed:
                    holders.keep(session, chunk)
                _note(session, landing, chunk.after, chunk.upto, landed.counts)
                landing.meets = not landed.counts["created"]
                return True
        except GiveWay:
            continue
        except IN_THE_WAY:
            landing.meets = True
            return False
        except DBAPIError as wrong:
            if not isinstance(wrong.orig, IN_THE_WAY):
                raise
            landing.meets = True
            return False
        except psycopg.Error as wrong:  # its full text quotes the row: somebody's bill
            told = f"rows {chunk.after + 1} to {chunk.upto}: {wrong.diag.message_primary}"
            raise LandingFailed(told) from None


# What blocks a lane may be the other one, waiting for this one: better to give up early. A chunk
# lost in a crash is lost with its count: only the import's last word waits for the disk. And each
# core has its lane: a plan that takes more of them, or reads whole tables, is never worth it.
LIGHTLY = text("""
    SET LOCAL lock_timeout = '500ms'; SET LOCAL synchronous_commit = off;
    SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL enable_seqscan = off
""")


def _land_as_new(session: Session, chunk: corrections.Chunk) -> Landed | None:
    created, total_fen, renamed = arrivals.copy_in(session, chunk)
    return Landed(_counts(created=created, total_fen=total_fen), renamed)


def _land_as_known(session: Session, chunk: corrections.Chunk) -> Landed | None:
    same = held(session, chunk)
    if same is None:
        return None
    return Landed(_counts(unchanged=chunk.upto - chunk.after), same.renamed)


def _land_alone(
    landing: Landing, turns: Turns, own: Connection, chunk: corrections.Chunk, no: int
) -> None:
    """Land a chunk while nothing of this file is in its way: new bills, then all the others."""
    turns.await_alone(no)
    with transaction(on=own) as session:
        _claim(session, chunk)
        arrivals.load(session, chunk)
        created, total_fen = arrivals.insert_new(session, chunk)
        counts = _counts(created=created, total_fen=total_fen)
        met = chunk.upto - chunk.after - created
        if met:
            counts |= corrections.settle(session, chunk, met=met)
        readings.keep(session, chunk.provider_code, chunk.rows, now=chunk.now)
        holders.keep(session, chunk)
        _note(session, landing, chunk.after, chunk.upto, counts)
    landing.meets = counts["unchanged"] > created


def _counts(**found: int) -> dict[str, int]:
    return dict.fromkeys((*corrections.COUNTED, "created", "total_fen"), 0) | found


_TAKEN_UP: Final = "another process has taken this file up"
_COUNT = text("""
    UPDATE bill_file SET rows_done = :upto, created = created + :created,
        unchanged = unchanged + :unchanged, superseded = superseded + :superseded,
        cancelled = cancelled + :cancelled, reminded = reminded + :reminded,
        waiting = waiting + :waiting, rejected = rejected + :rejected,
        total_fen = total_fen + :total_fen
    WHERE id = :bill_file_id AND rows_done = :after
""")


_CLAIM = text("""
    SELECT FROM bill_file WHERE id = :bill_file_id AND rows_done = :after FOR UPDATE
""")


def _claim(session: Session, chunk: corrections.Chunk) -> None:
    """Make sure that a chunk is ours to land, before a row of it is judged; see `_note`.

    Raises:
        Conflict: it is counted already.
    """
    place = {"bill_file_id": chunk.bill_file_id, "after": chunk.after}
    if session.execute(_CLAIM, place).first() is None:
        raise Conflict(_TAKEN_UP, code="bill_file.busy")


def _note(
    session: Session, landing: Landing, after: int, upto: int, counts: dict[str, int]
) -> None:
    """Count rows on their file and tell of them, in the transaction that lands them.

    Raises:
        Conflict: they are counted already. Who loses the connection that holds the file's lock may
            find that another has taken the file up.
    """
    place = {"bill_file_id": landing.bill_file_id, "after": after, "upto": upto}
    if count_changed(session.execute(_COUNT, place | counts)) != 1:
        raise Conflict(_TAKEN_UP, code="bill_file.busy")
    facts = {name: count for name, count in counts.items() if name != "total_fen"}
    outbox.emit(
        session, "bills.recorded", landing.bill_file_id, now=landing.now,
        after_row=after, upto_row=upto, **facts,
    )  # fmt: skip
