"""The ways in which what gateways' days leave is the same money after all, as SQL.

What is the same depends on what is here and not on the order it came in: each pass finds all of it
anew. Nothing that could be two things is taken for either, and what a person undid is not found.
"""

from payments.reconciliation.source_terms import SAID

_DAY = "to_char({day}, 'YYYY-MM-DD')"
_LOCAL = "({at} AT TIME ZONE 'Asia/Shanghai')"

# ``last_on``: until the files up to that day are here, what is ours may still stand in one.
OURS = f"""
    CREATE TEMPORARY TABLE left_ours ON COMMIT DROP AS
    SELECT l.source, l.day, l.row_kind, l.reference,
           {_DAY.format(day="l.day")} || ' ' || l.reference AS key,
           l.times, l.ours_fen AS fen, l.happened_at,
           coalesce(p.id, r.payment_id, m.payment_id, d.payment_id) AS payment_id,
           coalesce(p.gateway_ref, r.gateway_ref, m.return_ref, d.dispute_ref) AS their_no,
           greatest(coalesce(t.file_days, :usual_file_days), 1) AS reach,
           l.day + greatest(coalesce(t.file_days, :usual_file_days), CASE
               WHEN {_LOCAL.format(at="l.happened_at")}::time
                    >= coalesce(t.cut_off, :usual_cut_off) THEN 1 ELSE 0 END) AS last_on
    FROM settlement_left l
    LEFT JOIN ({SAID}) t ON t.source = l.source
    LEFT JOIN payment p ON l.row_kind = 'payment' AND p.order_no = l.reference
    LEFT JOIN refund r ON l.row_kind = 'refund' AND r.refund_no = l.reference
    LEFT JOIN receipt m ON l.row_kind = 'refund' AND m.id = CASE
        WHEN l.reference ~ '^S[0-9]{{1,18}}$' THEN substr(l.reference, 2)::bigint END
    LEFT JOIN LATERAL (
        SELECT min(c.dispute_ref) AS dispute_ref, q.id AS payment_id
        FROM payment q JOIN chargeback c ON c.payment_id = q.id
        WHERE l.row_kind = 'chargeback' AND q.order_no = l.reference
        GROUP BY q.id HAVING count(*) = 1) d ON true
    WHERE l.verdict = 'ours' AND l.day BETWEEN :from_on AND :to_on
"""  # noqa: S608  our own texts

THEIRS = f"""
    CREATE TEMPORARY TABLE left_theirs ON COMMIT DROP AS
    SELECT l.source, l.day, l.row_kind, l.reference,
           {_DAY.format(day="l.day")} || ' ' || l.reference AS key,
           l.is_named, l.payer, l.their_ref, l.theirs_fen AS fen, l.happened_at,
           greatest(coalesce(t.file_days, :usual_file_days), 1) AS reach
    FROM settlement_left l LEFT JOIN ({SAID}) t ON t.source = l.source
    WHERE l.verdict = 'theirs' AND l.day BETWEEN :from_on AND :to_on
"""  # noqa: S608  our own texts

# ``act_id``: a person said so. Their source may be another than ours, then alone.
FOUND = """
    CREATE TEMPORARY TABLE left_found (source text, their_source text, row_kind text, parts text,
        found_by text, ours text[], theirs text[], ours_fen bigint, theirs_fen bigint, act_id bigint
        ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE left_taken (side text, source text, row_kind text, key text,
        ours_fen bigint, theirs_fen bigint, PRIMARY KEY (side, source, row_kind, key)
        ) ON COMMIT DROP;
    CREATE INDEX ON left_ours (source, row_kind, reference);
    CREATE INDEX ON left_theirs (source, row_kind, reference);
    ANALYZE left_ours; ANALYZE left_theirs
"""
TAKE = """
    INSERT INTO left_taken
    SELECT 'o', source, row_kind, unnest(ours), ours_fen, theirs_fen FROM left_found
    UNION ALL
    SELECT 't', their_source, row_kind, unnest(theirs), ours_fen, theirs_fen FROM left_found
    ON CONFLICT DO NOTHING;
    ANALYZE left_taken
"""
_OPEN = """(SELECT x.* FROM left_{table} x WHERE NOT EXISTS (
    SELECT FROM left_taken k WHERE (k.side, k.source, k.row_kind, k.key)
                                   = ('{side}', x.source, x.row_kind, x.key)))"""
