"""From one channel to the next.

When a step fails or falls silent, the one behind it has its turn; once somebody was reached, those
behind are dropped.
Quiet hours are no affair of a chain: they are looked at when a notice is about to be sent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from core.db import HotStatement

_GO_ON = HotStatement("""
    UPDATE notice SET due_at = :now, held = NULL
    WHERE after_id = ANY(:ids) AND state = 'created' AND held = 'chain'
    RETURNING id
""")

# What is in a worker's hands is not touched: it looks before it sends, and afterwards it was sent.
_DROP = HotStatement("""
    WITH RECURSIVE ended AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[])) AS e (id, reason)
    ), behind AS (
        SELECT n.id, ended.reason FROM notice n JOIN ended ON n.after_id = ended.id
        UNION ALL
        SELECT n.id, behind.reason FROM notice n JOIN behind ON n.after_id = behind.id
    )
    UPDATE notice SET state = 'dropped', state_at = :now, reason = behind.reason,
        due_at = NULL, held = NULL
    FROM behind
    WHERE notice.id = behind.id AND state = 'created'
      AND NOT (attempts > 0 AND held IS NULL AND due_at > :now)
    RETURNING notice.id
""")

_SILENT = HotStatement("""
    WITH silent AS MATERIALIZED (
        SELECT id FROM notice WHERE state = 'accepted' AND answer_by_at <= :now
        ORDER BY answer_by_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ), next AS (
        UPDATE notice SET due_at = :now, held = NULL
        FROM silent WHERE after_id = silent.id AND state = 'created' AND held = 'chain'
    )
    UPDATE notice SET answer_by_at = NULL FROM silent WHERE notice.id = silent.id
    RETURNING notice.id
""")


def go_on(session: Session, failed_ids: Sequence[int], *, now: datetime) -> None:
    """Have the steps behind those that failed go at once."""
    if failed_ids:
        _GO_ON.rows(session, {"ids": list(failed_ids), "now": now})


def drop_behind(session: Session, ended: Mapping[int, str], *, now: datetime) -> None:
    """Drop all steps behind some notices, each for its reason."""
    if ended:
        values = {"ids": list(ended), "reasons": list(ended.values()), "now": now}
        _DROP.rows(session, values)


def reached(session: Session, notice_ids: Sequence[int], *, now: datetime) -> None:
    """Drop the steps behind notices that were delivered or read: nobody needs them any more."""
    drop_behind(session, dict.fromkeys(notice_ids, "reached"), now=now)


def sweep_silence(session: Session, *, now: datetime, limit: int = 500) -> int:
    """Have the steps go that come behind a carrier's yes of which nothing was heard in time."""
    return len(_SILENT.rows(session, {"now": now, "limit": limit}))
