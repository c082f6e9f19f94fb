"""A gateway's own account of a day against ours and against the ledger.

Set-based; may be run again at any time, with the same file or a corrected one, and converges. A
day's own file and our books are laid side by side here; what that leaves is for ``leftovers``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, BinaryIO

from sqlalchemy import text
from sqlmodel import Session

from core.clock import day_bounds
from core.errors import Invalid, NotFound
from payments.counter.days import take_in
from payments.gateways.base import Gateway
from payments.gateways.counter import CODE as COUNTER
from payments.reconciliation.gateway.ahead import summing_up, take_off
from payments.reconciliation.gateway.comparing import (
    TABLES,
    TOLD,
    make_open,
    make_seen,
)
from payments.reconciliation.gateway.leftovers import lock_leftovers, match_leftovers
from payments.reconciliation.gateway.loading import keep_file, keep_nothing
from payments.reconciliation.models import (
    KINDS,
    ArrivalState,
    Leg,
    Reconciliation,
    SettlementFile,
)
from payments.reconciliation.source_terms import AGREED, Sources, fee_values

MAX_FILE_BYTES = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationResult:
    """What a run found. Amounts in fen; refunds count negative; ``late`` is no difference yet."""

    source: str
    day: date
    file_name: str
    matched: int
    missing_here: int
    missing_at_gateway: int
    amount_differs: int
    duplicate: int
    ledger_differs: int
    fee_differs: int
    other_route: int
    refund_unmatched: int
    late: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    fee_total_fen: int
    run_at: datetime

    @property
    def breaks(self) -> int:
        gone = self.missing_here + self.missing_at_gateway + self.refund_unmatched
        other = self.amount_differs + self.ledger_differs + self.fee_differs
        return gone + other + self.duplicate + self.other_route

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
    sources: Sources = AGREED,
) -> ReconciliationResult:
    """Take in a day's settlement file and match it; the same file again gives the same result.

    Cash that an agent's file tells of and we have not heard of is booked first.

    Args:
        sources: what is agreed with each gateway; of others nothing is.

    Raises:
        SettlementFileError: the file is refused; nothing changed.
        Invalid: the calendar ends at that day.
    """
    content = stream.read(MAX_FILE_BYTES)
    _lock(session, gateway.code, day)
    if gateway.code == COUNTER:
        take_in(session, content, day=day, now=now)
    values = _values(gateway.code, day, sources, now=now)
    with summing_up(values) as summed:
        file_id = keep_file(session, gateway, content, day=day, file_name=file_name, now=now)
        values |= {"file_id": file_id, "state": ArrivalState.ARRIVED}
        make_seen(session, values)
        values |= take_off(session, values, summed)
    return _match(session, values, sources=sources)


def reconcile_nothing(
    session: Session, source: str, *, day: date, now: datetime, sources: Sources = AGREED
) -> ReconciliationResult:
    """Match a day of which its gateway says that nothing happened: what we have is not there."""
    _lock(session, source, day)
    file_id = keep_nothing(session, source, day=day, now=now)
    values = _values(source, day, sources, now=now)
    values |= {"file_id": file_id, "state": ArrivalState.NO_DATA}
    make_seen(session, values)
    values |= take_off(session, values)
    return _match(session, values, sources=sources)


def _values(source: str, day: date, sources: Sources, *, now: datetime) -> dict[str, Any]:
    """Return what a run's statements ask for, but the file and how it came.

    Raises:
        Invalid: the calendar ends at that day.
    """
    try:
        started, ended = day_bounds(day)
    except OverflowError:
        raise Invalid(f"{day} is no day of a settlement file", code="settlement.day") from None
    return {
        "source": source, "day": day, "now": now, "started": started, "ended": ended,
        "gateway_account": f"gateway:{source}", **fee_values(sources, source),
    }  # fmt: skip


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
    session: Session, values: Mapping[str, Any], *, sources: Sources
) -> ReconciliationResult:
    source, day, now = values["source"], values["day"], values["now"]
    make_open(session, values)
    session.execute(_MATCH, values)
    lock_leftovers(session)  # another day's run writes to this one's row as well
    for statement in (_FORGET, _LEFT, _SUMMARY):
        session.execute(statement, values)
    session.execute(text(f"DROP TABLE IF EXISTS matching, {TABLES}"))
    session.execute(_ARRIVED, values)
    match_leftovers(session, day, sources=sources, now=now)
    return get_result(session, source, day)


# Of what has to be looked at. An order may be taken twice, and one taking be told in parts: both
# sides sum up, and ``refs`` tells that from one taking that is listed twice. A dispute that was won
# is one number in two rows, there and back; so is a refund that came back.
_MATCH = text(f"""
    CREATE TEMPORARY TABLE matching ON COMMIT DROP AS
    WITH theirs AS (
        SELECT kind, reference, bool_and(is_named) AS is_named,
               min(gateway_ref) AS gateway_ref, max(payer) AS payer, count(*) AS times,
               count(DISTINCT (gateway_ref, sign(amount_fen))) AS refs,
               sum(amount_fen)::bigint AS fen,
               sum(fee_fen)::bigint AS fee_fen,
               sum(CASE WHEN kind = 'payment' THEN
                   :fixed_fen + (amount_fen * :rate_ppm + 500000) / 1000000 END)::bigint
               AS agreed_fen,
               min(happened_at) AS happened_at
        FROM ({TOLD}) told GROUP BY 1, 2
    )
    SELECT kind, reference, coalesce(t.is_named, true) AS is_named, coalesce(t.payer, '') AS payer,
           t.gateway_ref, o.times AS ours_times, o.fen AS ours_fen, t.times AS theirs_times,
           t.fen AS theirs_fen, o.ledger_fen, t.fee_fen, t.agreed_fen,
           coalesce(t.happened_at, o.happened_at) AS happened_at,
           CASE WHEN o.fen IS NULL THEN 'theirs'
                WHEN t.fen IS NULL THEN 'ours'
                WHEN kind = 'refund' AND t.fen = 0 AND o.fen <> 0 THEN 'amount_differs'
                WHEN t.times > t.refs OR t.times > o.times AND t.fen <> o.fen THEN 'duplicate'
                WHEN o.fen <> t.fen THEN 'amount_differs'
                WHEN o.fen <> o.ledger_fen THEN 'ledger_differs'
                WHEN abs(t.fee_fen - t.agreed_fen) > :fee_tolerance_fen THEN 'fee_differs'
                ELSE 'matched' END AS verdict
    FROM matching_ours o FULL JOIN theirs t USING (kind, reference)
