"""What must hold between the bank's entries, what they were matched with, and the ledger."""

# Each yields one text per violation. What we sent was posted when we did, not here.
INVARIANTS = {
    "each matched bank entry is what its transfers say": """
        SELECT format('match %s: entries %s fen, waited for %s, the ledger says %s, fees of %s and '
                      '%s written off', id, coalesce(entries_fen, 0), coalesce(dues_fen, 0),
                      bank_fen, fees_fen, off_fen)
        FROM (
            SELECT m.id, m.source IN ('transfers', 'remittances') AS said_before, m.undone_at,
                   CASE WHEN m.undone_at IS NULL THEN m.amount_fen END AS fen,
                   CASE WHEN m.undone_at IS NULL THEN m.fee_fen END AS fee_fen,
                   CASE WHEN m.undone_at IS NULL THEN m.written_off_fen ELSE 0 END
                   AS written_off_fen,
                   (SELECT sum(amount_fen) FROM bank_entry WHERE match_id = m.id) AS entries_fen,
                   (SELECT sum(amount_fen + fee_fen) FROM bank_due WHERE match_id = m.id)
                   AS dues_fen, l.bank_fen, l.fees_fen, l.off_fen
            FROM bank_match m CROSS JOIN LATERAL (
                SELECT coalesce(sum(CASE WHEN d.code = 'bank' THEN t.amount_fen
                                         WHEN c.code = 'bank' THEN -t.amount_fen END), 0)
                       AS bank_fen,
                       coalesce(sum(CASE WHEN d.code = 'gateway_fees' THEN t.amount_fen
                                         WHEN c.code = 'gateway_fees' THEN -t.amount_fen END), 0)
                       AS fees_fen,
                       coalesce(sum(CASE WHEN d.code = 'differences' THEN t.amount_fen
                                         WHEN c.code = 'differences' THEN -t.amount_fen END), 0)
                       AS off_fen
                FROM ledger_transfer t
                JOIN ledger_account d ON d.id = t.debit_account_id
                JOIN ledger_account c ON c.id = t.credit_account_id
                WHERE t.account_id = 0 AND t.subject_id = m.id) l
        ) m
        WHERE entries_fen IS DISTINCT FROM fen
              OR dues_fen IS DISTINCT FROM fen + fee_fen + written_off_fen
              OR off_fen <> written_off_fen
              OR (bank_fen, fees_fen) <> (CASE WHEN said_before THEN 0
                                               ELSE coalesce(fen, 0) END,
                                          CASE WHEN said_before THEN 0
                                               ELSE coalesce(fee_fen, 0) END)
    """,
    "every payout in the ledger is matched with the bank": """
        SELECT format('settlement %s has transfers and no match', t.subject_id)
        FROM ledger_transfer t
        WHERE t.account_id = 0 AND split_part(t.entry_key, ':', 1) IN (
                  'settled', 'drawn', 'settled_undone', 'drawn_undone', 'claim_paid',
                  'claim_paid_undone')
          AND NOT EXISTS (SELECT FROM bank_match m WHERE m.id = t.subject_id)
    """,
    "what a bank's suspended entry stands for is what its transfers say": """
        SELECT format('suspense %s of %s fen, ended %s: the ledger says came %s, went %s', s.id,
                      s.amount_fen, coalesce(s.ended_at::text, 'never'), l.came_fen, l.went_fen)
        FROM bank_suspense s CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.amount_fen) FILTER (
                       WHERE split_part(t.entry_key, ':', 1) = 'suspense_in'), 0) AS came_fen,
                   coalesce(sum(t.amount_fen) FILTER (
                       WHERE split_part(t.entry_key, ':', 1)
                             = CASE WHEN s.is_returned THEN 'suspense_out' ELSE 'suspense_undone'
                               END), 0) AS went_fen
            FROM ledger_transfer t WHERE (t.account_id, t.subject_id) = (0, s.id)) l
        WHERE (came_fen, went_fen)
              <> (s.amount_fen, CASE WHEN s.ended_at IS NULL THEN 0 ELSE s.amount_fen END)
    """,
}
