"""Proof that the books hold: every invariant as one query that lists its violations.

A check that finds nothing is true. ``citybill ledger verify`` runs them all; they only read.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing import bill_checks
from billing.ledger import checks as ledger_checks
from payments.reconciliation.bank import checks as bank_checks
from payments.remittance import checks as remittance_checks
from payments.returns import checks


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
        FROM (SELECT account_id, id, CASE WHEN cancelled_at IS NULL THEN
                     amount_fen + adjusted_fen - paid_fen - credited_fen ELSE 0 END AS owed_fen
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
            SELECT t.account_id, t.subject_id AS id,
                   sum(CASE WHEN c.code LIKE 'payable:%' THEN t.amount_fen
                            ELSE -t.amount_fen END) AS fen
            FROM ledger_transfer t
            JOIN ledger_account d ON d.id = t.debit_account_id
            JOIN ledger_account c ON c.id = t.credit_account_id
            -- Not what was paid above a bill, nor what is about no bill.
            WHERE t.account_id <> 0 AND d.code NOT LIKE 'advance:%'
              AND t.entry_key NOT LIKE 'advance_refunded:%'
              AND t.entry_key NOT LIKE 'chargeback_advance:%'
              AND (c.code LIKE 'payable:%' OR d.code LIKE 'payable:%')
            GROUP BY 1, 2) t USING (account_id, id)
        WHERE coalesce(b.written_off_fen, 0) <> coalesce(t.fen, 0)
    """,
    "what credits covered is what their transfers say": """
        SELECT format('bill %s.%s: %s fen by credits, the ledger says %s',
                      account_id, id, coalesce(b.credited_fen, 0), coalesce(t.fen, 0))
        FROM (SELECT account_id, id, credited_fen FROM bill WHERE credited_fen <> 0) b
        FULL JOIN (
            SELECT t.account_id, t.subject_id AS id,
                   sum(CASE WHEN d.code LIKE 'credits:%' THEN t.amount_fen
                            ELSE -t.amount_fen END) AS fen
            FROM ledger_transfer t
            JOIN ledger_account d ON d.id = t.debit_account_id
            JOIN ledger_account c ON c.id = t.credit_account_id
            WHERE d.code LIKE 'credits:%' OR c.code LIKE 'credits:%'
            GROUP BY 1, 2) t USING (account_id, id)
        WHERE coalesce(b.credited_fen, 0) <> coalesce(t.fen, 0)
    """,
    "a payment's amount is the sum of its bills and its fee": """
        SELECT format('payment %s: %s fen, its bills and fee %s', p.id, p.amount_fen,
                      coalesce(sum(i.amount_fen), 0) + p.fee_fen + p.fee_tax_fen)
        FROM payment p LEFT JOIN payment_item i ON i.payment_id = p.id
        GROUP BY p.id
        HAVING p.amount_fen <> coalesce(sum(i.amount_fen), 0) + p.fee_fen + p.fee_tax_fen
               OR count(i.bill_id) = 0
    """,
    "every payment's state is what its transfers say": """
        SELECT format('payment %s is %s: the gateway took %s fen, the ledger says %s', p.id,
                      p.status, p.taken_fen, p.posted_fen)
        FROM (
            SELECT p.id, p.status, CASE WHEN p.status = 'paid' THEN p.amount_fen ELSE 0 END
                   AS taken_fen,
                   (SELECT coalesce(sum(t.amount_fen), 0)
                    FROM payment_item i JOIN ledger_transfer t
                      ON t.account_id = i.account_id AND t.subject_id = i.bill_id
                     AND t.entry_key IN ('paid:' || p.id, 'advance:' || p.id, 'stray:' || p.id)
                    WHERE i.payment_id = p.id)
                   + (SELECT coalesce(sum(t.amount_fen), 0) FROM ledger_transfer t
                      WHERE t.account_id = 0 AND t.subject_id = p.id
                        AND t.entry_key IN ('fee:' || p.id, 'fee_tax:' || p.id)) AS posted_fen
            FROM payment p) p
        WHERE p.taken_fen <> p.posted_fen
    """,
    "every paid bill's outcome is what its transfers say": """
        SELECT format('write-off %s is %s of %s fen, its transfers say paid %s, stray %s, '
                      'confirmed %s, unpaid %s, returned %s, adjusted %s, in advance %s of %s',
                      write_off_no, outcome, fen, paid, stray, confirmed, unpaid, returned,
                      adjusted, advance, advance_fen)
        FROM (
            SELECT i.write_off_no, i.outcome, i.amount_fen AS fen, i.adjust_fen AS adjust,
                   i.advance_fen,
                   coalesce(sum(t.amount_fen) FILTER (WHERE act = 'advance'), 0) AS advance,
                   coalesce((SELECT sum(charged_back_fen) FROM refund r
                             WHERE (r.payment_id, r.account_id, r.bill_id)
                                   = (i.payment_id, i.account_id, i.bill_id)), 0) AS kept_fen,
                   coalesce(sum(t.amount_fen) FILTER (WHERE act IN ('paid', 'advance')), 0) AS paid,
                   coalesce(sum(t.amount_fen) FILTER (WHERE act = 'stray'), 0) AS stray,
                   coalesce(sum(t.amount_fen) FILTER (
                       WHERE act IN ('written_off', 'advance_passed')), 0) AS confirmed,
                   coalesce(sum(t.amount_fen) FILTER (
                       WHERE act IN ('unpaid', 'advance_undone')), 0) AS unpaid,
                   coalesce(sum(t.amount_fen) FILTER (WHERE act = 'returned'), 0) AS returned,
                   coalesce(sum(CASE WHEN act IN ('surcharge', 'discount_undone') THEN t.amount_fen
                                     WHEN act IN ('discount', 'surcharge_undone')
                                     THEN -t.amount_fen END), 0) AS adjusted
            FROM payment_item i
            LEFT JOIN LATERAL (
                SELECT t.amount_fen, split_part(t.entry_key, ':', 1) AS act
                FROM ledger_transfer t
                WHERE t.account_id = i.account_id AND t.subject_id = i.bill_id
                  AND split_part(t.entry_key, ':', 2) = i.payment_id::text) t ON true
            GROUP BY i.payment_id, i.account_id, i.bill_id) o
        WHERE NOT CASE outcome
              WHEN 'paid' THEN
                (paid, stray, confirmed, unpaid, returned, adjusted) = (fen, 0, 0, 0, 0, adjust)
              WHEN 'written_off' THEN
                (paid, stray, confirmed, unpaid, returned, adjusted) = (fen, 0, fen, 0, 0, adjust)
              -- Confirmed, and then all of it taken back: "every refund's state" has the rest.
              WHEN 'returning' THEN paid IN (0, fen) AND
                (stray, confirmed, unpaid, returned, adjusted) IN (
                    (fen - paid, 0, paid, 0, 0), (0, paid, 0, 0, adjust))
              WHEN 'returned' THEN paid IN (0, fen) AND
                (stray, confirmed, unpaid, returned, adjusted) IN (
                    (fen - paid, 0, paid, greatest(fen - kept_fen, 0), 0), (0, paid, 0, 0, adjust))
              ELSE (paid, stray, confirmed, unpaid, returned, adjusted) = (0, 0, 0, 0, 0, 0) END
           OR paid > 0 AND advance <> advance_fen
    """,
    "suspended money is what stands in suspense": """
        SELECT format('%s: %s fen are suspended, the ledger says %s',
                      source, coalesce(r.fen, 0), coalesce(l.fen, 0))
        FROM (SELECT source, sum(amount_fen - charged_back_fen) AS fen FROM receipt
              WHERE state = 'suspended'
              GROUP BY 1
              UNION ALL
              -- What a payment was settled by has gone on to the account of its gateway.
              SELECT 'bank', sum(s.amount_fen)
              FROM bank_suspense s JOIN break_act a ON a.id = s.act_id
              WHERE s.ended_at IS NULL AND a.act <> 'rematch') r
        FULL JOIN (
            SELECT split_part(a.code, ':', 2) AS source,
                   sum(CASE WHEN t.credit_account_id = a.id THEN t.amount_fen
                            ELSE -t.amount_fen END) AS fen
            FROM ledger_account a
            JOIN ledger_transfer t ON a.id IN (t.debit_account_id, t.credit_account_id)
            WHERE a.code LIKE 'suspense:%' GROUP BY 1) l USING (source)
        WHERE coalesce(r.fen, 0) <> coalesce(l.fen, 0)
    """,
    "credits pass through their clearing accounts and leave nothing there": """
        SELECT format('%s stands at %s fen', a.code, sum(
                   CASE WHEN t.debit_account_id = a.id THEN t.amount_fen ELSE -t.amount_fen END))
        FROM ledger_account a
        JOIN ledger_transfer t ON a.id IN (t.debit_account_id, t.credit_account_id)
        WHERE a.code LIKE 'credits:%'
        GROUP BY a.code
        HAVING sum(CASE WHEN t.debit_account_id = a.id THEN t.amount_fen
                        ELSE -t.amount_fen END) <> 0
    """,
    "a correction waits only while its bill is being paid": """
        SELECT format('the correction in row %s of file %s waits for bill %s.%s, which is free',
                      c.row_no, c.bill_file_id, c.account_id, c.bill_id)
        FROM bill_correction c JOIN bill b ON b.account_id = c.account_id AND b.id = c.bill_id
        WHERE c.state = 'waiting' AND b.held_by IS NULL
    """,
    "a bill is held only by a payment that may still become paid": """
        SELECT format('bill %s.%s is held by payment %s, which is %s',
                      b.account_id, b.id, b.held_by, coalesce(p.status, 'not there'))
        FROM bill b LEFT JOIN payment p ON p.id = b.held_by
        WHERE b.held_by IS NOT NULL AND coalesce(p.status, '') NOT IN ('created', 'unknown', 'open')
    """,
    "every row of every imported file is accounted for": """
        SELECT format('file %s: %s rows, %s accounted for', id, rows,
                      created + unchanged + superseded + cancelled + reminded + waiting + rejected)
        FROM bill_file
        WHERE status = 'imported' AND rows <> created + unchanged + superseded + cancelled
                                              + reminded + waiting + rejected
    """,
}


_CHECKS = (
    _INVARIANTS
    | bill_checks.INVARIANTS
    | checks.INVARIANTS
    | bank_checks.INVARIANTS
    | remittance_checks.INVARIANTS
    | ledger_checks.INVARIANTS
)
NAMES = (*_CHECKS, ledger_checks.SEALS)

# One statement: every check sees the books at the same moment. It names each by its place.
_ALL = text(
    " UNION ALL ".join(
        f"(SELECT {at} AS at, count(*) OVER () AS violations, violation "  # noqa: S608  our own text
        f"FROM ({query}) v (violation) ORDER BY violation LIMIT 1)"
        for at, query in enumerate(_CHECKS.values())
    ).replace(":", r"\:")
)


def verify(session: Session) -> list[Check]:
    """Run every invariant, at one moment, and after them the seals."""
    found = {row.at: row for row in session.execute(_ALL)}
    broken = list(ledger_checks.broken_seals(session))
    return [
        Check(name, False, found[at].violations, found[at].violation)
        if at in found
        else Check(name, True, 0, "")
        for at, name in enumerate(_CHECKS)
    ] + [Check(ledger_checks.SEALS, not broken, len(broken), next(iter(broken), ""))]