OPEN_OURS = _OPEN.format(table="ours", side="o")
OPEN_THEIRS = _OPEN.format(table="theirs", side="t")
_PARTS = """{kind} || ' o{{' || array_to_string({ours}, ', ') || '}} t{{'
            || array_to_string({theirs}, ', ') || '}}'"""
_NOT_BARRED = """NOT EXISTS (SELECT FROM gateway_match b WHERE b.source = {source}
                 AND b.parts = {parts} AND b.undone_by IS NOT NULL)"""
_INSERT = "INSERT INTO left_found "


def _pair(condition: str) -> str:
    """Return one of ours beside one of theirs, of one source, that a person did not part."""
    parts = _PARTS.format(kind="o.row_kind", ours="ARRAY[o.key]", theirs="ARRAY[t.key]")
    return f"""
        SELECT o.source, t.source AS their_source, o.row_kind, {parts} AS parts, o.key AS ours,
               t.key AS theirs, o.fen AS ours_fen, t.fen AS theirs_fen, o.day AS ours_on,
               t.day AS theirs_on, t.payer, o.payment_id, t.reference AS their_reference
        FROM {OPEN_OURS} o JOIN {OPEN_THEIRS} t
          ON (t.source, t.row_kind) = (o.source, o.row_kind) AND {condition}
        WHERE {_NOT_BARRED.format(source="o.source", parts=parts)}
    """  # noqa: S608  our own texts


# A person's word holds while the two are the same sum. It was said of a row of theirs, or of one of
# ours: of what settled it, which may be in our bank and is told by no file then.
BY_PERSON = f"""
    {_INSERT}
    SELECT o.source, t.source, o.row_kind, 'act ' || a.id, 'person', ARRAY[o.key], ARRAY[t.key],
           o.fen, t.fen, a.id
    FROM break_act a JOIN reconciliation_break b ON b.id = a.break_id AND b.leg = 'gateway'
    JOIN left_theirs t
      ON (t.source, t.day, t.row_kind, t.reference) = (b.source, b.day, b.row_kind, b.reference)
    JOIN left_ours o ON (o.row_kind, o.reference, o.fen) = (t.row_kind, a.target, t.fen)
    WHERE a.act = 'rematch' AND a.done_at IS NOT NULL AND a.undone_at IS NULL
    UNION ALL
    SELECT o.source, coalesce(t.source, split_part(a.target, ' ', 1)), o.row_kind, 'act ' || a.id,
           'person', ARRAY[o.key], ARRAY[coalesce(t.key, a.target)], o.fen, o.fen, a.id
    FROM break_act a JOIN reconciliation_break b ON b.id = a.break_id AND b.leg = 'gateway'
    JOIN left_ours o
      ON (o.source, o.day, o.row_kind, o.reference) = (b.source, b.day, b.row_kind, b.reference)
    LEFT JOIN left_theirs t ON (t.row_kind, t.fen, t.source || ' ' || t.key)
                               = (o.row_kind, o.fen, a.target)
    WHERE a.act = 'rematch' AND a.done_at IS NOT NULL AND a.undone_at IS NULL
      AND b.ours_fen IS NOT NULL
      AND (t.key IS NOT NULL OR EXISTS (SELECT FROM bank_suspense s
                                        WHERE s.act_id = a.id AND s.amount_fen = o.fen))
"""  # noqa: S608  our own texts

