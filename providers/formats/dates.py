"""Dates as companies write them, each by a layout that the profile names; never guessed.

A moment is cut to the day it falls on in Shanghai.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, Literal, TypeVar

from core.clock import BILLING_ZONE, billing_date
from core.errors import Invalid

T = TypeVar("T")
DateFormat = Literal[
    "yyyymmdd", "yyyy-mm-dd", "yyyyddd", "yyyymm", "yyyy-mm",
    "yyyy/mm/dd", "yyyy.mm.dd", "dd/mm/yyyy", "mm/dd/yyyy", "dd.mm.yyyy", "dd-mm-yyyy",
    "mm-dd-yyyy", "ddmmyyyy", "mmddyyyy", "dd/mm/yy", "mm/dd/yy", "dd.mm.yy", "dd-mon-yyyy",
    "mon-dd-yyyy", "mon-yyyy",
    "yyyy-m-d", "yyyy-m", "民國yyy/mm/dd", "民國yyy/mm",
    "yyyy年mm月dd日", "yyyy年mm月", "yyyy/mm", "yyyy.mm", "mm/yyyy", "yymmdd", "yymm",
    "datetime", "epoch_seconds", "epoch_milliseconds", "excel", "yyyy", "m", "mm",
]  # fmt: skip
# Layouts that name no day: a month becomes its first day.
MONTHLY: Final = frozenset((
    "yyyymm", "yyyy-mm", "yyyy-m", "民國yyy/mm", "yyyy年mm月", "yyyy/mm", "yyyy.mm", "mm/yyyy",
    "mon-yyyy", "yymm", "m", "mm",
))  # fmt: skip
_EXAMPLES: Final[dict[DateFormat, str]] = {
    "yyyymmdd": "20261101",
    "yyyy-mm-dd": "2026-11-01",
    "yyyyddd": "2026305 (year and day of the year)",
    "yyyymm": "202610",
    "yyyy-mm": "2026-10",
    "yyyy/mm/dd": "2026/11/01 or 2026/11/1",
    "yyyy.mm.dd": "2026.11.01",
    "dd/mm/yyyy": "01/11/2026 (day, then month)",
    "mm/dd/yyyy": "11/01/2026 (month, then day)",
    "dd.mm.yyyy": "01.11.2026 (day, then month)",
    "dd-mm-yyyy": "01-11-2026 (day, then month)",
    "mm-dd-yyyy": "11-01-2026 (month, then day)",
    "ddmmyyyy": "01112026 (day, then month)",
    "mmddyyyy": "11012026 (month, then day)",
    "dd/mm/yy": "01/11/26 (day, then month)",
    "mm/dd/yy": "11/01/26 (month, then day)",
    "dd.mm.yy": "01.11.26 (day, then month)",
    "dd-mon-yyyy": "01-Nov-2026 or 1 November 26",
    "mon-dd-yyyy": "Nov 1, 2026 or November 1 26",
    "mon-yyyy": "Oct-2026 or October 26",
    "yyyy-m-d": "2026-11-1 or 2026-11-01",
    "yyyy-m": "2026-9 or 2026-10",
    "民國yyy/mm/dd": "115/11/01, 1151101 or 115年11月1日 (years since 1911)",
    "民國yyy/mm": "115/10, 11510 or 115年10月 (years since 1911)",
    "yyyy年mm月dd日": "2026年11月1日",
    "yyyy年mm月": "2026年10月",
    "yyyy/mm": "2026/10",
    "yyyy.mm": "2026.10",
    "mm/yyyy": "10/2026",
    "yymmdd": "261101",
    "yymm": "2610",
    "datetime": "2026-11-01 08:30:00 or 2026-11-01T00:30:00Z",
    "epoch_seconds": "1793491200 (seconds since 1970 in UTC)",
    "epoch_milliseconds": "1793491200000 (milliseconds since 1970 in UTC)",
    "excel": "46327 (days as Excel counts them)",
    "yyyy": "2026",
    "m": "9 or 10",
    "mm": "09 or 10",
}
_SEPARATORS = str.maketrans("", "", "-/.年月日")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_THE_REPUBLIC: Final = 1911
_EXCEL_EPOCH: Final = date(1899, 12, 30)
_FIRST_SOUND_SERIAL: Final = 61  # Excel believes in 29 February 1900; from here on it is right
_MOMENT = re.compile(
    r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})"
    r"(?:(?:[ T]+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]{1,9})?)?"
    r"(?: ?(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?(?= [A-Z]|$))(?:(?<=[0-9]) [A-Z]{3,5})?)?)?"
)
_PACKED_MOMENT = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})T?([0-9]{2})([0-9]{2})([0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_TICKS = re.compile(r"/Date\((-?[0-9]{1,14})(?:[+-][0-9]{4})?\)/")  # of .NET
# The months as English names them are told by their first three letters.
_MONTHS: Final = "janfebmaraprmayjunjulaugsepoctnovdec"


def date_reader(layout: DateFormat) -> Callable[[str], date]:
    """Return the converter of dates written as ``layout``; a month becomes its first day.

    Of ``m`` and ``mm`` only the month counts, of ``yyyy`` only the year: they go together.
    """
    return _checked(_READERS[layout], layout)


def moment_reader(layout: DateFormat) -> Callable[[str], tuple[date, datetime | None]]:
    """Return the converter to a day in Shanghai and, where the text has a time of day, its moment.

    A time without an offset is Shanghai's.
    """
    if layout == "datetime":
        return _checked(_exactly, layout)
    if layout in ("epoch_seconds", "epoch_milliseconds"):
        a_second = 1 if layout == "epoch_seconds" else 1000
        return _checked(lambda text: _counted(text, a_second), layout)
    day_of = date_reader(layout)
    return lambda text: (day_of(text), None)


def _checked(read: Callable[[str], T | None], layout: DateFormat) -> Callable[[str], T]:
    """Return what reads a text, or says why it cannot."""

    def convert(text: str) -> T:
        try:
            found = read(text)
        except (ValueError, OverflowError):
            found = None
        if found is None:
            raise Invalid(_complaint(text, layout), code="date.malformed")
        return found

    return convert


def _complaint(text: str, layout: DateFormat) -> str:
    right = f"write {layout}, such as {_EXAMPLES[layout]}"
    shown = repr(text if len(text) <= 32 else text[:32] + "…")
    if not text.strip():
        return f"the date is blank: {right}"
    if not text.isascii() and layout.isascii():
        return f"the date {shown} has characters other than 0-9: {right}"
    if len(text) == len(layout) and text.translate(_SEPARATORS).isdigit():
        return f"there is no date {shown} in the calendar: {right}"
    return f"{shown} is not a date: {right}"


def _digits(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdigit()


def _yyyymmdd(text: str) -> date | None:
    return date(int(text[:4]), int(text[4:6]), int(text[6:])) if _digits(text, 8) else None


def _yyyymm(text: str) -> date | None:
    return date(int(text[:4]), int(text[4:]), 1) if _digits(text, 6) else None


def _yyyyddd(text: str) -> date | None:
    if not _digits(text, 7) or text[4:] == "000":
        return None
    day = date(int(text[:4]), 1, 1) + timedelta(days=int(text[4:]) - 1)
    return day if day.year == int(text[:4]) else None


def _dashed_day(text: str) -> date | None:
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        return None
    return _yyyymmdd(text[:4] + text[5:7] + text[8:])


def _dashed_month(text: str) -> date | None:
    return _yyyymm(text[:4] + text[5:]) if len(text) == 7 and text[4] == "-" else None


def _yymmdd(text: str) -> date | None:
    return _yyyymmdd(f"20{text}") if len(text) == 6 else None


def _yymm(text: str) -> date | None:
    return _yyyymm(f"20{text}") if len(text) == 4 else None


def _parted(pattern: str) -> Callable[[str], date | None]:
    """Return the reader of a pattern whose groups are called y, m and d."""
    matches = re.compile(pattern).fullmatch

    def read(text: str) -> date | None:
        match = matches(text)
        if match is None:
            return None
        parts = match.groupdict()
        month = parts.get("m", "1")
        figure = int(month) if month.isdecimal() else _MONTHS.index(month[:3].lower()) // 3 + 1
        year = parts.get("y", "4")
        return date(int(f"20{year}" if len(year) == 2 else year), figure, int(parts.get("d", "1")))

    return read


def _of_the_republic(pattern: str) -> Callable[[str], date | None]:
    """Return the reader of a year of three figures, counted from 1911, and of what follows it."""
    matches = re.compile(f"(?:民[國国] ?)?(1[0-9]{{2}}){pattern}").fullmatch

    def read(text: str) -> date | None:
        match = matches(text)
        if match is None:
            return None
        year, month, *day = (int(part) for part in match.groups() if part is not None)
        return date(year + _BEFORE_THE_REPUBLIC, month, *(day or [1]))

    return read


_Y, _M, _D = "(?P<y>[0-9]{4})", "(?P<m>[0-9]{1,2})", "(?P<d>[0-9]{1,2})"
_SHORT_Y, _ANY_Y = "(?P<y>[0-9]{2})", "(?P<y>[0-9]{4}|[0-9]{2})"
_NAME = (
    "(?P<m>(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))\.?"
)
_WEEKDAY = "(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}[,.]{0,2} +)?"
_ZONE: Final = "(?:Z|[+-][0-9]{2}:[0-9]{2})"  # of a date of XML Schema: the day that is written
# A time of day behind a day that is no moment: the writer's own clock, so the day stays.
_TIME: Final = (
    "(?:[ T]+(?:[上下]午 ?)?(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,9})?)?"
    "(?: ?[AaPp][Mm])?)?"
)


def _moment(text: str) -> date | None:
    found = _local(text)
    return None if found is None else found[0].date()


def _exactly(text: str) -> tuple[date, datetime | None] | None:
    found = _local(text)
    if found is None:
        return None
    moment, is_timed = found
    return moment.date(), moment.astimezone(UTC) if is_timed else None


def _local(text: str) -> tuple[datetime, bool] | None:
    """Return a moment in Shanghai's time, and whether the text has a time of day at all."""
    match = _MOMENT.fullmatch(text)
    if match is not None:
        year, _, month, day, hour, minute, second, offset = match.groups()
    elif (packed := _PACKED_MOMENT.fullmatch(text)) is not None:
        year, month, day, hour, minute, second, offset = packed.groups()
    elif (ticks := _TICKS.fullmatch(text)) is not None:
        moment = _EPOCH + timedelta(milliseconds=int(ticks[1]))
        return moment.astimezone(BILLING_ZONE), True
    else:
        return None
    moment = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
        tzinfo=_zone(offset) if offset else BILLING_ZONE,
    )  # fmt: skip
    return moment.astimezone(BILLING_ZONE), hour is not None


