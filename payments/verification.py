"""Proof that the books hold: every invariant as one query that lists its violations.

A check that finds nothing is true. ``citybill ledger verify`` runs them all; they only read.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session


class Check(NamedTuple):
    """One invariant and what was found of it; ``violations`` is how many rows break it."""

    name: str
    ok: bool
    violations: int
    detail: str


# Each yields one text per violation. A bill is named by its public reference.
_INVARIANTS: dict[str, str] = {
    "every bill's open amount is what its transfers say": """
        SELECT format('bill %s.%s: owes %s fen, the ledger says %s',
                      account_id, id, b.owed_fen, coalesce(t.fen, 0))
        FROM (SELECT account_id, id, CASE WHEN cancelled_at IS NULL THEN amount_fen ELSE 0 END
                     - paid_fen AS owed_fen
              FROM bill) b
        FULL JOIN (
            SELECT t.account_id, t.subject_id AS id,
                   sum(CASE WHEN d.code LIKE 'receivable:%' THEN amount_fen ELSE 0 END
                     - CASE WHEN c.code LIKE 'receivable:%' THEN amount_fen ELSE 0 END) AS fen
            FROM ledger_transfer t
            JOIN ledger_account d ON d.id = t.debit_account_id
            JOIN ledger_account c ON c.id = t.credit_account_id
            GROUP BY 1, 2) t USING (account_id, id)
        WHERE coalesce(b.owed_fen, 0) <> coalesce(t.fen, 0)
    """,
    "what is written off on bills is what we owe the companies": """
        SELECT format('bill %s.%s: %s fen written off, the ledger says %s',
                      account_id, id, coalesce(b.written_off_fen, 0), coalesce(t.fen, 0))
        FROM (SELECT account_id, id, written_off_fen FROM bill WHERE written_off_fen > 0) b
        FULL JOIN (
            SELECT t.account_id, t.subject_id AS id, sum(t.amount_fen) AS fen
            FROM ledger_transfer t JOIN ledger_account c ON c.id = t.credit_account_id
            WHERE c.code LIKE 'payable:%' GROUP BY 1, 2) t USING (account_id, id)
        WHERE coalesce(b.written_off_fen, 0) <> coalesce(t.fen, 0)
    """,
    "a payment's amount is the sum of its bills": """
        SELECT format('payment %s: %s fen, its bills %s', p.id, p.amount_fen, sum(i.amount_fen))
        FROM payment p LEFT JOIN payment_item i ON i.payment_id = p.id
        GROUP BY p.id, p.amount_fen HAVING p.amount_fen IS DISTINCT FROM sum(i.amount_fen)
    """,
    "every payment's state is what its transfers say": """
        SELECT format('payment %s is %s: the gateway took %s fen, the ledger says %s', p.id,
                      p.status, CASE WHEN p.status = 'paid' THEN p.amount_fen ELSE 0 END,
                      coalesce(sum(t.amount_fen), 0))
        FROM payment p
        LEFT JOIN payment_item i ON i.payment_id = p.id
        LEFT JOIN ledger_transfer t ON t.account_id = i.account_id AND t.subject_id = i.bill_id
              AND t.entry_key IN ('paid:' || p.id, 'stray:' || p.id)
        GROUP BY p.id, p.status, p.amount_fen
        HAVING CASE WHEN p.status = 'paid' THEN p.amount_fen ELSE 0 END
               <> coalesce(sum(t.amount_fen), 0)
    """,
    "every paid bill's outcome is what its transfers say": """
        SELECT format('write-off %s is %s, its transfers are %s', write_off_no, outcome, acts)
        FROM (
            SELECT i.write_off_no, i.outcome,
                   coalesce(string_agg(split_part(t.entry_key, ':', 1), '+' ORDER BY t.entry_key),
                            '') AS acts
            FROM payment_item i
            LEFT JOIN ledger_transfer t
              ON t.account_id = i.account_id AND t.subject_id = i.bill_id
             AND t.entry_key LIKE '%:' || i.payment_id
            GROUP BY i.payment_id, i.account_id, i.bill_id) o
        WHERE (outcome, acts) NOT IN (
            ('waiting', ''), ('not_paid', ''), ('paid', 'paid'),
            ('written_off', 'paid+written_off'),
            ('returning', 'stray'), ('returning', 'paid+unpaid'),
            ('returned', 'returned+stray'), ('returned', 'paid+returned+unpaid'))
    """,
    "refunds wait in the ledger until they are sent": """
        SELECT format('%s fen of refunds are under way, the ledger says %s', r.fen, l.fen)
        FROM (SELECT coalesce(sum(amount_fen), 0) AS fen
              FROM refund WHERE status = 'requested') r,
             (SELECT coalesce(sum(amount_fen * CASE WHEN c.code = 'returns' THEN 1
                                                    WHEN d.code = 'returns' THEN -1
                                                    ELSE 0 END), 0) AS fen
              FROM ledger_transfer t
              JOIN ledger_account d ON d.id = t.debit_account_id
              JOIN ledger_account c ON c.id = t.credit_account_id) l
        WHERE r.fen <> l.fen
    """,
    "a bill is held only by a payment that may still become paid": """
        SELECT format('bill %s.%s is held by payment %s, which is %s',
                      b.account_id, b.id, b.held_by, coalesce(p.status, 'not there'))
        FROM bill b LEFT JOIN payment p ON p.id = b.held_by
        WHERE b.held_by IS NOT NULL AND coalesce(p.status, '') NOT IN ('created', 'open')
    """,
    "every transfer stands on the Shanghai day it was posted": """
        SELECT format('transfer %s of %s.%s: posted %s, booked on %s',
                      entry_key, account_id, subject_id, posted_at, posted_on)
        FROM ledger_transfer
        WHERE posted_on <> (posted_at AT TIME ZONE 'Asia/Shanghai')::date
    """,
    "debits equal credits on every day": """
        SELECT format('%s: debits %s fen, credits %s', posted_on, debit_fen, credit_fen)
        FROM (SELECT posted_on,
                     sum(amount_fen) FILTER (WHERE d.id IS NOT NULL) AS debit_fen,
                     sum(amount_fen) FILTER (WHERE c.id IS NOT NULL) AS credit_fen
              FROM ledger_transfer t
              LEFT JOIN ledger_account d ON d.id = t.debit_account_id
              LEFT JOIN ledger_account c ON c.id = t.credit_account_id
              GROUP BY posted_on) days
        WHERE debit_fen IS DISTINCT FROM credit_fen
    """,
    "every row of every imported file is accounted for": """
        SELECT format('file %s: %s rows, %s accounted for', id, rows,
                      created + unchanged + superseded + cancelled + rejected)
        FROM bill_file
        WHERE status = 'imported'
          AND rows <> created + unchanged + superseded + cancelled + rejected
    """,
}


def verify(session: Session) -> list[Check]:
    """Run every invariant; reads a consistent snapshot if the caller's transaction gives one."""
    found = []
    for name, query in _INVARIANTS.items():
        rows = session.execute(
            text(
                f"SELECT count(*) OVER (), violation "  # noqa: S608  our own text above
                f"FROM ({query.replace(':', chr(92) + ':')}) v (violation) LIMIT 1"
            )
        ).first()
        count, detail = (rows[0], rows[1]) if rows else (0, "")
        found.append(Check(name, not count, count, detail))
    return found
