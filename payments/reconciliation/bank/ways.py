"""The ways in which entries are money we waited for, as SQL over what is open.

What is the same money depends on what is here and not on the order it came in: each run finds all
of it anew, and nothing that could be two things is taken for either.
"""

# Not what a person matched, nor what was matched before the days a run looks at.
_OPEN = """(m.id IS NULL OR m.matched_by <> 'person' AND m.first_on >= :since)
      AND {id} NOT IN (SELECT unnest({ids}) FROM bank_found)"""
OPEN_ENTRIES = f"""
    CREATE TEMPORARY TABLE bank_open_entry ON COMMIT DROP AS
    SELECT e.id, e.account_id, e.entry_no, e.booked_on, e.amount_fen, e.refs,
           coalesce(nullif(e.other_account_no, ''), nullif(e.other_name, '')) AS other,
           r.source AS rule_source
    FROM bank_entry e
    LEFT JOIN bank_match m ON m.id = e.match_id
    LEFT JOIN bank_rule r ON r.ended_at IS NULL AND e.other_account_no <> ''
     AND r.fingerprint = encode(sha256(convert_to(e.other_account_no, 'UTF8')), 'hex')
    WHERE e.booked_on >= :since
      -- What a person suspended, or sent back, is nothing we waited for.
      AND NOT EXISTS (SELECT FROM bank_suspense s
                      WHERE s.entry_id = e.id AND (s.ended_at IS NULL OR s.is_returned))
      AND {_OPEN.format(id="e.id", ids="entry_ids")}
"""  # noqa: S608  our own texts

# ``n`` counts a source's dues without a hole, so that a chain of days shows where one is taken.
# A remittance that came back is zero: its debit and its credit are.
OPEN_DUES = f"""
    CREATE TEMPORARY TABLE bank_open_due ON COMMIT DROP AS
    SELECT d.*, coalesce(t.within_days, :within_days) AS within_days,
           coalesce(t.late_after_days, :late_after_days) AS late_after_days,
           coalesce(t.tolerance_fen, 0) AS tolerance_fen,
           CASE WHEN d.kind = 'transfer' THEN :early_days ELSE 0 END AS early_days
    FROM (SELECT d.id, d.source, d.kind, d.day, d.reference, d.refs, d.amount_fen, d.fee_fen,
                 d.match_id, row_number() OVER (PARTITION BY d.source ORDER BY d.day, d.reference)
                 AS n
          FROM bank_due d
          WHERE (d.amount_fen <> 0 OR d.kind = 'remittance') AND d.day >= :dues_since
            AND (d.kind <> 'net' OR NOT EXISTS (
                SELECT FROM bank_due p WHERE (p.source, p.kind) = (d.source, 'payout')))) d
    LEFT JOIN bank_match m ON m.id = d.match_id
    LEFT JOIN unnest(CAST(:sources AS text[]), CAST(:withins AS int[]), CAST(:lates AS int[]),
                     CAST(:tolerances AS int[]))
         AS t (source, within_days, late_after_days, tolerance_fen) ON t.source = d.source
    WHERE {_OPEN.format(id="d.id", ids="due_ids")}
"""  # noqa: S608  our own texts

INDEXES = """
    CREATE INDEX ON bank_open_entry (id); CREATE INDEX ON bank_open_due (id);
    ANALYZE bank_open_entry; ANALYZE bank_open_due
"""

LINKS = """
    CREATE TEMPORARY TABLE bank_link ON COMMIT DROP AS
    SELECT DISTINCT e.id AS entry_id, d.id AS due_id
    FROM (SELECT id, unnest(refs) AS ref FROM bank_open_entry) e
    JOIN (SELECT id, unnest(refs) AS ref FROM bank_open_due) d USING (ref);
    ANALYZE bank_link
"""

