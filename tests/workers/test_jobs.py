"""The row is the job: taken once, given back, taken over, given up, revived."""

import threading
import time
from datetime import timedelta

import psycopg
import pytest

import workers.jobs
from core.clock import utc_now
from core.db import transaction
from core.errors import Upstream, UpstreamUnavailable
from tests.threads import at_once
from tests.workers.conftest import a_job, change, the_job
from workers.jobs import MAX_ATTEMPTS, NotYet, revive, run

pytestmark = pytest.mark.usefixtures("city")


class Stuck:
    """Work that goes on until it is let go, and then ends as it was told to."""

    def __init__(self, outcome: Exception | None = None) -> None:
        self.outcome = outcome
        self.began, self.let_go = threading.Event(), threading.Event()

    def __call__(self, _subject: str) -> None:
        self.began.set()
        assert self.let_go.wait(20)
        if self.outcome is not None:
            raise self.outcome

    def start(self, job_id: int) -> threading.Thread:
        thread = threading.Thread(target=run, args=[job_id])
        thread.start()
        assert self.began.wait(20)
        return thread

    def finish(self, thread: threading.Thread) -> None:
        self.let_go.set()
        thread.join(20)
        assert not thread.is_alive()


def raising(error: Exception):
    def fail(_: str) -> None:
        raise error

    return fail


class TestTaking:
    def test_a_job_gets_its_subject_and_is_done(self, work):
        seen = []
        work(seen.append)
        job_id = a_job(subject_id="W1-01")

        assert run(job_id)

        row = the_job(job_id)
        assert seen == ["W1-01"]
        assert (row.state, row.attempts, row.lease_until, row.last_error) == ("done", 1, None, None)
        assert row.finished_at is not None

    def test_twenty_workers_rung_at_once_do_it_once(self, work):
        seen = []
        work(seen.append)
        job_id = a_job()

        assert sum(at_once(20, lambda _: run(job_id))) == 1
        assert len(seen) == 1

    @pytest.mark.parametrize("state", ["done", "dead"])
    def test_what_is_over_is_not_done_again(self, work, state):
        work(raising(AssertionError("again")))
        job_id = a_job()
        change(job_id, f"state = '{state}'")

        assert not run(job_id)
        assert the_job(job_id).state == state

    def test_what_is_not_due_waits(self, work):
        work(raising(AssertionError("early")))

        assert not run(a_job(due_at=utc_now() + timedelta(seconds=30)))

    def test_a_bell_for_a_job_that_is_gone_is_no_error(self):
        assert not run(1)

    def test_one_bell_may_be_for_several_and_each_ends_as_it_went(self, work):
        said = {"1": None, "2": ValueError("no"), "3": NotYet(60), "4": None}

        def do(subject: str) -> None:
            if (error := said[subject]) is not None:
                raise error

        work(do)
        ids = [a_job(subject_id=subject) for subject in said]

        assert run(*ids) == 4

        rows = [the_job(one) for one in ids]
        assert [row.state for row in rows] == ["done", "waiting", "waiting", "done"]
        assert [row.attempts for row in rows] == [1, 1, 0, 1]
        assert rows[1].last_error == "ValueError: no"
        assert rows[2].due_at > utc_now() + timedelta(seconds=50)

    def test_after_a_slow_one_the_others_are_given_back(self, work, monkeypatch):
        monkeypatch.setattr(workers.jobs, "TURN_SECONDS", 0)
        seen = []
        work(seen.append)
        ids = [a_job(subject_id=str(at)) for at in range(3)]

        run(*ids)

        rows = sorted((the_job(one) for one in ids), key=lambda row: row.state)
        assert len(seen) == 1
        assert [(row.state, row.attempts) for row in rows] == [
            ("done", 1), ("waiting", 0), ("waiting", 0),
        ]  # fmt: skip
        assert run(*ids) == 2

    def test_while_one_works_no_other_takes_it(self, work):
        stuck = Stuck()
        work(stuck)
        job_id = a_job()
        thread = stuck.start(job_id)

        assert not run(job_id)
        assert the_job(job_id).state == "running"
        stuck.finish(thread)
        assert the_job(job_id).state == "done"