# Our number says what it is; of several days the nearest, and of the same sum first.
BY_DAY = f"""
    {_INSERT}
    SELECT source, their_source, row_kind, parts, 'other_day', ARRAY[ours], ARRAY[theirs],
           ours_fen, theirs_fen, NULL
    FROM (SELECT *, row_number() OVER (
                     PARTITION BY source, row_kind, ours
                     ORDER BY ours_fen = theirs_fen DESC, abs(theirs_on - ours_on), theirs_on)
                 AS near_ours,
                 row_number() OVER (
                     PARTITION BY source, row_kind, theirs
                     ORDER BY ours_fen = theirs_fen DESC, abs(theirs_on - ours_on), ours_on)
                 AS near_theirs
          FROM ({_pair("t.reference = o.reference AND t.day BETWEEN o.day - 1 AND o.day + o.reach")}
          ) p) ranked
    WHERE (near_ours, near_theirs) = (1, 1)
"""  # noqa: S608  our own texts

# Their number, when our own is not there: one row may be several of ours, or one of ours several.
BY_THEIR_NUMBER = f"""
    {_INSERT}
    SELECT * FROM (
        SELECT o.source, o.source AS their_source, o.row_kind,
               {_PARTS.format(kind="o.row_kind", ours="o.keys", theirs="t.keys")} AS parts,
               'their_number', o.keys, t.keys, o.fen, t.fen AS theirs_fen, CAST(NULL AS bigint)
        FROM (SELECT source, row_kind, their_no, array_agg(key ORDER BY key) AS keys,
                     sum(fen)::bigint AS fen, min(day) AS first_on, max(day + reach) AS last_on
              FROM {OPEN_OURS} x WHERE their_no <> '' GROUP BY 1, 2, 3) o
        JOIN (SELECT source, row_kind, their_ref, array_agg(key ORDER BY key) AS keys,
                     sum(fen)::bigint AS fen, min(day) AS first_on, max(day) AS last_on
              FROM {OPEN_THEIRS} x WHERE their_ref <> '' GROUP BY 1, 2, 3) t
          ON (t.source, t.row_kind, t.their_ref, t.fen) = (o.source, o.row_kind, o.their_no, o.fen)
         AND t.first_on >= o.first_on - 1 AND t.last_on <= o.last_on) f
    WHERE {_NOT_BARRED.format(source="f.source", parts="f.parts")}
"""  # noqa: S608  our own texts

# Theirs alone: a refund that went and came back before we heard that it was sent; of ours, nothing
# has moved.
CANCELS = f"""
    {_INSERT}
    SELECT * FROM (
        SELECT source, source AS their_source, row_kind,
               {_PARTS.format(kind="row_kind", ours="CAST('{}' AS text[])", theirs="keys")}
               AS parts, 'cancels', CAST('{{}}' AS text[]), keys, CAST(0 AS bigint),
               CAST(0 AS bigint), CAST(NULL AS bigint)
        FROM (SELECT source, row_kind, reference, their_ref, array_agg(key ORDER BY key) AS keys
              FROM {OPEN_THEIRS} x WHERE row_kind = 'refund' AND their_ref <> ''
              GROUP BY 1, 2, 3, 4 HAVING sum(fen) = 0) t) f
    WHERE {_NOT_BARRED.format(source="f.source", parts="f.parts")}
"""  # noqa: S608  our own texts

# What stands before and behind the stars is all that a masked name tells.
_FITS = """
    starts_with({known}, split_part({{payer}}, '*', 1))
    AND right({known}, length(split_part({{payer}}, '*', -1))) = split_part({{payer}}, '*', -1)
"""
_OF_PERSON = " OR ".join(_FITS.format(known=f"w.{name}") for name in ("contact", "email"))
# A phone (138****1234) or an address with stars is the person's; its last four digits may by chance
# be those of a stranger's account.
_IS_PAYER = f"""({{payer}} <> '' AND (EXISTS (
    SELECT FROM payment p JOIN person w ON w.id = p.payer_id
    WHERE p.id = {{payment_id}} AND {{payer}} LIKE '%*%' AND length(replace({{payer}}, '*', '')) > 3
      AND ({_OF_PERSON}))
  OR EXISTS (
    SELECT FROM payment_item i JOIN payment p ON p.id = i.payment_id
    JOIN utility_account a ON a.id = i.account_id
    JOIN bill b ON (b.account_id, b.id) = (i.account_id, i.bill_id)
    WHERE i.payment_id = {{payment_id}}
      AND ({{payer}} IN (p.mandate_ref, a.account_no, b.bill_no)
           OR {{payer}} LIKE '%*%' AND {{payer}} !~ '^1[0-9][0-9][*]|@'
              AND right({{payer}}, 4) = right(a.account_no, 4)))))"""  # noqa: S608  our own texts

