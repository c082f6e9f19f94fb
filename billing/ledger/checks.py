"""Proof that the ledger holds: what needs no room but this one. ``payments.verification`` asks.

Each invariant yields one text per violation. Seals are recomputed day by day, each day's transfers
read once through the index on ``posted_at``.
"""

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import seals
from core.clock import day_bounds

SEALS = "every seal is what its transfers hash to"
NAMED_PARTS = 16  # of a day; a day that was rewritten whole needs no list of its transfers

INVARIANTS: dict[str, str] = {
    "every transfer stands on the Shanghai day it was posted": """
        SELECT format('transfer %s of %s.%s: posted %s, booked on %s',
                      entry_key, account_id, subject_id, posted_at, posted_on)
        FROM ledger_transfer
        WHERE posted_on <> (posted_at AT TIME ZONE 'Asia/Shanghai')::date
    """,
    "debits equal credits on every day": """
        SELECT format('%s: debits %s fen, credits %s', posted_on, debit_fen, credit_fen)
        FROM (SELECT posted_on,
                     sum(amount_fen) FILTER (WHERE d.id IS NOT NULL) AS debit_fen,
                     sum(amount_fen) FILTER (WHERE c.id IS NOT NULL) AS credit_fen
              FROM ledger_transfer t
              LEFT JOIN ledger_account d ON d.id = t.debit_account_id
              LEFT JOIN ledger_account c ON c.id = t.credit_account_id
              GROUP BY posted_on) days
        WHERE debit_fen IS DISTINCT FROM credit_fen
    """,
    "every rollup is its day's transfers on top of the day before": """
        SELECT format('%s, account %s: rolled up %s/%s, in all %s/%s; its transfers say %s/%s, '
                      'in all %s/%s (debits/credits in fen)', day, coalesce(a.code, account::text),
                      coalesce(b.debit, 0), coalesce(b.credit, 0),
                      coalesce(b.all_debit, 0), coalesce(b.all_credit, 0),
                      coalesce(t.debit, 0), coalesce(t.credit, 0),
                      coalesce(p.all_debit, 0) + coalesce(t.debit, 0),
                      coalesce(p.all_credit, 0) + coalesce(t.credit, 0))
        FROM (SELECT posted_on AS day, account, sum(debit) AS debit, sum(credit) AS credit
              FROM (SELECT posted_on, debit_account_id, credit_account_id, sum(amount_fen) AS fen
                    FROM ledger_transfer
                    WHERE posted_on BETWEEN (SELECT min(day) FROM ledger_day)
                                        AND (SELECT max(day) FROM ledger_day)
                    GROUP BY 1, 2, 3) pair
              CROSS JOIN LATERAL (VALUES (debit_account_id, fen, 0), (credit_account_id, 0, fen))
                         side (account, debit, credit)
              GROUP BY 1, 2) t
        FULL JOIN (SELECT day, ledger_account_id AS account, debit_fen AS debit,
                          credit_fen AS credit, total_debit_fen AS all_debit,
                          total_credit_fen AS all_credit
                   FROM ledger_day_balance) b USING (day, account)
        FULL JOIN (SELECT day + 1 AS day, ledger_account_id AS account,
                          total_debit_fen AS all_debit, total_credit_fen AS all_credit
                   FROM ledger_day_balance
                   WHERE day < (SELECT max(day) FROM ledger_day)) p USING (day, account)
        LEFT JOIN ledger_account a ON a.id = account
        WHERE (b.debit, b.credit, b.all_debit, b.all_credit) IS DISTINCT FROM (
               coalesce(t.debit, 0), coalesce(t.credit, 0),
               coalesce(p.all_debit, 0) + coalesce(t.debit, 0),
               coalesce(p.all_credit, 0) + coalesce(t.credit, 0))
    """,
    "no transfer stands on an unclosed day before a closed one": """
        SELECT format('transfer %s of %s.%s stands on %s, which was never closed',
                      entry_key, account_id, subject_id, posted_on)
        FROM ledger_transfer t
        WHERE posted_on < (SELECT max(day) FROM ledger_day)
          AND NOT EXISTS (SELECT FROM ledger_day d WHERE d.day = t.posted_on)
    """,
}

