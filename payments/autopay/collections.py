"""Batch collection (代收): orders gather in a batch, its file goes to the bank, silence is a yes.

Four steps, each of which may be repeated and may follow the others at any time: ``gather`` and
``cut``, ``hand_over``, ``take_in_returns``, ``end_silence``. A row's state says what is left to do.
The first is ``payments.autopay.batches``.

Rule 34: the bank reports only failures; what has not come back when the silence is over is paid, on
the day it was collected. Rule 35: what comes back after that opens its bills again, as a chargeback
that is lost from the start, and freezes the mandate. A fee for it is the company's late fee.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, time

from sqlalchemy import text
from sqlmodel import Session, col, select

from core import log
from core.clock import BILLING_ZONE, billing_date
from core.db import transaction
from core.errors import Conflict, SettlementFileError, UpstreamUnavailable
from payments.autopay.batches import begin_silence, cut, gather
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
from payments.gateways.collecting import (
    Collecting,
    HandOver,
    HandOverReply,
    Return,
)
from payments.returns import chargebacks
from payments.settlement import book_reply

_NOON = time(12, 0)
_WHOLE_BATCH = "FILE"  # the code of an order whose batch the bank refused
_UNSENT = "UNSENT"  # of one whose batch never reached the bank
_ASKED = "ASKED"  # of one that came back as the bank said when it was asked, in no file yet
_OVERDUE = "its day of collection passed before the bank could be reached: nothing was collected"
_CHUNK = 500
_NAMED = 20  # of the rows that are not ours, in one line of the log
_log = log.logger(__name__)


def advance(gateway: Collecting, *, cut_off: time, silence_days: int, now: datetime) -> None:
    """Do of every step what can be done now.

    Raises:
        UpstreamUnavailable: the bank cannot be reached; try again later.
        SettlementFileError: a file of returns is refused; until it is mended nothing becomes paid.
    """
    was_cut = True
    while was_cut:
        with transaction() as session:
            gather(session, gateway, silence_days=silence_days, now=now)
            made = cut(session, gateway, cut_off=cut_off, silence_days=silence_days, now=now)
        was_cut = made is not None
    hand_over(gateway, silence_days=silence_days, now=now)
    if take_in_returns(gateway, now=now) is not None:
        end_silence(gateway, now=now)


def hand_over(gateway: Collecting, *, silence_days: int, now: datetime) -> int:
    """Give the bank what is cut, each file until it says yes or no; returns how many it took.

    A file that cannot have reached it before its day of collection passed is not handed over any
    more: nobody's money is taken later than they were told. No transaction is open while we wait.

    Raises:
        UpstreamUnavailable: the bank cannot be reached; try again later.
    """
    taken = 0
    with transaction() as session:
        values = {"gateway": gateway.code, "now": now, "today": billing_date(now)}
        session.execute(_STOP_OVERDUE, values | {"complaint": _OVERDUE})
    _end_refused(gateway, now=now)
    for batch_id in _batch_ids(gateway, BatchState.CUT):
        with transaction() as session:
            batch = session.get_one(CollectionBatch, batch_id, with_for_update=True)
            if batch.state is not BatchState.CUT:
                continue
            batch.offered_at = batch.offered_at or now  # before it is: it may have it from now on
        assert batch.batch_no is not None
        assert batch.content is not None
        try:
            reply = gateway.hand_over(batch.batch_no, batch.content)
        except UpstreamUnavailable:
            with transaction() as session:
                session.execute(_UNHEARD, {"batch_id": batch_id, "now": now})
            raise
        with transaction() as session:
            taken += _book_answer(session, batch_id, reply, silence_days=silence_days, now=now)
    _end_refused(gateway, now=now)
    return taken


_STOP_OVERDUE = text("""
    UPDATE collection_batch SET state = 'refused', state_at = :now, complaint = :complaint
    WHERE gateway = :gateway AND state = 'cut' AND offered_at IS NULL AND collect_on < :today
""")
# Whoever offered it at another moment may have been heard.
_UNHEARD = text("""
    UPDATE collection_batch SET offered_at = NULL
    WHERE id = :batch_id AND state = 'cut' AND offered_at = :now
""")


def _end_refused(gateway: Collecting, *, now: datetime) -> None:
    """End the orders of batches that the bank refused, or never had."""
    for batch_id in _batch_ids(gateway, BatchState.REFUSED):
        with transaction() as session:
            unsent = session.get_one(CollectionBatch, batch_id).offered_at is None
        code = _UNSENT if unsent else _WHOLE_BATCH
        status = GatewayStatus.CLOSED if unsent else GatewayStatus.REFUSED
        no = GatewayReply(status=status, reason=reason_of(code))
        _end_entries(batch_id, EntryState.RETURNED, no, code, now=now)


def _book_answer(
    session: Session, batch_id: int, reply: HandOverReply, *, silence_days: int, now: datetime
) -> bool:
    """Enter what the bank says of a file; tells whether it has taken it just now."""
    row = session.get_one(CollectionBatch, batch_id, with_for_update=True)
    if row.state is not BatchState.CUT:
        return False
    row.complaint, row.offered_at = reply.complaint or None, row.offered_at or now
    match reply.outcome:
        case HandOver.TAKEN:
            row.state, row.state_at = BatchState.TAKEN, now
            begin_silence(session, row, silence_days=silence_days, now=now)
        case HandOver.REFUSED:
            row.state, row.state_at = BatchState.REFUSED, now
    return reply.outcome is HandOver.TAKEN


_BATCHES = text("""
    SELECT id FROM collection_batch b WHERE gateway = :gateway AND state = :state
      AND (state <> 'refused' OR EXISTS (
          SELECT FROM collection_entry e WHERE e.batch_id = b.id AND e.state = 'waiting'))
    ORDER BY id
