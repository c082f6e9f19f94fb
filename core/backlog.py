"""What is behind: jobs that are due and not done, and news nobody has followed yet."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

MOST = 2_000  # so many are counted: it is bad enough, and the page stays quick


class Behind(NamedTuple):
    """How much of a queue is due, and since when; ``MOST`` stands for that many or more."""

    queue: str
    how_many: int
    oldest_at: datetime


_JOBS = text("""
    SELECT split_part(task, '.', 1) AS queue, count(*), min(due_at)
    FROM (SELECT task, due_at FROM job
          WHERE state IN ('waiting', 'running') AND due_at <= :now
            AND (state = 'waiting' OR lease_until < :now)
          ORDER BY due_at LIMIT :most) due
    GROUP BY 1 ORDER BY 1
""")
_NEWS = text("""
    SELECT count(*), min(emitted_at)
    FROM (SELECT emitted_at FROM outbox_event WHERE relayed_at IS NULL
          ORDER BY id LIMIT :most) waiting
""")
NEWS = "outbox"


def find_behind(session: Session, *, now: datetime) -> list[Behind]:
    """Return each queue that has something due, and ``outbox`` if news waits to become jobs."""
    values = {"now": now, "most": MOST}
    found = [Behind(*row) for row in session.execute(_JOBS, values)]
    how_many, oldest_at = session.execute(_NEWS, values).one()
    return [*found, Behind(NEWS, how_many, oldest_at)] if how_many else found
