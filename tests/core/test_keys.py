"""Keys that know their month."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import add_months
from core.key_columns import named_keys
from core.keys import month_key, month_of, month_range, named_key

DAYS = st.dates(date(2000, 1, 1), date(2341, 4, 30))
LOWS = st.integers(0, (1 << 51) - 1)


@given(DAYS, LOWS)
def test_a_key_gives_its_month_back(day, low):
    assert month_of(month_key(day, low)) == day.replace(day=1)


@given(DAYS, LOWS)
def test_a_key_is_a_positive_bigint(day, low):
    assert 0 <= month_key(day, low) < 1 << 63


@given(DAYS, DAYS, LOWS, LOWS)
def test_keys_are_ordered_by_month_before_all_else(one, other, low, high):
    first, second = month_key(one, low), month_key(other, high)

    if one.replace(day=1) != other.replace(day=1):
        assert (first < second) == (one < other)


@given(DAYS, LOWS, LOWS)
def test_rows_of_one_month_are_told_apart(day, low, high):
    assert (month_key(day, low) == month_key(day, high)) == (low == high)


@given(DAYS, st.text())
def test_a_named_key_lies_in_its_months_range_and_is_always_the_same(day, name):
    first, after = month_range(day)

    assert first <= named_key(day, name) < after
    assert named_key(day, name) == named_key(day.replace(day=1), name)


def test_a_named_key_is_the_same_on_any_machine():
    assert named_key(date(2026, 10, 1), "W202610000001") == 723_999_643_831_037_613


def test_the_same_name_has_another_key_in_another_month():
    assert named_key(date(2026, 10, 1), "W1") != named_key(date(2026, 11, 1), "W1")


@given(st.dates(date(2000, 1, 1), date(2341, 3, 31)))
def test_the_ranges_of_two_months_in_a_row_adjoin(day):
    assert month_range(day)[1] == month_range(add_months(day, 1))[0]


@pytest.mark.parametrize(
    ("day", "low"),
    [
        (date(1999, 12, 31), 0), (date(2341, 5, 1), 0), (date(2026, 1, 1), -1),
        (date(2026, 1, 1), 1 << 51),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_not_wrapped_around(day, low):
    with pytest.raises(AssertionError):
        month_key(day, low)


@given(DAYS, st.lists(st.text()))
def test_a_column_of_names_has_the_keys_of_its_names(day, names):
    column = pl.Series(names, dtype=pl.String).cast(pl.Binary)

    assert named_keys(day, column).to_list() == [named_key(day, name) for name in names]
