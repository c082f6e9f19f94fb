"""The one clock of a simulated week: every ``utc_now()`` reads it, whoever imported it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from core import clock

START = datetime(2026, 11, 16, 0, 30, tzinfo=UTC)  # a Monday, half past eight in Shanghai


class SimClock:
    """Stands in for ``datetime`` inside ``core.clock``, the only module that reads the time."""

    def __init__(self, start: datetime = START) -> None:
        self.moment = start

    def now(self, zone: tzinfo | None = None) -> datetime:
        """Return the simulated moment, as ``datetime.now`` does."""
        return self.moment.astimezone(zone)

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)

    def pass_seconds(self, seconds: int, *, milliseconds: int = 0) -> None:
        """Go on, or a little back as after an NTP step."""
        self.moment += timedelta(seconds=seconds, milliseconds=milliseconds)

    def reach(self, moment: datetime) -> None:
        """Go on to a moment; one that is past changes nothing."""
        self.moment = max(self.moment, moment)


@contextmanager
def simulated(start: datetime = START) -> Iterator[SimClock]:
    """Let this process's ``utc_now`` read a clock of ours."""
    real, ours = clock.datetime, SimClock(start)
    clock.datetime = ours  # type: ignore[assignment, misc]
    try:
        yield ours
    finally:
        clock.datetime = real  # type: ignore[misc]
