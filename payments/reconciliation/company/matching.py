"""One day of a company's lists against our payments: what is said of each write-off, set-based.

A day's verdicts follow from our books and the lists in force of all days, never from the order in
which they came. So a list is met again whenever another one speaks of the same write-offs.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing.terms import terms_of
from core.clock import day_bounds
from payments.reconciliation import breaks
from payments.reconciliation.models import Leg

_CURRENT = """
    SELECT day, confirmation_file_id AS file_id FROM confirmation_arrival
    WHERE provider_code = :source AND confirmation_file_id IS NOT NULL
"""

# Days on which a run could now say something else. ``files``: the list that is in force from now
# on and the one that was; a difference that is open may be explained by any list.
_TOUCHED = text(f"""
    WITH current AS ({_CURRENT}), said AS (
        SELECT DISTINCT write_off_no, account_no, bill_no FROM confirmation_row
        WHERE confirmation_file_id = ANY(:files)
    )
    SELECT day FROM current WHERE day BETWEEN :day - 1 AND :day + 1
    UNION
    SELECT c.day FROM current c JOIN reconciliation_break b USING (day)
    WHERE b.leg = 'company' AND b.source = :source AND b.state = 'open'
    UNION
    SELECT c.day FROM said s JOIN confirmation_row r ON r.write_off_no = s.write_off_no
    JOIN current c ON c.file_id = r.confirmation_file_id
    WHERE s.write_off_no <> ''
    UNION
    SELECT c.day FROM said s JOIN confirmation_row r
      ON (r.write_off_no, r.account_no, r.bill_no) = ('', s.account_no, s.bill_no)
    JOIN current c ON c.file_id = r.confirmation_file_id
    WHERE s.write_off_no = ''
    UNION
    SELECT c.day FROM said s JOIN payment_item i ON i.write_off_no = s.write_off_no
    JOIN current c ON c.day = (
        (CASE i.outcome WHEN 'paid' THEN i.outcome_at + :patience ELSE i.outcome_at END)
        AT TIME ZONE 'Asia/Shanghai')::date
    ORDER BY day
