"""Proof that money goes back once: the invariants of refunds, transfers and chargebacks.

Each is a query that lists its violations; ``payments.verification`` runs them with all others.
"""

_OF_CHARGEBACKS = """
    SELECT split_part(entry_key, ':', 1) AS act, split_part(entry_key, ':', 2) AS number,
           amount_fen AS fen
    FROM ledger_transfer
    WHERE split_part(entry_key, ':', 1) IN (
        'chargeback', 'chargeback_won', 'chargeback_lost', 'chargeback_advance', 'taken_back',
        'chargeback_fee', 'chargeback_fee_tax', 'chargeback_borne', 'chargeback_regained',
        'dispute_fee', 'dispute_fee_returned')
"""

INVARIANTS: dict[str, str] = {
    "what went back of a payment's bill is what its refunds and disputes took": """
        SELECT format('write-off %s: %s fen went back, its refunds and disputes took %s',
                      i.write_off_no, i.returned_fen, coalesce(r.fen, 0) + coalesce(p.fen, 0))
        FROM payment_item i
        LEFT JOIN (SELECT payment_id, account_id, bill_id, sum(amount_fen - fee_fen) AS fen
                   FROM refund WHERE status <> 'declined' GROUP BY 1, 2, 3) r
               USING (payment_id, account_id, bill_id)
        LEFT JOIN (SELECT payment_id, account_id, bill_id, sum(amount_fen) AS fen
                   FROM chargeback_part GROUP BY 1, 2, 3) p
               USING (payment_id, account_id, bill_id)
        WHERE i.returned_fen <> coalesce(r.fen, 0) + coalesce(p.fen, 0)
           OR (i.outcome IN ('returning', 'returned') AND i.returned_fen <> i.amount_fen)
           OR (i.outcome IN ('waiting', 'paid', 'not_paid') AND i.returned_fen <> 0)
    """,
    # By staff it is refunded under its own number; the automatic one under its payment's.
    "every refund's state is what its transfers say": """
        SELECT format('refund %s is %s of %s fen, of it %s above the bill; its transfers say '
                      'refunded %s, above the bill %s, sent %s by %s', r.refund_no, r.status,
                      r.amount_fen, r.advance_fen, cost.fen, ahead.fen, gone.fen, gone.ways)
        FROM (
            SELECT r.*, r.amount_fen - r.fee_fen AS item_fen,
                   CASE WHEN r.proposed_by IS NULL THEN r.payment_id::text
                        ELSE r.refund_no END AS why,
                   proposed_by IS NOT NULL AND requested_at IS NOT NULL AS booked,
                   CASE WHEN t.sent_at IS NULL THEN 'gateway:' || p.gateway ELSE 'bank' END AS way
            FROM refund r JOIN payment p ON p.id = r.payment_id
            LEFT JOIN bank_transfer t ON t.number = r.refund_no) r
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_fen), 0) AS fen FROM ledger_transfer
            WHERE (account_id, subject_id) = (r.account_id, r.bill_id)
              AND entry_key = 'refunded:' || r.refund_no) cost
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_fen), 0) AS fen FROM ledger_transfer
            WHERE (account_id, subject_id) = (r.account_id, r.bill_id)
              AND entry_key = 'advance_refunded:' || r.refund_no) ahead
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.amount_fen), 0) AS fen,
                   string_agg(DISTINCT c.code, ', ') AS ways
            FROM (VALUES (r.account_id, r.bill_id, 'returned:' || r.why),
                         (0, CASE WHEN r.fee_fen > 0 THEN r.payment_id END,
                          'returned:' || r.payment_id)) k (account_id, subject_id, entry_key)
            JOIN ledger_transfer t USING (account_id, subject_id, entry_key)
            JOIN ledger_account c ON c.id = t.credit_account_id) gone
        WHERE cost.fen + ahead.fen <> CASE WHEN booked THEN item_fen ELSE 0 END
           OR ahead.fen <> r.advance_fen
           OR gone.fen <> CASE status WHEN 'succeeded' THEN amount_fen - charged_back_fen
                                      ELSE 0 END
           OR coalesce(gone.ways, way) <> way
    """,
    "every receipt's state is what its transfers say": """
        SELECT format('receipt %s is %s of %s fen; its transfers say came %s, taken back %s, '
                      'released %s, sent %s by %s', r.id, r.state, r.amount_fen, l.came, l.taken,
                      l.released, l.gone, l.ways)
        FROM receipt r
        LEFT JOIN bank_transfer b ON b.number = 'S' || r.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(fen) FILTER (WHERE act = 'suspense_in'), 0) AS came,
                   coalesce(sum(fen) FILTER (WHERE act = 'taken_back'), 0) AS taken,
                   coalesce(sum(fen) FILTER (WHERE act = 'suspense_out'), 0) AS released,
                   coalesce(sum(fen) FILTER (WHERE act = 'returned'), 0) AS gone,
                   string_agg(DISTINCT code, ', ') FILTER (WHERE act = 'returned') AS ways
            FROM (SELECT split_part(t.entry_key, ':', 1) AS act, t.amount_fen AS fen, c.code
                  FROM ledger_transfer t JOIN ledger_account c ON c.id = t.credit_account_id
                  WHERE (t.account_id, t.subject_id) = (0, r.id)) acts) l
        CROSS JOIN LATERAL (
            SELECT CASE r.state WHEN 'returned' THEN r.amount_fen - r.charged_back_fen ELSE 0 END
                   AS fen,
                   CASE WHEN b.sent_at IS NULL THEN 'gateway:' || r.source ELSE 'bank' END AS way) w
        WHERE (l.came, l.taken, l.released, l.gone) <>
              (r.amount_fen, r.charged_back_fen, w.fen, w.fen)
           OR coalesce(l.ways, w.way) <> w.way
    """,
    "money that came back had been sent by its gateway, as much, and goes by it no more": """
        SELECT format('receipt %s of %s fen is %s and came back of %s: %s fen were sent by %s',
                      c.id, c.amount_fen, c.state, c.came_back_of, coalesce(o.fen, 0), o.source)
        FROM receipt c
        LEFT JOIN bank_transfer b ON b.number = 'S' || c.id
        LEFT JOIN (
            SELECT r.refund_no AS number, r.payment_id, r.amount_fen - r.charged_back_fen AS fen,
                   p.gateway AS source
            FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.status = 'succeeded'
            UNION ALL
            SELECT 'S' || id, payment_id, amount_fen - charged_back_fen, source
            FROM receipt WHERE state = 'returned') o
            ON (o.number, o.payment_id, o.fen, o.source)
               = (c.came_back_of, c.payment_id, c.amount_fen, c.source)
        LEFT JOIN bank_transfer s ON s.number = o.number
        WHERE c.came_back_of IS NOT NULL
          AND (o.number IS NULL OR s.sent_at IS NOT NULL
               OR (c.state = 'returned' AND c.charged_back_fen < c.amount_fen
                   AND b.sent_at IS NULL)
               OR (c.state = 'suspended' AND (b.number IS NULL OR b.dropped_at IS NOT NULL)))
    """,
    "a transfer from our bank is of a refund or receipt that waits for it, or went by it": """
        SELECT format('transfer %s of %s fen, sent %s: it is of %s fen, which is %s', t.number,
                      t.amount_fen, coalesce(t.sent_at::text, 'never'), o.fen, o.status)
        FROM bank_transfer t
        LEFT JOIN (
            SELECT refund_no AS number, amount_fen - charged_back_fen AS fen, status,
                   status = 'by_transfer' AS waits, status = 'succeeded' AS gone
            FROM refund
            UNION ALL
            SELECT 'S' || id, amount_fen - charged_back_fen, state, state = 'suspended',
                   state = 'returned'
            FROM receipt
            UNION ALL
            SELECT 'B' || id, amount_fen, 'suspended', ended_at IS NULL, is_returned
            FROM bank_suspense) o USING (number)
        WHERE t.dropped_at IS NULL
          AND NOT coalesce(t.amount_fen = o.fen
                           AND CASE WHEN t.sent_at IS NULL THEN o.waits ELSE o.gone END, false)
    """,
    "every chargeback's state is what its transfers say": f"""
        SELECT format('chargeback %s is %s of %s fen, its transfers say taken %s, won %s, bills %s,'
                      ' waiting %s, fee %s, tax %s, borne %s, its own fee %s, returned %s', c.id,
                      c.state, c.amount_fen, taken, won, bills, waiting, fee, tax, borne, cost,
                      cost_back)
        FROM (
            SELECT c.*,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'chargeback'), 0) AS taken,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'chargeback_won'), 0) AS won,
                   coalesce(sum(t.fen) FILTER (
                       WHERE act IN ('chargeback_lost', 'chargeback_advance')), 0) AS bills,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'taken_back'), 0) AS waiting,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'chargeback_fee'), 0) AS fee,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'chargeback_fee_tax'), 0) AS tax,
                   coalesce(sum(CASE WHEN act = 'chargeback_regained' THEN -t.fen ELSE t.fen END)
                            FILTER (WHERE act IN ('chargeback_borne', 'chargeback_regained')), 0)
                       AS borne,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'dispute_fee'), 0) AS cost,
                   coalesce(sum(t.fen) FILTER (WHERE act = 'dispute_fee_returned'), 0) AS cost_back,
                   (SELECT coalesce(sum(amount_fen), 0) FROM chargeback_part p
                    WHERE p.chargeback_id = c.id) AS parts
            FROM chargeback c
            LEFT JOIN ({_OF_CHARGEBACKS}) t ON t.number = c.id::text
            GROUP BY c.id) c
        WHERE (taken, bills, waiting, fee, tax, borne, cost, cost_back, parts) <>
              (amount_fen, bills_fen, waiting_fen, service_fee_fen, service_tax_fen, borne_fen,
               fee_fen, fee_returned_fen, bills_fen)
           OR won <> CASE state WHEN 'won' THEN amount_fen ELSE 0 END
    """,  # noqa: S608  our own text
    "open chargebacks are what stands on their account": """
        SELECT format('%s fen of chargebacks are open, the ledger says %s', o.fen, l.fen)
        FROM (SELECT coalesce(sum(amount_fen), 0) AS fen
              FROM chargeback WHERE state = 'open') o,
             (SELECT coalesce(sum(amount_fen * CASE WHEN d.code = 'chargebacks' THEN 1
                                                    WHEN c.code = 'chargebacks' THEN -1
                                                    ELSE 0 END), 0) AS fen
              FROM ledger_transfer t
              JOIN ledger_account d ON d.id = t.debit_account_id
              JOIN ledger_account c ON c.id = t.credit_account_id) l
        WHERE o.fen <> l.fen
    """,
    "refunds wait in the ledger until they are sent": """
        SELECT format('%s fen of refunds are under way, the ledger says %s', r.fen, l.fen)
        FROM (SELECT coalesce(sum(amount_fen - charged_back_fen), 0) AS fen
              FROM refund WHERE status IN ('requested', 'pending', 'by_transfer')) r,
             (SELECT coalesce(sum(amount_fen * CASE WHEN c.code = 'returns' THEN 1
                                                    WHEN d.code = 'returns' THEN -1
                                                    ELSE 0 END), 0) AS fen
              FROM ledger_transfer t
              JOIN ledger_account d ON d.id = t.debit_account_id
              JOIN ledger_account c ON c.id = t.credit_account_id) l
        WHERE r.fen <> l.fen
    """,
}
