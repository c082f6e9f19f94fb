"""Where the life of what a difference is about stands written, from the bill to the bank, as SQL.

Each yields rows of: what, at or on (a day), fen, reference, note.
"""

# The one payment a difference is about, whichever number names it.
PAYMENT = """
    SELECT id FROM payment WHERE order_no = :reference
    UNION SELECT payment_id FROM refund WHERE refund_no = :reference
    UNION SELECT payment_id FROM receipt
          WHERE id = CASE WHEN :reference ~ '^S[0-9]{1,18}$' THEN substr(:reference, 2)::bigint END
    UNION SELECT payment_id FROM payment_item WHERE write_off_no = :reference
    UNION SELECT p.id FROM break_act a JOIN payment p ON p.order_no = a.target
          WHERE a.break_id = :break_id AND a.undone_at IS NULL
    LIMIT 1
"""

OF_PAYMENT = """
    SELECT 'bill' AS what, NULL::timestamptz AS at, b.issued_on AS on, b.amount_fen AS fen,
           b.bill_no AS reference, NULL AS note
    FROM payment_item i JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    WHERE i.payment_id = :payment_id
    UNION ALL
    SELECT 'bill_version', v.replaced_at, NULL, v.amount_fen, b.bill_no, v.version::text
    FROM payment_item i JOIN bill_version v ON (v.account_id, v.id) = (i.account_id, i.bill_id)
    JOIN bill b ON (b.account_id, b.id) = (i.account_id, i.bill_id)
    WHERE i.payment_id = :payment_id
    UNION ALL
    SELECT 'started', created_at, NULL, amount_fen, order_no, NULL FROM payment
    WHERE id = :payment_id
    UNION ALL
    SELECT 'attempt_' || outcome, asked_at, NULL, NULL, gateway, attempt_no::text
    FROM payment_attempt WHERE payment_id = :payment_id
    UNION ALL
    SELECT 'callback', c.received_at, NULL, NULL, c.external_id, NULL
    FROM payment p JOIN gateway_callback c ON (c.gateway, c.reference) = (p.gateway, p.order_no)
    WHERE p.id = :payment_id
    UNION ALL
    SELECT 'paid', paid_at, NULL, amount_fen, gateway_ref, NULL FROM payment
    WHERE id = :payment_id AND paid_at IS NOT NULL
    UNION ALL
    SELECT status, status_at, NULL, NULL, order_no, NULL FROM payment
    WHERE id = :payment_id AND status IN ('refused', 'expired')
    UNION ALL
    SELECT outcome, outcome_at, NULL, amount_fen, write_off_no, reason FROM payment_item
    WHERE payment_id = :payment_id AND outcome IN ('written_off', 'returning', 'returned')
    UNION ALL
    SELECT CASE WHEN came_back_of IS NULL THEN 'suspended' ELSE 'came_back' END, received_at,
           NULL, amount_fen, source_ref, NULL
    FROM receipt WHERE payment_id = :payment_id
    UNION ALL
    SELECT 'sent_back', returned_at, NULL, amount_fen - charged_back_fen,
           coalesce(return_ref, 'S' || id), NULL
    FROM receipt WHERE payment_id = :payment_id AND returned_at IS NOT NULL
      AND charged_back_fen < amount_fen AND came_back_of IS NOT NULL
    UNION ALL
    SELECT 'refunded', succeeded_at, NULL, amount_fen, refund_no, NULL FROM refund
    WHERE payment_id = :payment_id AND succeeded_at IS NOT NULL
"""

# What its company's lists say of it.
LISTED = """
    SELECT DISTINCT 'list_' || r.kind AS what, r.written_off_at AS at, f.day AS on,
           r.amount_fen AS fen, nullif(r.receipt_no, '') AS reference, nullif(r.reason, '') AS note
    FROM confirmation_row r JOIN confirmation_file f ON f.id = r.confirmation_file_id
    WHERE r.write_off_no IN (SELECT write_off_no FROM payment_item WHERE payment_id = :payment_id)
"""

