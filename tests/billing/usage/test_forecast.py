"""The forecast: right about as often as it says, and silent where nobody can tell."""

import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.forecast import Forecast, Point, forecast
from core.clock import add_months

FIRST = date(2024, 1, 1)
# Thousandths of a year's usage by month: electricity each month, gas every second one.
MONTHLY = (100, 85, 70, 60, 62, 80, 125, 130, 90, 62, 60, 76)
BIMONTHLY = (230, 0, 220, 0, 160, 0, 115, 0, 110, 0, 165, 0)


def a_household(chance: random.Random, shares: tuple[int, ...], months: int) -> list[Point]:
    """A home with a season, a trend from year to year, and months that are as they are."""
    year = chance.lognormvariate(9.2, 0.5)
    growth, noise = chance.uniform(0.92, 1.08), chance.uniform(0.03, 0.18)
    points = []
    for at in range(months):
        month = add_months(FIRST, at)
        share = shares[month.month - 1]
        if share:
            moved = growth ** (at / 12) * chance.lognormvariate(0, noise)
            points.append(Point(month, int(year * share / 100 * moved), 30 if all(shares) else 61))
    return points


@pytest.mark.parametrize(
    ("shares", "months"),
    [(MONTHLY, 18), (MONTHLY, 25), (BIMONTHLY, 25)],
    ids=["a year and a half", "two years", "two years of every second month"],
)
def test_the_next_bill_lies_in_the_range_four_times_in_five(shares, months):
    chance, right, told = random.Random(2026), 0, 0
    for _ in range(400):
        *past, next_bill = a_household(chance, shares, months)
        reckoned = forecast(past)
        if reckoned is not None:
            assert reckoned.month == next_bill.month
            told += 1
            right += reckoned.low <= next_bill.value <= reckoned.high

    assert told > 280
    assert right * 5 >= told * 4


def a_year_again(values: list[int], times: int = 2) -> list[Point]:
    return [
        Point(add_months(FIRST, at), value, 30)
        for at, value in enumerate(values * times)
    ]  # fmt: skip


class TestLaws:
    @given(values=st.lists(st.integers(1_000, 10**9), min_size=12, max_size=12))
    def test_the_same_year_again_is_expected_again(self, values):
        reckoned = forecast(a_year_again(values))

        assert reckoned is not None
        assert abs(reckoned.likely - values[0]) <= 1
        assert reckoned.low < reckoned.likely < reckoned.high

    @given(
        values=st.lists(st.integers(0, 10**9), max_size=26),
        days=st.lists(st.integers(0, 70), min_size=26, max_size=26),
        chance=st.randoms(use_true_random=False),
    )
    def test_what_it_says_is_in_order_whole_and_the_same_in_any_order(self, values, days, chance):
        points = [Point(add_months(FIRST, at), value, days[at]) for at, value in enumerate(values)]
        reckoned = forecast(points)
        chance.shuffle(points)

        assert forecast(points) == reckoned
        if reckoned is not None:
            assert 0 <= reckoned.low <= reckoned.likely <= reckoned.high
            assert all(type(one) is int for one in reckoned[1:])

    @given(values=st.lists(st.integers(10_000, 10**6), min_size=12, max_size=12))
    def test_a_thousand_times_as_much_is_a_thousand_times_as_much(self, values):
        small, large = (
            forecast(a_year_again(values)),
            forecast(a_year_again([1_000 * one for one in values])),
        )

        assert small is not None
        assert large is not None
        assert abs(large.likely - 1_000 * small.likely) <= 1_000


class TestSilence:
    def test_of_a_year_nothing_can_be_told(self):
        assert forecast(a_year_again([5_000] * 12, times=1)) is None

    def test_of_nothing_nothing_can_be_told(self):
        assert forecast([]) is None

    def test_of_an_empty_home_nothing_can_be_told(self):
        assert forecast(a_year_again([0] * 12)) is None

    def test_what_jumps_up_and_down_is_not_foretold(self):
        chance = random.Random(1)

        assert forecast(a_year_again([chance.choice([500, 90_000]) for _ in range(24)], 1)) is None

    def test_credits_are_no_usage(self):
        assert forecast(a_year_again([5_000] * 11 + [-5_000])) is None


def test_a_year_of_growth_goes_on():
    points = [Point(add_months(FIRST, at), 10_000 + at * 100, 30) for at in range(24)]

    reckoned = forecast(points)

    assert reckoned is not None
    assert 11_000 < reckoned.likely < 13_000


def test_a_longer_bill_is_expected_where_it_was_longer_a_year_ago():
    points = a_year_again([6_000] * 12)
    points[12] = Point(points[12].month, 12_000, 60)

    assert forecast(points) == Forecast(date(2026, 1, 1), 10_909, 12_000, 13_200, 24)
