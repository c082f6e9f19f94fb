"""What gateways took, hour by hour: one pass over an index that holds the amounts."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date, day_bounds

HOURS = 24
_HOUR = timedelta(hours=1)


class Taken(NamedTuple):
    """Payments of a gateway that was paid in a period, and their sum."""

    gateway: str
    payments: int
    amount_fen: int


# Gateways are found by leaping through the index, one after the other: also those that are gone.
# Payments of nothing (``none``) brought no money.
_TAKEN = text("""
    WITH RECURSIVE known (gateway) AS (
        (SELECT gateway FROM payment WHERE paid_at IS NOT NULL ORDER BY gateway LIMIT 1)
        UNION ALL
        SELECT (SELECT p.gateway FROM payment p
                WHERE p.paid_at IS NOT NULL AND p.gateway > k.gateway ORDER BY p.gateway LIMIT 1)
        FROM known k WHERE k.gateway IS NOT NULL
    )
    SELECT w.at, k.gateway, s.payments, s.fen
    FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
         WITH ORDINALITY AS w (started, ended, at)
    CROSS JOIN known k
    CROSS JOIN LATERAL (
        SELECT count(*) AS payments, coalesce(sum(p.amount_fen), 0)::bigint AS fen FROM payment p
        WHERE p.gateway = k.gateway AND p.paid_at >= w.started AND p.paid_at < w.ended) s
    WHERE k.gateway <> 'none' AND s.payments > 0
    ORDER BY w.at, k.gateway
""")


def taken(session: Session, periods: Sequence[tuple[datetime, datetime]]) -> list[list[Taken]]:
    """Return for each period, from its start up to its end, what each gateway took."""
    values = {"starts": [start for start, _ in periods], "ends": [end for _, end in periods]}
    found: list[list[Taken]] = [[] for _ in periods]
    for at, *row in session.execute(_TAKEN, values):
        found[at - 1].append(Taken(*row))
    return found


class DayTaken(NamedTuple):
    """A day's takings by hour of the city's clock, each by gateway."""

    day: date
    hours: tuple[tuple[Taken, ...], ...]

    @property
    def by_gateway(self) -> list[Taken]:
        """The day by gateway, the most money first."""
        payments: Counter[str] = Counter()
        fen: Counter[str] = Counter()
        for one in (one for hour in self.hours for one in hour):
            payments[one.gateway] += one.payments
            fen[one.gateway] += one.amount_fen
        found = [Taken(gateway, payments[gateway], fen[gateway]) for gateway in payments]
        return sorted(found, key=lambda one: (-one.amount_fen, one.gateway))

    @property
    def by_hour_fen(self) -> list[int]:
        return [sum(one.amount_fen for one in hour) for hour in self.hours]

    @property
    def payments(self) -> int:
        return sum(one.payments for hour in self.hours for one in hour)

    @property
    def amount_fen(self) -> int:
        return sum(self.by_hour_fen)


def days_taken(session: Session, last: date, *, days: int) -> list[DayTaken]:
    """Return the takings of so many days, the last of them ``last``."""
    every = [last - timedelta(days=days - 1 - at) for at in range(days)]
    starts = [day_bounds(day)[0] + hour * _HOUR for day in every for hour in range(HOURS)]
    found = taken(session, [(start, start + _HOUR) for start in starts])
    return [
        DayTaken(day, tuple(tuple(hour) for hour in found[at * HOURS : (at + 1) * HOURS]))
        for at, day in enumerate(every)
    ]


def taken_by_now(session: Session, days_before: Sequence[int], *, now: datetime) -> list[int]:
    """Return in fen what was taken on earlier days until this time of the day.

    Args:
        days_before: how many days back each of them lies.
    """
    wanted = [now - timedelta(days=back) for back in days_before]
    midnights = [day_bounds(billing_date(until))[0] for until in wanted]
    found = taken(session, list(zip(midnights, wanted, strict=True)))
    return [sum(one.amount_fen for one in period) for period in found]
