"""Who takes a message: by weight, no faster than its rate, and not while it is down."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from core.db import transaction
from identity.models import Role
from notifications.channels.base import Message, Taken, WithoutReceipts
from notifications.sending.carriers import (
    LONGEST_PAUSE,
    MISSES,
    SHORTEST_PAUSE,
    WAITS,
    Outcome,
    Tried,
    choose,
    count_outcomes,
    ensure_known,
)
from notifications.sending.models import CarrierMinute, CarrierState
from tests.conftest import NOW
from tests.factories import a_person

SECOND = timedelta(seconds=1)


@dataclass
class Named(WithoutReceipts):
    """A carrier of text messages that is never asked here."""

    code: str
    channel: str = "sms"
    repeats_safely: bool = False

    def send(self, message: Message) -> Taken:
        raise AssertionError("nothing is sent in these tests")


A, B = Named("a"), Named("b")


def know(*carriers, **weights):
    with transaction() as session:
        ensure_known(session, carriers, weights)


def change(code, **columns):
    with transaction() as session:
        row = session.get_one(CarrierState, code)
        for name, value in columns.items():
            setattr(row, name, value)


def state(code):
    with transaction() as session:
        return session.get_one(CarrierState, code)


def chosen(*carriers, count, now=NOW, seed=1):
    with transaction() as session:
        found = choose(session, carriers, count=count, now=now, draw=random.Random(seed))
    return Counter(one.code if one else None for one in found)


def tell(*outcomes, code="a", now=NOW, wait_ms=0):
    with transaction() as session:
        count_outcomes(session, [Tried(code, "sms", one, wait_ms) for one in outcomes], now=now)


@pytest.mark.usefixtures("city")
class TestWeights:
    def test_each_gets_its_part_of_the_channel(self):
        know(A, B, Named("c", "push"), a=51, b=49)

        assert {code: state(code).resting_weight for code in "abc"} == {"a": 51, "b": 49, "c": 100}

    def test_known_twice_is_known_once(self):
        know(A, B)
        know(A, B)

        assert state("a").weight == state("b").weight == 50

    def test_what_was_moved_or_stopped_stays_when_a_worker_starts(self):
        boss = a_person(Role.STAFF)
        know(A, B)
        change("a", weight=20, stopped_at=NOW, stopped_by=boss, stop_reason="asked to")

        know(A, B, a=3, b=1)

        assert (state("a").weight, state("a").resting_weight) == (20, 75)
        assert state("a").stopped_at == NOW
        assert (state("b").weight, state("b").resting_weight) == (25, 25)

    def test_messages_are_shared_by_weight(self):
        know(A, B, a=4, b=1)

        found = chosen(A, B, count=1_000)

        assert 760 < found["a"] < 840
        assert found["a"] + found["b"] == 1_000

    def test_who_is_stopped_gets_nothing(self):
        know(A, B)
        change("a", stopped_at=NOW, stopped_by=a_person(Role.STAFF))

        assert chosen(A, B, count=50) == {"b": 50}

    def test_one_nobody_has_made_known_yet_is_asked_all_the_same(self):
        assert chosen(A, count=3) == {"a": 3}

    def test_without_anybody_a_message_waits(self):
        know(A)
        change("a", stopped_at=NOW, stopped_by=a_person(Role.STAFF))

        assert chosen(A, count=3) == {None: 3}

    def test_weight_nought_is_left_out(self):
        know(A, B)
        change("a", weight=0)

        assert chosen(A, B, count=50) == {"b": 50}

    def test_who_lost_all_its_weight_takes_what_nobody_else_can(self):
        know(A, B)
        change("a", weight=0)
        change("b", stopped_at=NOW, stopped_by=a_person(Role.STAFF))

        assert chosen(A, B, count=5) == {"a": 5}

    def test_a_weight_set_to_nought_for_good_is_no_last_resort(self):
        know(A, B, a=0, b=1)
        change("b", stopped_at=NOW, stopped_by=a_person(Role.STAFF))

        assert chosen(A, B, count=5) == {None: 5}


@pytest.mark.usefixtures("city")
class TestRate:
    def test_what_one_may_not_take_goes_to_another(self):
        know(A, B)
        change("a", per_minute=60)

        assert chosen(A, B, count=100) == {"a": 1, "b": 99}

    def test_what_nobody_may_take_now_waits(self):
        know(A)
        change("a", per_minute=1_200)

        assert chosen(A, count=100) == {"a": 10, None: 90}  # half a second of it

    def test_time_that_nobody_used_is_not_saved_up(self):
        know(A)
        change("a", per_minute=1_200)
        chosen(A, count=100)

        assert chosen(A, count=100, now=NOW + timedelta(hours=1))["a"] == 10

    def test_what_a_transaction_that_failed_took_is_given_back(self):
        know(A)
        change("a", per_minute=60)

        with transaction() as session:
            choose(session, [A], count=1, now=NOW, draw=random.Random(1))
            session.rollback()

        assert chosen(A, count=1) == {"a": 1}

    @pytest.mark.parametrize("per_minute", [60, 1_000, 6_000])
    def test_n_15_eight_clients_keep_to_the_rate_within_a_hundredth(self, per_minute):
        know(A)
        change("a", per_minute=per_minute)
        ticks = [NOW + timedelta(milliseconds=250 * at) for at in range(240)]

        with ThreadPoolExecutor(8) as clients:
            taken = sum(
                found["a"]
                for now in ticks
                for found in clients.map(
                    lambda seed, now=now: chosen(A, count=per_minute // 60, now=now, seed=seed),
                    range(8),
                )
            )

        assert abs(taken - per_minute) * 100 <= per_minute

    @given(per_minute=st.integers(1, 100_000), steps=st.lists(st.integers(0, 5_000), max_size=60))
    def test_no_clock_however_it_jumps_lets_more_through(self, database_url, per_minute, steps):
        with transaction() as session:
            ensure_known(session, [A], {})
            session.execute(
                text("UPDATE carrier_state SET per_minute = :rate, paced_until = NULL"),
                {"rate": per_minute},
            )
            now, taken = NOW, 0
            for step in steps:
                now += timedelta(milliseconds=step)
                found = choose(session, [A], count=50, now=now, draw=random.Random(1))
                taken += sum(one is not None for one in found)
            session.rollback()

        passed_ms = (now - NOW) // timedelta(milliseconds=1)
        most = (passed_ms + 500) * per_minute // 60_000 + 1
        assert taken <= most


@pytest.mark.usefixtures("city")
class TestDown:
    def miss_all(self, *, now=NOW):
        tell(*[Outcome.NOT_NOW] * MISSES, now=now)

    def test_ten_misses_in_a_row_take_a_carrier_out_at_once(self):
        know(A, B)
        tell(*[Outcome.NOT_NOW] * (MISSES - 1))
        assert chosen(A, B, count=100)["a"] > 0

        tell(Outcome.SILENT)

        assert chosen(A, B, count=100) == {"b": 100}
        assert chosen(A, count=1) == {None: 1}

    @pytest.mark.parametrize("sign", [Outcome.TAKEN, Outcome.REFUSED])
    def test_any_sign_of_life_between_them_starts_the_count_anew(self, sign):
        know(A)
        tell(*[Outcome.NOT_NOW] * (MISSES - 1), sign, Outcome.NOT_NOW)

        assert chosen(A, count=100) == {"a": 100}

    def test_after_the_pause_one_message_tries_it_and_nobody_elses(self):
        know(A)
        self.miss_all()
        later = NOW + SHORTEST_PAUSE

        assert chosen(A, count=100, now=later) == {"a": 1, None: 99}
        assert chosen(A, count=100, now=later) == {None: 100}

    def test_one_that_takes_it_is_back_at_once(self):
        know(A)
        self.miss_all()
        later = NOW + SHORTEST_PAUSE
        chosen(A, count=1, now=later)

        tell(Outcome.TAKEN, now=later)

        assert chosen(A, count=100, now=later) == {"a": 100}

    def test_a_worker_that_died_with_the_message_does_not_keep_it_out(self):
        know(A)
        self.miss_all()
        chosen(A, count=1, now=NOW + SHORTEST_PAUSE)

        assert chosen(A, count=5, now=NOW + SHORTEST_PAUSE + timedelta(seconds=15))["a"] == 1

    def test_each_pause_is_as_long_as_it_has_been_down_and_a_minute_at_most(self):
        know(A)
        now, pauses = NOW, []
        self.miss_all()
        for _ in range(5):
            pause = state("a").paused_until - now
            pauses.append(pause // SECOND)
            now += pause
            assert chosen(A, count=1, now=now) == {"a": 1}
            change("a", paused_until=now)  # the probe answers at once
            tell(Outcome.NOT_NOW, now=now)

        assert pauses == [10, 10, 20, 40, LONGEST_PAUSE // SECOND]

    def test_many_workers_that_report_the_same_fall_make_one_pause(self):
        know(A)
        for _ in range(8):
            self.miss_all()

        assert state("a").paused_until == NOW + SHORTEST_PAUSE


@pytest.mark.usefixtures("city")
class TestCounting:
    def test_a_minute_counts_each_kind_of_end(self):
        know(A)
        kinds = [Outcome.TAKEN, Outcome.TAKEN, Outcome.NOT_NOW, Outcome.SILENT, Outcome.REFUSED]
        tell(*kinds, wait_ms=700)
        tell(*kinds, wait_ms=9_000_000, now=NOW + 20 * SECOND)

        with transaction() as session:
            row = session.get_one(CarrierMinute, ("a", NOW))
        assert (row.taken, row.not_now, row.silent, row.refused) == (4, 2, 2, 2)
        assert row.wait_ms == 2 * 700 + 2 * 9_000_000
        assert dict(zip((*WAITS, None), row.waits, strict=True)) == dict.fromkeys(WAITS, 0) | {
            1_000: 2, None: 2,
        }  # fmt: skip

    def test_eight_workers_count_together(self):
        know(A, B)
        both = [Tried(code, "sms", Outcome.TAKEN, 1) for code in "abab"]

        def count(_: int) -> None:
            with transaction() as session:
                count_outcomes(session, both, now=NOW)

        with ThreadPoolExecutor(8) as workers:
            list(workers.map(count, range(80)))

        with transaction() as session:
            rows = [session.get_one(CarrierMinute, (code, NOW)) for code in "ab"]
        assert [row.taken for row in rows] == [160, 160]
        assert [sum(row.waits) for row in rows] == [160, 160]

    def test_nothing_tried_is_nothing_counted(self):
        know(A)
        tell()

        with transaction() as session:
            assert session.get(CarrierMinute, ("a", NOW)) is None