# A row without a number of ours: of the same sum and moment, by the payer where the file says who.
BY_AMOUNT = f"""
    {_INSERT}
    WITH candidate AS (
        SELECT *, {_IS_PAYER.format(payment_id="pair.payment_id", payer="pair.payer")} AS is_payer
        FROM ({
    _pair('''NOT t.is_named AND t.fen = o.fen
              AND t.happened_at BETWEEN o.happened_at - :near AND o.happened_at + :near''')
}) pair
    ), likely AS (
        SELECT * FROM (
            SELECT *, bool_or(is_payer) OVER (PARTITION BY source, row_kind, ours)
                      OR bool_or(is_payer) OVER (PARTITION BY source, row_kind, theirs) AS is_known
            FROM candidate) c
        WHERE is_payer OR NOT is_known
    )
    SELECT source, their_source, row_kind, parts, 'amount', ARRAY[ours], ARRAY[theirs], ours_fen,
           theirs_fen, NULL
    FROM (SELECT *, count(*) OVER (PARTITION BY source, row_kind, ours)
                    + count(*) OVER (PARTITION BY source, row_kind, theirs) AS ways
          FROM likely) counted
    WHERE ways = 2
"""  # noqa: S608  our own texts

# All that is left of a day is one sum on one side and its parts, without our number, on the other.
BY_PARTS = f"""
    {_INSERT}
    SELECT * FROM (
        SELECT o.source, o.source AS their_source, o.row_kind,
               {_PARTS.format(kind="o.row_kind", ours="o.keys", theirs="t.keys")} AS parts,
               'parts', o.keys, t.keys, o.fen, t.fen AS theirs_fen, CAST(NULL AS bigint)
        FROM (SELECT source, day, row_kind, array_agg(key ORDER BY key) AS keys,
                     sum(fen)::bigint AS fen
              FROM {OPEN_OURS} x GROUP BY 1, 2, 3) o
        JOIN (SELECT source, day, row_kind, array_agg(key ORDER BY key) AS keys,
                     sum(fen)::bigint AS fen, bool_or(is_named) AS is_named
              FROM {OPEN_THEIRS} x GROUP BY 1, 2, 3) t
          ON (t.source, t.day, t.row_kind, t.fen) = (o.source, o.day, o.row_kind, o.fen)
        WHERE NOT t.is_named AND least(cardinality(o.keys), cardinality(t.keys)) = 1
          AND greatest(cardinality(o.keys), cardinality(t.keys)) BETWEEN 2 AND :most_parts) f
    WHERE {_NOT_BARRED.format(source="f.source", parts="f.parts")}
"""  # noqa: S608  our own texts

