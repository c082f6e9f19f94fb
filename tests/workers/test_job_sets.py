"""Many jobs of a kind in one go; whatever a set leaves or breaks is done one by one."""

import time
from collections.abc import Callable, Sequence

import pytest

from core.errors import UpstreamUnavailable
from tests.workers.conftest import a_job, change, the_job
from workers.jobs import SETS, Ends, Over, run

pytestmark = pytest.mark.usefixtures("city")


class Sets:
    """What the set of ``upkeep.test`` was asked for, and says."""

    def __init__(self, says: Callable[[Sequence[str]], Ends]) -> None:
        self.asked, self.says = list[list[str]](), says

    def __call__(self, subjects: Sequence[str], _over: Over) -> Ends:
        self.asked.append(list(subjects))
        return self.says(subjects)


@pytest.fixture
def sets(monkeypatch):
    def does(says: Callable[[Sequence[str]], Ends]) -> Sets:
        made = Sets(says)
        monkeypatch.setitem(SETS, "upkeep.test", made)
        return made

    return does


def some_jobs(how_many: int) -> list[int]:
    return [a_job(subject_id=str(at)) for at in range(how_many)]


def alone(work) -> list[str]:
    seen: list[str] = []
    work(seen.append)
    return seen


def test_what_is_rung_for_together_is_done_in_one_go(work, sets):
    seen, together, ids = alone(work), sets(dict.fromkeys), some_jobs(3)

    assert run(*ids) == 3

    assert (together.asked, seen) == ([["0", "1", "2"]], [])
    assert {the_job(one).state for one in ids} == {"done"}


def test_one_alone_needs_no_set(work, sets):
    seen, together = alone(work), sets(dict.fromkeys)

    run(a_job())

    assert (together.asked, seen) == ([], ["1"])


def test_what_a_set_says_nothing_of_goes_one_by_one(work, sets):
    seen, ids = alone(work), some_jobs(3)
    sets(lambda _: {"1": None})

    assert run(*ids) == 3

    assert seen == ["0", "2"]
    assert {the_job(one).state for one in ids} == {"done"}


def test_a_set_says_what_is_to_be_called_again_later_and_that_counts_as_no_try(work, sets):
    seen, ids = alone(work), some_jobs(2)
    sets(lambda _: {"0": None, "1": 60})

    run(*ids)

    rows = [the_job(one) for one in ids]
    assert [(row.state, row.attempts) for row in rows] == [("done", 1), ("waiting", 0)]
    assert seen == []


@pytest.mark.parametrize("error", [ValueError("no"), UpstreamUnavailable("away")])
def test_a_set_that_fails_is_done_one_by_one_and_only_whose_failure_it_is_fails(work, sets, error):
    def fail(_: object) -> Ends:
        raise error

    def do(subject: str) -> None:
        if subject == "1":
            raise ValueError("this one")

    sets(fail)
    work(do)
    ids = some_jobs(3)

    run(*ids)

    assert [the_job(one).state for one in ids] == ["done", "waiting", "done"]
    assert the_job(ids[1]).last_error == "ValueError: this one"


def test_one_that_failed_before_spoils_nobodys_set(work, sets):
    seen, ids = alone(work), some_jobs(3)
    together = sets(dict.fromkeys)
    with_a_past = a_job(subject_id="failed before")
    change(with_a_past, "attempts = 1")

    run(*ids, with_a_past)

    assert (together.asked, seen) == ([["0", "1", "2"]], ["failed before"])


def test_in_a_turn_that_is_over_no_set_is_begun(work, sets, monkeypatch):
    monkeypatch.setattr("workers.jobs.TURN_SECONDS", -1)
    seen, together, ids = alone(work), sets(dict.fromkeys), some_jobs(3)

    run(*ids)

    assert (together.asked, seen) == ([], ["0"])


def test_a_long_set_keeps_the_leases_of_all_of_it(work, sets, monkeypatch):
    monkeypatch.setattr("workers.jobs.HEARTBEAT_SECONDS", 0.05)
    ids = some_jobs(2)

    def wait(subjects: Sequence[str]) -> Ends:
        first, deadline = {the_job(one).lease_until for one in ids}, time.monotonic() + 10
        while any(the_job(one).lease_until in first for one in ids):
            assert time.monotonic() < deadline, "a lease was never renewed"
            time.sleep(0.02)
        return dict.fromkeys(subjects)

    sets(wait)
    work(raising_never)

    assert run(*ids) == 2
    assert {the_job(one).state for one in ids} == {"done"}


def raising_never(_: str) -> None:
    raise AssertionError("alone")
