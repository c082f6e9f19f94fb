"""Jobs about usage."""

from datetime import date

from billing.usage.levels import count_month, forget_levels, months_to_count
from core.clock import utc_now
from core.db import transaction
from providers.registry import PROVIDERS
from workers.jobs import job


@job("bills.count_usage")
def count_usage(day: str) -> None:
    """Count what homes of each place use; a month is a transaction of its own.

    Where it is broken off it goes on with the months that are left.
    """
    today = date.fromisoformat(day)
    with transaction() as session:
        forget_levels(session, today=today)
        due = months_to_count(session, PROVIDERS, today=today, now=utc_now())
    for provider_code, month in due:
        with transaction() as session:
            count_month(session, provider_code, month, now=utc_now())