# The files of the gateways and the days that tell of it: of the payment, or of the row itself.
_FILES = """
    SELECT c.source, c.day, s.gateway_ref, s.amount_fen, s.happened_at
    FROM reconciliation c JOIN settlement_row s
      ON (s.settlement_file_id, s.kind, s.reference)
         = (c.settlement_file_id, :row_kind, :reference)
    WHERE c.source = :source AND c.day BETWEEN CAST(:day AS date) - 8 AND CAST(:day AS date) + 8
    UNION
    SELECT c.source, c.day, s.gateway_ref, s.amount_fen, s.happened_at
    FROM payment p
    CROSS JOIN LATERAL (SELECT (p.paid_at AT TIME ZONE 'Asia/Shanghai')::date AS day) n
    JOIN reconciliation c ON c.source = p.gateway AND c.day BETWEEN n.day - 1 AND n.day + 8
    JOIN settlement_row s
      ON (s.settlement_file_id, s.kind, s.reference)
         = (c.settlement_file_id, 'payment', p.order_no)
    WHERE p.id = :payment_id
"""
IN_FILES = f"""
    SELECT 'their_row' AS what, happened_at AS at, day AS on, amount_fen AS fen,
           nullif(gateway_ref, '') AS reference, source AS note
    FROM ({_FILES}) f
"""  # noqa: S608  our own texts

_IS_ENTRY = """(e.entry_no = :reference AND e.account_id = CASE
    WHEN :source ~ '^account-[0-9]{1,18}$' THEN substr(:source, 9)::bigint END)"""

# The money of those days, and of what a bank's difference names: what should come, what came.
_DUES = f"""
    SELECT d.* FROM bank_due d
    WHERE (d.source, d.day) IN (SELECT source, day FROM ({_FILES}) f) AND d.kind = 'net'
       OR d.id IN (
           SELECT id FROM (
               SELECT p.id, row_number() OVER (PARTITION BY f.source, f.day ORDER BY p.day) AS place
               FROM ({_FILES}) f
               JOIN bank_due p ON (p.source, p.kind) = (f.source, 'payout') AND p.day >= f.day
           ) next WHERE place = 1)
       OR (d.source, d.day, d.kind, d.reference)
          = (:source, CAST(:day AS date), :row_kind, :reference)
       OR d.match_id IN (SELECT e.match_id FROM bank_entry e
                         WHERE {_IS_ENTRY})
"""  # noqa: S608  our own texts
AT_THE_BANK = f"""
    WITH dues AS ({_DUES})
    SELECT 'due_' || kind AS what, NULL::timestamptz AS at, day AS on, amount_fen AS fen, reference,
           NULL AS note
    FROM dues WHERE amount_fen <> 0
      AND (kind <> 'net' OR NOT EXISTS (
          SELECT FROM bank_due p WHERE (p.source, p.kind) = (dues.source, 'payout')))
    UNION
    SELECT 'entry', NULL, e.booked_on, e.amount_fen, e.entry_no, nullif(e.words, '')
    FROM bank_entry e
    WHERE {_IS_ENTRY} OR e.match_id IN (SELECT match_id FROM dues)
    UNION
    SELECT 'matched_by_' || m.matched_by, m.made_at, m.first_on, m.amount_fen, NULL, m.reason
    FROM bank_match m WHERE m.undone_at IS NULL AND m.id IN (SELECT match_id FROM dues)
"""  # noqa: S608  our own texts

# How a row was known that its own day's file does not name.
MATCHED = """
    SELECT 'found_by_' || found_by AS what, made_at AS at, first_on AS on, amount_fen AS fen,
           parts AS reference, NULL AS note
    FROM gateway_match
    WHERE source = :source AND undone_at IS NULL AND position(' ' || :reference IN parts) > 0
      AND first_on BETWEEN CAST(:day AS date) - 8 AND CAST(:day AS date) + 8
"""

# What became of what people did about it.
OF_ACTS = """
    SELECT 'refund_' || r.status AS what, coalesce(r.succeeded_at, r.requested_at, r.proposed_at)
           AS at, NULL::date AS on, r.amount_fen AS fen, r.refund_no AS reference, NULL AS note
    FROM break_act a JOIN refund r
      ON (r.proposed_by, r.idempotency_key)
         = (a.proposed_by, 'difference ' || a.break_id || ' act ' || a.id)
    WHERE a.break_id = :break_id
    UNION ALL
    SELECT 'sent_back', t.sent_at, NULL, t.amount_fen, t.bank_ref, NULL
    FROM break_act a JOIN bank_suspense s ON s.act_id = a.id
    JOIN bank_transfer t ON t.number = 'B' || s.id
    WHERE a.break_id = :break_id AND t.sent_at IS NOT NULL
    UNION ALL
    SELECT 'entry', NULL, e.booked_on, e.amount_fen, e.entry_no, nullif(e.words, '')
    FROM break_act a JOIN bank_suspense s ON s.act_id = a.id JOIN bank_entry e ON e.id = s.entry_id
    WHERE a.break_id = :break_id AND a.act = 'rematch' AND s.ended_at IS NULL
"""
