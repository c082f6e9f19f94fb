"""Accepting many differences at once, with one reason."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from payments.reconciliation.repair import Limits, Shown, check_reason, close
from payments.reconciliation.repair_models import CLOSING


class Accepted(NamedTuple):
    """What became of them; ``left`` had changed or were closed, and are as they were."""

    resolved: int
    proposed: int
    left: int


_ACCEPT_MANY = text("""
    WITH shown AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS text[]),
                             CAST(:ours AS bigint[]), CAST(:theirs AS bigint[]))
            AS s (id, kind, ours_fen, theirs_fen)
    ), same AS (
        SELECT b.id, b.kind, b.ours_fen, b.theirs_fen,
               abs(coalesce(b.ours_fen, 0) - coalesce(b.theirs_fen, 0)) AS fen
        FROM reconciliation_break b JOIN shown s ON s.id = b.id
        WHERE b.state = 'open' AND (b.kind, b.ours_fen, b.theirs_fen)
              IS NOT DISTINCT FROM (s.kind, s.ours_fen, s.theirs_fen)
          AND NOT EXISTS (SELECT FROM break_act a
                          WHERE a.break_id = b.id AND a.act = ANY(:closing)
                            AND a.declined_at IS NULL AND a.undone_at IS NULL)
        ORDER BY b.id FOR UPDATE OF b
    ), total AS (SELECT coalesce(sum(fen), 0) > :approval_above_fen AS needs_two FROM same)
    INSERT INTO break_act (break_id, act, reason, amount_fen, kind, ours_fen, theirs_fen,
                           needs_two, proposed_by, proposed_at, done_at)
    SELECT id, 'accept', :reason, fen, kind, ours_fen, theirs_fen, needs_two, :by, :now,
           CASE WHEN NOT needs_two THEN CAST(:now AS timestamptz) END
    FROM same, total
    ON CONFLICT DO NOTHING
    RETURNING break_id, done_at IS NOT NULL AS done
""")


def accept_many(
    session: Session,
    wanted: Mapping[int, Shown],
    *,
    reason: str,
    by: int,
    limits: Limits,
    now: datetime,
) -> Accepted:
    """Accept differences with one reason, each by an act of its own.

    All of them together count to the threshold, so that it cannot be passed in small steps. What
    has changed, is closed or waits for approval is left as it is.

    Raises:
        Invalid: no reason.
    """
    check_reason(reason)
    values: dict[str, Any] = {
        "ids": list(wanted), "kinds": [one.kind.value for one in wanted.values()],
        "ours": [one.ours_fen for one in wanted.values()],
        "theirs": [one.theirs_fen for one in wanted.values()],
        "closing": sorted(CLOSING), "approval_above_fen": limits.approval_above_fen,
        "reason": reason.strip(), "by": by, "now": now,
    }  # fmt: skip
    made = session.execute(_ACCEPT_MANY, values).all()
    done = [row.break_id for row in made if row.done]
    close(session, done, now=now)
    return Accepted(len(done), len(made) - len(done), len(wanted) - len(made))
