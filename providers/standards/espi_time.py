"""ESPI's local time: which day it is at a place that says its offsets and its rules in bits."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from core.errors import Invalid
from providers.formats.cells import shown
from providers.standards.xml_guard import Element, text

_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = 86_400
EARLIEST, LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100
_FURTHEST: Final = 18 * 3_600  # no clock on earth differs more from UTC
_ON_THE_DAY, _ON_OR_AFTER, _FIRST, _LAST = 0, 1, 2, 7


class LocalTime(NamedTuple):
    """``LocalTimeParameters``; a rule of None is a place without summer time."""

    offset: int  # seconds
    dst_offset: int = 0
    dst_starts: int | None = None
    dst_ends: int | None = None

    def day(self, moment: int) -> date:
        """Return the local day of a moment in seconds since 1970."""
        local = moment + self.offset
        if self._is_summer(local):
            local += self.dst_offset
        return _EPOCH + timedelta(days=local // _DAY)

    def days(self, start: int, end: int) -> tuple[date, date]:
        """Return the first and the last day of a period that ends before the moment ``end``.

        A writer that has days only and no clock gives midnights of UTC. By the clock of the place
        these lie within a day, which two periods would share.
        """
        if not start % _DAY and not end % _DAY and (start + self.offset) % _DAY:
            return UTC.day(start), UTC.day(end - 1)
        return self.day(start), self.day(end - 1)

    def _is_summer(self, local: int) -> bool:
        if self.dst_starts is None or self.dst_ends is None or not self.dst_offset:
            return False
        year = (_EPOCH + timedelta(days=local // _DAY)).year
        starts, ends = _moment(self.dst_starts, year), _moment(self.dst_ends, year)
        if starts is None or ends is None:
            return False
        ends -= self.dst_offset  # the clock that strikes the end is the summer clock
        if starts < ends:
            return starts <= local < ends
        return not ends <= local < starts  # south of the equator


UTC: Final = LocalTime(0)
SHANGHAI: Final = LocalTime(8 * 3_600)
_HOURS: Final = 2 * 3_600  # what summer time makes a period longer or shorter, at most


def days_anywhere(start: int, end: int) -> tuple[date, date]:
    """Return the first and the last day of a period of a place that says no clock.

    It is taken for Shanghai's. A period of whole days that begins at midnight of another place has
    as many days as it lasts, or it would share its last with the next.
    """
    first, last = SHANGHAI.days(start, end)
    count = (end - start + _DAY // 2) // _DAY
    elsewhere = start % _DAY and (start + SHANGHAI.offset) % _DAY
    if elsewhere and count and abs(end - start - count * _DAY) <= _HOURS:
        last = first + timedelta(days=count - 1)
    return first, last


def read_local_time(element: Element) -> LocalTime | None:
    """Read a ``LocalTimeParameters``; None where it does not say an offset a clock can have."""
    try:
        offset = read_seconds(text(element, "tzOffset"))
        dst_offset = read_seconds(text(element, "dstOffset") or "0")
    except Invalid:
        return None
    if abs(offset) > _FURTHEST or not 0 <= dst_offset <= _FURTHEST:
        return None
    rules = [_read_rule(text(element, name)) for name in ("dstStartRule", "dstEndRule")]
    return LocalTime(offset, dst_offset, *rules)


def read_seconds(words: str) -> int:
    """Read a whole number of seconds.

    Raises:
        Invalid: anything else; a fraction and an empty element among it.
    """
    digits = words.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
        raise Invalid(f"{shown(words)} is not a whole number of seconds: write digits 0-9")
    return int(words)


def _read_rule(words: str) -> int | None:
    try:
        rule = int(words, 16)
    except ValueError:
        return None
    return rule if 0 <= rule < 2**32 else None


@lru_cache(maxsize=1024)
def _moment(rule: int, year: int) -> int | None:
    """Return when a rule strikes in a year, in seconds since 1970 by its own clock; None if never.

    Bits, from the lowest: 12 seconds, 5 hours, 3 day of the week (Monday is 1), 5 day of the month,
    3 operator, 4 month.
    """
    seconds, hours, weekday = rule & 0xFFF, rule >> 12 & 0x1F, rule >> 17 & 7
    day_of_month, operator, month = rule >> 20 & 0x1F, rule >> 25 & 7, rule >> 28
    try:
        if operator == _ON_THE_DAY:
            day = date(year, month, day_of_month)
        elif not weekday:
            return None
        elif operator == _ON_OR_AFTER:
            day = _on_or_after(date(year, month, day_of_month), weekday)
        elif operator == _LAST:
            day = _on_or_after(date(year, month, 22), weekday)
            while (day + timedelta(days=7)).month == month:
                day += timedelta(days=7)
        else:
            day = _on_or_after(date(year, month, 1), weekday)
            day += timedelta(days=7 * (operator - _FIRST))
    except (ValueError, OverflowError):
        return None
    return (day - _EPOCH).days * _DAY + hours * 3_600 + seconds


def _on_or_after(day: date, weekday: int) -> date:
    return day + timedelta(days=(weekday - day.isoweekday()) % 7)
