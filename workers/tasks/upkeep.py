"""Jobs by the clock."""

from datetime import date, timedelta

from sqlalchemy import text

from billing import paper_uploads
from billing.documents.batches import forget as forget_documents
from billing.files.resending import forget_refused
from billing.homes.accounts import forget_removed
from billing.homes.challenges import forget_challenges, forget_guests
from billing.homes.moving import forget_reached, let_go
from billing.partitions import ensure_ahead
from core import log
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity import calendar_links, misses
from identity.televisions import forget_pairings
from notifications import alerts, permits, replies
from notifications.sending.balancing import balance
from notifications.sending.receipts import forget as forget_receipts
from payments.autopay.leaving import end_without_right
from payments.reconciliation.intake.receiving import forget_bytes
from payments.takings import sum_up
from support import indicators, lapsing
from workers.jobs import job
from workers.start import outside

_log = log.logger(__name__)


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
            "DELETE FROM carrier_minute WHERE minute_at < :now - interval '400 days'",
            "DELETE FROM operator_alert WHERE raised_at < :now - interval '90 days'",
        ):
            session.execute(text(statement), {"now": now})
        replies.forget(session, now=now)
        permits.give_back_left_behind(session)
        forget_receipts(session, now=now)
        forget_challenges(session, now=now)
        forget_guests(session, now=now)
        forget_pairings(session, now=now)
        calendar_links.forget(session, now=now)
        misses.forget(session, now=now)
        paper_uploads.forget(session, now=now)
        forget_removed(session, now=now)
        forget_reached(session, now=now)
        forget_bytes(session, before=now - timedelta(days=settings().book_file_days))
        forget_refused(session, days=settings().refused_file_days, now=now)
    folder = settings().documents_dir
    if folder is not None:
        forget_documents(folder, days=settings().documents_days, now=now)


@job("upkeep.let_go")
def let_accounts_go(_day: str) -> None:
    """Take accounts off homes that moved away long ago, and end the autopay of them."""
    now = utc_now()
    with transaction() as session:
        end_without_right(session, let_go(session, now=now), by=None, now=now)


@job("upkeep.watch")
def watch(_day: str) -> None:
    """Have operators told of what does not go by itself."""
    with transaction() as session:
        alerts.watch(session, now=utc_now())


@job("upkeep.watch_books")
def watch_books(day: str) -> None:
    """Have operators told if the books of the day before do not hold."""
    with transaction() as session:
        alerts.watch_books(session, date.fromisoformat(day) - timedelta(days=1), now=utc_now())


@job("upkeep.alert")
def alert(alert_id: str) -> None:
    """Carry an alert to the operators; it stands in the log, whoever takes it."""
    sent = alerts.send_alert(
        int(alert_id), outside().carriers.get("operators", ()),
        public_url=settings().public_url, now=utc_now(),
    )  # fmt: skip
    if sent is not None:
        _log.warning("operators_alerted", finding=sent.finding, title=sent.title)


@job("upkeep.balance_carriers")
def balance_carriers(_day: str) -> None:
    """Move weight away from carriers that fail or are slow, and back."""
    with transaction() as session:
        balance(session, now=utc_now())


@job("upkeep.lapse_complaints")
def lapse_complaints(_day: str) -> None:
    """Close answered complaints nobody said a word of, and warn of those that close soon."""
    after, done = timedelta(days=settings().complaint_closes_after_days), lapsing.AT_ONCE
    while done == lapsing.AT_ONCE:
        with transaction() as session:
            done = lapsing.lapse(session, after=after, now=utc_now())


@job("upkeep.count_indicators")
def count_indicators(_day: str) -> None:
    """Count the open figures of the last months anew."""
    with transaction() as session:
        indicators.count(session, now=utc_now())


@job("upkeep.sum_up_takings")
def sum_up_takings(_day: str) -> None:
    """Sum up what gateways took in the hours that are over."""
    with transaction() as session:
        sum_up(session, now=utc_now())
