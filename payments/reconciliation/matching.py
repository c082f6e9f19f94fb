"""A gateway's own account of a day against ours and against the ledger.

Set-based; may be run again at any time, with the same file or a corrected one, and converges.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO

from sqlalchemy import text
from sqlmodel import Session, col, select

from core.clock import day_bounds
from core.db import driver
from core.errors import NotFound
from payments.counter.days import take_in
from payments.gateways.base import Gateway, SettlementRecord
from payments.gateways.counter import CODE as COUNTER
from payments.reconciliation import breaks
from payments.reconciliation.models import (
    ArrivalState,
    Leg,
    Reconciliation,
    SettlementFile,
)

MAX_FILE_BYTES = 512 << 20
_KINDS = ("missing_here", "missing_at_gateway", "amount_differs", "duplicate", "ledger_differs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationResult:
    """What a run found. Amounts in fen; refunds count negative."""

    source: str
    day: date
    file_name: str
    matched: int
    missing_here: int
    missing_at_gateway: int
    amount_differs: int
    duplicate: int
    ledger_differs: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    fee_total_fen: int
    run_at: datetime

    @property
    def breaks(self) -> int:
        gone = self.missing_here + self.missing_at_gateway
        return gone + self.amount_differs + self.duplicate + self.ledger_differs

    @property
    def balanced(self) -> bool:
        return self.breaks == 0


def reconcile(
    session: Session,
    gateway: Gateway,
    stream: BinaryIO,
    *,
    day: date,
    file_name: str,
    now: datetime,
) -> ReconciliationResult:
    """Take in a day's settlement file and match it; the same file again gives the same result.

    Cash that an agent's file tells of and we have not heard of is booked first.

    Raises:
        SettlementFileError: the file is refused; nothing changed.
    """
    content = stream.read(MAX_FILE_BYTES)
    _lock(session, gateway.code, day)
    if gateway.code == COUNTER:
        take_in(session, content, day=day, now=now)
    rows = list(gateway.read_settlement(io.BytesIO(content), day=day))
    file_id = _keep(session, gateway.code, content, rows, day=day, file_name=file_name, now=now)
    return _match(session, gateway.code, day, file_id, ArrivalState.ARRIVED, now=now)


def reconcile_nothing(
    session: Session, source: str, *, day: date, now: datetime
) -> ReconciliationResult:
    """Match a day of which its gateway says that nothing happened: what we have is not there."""
    _lock(session, source, day)
    file_id = _keep(session, source, b"", [], day=day, file_name="", now=now)
    return _match(session, source, day, file_id, ArrivalState.NO_DATA, now=now)


def _lock(session: Session, source: str, day: date) -> None:
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('reconciliation'), hashtext(:what))"),
        {"what": f"{source} {day}"},
    )


_ARRIVED = text("""
    INSERT INTO settlement_arrival (source, day, state, due_at, asked_at, settlement_file_id)
    VALUES (:source, :day, :state, :now, :now, :file_id)
    ON CONFLICT (source, day) DO UPDATE SET
        state = excluded.state, asked_at = excluded.asked_at, answer = NULL,
        settlement_file_id = excluded.settlement_file_id
""")


def _match(
    session: Session, source: str, day: date, file_id: int, state: ArrivalState, *, now: datetime
) -> ReconciliationResult:
    started, ended = day_bounds(day)
    values = {
        "source": source, "day": day, "file_id": file_id, "now": now, "state": state,
        "started": started, "ended": ended, "gateway_account": f"gateway:{source}",
    }  # fmt: skip
    session.execute(_MATCH, values)
    breaks.record(session, Leg.GATEWAY, source, day, found=_FOUND, values={}, now=now)
    session.execute(_SUMMARY, values)
    session.execute(text("DROP TABLE matching"))
    session.execute(_ARRIVED, values)
    return get_result(session, source, day)


def _keep(
    session: Session,
    source: str,
    content: bytes,
    rows: Sequence[SettlementRecord],
    *,
    day: date,
    file_name: str,
    now: datetime,
) -> int:
    """Store a file and its rows once; the same bytes for the same day are the same file."""
    sha256 = hashlib.sha256(content).hexdigest()
    known = session.exec(
        select(SettlementFile).where(
            SettlementFile.source == source,
            SettlementFile.day == day,
            SettlementFile.sha256 == sha256,
        )
    ).one_or_none()
    if known is not None:
        assert known.id is not None
        return known.id
    kept = SettlementFile(
        source=source, day=day, sha256=sha256, file_name=file_name[:200], received_at=now
    )
    session.add(kept)
    session.flush()
    assert kept.id is not None
    with (
        driver(session)
        .cursor()
        .copy(
            "COPY settlement_row (settlement_file_id, line_no, kind, reference, gateway_ref, "
            "amount_fen, fee_fen, happened_at) FROM STDIN"
        ) as copy
    ):
        for row in rows:
            copy.write_row((kept.id, *row))
    return kept.id


# What the ledger moved into the gateway's account, or out of it, about some subjects.
_MOVED = """
    SELECT coalesce(sum(t.amount_fen), 0)
    FROM ({subjects}) s (account_id, subject_id)
    JOIN ledger_transfer t ON t.account_id = s.account_id AND t.subject_id = s.subject_id
     AND t.entry_key IN ({keys})
    JOIN ledger_account a ON a.id = t.{side}_account_id AND a.code = :gateway_account
