"""A company that is down is left alone, and none is asked more often than agreed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier, Event, Lock

import pytest

from core.clock import utc_now
from core.errors import UpstreamUnavailable
from providers.base import (
    FetchOutcome,
    FetchReply,
    ValidateOutcome,
    ValidateReply,
    WriteOffOutcome,
    WriteOffReply,
)
from providers.clients.guarded import GuardedClient, Limits
from providers.clients.replies import unavailable, unknown
from tests.providers.test_write_off_http import ORDER

NONE = FetchReply(outcome=FetchOutcome.NONE)
AWAY = unavailable("the company's system cannot be reached", company_down=True)
ODD = unavailable("the company's answer cannot be read", company_down=False)


@dataclass
class Company:
    """A client that does what a test says, and counts."""

    act: Callable[[], object] = lambda: NONE
    calls: int = 0
    lock: Lock = field(default_factory=Lock)

    def fetch(self, account_no: str) -> FetchReply:
        with self.lock:
            self.calls += 1
        reply = self.act()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def validate(self, account_no: str, holder_hint: str | None = None) -> ValidateReply:
        self.fetch(account_no)
        return ValidateReply(outcome=ValidateOutcome.KNOWN)

    def write_off(self, order) -> WriteOffReply:
        return self.fetch("")

    def query(self, write_off_no: str) -> WriteOffReply | None:
        return self.fetch("")


def guarded(company: Company, **changes: int) -> GuardedClient:
    limits = {
        "calls_per_second": 1_000, "burst": 1_000, "failures_to_open": 3, "seconds_to_half_open": 1,
    }  # fmt: skip
    return GuardedClient(company, Limits(**limits | changes), utc_now)


def fails(client: GuardedClient, times: int = 1) -> list[str]:
    """Ask, in vain; return what was said."""
    said = []
    for _ in range(times):
        with pytest.raises(UpstreamUnavailable) as raised:
            client.fetch("1")
        said.append(raised.value.message)
    return said


class TestCircuit:
    def test_opens_after_failures_in_a_row_and_then_nothing_is_sent(self):
        company = Company(lambda: AWAY)
        client = guarded(company)

        said = fails(client, 5)

        assert company.calls == 3
        assert client.is_open
        assert [AWAY.message in one for one in said] == [True] * 3 + [False] * 2
        assert "nothing was sent: try again after" in said[-1]

    def test_says_when_to_come_back(self):
        client = guarded(Company(lambda: AWAY), seconds_to_half_open=90)
        fails(client, 3)

        with pytest.raises(UpstreamUnavailable, match=r"after \d\d:\d\d") as raised:
            client.query("W1")

        assert 80 <= raised.value.facts["retry_after_seconds"] <= 90

    def test_one_call_tries_a_company_again_and_closes_it(self):
        company = Company(lambda: AWAY)
        client = guarded(company)
        fails(client, 3)
        time.sleep(1.05)
        company.act = lambda: NONE

        assert client.fetch("1") == NONE
        assert not client.is_open

    def test_a_trial_that_fails_leaves_it_open(self):
        company = Company(lambda: AWAY)
        client = guarded(company)
        fails(client, 3)
        time.sleep(1.05)

        assert fails(client) == [AWAY.message]
        fails(client)
        assert company.calls == 4

    def test_only_one_thread_tries(self):
        company = Company(lambda: AWAY)
        client = guarded(company)
        fails(client, 3)
        time.sleep(1.05)
        trying, go_on = Event(), Event()

        def slowly() -> FetchReply:
            trying.set()
            go_on.wait(5)
            return NONE

        company.act = slowly
        with ThreadPoolExecutor(1) as pool:
            trial = pool.submit(client.fetch, "1")
            trying.wait(5)
            fails(client, 3)
            go_on.set()
            assert trial.result() == NONE
        assert company.calls == 4

    @pytest.mark.parametrize(
        "reply",
        [
            FetchReply(outcome=FetchOutcome.UNKNOWN_ACCOUNT),
            WriteOffReply(outcome=WriteOffOutcome.REFUSED),
            unknown("the company's answer cannot be read"),
        ],
    )
    def test_an_answer_of_any_kind_is_a_sign_of_life(self, reply):
        company = Company(lambda: reply)
        client = guarded(company)

        assert [client.fetch("1") for _ in range(9)] == [reply] * 9
        company.act = lambda: AWAY
        fails(client, 2)
        company.act = lambda: reply
        client.fetch("1")  # and the count begins anew
        company.act = lambda: AWAY
        fails(client, 2)
        assert not client.is_open

    def test_an_unreadable_answer_does_not_open_it(self):
        company = Company(lambda: ODD)
        client = guarded(company)

        fails(client, 9)

        assert company.calls == 9

    def test_a_write_off_without_an_answer_counts_and_is_still_unknown(self):
        silent = unknown("the company did not answer in time", company_down=True)
        company = Company(lambda: silent)
        client = guarded(company)

        assert [client.write_off(ORDER) for _ in range(3)] == [silent] * 3

        with pytest.raises(UpstreamUnavailable, match="nothing was sent"):
            client.write_off(ORDER)

    def test_calls_to_a_slow_company_do_not_wait_for_each_other(self):
        together = Barrier(4, timeout=5)
        client = guarded(Company(lambda: (together.wait() and NONE) or NONE))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(client.fetch, "1234")) == [NONE] * 4


class TestRate:
    def test_no_more_than_the_burst_in_a_second(self):
        company = Company()
        client = guarded(company, burst=5)

        said = [client.fetch("1") for _ in range(5)]
        with pytest.raises(UpstreamUnavailable, match="try again in 1 s") as raised:
            client.fetch("1")

        assert said == [NONE] * 5
        assert raised.value.facts == {"retry_after_seconds": 1}
        assert company.calls == 5

    def test_no_more_than_the_average_over_ten_seconds(self):
        company = Company()
        client = guarded(company, calls_per_second=1)

        for _ in range(10):
            client.fetch("1")
        with pytest.raises(UpstreamUnavailable) as raised:
            client.fetch("1")

        assert 8 <= raised.value.facts["retry_after_seconds"] <= 10

    def test_a_short_wait_is_waited(self):
        client = guarded(Company(), burst=1)
        client.fetch("1")
        time.sleep(0.85)

        assert client.fetch("1") == NONE

    def test_many_threads_share_one_count(self):
        company = Company()
        client = guarded(company, burst=20)

        def ask(_: int) -> bool:
            try:
                return client.fetch("1") == NONE
            except UpstreamUnavailable:
                return False

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, range(60))) == company.calls == 20

    def test_a_full_house_is_no_failure_of_the_company(self):
        client = guarded(Company(), burst=1)
        client.fetch("1")

        fails(client, 4)

        assert not client.is_open
