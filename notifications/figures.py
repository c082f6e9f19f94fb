"""How telling people goes: from what carriers' minutes say, and a few rows read by an index.

No notice is ever counted to find it out: a table of a city's notices takes minutes to count.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date, day_bounds
from notifications.sending.carriers import WAITS

QUICK_MS: Final = 10_000  # what GOV.UK Notify publishes: handed over within ten seconds
FAILURES: Final = 1_000  # looked at, at most
FAILED_FOR: Final = timedelta(days=7)


class Day(NamedTuple):
    """What carriers of one channel took on a day, and what became of it."""

    day: date
    channel: str
    taken: int
    delivered: int
    failed: int


class Handed(NamedTuple):
    """How one carrier did.

    ``waits`` has one number for each of ``carriers.WAITS`` and one for those who waited longer.
    """

    code: str
    channel: str
    taken: int
    delivered: int
    failed: int
    slow: int
    not_now: int
    silent: int
    refused: int
    waits: Sequence[int]

    @property
    def quick_per_mille(self) -> int | None:
        """How many of a thousand were handed over within ten seconds."""
        quick = sum(self.waits[: WAITS.index(QUICK_MS) + 1])
        return quick * 1_000 // self.taken if self.taken else None

    @property
    def delivered_per_mille(self) -> int | None:
        """How many of a thousand came, as far as receipts say; None: it never sent one."""
        heard = self.delivered or self.failed
        return min(self.delivered * 1_000 // self.taken, 1_000) if self.taken and heard else None

    def within_ms(self, percent: int) -> int | None:
        """Return the time within which so many of a hundred were taken; None: longer than any."""
        seen, wanted = 0, sum(self.waits) * percent
        for most_ms, number in zip(WAITS, self.waits, strict=False):
            seen += number
            if seen and seen * 100 >= wanted:
                return most_ms
        return None


class Cause(NamedTuple):
    """Why notices failed, of the latest of the week."""

    channel: str
    reason: str
    how_many: int
    last_at: datetime


_DAYS = text("""
    SELECT CAST(minute_at AT TIME ZONE 'Asia/Shanghai' AS date), channel,
           sum(taken), sum(delivered), sum(failed)
    FROM carrier_minute WHERE minute_at >= :since
    GROUP BY 1, 2 ORDER BY 1, 2
""")


def by_day(session: Session, *, days: int, now: datetime) -> list[Day]:
    """Return the volumes of the last days, today's included."""
    first = billing_date(now) - timedelta(days=days - 1)
    return [Day(*row) for row in session.execute(_DAYS, {"since": day_bounds(first)[0]})]


_CARRIERS = text("""
    SELECT code, min(channel), sum(taken), sum(delivered), sum(failed), sum(slow), sum(not_now),
           sum(silent), sum(refused)
    FROM carrier_minute WHERE minute_at >= :since
    GROUP BY code ORDER BY 2, 1
""")
_WAITED = text("""
    SELECT code, at, sum(number)
    FROM carrier_minute, unnest(waits) WITH ORDINALITY AS waited (number, at)
    WHERE minute_at >= :since GROUP BY code, at
""")


def by_carrier(session: Session, *, since: datetime) -> list[Handed]:
    """Return how each carrier has done since a moment, by channel."""
    waits: dict[str, list[int]] = {}
    for code, at, number in session.execute(_WAITED, {"since": since}):
        waits.setdefault(code, [0] * (len(WAITS) + 1))[at - 1] = number
    counted = session.execute(_CARRIERS, {"since": since}).all()
    none = [0] * (len(WAITS) + 1)
    return [Handed._make([*row, waits.get(row[0], none)]) for row in counted]


def together(handed: Sequence[Handed]) -> Handed:
    """Return how all of them did as if they were one."""
    return Handed(
        code="", channel="",
        taken=sum(one.taken for one in handed), delivered=sum(one.delivered for one in handed),
        failed=sum(one.failed for one in handed), slow=sum(one.slow for one in handed),
        not_now=sum(one.not_now for one in handed), silent=sum(one.silent for one in handed),
        refused=sum(one.refused for one in handed),
        waits=[sum(one.waits[at] for one in handed) for at in range(len(WAITS) + 1)],
    )  # fmt: skip


_CAUSES = text("""
    SELECT channel, coalesce(reason, ''), count(*), max(state_at)
    FROM (SELECT channel, reason, state_at FROM notice
          WHERE state = 'failed' AND state_at >= :since
          ORDER BY state_at DESC LIMIT :most) latest
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 20
""")


def causes(session: Session, *, now: datetime) -> list[Cause]:
    """Return why the latest failures of a week failed, the most frequent first."""
    values = {"since": now - FAILED_FOR, "most": FAILURES}
    return [Cause(*row) for row in session.execute(_CAUSES, values)]