# A day's record against itself and the day before; its transfers are looked at afterwards.
_RECORDS = text(f"""
    SELECT day, complaint
    FROM ledger_day d
    LEFT JOIN LATERAL (
        SELECT sha256 FROM ledger_day b WHERE b.day = d.day - 1) before ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(rows), 0) AS rows FROM ledger_seal_part p WHERE p.day = d.day) parts
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(debit_fen), 0) AS fen
        FROM ledger_day_balance b WHERE b.day = d.day) rollup
    CROSS JOIN LATERAL (VALUES
        (d.sha256 IS DISTINCT FROM {seals.seal("d", "ledger_seal_part", "ledger_day_balance")},
         'its record was changed, or the name of one of its accounts: what is recorded of it does '
         'not hash to its seal'),
        (d.before_sha256 IS DISTINCT FROM before.sha256,
         'the chain is broken: it follows another seal than that of the day before'),
        (d.before_on IS NULL AND d.day > (SELECT min(day) FROM ledger_day),
         'the chain is broken: it says that no day was closed before it'),
        (d.transfers <> parts.rows,
         format('%s transfers are recorded, its parts have %s', d.transfers, parts.rows)),
        (d.amount_fen <> rollup.fen,
         format('%s fen are recorded, its accounts moved %s', d.amount_fen, rollup.fen))
    ) found (wrong, complaint)
    WHERE wrong
    UNION ALL
    SELECT day, 'it is not closed, but parts or totals of it are there'
    FROM (SELECT day FROM ledger_seal_part UNION SELECT day FROM ledger_day_balance) o
    WHERE NOT EXISTS (SELECT FROM ledger_day d WHERE d.day = o.day)
    ORDER BY 1
""")  # noqa: S608  our own text

_PARTS = text(f"""
    SELECT part_no, s.rows AS sealed, n.rows AS found, s.row_digests,
           coalesce((s.rows, s.sha256) = (n.rows, n.sha256), false) AS as_sealed
    FROM ({seals.PARTS}) n
    FULL JOIN (SELECT * FROM ledger_seal_part WHERE day = :day) s USING (part_no)
    WHERE (s.rows, s.row_digests, s.sha256) IS DISTINCT FROM (n.rows, n.row_digests, n.sha256)
    ORDER BY part_no
""")  # noqa: S608  our own text

_ROWS = text(f"""
    SELECT {seals.PART_NO} AS part_no, account_id, subject_id, entry_key,
           substr({seals.ROW_SHA256}, 1, 8) AS digest
    FROM ledger_transfer WHERE {seals.PERIOD} AND {seals.PART_NO} = ANY(:part_nos)
    ORDER BY part_no, {seals.KEY_ORDER}
""")  # noqa: S608  our own text


class _Row(NamedTuple):
    name: str
    digest: bytes


def broken_seals(session: Session) -> Iterator[str]:
    """Recompute every closed day's seal; yield a text for each thing that is not what was sealed.

    A transfer whose bytes changed is named by its key. One that was taken out is named by those it
    stood between, because of what is gone only eight bytes of its hash are left.
    """
    for day, complaint in session.execute(_RECORDS).all():
        yield f"{day}: {complaint}"
    for day in session.execute(text("SELECT day FROM ledger_day ORDER BY day")).scalars().all():
        yield from _changed_transfers(session, day)


def _changed_transfers(session: Session, day: date) -> Iterator[str]:
    start, after = day_bounds(day)
    period = {"start": start, "after": after}
    broken = session.execute(_PARTS, period | {"day": day}).all()
    named = broken[:NAMED_PARTS]
    standing: dict[int, list[_Row]] = {part.part_no: [] for part in named}
    for row in session.execute(_ROWS, period | {"part_nos": list(standing)}) if named else ():
        name = f"transfer {row.entry_key} of {row.account_id}.{row.subject_id}"
        standing[row.part_no].append(_Row(name, bytes(row.digest)))
    for part in broken:
        if part.as_sealed:
            found = ["its transfers are as they were sealed, the short hashes kept of them are not"]
        elif part.part_no in standing:
            sealed = bytes(part.row_digests or b"")
            digests = [sealed[at : at + 8] for at in range(0, len(sealed), 8)]
            found = list(_compare(digests, standing[part.part_no]))
        else:
            found = []
        for complaint in found or [
            f"{part.found or 0} transfers do not hash to what {part.sealed or 0} were sealed to"
        ]:
            yield f"{day}, part {part.part_no}: {complaint}"


def _compare(sealed: list[bytes], standing: list[_Row]) -> Iterator[str]:
    """Lay what was sealed beside what stands there, both in key order, and name what differs.

    What is in both keeps its order, because the order is the key's and the key is in the hash. So
    the rest lies in gaps between: as many on both sides are changed, the others gone or new.
    """
    known, there = set(sealed), {row.digest for row in standing}
    gone = [0]  # how many of the sealed are missing before the first that is there, the second …
    for digest in sealed:
        if digest in there:
            gone.append(0)
        else:
            gone[-1] += 1
    before, gap, at = "", list[_Row](), 0
    for row in [*standing, None]:
        if row is not None and row.digest not in known:
            gap.append(row)
            continue
        missing = gone[at] if at < len(gone) else 0
        yield from (f"{one.name} was changed" for one in gap[:missing])
        yield from (f"{one.name} was put in" for one in gap[missing:])
        if missing > len(gap):
            place = f"after {before or 'its beginning'} and before {row.name if row else 'its end'}"
            yield f"{missing - len(gap)} taken out, {place}"
        before, gap, at = row.name if row else "", [], at + 1
