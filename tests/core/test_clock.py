"""Days are the city's, moments are UTC's."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import add_months, billing_date, day_bounds, month_start, utc_now

DAYS = st.dates(date(1992, 1, 1), date(2100, 12, 31))


def test_now_is_aware_and_in_utc():
    assert utc_now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 20, 15, 59, 59, 999_999, tzinfo=UTC), date(2026, 11, 20)),
        (datetime(2026, 11, 20, 16, 0, tzinfo=UTC), date(2026, 11, 21)),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2026, 11, 20, 12, 0, tzinfo=timezone(timedelta(hours=-9))), date(2026, 11, 21)),
    ],
)
def test_a_moment_falls_on_the_citys_day(moment, day):  # rule 23
    assert billing_date(moment) == day


def test_a_naive_moment_has_no_day():
    with pytest.raises(AssertionError):
        billing_date(datetime(2026, 11, 20))  # noqa: DTZ001


@given(DAYS)
def test_a_day_begins_where_the_one_before_ends_and_owns_exactly_its_moments(day):
    start, end = day_bounds(day)

    assert end - start == timedelta(hours=24)
    assert end == day_bounds(day + timedelta(days=1))[0]
    assert (billing_date(start), billing_date(end - timedelta(microseconds=1))) == (day, day)
    assert billing_date(start - timedelta(microseconds=1)) == day - timedelta(days=1)


@given(DAYS, st.integers(-600, 600))
def test_months_are_added_and_taken_back(day, count):
    there = add_months(day, count)

    assert there.day == 1
    assert add_months(there, -count) == month_start(day)


def test_a_month_after_january_31st_is_february():
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 1)
    assert add_months(date(2026, 12, 1), 1) == date(2027, 1, 1)
    assert add_months(date(2026, 1, 1), -1) == date(2025, 12, 1)
