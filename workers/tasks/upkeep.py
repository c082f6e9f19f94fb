"""Jobs by the clock."""

from datetime import date

from sqlalchemy import text

from billing.challenges import forget_challenges, forget_guests
from billing.partitions import ensure_ahead
from billing.resending import forget_refused
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from workers.jobs import job


@job("upkeep.partitions")
def partitions(day: str) -> None:
    """Make the months around today before anybody needs them."""
    with transaction() as session:
        ensure_ahead(session, today=date.fromisoformat(day))


@job("upkeep.forget")
def forget(_day: str) -> None:
    """Forget what has served: done jobs and their events, old codes, ended sessions, tries."""
    now = utc_now()
    with transaction() as session:
        for statement in (
            "DELETE FROM job WHERE state = 'done' AND finished_at < :now - interval '7 days'",
            "DELETE FROM outbox_event e WHERE relayed_at < :now - interval '8 days' "
            "AND NOT EXISTS (SELECT FROM job j WHERE j.event_id = e.id)",
            "DELETE FROM sign_in_code WHERE issued_at < :now - interval '1 day'",
            "DELETE FROM web_session WHERE seen_at < :now - interval '1 day'",
            "DELETE FROM idempotent_request WHERE created_at < :now - interval '2 days'",
            "DELETE FROM used_nonce WHERE expires_at < :now",
        ):
            session.execute(text(statement), {"now": now})
        forget_challenges(session, now=now)
        forget_guests(session, now=now)
        forget_refused(session, days=settings().refused_file_days, now=now)
