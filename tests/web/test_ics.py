"""A calendar file by RFC 5545: lines, folding, escapes, and days."""

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from web.ics import Event, write_calendar

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def unfolded(content: str) -> list[str]:
    """Lines as a reader of the format takes them: RFC 5545, 3.1."""
    assert content.endswith("\r\n")
    return content.removesuffix("\r\n").replace("\r\n ", "").split("\r\n")


def plain(value: str) -> str:
    """A text without its escapes: 3.3.11."""
    said, escaped = "", False
    for one in value:
        if escaped:
            said, escaped = said + ("\n" if one in "nN" else one), False
        elif one == "\\":
            escaped = True
        else:
            said += one
    return said


def test_an_event_is_a_whole_day_with_its_alarm_the_day_before():
    event = Event(
        "due-1.2@city.example", date(2026, 11, 30), "水费缴费截止 ¥86.50", "10月",
        "https://city.example/bills/1.2", remind=True,
    )  # fmt: skip

    lines = unfolded(write_calendar("家里的账单", [event], now=NOW))

    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-1] == "END:VCALENDAR"
    for line in (
        "VERSION:2.0", "UID:due-1.2@city.example", "DTSTAMP:20261120T040000Z",
        "DTSTART;VALUE=DATE:20261130", "DTEND;VALUE=DATE:20261201", "SUMMARY:水费缴费截止 ¥86.50",
        "URL:https://city.example/bills/1.2", "TRIGGER:-PT15H",
    ):  # fmt: skip
        assert line in lines
    for name in ("VCALENDAR", "VEVENT", "VALARM"):
        assert lines.count(f"BEGIN:{name}") == lines.count(f"END:{name}") == 1


def test_without_events_it_is_still_a_calendar():
    assert unfolded(write_calendar("x", [], now=NOW))[-1] == "END:VCALENDAR"


@given(st.text(st.characters(codec="utf-8")))
def test_whatever_is_said_comes_back_and_no_line_is_longer_than_allowed(words):
    content = write_calendar("x", [Event("u", date(2026, 1, 31), words)], now=NOW)

    assert all(len(line.encode()) <= 75 for line in content.split("\r\n"))
    (said,) = (line for line in unfolded(content) if line.startswith("SUMMARY:"))
    kept = "".join(one for one in words if one >= " " or one == "\n")
    assert plain(said.removeprefix("SUMMARY:")) == kept