# Entries that name one due, or one entry that names several. What is tangled more is a person's.
GROUPS = """
    CREATE TEMPORARY TABLE bank_group ON COMMIT DROP AS
    WITH degree AS (
        SELECT entry_id, due_id, count(*) OVER (PARTITION BY entry_id) AS dues,
               count(*) OVER (PARTITION BY due_id) AS entries
        FROM bank_link
    ), hub AS (
        SELECT array_agg(entry_id ORDER BY entry_id) AS entry_ids, ARRAY[due_id] AS due_ids
        FROM degree GROUP BY due_id HAVING max(dues) = 1
        UNION ALL
        SELECT ARRAY[entry_id], array_agg(due_id ORDER BY due_id)
        FROM degree GROUP BY entry_id HAVING max(entries) = 1 AND count(*) > 1
    )
    SELECT h.entry_ids, h.due_ids, e.*, d.*,
           e.fen BETWEEN d.due_fen - d.tolerance_fen AND d.due_fen + d.tolerance_fen
           AND d.sources = 1 AS agrees,
           cardinality(h.due_ids) = 1 AND e.times > 1 AND e.least_fen = d.due_fen
           AND e.most_fen = d.due_fen AS is_repeated
    FROM hub h
    CROSS JOIN LATERAL (
        SELECT sum(o.amount_fen)::bigint AS fen, min(o.amount_fen) AS least_fen,
               max(o.amount_fen) AS most_fen, count(*) AS times, min(o.booked_on) AS first_on,
               array_agg(o.id ORDER BY o.booked_on, o.entry_no, o.account_id) AS in_order
        FROM bank_open_entry o WHERE o.id = ANY(h.entry_ids)) e
    CROSS JOIN LATERAL (
        SELECT min(o.source) AS source, count(DISTINCT o.source) AS sources,
               sum(o.amount_fen)::bigint AS due_fen, sum(o.fee_fen)::bigint AS fee_fen,
               max(o.tolerance_fen) AS tolerance_fen
        FROM bank_open_due o WHERE o.id = ANY(h.due_ids)) d
"""

FOUND = """
    CREATE TEMPORARY TABLE bank_found (parts text PRIMARY KEY, entry_ids bigint[], due_ids bigint[],
        source text, matched_by text, first_on date, amount_fen bigint, fee_fen bigint,
        made_by bigint, reason text, written_off_fen bigint NOT NULL DEFAULT 0) ON COMMIT DROP
"""
_PARTS = "'e' || array_to_string({entries}, ',') || ' d' || array_to_string({dues}, ',')"
_NOT_BARRED = """NOT EXISTS (SELECT FROM bank_match b
                             WHERE b.parts = {parts} AND b.undone_by IS NOT NULL)"""

# A sum that came twice under one reference is the first of them; the other is a difference.
BY_REFERENCE = f"""
    INSERT INTO bank_found
    SELECT parts, entry_ids, due_ids, source, 'reference', first_on, fen, fee_fen + due_fen - fen,
           NULL, NULL
    FROM (SELECT entry_ids, due_ids, source, first_on, fen, due_fen, fee_fen,
                 {_PARTS.format(entries="entry_ids", dues="due_ids")} AS parts
          FROM bank_group WHERE agrees
          UNION ALL
          SELECT in_order[1:1], due_ids, source, first_on, due_fen, due_fen, fee_fen,
                 {_PARTS.format(entries="in_order[1:1]", dues="due_ids")}
          FROM bank_group WHERE is_repeated AND NOT agrees) g
    WHERE {_NOT_BARRED.format(parts="g.parts")}
"""  # noqa: S608  our own texts