class TestTakingOver:
    @pytest.mark.parametrize(
        "outcome", [None, ValueError("late"), NotYet(5), UpstreamUnavailable("late")]
    )
    def test_after_the_lease_another_takes_over_and_the_first_ones_word_is_void(
        self, work, outcome
    ):
        stuck = Stuck(outcome)
        work(stuck)
        job_id = a_job()
        thread = stuck.start(job_id)
        change(job_id, "lease_until = now() - interval '1 second'")
        work(lambda _: None)

        assert run(job_id)
        stuck.finish(thread)

        row = the_job(job_id)
        assert (row.state, row.attempts, row.last_error) == ("done", 2, None)

    def test_the_first_ones_word_is_void_also_while_the_second_still_works(self, work):
        first, second = Stuck(), Stuck(ValueError("failed"))
        work(first)
        job_id = a_job()
        one = first.start(job_id)
        change(job_id, "lease_until = now() - interval '1 second'")
        work(second)
        other = second.start(job_id)

        first.finish(one)

        assert the_job(job_id).state == "running"
        second.finish(other)
        assert (the_job(job_id).state, the_job(job_id).last_error) == (
            "waiting", "ValueError: failed",
        )  # fmt: skip

    def test_it_stays_void_after_the_second_gave_the_attempt_back(self, work):
        first, third = Stuck(), Stuck()
        work(first)
        job_id = a_job()
        one = first.start(job_id)
        change(job_id, "lease_until = now() - interval '1 second'")
        work(raising(NotYet(0)))
        run(job_id)
        work(third)
        change(job_id, "due_at = now() - interval '1 second'")
        other = third.start(job_id)

        first.finish(one)

        assert the_job(job_id).state == "running"
        third.finish(other)

    def test_it_stays_void_after_the_job_died_and_was_revived(self, work):
        first, last = Stuck(), Stuck()
        work(first)
        job_id = a_job()
        one = first.start(job_id)
        change(job_id, "lease_until = now() - interval '1 second'")
        work(raising(ValueError("no")))
        while the_job(job_id).state != "dead":
            assert run(job_id)
            change(job_id, "due_at = now() - interval '1 second'")
        with transaction() as session:
            revive(session, job_id, now=utc_now() - timedelta(seconds=1))
        work(last)
        other = last.start(job_id)

        first.finish(one)

        assert the_job(job_id).state == "running"
        last.finish(other)

    def test_of_twenty_that_find_the_lease_over_one_takes_it(self, work):
        seen = []
        work(seen.append)
        job_id = a_job()
        change(job_id, "state = 'running', attempts = 1, lease_until = now() - interval '1 second'")

        assert sum(at_once(20, lambda _: run(job_id))) == 1
        assert len(seen) == 1


class TestWaiting:
    """Not yet and not reachable are no failures: waiting never kills a job."""

    @pytest.mark.parametrize("outcome", [NotYet(0), UpstreamUnavailable("away")])
    def test_it_may_wait_for_ever(self, work, outcome):
        work(raising(outcome))
        job_id = a_job()
        for _ in range(MAX_ATTEMPTS + 3):
            assert run(job_id)
            change(job_id, "due_at = now() - interval '1 second'")

        assert (the_job(job_id).state, the_job(job_id).attempts) == ("waiting", 0)

    def test_not_yet_says_when(self, work):
        work(raising(NotYet(30)))
        job_id = a_job()
        before = utc_now()

        run(job_id)

        row = the_job(job_id)
        assert timedelta(seconds=30) <= row.due_at - before < timedelta(seconds=35)
        assert (row.last_error, row.rung_at, row.lease_until) == (None, None, None)

    def test_who_is_away_is_on_the_row(self, work):
        work(raising(UpstreamUnavailable("the mail server cannot be reached")))
        job_id = a_job()

        run(job_id)

        assert the_job(job_id).last_error == "the mail server cannot be reached"
        assert the_job(job_id).due_at > utc_now()

    def test_failures_before_and_after_still_count(self, work):
        job_id = a_job()
        for outcome in (
            ValueError(),
            NotYet(0),
            ValueError(),
            UpstreamUnavailable(""),
            ValueError(),
        ):
            work(raising(outcome))
            run(job_id)
            change(job_id, "due_at = now() - interval '1 second'")

        assert the_job(job_id).attempts == 3


