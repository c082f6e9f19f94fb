"""Batch collection (代收): orders gather in a batch, its file goes to the bank, silence is a yes.

Four steps, each of which may be repeated and may follow the others at any time: ``gather`` and
``cut``, ``hand_over``, ``take_in_returns``, ``end_silence``. A row's state says what is left to do.

Rule 34: the bank reports only failures; what has not come back when the silence is over is paid, on
the day it was collected. Rule 35: what comes back after that opens its bills again, as a chargeback
that is lost from the start, and freezes the mandate. A fee for it is the company's late fee.
"""

import hashlib
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.rules.calendars import add_working_days
from core.clock import BILLING_ZONE, billing_date, day_bounds
from core.db import count_changed, transaction
from core.errors import Conflict, SettlementFileError
from payments.autopay.collection_models import (
    BatchState,
    CollectionBatch,
    CollectionEntry,
    CollectionReturnFile,
    EntryState,
)
from payments.autopay.mandates import freeze
from payments.gateways.bank_debit import reason_of
from payments.gateways.base import DisputeReply, DisputeState, GatewayReply, GatewayStatus
from payments.gateways.collecting import Batch, Collecting, Debit, HandOver, Return
from payments.returns import chargebacks
from payments.settlement import book_reply

CALENDAR = "CN"  # the bank's working days
_NOON = time(12, 0)
_WHOLE_BATCH = "FILE"  # the code of an order whose batch the bank refused
_CHUNK = 500
_MARGIN = timedelta(days=7)  # how long a payment may wait above the silence for somebody to look


def advance(gateway: Collecting, *, cut_off: time, silence_days: int, now: datetime) -> None:
    """Do of every step what can be done now.

    Raises:
        UpstreamUnavailable: the bank cannot be reached; try again later.
        SettlementFileError: a file of returns is refused; until it is mended nothing becomes paid.
    """
    with transaction() as session:
        gather(session, gateway, silence_days=silence_days, now=now)
        cut(session, gateway, cut_off=cut_off, silence_days=silence_days, now=now)
    hand_over(gateway, now=now)
    if take_in_returns(gateway, now=now) is not None:
        end_silence(gateway, now=now)


_OPEN_BATCH = text("""
    INSERT INTO collection_batch (gateway, state, opened_at, state_at, entries, total_fen)
    VALUES (:gateway, 'open', :now, :now, 0, 0)
    ON CONFLICT (gateway) WHERE state = 'open' DO NOTHING
""")

# Orders whose gateway has said that it takes them, and that no batch has yet. Their payments wait
# for as long as silence takes: nobody may pay the bill meanwhile.
_GATHER = text("""
    WITH batch AS (
        SELECT id FROM collection_batch WHERE gateway = :gateway AND state = 'open' FOR SHARE
    ), entered AS (
        INSERT INTO collection_entry (order_no, batch_id, payment_id, debtor_ref, amount_fen,
                                      state, entered_at, state_at)
        SELECT p.order_no, batch.id, p.id, p.mandate_ref, p.amount_fen, 'waiting', :now, :now
        FROM payment p, batch
        WHERE p.gateway = :gateway AND p.status = 'open' AND p.mandate_ref IS NOT NULL
          AND NOT EXISTS (SELECT FROM collection_entry e WHERE e.payment_id = p.id)
        ON CONFLICT DO NOTHING
        RETURNING payment_id
    )
    UPDATE payment SET expires_at = greatest(expires_at, :expires_at)
    FROM entered WHERE payment.id = entered.payment_id
""")


def gather(session: Session, gateway: Collecting, *, silence_days: int, now: datetime) -> int:
    """Put every order that waits into the open batch, once; returns how many."""
    silent_until = _silent_until(_collect_on(billing_date(now)), silence_days)
    _, ends_at = day_bounds(silent_until)
    values = {"gateway": gateway.code, "now": now, "expires_at": ends_at + _MARGIN}
    session.execute(_OPEN_BATCH, values)
    return count_changed(session.execute(_GATHER, values))


def _collect_on(cut_on: date) -> date:
    return add_working_days(CALENDAR, cut_on, 1)


def _silent_until(collect_on: date, silence_days: int) -> date:
    return add_working_days(CALENDAR, collect_on, silence_days)


