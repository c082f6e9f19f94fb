"""What the next bill will come to: the same season before, times how things have moved since.

Everything is reckoned a day, in whole millionths, from past months alone. How wide the answer is
comes from how far the same reckoning was off in the account's own past; where that is too far, or
too few months are known, there is no answer.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from statistics import median_low
from typing import Final, NamedTuple

from core.clock import add_months

_MILLION: Final = 10**6
_TREND_BILLS: Final = 12
_LEAST_RATIOS: Final = 2
_LEAST_PAST: Final = 3  # reckonings of the past to learn from how far they were off
_TREND: Final = (500_000, 2_000_000)  # a household hardly halves or doubles from year to year
_LEAST_MARGIN: Final = 1_100_000
_MOST_MARGIN: Final = 1_600_000  # beyond, the answer would tell nothing
_COVERED: Final = (81, 100)  # of misses, by the answer's width: a little more than four in five


class Point(NamedTuple):
    """A month's value (fen, or thousandths of a unit) and the days it covers."""

    month: date
    value: int
    days: int


class Forecast(NamedTuple):
    """The next bill: most likely between ``low`` and ``high``, reckoned from ``bills`` bills."""

    month: date
    low: int
    likely: int
    high: int
    bills: int


def forecast(points: Sequence[Point]) -> Forecast | None:
    """Reckon the next bill from an account's months, in any order; None: nobody can tell."""
    known = sorted(one for one in points if one.days > 0)
    if len(known) < _LEAST_PAST or any(one.value < 0 for one in known):
        return None
    a_day = {one.month: one.value * _MILLION // one.days for one in known}
    month = _next_month([one.month for one in known])
    reckoned = _reckon(a_day, month)
    margin = _margin(a_day)
    if not reckoned or margin is None or margin > _MOST_MARGIN:
        return None
    days = _days_like(known, month)
    low, likely, high = (
        _over_days(value, days)
        for value in (reckoned * _MILLION // margin, reckoned, reckoned * margin // _MILLION)
    )
    return Forecast(month, low, likely, high, len(known)) if likely else None


def _over_days(a_day: int, days: int) -> int:
    return (a_day * days + _MILLION // 2) // _MILLION


def _next_month(months: Sequence[date]) -> date:
    """Return the month after the last one, in the cycle the last ones have."""
    gaps = [_index(after) - _index(before) for before, after in pairwise(months[-5:])]
    return add_months(months[-1], median_low(gaps))


def _index(month: date) -> int:
    return month.year * 12 + month.month


def _days_like(known: Sequence[Point], month: date) -> int:
    """Return how many days the bill will cover: as a year before, else as the last one."""
    season = next((one for one in known if one.month == add_months(month, -12)), known[-1])
    return season.days


def _reckon(a_day: Mapping[date, int], month: date) -> int | None:
    """Return a month's likely value a day from the months before it; None: too little is known."""
    last, before = a_day.get(add_months(month, -12)), a_day.get(add_months(month, -24))
    ratios = [
        value * _MILLION // year_ago
        for one, value in sorted(a_day.items())
        if one < month and value > 0 and (year_ago := a_day.get(add_months(one, -12), 0)) > 0
    ][-_TREND_BILLS:]
    if len(ratios) < _LEAST_RATIOS or not last:
        return None
    least, most = _TREND
    trend = min(max(_median(ratios), least), most)
    moved = last * trend // _MILLION
    if not before:
        return moved
    return _median([moved, before * trend // _MILLION * trend // _MILLION])


def _median(values: Sequence[int]) -> int:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


def _margin(a_day: Mapping[date, int]) -> int | None:
    """Return by how much, as a factor, past reckonings were off; None: too few to say."""
    misses = sorted(
        max(value * _MILLION // was, was * _MILLION // value)
        for month, value in a_day.items()
        if value > 0 and (was := _reckon(a_day, month))
    )
    if len(misses) < _LEAST_PAST:
        return None
    covered, of = _COVERED
    wanted = (covered * (len(misses) + 1) + of - 1) // of
    if wanted <= len(misses):
        return max(misses[wanted - 1], _LEAST_MARGIN)
    # Fewer than it takes to know: a quarter beyond the farthest seen.
    return max(misses[-1] + (misses[-1] - _MILLION) // 4, _LEAST_MARGIN)
