"""Proof that each company gets its money once: the invariants of remittance.

Each is a query that lists its violations; ``payments.verification`` runs them with all others.
"""

from payments.reconciliation.bank.models import CLAIMS
from payments.remittance.planning import MOVED, PERIOD

_EVER_MOVED = MOVED.replace(PERIOD, "true")

INVARIANTS: dict[str, str] = {
    "each remittance is what its days moved": f"""
        SELECT format('%s, %s, %s: remitted as %s fen, its transfers say %s', provider_code, day,
                      kind, coalesce(l.fen, 0), coalesce(m.fen, 0))
        FROM (SELECT provider_code, day, kind, amount_fen AS fen
              FROM remittance_line WHERE kind NOT IN ('fee', 'fee_tax')) l
        FULL JOIN (
            SELECT m.* FROM ({_EVER_MOVED}) m
            JOIN (SELECT provider_code, max(to_on) AS to_on FROM remittance GROUP BY 1) r
                 USING (provider_code)
            WHERE m.day <= r.to_on AND m.fen <> 0) m USING (provider_code, day, kind)
        WHERE l.fen IS DISTINCT FROM m.fen
    """,  # noqa: S608  our own texts
    "each remittance sums up and goes on from the one before": """
        SELECT format('remittance %s: %s fen more and %s less than its lines, carried %s of %s, '
                      'paid as %s of %s', r.number, r.gross_fen - l.gross,
                      r.deducted_fen - l.deducted, r.carried_fen, b.net_fen, p.fen, r.net_fen)
        FROM remittance r
        LEFT JOIN remittance b ON b.id = r.previous_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(greatest(amount_fen, 0)), 0) AS gross,
                   coalesce(-sum(least(amount_fen, 0)), 0) AS deducted,
                   coalesce(bool_and(day BETWEEN r.from_on AND r.to_on
                                     AND provider_code = r.provider_code), true) AS within
            FROM remittance_line WHERE remittance_id = r.id) l
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_fen), 0) AS fen, count(*) AS many
            FROM remittance_payment WHERE remittance_id = r.id AND returned_at IS NULL) p
        WHERE (r.gross_fen, r.deducted_fen) <> (l.gross, l.deducted) OR NOT l.within
           OR (b.provider_code, b.to_on + 1) <> (r.provider_code, r.from_on)
           OR r.carried_fen <> CASE WHEN b.state = 'carried' THEN b.net_fen ELSE 0 END
           OR r.released_fen <> coalesce(b.held_fen, 0)
           OR p.fen <> CASE WHEN r.state = 'carried' OR p.many = 0 THEN 0 ELSE r.net_fen END
           OR (p.many = 0 AND r.state NOT IN ('proposed', 'carried'))
    """,
    "every payment to a company is in the books as it was sent": """
        SELECT format('payment %s of %s fen: the ledger says sent %s, brought back %s',
                      coalesce(p.end_to_end_id, 'for ' || t.id), p.amount_fen, t.sent, t.back)
        FROM (SELECT p.id, p.end_to_end_id, p.amount_fen, 'payable:' || r.provider_code AS code,
                     CASE WHEN p.sent_at IS NULL THEN 0 ELSE p.amount_fen END AS sent,
                     CASE WHEN p.returned_at IS NULL THEN 0 ELSE p.amount_fen END AS back
              FROM remittance_payment p JOIN remittance r ON r.id = p.remittance_id) p
        FULL JOIN (
            SELECT t.subject_id AS id,
                   coalesce(sum(t.amount_fen) FILTER (WHERE c.code = 'bank'), 0) AS sent,
                   coalesce(sum(t.amount_fen) FILTER (WHERE d.code = 'bank'), 0) AS back,
                   min(CASE WHEN d.code = 'bank' THEN c.code ELSE d.code END) AS code
            FROM ledger_transfer t
            JOIN ledger_account d ON d.id = t.debit_account_id
            JOIN ledger_account c ON c.id = t.credit_account_id
            WHERE t.account_id = 0
              AND split_part(t.entry_key, ':', 1) IN ('remitted', 'remitted_undone')
            GROUP BY 1) t USING (id)
        WHERE coalesce(p.sent, 0) <> coalesce(t.sent, 0)
           OR coalesce(p.back, 0) <> coalesce(t.back, 0) OR p.code <> t.code
    """,
    "what we owe each company is what waits to be remitted": f"""
        WITH owed AS (
            SELECT substr(a.code, 9) AS provider_code,
                   sum(CASE WHEN t.credit_account_id = a.id THEN t.amount_fen
                            ELSE -t.amount_fen END) AS fen
            FROM ledger_transfer t
            JOIN ledger_account a ON a.id IN (t.debit_account_id, t.credit_account_id)
             AND a.code LIKE 'payable:%'
            GROUP BY 1
        ), last AS (
            SELECT DISTINCT ON (provider_code) provider_code, to_on, held_fen,
                   CASE WHEN state = 'carried' THEN net_fen ELSE 0 END AS carried_fen
            FROM remittance ORDER BY provider_code, to_on DESC
        ), waits AS (
            SELECT provider_code, fen FROM ({_EVER_MOVED}) m
            WHERE NOT EXISTS (SELECT FROM last l WHERE l.provider_code = m.provider_code
                                                   AND l.to_on >= m.day)
            UNION ALL
            SELECT provider_code,
                   CASE WHEN state = 'carried' THEN 0 ELSE net_fen END - claimed_fen
            FROM remittance
            UNION ALL
            SELECT provider_code, held_fen + carried_fen FROM last
            UNION ALL
            SELECT r.provider_code, -p.amount_fen
            FROM remittance_payment p JOIN remittance r ON r.id = p.remittance_id
            WHERE p.sent_at IS NOT NULL AND p.returned_at IS NULL
            UNION ALL
            SELECT substr(source, {len(CLAIMS) + 1}), amount_fen FROM bank_match
            WHERE source LIKE '{CLAIMS}%' AND undone_at IS NULL
        )
        SELECT format('%s: the ledger owes it %s fen, what waits comes to %s', provider_code,
                      coalesce(o.fen, 0), coalesce(w.fen, 0))
        FROM owed o
        FULL JOIN (SELECT provider_code, sum(fen) AS fen FROM waits GROUP BY 1) w
             USING (provider_code)
        WHERE coalesce(o.fen, 0) <> coalesce(w.fen, 0)
    """,  # noqa: S608  our own texts
}
