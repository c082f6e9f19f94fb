"""What must hold between the bank's entries, what they were matched with, and the ledger."""

# Each yields one text per violation. What staff sent was posted when they said so, not here.
INVARIANTS = {
    "each matched bank entry is what its transfers say": """
        SELECT format('match %s: entries %s fen, waited for %s, the ledger says %s and fees of %s',
                      id, coalesce(entries_fen, 0), coalesce(dues_fen, 0), bank_fen, fees_fen)
        FROM (
            SELECT m.id, m.source, m.undone_at,
                   CASE WHEN m.undone_at IS NULL THEN m.amount_fen END AS fen,
                   CASE WHEN m.undone_at IS NULL THEN m.fee_fen END AS fee_fen,
                   (SELECT sum(amount_fen) FROM bank_entry WHERE match_id = m.id) AS entries_fen,
                   (SELECT sum(amount_fen + fee_fen) FROM bank_due WHERE match_id = m.id)
                   AS dues_fen, l.bank_fen, l.fees_fen
            FROM bank_match m CROSS JOIN LATERAL (
                SELECT coalesce(sum(CASE WHEN d.code = 'bank' THEN t.amount_fen
                                         WHEN c.code = 'bank' THEN -t.amount_fen END), 0)
                       AS bank_fen,
                       coalesce(sum(CASE WHEN d.code = 'gateway_fees' THEN t.amount_fen
                                         WHEN c.code = 'gateway_fees' THEN -t.amount_fen END), 0)
                       AS fees_fen
                FROM ledger_transfer t
                JOIN ledger_account d ON d.id = t.debit_account_id
                JOIN ledger_account c ON c.id = t.credit_account_id
                WHERE t.account_id = 0 AND t.subject_id = m.id) l
        ) m
        WHERE entries_fen IS DISTINCT FROM fen OR dues_fen IS DISTINCT FROM fen + fee_fen
              OR (bank_fen, fees_fen) <> (CASE WHEN source = 'transfers' THEN 0
                                               ELSE coalesce(fen, 0) END,
                                          CASE WHEN source = 'transfers' THEN 0
                                               ELSE coalesce(fee_fen, 0) END)
    """,
    "every payout in the ledger is matched with the bank": """
        SELECT format('settlement %s has transfers and no match', t.subject_id)
        FROM ledger_transfer t
        WHERE t.account_id = 0 AND split_part(t.entry_key, ':', 1) IN (
                  'settled', 'drawn', 'settled_undone', 'drawn_undone')
          AND NOT EXISTS (SELECT FROM bank_match m WHERE m.id = t.subject_id)
    """,
}