"""
_PAID = _MOVED.format(
    side="debit",
    subjects="SELECT account_id, bill_id FROM payment_item WHERE payment_id = p.id "
    "UNION ALL SELECT 0, p.id",
    keys="'paid:' || p.id, 'advance:' || p.id, 'stray:' || p.id, "
    "'fee:' || p.id, 'fee_tax:' || p.id",
)
# The fee goes back with one refund of the payment, whose ``fee_fen`` says so.
_REFUNDED = _MOVED.format(
    side="credit",
    subjects="SELECT r.account_id, r.bill_id UNION ALL SELECT 0, r.payment_id WHERE r.fee_fen > 0",
    keys="'returned:' || r.payment_id, 'returned:' || r.refund_no",
)
_SUSPENDED = _MOVED.format(side="debit", subjects="SELECT 0, m.id", keys="'suspense_in:' || m.id")
_RELEASED = _MOVED.format(side="credit", subjects="SELECT 0, m.id", keys="'returned:' || m.id")

# Ours: what the gateway says it took or sent back that day, for bills or suspended (then under
# ``suspense.return_no``), and what the ledger moved for each. Theirs: the file's rows. An order may
# be taken twice: both sides sum up, and ``refs`` tells that from one taking that is listed twice.
_MATCH = text(f"""
    CREATE TEMPORARY TABLE matching ON COMMIT DROP AS
    WITH moved AS (
        SELECT 'payment' AS kind, p.order_no AS reference, p.amount_fen AS fen,
               ({_PAID}) AS ledger_fen, p.paid_at AS happened_at
        FROM payment p
        WHERE p.gateway = :source AND p.paid_at >= :started AND p.paid_at < :ended
        UNION ALL
        SELECT 'refund', r.refund_no, r.charged_back_fen - r.amount_fen, -({_REFUNDED}),
               r.succeeded_at
        FROM refund r JOIN payment p ON p.id = r.payment_id
        WHERE p.gateway = :source AND r.succeeded_at >= :started AND r.succeeded_at < :ended
          AND NOT EXISTS (SELECT FROM bank_transfer t
                          WHERE t.number = r.refund_no AND t.sent_at IS NOT NULL)
        UNION ALL
        SELECT 'payment', p.order_no, m.amount_fen, ({_SUSPENDED}), m.received_at
        FROM receipt m JOIN payment p ON p.id = m.payment_id
        WHERE m.source = :source AND m.received_at >= :started AND m.received_at < :ended
        UNION ALL
        SELECT 'refund', 'S' || m.id, m.charged_back_fen - m.amount_fen, -({_RELEASED}),
               m.returned_at
        FROM receipt m
        WHERE m.source = :source AND m.returned_at >= :started AND m.returned_at < :ended
          AND m.charged_back_fen < m.amount_fen
          AND NOT EXISTS (SELECT FROM bank_transfer t
                          WHERE t.number = 'S' || m.id AND t.sent_at IS NOT NULL)
    ), ours AS (
        SELECT kind, reference, count(*) AS times, sum(fen)::bigint AS fen,
               sum(ledger_fen)::bigint AS ledger_fen, min(happened_at) AS happened_at
        FROM moved GROUP BY kind, reference
    ), theirs AS (
        SELECT kind, reference, min(gateway_ref) AS gateway_ref, count(*) AS times,
               count(DISTINCT gateway_ref) AS refs, sum(amount_fen)::bigint AS fen,
               min(happened_at) AS happened_at
        FROM settlement_row WHERE settlement_file_id = :file_id GROUP BY kind, reference
    )
    SELECT kind, reference, t.gateway_ref, o.times AS ours_times, o.fen AS ours_fen,
           t.fen AS theirs_fen, o.ledger_fen,
           coalesce(t.happened_at, o.happened_at) AS happened_at,
           CASE WHEN o.fen IS NULL THEN 'missing_here'
                WHEN t.fen IS NULL THEN 'missing_at_gateway'
                WHEN t.times > o.times OR t.times > t.refs THEN 'duplicate'
                WHEN o.fen <> t.fen THEN 'amount_differs'
                WHEN o.fen <> o.ledger_fen THEN 'ledger_differs'
                ELSE 'matched' END AS verdict
    FROM ours o FULL JOIN theirs t USING (kind, reference)