def _zone(offset: str) -> timezone:
    if offset in ("Z", "UTC", "GMT"):
        return UTC
    figures = offset[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(figures[:2]), minutes=int(figures[2:]))
    return timezone(-ahead if offset[0] == "-" else ahead)


def _epoch(text: str, *, a_second: int) -> date | None:
    found = _counted(text, a_second)
    return None if found is None else found[0]


def _counted(text: str, a_second: int) -> tuple[date, datetime] | None:
    counted = re.fullmatch(r"(-?[0-9]{1,14})(?:\.[0-9]{1,9})?", text)
    if counted is None:
        return None
    moment = _EPOCH + timedelta(seconds=int(counted[1]) // a_second)
    return billing_date(moment), moment


def _excel(text: str) -> date | None:
    match = re.fullmatch(r"([0-9]{2,7})(?:\.[0-9]+)?", text)
    if match is None or int(match.group(1)) < _FIRST_SOUND_SERIAL:
        return None
    return _EXCEL_EPOCH + timedelta(days=int(match.group(1)))


_READERS: Final[dict[DateFormat, Callable[[str], date | None]]] = {
    "yyyymmdd": _yyyymmdd,
    "yyyy-mm-dd": _dashed_day,
    "yyyyddd": _yyyyddd,
    "yyyymm": _yyyymm,
    "yyyy-mm": _dashed_month,
    "yyyy/mm/dd": _parted(f"{_Y}/{_M}/{_D}{_TIME}"),
    "yyyy.mm.dd": _parted(rf"{_Y}\.{_M}\.{_D}{_TIME}"),
    "dd/mm/yyyy": _parted(f"{_D}/{_M}/{_Y}{_TIME}"),
    "mm/dd/yyyy": _parted(f"{_M}/{_D}/{_Y}{_TIME}"),
    "dd.mm.yyyy": _parted(rf"{_D}\. ?{_M}\. ?{_Y}{_TIME}"),
    "dd-mm-yyyy": _parted(f"{_D}-{_M}-{_Y}{_TIME}"),
    "mm-dd-yyyy": _parted(f"{_M}-{_D}-{_Y}{_TIME}"),
    "ddmmyyyy": _parted("(?P<d>[0-9]{2})(?P<m>[0-9]{2})(?P<y>[0-9]{4})"),
    "mmddyyyy": _parted("(?P<m>[0-9]{2})(?P<d>[0-9]{2})(?P<y>[0-9]{4})"),
    "dd/mm/yy": _parted(f"{_D}/{_M}/{_SHORT_Y}{_TIME}"),
    "mm/dd/yy": _parted(f"{_M}/{_D}/{_SHORT_Y}{_TIME}"),
    "dd.mm.yy": _parted(rf"{_D}\.{_M}\.{_SHORT_Y}{_TIME}"),
    "dd-mon-yyyy": _parted(f"{_WEEKDAY}{_D}[-/ .]?{_NAME}[-/ ,]*{_ANY_Y}{_TIME}"),
    "mon-dd-yyyy": _parted(f"{_WEEKDAY}{_NAME}[-/ ]{{1,2}}{_D}[-/ ,]+{_ANY_Y}{_TIME}"),
    "mon-yyyy": _parted(f"{_NAME}[-/ ,]*{_ANY_Y}"),
    "yyyy-m-d": _parted(f"{_Y}-{_M}-{_D}(?:{_ZONE}|{_TIME})"),
    "yyyy-m": _parted(f"{_Y}-{_M}"),
    "民國yyy/mm/dd": _of_the_republic(
        f"(?:([0-9]{{2}})([0-9]{{2}})|[-/.年] ?([0-9]{{1,2}})[-/.月] ?([0-9]{{1,2}})日?){_TIME}"
    ),
    "民國yyy/mm": _of_the_republic("(?:([0-9]{2})|[-/.年] ?([0-9]{1,2})(?:月份?)?)"),
    "yyyy年mm月dd日": _parted(f"{_Y}年 ?{_M}月 ?{_D}日{_TIME}"),
    "yyyy年mm月": _parted(f"{_Y}年 ?{_M}月份?"),
    "yyyy/mm": _parted(f"{_Y}/{_M}"),
    "yyyy.mm": _parted(rf"{_Y}\.{_M}"),
    "mm/yyyy": _parted(f"{_M}[-/.]{_Y}"),
    "yymmdd": _yymmdd,
    "yymm": _yymm,
    "datetime": _moment,
    "epoch_seconds": lambda text: _epoch(text, a_second=1),
    "epoch_milliseconds": lambda text: _epoch(text, a_second=1000),
    "excel": _excel,
    "yyyy": _parted(_Y),
    "m": _parted(_M),
    "mm": _parted("(?P<m>[0-9]{2})"),
}
