"""A bill file into the books: read it whole, then land it chunk by chunk.

1. ``billing.files.staging`` reads and judges every row first: a wrong control total in the last
   line refuses the file before anything has landed.
2. ``billing.files.landing`` takes the rows into the books, each chunk in one transaction.

An import that is killed is started again from the chunk it had reached; the same file twice changes
nothing. One company's files are imported one after the other.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import BinaryIO

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from billing.files.ahead import Ahead
from billing.files.bill_files import take_number
from billing.files.landing import Landing, Progress, land, note_known
from billing.files.staging import Staged
from billing.ledger import books
from billing.models import BillFile, BillFileStatus
from billing.partitions import ensure_months
from core import outbox
from core.clock import billing_date
from core.db import connection, driver, transaction
from core.errors import BillFileError, Conflict
from providers.base import BillFileReader, Heading
from providers.bulk import Bulk, read_bulk
from providers.registry import PROVIDERS

CHUNK_ROWS = 12_500  # twice as many cost the database a sixth more a row


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What one run made of a file's rows; they add up to ``rows``; ``total_fen`` is the new."""

    bill_file_id: int
    rows: int
    created: int
    unchanged: int
    superseded: int
    cancelled: int
    reminded: int
    waiting: int
    rejected: int
    total_fen: int
    seconds: str


def import_bills(
    bill_file_id: int,
    reader: BillFileReader,
    open_stream: Callable[[], BinaryIO],
    *,
    now: datetime,
    progress: Progress = lambda done, rows: None,
    in_turn: bool = False,
) -> ImportResult:
    """Import a registered file, or go on where an earlier attempt stopped.

    Args:
        open_stream: called once to get the file's bytes, not from this import's connection.
        progress: told (rows done, rows in all) after each chunk.
        in_turn: not before the company's files that came earlier and wait for a worker.

    Raises:
        BillFileError: the file is refused; nothing landed, and the file's row says why.
        Conflict: this file, or for a long time another of its company, is being imported; with the
            code ``bill_file.out_of_turn``, an earlier one is still to be.
    """
    started = monotonic()
    with connection() as held, _sole_importer(held, bill_file_id):
        with transaction(on=held) as session:
            if in_turn:
                _refuse_to_overtake(session, bill_file_id, now=now)
            bill_file = _begin(session, bill_file_id, now=now)
        before = bill_file.status is BillFileStatus.IMPORTED
        if not before:
            with Staged(CHUNK_ROWS, landed=bill_file.rows_done) as staged:
                landing = _landing(held, bill_file, staged, now=now)
                try:
                    known = _read(landing, read_bulk(reader, open_stream()))
                    _take_in(held, bill_file_id, staged)
                except BillFileError as refusal:
                    with transaction(on=held) as session:
                        _refuse(session, bill_file_id, str(refusal), now=now)
                    raise
                note_known(landing, held, known)
                _land(landing, held, progress=progress)
        with transaction(on=held) as session:
            seconds = f"{monotonic() - started:.2f}"
            return _result(session, bill_file_id, before=before, seconds=seconds)


@contextmanager
def _sole_importer(held: Connection, bill_file_id: int) -> Iterator[None]:
    """Let nobody else import this file, nor at the same time another file of its company."""
    with transaction(on=held) as session:
        company = {"company": session.get_one(BillFile, bill_file_id).provider_code}
        lock = text("SELECT pg_try_advisory_lock(hashtext('billing.import'), :id)")
        if not session.execute(lock, {"id": bill_file_id}).scalar_one():
            raise Conflict("this file is being imported at this moment", code="bill_file.busy")
    try:
        try:
            with transaction(on=held) as session:
                session.execute(_LONG_WAIT)
                session.execute(_LOCK_COMPANY, company)
        except OperationalError as waited:
            raise Conflict(
                "another file of this company is being imported: try again when it is done",
                code="bill_file.busy",
            ) from waited
        yield
    finally:
        with transaction(on=held) as session:
            session.execute(_UNLOCK_ALL)


_LONG_WAIT = text("SET LOCAL lock_timeout = '60s'")
_LOCK_COMPANY = text(
    "SELECT pg_advisory_lock(hashtext('billing.import.company'), hashtext(:company))"
)
_UNLOCK_ALL = text("SELECT pg_advisory_unlock_all()")


# One that does not get on, because its import fails, holds up the others no longer than this.
_HELD_UP = timedelta(hours=1)
_EARLIER = text("""
    SELECT FROM bill_file own
    JOIN bill_file b ON b.provider_code = own.provider_code AND b.id < own.id
    WHERE own.id = :id AND own.status <> 'imported' AND b.status IN ('received', 'importing')
      AND b.received_via NOT IN ('cli', 'api-bills', 'webhook') AND b.received_at > :since
    LIMIT 1
""")


def _refuse_to_overtake(session: Session, bill_file_id: int, *, now: datetime) -> None:
    """Let what came first land first: a cancellation finds its bill in an earlier file.

    Workers take files up side by side, and one whose worker was killed is taken up again later.

    Raises:
        Conflict: an earlier file of the company waits for a worker, or was left by one.
    """
    values = {"id": bill_file_id, "since": now - _HELD_UP}
    if session.execute(_EARLIER, values).first() is not None:
        raise Conflict("an earlier file of this company comes first", code="bill_file.out_of_turn")


