"""What gateways took, hour by hour.

A job sums up the hours that are over, the last two weeks anew each time; whoever asks reads those
sums, and of all else the index that holds the amounts. Where nothing is summed up, that is all.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BigInteger, text
from sqlmodel import Field, Session, SQLModel

from core.clock import billing_date, day_bounds
from core.db import UtcDateTime

HOURS = 24
_HOUR = timedelta(hours=1)
SUMMED_DAYS = 14
_OVER_FOR = timedelta(hours=1)  # most is heard of by then; the next turn finds the rest


class TakingHour(SQLModel, table=True):
    """What a gateway took in an hour that is over: a sum of payments, kept to be read at once."""

    __tablename__ = "taking_hour"

    started_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    gateway: str = Field(primary_key=True)
    payments: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)


class Taken(NamedTuple):
    """Payments of a gateway that was paid in a period, and their sum."""

    gateway: str
    payments: int
    amount_fen: int


# Gateways are found by leaping through the index, one after the other: also those that are gone.
# Payments of nothing (``none``) brought no money.
_KNOWN = """
    known (gateway) AS (
        (SELECT gateway FROM payment WHERE paid_at IS NOT NULL ORDER BY gateway LIMIT 1)
        UNION ALL
        SELECT (SELECT p.gateway FROM payment p
                WHERE p.paid_at IS NOT NULL AND p.gateway > k.gateway ORDER BY p.gateway LIMIT 1)
        FROM known k WHERE k.gateway IS NOT NULL
    )
"""
# A period is what comes before the first hour that is summed up, such hours as lie in it whole, and
# what comes after the last of them.
_TAKEN = text(f"""
    WITH RECURSIVE {_KNOWN}, summed AS (
        SELECT coalesce(min(started_at), 'infinity') AS since,
               max(started_at) + interval '1 hour' AS until FROM taking_hour
    ), wanted AS (
        SELECT w.*, s.since,
               greatest(s.since, least(s.until, date_trunc('hour', w.ended))) AS until
        FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
             WITH ORDINALITY AS w (started, ended, at), summed s
    )
    SELECT at, gateway, sum(payments)::bigint, sum(fen)::bigint
    FROM (SELECT w.at, h.gateway, h.payments, h.amount_fen AS fen
          FROM wanted w
          JOIN taking_hour h ON h.started_at >= w.started AND h.started_at < w.until
               AND h.started_at < w.ended
          UNION ALL
          SELECT l.at, k.gateway, s.payments, s.fen
          FROM (SELECT at, started, least(ended, since) AS ended FROM wanted
                UNION ALL
                SELECT at, greatest(started, until), ended FROM wanted) l
          CROSS JOIN known k
          CROSS JOIN LATERAL (
              SELECT count(*) AS payments, coalesce(sum(p.amount_fen), 0)::bigint AS fen
              FROM payment p
              WHERE p.gateway = k.gateway AND p.paid_at >= l.started AND p.paid_at < l.ended) s
          WHERE l.started < l.ended AND k.gateway <> 'none' AND s.payments > 0) one
    GROUP BY at, gateway ORDER BY at, gateway
""")  # noqa: S608  our own text


def taken(session: Session, periods: Sequence[tuple[datetime, datetime]]) -> list[list[Taken]]:
    """Return for each period, from its start, a whole hour, up to its end, what gateways took."""
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


_FORGET_SUMS = text("DELETE FROM taking_hour")
_SUM_UP = text(f"""
    WITH RECURSIVE {_KNOWN}
    INSERT INTO taking_hour (started_at, gateway, payments, amount_fen)
    SELECT s.started_at, k.gateway, s.payments, s.fen
    FROM known k CROSS JOIN LATERAL (
        SELECT date_trunc('hour', p.paid_at) AS started_at, count(*) AS payments,
               sum(p.amount_fen)::bigint AS fen
        FROM payment p WHERE p.gateway = k.gateway AND p.paid_at >= :since AND p.paid_at < :until
        GROUP BY 1) s
    WHERE k.gateway <> 'none'
    ON CONFLICT (started_at, gateway)
    DO UPDATE SET payments = excluded.payments, amount_fen = excluded.amount_fen
""")  # noqa: S608  our own text


def sum_up(session: Session, *, now: datetime) -> None:
    """Sum the last two weeks up anew, until an hour ago: what was booked late since is in it."""
    first = billing_date(now) - timedelta(days=SUMMED_DAYS - 1)
    until = (now - _OVER_FOR).replace(minute=0, second=0, microsecond=0)
    session.execute(_FORGET_SUMS)
    session.execute(_SUM_UP, {"since": day_bounds(first)[0], "until": until})
