"""N-9: quiet hours by the clock on the wall, against an oracle that looks at every minute.

``CITYBILL_NIGHTS=10000 pytest tests/notifications/choice/test_quiet.py`` is the long run.
"""

import os
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.choice.quiet import opens_at

NIGHTS = int(os.environ.get("CITYBILL_NIGHTS", "300"))
MINUTE = timedelta(minutes=1)
# Half-hour and quarter-hour offsets, both hemispheres, a jump of half an hour, none at all.
ZONES = (
    "Asia/Shanghai", "Europe/London", "Europe/Berlin", "America/New_York", "America/St_Johns",
    "Australia/Lord_Howe", "Australia/Sydney", "Asia/Kathmandu", "Africa/Casablanca",
    "America/Santiago", "Pacific/Chatham", "Asia/Tehran", "UTC",
)  # fmt: skip
# The nights the clocks of some of them move, and any other.
CHANGES = st.sampled_from([
    datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC),
    datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 10, 4, tzinfo=UTC),
    datetime(2026, 9, 6, tzinfo=UTC), datetime(2026, 2, 15, tzinfo=UTC),
])  # fmt: skip
NEAR_A_CHANGE = st.builds(
    lambda day, minutes, seconds: day + timedelta(minutes=minutes, seconds=seconds),
    CHANGES, st.integers(-36 * 60, 36 * 60), st.integers(0, 59),
)  # fmt: skip
ANY_TIME = st.integers(0, 4 * 366 * 86_400).map(
    lambda seconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45, 59]))
WINDOWS = st.tuples(CLOCKS, CLOCKS).filter(lambda window: window[0] != window[1])
NIGHT = (time(22), time(7))


def is_quiet(moment, window, zone):
    """Said otherwise than in the code: minutes after midnight, and a window as a set of them."""
    clock = moment.astimezone(ZoneInfo(zone))
    first, last = (at.hour * 60 + at.minute for at in window)
    length = (last - first) % (24 * 60)
    return (clock.hour * 60 + clock.minute - first) % (24 * 60) < length


@settings(max_examples=NIGHTS, deadline=None, database=None)
@given(now=st.one_of(NEAR_A_CHANGE, ANY_TIME), window=WINDOWS, zone=st.sampled_from(ZONES))
def test_it_opens_at_the_first_moment_that_is_not_quiet(now, window, zone):
    opens = opens_at(now, *window, zone)

    assert opens >= now
    assert not is_quiet(opens, window, zone)
    at = now
    while at < opens:
        assert is_quiet(at, window, zone), "it could have gone before"
        at += MINUTE
    if opens > now:
        assert is_quiet(opens - timedelta(seconds=1), window, zone)


class TestNights:
    @pytest.mark.parametrize(
        ("hour", "opens"),
        [(14, "2026-11-20T23:00"), (20, "2026-11-20T23:00"), (4, "2026-11-20T04:00")],
        ids=["it has just begun", "it runs past midnight", "it is noon"],
    )
    def test_in_shanghai(self, hour, opens):
        now = datetime(2026, 11, 20, hour, tzinfo=UTC)

        assert f"{opens_at(now, *NIGHT, 'Asia/Shanghai'):%Y-%m-%dT%H:%M}" == opens

    def test_the_first_moment_is_quiet_and_the_last_is_not(self):
        begins = datetime(2026, 11, 20, 14, tzinfo=UTC)
        ends = begins + timedelta(hours=9)

        assert opens_at(begins, *NIGHT, "Asia/Shanghai") == ends
        assert opens_at(ends, *NIGHT, "Asia/Shanghai") == ends
        just_before = begins - timedelta(microseconds=1)
        assert opens_at(just_before, *NIGHT, "Asia/Shanghai") == just_before

    def test_where_nothing_is_quiet_it_is_now(self, now):
        assert opens_at(now, None, None, "Asia/Shanghai") == now

    def test_hours_that_end_in_an_hour_the_clock_skips_end_when_it_jumps(self):
        """Berlin, 29 March 2026: 01:59 is followed by 03:00."""
        now = datetime(2026, 3, 28, 23, tzinfo=UTC)

        opens = opens_at(now, time(22), time(2, 30), "Europe/Berlin")

        assert opens == datetime(2026, 3, 29, 1, tzinfo=UTC)

    def test_an_hour_shown_twice_is_quiet_twice(self):
        """Berlin, 25 October 2026: 02:59 is followed by 02:00."""
        first, second = (datetime(2026, 10, 25, hour, 10, tzinfo=UTC) for hour in (0, 1))
        window = (time(2), time(2, 30))

        assert opens_at(first, *window, "Europe/Berlin") == first + timedelta(minutes=20)
        assert opens_at(second, *window, "Europe/Berlin") == second + timedelta(minutes=20)

    def test_who_lives_elsewhere_sleeps_elsewhere(self):
        noon_in_shanghai = datetime(2026, 11, 20, 4, tzinfo=UTC)

        opens = opens_at(noon_in_shanghai, *NIGHT, "America/New_York")

        assert opens == datetime(2026, 11, 20, 12, tzinfo=UTC)  # seven in the morning there