def _begin(session: Session, bill_file_id: int, *, now: datetime) -> BillFile:
    bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
    if bill_file.status is not BillFileStatus.IMPORTED:
        if bill_file.status is BillFileStatus.REFUSED:
            bill_file.sequence_no = None  # its number may be another file's by now
        bill_file.status, bill_file.status_at = BillFileStatus.IMPORTING, now
        bill_file.complaint = None
        provider = PROVIDERS.get(bill_file.provider_code)
        profile_sha256 = None if provider is None else provider.profile_sha256
        if bill_file.rows_done and bill_file.profile_sha256 != profile_sha256:
            _start_over(session, bill_file)
        bill_file.profile_sha256 = profile_sha256
    return bill_file


# Rows get their numbers anew: those of corrections that wait from before go out of the way.
_FREE_ROW_NOS = text("""
    UPDATE bill_correction SET row_no = -id WHERE bill_file_id = :id AND row_no >= 0
""")


def _start_over(session: Session, bill_file: BillFile) -> None:
    """Have a file read from its first row: by another profile, other rows would be skipped.

    What has landed is met again, and is unchanged, or corrected.
    """
    session.execute(_FREE_ROW_NOS, {"id": bill_file.id})
    bill_file.rows_done = bill_file.created = bill_file.unchanged = bill_file.superseded = 0
    bill_file.cancelled = bill_file.reminded = bill_file.waiting = bill_file.rejected = 0
    bill_file.total_fen = 0


def _refuse(session: Session, bill_file_id: int, complaint: str, *, now: datetime) -> None:
    bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
    bill_file.status, bill_file.status_at = BillFileStatus.REFUSED, now
    bill_file.complaint = complaint
    outbox.emit(session, "bill_file.refused", bill_file_id, now=now)


def _take_in(held: Connection, bill_file_id: int, staged: Staged) -> None:
    """Take the file's number and keep what will not land, or refuse the file."""
    with transaction(on=held) as session:
        if staged.heading is not None:
            take_number(session, bill_file_id, staged.heading.sequence_no)
        bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
        bill_file.rows = staged.rows + staged.rejected
        if bill_file.rows_done == 0:
            bill_file.rejected = staged.rejected
            session.flush()
            _keep_rejects(session, bill_file_id, staged)


def _keep_rejects(session: Session, bill_file_id: int, staged: Staged) -> None:
    """Store what the reader rejected, replacing what an earlier attempt stored."""
    session.execute(
        text("DELETE FROM bill_file_reject WHERE bill_file_id = :id"), {"id": bill_file_id}
    )
    with driver(session).cursor().copy(_COPY_REJECTS) as copy:
        for line in staged.reject_lines():
            copy.write(f"{bill_file_id}\t{line}")


_COPY_REJECTS = """
    COPY bill_file_reject (bill_file_id, reject_no, line_no, column_name, reason, raw) FROM STDIN
"""


def _landing(held: Connection, bill_file: BillFile, staged: Staged, *, now: datetime) -> Landing:
    assert bill_file.id is not None
    provider_code = bill_file.provider_code
    names = books.receivable(provider_code), books.uncollected(provider_code)
    with transaction(on=held) as session:
        accounts = books.account_ids(session, names)
    return Landing(
        staged=staged,
        bill_file_id=bill_file.id,
        provider_code=provider_code,
        receivable_id=accounts[names[0]],
        uncollected_id=accounts[names[1]],
        now=now,
    )


def _read(landing: Landing, file: Iterator[Heading | Bulk]) -> int:
    """Read a whole file; returns how many chunks from the first on are exactly what we hold.

    Raises:
        BillFileError: the reader refuses the file.
    """
    with closing(Ahead(landing)) as ahead:
        landing.staged.read(file, look=ahead.look)
        return ahead.known


def _land(landing: Landing, held: Connection, *, progress: Progress) -> None:
    staged, bill_file_id, now = landing.staged, landing.bill_file_id, landing.now
    today = billing_date(now)  # what is issued later does not land, and needs no partition
    with transaction(on=held) as session:
        ensure_months(session, {month for month, on in staged.months.items() if on <= today})
    land(landing, held, progress=progress)
    with transaction(on=held) as session:
        bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
        bill_file.status, bill_file.status_at = BillFileStatus.IMPORTED, now
        session.execute(
            text("DELETE FROM bill_file_part WHERE bill_file_id = :id"), {"id": bill_file_id}
        )
        outbox.emit(session, "bill_file.imported", bill_file_id, now=now)


def _result(session: Session, bill_file_id: int, *, before: bool, seconds: str) -> ImportResult:
    """Say what this run did: nothing, if the file had been imported ``before``."""
    done = session.get_one(BillFile, bill_file_id)
    return ImportResult(
        bill_file_id=bill_file_id,
        rows=done.rows,
        created=0 if before else done.created,
        unchanged=done.rows - done.rejected if before else done.unchanged,
        superseded=0 if before else done.superseded,
        cancelled=0 if before else done.cancelled,
        reminded=0 if before else done.reminded,
        waiting=0 if before else done.waiting,
        rejected=done.rejected,
        total_fen=0 if before else done.total_fen,
        seconds=seconds,
    )
