"""News becomes jobs, each follower once; the bell costs delay and nothing else."""

import json
import socket
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import text

from core import outbox
from core.clock import utc_now
from core.db import transaction
from tests.threads import at_once
from tests.workers.conftest import ROOT, a_job, change, environment, rung, the_job
from workers.jobs import MAX_ATTEMPTS, revive
from workers.relay import FOLLOWS, RING_AGAIN, relay, ring
from workers.scheduler import SCHEDULE, schedule, tick

pytestmark = pytest.mark.usefixtures("city")


def announce(topic, subject_id="7", *, now, times=1):
    with transaction() as session:
        for _ in range(times):
            outbox.emit(session, topic, subject_id, now=now)


def relay_all(now, limit=500):
    with transaction() as session:
        return relay(session, now=now, limit=limit).events


def jobs():
    with transaction() as session:
        return session.execute(text("SELECT task, subject_id, state FROM job ORDER BY id")).all()


def waiting_events():
    with transaction() as session:
        unrelayed = text("SELECT count(*) FROM outbox_event WHERE relayed_at IS NULL")
        return session.execute(unrelayed).scalar_one()


class TestRelay:
    @pytest.mark.parametrize("topic", FOLLOWS)
    def test_every_follower_of_a_topic_gets_the_subject(self, topic, now):
        announce(topic, now=now)

        assert relay_all(now) == 1
        assert [tuple(one) for one in jobs()] == [(task, "7", "waiting") for task in FOLLOWS[topic]]
        assert waiting_events() == 0

    def test_relayed_by_twenty_at_once_each_follower_is_there_once(self, now):
        announce("payment.paid", now=now, times=50)

        relayed = at_once(20, lambda _: relay_all(now, limit=7))
        relayed += [relay_all(now) for _ in range(2)]

        assert sum(relayed) == 50
        assert len(jobs()) == 50

    def test_an_event_relayed_a_second_time_makes_no_second_job(self, now):
        announce("payment.paid", now=now)
        relay_all(now)
        with transaction() as session:
            session.execute(text("UPDATE outbox_event SET relayed_at = NULL"))

        relay_all(now)

        assert len(jobs()) == 1

    def test_the_same_news_announced_twice_is_two_jobs(self, now):
        announce("payment.paid", now=now, times=2)

        relay_all(now)

        assert len(jobs()) == 2

    def test_a_topic_nobody_lists_is_an_error_and_nothing_is_marked(self, now):
        announce("payment.paid", now=now)
        announce("payment.forgotten", now=now)

        with pytest.raises(KeyError, match=r"payment\.forgotten"):
            relay_all(now)

        assert jobs() == []
        assert waiting_events() == 2

    def test_a_rollback_takes_the_jobs_along(self, now):
        announce("payment.paid", now=now)

        def fail() -> None:
            with transaction() as session:
                relay(session, now=now)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()

        assert (jobs(), waiting_events()) == ([], 1)

    def test_nothing_new_is_no_work(self, now):
        assert relay_all(now) == 0

    def test_the_request_follows_the_job(self, now):
        announce("payment.paid", now=now)
        with transaction() as session:
            session.execute(text("UPDATE outbox_event SET request_id = 'r-1'"))

        relay_all(now)

        with transaction() as session:
            assert session.execute(text("SELECT request_id FROM job")).scalar_one() == "r-1"


