"""Our bank's statements against what should have come in or gone out.

Set-based; may be run again at any time, with any of the files here or not yet here, and converges.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books, postings
from billing.ledger.books import Move
from core.clock import billing_date, month_start
from core.keys import month_key
from payments.reconciliation import breaks
from payments.reconciliation.bank import ways as bank_ways
from payments.reconciliation.bank.dues import expect_money
from payments.reconciliation.bank.models import CLAIMS, SAID_BEFORE
from payments.reconciliation.bank.statements import lock_bank
from payments.reconciliation.gateway.leftovers import match_leftovers
from payments.reconciliation.models import Leg
from payments.reconciliation.source_terms import AGREED, Sources, terms_values

LOOK_BACK_DAYS = 31  # what was matched before stays as it is
LONGEST_CHAIN = 7  # days that may come as one sum, or sums one day may come in
EARLY_DAYS = 3  # staff may say a transfer is sent after the bank has booked it
_FEES_SINCE_DAYS = 62


class Matching(NamedTuple):
    """What a run did; ``open`` differences stand after it."""

    made: int
    undone: int
    open: int


class Posted(NamedTuple):
    """A match as far as the ledger goes."""

    id: int
    source: str
    amount_fen: int
    fee_fen: int
    written_off_fen: int = 0


def match_bank(
    session: Session,
    day: date,
    *,
    now: datetime,
    sources: Sources = AGREED,
) -> Matching:
    """Match what our accounts moved on a day, since, and shortly before; post what is new.

    All accounts of ours at once: a gateway pays into any of them.

    Args:
        sources: when each source's money comes, and by how much it may be off.
    """
    lock_bank(session)
    since = day - timedelta(days=LOOK_BACK_DAYS)
    dues_since = since - timedelta(days=_FEES_SINCE_DAYS)
    expect_money(session, since=dues_since)
    changed_on = session.execute(_CHANGED, {"since": dues_since}).scalar()
    values = _values(min(since, changed_on or since), sources, now=now)
    _run(session, (bank_ways.FOUND, bank_ways.BY_PERSON), values)
    undone = _undo(session, values | {"whose": ["person"]})
    _run(
        session,
        (
            bank_ways.OPEN_ENTRIES, bank_ways.OPEN_DUES, bank_ways.INDEXES, bank_ways.LINKS,
            bank_ways.GROUPS, bank_ways.BY_REFERENCE, bank_ways.BY_AMOUNT, bank_ways.TAKEN,
            bank_ways.LEFT,
        ),
        values,
    )  # fmt: skip
    undone += _undo(session, values | {"whose": ["reference", "amount", "rule"]})
    made = _make(session, values)
    post_undone(session, undone, now=now)
    post_made(session, made, now=now)
    left = _record(session, values["since"], now=now)
    match_leftovers(session, day, sources=sources, now=now)  # an entry may be a payment's money
    _run(session, (f"DROP TABLE {', '.join(_TABLES)}",), {})
    return Matching(len(made), len(undone), left)


# A file that is corrected late changes what was matched long ago: the run goes back as far.
_CHANGED = text("""
    SELECT min(first_on) FROM (
        SELECT m.first_on FROM bank_due d JOIN bank_match m ON m.id = d.match_id
        WHERE d.day >= :since
        GROUP BY m.id
        HAVING (sum(d.amount_fen), sum(d.fee_fen))
               <> (m.amount_fen + m.written_off_fen, m.fee_fen)) c
""")
_TABLES = (
    "bank_found", "bank_open_entry", "bank_open_due", "bank_link", "bank_group", "bank_taken",
    "bank_settled", "bank_agreed", "bank_left",
)  # fmt: skip


def _values(
    since: date, sources: Sources, *, now: datetime
) -> dict[str, Any]:  # fmt: skip
    return {
        "since": since, "dues_since": since - timedelta(days=LOOK_BACK_DAYS), "now": now,
        "longest": LONGEST_CHAIN, "early_days": EARLY_DAYS,
        **terms_values(sources),
        "first_key": month_key(month_start(billing_date(now)), 0),
    }  # fmt: skip


def _run(session: Session, statements: Iterable[str], values: Mapping[str, Any]) -> None:
    for statement in statements:
        session.execute(text(statement), values)


# A difference that was written off with a match is open again when the match has ended: else one
# that comes back unchanged would stay resolved, and its money be in no match.
_UNDO = text("""
    WITH undone AS (
        UPDATE bank_match m SET undone_at = :now
        WHERE m.undone_at IS NULL AND m.first_on >= :since AND m.matched_by = ANY(:whose)
          AND NOT EXISTS (SELECT FROM bank_found f WHERE (f.parts, f.amount_fen, f.fee_fen)
                                                         = (m.parts, m.amount_fen, m.fee_fen))
        RETURNING m.id, m.source, m.amount_fen, m.fee_fen, m.written_off_fen,
                  m.written_off_fen <> 0 AND NOT EXISTS (
                      SELECT FROM bank_found f WHERE f.parts = m.parts) AS ends_write_off
    ), freed AS (
        UPDATE bank_entry SET match_id = NULL WHERE match_id IN (SELECT id FROM undone)
    ), waiting AS (
        UPDATE bank_due SET match_id = NULL WHERE match_id IN (SELECT id FROM undone)
    ), opened AS (
        UPDATE reconciliation_break b SET state = 'open', closed_at = NULL
        FROM bank_due d JOIN undone u ON u.id = d.match_id
        WHERE u.ends_write_off AND b.leg = 'bank' AND b.state = 'resolved'
          AND (b.source, b.row_kind, b.day, b.reference) = (d.source, d.kind, d.day, d.reference)
    )
    SELECT id, source, amount_fen, fee_fen, written_off_fen FROM undone ORDER BY id
