"""Differences, as they live: found by a run, explained by a later one, or resolved by a person.

A run of any leg ends in ``record``: what it found is open under the same row as before, with the
age it had; what it no longer finds is explained. So a run may be repeated at any time.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak

DUE_WITHIN = timedelta(days=1)

REMEDIES = {
    BreakKind.MISSING_HERE: "The gateway took money we do not know of: find the payer.",
    BreakKind.MISSING_AT_GATEWAY: "Query the order; it may stand in the next day's file.",
    BreakKind.AMOUNT_DIFFERS: "Query the order: one of the two amounts is wrong.",
    BreakKind.DUPLICATE: "Ask the gateway whether the payer was charged twice.",
    BreakKind.LEDGER_DIFFERS: "Run the ledger's verification and call an engineer.",
    BreakKind.WRITTEN_OFF_UNPAID: "Ask the company to open the bill again: nobody paid it here.",
    BreakKind.PAID_NOT_WRITTEN_OFF: "Send the write-off again under its number, or ask for it.",
    BreakKind.UNKNOWN_CREDIT: "Find who sent it: move it to suspense until it is known.",
    BreakKind.UNKNOWN_DEBIT: "Ask the bank what it was for: nobody here sent it.",
    BreakKind.NOT_SETTLED: "Ask who owes it when it was sent: our bank's statement lacks it.",
    BreakKind.FEE_DIFFERS: "Ask the gateway which rate it took: another one is agreed.",
    BreakKind.LATE: "Wait: the file that may still have it is not here yet.",
    BreakKind.OTHER_ROUTE: "Match the two rows: the money came, and by another way.",
    BreakKind.REFUND_UNMATCHED: "Find out who was sent what: one side alone knows this refund.",
}

_RECORD = """
    WITH found AS ({found}), explained AS (
        UPDATE reconciliation_break b SET state = 'explained', closed_at = :now
        WHERE b.leg = :leg AND b.source = :source AND b.day = :day AND b.state = 'open'
          AND NOT EXISTS (SELECT FROM found f
                          WHERE f.row_kind = b.row_kind AND f.reference = b.reference)
    )
    INSERT INTO reconciliation_break AS b
        (leg, source, day, kind, row_kind, reference, their_ref, elsewhere, ours_fen, theirs_fen,
         happened_at, found_at, due_at, state)
    SELECT :leg, :source, :day, kind, row_kind, reference, their_ref, elsewhere, ours_fen,
           theirs_fen, happened_at, :now, :due_at, 'open'
    FROM found
    ON CONFLICT (leg, source, day, row_kind, reference) DO UPDATE SET
        kind = excluded.kind, their_ref = excluded.their_ref, elsewhere = excluded.elsewhere,
        ours_fen = excluded.ours_fen, theirs_fen = excluded.theirs_fen,
        happened_at = excluded.happened_at,
        found_at = CASE WHEN b.state = 'open' OR {stays}
                        THEN b.found_at ELSE excluded.found_at END,
        due_at = CASE WHEN b.state = 'open' AND (b.kind <> 'late' OR excluded.kind = 'late')
                           OR {stays}
                      THEN b.due_at ELSE excluded.due_at END,
        state = CASE WHEN {stays} THEN b.state ELSE 'open' END,
        closed_at = CASE WHEN {stays} THEN b.closed_at END
"""
_STAYS = (
    "b.state = 'resolved' AND (b.kind, b.ours_fen, b.theirs_fen) "
    "IS NOT DISTINCT FROM (excluded.kind, excluded.ours_fen, excluded.theirs_fen)"
)


def record(
    session: Session,
    leg: Leg,
    source: str,
    day: date,
    *,
    found: str,
    values: Mapping[str, Any],
    now: datetime,
) -> None:
    """Enter what a run of a leg's day found, set-based.

    What a person resolved stays so while the same difference is found; another one is open again.
    What was late is due a day after it has become a difference.

    Args:
        found: a SELECT of kind, row_kind, reference, their_ref, elsewhere, ours_fen, theirs_fen,
            happened_at, each (row_kind, reference) once; ours and trusted, with ``values``.
    """
    told = {"leg": leg, "source": source, "day": day, "now": now, "due_at": now + DUE_WITHIN}
    session.execute(text(_RECORD.format(found=found, stays=_STAYS)), {**values, **told})


def list_breaks(
    session: Session, source: str, day: date, *, leg: Leg = Leg.GATEWAY
) -> list[ReconciliationBreak]:
    """Return what is open of a day, by kind and reference."""
    return list(
        session.exec(
            select(ReconciliationBreak)
            .where(
                ReconciliationBreak.leg == leg,
                ReconciliationBreak.source == source,
                ReconciliationBreak.day == day,
                ReconciliationBreak.state == BreakState.OPEN,
            )
            .order_by(col(ReconciliationBreak.kind), col(ReconciliationBreak.reference))
        )
    )
