"""What a gateway counted otherwise than we: whose it is, and what is posted when it is let be so.

A few fen are written off by a person (``docs/repairs.md``). Should a corrected file end the
difference, the run that finds it so takes the posting back.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books, postings
from core.errors import NotFound
from payments.models import Receipt, find_payment_by_order
from payments.returns.models import Refund
from payments.returns.receipts import receipt_of


def payment_id_of(session: Session, row_kind: str, reference: str) -> int:
    """Return the payment a gateway's row is about.

    Raises:
        NotFound: it is none of ours.
    """
    if row_kind == "refund":
        refund = session.get(Refund, reference)
        back = refund or session.get(Receipt, receipt_of(reference) or 0)
        if back is not None:
            return back.payment_id
    payment = find_payment_by_order(session, reference)
    if payment is None:
        raise NotFound("this order is none of ours: find out who paid", code="break.not_ours")
    return payment.id


# The difference is locked before its act, as people lock them. One that a later run finds again is
# another, so it may not stay resolved.
_ENDED = text("""
    WITH gone AS (
        SELECT b.id, b.source, b.row_kind, b.reference FROM reconciliation_break b
        WHERE b.leg = 'gateway' AND b.day BETWEEN :since AND :until
          AND EXISTS (SELECT FROM break_act a WHERE a.break_id = b.id AND a.undone_at IS NULL
                      AND a.act = 'write_off_difference' AND a.done_at IS NOT NULL)
          AND NOT EXISTS (
              SELECT FROM left_verdict v
              WHERE (v.source, v.day, v.row_kind, v.reference)
                    = (b.source, b.day, b.row_kind, b.reference) AND v.kind <> 'matched')
        ORDER BY b.id FOR UPDATE OF b
    ), explained AS (
        UPDATE reconciliation_break b SET state = 'explained', closed_at = :now
        FROM gone WHERE b.id = gone.id AND b.state <> 'explained'
    )
    UPDATE break_act a SET undone_at = :now FROM gone
    WHERE a.break_id = gone.id AND a.act = 'write_off_difference'
      AND a.done_at IS NOT NULL AND a.undone_at IS NULL
    RETURNING a.id, gone.source, gone.row_kind, gone.reference,
              coalesce(a.ours_fen, 0) - coalesce(a.theirs_fen, 0) AS more_fen
""")


def take_back_ended(session: Session, values: Mapping[str, Any]) -> None:
    """Take back what was written off of differences that a run no longer finds.

    Args:
        values: ``since`` and ``until``, the days whose verdicts are in ``left_verdict``; ``now``.
    """
    moves = []
    for row in session.execute(_ENDED, values):
        payment_id = payment_id_of(session, row.row_kind, row.reference)
        moves += postings.difference_written_off(
            row.id, payment_id, row.source, row.more_fen, undone=True
        )
    books.post(session, moves, now=values["now"])