# The money of our payment under another order, at another gateway or in the bank, and a bill, a
# number or the payer says so. No match: a person decides.
OTHER_ROUTES = f"""
    CREATE TEMPORARY TABLE left_route ON COMMIT DROP AS
    WITH candidate AS (
        SELECT o.source, o.key, t.source AS their_source, t.key AS their_key,
               t.source || ' ' || t.key AS name
        FROM {OPEN_OURS} o JOIN {OPEN_THEIRS} t
          ON t.row_kind = 'payment' AND o.row_kind = 'payment' AND t.fen = o.fen
         AND t.happened_at BETWEEN o.happened_at - interval '1 day'
                               AND o.happened_at + interval '1 day'
         AND (t.source <> o.source OR t.reference <> o.reference)
        WHERE t.reference = o.reference
           OR EXISTS (SELECT FROM payment p JOIN payment_item i ON i.payment_id = p.id
                      JOIN payment_item j ON (j.account_id, j.bill_id) = (i.account_id, i.bill_id)
                      WHERE p.order_no = t.reference AND j.payment_id = o.payment_id)
           OR {_IS_PAYER.format(payment_id="o.payment_id", payer="t.payer")}
        UNION ALL
        SELECT o.source, o.key, 'account-' || e.account_id, e.entry_no,
               'account-' || e.account_id || ' ' || {_DAY.format(day="e.booked_on")} || ' '
               || e.entry_no
        FROM {OPEN_OURS} o JOIN bank_entry e
          ON o.row_kind = 'payment' AND e.match_id IS NULL AND e.amount_fen = o.fen
         AND NOT EXISTS (SELECT FROM bank_suspense s
                         WHERE s.entry_id = e.id AND (s.ended_at IS NULL OR s.is_returned))
         AND e.booked_on BETWEEN o.day - 1 AND o.day + 3
        WHERE o.reference = ANY(e.refs) OR o.their_no = ANY(e.refs)
           OR position(o.reference IN e.words) > 0
           OR EXISTS (SELECT FROM payment_item i JOIN utility_account a ON a.id = i.account_id
                      JOIN bill b ON (b.account_id, b.id) = (i.account_id, i.bill_id)
                      WHERE i.payment_id = o.payment_id
                        AND (b.bill_no = ANY(e.refs) OR a.account_no = ANY(e.refs)
                             OR length(b.bill_no) > 5 AND position(b.bill_no IN e.words) > 0))
    )
    SELECT * FROM (
        SELECT *, count(*) OVER (PARTITION BY source, key)
                  + count(*) OVER (PARTITION BY their_source, their_key) AS ways
        FROM candidate) c
    WHERE ways = 2
"""  # noqa: S608  our own texts

_AWAITED = """EXISTS (SELECT FROM generate_series(l.day + 1, o.last_on, interval '1 day') n (day)
                      WHERE NOT EXISTS (SELECT FROM reconciliation c
                                        WHERE (c.source, c.day) = (l.source, n.day::date)))"""
# Ours of a neighbouring day that has not been laid beside its file.
_OURS_TO_COME = f"""EXISTS (
    SELECT FROM (SELECT paid_at AS at FROM payment
                 WHERE l.row_kind = 'payment' AND order_no = l.reference AND gateway = l.source
                 UNION ALL
                 SELECT succeeded_at FROM refund
                 WHERE l.row_kind = 'refund' AND refund_no = l.reference
                 UNION ALL
                 SELECT received_at FROM receipt
                 WHERE l.row_kind = 'refund' AND came_back_of = l.reference
                 UNION ALL
                 SELECT unnest(ARRAY[c.opened_at, c.decided_at])
                 FROM payment q JOIN chargeback c ON c.payment_id = q.id
                 WHERE l.row_kind = 'chargeback' AND q.order_no = l.reference
                   AND q.gateway = l.source) y
    CROSS JOIN LATERAL (SELECT {_LOCAL.format(at="y.at")}::date AS day) n
    WHERE n.day <> l.day AND n.day BETWEEN l.day - t.reach AND l.day + 1
      AND NOT EXISTS (SELECT FROM reconciliation c WHERE (c.source, c.day) = (l.source, n.day)))"""  # noqa: S608
# The very row stands in a neighbouring day's file, and that one is not the one left over.
_TOLD_BEFORE = """EXISTS (
    SELECT FROM reconciliation c JOIN settlement_row s
      ON (s.settlement_file_id, s.kind, s.reference)
         = (c.settlement_file_id, l.row_kind, l.reference)
    WHERE c.source = l.source AND c.day <> l.day
      AND c.day BETWEEN l.day - t.reach AND l.day + t.reach AND s.gateway_ref = l.their_ref
      AND sign(s.amount_fen) = sign(l.theirs_fen)
      AND (c.day < l.day OR NOT EXISTS (
          SELECT FROM left_theirs u LEFT JOIN left_taken k
            ON (k.side, k.source, k.row_kind, k.key) = ('t', u.source, u.row_kind, u.key)
          WHERE (u.source, u.day, u.row_kind, u.reference)
                = (c.source, c.day, s.kind, s.reference) AND k.key IS NULL)))"""

# A person said that our payment came elsewhere, and moved its money there.
_SETTLED = """
    a.act = 'rematch' AND a.done_at IS NOT NULL AND a.undone_at IS NULL
    AND b.leg = 'gateway' AND b.ours_fen IS NOT NULL AND split_part(a.target, ' ', 1) <> b.source"""
