"""A bill file into the books: parse once, then chunk by chunk, each chunk one transaction.

1. The whole file is read into a temporary table, which nobody else sees: a wrong control total in
   the last line refuses the file before anything has landed.
2. Each chunk becomes accounts, bills, transfers and one event in one transaction, by SQL over sets.
   A chunk whose bills are all new takes the short way; only rows that meet a bill we already hold
   go through ``billing.corrections``.

An import that is killed is started again from the chunk it had reached; the same file twice changes
nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import BinaryIO

from sqlalchemy import Connection, text
from sqlmodel import Session

from billing import corrections, ledger
from billing.bill_files import take_number
from billing.models import BillFile, BillFileStatus
from billing.partitions import ensure_months
from billing.staging import Row, stage
from core import outbox
from core.db import connection, transaction
from core.errors import BillFileError, Conflict
from providers.base import BillFileReader

CHUNK_ROWS = 25_000

Progress = Callable[[int, int], None]


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
) -> ImportResult:
    """Import a registered file, or go on where an earlier attempt stopped.

    Args:
        open_stream: called once to get the file's bytes, not from this import's connection.
        progress: told (rows done, rows in all) after each chunk.

    Raises:
        BillFileError: the file is refused; nothing landed, and the file's row says why.
        Conflict: another worker is importing this file at this moment.
    """
    started = monotonic()
    with connection() as held, _sole_importer(held, bill_file_id):
        with transaction(on=held) as session:
            bill_file = _begin(session, bill_file_id, now=now)
        before = bill_file.status is BillFileStatus.IMPORTED
        if not before:
            try:
                _read(held, bill_file_id, reader.read(open_stream()))
            except BillFileError as refusal:
                with transaction(on=held) as session:
                    _refuse(session, bill_file_id, str(refusal), now=now)
                raise
            _land(held, bill_file_id, now=now, progress=progress)
        with transaction(on=held) as session:
            seconds = f"{monotonic() - started:.2f}"
            return _result(session, bill_file_id, before=before, seconds=seconds)


@contextmanager
def _sole_importer(held: Connection, bill_file_id: int) -> Iterator[None]:
    with transaction(on=held) as session:
        lock = text("SELECT pg_try_advisory_lock(hashtext('billing.import'), :id)")
        if not session.execute(lock, {"id": bill_file_id}).scalar_one():
            raise Conflict("this file is being imported at this moment", code="bill_file.busy")
    try:
        yield
    finally:
        with transaction(on=held) as session:
            session.execute(
                text("SELECT pg_advisory_unlock(hashtext('billing.import'), :id)"),
                {"id": bill_file_id},
            )


def _begin(session: Session, bill_file_id: int, *, now: datetime) -> BillFile:
    bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
    if bill_file.status is not BillFileStatus.IMPORTED:
        if bill_file.status is BillFileStatus.REFUSED:
            bill_file.sequence_no = None  # its number may be another file's by now
        bill_file.status, bill_file.status_at = BillFileStatus.IMPORTING, now
        bill_file.complaint = None
    return bill_file


def _refuse(session: Session, bill_file_id: int, complaint: str, *, now: datetime) -> None:
    bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
    bill_file.status, bill_file.status_at = BillFileStatus.REFUSED, now
    bill_file.complaint = complaint
    outbox.emit(session, "bill_file.refused", bill_file_id, now=now)


def _read(held: Connection, bill_file_id: int, rows: Iterator[Row]) -> None:
    """Bring the file into the temporary tables and take its number, or refuse it."""
    with transaction(on=held) as session:
        heading = stage(session, rows)
        if heading is not None:
            take_number(session, bill_file_id, heading.sequence_no)


def _land(held: Connection, bill_file_id: int, *, now: datetime, progress: Progress) -> None:
    with transaction(on=held) as session:
        months = (
            session.execute(text("SELECT DISTINCT billing_month FROM incoming")).scalars().all()
        )
        ensure_months(session, set(months))
    with transaction(on=held) as session:
        bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
        rows = session.execute(text("SELECT count(*) FROM incoming")).scalar_one()
        done, provider_code = bill_file.rows_done, bill_file.provider_code
        if done == 0:
            _keep_rejects(session, bill_file, rows)
        accounts = ledger.account_ids(
            session, [ledger.receivable(provider_code), ledger.uncollected(provider_code)]
        )
    while done < rows:
        upto = min(done + CHUNK_ROWS, rows)
        with transaction(on=held) as session:
            first_id, last_id = session.execute(_KEYS, {"after": done, "upto": upto}).one()
            _land_chunk(
                session,
                corrections.Chunk(
                    bill_file_id=bill_file_id,
                    provider_code=provider_code,
                    after=done,
                    upto=upto,
                    first_id=first_id,
                    last_id=last_id,
                    receivable_id=accounts[ledger.receivable(provider_code)],
                    uncollected_id=accounts[ledger.uncollected(provider_code)],
                    now=now,
                ),
            )
        done = upto
        progress(done, rows)
    with transaction(on=held) as session:
        bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
        bill_file.status, bill_file.status_at = BillFileStatus.IMPORTED, now
        session.execute(
            text("DELETE FROM bill_file_part WHERE bill_file_id = :id"), {"id": bill_file_id}
        )
        outbox.emit(session, "bill_file.imported", bill_file_id, now=now)


def _keep_rejects(session: Session, bill_file: BillFile, rows: int) -> None:
    """Store what the reader rejected, replacing what an earlier attempt stored."""
    session.execute(
        text("DELETE FROM bill_file_reject WHERE bill_file_id = :id"), {"id": bill_file.id}
    )
    kept = session.execute(
        text("""
            INSERT INTO bill_file_reject
                (bill_file_id, reject_no, line_no, column_name, reason, raw)
            SELECT :id, row_number() OVER (ORDER BY line_no), line_no, column_name, reason, raw
            FROM incoming_reject
        """),
        {"id": bill_file.id},
    )
    bill_file.rejected = kept.rowcount  # type: ignore[attr-defined]
    bill_file.rows = rows + bill_file.rejected
    session.flush()


_KEYS = text("""
    SELECT least(min(id), min(original_id)), greatest(max(id), max(original_id))
    FROM incoming WHERE row_no > :after AND row_no <= :upto
