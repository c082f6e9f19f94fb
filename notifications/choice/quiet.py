"""Quiet hours: when somebody who is not to be disturbed may be told."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def opens_at(
    now: datetime, quiet_from: time | None, quiet_until: time | None, zone: str
) -> datetime:
    """Return the first moment from now on that is in no quiet hour, as the person's clock shows it.

    Where summer time moves the clock, it is still the clock that counts: an hour it skips cannot
    be quiet, and one it shows twice is quiet twice.

    Args:
        quiet_from: the first quiet moment of the day; none: it is never quiet.
        quiet_until: the first that is not; earlier than ``quiet_from``: of the next morning.
        zone: the name of the person's time zone.
    """
    if quiet_from is None or quiet_until is None:
        return now
    where, at = ZoneInfo(zone), now
    while _is_quiet(at.astimezone(where).time(), quiet_from, quiet_until):
        at = _end(at, quiet_until, where)
    return at


def _is_quiet(clock: time, quiet_from: time, quiet_until: time) -> bool:
    if quiet_from < quiet_until:
        return quiet_from <= clock < quiet_until
    return clock >= quiet_from or clock < quiet_until


def _end(at: datetime, quiet_until: time, where: ZoneInfo) -> datetime:
    """Return when the clock next shows ``quiet_until``, or when it is moved if that is sooner."""
    left = datetime.combine(date.min, quiet_until) - datetime.combine(
        date.min, at.astimezone(where).time()
    )
    end = at + left % timedelta(days=1)
    offset = at.astimezone(where).utcoffset()
    if end.astimezone(where).utcoffset() == offset:
        return end
    before, after = int(at.timestamp()), int(end.timestamp())
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, where).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return datetime.fromtimestamp(after, UTC)
