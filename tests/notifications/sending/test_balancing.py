"""Weight moves from a carrier that fails or is slow to one that is well, and back again."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.db import transaction
from notifications.sending.balancing import POINTS, Standing, balance, weigh
from notifications.sending.carriers import Outcome, Tried, choose, count_outcomes, ensure_known
from notifications.sending.models import CarrierMinute, CarrierState
from tests.conftest import NOW
from tests.notifications.sending.test_carriers import A, B, change, know

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def standing(code="a", **changes):
    return Standing(**{"code": code, "weight": 51, "resting_weight": 51} | changes)


def b(**changes):
    return standing("b", **{"weight": 49, "resting_weight": 49} | changes)


def moved(*carriers, now=NOW):
    return {move.code: move.weight for move in weigh(carriers, now=now)}


class TestErrors:
    def test_more_than_fifty_in_a_minute_cost_ten_points(self):
        assert moved(standing(errors=50), b()) == {}
        assert moved(standing(errors=51), b()) == {"a": 41, "b": 59}

    def test_once_a_minute_at_most(self):
        just_now = NOW + 30 * SECOND

        assert moved(standing(errors=51, shifted_at=NOW), b(), now=just_now) == {}
        assert moved(standing(errors=51, shifted_at=NOW), b(), now=NOW + MINUTE)

    def test_a_carrier_alone_keeps_its_weight(self):
        assert moved(standing(errors=500)) == {}

    def test_nothing_moves_when_all_fail(self):
        assert moved(standing(errors=51), b(errors=51)) == {}

    def test_nothing_goes_to_one_that_is_stopped(self):
        assert moved(standing(errors=51), b(stopped=True)) == {}

    def test_nobody_gets_below_nought(self):
        assert moved(standing(errors=51, weight=4), b(weight=96)) == {"a": 0, "b": 100}
        empty = standing(errors=51, weight=0, shifted_at=NOW - MINUTE)
        assert moved(empty, b(weight=100)) == {}

    def test_of_three_the_strongest_that_is_well_takes_over(self):
        third = standing("c", weight=30, resting_weight=30)

        assert moved(standing(errors=99), b(), third) == {"a": 41, "b": 59}
        assert moved(standing(errors=99), b(errors=99), third) == {"a": 41, "b": 39, "c": 50}


class TestSlowness:
    def test_n_6_fifteen_in_a_hundred_late_cost_ten_points(self):
        assert moved(standing(late=14, taken=100), b(taken=100)) == {}
        assert moved(standing(late=15, taken=100), b(taken=100)) == {"a": 41, "b": 59}

    def test_n_6_nothing_moves_when_all_are_slow(self):
        assert moved(standing(late=20, taken=100), b(late=90, taken=100)) == {}

    def test_every_five_minutes_at_most(self):
        slow = standing(late=20, taken=100, shifted_at=NOW)

        assert moved(slow, b(), now=NOW + 4 * MINUTE) == {}
        assert moved(slow, b(), now=NOW + 5 * MINUTE) == {"a": 41, "b": 59}

    def test_a_handful_of_messages_proves_nothing(self):
        assert moved(standing(late=19, taken=19), b(taken=100)) == {}

    def test_errors_do_not_wait_for_the_five_minutes(self):
        assert moved(standing(errors=51, shifted_at=NOW), b(), now=NOW + 2 * MINUTE)


class TestEasing:
    def test_weights_come_back_by_ten_after_a_quarter_of_an_hour(self):
        away = standing(weight=21, shifted_at=NOW)
        other = standing("b", weight=79, resting_weight=49)

        assert moved(away, other, now=NOW + 14 * MINUTE) == {}
        assert moved(away, other, now=NOW + 15 * MINUTE) == {"a": 31, "b": 69}

    def test_and_go_on_every_five_minutes_to_where_they_rest_and_no_further(self):
        now = NOW + 20 * MINUTE

        assert moved(standing(weight=45, eased_at=now - 4 * MINUTE), now=now) == {}
        assert moved(standing(weight=45, eased_at=now - 5 * MINUTE), now=now) == {"a": 51}
        assert moved(standing(weight=51), now=now) == {}

    @given(
        weights=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1,
                         max_size=5),
        bad=st.sets(st.integers(0, 4)), data=st.data(),
    )  # fmt: skip
    def test_whatever_happens_weights_stay_weights(self, weights, bad, data):
        carriers = [
            standing(str(at), weight=weight, resting_weight=rest,
                     errors=data.draw(st.sampled_from([0, 51])) if at in bad else 0)
            for at, (weight, rest) in enumerate(weights)
        ]  # fmt: skip

        found = moved(*carriers)

        assert all(0 <= weight <= 100 for weight in found.values())
        assert all(
            abs(found.get(one.code, one.weight) - one.weight) <= POINTS * len(carriers)
            for one in carriers
        )


class City:
    """Twenty messages a second over two carriers, in a time of our own."""

    def __init__(self, fails):
        self.fails, self.now, self.waiting = fails, NOW, 0
        self.draw = random.Random(7)
        self.asked: list[tuple[int, str]] = []  # the second, and who
        self.made = self.taken = 0

    @property
    def second(self):
        return (self.now - NOW) // SECOND

    def run(self, until, *, step=SECOND, a_second=20):
        while self.now < until:
            fresh = a_second * (step // SECOND)
            self.made, self.waiting = self.made + fresh, self.waiting + fresh
            self._send()
            if self.now.second < step // SECOND:
                with transaction() as session:
                    balance(session, now=self.now)
            self.now += step

    def _send(self):
        with transaction() as session:
            chosen = choose(session, [A, B], count=self.waiting, now=self.now, draw=self.draw)
        tried = [
            Tried(one.code, "sms", self.fails(one.code, self), 10) for one in chosen if one
        ]  # fmt: skip
        with transaction() as session:
            count_outcomes(session, tried, now=self.now)
        self.asked += [(self.second, one.code) for one in tried]
        took = sum(one.outcome is Outcome.TAKEN for one in tried)
        self.taken, self.waiting = self.taken + took, self.waiting - took

    def share_of_a(self, first, last):
        asked = [code for second, code in self.asked if first <= second < last]
        return asked.count("a") * 100 // len(asked)

    def weights(self):
        with transaction() as session:
            return [session.get_one(CarrierState, code).weight for code in "ab"]


def away_for(seconds):
    def fails(code, city):
        down = code == "a" and city.second < seconds
        return Outcome.NOT_NOW if down else Outcome.TAKEN

    return fails


@pytest.mark.usefixtures("city")
class TestTogether:
    def test_n_5_a_carrier_that_is_down_is_left_within_a_minute_and_nothing_is_lost(self):
        with transaction() as session:
            ensure_known(session, [A, B], {"a": 51, "b": 49})
        city = City(away_for(120))

        city.run(NOW + 120 * SECOND)

        assert city.share_of_a(1, 60) < 10
        assert city.share_of_a(60, 120) < 1
        city.run(NOW + 240 * SECOND)
        assert city.share_of_a(200, 240) > 30  # back a minute after it came back
        assert (city.taken, city.waiting) == (city.made, 0)
        city.run(NOW + 32 * MINUTE, step=30 * SECOND, a_second=1)
        assert city.weights() == [51, 49]

    def test_n_5_one_that_fails_half_the_time_loses_its_part_minute_by_minute(self):
        with transaction() as session:
            ensure_known(session, [A, B], {"a": 51, "b": 49})

        def fails(code, city):
            down = code == "a" and city.second < 300 and city.draw.random() < 0.5
            return Outcome.NOT_NOW if down else Outcome.TAKEN

        city = City(fails)
        city.run(NOW + 301 * SECOND)
        assert city.weights()[0] <= 11
        assert city.share_of_a(241, 300) < 25

        city.run(NOW + 5 * MINUTE + 45 * MINUTE, step=30 * SECOND, a_second=1)
        assert city.weights() == [51, 49]

    def test_n_6_a_carrier_whose_messages_come_late_loses_weight_at_the_second_look(self):
        know(A, B)
        self.told("a", late_percent=20)
        self.told("b", late_percent=0)

        found = [self.look(NOW + at * MINUTE) for at in (0, 1)]

        assert {"a": 40, "b": 60} in found

    def test_n_6_two_that_are_both_slow_keep_their_weights(self):
        know(A, B)
        self.told("a", late_percent=20)
        self.told("b", late_percent=30)

        assert self.look(NOW) == self.look(NOW + MINUTE) == {}

    def test_what_nobody_has_heard_of_is_late_too(self):
        know(A, B)
        self.told("a", late_percent=0, unheard_percent=20)
        self.told("b", late_percent=0)

        assert self.look(NOW) == {"a": 40, "b": 60}

    def test_what_was_sent_a_moment_ago_is_not_late_yet(self):
        know(A, B)
        self.told("a", late_percent=0, unheard_percent=100, first=5)
        self.told("b", late_percent=0)

        assert self.look(NOW) == {}

    def test_a_carrier_that_never_sends_receipts_is_not_slow(self):
        know(A, B)
        self.told("a", late_percent=0, unheard_percent=100)
        self.told("b", late_percent=0)

        assert self.look(NOW) == {}

    def test_the_errors_of_a_minute_count_once(self):
        know(A, B)
        with transaction() as session:
            count_outcomes(session, [Tried("a", "sms", Outcome.NOT_NOW)] * 51, now=NOW)
        change("a", misses=0)

        assert self.look(NOW + 59 * SECOND) == {}  # the minute is not over
        assert self.look(NOW + 65 * SECOND) == {"a": 40, "b": 60}
        assert self.look(NOW + 119 * SECOND) == {}
        assert self.look(NOW + 125 * SECOND) == {}

    def told(self, code, *, late_percent, unheard_percent=0, first=14):
        """Twenty messages in each of the minutes before now, and what became of them."""
        with transaction() as session:
            for back in range(1, first + 1):
                slow, heard = late_percent // 5, 20 - unheard_percent // 5
                session.add(CarrierMinute(
                    code=code, minute_at=NOW - back * MINUTE, channel="sms", taken=20,
                    delivered=heard, slow=slow, waits=[],
                ))  # fmt: skip

    def look(self, now):
        with transaction() as session:
            return {move.code: move.weight for move in balance(session, now=now)}
