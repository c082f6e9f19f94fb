"""What homes like one's own use: quartiles by company, place and month, counted ahead of time.

"Like" is honest about what we know: the same company, the same month, and as near by as at least
twenty homes are. How large a home is and how many live there is not known here. Figures are kept in
coarse steps only, so that nobody's own usage stands in the table. ``docs/usage.md``.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.bills import ONLINE_MONTHS
from billing.usage.models import PlaceReach
from billing.usage.places import NO_DISTRICT, PATTERNS, SPELT, places_of
from core.clock import add_months, month_start
from core.db import HotStatement
from core.keys import month_range

LEAST_HOMES: Final = 20
LEVEL_DAYS: Final = 30  # levels are of so many days, whatever a bill covers
STEPS: Final[Mapping[str, Decimal]] = {
    "m³": Decimal(1),
    "kWh": Decimal(5),
}  # what is told is coarse
_RECENT_MONTHS = 3  # bills of older months hardly come any more
_AGAIN: Final = {"recent": timedelta(days=1), "empty": timedelta(days=7), "old": timedelta(days=30)}


class Level(NamedTuple):
    """What homes of a place used in thirty days: a quarter below ``p25``, half below ``p50``."""

    month: date
    reach: PlaceReach
    place: str
    unit: str
    homes: int
    p25: Decimal
    p50: Decimal
    p75: Decimal


# An account's own usage is the sum of its bills of the month. Sorted by bytes: an order of letters
# would cost twice as much, and nobody reads it.
_COUNT = HotStatement("""
    WITH used AS MATERIALIZED (
        SELECT max(b.usage_unit) AS unit, translate(u.address, :odd, :plain) AS address,
               sum(b.usage) * :days / (max(b.period_to_on - b.period_from_on) + 1)
                   AS usage_a_month
        FROM bill b JOIN utility_account u ON u.id = b.account_id
        WHERE b.id >= :first AND b.id < :after AND b.usage > 0 AND b.amount_fen >= 0
          AND b.cancelled_at IS NULL AND b.usage_unit = ANY(:units)
          AND u.provider_code = :provider_code
        GROUP BY u.id),
    named AS (
        SELECT usage_a_month, unit, substring(address FROM :compound) AS compound,
               substring(address FROM :street) AS street,
               substring(address FROM :district) AS district
        FROM used),
    placed AS MATERIALIZED (
        SELECT w.reach, w.place COLLATE "C" AS place, n.unit COLLATE "C" AS unit, n.usage_a_month
        FROM named n CROSS JOIN LATERAL (VALUES
            ('compound', n.compound), ('street', n.street),
            ('district', CASE WHEN right(n.district, 2) <> ALL(:no_district) THEN n.district END),
            ('city', '')) AS w (reach, place)
        WHERE w.place IS NOT NULL),
    enough AS (
        SELECT reach, place, unit, count(*) AS homes FROM placed
        GROUP BY reach, place, unit HAVING count(*) >= :least),
    ranked AS (
        SELECT reach, place, unit, homes, usage_a_month,
               row_number() OVER (PARTITION BY reach, place, unit ORDER BY usage_a_month) AS at
        FROM placed JOIN enough USING (reach, place, unit)),
    quartiles AS (
        SELECT reach, place, unit, homes,
               max(usage_a_month) FILTER (WHERE at = (homes + 3) / 4) AS p25,
               max(usage_a_month) FILTER (WHERE at = (homes + 1) / 2) AS p50,
               max(usage_a_month) FILTER (WHERE at = (3 * homes + 3) / 4) AS p75
        FROM ranked GROUP BY reach, place, unit, homes),
    levels AS (
        INSERT INTO usage_level (provider_code, billing_month, reach, place, unit, homes,
                                 p25, p50, p75)
        SELECT :provider_code, :month, q.reach, q.place, q.unit, q.homes,
               round(q.p25 / s.step) * s.step, round(q.p50 / s.step) * s.step,
               round(q.p75 / s.step) * s.step
        FROM quartiles q
        JOIN unnest(CAST(:units AS text[]), CAST(:steps AS numeric[])) AS s (unit, step)
            ON s.unit = q.unit)
    INSERT INTO usage_count (provider_code, billing_month, homes, counted_at)
    SELECT :provider_code, :month, (SELECT count(*) FROM used), :now
    ON CONFLICT (provider_code, billing_month)
        DO UPDATE SET homes = excluded.homes, counted_at = excluded.counted_at
    RETURNING homes
