"""Corrections that came while their bill was being paid: taken up when the payment is over.

Rule 13. Each is decided in the transaction that ends the payment, by the same judgement as a row of
a file: applied if the bill is still unpaid, else refused and kept, for a clerk to see.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlmodel import Session, col, select

from billing import corrections
from billing.files.staging import NO_ROWS
from billing.ledger import books
from billing.models import Bill, BillCorrection
from core import outbox
from core.keys import month_of, month_range

_DUE = text("""
    SELECT w.id, w.account_id, w.bill_id, w.bill_file_id, a.provider_code
    FROM bill_correction w
    JOIN bill b ON b.account_id = w.account_id AND b.id = w.bill_id AND b.held_by IS NULL
    JOIN utility_account a ON a.id = w.account_id
    WHERE w.state = 'waiting' AND (w.account_id, w.bill_id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
    ORDER BY w.id
""")

_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in corrections.ROW_COLUMNS.items())

_TAKE_UP = text(f"""
    CREATE TEMPORARY TABLE contested ON COMMIT DROP AS
    SELECT r.*, w.row_no, (w.row->>'line_no')::int AS line_no, w.account_id,
           w.bill_id AS about_id, 1 AS turn
    FROM bill_correction w, jsonb_to_record(w.row::jsonb) AS r ({_COLUMNS})
    WHERE w.id = :id
""")  # noqa: S608  our own text above

_DECIDE = text("""
    UPDATE bill_correction SET state = :state, reason = :reason, decided_at = :now WHERE id = :id
""")

_APPLIED = frozenset({"superseded", "cancelled", "reminded", "unchanged"})
_PAID = "paid while the correction waited: send a bill of the difference"


def decide_waiting(session: Session, refs: Sequence[tuple[int, int]], *, now: datetime) -> int:
    """Take up what waits for these bills, in the order in which it came; returns how many.

    To be called in the transaction that ends a payment, once ``held_by`` and ``paid_fen`` say so
    and while the bills are locked. A bill that another payment holds by now goes on waiting.
    Costs one query where nothing waits.

    Args:
        refs: (account id, bill id) of the bills the payment was for.
    """
    session.flush()
    keys = {"account_ids": [ref[0] for ref in refs], "bill_ids": [ref[1] for ref in refs]}
    waiting = session.execute(_DUE, keys).all()
    for one in waiting:
        verdict = _take_up(session, one, now=now)
        values = {"id": one.id, "now": now}
        if verdict in _APPLIED:
            session.execute(_DECIDE, values | {"state": "applied", "reason": None})
            outbox.emit(session, "bill_correction.applied", one.id, now=now)
        else:
            session.execute(_DECIDE, values | {"state": "refused", "reason": _reason(verdict)})
            outbox.emit(session, "bill_correction.refused", one.id, now=now)
    for ref in {(one.account_id, one.bill_id) for one in waiting}:
        session.refresh(session.get_one(Bill, ref))  # the statements went past the session
    return len(waiting)


def _take_up(session: Session, waiting: Row[Any], *, now: datetime) -> str:
    """Judge and carry out one correction as if its row came now; returns the verdict."""
    company = waiting.provider_code
    names = books.receivable(company), books.uncollected(company)
    accounts = books.account_ids(session, names)
    first_id, after_id = month_range(month_of(waiting.bill_id))
    chunk = corrections.Chunk(
        bill_file_id=waiting.bill_file_id,
        provider_code=company,
        rows=NO_ROWS,
        after=0,
        upto=0,
        first_id=first_id,
        last_id=after_id - 1,
        receivable_id=accounts[names[0]],
        uncollected_id=accounts[names[1]],
        now=now,
    )
    session.execute(_TAKE_UP, {"id": waiting.id})
    (verdict,) = corrections.take_turn(session, chunk.values() | {"turn": 1})
    session.execute(text("DROP TABLE verdict, contested"))
    return verdict


def _reason(verdict: str) -> str:
    return _PAID if verdict == "frozen" else corrections.REASONS[verdict]


def list_corrections(
    session: Session, bill_file_id: int, *, limit: int = 100
) -> list[BillCorrection]:
    """Return what of a file came while its bill was being paid, and what became of it."""
    wanted = select(BillCorrection).where(BillCorrection.bill_file_id == bill_file_id)
    return list(session.exec(wanted.order_by(col(BillCorrection.id)).limit(limit)))