""")  # noqa: S608  our own texts

_FOUND = """
    SELECT verdict AS kind, kind AS row_kind, reference, gateway_ref AS their_ref, ours_fen,
           CASE WHEN verdict = 'ledger_differs' THEN ledger_fen ELSE theirs_fen END AS theirs_fen,
           happened_at
    FROM matching WHERE verdict <> 'matched'
"""

_SUMMARY = text("""
    INSERT INTO reconciliation (source, day, settlement_file_id, matched, our_count, their_count,
                                our_total_fen, their_total_fen, fee_total_fen, run_at)
    SELECT :source, :day, :file_id, m.matched, m.ours, f.rows, m.our_fen, f.fen, f.fee, :now
    FROM (SELECT coalesce(sum(ours_times) FILTER (WHERE verdict = 'matched'), 0) AS matched,
                 coalesce(sum(ours_times), 0) AS ours,
                 coalesce(sum(ours_fen), 0)::bigint AS our_fen
          FROM matching) m,
         (SELECT count(*) AS rows, coalesce(sum(amount_fen), 0)::bigint AS fen,
                 coalesce(sum(fee_fen), 0)::bigint AS fee
          FROM settlement_row WHERE settlement_file_id = :file_id) f
    ON CONFLICT (source, day) DO UPDATE SET
        settlement_file_id = excluded.settlement_file_id, matched = excluded.matched,
        our_count = excluded.our_count, their_count = excluded.their_count,
        our_total_fen = excluded.our_total_fen, their_total_fen = excluded.their_total_fen,
        fee_total_fen = excluded.fee_total_fen, run_at = excluded.run_at
""")


def get_result(session: Session, source: str, day: date) -> ReconciliationResult:
    """Return the last run of a day.

    Raises:
        NotFound: the day has not been reconciled: its file is not here yet.
    """
    run = session.get(Reconciliation, (source, day), populate_existing=True)
    if run is None:
        raise NotFound(f"{source} of {day} has not been reconciled yet")
    kept = session.get_one(SettlementFile, run.settlement_file_id)
    kinds = session.execute(
        text(
            "SELECT kind, count(*) AS rows FROM reconciliation_break "
            "WHERE leg = 'gateway' AND source = :source AND day = :day AND state = 'open' "
            "GROUP BY kind"
        ),
        {"source": source, "day": day},
    )
    found = dict.fromkeys(_KINDS, 0) | {row.kind: row.rows for row in kinds}
    return ReconciliationResult(
        source=source, day=day, file_name=kept.file_name, matched=run.matched,
        our_count=run.our_count, their_count=run.their_count, our_total_fen=run.our_total_fen,
        their_total_fen=run.their_total_fen, fee_total_fen=run.fee_total_fen, run_at=run.run_at,
        **found,
    )  # fmt: skip


def list_results(session: Session, *, limit: int = 60) -> list[ReconciliationResult]:
    """Return the last days, newest first."""
    runs = session.exec(
        select(Reconciliation)
        .order_by(col(Reconciliation.day).desc(), col(Reconciliation.source))
        .limit(limit)
    )
    return [get_result(session, run.source, run.day) for run in runs.all()]
