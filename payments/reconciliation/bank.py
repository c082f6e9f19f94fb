"""Our bank's statements against what should have come in or gone out.

Set-based; may be run again at any time, with any of the files here or not yet here, and converges.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing import ledger, postings
from billing.ledger import Move
from core.clock import billing_date, month_start
from core.keys import month_key
from payments.reconciliation import bank_ways, breaks
from payments.reconciliation.bank_dues import expect_money
from payments.reconciliation.bank_models import TRANSFERS
from payments.reconciliation.bank_statements import lock_bank
from payments.reconciliation.models import Leg

LOOK_BACK_DAYS = 31  # what was matched before stays as it is
LONGEST_CHAIN = 7  # days that may come as one sum, or sums one day may come in
EARLY_DAYS = 3  # staff may say a transfer is sent after the bank has booked it
_FEES_SINCE_DAYS = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTerms:
    """What is known of how a gateway pays."""

    within_days: int = 10  # in which its money may come
    late_after_days: int = 5  # after which it is a difference that it has not
    tolerance_fen: int = 0  # by which its sum may be off


USUAL = SourceTerms()


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


def match_bank(
    session: Session,
    day: date,
    *,
    now: datetime,
    sources: Mapping[str, SourceTerms] = MappingProxyType({}),
) -> Matching:
    """Match what our accounts moved on a day, since, and shortly before; post what is new.

    All accounts of ours at once: a gateway pays into any of them.
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
            bank_ways.GROUPS, bank_ways.BY_REFERENCE, bank_ways.BY_AMOUNT, bank_ways.LEFT,
        ),
        values,
    )  # fmt: skip
    undone += _undo(session, values | {"whose": ["reference", "amount", "rule"]})
    made = _make(session, values)
    post_undone(session, undone, now=now)
    post_made(session, made, now=now)
    left = _record(session, values["since"], now=now)
    _run(session, (f"DROP TABLE {', '.join(_TABLES)}",), {})
    return Matching(len(made), len(undone), left)


# A file that is corrected late changes what was matched long ago: the run goes back as far.
_CHANGED = text("""
    SELECT min(first_on) FROM (
        SELECT m.first_on FROM bank_due d JOIN bank_match m ON m.id = d.match_id
        WHERE d.day >= :since
        GROUP BY m.id
        HAVING (sum(d.amount_fen), sum(d.fee_fen)) <> (m.amount_fen, m.fee_fen)) c
""")
_TABLES = ("bank_found", "bank_open_entry", "bank_open_due", "bank_link", "bank_group", "bank_left")


def _values(
    since: date, sources: Mapping[str, SourceTerms], *, now: datetime
) -> dict[str, Any]:  # fmt: skip
    return {
        "since": since, "dues_since": since - timedelta(days=LOOK_BACK_DAYS), "now": now,
        "longest": LONGEST_CHAIN, "early_days": EARLY_DAYS,
        "within_days": USUAL.within_days, "late_after_days": USUAL.late_after_days,
        "sources": list(sources),
        "withins": [one.within_days for one in sources.values()],
        "lates": [one.late_after_days for one in sources.values()],
        "tolerances": [one.tolerance_fen for one in sources.values()],
        "first_key": month_key(month_start(billing_date(now)), 0),
    }  # fmt: skip


def _run(session: Session, statements: Iterable[str], values: Mapping[str, Any]) -> None:
    for statement in statements:
        session.execute(text(statement), values)


_UNDO = text("""
    WITH undone AS (
        UPDATE bank_match m SET undone_at = :now
        WHERE m.undone_at IS NULL AND m.first_on >= :since AND m.matched_by = ANY(:whose)
          AND NOT EXISTS (SELECT FROM bank_found f WHERE (f.parts, f.amount_fen, f.fee_fen)
                                                         = (m.parts, m.amount_fen, m.fee_fen))
        RETURNING m.id, m.source, m.amount_fen, m.fee_fen
    ), freed AS (
        UPDATE bank_entry SET match_id = NULL WHERE match_id IN (SELECT id FROM undone)
    ), waiting AS (
        UPDATE bank_due SET match_id = NULL WHERE match_id IN (SELECT id FROM undone)
    )
    SELECT id, source, amount_fen, fee_fen FROM undone ORDER BY id
""")


def _undo(session: Session, values: Mapping[str, Any]) -> list[Posted]:
    return [Posted(*row) for row in session.execute(_UNDO, values)]


_MAKE = text("""
    INSERT INTO bank_match (id, parts, source, matched_by, first_on, amount_fen, fee_fen, made_at,
                            made_by, reason)
    SELECT :first_key + nextval('payment_no'), parts, source, matched_by, first_on, amount_fen,
           fee_fen, :now, made_by, reason
    FROM bank_found f
    WHERE NOT EXISTS (SELECT FROM bank_match m WHERE m.parts = f.parts AND m.undone_at IS NULL)
    RETURNING id, source, amount_fen, fee_fen
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
    """Post what gateways paid out; what staff sent was posted when they said so."""
    _post(session, postings.settled, matches, now=now)


def post_undone(session: Session, matches: Iterable[Posted], *, now: datetime) -> None:
    """Post the counter-transfers of what ``post_made`` posted."""
    _post(session, postings.unsettled, matches, now=now)


def _post(
    session: Session,
    act: Callable[[int, str, int, int], list[Move]],
    matches: Iterable[Posted],
    *,
    now: datetime,
) -> None:
    moves: list[Move] = []
    for one in matches:
        if one.source != TRANSFERS:
            moves += act(one.id, one.source, one.amount_fen + one.fee_fen, one.fee_fen)
    ledger.post(session, moves, now=now)


_LEFT_OF = """
    SELECT kind, row_kind, reference, their_ref, ours_fen, theirs_fen,
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
