"""Taking notices that are due: each by one worker, for the length of a lease."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session, col, select

from core.db import HotStatement
from notifications.models import Lane, Notice

LEASE = timedelta(seconds=60)
# In ``attempts``, a try whose worker did not live to write it down counts a thousand: what kills
# workers is given up soon, and a carrier that is away for a day is not.
LOST = 1000

_CLAIM = HotStatement("""
    WITH due AS MATERIALIZED (
        SELECT id, due_at, CASE WHEN attempts > 0 AND held IS NULL THEN :lost ELSE 1 END AS counted
        FROM notice
        WHERE state = 'created' AND lane = :lane AND due_at <= :now
        ORDER BY due_at, id LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE notice SET due_at = :until, held = NULL, attempts = attempts + due.counted
    FROM due WHERE notice.id = due.id
    RETURNING notice.id, attempts, due.counted, due.due_at
""")


# So many are counted: more is bad enough, and the question stays quick.
_BEHIND = HotStatement("""
    SELECT lane, (SELECT count(*) FROM (
               SELECT FROM notice
               WHERE state = 'created' AND notice.lane = known.lane AND due_at <= :now LIMIT :most
           ) AS due), (
               SELECT min(due_at) FROM notice
               WHERE state = 'created' AND notice.lane = known.lane AND due_at <= :now
           )
    FROM unnest(CAST(:lanes AS text[])) AS known (lane)
""")


class Behind(NamedTuple):
    """How much of a lane is due and in nobody's hands, and since when."""

    lane: Lane
    how_many: int
    oldest_at: datetime | None


def find_behind(session: Session, *, now: datetime, most: int) -> list[Behind]:
    """Return what is due of each lane; ``most`` stands for that many or more."""
    values = {"now": now, "most": most, "lanes": list(Lane)}
    return [Behind(Lane(lane), *rest) for lane, *rest in _BEHIND.rows(session, values)]


class Claimed(NamedTuple):
    """A notice this worker holds. ``attempt`` fences: after a later claim its word is void."""

    notice: Notice
    attempt: int
    counted: int
    was_due_at: datetime

    @property
    def id(self) -> int:
        return self.notice.id or 0

    @property
    def tries(self) -> int:
        return self.attempt % LOST

    @property
    def lost(self) -> int:
        """How many workers did not survive it."""
        return self.attempt // LOST

    @property
    def may_have_it(self) -> str | None:
        """The carrier that fell silent when it was asked, and is the only one to be asked again."""
        return self.notice.carrier


def claim(session: Session, lane: Lane, *, now: datetime, limit: int) -> list[Claimed]:
    """Take what has been due longest and nobody else has; nobody waits for anybody's rows."""
    values = {"lane": lane, "now": now, "until": now + LEASE, "limit": limit, "lost": LOST}
    taken = {row[0]: row[1:] for row in _CLAIM.rows(session, values)}
    if not taken:
        return []
    notices = session.exec(select(Notice).where(col(Notice.id).in_(taken)).order_by(col(Notice.id)))
    return [Claimed(notice, *taken[notice.id]) for notice in notices]