def cut(
    session: Session, gateway: Collecting, *, cut_off: time, silence_days: int, now: datetime
) -> CollectionBatch | None:
    """Write the file of the open batch, if a cut-off has passed since it was opened.

    A payment that has ended meanwhile is left out (rule 37); a batch of nothing stays open.
    """
    batch = session.exec(
        select(CollectionBatch)
        .where(CollectionBatch.gateway == gateway.code, CollectionBatch.state == BatchState.OPEN)
        .with_for_update()
    ).one_or_none()
    if batch is None or batch.opened_at >= _last_cut_off(now, cut_off):
        return None
    session.execute(_DROP, {"batch_id": batch.id, "now": now})
    rows = session.execute(_DEBITS, {"batch_id": batch.id}).all()
    if not rows:
        return None
    assert batch.id is not None
    day = billing_date(now)
    made = Batch(
        batch_no=f"{day:%Y%m%d}{batch.id:08d}", collect_on=_collect_on(day), written_at=now,
        debits=tuple(Debit(*row) for row in rows),
    )  # fmt: skip
    batch.batch_no, batch.collect_on = made.batch_no, made.collect_on
    batch.silent_until = _silent_until(made.collect_on, silence_days)
    batch.entries, batch.total_fen = len(made.debits), made.total_fen
    batch.content = gateway.write_batch(made)
    batch.state, batch.cut_at, batch.state_at = BatchState.CUT, now, now
    session.flush()
    return batch


def _last_cut_off(now: datetime, cut_off: time) -> datetime:
    today = datetime.combine(billing_date(now), cut_off, BILLING_ZONE)
    return today if now >= today else today - timedelta(days=1)


_DROP = text("""
    UPDATE collection_entry e SET state = 'dropped', state_at = :now
    FROM payment p
    WHERE e.batch_id = :batch_id AND e.state = 'waiting' AND p.id = e.payment_id
      AND p.status NOT IN ('created', 'unknown', 'open')
""")
_DEBITS = text("""
    SELECT e.order_no, e.debtor_ref, e.amount_fen
    FROM collection_entry e JOIN payment p ON p.id = e.payment_id
    WHERE e.batch_id = :batch_id AND e.state = 'waiting'
    ORDER BY e.order_no FOR SHARE OF p
""")


def hand_over(gateway: Collecting, *, now: datetime) -> int:
    """Give the bank what is cut, each file until it says yes or no; returns how many it took.

    No transaction is open while we wait.

    Raises:
        UpstreamUnavailable: the bank cannot be reached; try again later.
    """
    with transaction() as session:
        waiting = _batches(session, gateway, BatchState.CUT)
    taken = 0
    for batch in waiting:
        assert batch.id is not None
        assert batch.batch_no is not None
        assert batch.content is not None
        reply = gateway.hand_over(batch.batch_no, batch.content)
        if reply.outcome is HandOver.UNKNOWN:
            continue
        with transaction() as session:
            row = session.get_one(CollectionBatch, batch.id, with_for_update=True)
            if row.state is not BatchState.CUT:
                continue
            refused = reply.outcome is HandOver.REFUSED
            row.state, row.state_at = (BatchState.REFUSED if refused else BatchState.TAKEN), now
            row.complaint = reply.complaint if refused else None
            taken += not refused
    with transaction() as session:
        refused_ids = [one.id for one in _batches(session, gateway, BatchState.REFUSED)]
    no = GatewayReply(status=GatewayStatus.REFUSED, reason=reason_of(_WHOLE_BATCH))
    for batch_id in refused_ids:
        _end_entries(batch_id, EntryState.RETURNED, no, now=now)
    return taken


def _batches(session: Session, gateway: Collecting, state: BatchState) -> list[CollectionBatch]:
    wanted = select(CollectionBatch).where(
        CollectionBatch.gateway == gateway.code, CollectionBatch.state == state
    )
    return list(session.exec(wanted.order_by(col(CollectionBatch.id))))


def take_in_returns(gateway: Collecting, *, now: datetime) -> int | None:
    """Read every file of returns that has not been read.

    Returns:
        How many orders came back; None: the bank did not say all of it, so silence is no yes yet.

    Raises:
        UpstreamUnavailable: the bank cannot be reached; try again later.
        SettlementFileError: a file is refused whole; those before it are taken in.
    """
    with transaction() as session:
        known = set(
            session.exec(
                select(CollectionReturnFile.file_no).where(
                    CollectionReturnFile.gateway == gateway.code
                )
            )
        )
    file_nos = gateway.list_returns()
    came_back = 0
    for file_no in file_nos or ():
        if file_no in known:
            continue
        content = gateway.fetch_returns(file_no)
        if content is None:
            return None
        with transaction() as session:
            came_back += book_returns(session, gateway, content, now=now)
    return None if file_nos is None else came_back