""")  # noqa: S608  our own texts

_FORGET = text("DELETE FROM settlement_left WHERE (source, day) = (:source, :day)")
_LEFT = text("""
    INSERT INTO settlement_left (source, day, row_kind, reference, verdict, is_named, payer,
                                 their_ref, times, ours_fen, theirs_fen, happened_at)
    SELECT :source, :day, kind, reference, verdict, is_named, payer, gateway_ref,
           coalesce(ours_times, theirs_times),
           CASE verdict WHEN 'fee_differs' THEN agreed_fen ELSE ours_fen END,
           CASE verdict WHEN 'ledger_differs' THEN ledger_fen WHEN 'fee_differs' THEN fee_fen
                        ELSE theirs_fen END,
           happened_at
    FROM matching WHERE verdict <> 'matched'
""")

_SUMMARY = text("""
    INSERT INTO reconciliation (source, day, settlement_file_id, matched, our_count, their_count,
                                our_total_fen, their_total_fen, fee_total_fen, run_at)
    SELECT :source, :day, :file_id, o.times - m.differ, o.times, s.rows, o.fen, s.fen, s.fee_fen,
           :now
    FROM (SELECT :paid + count(*) AS times, :paid_fen + coalesce(sum(fen), 0)::bigint AS fen
          FROM matching_other) o,
         (SELECT coalesce(sum(ours_times), 0) AS differ FROM matching
          WHERE verdict NOT IN ('matched', 'fee_differs')) m,
         matching_seen s
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
    found = dict.fromkeys(sorted(KINDS[Leg.GATEWAY]), 0) | {row.kind: row.rows for row in kinds}
    return ReconciliationResult(
        source=source, day=day, file_name=kept.file_name,
        matched=run.matched + run.matched_elsewhere,
        our_count=run.our_count, their_count=run.their_count, our_total_fen=run.our_total_fen,
        their_total_fen=run.their_total_fen, fee_total_fen=run.fee_total_fen, run_at=run.run_at,
        **found,
    )  # fmt: skip