# Every way in which sums agree; one is taken when nothing in it could be part of another.
BY_AMOUNT = f"""
    INSERT INTO bank_found
    WITH e AS (
        SELECT o.*, row_number() OVER (PARTITION BY o.account_id, o.other
                                       ORDER BY o.booked_on, o.entry_no) AS n
        FROM bank_open_entry o WHERE NOT EXISTS (SELECT FROM bank_link l WHERE l.entry_id = o.id)
    ), d AS (
        SELECT * FROM bank_open_due o
        WHERE NOT EXISTS (SELECT FROM bank_link l WHERE l.due_id = o.id)
    ), due_run AS (
        SELECT c.source, array_agg(c.id ORDER BY c.id) AS ids, sum(c.amount_fen)::bigint AS fen,
               sum(c.fee_fen)::bigint AS fee_fen, max(c.day) AS day, max(c.within_days) AS within,
               max(c.early_days) AS early, max(c.tolerance_fen) AS tolerance
        FROM d a CROSS JOIN generate_series(0, :longest - 1) k
        CROSS JOIN LATERAL generate_series(0, k) j
        JOIN d c ON (c.source, c.n) = (a.source, a.n + j)
        WHERE k = 0 OR a.kind NOT IN ('transfer', 'remittance')
        GROUP BY a.id, k, c.source HAVING count(*) = k + 1
    ), entry_run AS (
        SELECT array_agg(c.id ORDER BY c.id) AS ids, sum(c.amount_fen)::bigint AS fen,
               min(c.booked_on) AS first_on, max(c.booked_on) AS last_on,
               max(c.rule_source) AS rule_source
        FROM e a CROSS JOIN generate_series(1, :longest - 1) k
        CROSS JOIN LATERAL generate_series(0, k) j
        JOIN e c ON (c.account_id, c.other, c.n) = (a.account_id, a.other, a.n + j)
        GROUP BY a.id, k HAVING count(*) = k + 1
    ), candidate AS (
        SELECT ARRAY[e.id] AS entry_ids, r.ids AS due_ids, r.source, e.rule_source,
               e.booked_on AS first_on, e.amount_fen AS fen, r.fen AS due_fen, r.fee_fen
        FROM due_run r
        CROSS JOIN LATERAL generate_series(r.fen - r.tolerance, r.fen + r.tolerance) v (fen)
        JOIN e ON e.amount_fen = v.fen AND sign(e.amount_fen) = sign(r.fen)
         AND e.booked_on BETWEEN r.day - r.early AND r.day + r.within
        UNION ALL
        SELECT x.ids, ARRAY[d.id], d.source, x.rule_source, x.first_on, x.fen, d.amount_fen,
               d.fee_fen
        FROM d
        CROSS JOIN LATERAL generate_series(d.amount_fen - d.tolerance_fen,
                                           d.amount_fen + d.tolerance_fen) v (fen)
        JOIN entry_run x ON x.fen = v.fen AND x.first_on >= d.day
         AND x.last_on <= d.day + d.within_days
        WHERE d.kind NOT IN ('transfer', 'remittance')
    ), numbered AS (
        SELECT c.*, row_number() OVER () AS at
        FROM (SELECT *, {_PARTS.format(entries="entry_ids", dues="due_ids")} AS parts
              FROM candidate WHERE coalesce(rule_source, source) = source) c
        WHERE {_NOT_BARRED.format(parts="c.parts")}
    ), member AS (
        SELECT at, 'e' AS side, unnest(entry_ids) AS id FROM numbered
        UNION ALL SELECT at, 'd', unnest(due_ids) FROM numbered
    ), shared AS (
        SELECT at FROM (SELECT at, count(*) OVER (PARTITION BY side, id) AS times FROM member) m
        WHERE times > 1
    )
    SELECT parts, entry_ids, due_ids, source,
           CASE WHEN rule_source IS NULL THEN 'amount' ELSE 'rule' END, first_on, fen,
           fee_fen + due_fen - fen, NULL, NULL
    FROM numbered n WHERE NOT EXISTS (SELECT FROM shared s WHERE s.at = n.at)
"""  # noqa: S608  our own texts

