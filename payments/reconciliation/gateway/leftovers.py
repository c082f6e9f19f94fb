"""What gateways' days leave over, laid side by side across days, numbers, gateways and the bank.

Set-based, for all gateways at once; may be run again at any time and converges to the same, in
whatever order files came. What it matches is kept with how, and undone when it no longer holds.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from core.errors import Conflict, Invalid, NotFound
from payments.reconciliation import breaks
from payments.reconciliation.gateway import left_ways
from payments.reconciliation.gateway.differences import take_back_ended
from payments.reconciliation.models import GatewayMatch, Leg
from payments.reconciliation.source_terms import AGREED, USUAL, Sources, terms_values

NEAR = timedelta(minutes=30)  # between our moment and theirs of a row without a number
MOST_PARTS = 50  # in which one sum may come
# Whether two rows are one may hang on rows of neighbouring days, and theirs on their neighbours:
# so many steps at most. What lies further away changes nothing of a day.
_STEPS = 8
_STEPS_WAYS = (
    left_ways.BY_PERSON, left_ways.BY_DAY, left_ways.BY_THEIR_NUMBER, left_ways.CANCELS,
    left_ways.BY_AMOUNT, left_ways.BY_PARTS,
)  # fmt: skip
_TABLES = "left_ours, left_theirs, left_found, left_taken, left_route, left_verdict"


def lock_leftovers(session: Session) -> None:
    """Let one at a time look at what is left: what a row is depends on all the others."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('leftovers'), 0)"))


def match_leftovers(
    session: Session, day: date, *, sources: Sources = AGREED, now: datetime
) -> None:
    """Say anew what is left of a day and of those near it, and record what differs."""
    lock_leftovers(session)
    reach = max([1, USUAL.file_days, *(one.file_days for one in sources.values())]) * _STEPS
    near, far = timedelta(days=reach), timedelta(days=2 * reach)
    values = {
        **terms_values(sources), "now": now, "near": NEAR, "most_parts": MOST_PARTS,
        "from_on": day - far, "to_on": day + far, "since": day - near, "until": day + near,
    }  # fmt: skip
    for statement in (left_ways.OURS, left_ways.THEIRS, left_ways.FOUND):
        session.execute(text(statement), values)
    for way in _STEPS_WAYS:
        session.execute(text(way), values)
        session.execute(text(left_ways.TAKE))
    for statement in (left_ways.OTHER_ROUTES, left_ways.VERDICTS):
        session.execute(text(statement), values)
    for source, on in session.execute(_DAYS, values).all():
        breaks.record(session, Leg.GATEWAY, source, on, found=_FOUND, values={}, now=now)
    take_back_ended(session, values)
    for one in (_UNDO, _MAKE, _COUNT):
        session.execute(one, values)
    session.execute(text(f"DROP TABLE {_TABLES}"))


_FOUND = """
    SELECT kind, row_kind, reference, their_ref, elsewhere, ours_fen, theirs_fen, happened_at
    FROM left_verdict WHERE (source, day) = (:source, :day) AND kind <> 'matched'
"""
_DAYS = text("""
    SELECT source, day FROM left_verdict WHERE day BETWEEN :since AND :until
    UNION
    SELECT source, day FROM reconciliation_break
    WHERE leg = 'gateway' AND state = 'open' AND day BETWEEN :since AND :until
    ORDER BY day, source
""")

_UNDO = text("""
    UPDATE gateway_match m SET undone_at = :now
    WHERE undone_at IS NULL AND first_on BETWEEN :since AND :until
      AND NOT EXISTS (SELECT FROM left_found f
                      WHERE (f.source, f.parts, f.theirs_fen) = (m.source, m.parts, m.amount_fen))
""")
_MAKE = text("""
    INSERT INTO gateway_match (source, parts, found_by, first_on, amount_fen, made_at)
    SELECT source, parts, found_by, f.first_on, theirs_fen, :now
    FROM (SELECT *, (SELECT min(left(key, 10)::date) FROM unnest(ours || theirs) AS k (key))
                    AS first_on
          FROM left_found WHERE act_id IS NULL) f
    WHERE first_on BETWEEN :since AND :until
    ON CONFLICT DO NOTHING
""")
_COUNT = text("""
    UPDATE reconciliation r SET matched_elsewhere = coalesce(v.times, 0)
    FROM reconciliation d LEFT JOIN (
        SELECT source, day, sum(times) AS times FROM left_verdict WHERE kind = 'matched'
        GROUP BY 1, 2) v USING (source, day)
    WHERE (r.source, r.day) = (d.source, d.day) AND d.day BETWEEN :since AND :until
      AND d.matched_elsewhere <> coalesce(v.times, 0)
""")


def list_matches(
    session: Session, source: str | None = None, day: date | None = None, *,
    after: int | None = None, limit: int = 200,
) -> Sequence[GatewayMatch]:  # fmt: skip
    """Return matches that stand and were not made by our number of the same day, newest first.

    Args:
        after: the id of the last one of the page before.
    """
    wanted = select(GatewayMatch).where(col(GatewayMatch.undone_at).is_(None))
    if source is not None:
        wanted = wanted.where(GatewayMatch.source == source)
    if day is not None:
        wanted = wanted.where(col(GatewayMatch.parts).contains(day.isoformat()))
    if after is not None:
        wanted = wanted.where(col(GatewayMatch.id) < after)
    return session.exec(wanted.order_by(col(GatewayMatch.id).desc()).limit(limit)).all()


def every_match(session: Session) -> Iterator[GatewayMatch]:
    """Yield all matches that ``list_matches`` finds, page by page."""
    after: int | None = None
    while rows := list_matches(session, after=after, limit=1_000):
        yield from rows
        after = rows[-1].id


def undo_match(
    session: Session, match_id: int, *, by: int, reason: str, sources: Sources = AGREED,
    now: datetime,
) -> GatewayMatch:  # fmt: skip
    """Say that a match is wrong: both sides are left again, and no run makes it anew.

    Raises:
        Invalid: no reason is given.
        NotFound: there is no such match.
        Conflict: it is undone already.
    """
    if not reason.strip():
        raise Invalid("say why it is wrong", code="gateway_match.reason")
    lock_leftovers(session)
    match = session.get(GatewayMatch, match_id, populate_existing=True, with_for_update=True)
    if match is None:
        raise NotFound("there is no such match")
    if match.undone_at is not None:
        raise Conflict("this match is undone already", code="gateway_match.undone")
    match.undone_at, match.undone_by, match.undo_reason = now, by, reason.strip()
    session.flush()
    match_leftovers(session, match.first_on, sources=sources, now=now)
    return match