""")


def _undo(session: Session, values: Mapping[str, Any]) -> list[Posted]:
    return [Posted(*row) for row in session.execute(_UNDO, values)]


_MAKE = text("""
    INSERT INTO bank_match (id, parts, source, matched_by, first_on, amount_fen, fee_fen, made_at,
                            made_by, reason, written_off_fen)
    SELECT :first_key + nextval('payment_no'), parts, source, matched_by, first_on, amount_fen,
           fee_fen, :now, made_by, reason, written_off_fen
    FROM bank_found f
    WHERE NOT EXISTS (SELECT FROM bank_match m WHERE m.parts = f.parts AND m.undone_at IS NULL)
    RETURNING id, source, amount_fen, fee_fen, written_off_fen
""")
_JOIN = """
    UPDATE {table} t SET match_id = m.id
    FROM bank_found f CROSS JOIN unnest(f.{ids}) AS u (id)
    JOIN bank_match m ON m.parts = f.parts AND m.undone_at IS NULL
    WHERE t.id = u.id AND t.match_id IS NULL
"""


def _make(session: Session, values: Mapping[str, Any]) -> list[Posted]:
    made = [Posted(*row) for row in session.execute(_MAKE, values)]
    for table, ids in (("bank_entry", "entry_ids"), ("bank_due", "due_ids")):
        session.execute(text(_JOIN.format(table=table, ids=ids)))
    return made


def post_made(session: Session, matches: Iterable[Posted], *, now: datetime) -> None:
    """Post what gateways and companies paid us; what we sent was posted when we did."""
    moves = [move for one in matches for move in _moves(one)]
    books.post(session, moves, now=now)


def post_undone(session: Session, matches: Iterable[Posted], *, now: datetime) -> None:
    """Post the counter-transfers of what ``post_made`` posted."""
    moves = [move for one in matches for move in _moves(one, undone=True)]
    books.post(session, moves, now=now)


def _moves(one: Posted, *, undone: bool = False) -> list[Move]:
    if one.source in SAID_BEFORE:
        return []
    if one.source.startswith(CLAIMS):
        company = one.source.removeprefix(CLAIMS)
        return postings.claim_paid(one.id, company, one.amount_fen, undone=undone)
    act = postings.unsettled if undone else postings.settled
    return act(
        one.id, one.source, one.amount_fen + one.fee_fen, one.fee_fen
    ) + postings.difference_written_off(
        one.id, one.id, one.source, one.written_off_fen, undone=undone
    )


_LEFT_OF = """
    SELECT kind, row_kind, reference, their_ref, NULL AS elsewhere, ours_fen, theirs_fen,
           CAST(NULL AS timestamptz) AS happened_at
    FROM bank_left WHERE (source, day) = (:source, :day)
"""


# Of days a run no longer records: what has been matched since is no difference any more.
_SETTLED = text("""
    UPDATE reconciliation_break b SET state = 'explained', closed_at = :now
    WHERE b.leg = 'bank' AND b.state = 'open' AND b.day < :since
      AND (EXISTS (SELECT FROM bank_due d
                   WHERE (d.source, d.kind, d.day, d.reference)
                         = (b.source, b.row_kind, b.day, b.reference) AND d.match_id IS NOT NULL)
           OR EXISTS (SELECT FROM bank_entry e
                      WHERE e.entry_no = b.reference AND b.row_kind = 'entry'
                        AND 'account-' || e.account_id = b.source AND e.match_id IS NOT NULL))
""")


def _record(session: Session, since: date, *, now: datetime) -> int:
    """Enter what is left, day by day; what a day no longer has is explained."""
    days = session.execute(
        text("""
            SELECT source, day FROM bank_left
            UNION SELECT source, day FROM reconciliation_break
            WHERE leg = 'bank' AND state = 'open' AND day >= :since
            ORDER BY day, source
        """),
        {"since": since},
    ).all()
    session.execute(_SETTLED, {"since": since, "now": now})
    for source, day in days:
        breaks.record(session, Leg.BANK, source, day, found=_LEFT_OF, values={}, now=now)
    return int(session.execute(text("SELECT count(*) FROM bank_left")).scalar_one())
