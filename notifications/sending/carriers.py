"""Which carrier takes a message: by its weight, as fast as it may, and not while it is down.

A carrier that misses ten messages in a row is left out at once: first for ten seconds, then for as
long as it has been down, a minute at most. After each pause one message tries it. Slower than this
``notifications.sending.balancing`` moves weights away from one that fails now and then.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from sqlmodel import Session

from core import log
from core.db import HotStatement
from notifications.channels.base import Carrier

MISSES: Final = 10  # in a row, and a carrier is taken out
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(seconds=60)
PROBE: Final = timedelta(seconds=15)  # how long the answer of a message that tries is waited for
BURST: Final = timedelta(milliseconds=500)  # how far a carrier may be ahead of its rate
# Of those taken, how many waited for up to … milliseconds; longer ones stand behind the last.
WAITS: Final = (250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000)
_MINUTE_US: Final = 60_000_000
_MICROSECOND: Final = timedelta(microseconds=1)
_log = log.logger(__name__)


class Outcome(StrEnum):
    """How one try to hand a message over went."""

    TAKEN = "taken"
    NOT_NOW = "not_now"
    SILENT = "silent"
    REFUSED = "refused"  # for good: the carrier works, the message is wrong


_MISSED: Final = frozenset({Outcome.NOT_NOW, Outcome.SILENT})

_KNOW = HotStatement("""
    INSERT INTO carrier_state AS s (code, channel, weight, resting_weight, misses)
    SELECT code, channel, share, share, 0
    FROM unnest(CAST(:codes AS text[]), CAST(:channels AS text[]), CAST(:shares AS smallint[]))
         AS known (code, channel, share)
    ORDER BY code
    ON CONFLICT (code) DO UPDATE SET
        channel = excluded.channel, resting_weight = excluded.resting_weight,
        weight = CASE WHEN s.weight = s.resting_weight THEN excluded.weight ELSE s.weight END
    WHERE (s.channel, s.resting_weight) IS DISTINCT FROM (excluded.channel, excluded.resting_weight)
    RETURNING code
""")


def ensure_known(session: Session, carriers: Iterable[Carrier], weights: Mapping[str, int]) -> None:
    """Give each carrier a row; each worker does at its start.

    Its resting weight is its part, in percent, of what the settings give the channel. A weight that
    was moved, and a carrier that was stopped, stay so.
    """
    of_channel: dict[str, dict[str, int]] = {}
    for one in carriers:
        of_channel.setdefault(one.channel, {})[one.code] = weights.get(one.code, 1)
    rows = [
        (code, channel, weight * 100 // (sum(given.values()) or 1))
        for channel, given in of_channel.items()
        for code, weight in given.items()
    ]
    if rows:
        codes, channels, shares = (list(column) for column in zip(*rows, strict=True))
        _KNOW.rows(session, {"codes": codes, "channels": channels, "shares": shares})


class _Standing(NamedTuple):
    code: str
    weight: int
    resting_weight: int
    per_minute: int | None
    paced_until: datetime | None
    down_since: datetime | None

    @property
    def counted(self) -> bool:
        """Whether what it gets is counted: it has a rate, or is tried with one message."""
        return self.per_minute is not None or self.down_since is not None


# One that no worker has made known yet counts a little.
_LOOK = HotStatement("""
    SELECT asked.code, coalesce(weight, 1), coalesce(resting_weight, 1), per_minute, paced_until,
           down_since
    FROM unnest(CAST(:codes AS text[])) AS asked (code) LEFT JOIN carrier_state USING (code)
    WHERE stopped_at IS NULL AND (paused_until IS NULL OR paused_until <= :now)
""")

_LOCK = HotStatement("""
    SELECT code, weight, resting_weight, per_minute, paced_until, down_since FROM carrier_state
    WHERE code = ANY(:codes) AND stopped_at IS NULL
      AND (paused_until IS NULL OR paused_until <= :now)
    ORDER BY code FOR UPDATE
""")

_PACE = HotStatement("""
    UPDATE carrier_state s SET paced_until = new.paced_until,
        paused_until = CASE WHEN s.down_since IS NULL THEN NULL
                            ELSE CAST(:probe_until AS timestamptz) END
    FROM unnest(CAST(:codes AS text[]), CAST(:paced AS timestamptz[])) AS new (code, paced_until)
    WHERE s.code = new.code
    RETURNING s.code