_SETTLED_ELSEWHERE = f"""EXISTS (
    SELECT FROM break_act a JOIN reconciliation_break b ON b.id = a.break_id
    WHERE {_SETTLED} AND (b.source, b.row_kind, b.reference)
                                  = (l.source, l.row_kind, l.reference))"""

VERDICTS = f"""
    CREATE TEMPORARY TABLE left_verdict ON COMMIT DROP AS
    SELECT l.source, l.day, l.row_kind, l.reference, l.their_ref, r.name AS elsewhere, l.ours_fen,
           coalesce(l.theirs_fen, k.theirs_fen) AS theirs_fen, l.happened_at, l.times,
           CASE WHEN k.ours_fen <> k.theirs_fen THEN 'amount_differs'
                WHEN k.key IS NOT NULL THEN 'matched'
                WHEN r.name IS NOT NULL THEN 'other_route'
                WHEN {_AWAITED} THEN 'late'
                WHEN l.row_kind = 'refund' THEN 'refund_unmatched'
                ELSE 'missing_at_gateway' END AS kind
    FROM left_ours o
    JOIN settlement_left l USING (source, day, row_kind, reference)
    LEFT JOIN left_taken k
      ON (k.side, k.source, k.row_kind, k.key) = ('o', o.source, o.row_kind, o.key)
    LEFT JOIN left_route r ON (r.source, r.key) = (o.source, o.key) AND o.row_kind = 'payment'
    UNION ALL
    SELECT l.source, l.day, l.row_kind, l.reference, l.their_ref, r.source || ' ' || r.key,
           l.ours_fen, l.theirs_fen, l.happened_at, 0,
           CASE WHEN k.key IS NOT NULL THEN 'matched'
                WHEN r.name IS NOT NULL THEN 'other_route'
                WHEN {_OURS_TO_COME} THEN 'late'
                WHEN {_TOLD_BEFORE} OR {_SETTLED_ELSEWHERE} THEN 'duplicate'
                WHEN l.row_kind = 'refund' THEN 'refund_unmatched'
                ELSE 'missing_here' END
    FROM left_theirs t
    JOIN settlement_left l USING (source, day, row_kind, reference)
    LEFT JOIN left_taken k
      ON (k.side, k.source, k.row_kind, k.key) = ('t', t.source, t.row_kind, t.key)
    LEFT JOIN left_route r ON (r.their_source, r.their_key) = (t.source, t.key)
     AND t.row_kind = 'payment'
    UNION ALL
    SELECT source, day, row_kind, reference, their_ref, NULL, ours_fen, theirs_fen, happened_at, 0,
           verdict
    FROM settlement_left
    WHERE verdict NOT IN ('ours', 'theirs') AND day BETWEEN :from_on AND :to_on
    UNION ALL  -- and its own gateway's file of that day lists it after all
    SELECT e.source, e.day, e.row_kind, e.reference, s.gateway_ref, e.target, e.ours_fen,
           s.amount_fen, e.happened_at, 0, 'duplicate'
    FROM (SELECT b.source, b.day, b.row_kind, b.reference, b.ours_fen, b.happened_at, a.target
          FROM break_act a JOIN reconciliation_break b ON b.id = a.break_id
          WHERE {_SETTLED} AND b.day BETWEEN :from_on AND :to_on
            AND NOT EXISTS (SELECT FROM settlement_left l
                            WHERE (l.source, l.day, l.row_kind, l.reference)
                                  = (b.source, b.day, b.row_kind, b.reference))
          OFFSET 0) e  -- so that rows are searched for those few alone
    JOIN reconciliation c ON (c.source, c.day) = (e.source, e.day)
    CROSS JOIN LATERAL (
        SELECT r.gateway_ref, r.amount_fen FROM settlement_row r
        WHERE (r.settlement_file_id, r.kind, r.reference)
              = (c.settlement_file_id, e.row_kind, e.reference)
        ORDER BY r.line_no LIMIT 1) s
"""  # noqa: S608  our own texts