# A person's matches hold as long as the figures do: a corrected file may change them.
BY_PERSON = """
    INSERT INTO bank_found
    SELECT m.parts, e.ids, d.ids, m.source, m.matched_by, m.first_on, e.fen,
           d.fee_fen + d.fen - e.fen - m.written_off_fen, m.made_by, m.reason, m.written_off_fen
    FROM bank_match m
    CROSS JOIN LATERAL (SELECT array_agg(id) AS ids, sum(amount_fen)::bigint AS fen
                        FROM bank_entry WHERE match_id = m.id) e
    CROSS JOIN LATERAL (SELECT array_agg(id) AS ids, sum(amount_fen)::bigint AS fen,
                               sum(fee_fen)::bigint AS fee_fen
                        FROM bank_due WHERE match_id = m.id) d
    LEFT JOIN unnest(CAST(:sources AS text[]), CAST(:tolerances AS int[]))
         AS t (source, tolerance_fen) USING (source)
    WHERE m.undone_at IS NULL AND m.matched_by = 'person' AND m.first_on >= :since
      AND abs(e.fen + m.written_off_fen - d.fen) <= coalesce(t.tolerance_fen, 0)
"""

# One column each, so that what is left is told by a join: an array is searched from its start.
TAKEN = """
    CREATE TEMPORARY TABLE bank_taken ON COMMIT DROP AS
    SELECT DISTINCT unnest(entry_ids) AS id FROM bank_found;
    CREATE TEMPORARY TABLE bank_settled ON COMMIT DROP AS
    SELECT DISTINCT unnest(due_ids) AS id FROM bank_found;
    CREATE TEMPORARY TABLE bank_agreed ON COMMIT DROP AS
    SELECT DISTINCT unnest(due_ids) AS id FROM bank_group WHERE agrees;
    ANALYZE bank_taken; ANALYZE bank_settled; ANALYZE bank_agreed; ANALYZE bank_found
"""

# What is left of it all, as differences of each source and day.
LEFT = """
    CREATE TEMPORARY TABLE bank_left ON COMMIT DROP AS
    WITH named AS (
        -- A due whose reference came with another sum, or in a tangle: told once, of the due.
        SELECT l.due_id, array_agg(DISTINCT l.entry_id) AS entry_ids,
               sum(e.amount_fen)::bigint AS fen
        FROM bank_link l JOIN bank_open_entry e ON e.id = l.entry_id
        WHERE NOT EXISTS (SELECT FROM bank_settled s WHERE s.id = l.due_id)
          AND NOT EXISTS (SELECT FROM bank_taken t WHERE t.id = l.entry_id)
          -- A person said that the two are not the same, although all agrees.
          AND NOT EXISTS (SELECT FROM bank_agreed a WHERE a.id = l.due_id)
        GROUP BY l.due_id
    )
    SELECT d.source, d.day, 'amount_differs' AS kind, d.kind AS row_kind, d.reference,
           NULL AS their_ref, d.amount_fen AS ours_fen, n.fen AS theirs_fen
    FROM named n JOIN bank_open_due d ON d.id = n.due_id AND d.day >= :since
    UNION ALL
    SELECT d.source, d.day, 'not_settled', d.kind, d.reference, NULL, d.amount_fen, NULL
    FROM bank_open_due d
    WHERE NOT EXISTS (SELECT FROM bank_settled s WHERE s.id = d.id)
      AND NOT EXISTS (SELECT FROM named n WHERE n.due_id = d.id)
      AND d.amount_fen <> 0 AND d.day >= :since AND d.day + d.late_after_days < (
          SELECT min(to_day) FROM (SELECT max(covers_to) AS to_day FROM bank_statement
                                   WHERE covers_to >= :since GROUP BY account_id) s)
    UNION ALL
    SELECT 'account-' || e.account_id, e.booked_on,
           CASE WHEN g.due_ids IS NOT NULL THEN 'duplicate'
                WHEN e.amount_fen > 0 THEN 'unknown_credit' ELSE 'unknown_debit' END,
           'entry', e.entry_no, e.refs[1], NULL, e.amount_fen
    FROM bank_open_entry e
    LEFT JOIN bank_group g ON g.is_repeated AND NOT g.agrees AND e.id = ANY(g.entry_ids)
    WHERE NOT EXISTS (SELECT FROM bank_taken t WHERE t.id = e.id)
      AND NOT EXISTS (SELECT FROM (SELECT unnest(entry_ids) AS id FROM named) n WHERE n.id = e.id)
"""
