"""A calendar as a file that phones and desks take in: iCalendar, RFC 5545.

Only whole days are written, so no zone is needed. Text is escaped (3.3.11) and lines are folded at
75 octets, never within a character (3.1).
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

_LINE: Final = 75  # octets, the line's end not among them
_ESCAPED: Final = str.maketrans(
    {"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n", "\r": None}
)  # fmt: skip


class Event(NamedTuple):
    """A thing of one day. The same ``uid`` taken in again replaces it; ``remind``: the day before.

    ``words`` are more about it; ``url`` leads to it.
    """

    uid: str
    on: date
    title: str
    words: str = ""
    url: str = ""
    remind: bool = False


def write_calendar(
    name: str, events: Iterable[Event], *, now: datetime, again_hours: int | None = None
) -> str:
    """Return a calendar of this name with these events, as its file's text.

    Args:
        again_hours: after which a program that subscribes to it may look again (RFC 7986, 5.7).
    """
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//CityBill//Household calendar//EN",
        "CALSCALE:GREGORIAN", "METHOD:PUBLISH", f"X-WR-CALNAME:{_text(name)}",
    ]  # fmt: skip
    if again_hours is not None:
        lines += [
            f"REFRESH-INTERVAL;VALUE=DURATION:PT{again_hours}H", f"X-PUBLISHED-TTL:PT{again_hours}H"
        ]  # fmt: skip
    for event in events:
        lines += _event(event, now=now)
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _event(event: Event, *, now: datetime) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{_text(event.uid)}"
    yield f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    yield f"DTSTART;VALUE=DATE:{event.on:%Y%m%d}"
    yield f"DTEND;VALUE=DATE:{event.on + timedelta(days=1):%Y%m%d}"
    yield f"SUMMARY:{_text(event.title)}"
    if event.words:
        yield f"DESCRIPTION:{_text(event.words)}"
    if event.url:
        yield f"URL:{event.url}"
    yield "TRANSP:TRANSPARENT"
    if event.remind:
        yield from ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{_text(event.title)}")
        yield from ("TRIGGER:-PT15H", "END:VALARM")  # at nine in the morning
    yield "END:VEVENT"


def _text(words: str) -> str:
    return "".join(one for one in words if one >= " " or one == "\n").translate(_ESCAPED)


def _folded(line: str) -> str:
    parts, room = [""], _LINE
    for one in line:
        octets = len(one.encode())
        if octets > room:
            parts.append("")
            room = _LINE - 1  # the blank a folded line begins with
        parts[-1] += one
        room -= octets
    return "\r\n ".join(parts)