""")


def months_to_count(
    session: Session, provider_codes: Collection[str], *, today: date, now: datetime
) -> list[tuple[str, date]]:
    """Return the companies' months that are to be counted (again), the newest first.

    The last ones each day, because bills still come; what was counted before, each month; and what
    had no bills, each week: an old year may have been imported since.
    """
    first = add_months(today, -ONLINE_MONTHS)
    counted = {
        (provider_code, month): (homes, counted_at)
        for provider_code, month, homes, counted_at in session.execute(
            text(
                "SELECT provider_code, billing_month, homes, counted_at FROM usage_count"
                " WHERE billing_month >= :first"
            ),
            {"first": first},
        )
    }
    due = []
    for back in range(ONLINE_MONTHS + 1):
        month = add_months(month_start(today), -back)
        for provider_code in sorted(provider_codes):
            homes, counted_at = counted.get((provider_code, month), (0, None))
            age = "recent" if back < _RECENT_MONTHS else "old" if homes else "empty"
            # Half an hour less, so that a daily look never comes a moment too early.
            if counted_at is None or now - counted_at >= _AGAIN[age] - timedelta(minutes=30):
                due.append((provider_code, month))
    return due


def count_month(session: Session, provider_code: str, month: date, *, now: datetime) -> int:
    """Count what the homes of a company used in a month anew; returns how many there were."""
    first_id, after_id = month_range(month)
    forget = (
        "DELETE FROM usage_level WHERE provider_code = :provider_code AND billing_month = :month"
    )
    key = {"provider_code": provider_code, "month": month}
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('usage:' || :name, 0))"),
        {"name": f"{provider_code}:{month}"},
    )
    session.execute(text(forget), key)
    values = key | {
        "first": first_id, "after": after_id, "now": now, "least": LEAST_HOMES, "days": LEVEL_DAYS,
        "units": list(STEPS), "steps": list(STEPS.values()), "odd": SPELT[0], "plain": SPELT[1],
        "compound": PATTERNS[PlaceReach.COMPOUND], "street": PATTERNS[PlaceReach.STREET],
        "district": PATTERNS[PlaceReach.DISTRICT], "no_district": list(NO_DISTRICT),
    }  # fmt: skip
    ((homes,),) = _COUNT.rows(session, values)
    return int(homes)


def forget_levels(session: Session, *, today: date) -> None:
    """Forget months of which no bills are shown any more."""
    first = add_months(today, -ONLINE_MONTHS)
    gone = {"first": first}
    session.execute(text("DELETE FROM usage_level WHERE billing_month < :first"), gone)
    session.execute(text("DELETE FROM usage_count WHERE billing_month < :first"), gone)


_LEVELS = HotStatement("""
    SELECT l.billing_month, l.reach, l.place, l.unit, l.homes, l.p25, l.p50, l.p75
    FROM unnest(CAST(:reaches AS text[]), CAST(:places AS text[])) WITH ORDINALITY
         AS w (reach, place, at)
    JOIN usage_level l ON l.reach = w.reach AND l.place = w.place
    WHERE l.provider_code = :provider_code AND l.unit = :unit
      AND l.billing_month = ANY(CAST(:months AS date[]))
    ORDER BY l.billing_month, w.at
""")


def levels_near(
    session: Session, provider_code: str, address: str, unit: str, months: Sequence[date]
) -> dict[date, Level]:
    """Return, of each month that was counted, what the nearest twenty homes or more used."""
    places = places_of(address)
    values = {
        "provider_code": provider_code, "unit": unit, "months": list(months),
        "reaches": [reach.value for reach in places], "places": list(places.values()),
    }  # fmt: skip
    found: dict[date, Level] = {}
    for month, reach, *rest in _LEVELS.rows(session, values):
        found.setdefault(month, Level(month, PlaceReach(reach), *rest))
    return found
