"""The only module that reads the wall clock."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BILLING_ZONE = ZoneInfo("Asia/Shanghai")


def utc_now() -> datetime:
    """Return this moment, aware and in UTC. Only edges call it; the domain takes ``now``."""
    return datetime.now(UTC)


def billing_date(moment: datetime) -> date:
    """Return the calendar day a resident would call ``moment``."""
    assert moment.tzinfo is not None, moment
    return moment.astimezone(BILLING_ZONE).date()


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of a Shanghai day and of the next, in UTC."""
    start = datetime.combine(day, time.min, tzinfo=BILLING_ZONE)
    return start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC)


def month_start(day: date) -> date:
    """Return the first day of the month ``day`` lies in."""
    return day.replace(day=1)


def add_months(month: date, count: int) -> date:
    """Return the first day of the month ``count`` months after (or before) ``month``."""
    index = month.year * 12 + month.month - 1 + count
    return date(index // 12, index % 12 + 1, 1)
