"""The scheduler: relays the outbox, rings for due jobs, and starts what happens by the clock.

Needs the database only, and any number may run: rows are skipped while another holds them, and a
scheduled job is unique by its name and period. ``docs/adr/0003-rows-not-beat.md`` says why this is
not Celery's beat.
"""

import signal
import threading
from datetime import datetime, timedelta

import psycopg
from sqlalchemy.exc import OperationalError

from core import log
from core.clock import billing_date, utc_now
from core.db import HotStatement, acting
from workers import lanes
from workers.relay import relay, ring
from workers.start import start

PAUSE_SECONDS = 0.25
SCHEDULE: dict[str, timedelta] = {
    "upkeep.partitions": timedelta(days=1),
    "upkeep.forget": timedelta(hours=1),
    "upkeep.leave": timedelta(hours=1),
    "upkeep.plan_polls": timedelta(minutes=1),
    "upkeep.remit": timedelta(hours=1),
    "upkeep.let_go": timedelta(days=1),
    "upkeep.watch": timedelta(minutes=5),
    "upkeep.watch_books": timedelta(days=1),
    "upkeep.count_indicators": timedelta(hours=6),
    "upkeep.sum_up_takings": timedelta(hours=1),
    "upkeep.lapse_complaints": timedelta(hours=1),
    "bills.late_fees": timedelta(days=1),
    "bills.notice_missing": timedelta(days=1),
    "bills.remind": timedelta(days=1),
    "bills.state_month": timedelta(days=1),
    "bills.count_usage": timedelta(days=1),
    "notices.flush_digests": timedelta(minutes=1),
    "payments.plan_autopay": timedelta(hours=1),
    "payments.settle_autopay": timedelta(minutes=1),
    "payments.collect": timedelta(minutes=5),
    "payments.expect_settlements": timedelta(hours=1),
    "notices.fall_silent": timedelta(minutes=1),
    "notices.apply_receipts": timedelta(seconds=30),
    "upkeep.balance_carriers": timedelta(minutes=1),
    "payments.match_bank": timedelta(hours=6),
    "payments.expect_confirmations": timedelta(hours=1),
}
_log = log.logger(__name__)


_SCHEDULE = HotStatement("""
    INSERT INTO job (task, subject_id, schedule_key, state, attempts, due_at)
    SELECT task, :day, key, 'waiting', 0, :now
    FROM unnest(CAST(:tasks AS text[]), CAST(:keys AS text[])) WITH ORDINALITY AS s (task, key, at)
    WHERE NOT EXISTS (SELECT FROM job WHERE schedule_key = s.key)
    ORDER BY at
    ON CONFLICT (schedule_key) DO NOTHING RETURNING id
""")


def schedule(*, now: datetime) -> int:
    """Make the jobs of this period that nobody has made yet; returns how many."""
    seconds = int(now.timestamp())
    keys = [f"{task}:{seconds // int(every.total_seconds())}" for task, every in SCHEDULE.items()]
    values = {"day": str(billing_date(now)), "tasks": list(SCHEDULE), "keys": keys, "now": now}
    return len(_SCHEDULE.alone(values))


def tick(*, now: datetime) -> int:
    """Do one round; returns how much there was to do."""
    with acting() as session:
        relayed = relay(session, now=now)
    rung = ring(now=now, new=relayed.due) + lanes.ring(now=now)
    return relayed.events + rung + schedule(now=now)


def main() -> None:
    """Run until told to stop; a database that is away for a moment is waited for."""
    start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            busy = tick(now=utc_now())
        except (OperationalError, psycopg.OperationalError) as away:
            _log.warning("database_away", reason=str(getattr(away, "orig", away)))
            busy = 0
        stop.wait(0 if busy >= 500 else PAUSE_SECONDS)


if __name__ == "__main__":
    main()
