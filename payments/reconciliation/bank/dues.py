"""What should come into our account or go out of it, as settlement files and staff say.

A gateway's day is the net of its file, or nothing where the gateway's files say themselves what it
pays out. Derived from what is here, again and again: files may come late, or be corrected.
"""

from datetime import date

from sqlalchemy import text
from sqlmodel import Session

# Files that changed since they were counted. Fees of chargebacks are posted with the chargeback.
_FILES = text("""
    WITH changed AS (
        SELECT r.source, r.day, r.settlement_file_id FROM reconciliation r
        WHERE r.day >= :since AND NOT EXISTS (
            SELECT FROM bank_due d
            WHERE (d.source, d.kind, d.day) = (r.source, 'net', r.day)
              AND d.settlement_file_id = r.settlement_file_id)
    ), said AS (
        SELECT c.source, c.day, c.settlement_file_id, 'net' AS kind,
               c.source || ' ' || c.day AS reference, CAST('{}' AS text[]) AS refs,
               coalesce(sum(s.amount_fen - s.fee_fen) FILTER (WHERE s.kind <> 'payout'), 0) AS fen,
               coalesce(sum(s.fee_fen) FILTER (WHERE s.kind <> 'chargeback'), 0)
               - coalesce(sum(s.amount_fen) FILTER (WHERE s.kind = 'fee'), 0) AS fee_fen
        FROM changed c LEFT JOIN settlement_row s USING (settlement_file_id)
        GROUP BY c.source, c.day, c.settlement_file_id
        UNION ALL
        SELECT c.source, c.day, c.settlement_file_id, 'payout', s.gateway_ref,
               array_remove(ARRAY[s.gateway_ref, min(s.reference)], ''), -sum(s.amount_fen), 0
        FROM changed c JOIN settlement_row s USING (settlement_file_id)
        WHERE s.kind = 'payout' GROUP BY c.source, c.day, c.settlement_file_id, s.gateway_ref
    ), gone AS (
        UPDATE bank_due d SET amount_fen = 0, fee_fen = 0
        FROM changed c
        WHERE (d.source, d.kind, d.day) = (c.source, 'payout', c.day)
          AND NOT EXISTS (SELECT FROM said s WHERE (s.source, s.kind, s.day, s.reference)
                                                   = (d.source, d.kind, d.day, d.reference))
    )
    INSERT INTO bank_due (source, kind, day, reference, refs, amount_fen, fee_fen,
                          settlement_file_id)
    SELECT source, kind, day, reference, refs, fen, fee_fen, settlement_file_id FROM said
    ON CONFLICT (source, kind, day, reference) DO UPDATE SET
        refs = excluded.refs, amount_fen = excluded.amount_fen, fee_fen = excluded.fee_fen,
        settlement_file_id = excluded.settlement_file_id
""")
# Fees of the days since the payout before go with the first payout of a day.
_PAYOUT_FEES = text("""
    UPDATE bank_due p SET fee_fen = f.fen
    FROM (
        SELECT w.id, CASE WHEN w.place > 1 THEN 0 ELSE (
                   SELECT coalesce(sum(n.fee_fen), 0) FROM bank_due n
                   WHERE (n.source, n.kind) = (w.source, 'net') AND n.day <= w.day
                     AND n.day > coalesce((
                         SELECT max(b.day) FROM bank_due b
                         WHERE (b.source, b.kind) = (w.source, 'payout') AND b.day < w.day
                           AND b.amount_fen <> 0), '-infinity')) END AS fen
        FROM (SELECT id, source, day,
                     row_number() OVER (PARTITION BY source, day ORDER BY reference) AS place
              FROM bank_due WHERE kind = 'payout' AND amount_fen <> 0 AND day >= :since) w
    ) f
    WHERE f.id = p.id AND f.fen <> p.fee_fen
""")
_TRANSFERS = text("""
    INSERT INTO bank_due (source, kind, day, reference, refs, amount_fen, fee_fen)
    SELECT 'transfers', 'transfer', (sent_at AT TIME ZONE 'Asia/Shanghai')::date, number,
           ARRAY[number, bank_ref], -amount_fen, 0
    FROM bank_transfer
    WHERE (sent_at AT TIME ZONE 'Asia/Shanghai')::date >= :since
    ON CONFLICT (source, kind, day, reference) DO NOTHING
""")
# One that came back has left nothing: neither its debit nor its credit is missed.
_REMITTANCES = text("""
    INSERT INTO bank_due (source, kind, day, reference, refs, amount_fen, fee_fen)
    SELECT 'remittances', 'remittance', (sent_at AT TIME ZONE 'Asia/Shanghai')::date,
           end_to_end_id, ARRAY[end_to_end_id],
           CASE WHEN returned_at IS NULL THEN -amount_fen ELSE 0 END, 0
    FROM remittance_payment
    WHERE (sent_at AT TIME ZONE 'Asia/Shanghai')::date >= :since
    ON CONFLICT (source, kind, day, reference) DO UPDATE SET amount_fen = excluded.amount_fen
    WHERE bank_due.amount_fen <> excluded.amount_fen
""")
_CLAIMS = text("""
    INSERT INTO bank_due (source, kind, day, reference, refs, amount_fen, fee_fen)
    SELECT 'claims-' || provider_code, 'claim', due_on, number, ARRAY[number], claimed_fen, 0
    FROM remittance WHERE claimed_fen > 0 AND due_on >= :since
    ON CONFLICT (source, kind, day, reference) DO NOTHING
""")


def expect_money(session: Session, *, since: date) -> None:
    """Bring what should come and go up to date with files, and with what we sent, since a day."""
    for statement in (_FILES, _PAYOUT_FEES, _TRANSFERS, _REMITTANCES, _CLAIMS):
        session.execute(statement, {"since": since})