class TestRing:
    def test_a_due_job_is_rung_for_with_its_id_only(self, bell, now):
        job_id = a_job(due_at=now)

        assert ring(now=now) == 1
        message = json.loads(bell.lindex("upkeep", 0))
        assert message["headers"]["task"] == "upkeep.jobs"
        assert message["headers"]["argsrepr"] == f"[[{job_id}]]"
        assert the_job(job_id).state == "waiting"

    def test_each_job_rings_in_the_queue_of_its_name(self, bell, now):
        for task in ("payments.resolve", "notices.receipt", "bills.import_file", "upkeep.forget"):
            a_job(task, due_at=now)

        ring(now=now)

        assert [rung(bell, one) for one in ("payments", "notices", "bills", "upkeep")] == [1] * 4

    def test_many_of_a_queue_share_messages_and_files_never_do(self, bell, now):
        for task in ("payments.write_off", "bills.import_file"):
            for at in range(40):
                a_job(task, str(at), due_at=now)

        ring(now=now)

        assert [rung(bell, one) for one in ("payments", "bills")] == [40, 40]
        assert (bell.llen("payments"), bell.llen("bills")) == (4, 40)

    def test_news_that_became_a_job_is_rung_for_at_once_and_noted(self, bell, now):
        announce("payment.paid", now=now, times=3)
        with transaction() as session:
            due = relay(session, now=now).due

        assert ring(now=now, new=due) == 3
        assert rung(bell, "notices") == 3
        assert {the_job(one.id).rung_at for one in due} == {now}
        assert ring(now=now) == 0

    def test_news_whose_bell_was_never_rung_is_rung_for_after_thirty_seconds(self, bell, now):
        announce("payment.paid", now=now)
        relay_all(now)  # and its scheduler is killed

        assert ring(now=now + RING_AGAIN) == 0
        assert ring(now=now + RING_AGAIN + timedelta(milliseconds=1)) == 1
        assert rung(bell, "notices") == 1

    def test_what_is_told_together_shares_one_message(self, bell, now):
        for at in range(40):
            a_job("notices.receipt", str(at), due_at=now)

        ring(now=now)

        assert (rung(bell, "notices"), bell.llen("notices")) == (40, 1)

    def test_a_new_payment_is_left_to_its_request_for_a_moment(self, bell, now):
        announce("payment.created", now=now)
        relay_all(now)

        assert ring(now=now) == 0
        assert ring(now=now + timedelta(seconds=5)) == 1

    def test_it_is_rung_for_again_after_thirty_seconds_and_not_before(self, bell, now):
        a_job(due_at=now)
        ring(now=now)

        assert ring(now=now + RING_AGAIN) == 0
        assert ring(now=now + RING_AGAIN + timedelta(milliseconds=1)) == 1
        assert rung(bell) == 2
        assert timedelta(seconds=30) == RING_AGAIN

    def test_what_is_not_due_done_dead_or_held_is_not_rung_for(self, bell, now):
        a_job(due_at=now + timedelta(seconds=1))
        for state in ("done", "dead"):
            change(a_job(due_at=now), f"state = '{state}'")
        change(a_job(due_at=now), f"state = 'running', lease_until = '{now + RING_AGAIN}'")

        assert ring(now=now) == 0
        assert rung(bell) == 0

    def test_a_job_whose_worker_died_is_rung_for(self, bell, now):
        job_id = a_job(due_at=now)
        change(job_id, f"state = 'running', lease_until = '{now - timedelta(seconds=1)}'")

        assert ring(now=now) == 1

    def test_one_that_twelve_workers_did_not_survive_is_dead_and_kills_no_more(self, bell, now):
        died = f"state = 'running', lease_until = '{now - timedelta(seconds=1)}'"
        job_id, other = a_job(due_at=now), a_job(due_at=now)
        change(job_id, f"{died}, attempts = {MAX_ATTEMPTS}")
        change(other, f"{died}, attempts = {MAX_ATTEMPTS - 1}")

        assert ring(now=now) == 1
        assert ring(now=now + RING_AGAIN * 2) == 1

        row = the_job(job_id)
        assert (row.state, row.lease_until, row.finished_at) == ("dead", None, now)
        assert "did not survive" in row.last_error
        with transaction() as session:
            assert revive(session, job_id, now=now)
        assert ring(now=now + RING_AGAIN * 4) == 2

    def test_rung_by_ten_schedulers_at_once_it_rings_once(self, bell, now):
        for _ in range(30):
            a_job(due_at=now)

        assert sum(at_once(10, lambda _: ring(now=now))) == 30
        assert rung(bell) == 30

    def test_a_round_has_a_limit_and_takes_the_oldest_first(self, bell, now):
        late = [a_job(due_at=now - timedelta(seconds=n)) for n in range(5)]

        assert ring(now=now, limit=2) == 2
        assert [the_job(one).rung_at is not None for one in late] == [False] * 3 + [True] * 2


RING = """
import json, time
from core import db, log
from core.clock import utc_now
from core.settings import settings
from workers.relay import ring
log.configure(as_json=True)
db.bind(settings().database_url)
began = time.monotonic()
rung = ring(now=utc_now(), limit=2)
print(json.dumps({"rung": rung, "seconds": time.monotonic() - began}))
"""


class TestRedisAway:
    """Down, hanging or flushed, Redis costs delay and nothing else."""

    def ring_apart(self, database_url, redis_url):
        done = subprocess.run(
            [sys.executable, "-c", RING], cwd=ROOT, capture_output=True, text=True, timeout=60,
            env=environment(CITYBILL_DATABASE_URL=database_url, CITYBILL_REDIS_URL=redis_url),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        *lines, last = [json.loads(line) for line in done.stdout.splitlines()]
        assert any(line["event"] == "redis_away" for line in lines)
        return last

    def test_one_that_is_not_there_and_one_that_accepts_and_never_answers(self, city, tmp_path):
        several = [a_job() for _ in range(4)]  # two for each
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(tmp_path / "mute.sock"))
            mute.listen(16)
            urls = [f"unix://{tmp_path}/{name}.sock" for name in ("no", "mute")]

            told = at_once(2, lambda number: self.ring_apart(city, urls[number]))

        assert [one["rung"] for one in told] == [2, 2]
        assert [one["seconds"] < 8 for one in told] == [True, True], told
        assert {the_job(one).state for one in several} == {"waiting"}

    def test_a_redis_that_forgot_everything_is_told_again(self, bell, now):
        a_job(due_at=now)
        ring(now=now)
        bell.flushall()

        ring(now=now + timedelta(seconds=31))

        assert rung(bell) == 1


class TestSchedule:
    def test_from_twenty_at_once_there_is_one_job_a_period(self, now):
        made = at_once(20, lambda _: schedule(now=now))

        assert sum(made) == len(SCHEDULE)
        assert sorted(one.task for one in jobs()) == sorted(SCHEDULE)

    @pytest.mark.parametrize("task", SCHEDULE)
    def test_the_next_period_has_a_job_of_its_own(self, task, now):
        schedule(now=now)
        schedule(now=now + SCHEDULE[task])

        assert sum(one.task == task for one in jobs()) == 2

    def test_its_subject_is_the_citys_day(self, now):
        schedule(now=now.replace(hour=16))

        assert {one.subject_id for one in jobs()} == {"2026-11-21"}

    def test_a_round_relays_rings_and_schedules(self, bell, now):
        announce("payment.paid", now=now)

        assert tick(now=now) == 1 + 1 + len(SCHEDULE)
        assert rung(bell, "notices") == 1

    def test_rounds_of_many_schedulers_do_everything_once(self, bell):
        now = utc_now()
        announce("payment.paid", now=now, times=20)

        def rounds(_: int) -> None:
            for _ in range(3):
                tick(now=now)

        at_once(5, rounds)

        assert sum(one.task == "notices.receipt" for one in jobs()) == 20
        assert rung(bell, "notices") == sum(one.task.startswith("notices.") for one in jobs())