""")

# A chunk looks each of its rows up by index, so its cost stays the same however large the tables
# grow; left to itself the planner reads whole tables to save a few milliseconds on small ones.
_BY_INDEX = text("""
    SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
           set_config('enable_seqscan', 'off', true)
""")

_ACCOUNTS = text("""
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT DISTINCT ON (i.account_no)
           :provider_code, i.account_no, coalesce(i.holder_name, ''), coalesce(i.address, ''), :now
    FROM incoming i
    LEFT JOIN utility_account a
      ON a.provider_code = :provider_code AND a.account_no = i.account_no
    WHERE i.row_no > :after AND i.row_no <= :upto AND i.kind = 'bill' AND a.id IS NULL
      AND i.issued_on <= :posted_on
    ORDER BY i.account_no
    ON CONFLICT (provider_code, account_no) DO NOTHING
""")

_BILLS = text("""
    WITH fresh AS (
        INSERT INTO bill (account_id, id, bill_file_id, amount_fen, recorded_at, billing_month,
                          period_from_on, period_to_on, issued_on, due_on, file_line_no, version,
                          usage, bill_no, usage_unit, items, pay_terms)
        SELECT a.id, i.id, :bill_file_id, i.amount_fen, :now, i.billing_month, i.period_from_on,
               i.period_to_on, i.issued_on, i.due_on, i.line_no, i.version, i.usage, i.bill_no,
               coalesce(i.usage_unit, ''), i.items::json, i.pay_terms::json
        FROM incoming i
        JOIN utility_account a
          ON a.provider_code = :provider_code AND a.account_no = i.account_no
        WHERE i.row_no > :after AND i.row_no <= :upto AND i.kind = 'bill'
          AND i.issued_on <= :posted_on
        ORDER BY a.id, i.id, i.row_no
        ON CONFLICT DO NOTHING
        RETURNING account_id, id, version, amount_fen
    ), posted AS (
        INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                     credit_account_id, amount_fen, posted_on, posted_at)
        SELECT account_id, id, 'issued.' || version,
               CASE WHEN amount_fen > 0 THEN CAST(:receivable_id AS int) ELSE :uncollected_id END,
               CASE WHEN amount_fen > 0 THEN CAST(:uncollected_id AS int) ELSE :receivable_id END,
               abs(amount_fen), :posted_on, :now
        FROM fresh WHERE amount_fen <> 0
    )
    SELECT count(*), coalesce(sum(amount_fen), 0)::bigint FROM fresh
""")

_COUNT = text("""
    UPDATE bill_file SET rows_done = :upto, created = created + :created,
        unchanged = unchanged + :unchanged, superseded = superseded + :superseded,
        cancelled = cancelled + :cancelled, reminded = reminded + :reminded,
        waiting = waiting + :waiting, rejected = rejected + :rejected,
        total_fen = total_fen + :total_fen
    WHERE id = :bill_file_id
""")


def _land_chunk(session: Session, chunk: corrections.Chunk) -> None:
    """Land one chunk: all of it, or nothing."""
    values = chunk.values()
    session.execute(_BY_INDEX)
    session.execute(_ACCOUNTS, values)
    created, total_fen = session.execute(_BILLS, values).one()
    verdicts = dict.fromkeys(corrections.COUNTED, 0)
    met = chunk.upto - chunk.after - created
    if met:
        verdicts |= corrections.settle(session, chunk, met=met)
    session.execute(_COUNT, values | verdicts | {"created": created, "total_fen": total_fen})
    outbox.emit(
        session, "bills.recorded", chunk.bill_file_id, now=chunk.now,
        after_row=chunk.after, upto_row=chunk.upto, created=created, **verdicts,
    )  # fmt: skip


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
