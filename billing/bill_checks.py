"""Proof that bills are what was issued and what lateness cost; ``payments.verification`` asks.

Each invariant yields one text per violation, as those of the ledger do.
"""

from typing import Final

INVARIANTS: Final[dict[str, str]] = {
    "every bill asks for what its version was issued for": """
        SELECT format('bill %s.%s: version %s asks for %s fen, the ledger issued %s',
                      b.account_id, b.id, b.version, b.amount_fen, coalesce(t.fen, 0))
        FROM bill b
        LEFT JOIN (
            SELECT t.account_id, t.subject_id, t.entry_key,
                   CASE WHEN d.code LIKE 'receivable:%' THEN amount_fen ELSE -amount_fen END AS fen
            FROM ledger_transfer t JOIN ledger_account d ON d.id = t.debit_account_id
            WHERE t.entry_key LIKE 'issued.%') t
          ON t.account_id = b.account_id AND t.subject_id = b.id
             AND t.entry_key = 'issued.' || b.version
        WHERE b.cancelled_at IS NULL AND b.amount_fen <> coalesce(t.fen, 0)
    """,
    # What a correction has taken back began anew: of such a bill no more is left than was posted.
    "what lateness cost a bill is what its transfers say": """
        SELECT format('bill %s.%s: once %s, penalty %s, interest %s, waived %s fen; '
                      'the ledger says %s, %s, %s, %s', f.account_id, f.bill_id,
                      f.once_fen, f.penalty_fen, f.interest_fen, f.waived_fen,
                      t.once_fen, t.penalty_fen, t.interest_fen, t.waived_fen)
        FROM bill_late_fee f
        LEFT JOIN bill b ON b.account_id = f.account_id AND b.id = f.bill_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_fen) FILTER (WHERE entry_key LIKE 'once.%'), 0) AS once_fen,
                   coalesce(sum(amount_fen) FILTER (WHERE entry_key LIKE 'penalty.%'), 0)
                       AS penalty_fen,
                   coalesce(sum(amount_fen) FILTER (WHERE entry_key LIKE 'interest.%'), 0)
                       AS interest_fen,
                   coalesce(sum(amount_fen) FILTER (WHERE entry_key LIKE 'waived:%'), 0)
                       AS waived_fen,
                   coalesce(bool_or(entry_key LIKE 'reversed.%'), false) AS corrected
            FROM ledger_transfer
            WHERE account_id = f.account_id AND subject_id = f.bill_id) t
        WHERE b.id IS NULL OR b.cancelled_at IS NULL AND NOT CASE
            WHEN corrected THEN f.once_fen <= t.once_fen AND f.penalty_fen <= t.penalty_fen
                 AND f.interest_fen <= t.interest_fen AND f.waived_fen <= t.waived_fen
            ELSE (f.once_fen, f.penalty_fen, f.interest_fen, f.waived_fen)
                 = (t.once_fen, t.penalty_fen, t.interest_fen, t.waived_fen) END
    """,
}