def book_returns(session: Session, gateway: Collecting, content: bytes, *, now: datetime) -> int:
    """Enter one file of returns, whole or not at all; again it changes nothing (rule 40).

    Raises:
        SettlementFileError: malformed, or about an order or amount we did not send.
        Conflict: the bank has used this file's number for another file.
    """
    file = gateway.read_returns(content)
    sha256 = hashlib.sha256(content).hexdigest()
    kept = {
        "gateway": gateway.code, "file_no": file.file_no, "sha256": sha256, "now": now,
        "rows": len(file.returns), "total_fen": sum(one.amount_fen for one in file.returns),
    }  # fmt: skip
    if session.execute(_KEEP_FILE, kept).scalar_one_or_none() is None:
        known = session.get_one(CollectionReturnFile, (gateway.code, file.file_no))
        if known.sha256 != sha256:
            raise Conflict(
                f"the bank sent another file under the number {file.file_no}: ask which one holds",
                code="collection.file_no_used",
            )
        return 0
    entries = [_entry_of(session, one) for one in file.returns]
    for one, entry in zip(file.returns, entries, strict=True):
        _book_return(session, gateway, one, entry, file.file_no, now=now)
    return len(entries)


_KEEP_FILE = text("""
    INSERT INTO collection_return_file (gateway, file_no, sha256, rows, total_fen, received_at)
    VALUES (:gateway, :file_no, :sha256, :rows, :total_fen, :now)
    ON CONFLICT (gateway, file_no) DO NOTHING RETURNING file_no
""")


def _entry_of(session: Session, one: Return) -> CollectionEntry:
    entry = session.get(CollectionEntry, one.order_no)
    if entry is None or entry.state is EntryState.DROPPED:
        raise SettlementFileError(
            f"we sent no order {one.order_no[:32]}: ask the bank whose it is", line_no=one.line_no
        )
    if entry.amount_fen != one.amount_fen:
        raise SettlementFileError(
            f"order {one.order_no} was of {entry.amount_fen} fen and comes back as"
            f" {one.amount_fen}: ask the bank",
            line_no=one.line_no,
        )
    return entry


def _book_return(
    session: Session, gateway: Collecting, one: Return, entry: CollectionEntry, file_no: str,
    *, now: datetime,
) -> None:  # fmt: skip
    """Enter that an order came back, before the silence was over or after it."""
    late = _lock_entry(session, entry).state is EntryState.COLLECTED
    if not late and entry.state is not EntryState.WAITING:
        return
    entry.state = EntryState.BOUNCED if late else EntryState.RETURNED
    entry.state_at, entry.return_code, entry.return_file_no = now, one.code, file_no
    session.flush()
    if not late:
        no = GatewayReply(status=GatewayStatus.REFUSED, reason=reason_of(one.code))
        book_reply(session, entry.payment_id, no, now=now)
        return
    lost = DisputeReply(
        state=DisputeState.LOST, order_no=one.order_no, amount_fen=one.amount_fen,
        reason=reason_of(one.code), opened_at=now, decided_at=now,
    )  # fmt: skip
    # Where a company's answer is still out, it stays open and is asked about again.
    chargebacks.book(session, gateway.code, one.order_no, lost, now=now)
    freeze(session, entry.payment_id, now=now)


def _lock_entry(session: Session, entry: CollectionEntry) -> CollectionEntry:
    session.refresh(entry, with_for_update=True)
    return entry


def end_silence(gateway: Collecting, *, now: datetime) -> int:
    """Book as paid what has not come back in time (rule 34); returns how many batches are closed.

    The bank's files of returns must have been read before: see ``advance``.
    """
    with transaction() as session:
        taken = _batches(session, gateway, BatchState.TAKEN)
    over = [one for one in taken if one.silent_until and billing_date(now) > one.silent_until]
    for batch in over:
        assert batch.id is not None
        assert batch.collect_on is not None
        noon = datetime.combine(batch.collect_on, _NOON, BILLING_ZONE)
        yes = GatewayReply(status=GatewayStatus.PAID, paid_at=noon)
        _end_entries(batch.id, EntryState.COLLECTED, yes, now=now)
        with transaction() as session:
            row = session.get_one(CollectionBatch, batch.id, with_for_update=True)
            row.state, row.state_at = BatchState.CLOSED, now
    return len(over)


def _end_entries(
    batch_id: int | None, state: EntryState, reply: GatewayReply, *, now: datetime
) -> None:
    """Book one outcome for everything of a batch that still waits, chunk by chunk."""
    waiting = (
        select(CollectionEntry)
        .where(CollectionEntry.batch_id == batch_id, CollectionEntry.state == EntryState.WAITING)
        .order_by(col(CollectionEntry.order_no))
        .limit(_CHUNK)
        .with_for_update()
    )
    while True:
        with transaction() as session:
            entries = session.exec(waiting).all()
            for entry in entries:
                told = replace(reply, gateway_ref=entry.order_no, amount_fen=entry.amount_fen)
                book_reply(session, entry.payment_id, told, now=now)
                entry.state, entry.state_at = state, now
                if state is EntryState.RETURNED:
                    entry.return_code = _WHOLE_BATCH
        if not entries:
            return
