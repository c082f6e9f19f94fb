"""Writing down what became of notices: many at once, and only by who still holds them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from core import log
from core.db import HotStatement
from notifications.models import Held, NoticeState
from notifications.sending import chains

_log = log.logger(__name__)


class Ended(NamedTuple):
    """What a try has come to; still ``created``, it is due again at ``due_at``.

    ``uncount`` takes back a try that was none. ``carrier`` has it, or may have it.
    """

    id: int
    attempt: int
    state: NoticeState
    at: datetime
    reason: str | None = None
    due_at: datetime | None = None
    held: Held | None = None
    uncount: int = 0
    carrier: str | None = None
    carrier_ref: str | None = None


# A code is wiped as soon as it is of no use here. Where a step is behind and nobody is waited for,
# it waits for word of a failure until the notice is of no use.
_RECORD = HotStatement("""
    UPDATE notice SET
        state = e.state, reason = e.reason, due_at = e.due_at, held = e.held,
        state_at = CASE e.state WHEN 'created' THEN state_at ELSE e.at END,
        attempts = attempts - e.uncount, carrier = e.carrier, carrier_ref = e.carrier_ref,
        accepted_at = CASE WHEN e.state IN ('accepted', 'delivered') THEN e.at END,
        delivered_at = CASE e.state WHEN 'delivered' THEN e.at END,
        answer_by_at = CASE WHEN e.state = 'accepted' AND EXISTS (
            SELECT FROM notice b WHERE b.after_id = notice.id AND b.state = 'created'
        ) THEN coalesce(e.at + make_interval(secs => wait_seconds), expires_at) END,
        body = CASE WHEN kind = 'code' AND e.state <> 'created' THEN '(wiped)' ELSE body END,
        body_html = CASE WHEN kind <> 'code' OR e.state = 'created' THEN body_html END,
        template_values = CASE WHEN kind <> 'code' OR e.state = 'created' THEN template_values END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS integer[]), CAST(:states AS text[]),
                CAST(:ats AS timestamptz[]), CAST(:reasons AS text[]),
                CAST(:due_ats AS timestamptz[]), CAST(:helds AS text[]),
                CAST(:uncounts AS integer[]), CAST(:carriers AS text[]), CAST(:refs AS text[]))
         AS e (id, attempt, state, at, reason, due_at, held, uncount, carrier, carrier_ref)
    WHERE notice.id = e.id AND attempts = e.attempt AND notice.state = 'created'
    RETURNING notice.id, notice.state, notice.reason
""")


def record(session: Session, ended: Sequence[Ended], *, now: datetime) -> None:
    """Write down what became of notices, and have the steps behind them go or be dropped."""
    if not ended:
        return
    names = (
        "ids", "attempts", "states", "ats", "reasons", "due_ats", "helds", "uncounts", "carriers",
        "refs",
    )  # fmt: skip
    columns = zip(names, zip(*ended, strict=True), strict=True)
    written = _RECORD.rows(session, {name: list(column) for name, column in columns})
    if len(written) < len(ended):
        _log.warning("leases_lost", how_many=len(ended) - len(written))
    chains.go_on(session, [one for one, state, _ in written if state == "failed"], now=now)
    chains.reached(session, [one for one, state, _ in written if state == "delivered"], now=now)
    dropped = {one: reason for one, state, reason in written if state == "dropped"}
    chains.drop_behind(session, dropped, now=now)