""")


def choose(
    session: Session,
    carriers: Sequence[Carrier],
    *,
    count: int,
    now: datetime,
    draw: random.Random,
) -> list[Carrier | None]:
    """Choose a carrier for each of ``count`` messages of one channel; None: nobody may take it now.

    What a carrier's rate lets through is taken for all of them together. The rows that say so stay
    locked until the transaction ends, so it should be a short one.
    """
    values = {"codes": [one.code for one in carriers], "now": now}
    standing = [_Standing(*row) for row in _LOOK.rows(session, values)]
    counted = [one.code for one in standing if one.counted]
    if counted:
        locked = [_Standing(*row) for row in _LOCK.rows(session, values | {"codes": counted})]
        standing = [one for one in standing if not one.counted] + locked
    standing.sort(key=lambda one: one.code)
    room = {one.code: _room(one, count, now=now) for one in standing}
    chosen = _drawn(_weights(standing), dict(room), count, draw)
    used = [(one, chosen.count(one.code)) for one in standing if one.counted]
    if any(number for _, number in used):
        _PACE.rows(session, {
            "codes": [one.code for one, number in used if number],
            "paced": [_paced(one, number, now=now) for one, number in used if number],
            "probe_until": now + PROBE,
        })  # fmt: skip
    by_code: dict[str | None, Carrier] = {one.code: one for one in carriers}
    return [by_code.get(code) for code in chosen]


def _room(one: _Standing, count: int, *, now: datetime) -> int:
    """Return how many messages a carrier may have at once: a generic cell rate algorithm."""
    room = count
    if one.per_minute is not None:
        apart_us = -(-_MINUTE_US // one.per_minute)
        ahead = max(one.paced_until or now, now) - now
        free_us = max(BURST // _MICROSECOND, apart_us) - ahead // _MICROSECOND
        room = min(room, max(free_us * one.per_minute // _MINUTE_US, 0))
    return room if one.down_since is None else min(room, 1)


def _paced(one: _Standing, number: int, *, now: datetime) -> datetime | None:
    if one.per_minute is None:
        return None
    took = timedelta(microseconds=number * _MINUTE_US // one.per_minute)
    return max(one.paced_until or now, now) + took


def _weights(standing: Sequence[_Standing]) -> dict[str, int]:
    """Return who shares the messages; who lost all weight does if nobody else is left."""
    moved = {one.code: one.weight for one in standing if one.weight}
    return moved or {one.code: one.resting_weight for one in standing if one.resting_weight}


def _drawn(
    weights: dict[str, int], room: dict[str, int], count: int, draw: random.Random
) -> list[str | None]:
    chosen: list[str | None] = []
    for _ in range(count):
        weights = {code: weight for code, weight in weights.items() if room[code]}
        if not weights:
            return chosen + [None] * (count - len(chosen))
        [code] = draw.choices(list(weights), list(weights.values()))
        room[code] -= 1
        chosen.append(code)
    return chosen


class Tried(NamedTuple):
    """One try: by which carrier, how it went, and how long the message had waited by then."""

    code: str
    channel: str
    outcome: Outcome
    wait_ms: int = 0


@dataclass(slots=True)
class _Sum:
    channel: str
    outcomes: dict[Outcome, int]
    waits: list[int]
    wait_ms: int = 0
    misses: int = 0  # in a row, up to the end
    alive: bool = False

    def add(self, one: Tried) -> None:
        self.outcomes[one.outcome] += 1
        missed = one.outcome in _MISSED
        self.misses = self.misses + 1 if missed else 0
        self.alive = self.alive or not missed
        if one.outcome is Outcome.TAKEN:
            self.wait_ms += one.wait_ms
            self.waits[sum(one.wait_ms > most for most in WAITS)] += 1


_COUNT = HotStatement("""
    INSERT INTO carrier_minute AS m (code, minute_at, channel, taken, not_now, silent, refused,
                                     delivered, failed, slow, wait_ms, waits)
    VALUES (:code, date_trunc('minute', CAST(:now AS timestamptz)), :channel, :taken, :not_now,
            :silent, :refused, 0, 0, 0, :wait_ms, CAST(:waits AS integer[]))
    ON CONFLICT (code, minute_at) DO UPDATE SET
        taken = m.taken + excluded.taken, not_now = m.not_now + excluded.not_now,
        silent = m.silent + excluded.silent, refused = m.refused + excluded.refused,
        wait_ms = m.wait_ms + excluded.wait_ms,
        waits = ARRAY(SELECT coalesce(old, 0) + coalesce(new, 0)
                      FROM unnest(m.waits, excluded.waits) AS pair (old, new))
    RETURNING code
""")

_HEARTBEAT = HotStatement("""
    UPDATE carrier_state SET
        misses = CASE WHEN :alive THEN 0 ELSE misses END + :misses,
        down_since = CASE WHEN :alive THEN NULL ELSE down_since END,
        paused_until = CASE WHEN :alive THEN NULL ELSE paused_until END
    WHERE code = :code AND (:misses > 0 OR misses > 0 OR down_since IS NOT NULL)
    RETURNING misses, down_since
""")

_TAKE_OUT = HotStatement("""
    UPDATE carrier_state SET misses = 0, down_since = coalesce(down_since, :now),
        paused_until = greatest(paused_until, :until)
    WHERE code = :code RETURNING down_since
""")


def count_outcomes(session: Session, tried: Sequence[Tried], *, now: datetime) -> None:
    """Count how tries went, in the order they ended; takes a carrier out that misses all of them.

    The rows it writes are everybody's: it should be the last thing in its transaction.
    """
    sums: dict[str, _Sum] = {}
    for one in map(Tried._make, tried):
        if one.code not in sums:
            empty = [0] * (len(WAITS) + 1)
            sums[one.code] = _Sum(one.channel, dict.fromkeys(Outcome, 0), empty)
        sums[one.code].add(one)
    for code in sorted(sums):
        counted = sums[code]
        _COUNT.rows(session, {
            "code": code, "channel": counted.channel, "now": now, "wait_ms": counted.wait_ms,
            "waits": counted.waits,
            **{each.value: number for each, number in counted.outcomes.items()},
        })  # fmt: skip
    for code in sorted(sums):
        _feel_the_pulse(session, code, sums[code], now=now)


def _feel_the_pulse(session: Session, code: str, one: _Sum, *, now: datetime) -> None:
    values = {"code": code, "misses": one.misses, "alive": one.alive}
    for misses, down_since in _HEARTBEAT.rows(session, values):
        if misses < MISSES and (down_since is None or not one.misses):
            continue
        pause = min(max(now - (down_since or now), SHORTEST_PAUSE), LONGEST_PAUSE)
        _TAKE_OUT.rows(session, {"code": code, "now": now, "until": now + pause})
        _log.warning("carrier_out", carrier=code, seconds=int(pause.total_seconds()))