class TestFailing:
    def fail_to_death(self, job_id):
        pauses = []
        while the_job(job_id).state != "dead":
            before = utc_now()
            assert run(job_id)
            pauses.append((the_job(job_id).due_at - before).total_seconds())
            change(job_id, "due_at = now() - interval '1 second'")
        return pauses

    def test_it_is_tried_twelve_times_with_growing_pauses_and_is_dead_with_its_reason(self, work):
        work(raising(ValueError("the file is gone")))
        job_id = a_job()

        pauses = self.fail_to_death(job_id)

        row = the_job(job_id)
        assert len(pauses) == MAX_ATTEMPTS == 12
        assert pauses == sorted(pauses)
        assert 2 <= pauses[0] < 4
        assert pauses[-2] > 1_800
        assert (row.state, row.last_error) == ("dead", "ValueError: the file is gone")
        assert row.finished_at is not None
        assert row.lease_until is None

    def test_a_final_refusal_is_a_failure_like_any_other(self, work):
        work(raising(Upstream("no")))
        job_id = a_job()

        run(job_id)

        assert (the_job(job_id).state, the_job(job_id).attempts) == ("waiting", 1)

    def test_a_job_nobody_registered_fails_with_its_name(self):
        job_id = a_job("upkeep.never_was")

        run(job_id)

        assert "upkeep.never_was" in the_job(job_id).last_error

    def test_a_reason_as_long_as_a_book_is_cut(self, work):
        work(raising(ValueError("x" * 100_000)))
        job_id = a_job()

        run(job_id)

        assert len(the_job(job_id).last_error) <= 1_000

    def test_success_after_failure_leaves_no_reason(self, work):
        work(raising(ValueError("no")))
        job_id = a_job()
        run(job_id)
        change(job_id, "due_at = now() - interval '1 second'")
        work(lambda _: None)

        run(job_id)

        assert (the_job(job_id).state, the_job(job_id).last_error) == ("done", None)

    def test_a_dead_job_is_revived_once_and_gets_all_its_tries_again(self, work):
        work(raising(ValueError("no")))
        job_id = a_job()
        self.fail_to_death(job_id)

        def revived(_: int) -> bool:
            with transaction() as session:
                return revive(session, job_id, now=utc_now())

        assert sum(at_once(20, revived)) == 1
        assert (the_job(job_id).state, the_job(job_id).finished_at) == ("waiting", None)
        assert len(self.fail_to_death(job_id)) == MAX_ATTEMPTS

    def test_after_a_revival_the_pauses_are_short_again(self, work):
        work(raising(ValueError("no")))
        job_id = a_job()
        self.fail_to_death(job_id)
        with transaction() as session:
            revive(session, job_id, now=utc_now())

        assert self.fail_to_death(job_id)[0] < 4

    @pytest.mark.parametrize("state", ["waiting", "done"])
    def test_what_is_not_dead_is_not_revived(self, state):
        job_id = a_job()
        change(job_id, f"state = '{state}'")

        with transaction() as session:
            assert not revive(session, job_id, now=utc_now())
        assert the_job(job_id).state == state


class TestHeartbeat:
    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch):
        monkeypatch.setattr("workers.jobs.HEARTBEAT_SECONDS", 0.05)

    def lease_grows(self, job_id):
        first, deadline = the_job(job_id).lease_until, time.monotonic() + 10
        while the_job(job_id).lease_until == first:
            assert time.monotonic() < deadline, "the lease was never renewed"
            time.sleep(0.02)

    def test_a_long_job_keeps_its_lease(self, work):
        stuck = Stuck()
        work(stuck)
        job_id = a_job()
        thread = stuck.start(job_id)

        self.lease_grows(job_id)

        assert the_job(job_id).state == "running"
        stuck.finish(thread)

    def test_who_lost_the_job_no_longer_renews_it(self, work):
        stuck = Stuck()
        work(stuck)
        job_id = a_job()
        thread = stuck.start(job_id)
        change(job_id, "attempts = 2, lease_until = '2030-01-01'")  # another has it

        time.sleep(0.3)

        assert the_job(job_id).lease_until.year == 2030
        stuck.finish(thread)
        assert the_job(job_id).state == "running"

    def test_a_database_that_was_away_for_a_moment_does_not_cost_the_lease(self, work, servers):
        stuck = Stuck()
        work(stuck)
        job_id = a_job()
        thread = stuck.start(job_id)
        with psycopg.connect(servers.database_url("postgres"), autocommit=True) as admin:
            admin.execute("ALTER DATABASE citybill ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'citybill'"
            )
            time.sleep(0.4)
            admin.execute("ALTER DATABASE citybill ALLOW_CONNECTIONS true")

        self.lease_grows(job_id)

        stuck.finish(thread)
        assert the_job(job_id).state == "done"
