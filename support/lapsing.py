"""Answered complaints close by themselves when nobody says a word, and are warned of before."""

from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, select

from core.db import HotStatement
from core.outbox import emit
from support.models import Complaint, ComplaintEntry, Said, State

WARNS_BEFORE: Final = timedelta(days=3)
AT_ONCE: Final = 200

# ``last_at``: when the last answer was given, which may be later than when it became answered.
# ``warned_at``: since then.
_ANSWERED = HotStatement("""
    SELECT c.id, w.warned_at
    FROM complaint c
    CROSS JOIN LATERAL (
        SELECT max(e.at) AS last_at FROM complaint_entry e
        WHERE e.complaint_id = c.id AND e.said = 'answered') a
    CROSS JOIN LATERAL (
        SELECT max(e.at) AS warned_at FROM complaint_entry e
        WHERE e.complaint_id = c.id AND e.said = 'lapsing' AND e.at >= a.last_at) w
    WHERE c.state = 'answered' AND c.state_at <= :before AND a.last_at <= :before
      AND (w.warned_at IS NULL OR w.warned_at <= :warned_before)
    ORDER BY c.state_at, c.id LIMIT :limit FOR UPDATE OF c SKIP LOCKED
""")


def lapse(session: Session, *, after: timedelta, now: datetime, limit: int = AT_ONCE) -> int:
    """Warn of what closes in three days, and close what was warned of; returns how many.

    A word of its person in between reopens it, and the days begin anew with the next answer. What
    nobody was warned of in time, because nothing ran, closes three days after the warning.

    Args:
        after: so long after the last answer it closes.
    """
    found = _ANSWERED.rows(
        session,
        {
            "before": now - after + WARNS_BEFORE, "warned_before": now - WARNS_BEFORE,
            "limit": limit,
        },
    )  # fmt: skip
    for complaint_id, warned_at in found:
        one = session.exec(
            select(Complaint)
            .where(Complaint.id == complaint_id)
            .execution_options(populate_existing=True)
        ).one()
        assert one.taken_by is not None  # what was answered somebody has
        if warned_at is not None:
            one.move_to(State.CLOSED, now=now)
        entry = ComplaintEntry(
            complaint_id=complaint_id, at=now, person_id=one.taken_by,
            said=Said.LAPSING if warned_at is None else Said.LAPSED,
        )  # fmt: skip
        session.add(entry)
        session.flush()
        if warned_at is None:
            emit(session, "complaint.lapsing", entry.id, now=now)
        else:
            emit(session, "complaint.closed", entry.id, now=now)
    return len(found)