""")  # noqa: S608  our own texts

# One temporary table after another, each counted before the next is made: rows that came a moment
# ago are in no statistics, and a plan for one row takes hours for a million.
_STEPS = {
    "current": _CURRENT,
    # Ours of a day: what is written off since then, and what should have been by then. Nothing is
    # ever told of a bill of zero.
    "ours": """
        SELECT i.write_off_no, a.account_no, b.bill_no, i.amount_fen, i.outcome_at
        FROM payment_item i
        JOIN utility_account a ON a.id = i.account_id
        JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
        WHERE a.provider_code = :source AND i.amount_fen > 0
          AND (i.outcome = 'written_off' AND i.outcome_at >= :started AND i.outcome_at < :ended
               OR i.outcome = 'paid'
               AND i.outcome_at >= :overdue_from AND i.outcome_at < :overdue_to)
    """,
    "listed": """
        SELECT * FROM confirmation_row
        WHERE confirmation_file_id = :file_id AND kind <> 'refused'
    """,
    "unnamed": """
        SELECT DISTINCT account_no, bill_no, abs(amount_fen) AS fen FROM company_listed
        WHERE write_off_no = ''
        UNION
        SELECT o.account_no, o.bill_no, o.amount_fen FROM company_ours o
        JOIN confirmation_row r
          ON (r.write_off_no, r.account_no, r.bill_no) = ('', o.account_no, o.bill_no)
         AND abs(r.amount_fen) = o.amount_fen
        JOIN company_current c ON c.file_id = r.confirmation_file_id
    """,
    # What may be meant by rows without our number: parts of the same bill and amount that are paid
    # or written off, but for one that another row names by its number.
    "events": """
        SELECT u.*, r.kind AS side, c.day AS from_on, c.day AS until_on, r.receipt_no AS name,
               c.file_id, r.row_no
        FROM company_unnamed u
        JOIN confirmation_row r
          ON (r.write_off_no, r.account_no, r.bill_no) = ('', u.account_no, u.bill_no)
         AND abs(r.amount_fen) = u.fen AND r.kind <> 'refused'
        JOIN company_current c ON c.file_id = r.confirmation_file_id
        UNION ALL
        SELECT u.*, 'ours', (least(p.paid_at, i.outcome_at) AT TIME ZONE 'Asia/Shanghai')::date,
               (i.outcome_at AT TIME ZONE 'Asia/Shanghai')::date, i.write_off_no, NULL, NULL
        FROM company_unnamed u
        JOIN utility_account a ON a.provider_code = :source AND a.account_no = u.account_no
        JOIN bill b ON b.account_id = a.id AND b.bill_no = u.bill_no
        JOIN payment_item i ON i.account_id = b.account_id AND i.bill_id = b.id
         AND i.amount_fen = u.fen AND i.outcome IN ('paid', 'written_off')
        JOIN payment p ON p.id = i.payment_id
        WHERE NOT EXISTS (SELECT FROM confirmation_row r
                          JOIN company_current c ON c.file_id = r.confirmation_file_id
                          WHERE r.write_off_no = i.write_off_no AND r.kind <> 'refused')
    """,
    # Days that touch make one island; in it the receipts, in their order, are those of the parts in
    # theirs. One receipt told twice is one part.
    "paired": """
        WITH steps AS (
            SELECT *, from_on > 1 + max(until_on) OVER (
                PARTITION BY account_no, bill_no, fen ORDER BY from_on, until_on, side, name
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_new
            FROM company_events
        ), islands AS (
            SELECT *, count(*) FILTER (WHERE is_new) OVER (
                PARTITION BY account_no, bill_no, fen
                ORDER BY from_on, until_on, side, name) AS island
            FROM steps
        ), ranked AS (
            SELECT *, dense_rank() OVER (
                PARTITION BY account_no, bill_no, fen, island, side ORDER BY name) AS place
            FROM islands
        ), named AS (
            SELECT file_id, row_no, max(name) FILTER (WHERE side = 'ours') OVER (
                PARTITION BY account_no, bill_no, fen, island, place) AS write_off_no
            FROM ranked
        )
        SELECT * FROM named WHERE row_no IS NOT NULL AND write_off_no IS NOT NULL
    """,
    "here": """
        SELECT r.*, coalesce(nullif(r.write_off_no, ''), p.write_off_no,
                             concat_ws(' ', r.account_no, r.bill_no, r.receipt_no)) AS reference
        FROM company_listed r
        LEFT JOIN company_paired p ON p.file_id = r.confirmation_file_id AND p.row_no = r.row_no
    """,
    "about": "SELECT reference FROM company_here UNION SELECT write_off_no FROM company_ours",
    "known": """
        SELECT i.write_off_no AS reference, a.account_no, b.bill_no, i.amount_fen AS fen,
               i.outcome_at, i.outcome IN ('paid', 'written_off') AS is_held
        FROM company_about x
        JOIN payment_item i ON i.write_off_no = x.reference
        JOIN utility_account a ON a.id = i.account_id AND a.provider_code = :source
        JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    """,
    # What all lists say of each write-off that this day's list or our day is about.
    "said": """
        SELECT reference, CAST(:day AS date) AS day, kind, account_no, bill_no, receipt_no,
               amount_fen, written_off_at
        FROM company_here
        UNION ALL
        SELECT x.reference, c.day, r.kind, r.account_no, r.bill_no, r.receipt_no, r.amount_fen,
               r.written_off_at
        FROM company_about x
        JOIN confirmation_row r ON r.write_off_no = x.reference AND r.kind <> 'refused'
        JOIN company_current c ON c.file_id = r.confirmation_file_id AND c.day <> :day
        UNION ALL
        SELECT p.write_off_no, c.day, r.kind, r.account_no, r.bill_no, r.receipt_no, r.amount_fen,
               r.written_off_at
        FROM company_about x
        JOIN company_paired p ON p.write_off_no = x.reference
        JOIN confirmation_row r ON r.confirmation_file_id = p.file_id AND r.row_no = p.row_no
        JOIN company_current c ON c.file_id = r.confirmation_file_id AND c.day <> :day
    """,
    "theirs": """
        SELECT s.reference, sum(s.amount_fen)::bigint AS fen,
               count(*) FILTER (WHERE s.kind = 'written_off')
               - count(*) FILTER (WHERE s.kind = 'reversed') AS standing,
               count(*) FILTER (WHERE s.kind = 'written_off' AND s.day = :day) AS done,
               count(*) FILTER (WHERE s.kind = 'reversed' AND s.day = :day) AS undone,
               count(*) FILTER (WHERE s.kind = 'written_off' AND s.day < :day) AS done_before,
               bool_or(s.account_no NOT IN ('', k.account_no)
                       OR s.bill_no NOT IN ('', k.bill_no)) IS TRUE AS is_another_bill,
               nullif(max(s.receipt_no) FILTER (WHERE s.day = :day), '') AS their_ref,
               max(s.written_off_at) FILTER (WHERE s.day = :day) AS happened_at
        FROM company_said s LEFT JOIN company_known k USING (reference)
        GROUP BY s.reference
    """,
    # What was told on another day alone has that day's verdict; what was written off and reversed
    # and is not held here either is over.
    "matching": """
        SELECT x.reference, t.their_ref, k.fen AS ours_fen, t.fen AS theirs_fen,
               coalesce(t.happened_at, k.outcome_at) AS happened_at,
               o.write_off_no IS NOT NULL AS is_ours,
               CASE WHEN t.reference IS NULL THEN
                        CASE WHEN EXISTS (SELECT FROM company_current WHERE day = :day + 1)
                             THEN 'paid_not_written_off' ELSE 'awaited' END
                    WHEN t.done + t.undone = 0 THEN 'told'
                    WHEN k.is_held IS NOT TRUE OR t.is_another_bill THEN
                        CASE WHEN t.standing > 0 AND t.done > 0
                             THEN 'written_off_unpaid' ELSE 'over' END
                    WHEN t.standing > 1 AND t.done > 0 AND t.done + t.done_before > 1
                        THEN 'duplicate'
                    WHEN t.standing < 1 AND t.undone > 0 THEN 'paid_not_written_off'
                    WHEN t.standing <> 1 OR t.done = 0 THEN 'told'
                    WHEN t.fen <> k.fen THEN 'amount_differs'
                    ELSE 'matched' END AS verdict
        FROM company_about x
        LEFT JOIN company_theirs t USING (reference)
        LEFT JOIN company_known k USING (reference)
        LEFT JOIN company_ours o ON o.write_off_no = x.reference
    """,
}  # fmt: skip

_FOUND = """
    SELECT verdict AS kind, 'write_off' AS row_kind, reference, their_ref, NULL AS elsewhere,
           ours_fen, theirs_fen, happened_at
    FROM company_matching WHERE verdict NOT IN ('matched', 'told', 'over', 'awaited')
"""

_RUN = text("""
    UPDATE confirmation_arrival a
    SET run_at = :now, matched = m.matched, awaited = m.awaited, our_count = m.ours,
        our_total_fen = m.fen
    FROM (SELECT count(*) FILTER (WHERE verdict = 'matched') AS matched,
                 count(*) FILTER (WHERE verdict = 'awaited') AS awaited,
                 count(*) FILTER (WHERE is_ours) AS ours,
                 coalesce(sum(ours_fen) FILTER (WHERE is_ours), 0)::bigint AS fen
          FROM company_matching) m
    WHERE a.provider_code = :source AND a.day = :day
""")

_FILE = text("""
    SELECT confirmation_file_id FROM confirmation_arrival
    WHERE provider_code = :source AND day = :day
""")


def match_touched(
    session: Session, source: str, day: date, *, files: Sequence[int], now: datetime
) -> None:
    """Match every day of which a run could now say something else than before.

    Args:
        files: the day's list that is in force from now on, and the one that was.
    """
    values = {"source": source, "day": day, "files": list(files)}
    patience = _patience(session, source, day)
    for touched in session.execute(_TOUCHED, values | {"patience": patience}).scalars().all():
        match_day(session, source, touched, now=now)


def match_day(session: Session, source: str, day: date, *, now: datetime) -> None:
    """Match a day whose list is here against our books and the other lists."""
    started, ended = day_bounds(day)
    patience = _patience(session, source, day)
    file_id = session.execute(_FILE, {"source": source, "day": day}).scalar_one()
    values: dict[str, Any] = {
        "source": source, "day": day, "file_id": file_id, "now": now,
        "started": started, "ended": ended,
        "overdue_from": started - patience, "overdue_to": ended - patience,
    }  # fmt: skip
    for name, sql in _STEPS.items():
        session.execute(
            text(f"CREATE TEMPORARY TABLE company_{name} ON COMMIT DROP AS {sql}"), values
        )
        session.execute(text(f"ANALYZE company_{name}"))
    breaks.record(session, Leg.COMPANY, source, day, found=_FOUND, values={}, now=now)
    session.execute(_RUN, values)
    session.execute(text(f"DROP TABLE {', '.join(f'company_{name}' for name in _STEPS)}"))


def _patience(session: Session, source: str, day: date) -> timedelta:
    """Return how long the company may take to write off what was paid."""
    return timedelta(hours=terms_of(session, [source], day)[source].write_off.hours)