""")


def _batch_ids(gateway: Collecting, state: BatchState) -> list[int]:
    """Return the batches in a state, without their files; of refused ones those not yet ended."""
    with transaction() as session:
        values = {"gateway": gateway.code, "state": state}
        return list(session.execute(_BATCHES, values).scalars())


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

    A row about an order that we did not send is nobody's here, and stops nothing (rule 34).

    Raises:
        SettlementFileError: malformed, or about another amount than we sent.
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
    ours = [(one, entry) for one, entry in zip(file.returns, entries, strict=True) if entry]
    if len(ours) < len(entries):
        _log.warning(
            "returns_of_others", gateway=gateway.code, file_no=file.file_no,
            line_nos=[one.line_no for one, entry in zip(file.returns, entries, strict=True)
                      if entry is None][:_NAMED],
            rows=len(entries) - len(ours),
        )  # fmt: skip
    session.execute(_LOCK_MANDATES, {"payment_ids": [entry.payment_id for _, entry in ours]})
    for one, entry in ours:
        _book_return(session, gateway, one, entry, file.file_no, now=now)
    return len(ours)


# Before their payments, as whoever pauses one locks them.
_LOCK_MANDATES = text("""
    SELECT id FROM mandate WHERE id IN (
        SELECT mandate_id FROM autopay_run WHERE payment_id = ANY(:payment_ids))
    ORDER BY id FOR UPDATE
""")

_KEEP_FILE = text("""
    INSERT INTO collection_return_file (gateway, file_no, sha256, rows, total_fen, received_at)
    VALUES (:gateway, :file_no, :sha256, :rows, :total_fen, :now)
    ON CONFLICT (gateway, file_no) DO NOTHING RETURNING file_no
""")


def _entry_of(session: Session, one: Return) -> CollectionEntry | None:
    """Return the order a row is about; None: none that we sent."""
    entry = session.get(CollectionEntry, one.order_no)
    if entry is None or entry.state is EntryState.DROPPED or entry.return_code == _UNSENT:
        return None
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


def word_on(session: Session, payment_id: int) -> GatewayReply:
    """Tell what became of a payment that has ended, as a gateway that knows would (rule 34).

    The bank knows nothing of what was in none of the batches it was given.
    """
    entry = session.exec(
        select(CollectionEntry).where(CollectionEntry.payment_id == payment_id)
    ).one_or_none()
    if entry is None or entry.state is EntryState.DROPPED or entry.return_code == _UNSENT:
        return GatewayReply(status=GatewayStatus.NOT_FOUND)
    if entry.return_code is not None:
        return GatewayReply(status=GatewayStatus.REFUSED, reason=reason_of(entry.return_code))
    return GatewayReply(status=GatewayStatus.OPEN)


def _lock_entry(session: Session, entry: CollectionEntry) -> CollectionEntry:
    session.refresh(entry, with_for_update=True)
    return entry


_OVER = text("""
    SELECT id, collect_on FROM collection_batch
    WHERE gateway = :gateway AND state = 'taken' AND silent_until < :today ORDER BY id
""")


def end_silence(gateway: Collecting, *, now: datetime) -> int:
    """Book as paid what has not come back in time (rule 34); returns how many batches are closed.

    The bank's files of returns must have been read before: see ``advance``.
    """
    with transaction() as session:
        values = {"gateway": gateway.code, "today": billing_date(now)}
        over = session.execute(_OVER, values).all()
    for batch_id, collect_on in over:
        noon = datetime.combine(collect_on, _NOON, BILLING_ZONE)
        yes = GatewayReply(status=GatewayStatus.PAID, paid_at=noon)
        _end_entries(batch_id, EntryState.COLLECTED, yes, now=now)
        with transaction() as session:
            row = session.get_one(CollectionBatch, batch_id, with_for_update=True)
            row.state, row.state_at = BatchState.CLOSED, now
    return len(over)


def _end_entries(
    batch_id: int | None, state: EntryState, reply: GatewayReply, code: str | None = None, *,
    now: datetime,
) -> None:  # fmt: skip
    """Book one outcome for everything of a batch that still waits, chunk by chunk.

    Silence says nothing of what the bank, asked about it, has said came back.
    """
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
            values = {"payment_ids": [entry.payment_id for entry in entries]}
            refused = set(session.execute(_REFUSED, values).scalars())
            for entry in entries:
                entry.state, entry.state_at, entry.return_code = state, now, code
                if state is EntryState.COLLECTED and entry.payment_id in refused:
                    entry.state, entry.return_code = EntryState.RETURNED, _ASKED
                    continue
                told = replace(reply, gateway_ref=entry.order_no, amount_fen=entry.amount_fen)
                book_reply(session, entry.payment_id, told, now=now)
        if not entries:
            return


_REFUSED = text("""
    SELECT id FROM payment WHERE id = ANY(:payment_ids) AND status = 'refused'
""")
