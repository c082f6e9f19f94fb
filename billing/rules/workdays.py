"""Which days people work: public holidays with the make-up days that swap with them.

Pure: what is known comes with the library ``holidays``, and no clock is read. A calendar is the two
capital letters of a country: ``CN`` knows that Saturday 2026-02-14 was worked so that Friday the
20th was off. Such swaps are published a year at a time; ``known_through`` says how far.
"""

import re
from calendar import monthrange
from datetime import date, timedelta
from functools import lru_cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when a day is asked about: most commands never do
    from holidays import HolidayBase

_COUNTRY = re.compile(r"[A-Z]{2}")
_DAY = timedelta(days=1)
_SATURDAY = 5
_IN_BRACKETS = re.compile(r"\s*[(（].*")


def check_calendar(name: str) -> str | None:
    """Return what is wrong with a calendar's name; nothing is: None."""
    remedy = "write the two capital letters of a country whose holidays are known: CN"
    if _COUNTRY.fullmatch(name) is None:
        return f"there is no calendar {name[:32]!r}: {remedy}"
    try:
        _year(name, 2000)
    except NotImplementedError:
        return f"there is no calendar {name!r}: {remedy}"
    return None


@lru_cache(maxsize=1024)
def _year(calendar: str, year: int, language: str | None = None) -> "HolidayBase":
    """Return a year of a calendar, complete and never changed again, so that threads may share it.

    Left alone, the library fills a calendar in while it is read.
    """
    made = resolve_name("holidays:country_holidays")
    found: HolidayBase = made(calendar, years=year, expand=False, language=language)
    return found


def is_working_day(calendar: str, day: date) -> bool:
    """Tell whether people work that day: make-up Saturdays they do, bridged Mondays they do not."""
    return _year(calendar, day.year).is_working_day(day)


def is_marked(calendar: str, day: date) -> bool:
    """Tell whether a day is not what its weekday is: off on a weekday, or worked on a weekend."""
    return is_working_day(calendar, day) != (day.weekday() < _SATURDAY)


def holiday_name(calendar: str, day: date, language: str) -> str:
    """Return what a holiday is called; "" of other days, and without what swapped with it.

    Args:
        language: as ``zh_CN``; where the calendar is not kept in it, in that of its country.
    """
    named: str = _year(calendar, day.year, language).get(day, "")
    return _IN_BRACKETS.sub("", named)


def next_working_day(calendar: str, day: date) -> date:
    """Return the day itself if it is a working day, else the first one after it."""
    while not is_working_day(calendar, day):
        day += _DAY
    return day


def add_working_days(calendar: str, day: date, count: int) -> date:
    """Return the working day that is ``count`` of them after ``day``; of 0, ``day`` as it is."""
    assert count >= 0, count
    for _ in range(count):
        day = next_working_day(calendar, day + _DAY)
    return day


def last_working_day_of_month(calendar: str, day: date) -> date:
    """Return the last working day of the month that ``day`` lies in."""
    last = day.replace(day=monthrange(day.year, day.month)[1])
    while not is_working_day(calendar, last):
        last -= _DAY
    return last


@lru_cache(maxsize=64)
def known_through(calendar: str) -> date:
    """Return the last day of the last year whose working days are certain.

    Where days off are swapped with weekends, that is the last year whose list the library carries:
    later years have their holidays, but not yet the swaps. Elsewhere the holidays are law, and it
    is the last year that the library reckons.
    """
    known = _year(calendar, 2000)
    lists: dict[int, object] = getattr(known, "special_public_holidays", {})
    swaps = known.has_substituted_holidays and lists
    return date(max(lists) if swaps else known.end_year, 12, 31)
