"""The end of a week: the faults stop, and whatever is due is done, until nothing is."""

from datetime import datetime, timedelta

from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from tests.weeks.steps import banks_confirm, deliver, file_lands, relay_round
from tests.weeks.week import Week

AT_MOST = timedelta(days=9)  # the polls' two days, the slowest refund's two, and pauses of hours
_ROUNDS = 400

_UNDONE = text("""
    SELECT (SELECT count(*) FROM outbox_event WHERE relayed_at IS NULL) AS news,
           (SELECT count(*) FROM job WHERE state IN ('waiting', 'running')) AS jobs,
           (SELECT min(CASE state WHEN 'running' THEN lease_until ELSE due_at END)
            FROM job WHERE state IN ('waiting', 'running')) AS due_at,
           (SELECT min(due_at) FROM notice WHERE state = 'created') AS notice_due_at
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
        relay_round(week)
        while week.bells:
            week.run_jobs(week.bells.pop(0))
        week.hand_over()
        due_at = _next_due(week)
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


def _next_due(week: Week) -> datetime | None:
    """Return when something more happens; None when nothing will."""
    with transaction() as session:
        undone = session.execute(_UNDONE).one()
    waiting = [books.next_due() for books in week.books.values()]
    due = [moment for moment in waiting if moment is not None]
    if undone.news:
        due.append(utc_now())
    if undone.notice_due_at is not None:
        due.append(max(undone.notice_due_at, utc_now()))
    if undone.jobs:
        # A bell that was lost is rung for again after half a minute.
        due.append(max(undone.due_at, utc_now()) if undone.due_at else utc_now())
    return min(due, default=None)
