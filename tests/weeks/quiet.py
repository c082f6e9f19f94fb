"""The end of a week: the faults stop, and whatever is due is done, until nothing is."""

from datetime import datetime, timedelta

from sqlalchemy import text

from core.clock import BILLING_ZONE, utc_now
from core.db import looking
from tests.weeks.steps import banks_confirm, deliver, file_lands, relay_round
from tests.weeks.steps_autopay import CLOCK_JOBS, schedule_only
from tests.weeks.steps_counter import agents_finish
from tests.weeks.steps_returns import staff_finish
from tests.weeks.week import Week

# The polls' two days, the slowest refund's two, and pauses of hours; a debit that is tried for a
# week at a bank whose silence takes another one.
AT_MOST = timedelta(days=24)
_ROUNDS = 600

_UNDONE = text("""
    SELECT (SELECT count(*) FROM outbox_event WHERE relayed_at IS NULL) AS news,
           (SELECT count(*) FROM job WHERE state IN ('waiting', 'running')) AS jobs,
           (SELECT min(CASE state WHEN 'running' THEN lease_until ELSE due_at END)
            FROM job WHERE state IN ('waiting', 'running')) AS due_at,
           (SELECT min(due_at) FROM notice WHERE state = 'created') AS notice_due_at
""")

# What waits for autopay's jobs of the clock: mandates that are paused wait for their payers.
_CLOCK = text("""
    SELECT r.tell_on AS day, time '00:05' AS at
    FROM autopay_run r JOIN mandate m ON m.id = mandate_id
    WHERE r.state = 'planned' AND m.status = 'active'
    UNION ALL SELECT debit_on, '08:05' FROM autopay_run WHERE state IN ('announced', 'retry')
    UNION ALL SELECT DATE '2026-01-01', '00:00'
    FROM autopay_run r JOIN payment p ON p.id = payment_id
    WHERE r.state IN ('debiting', 'retry') AND p.status = 'paid'
    UNION ALL SELECT silent_until + 1, '00:05' FROM collection_batch WHERE state = 'taken'
    UNION ALL SELECT DATE '2026-01-01', '00:00' FROM collection_batch WHERE state = 'cut'
    UNION ALL SELECT (b.opened_at AT TIME ZONE 'Asia/Shanghai' + interval '8 hours')::date, '16:05'
    FROM collection_batch b WHERE state = 'open'
      AND EXISTS (SELECT FROM collection_entry WHERE batch_id = b.id AND state = 'waiting')
    UNION ALL SELECT DATE '2026-01-01', '00:00' FROM payment p
    WHERE status = 'open' AND gateway = 'bank_debit'
      AND NOT EXISTS (SELECT FROM collection_entry WHERE payment_id = p.id)
    UNION ALL SELECT DATE '2026-01-01', '00:00' FROM collection_entry e JOIN collection_batch b
      ON b.id = batch_id WHERE b.state = 'refused' AND e.state = 'waiting'
""")


def quiet(week: Week) -> None:
    """Let the world come to rest; complains if it does not."""
    week.stormy = False
    week.deaths.often = week.wire.away_often = week.wire.silent_often = 0
    week.wire.outages.clear()
    week.tell("all is quiet")
    until, pause = utc_now() + AT_MOST, 1
    for _ in range(_ROUNDS):
        banks_confirm(week)
        _hear_all_news(week)
        while week.city.unfinished:
            file_lands(week)
        agents_finish(week)
        staff_finish(week)
        if _clock_due(until=utc_now()) or _bank_has_news(week):
            schedule_only(week, *CLOCK_JOBS)
        relay_round(week)
        while week.bells:
            week.run_jobs(week.bells.pop(0))
        week.hand_over()
        due_at = _next_due(week, until)
        if due_at is None or week.wrong:
            return
        if utc_now() > until:
            break
        # Not every poll of days is of interest: the pauses grow.
        week.clock.reach(max(due_at, utc_now() + timedelta(seconds=pause)) + timedelta(seconds=1))
        pause = min(pause + pause // 2 + 1, 7_200)
    week.complain("it does not come to rest")


def _hear_all_news(week: Week) -> None:
    for books in week.books.values():
        for news in books.news:
            if not news.taken:
                deliver(week, books, news)


def _clock_due(*, until: datetime) -> datetime | None:
    """Return when autopay's jobs of the clock have something to do, if that is before a moment."""
    with looking() as session:
        rows = session.execute(_CLOCK).all()
    moments = [datetime.combine(row.day, row.at, BILLING_ZONE) for row in rows]
    return min((at for at in moments if at <= until), default=None)


def _bank_has_news(week: Week) -> bool:
    """Tell whether the collecting bank has a return that the jobs of the clock have not fetched."""
    due_at = week.bank.next_due()
    return due_at is not None and due_at <= utc_now()


def _next_due(week: Week, until: datetime) -> datetime | None:
    """Return when something more happens; None when nothing will, or not before ``until``."""
    with looking() as session:
        undone = session.execute(_UNDONE).one()
    waiting = [books.next_due() for books in week.books.values()]
    clock_due = _clock_due(until=until)
    if clock_due is not None:
        hour = utc_now().replace(minute=0, second=0, microsecond=0)  # its jobs are by the hour
        waiting.append(max(clock_due, hour + timedelta(hours=1)))
    if week.bank.next_due() is not None:
        waiting.append(week.bank.next_due())
    due = [moment for moment in waiting if moment is not None]
    if undone.news:
        due.append(utc_now())
    if undone.notice_due_at is not None:
        due.append(max(undone.notice_due_at, utc_now()))
    if undone.jobs:
        # A bell that was lost is rung for again after half a minute.
        due.append(max(undone.due_at, utc_now()) if undone.due_at else utc_now())
    return min(due, default=None)
