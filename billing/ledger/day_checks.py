"""Whether the books of one day can be sealed: what is read again is that day's, never all of them.

``billing.ledger.checks`` proves the whole ledger, and reads every transfer for it.
"""

from datetime import date, timedelta

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import seals
from core.clock import day_bounds

NAMED = 9  # of what is wrong; who mends one looks for the others

_WRONG = text(f"""
    (SELECT format('transfer %s of %s.%s stands on %s', entry_key, account_id, subject_id,
                   posted_on) AS wrong
     FROM ledger_transfer WHERE {seals.PERIOD} AND posted_on <> :day LIMIT :limit)
    UNION ALL
    SELECT format('the record of %s is not what was sealed', d.day)
    FROM ledger_day d
    WHERE d.day = :before
      AND d.sha256 IS DISTINCT FROM {seals.seal("d", "ledger_seal_part", "ledger_day_balance")}
    UNION ALL
    SELECT format('%s follows another seal than that of the day before it', d.day)
    FROM ledger_day d LEFT JOIN ledger_day b ON b.day = d.day - 1
    WHERE d.day = :before AND d.before_sha256 IS DISTINCT FROM b.sha256
    LIMIT :limit
""")  # noqa: S608  our own text


def wrong_with(session: Session, day: date) -> list[str]:
    """Return what is wrong with a day's transfers, or with the seal its own is chained to."""
    start, after = day_bounds(day)
    values = {
        "day": day, "before": day - timedelta(days=1), "start": start, "after": after,
        "limit": NAMED,
    }  # fmt: skip
    return list(session.execute(_WRONG, values).scalars())
