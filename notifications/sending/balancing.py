"""Moving weight away from a carrier that fails or is slow, and back again: GOV.UK Notify's rules.

Source: notifications-api, ``provider_details_dao.py`` and ``scheduled_tasks.py``. More than 50
errors in a minute, or 15 % of a quarter of an hour's messages more than five minutes under way,
take 10 points from a carrier and give them to one that is well. Our own: a message nobody has heard
of for five minutes is slow too, a handful of messages proves nothing, and a carrier that is down is
taken out at once (``notifications.sending.carriers``) without waiting for this.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple

from sqlmodel import Session

from core import log
from core.db import HotStatement

POINTS: Final = 10
MOST_ERRORS: Final = 50  # in one minute
SLOW_PERCENT: Final = 15
FEWEST: Final = 20  # messages in a quarter of an hour, for a share of them to mean anything
SLOW_AFTER: Final = timedelta(minutes=5)
WINDOW: Final = timedelta(minutes=15)
SLOW_EVERY, EASE_AFTER, EASE_EVERY = SLOW_AFTER, WINDOW, timedelta(minutes=5)
_MINUTE: Final = timedelta(minutes=1)
_log = log.logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A carrier with how it did.

    ``errors`` are those of the last whole minute; ``taken`` is what should have arrived by now of a
    quarter of an hour's messages, ``late`` what of it has not, or not in time.
    """

    code: str
    weight: int
    resting_weight: int
    shifted_at: datetime | None = None
    eased_at: datetime | None = None
    stopped: bool = False
    errors: int = 0
    late: int = 0
    taken: int = 0

    @property
    def fails(self) -> bool:
        return self.errors > MOST_ERRORS

    @property
    def is_slow(self) -> bool:
        return self.taken >= FEWEST and self.late * 100 >= self.taken * SLOW_PERCENT


class Move(NamedTuple):
    code: str
    weight: int
    why: str  # "errors", "slow", "resting"


def weigh(carriers: Sequence[Standing], *, now: datetime) -> list[Move]:
    """Decide how the carriers of one channel share it from now on; called once a minute."""
    working = [one for one in carriers if not one.stopped]
    shifted_at = max((one.shifted_at for one in carriers if one.shifted_at), default=None)
    quiet = now - shifted_at if shifted_at else WINDOW
    minute_at = now.replace(second=0, microsecond=0)  # each minute's errors count once
    if shifted_at is None or shifted_at < minute_at:
        moves = _shift([one for one in working if one.fails], working, "errors")
        if not moves and quiet >= SLOW_EVERY - _MINUTE // 2:  # the call is seconds early or late
            moves = _shift([one for one in working if one.is_slow], working, "slow")
        if moves:
            return moves
    return list(_ease(carriers, now=now)) if quiet >= EASE_AFTER else []


def _shift(bad: Sequence[Standing], working: Sequence[Standing], why: str) -> list[Move]:
    """Take points from each that is bad and give them to the strongest that is well, if any is."""
    well = [one for one in working if not one.fails and not one.is_slow]
    if not bad or not well:
        return []
    taken = {one.code: min(POINTS, one.weight) for one in bad}
    to = max(well, key=lambda one: (one.resting_weight, one.code))
    given = min(sum(taken.values()), 100 - to.weight)
    moves = [Move(one.code, one.weight - taken[one.code], why) for one in bad if one.weight]
    return [*moves, Move(to.code, to.weight + given, why)] if moves else []


def _ease(carriers: Sequence[Standing], *, now: datetime) -> Iterator[Move]:
    for one in carriers:
        away = one.resting_weight - one.weight
        rested = one.eased_at is None or now - one.eased_at >= EASE_EVERY - _MINUTE // 2
        if away and rested:
            yield Move(one.code, one.weight + max(-POINTS, min(away, POINTS)), "resting")


# Late: what was taken more than five minutes ago and has not come in time. Only a carrier whose
# receipts we have seen within the day can be late: one without any says nothing about time.
_STANDING = HotStatement("""
    SELECT s.channel, s.code, s.weight, s.resting_weight, s.shifted_at, s.eased_at,
           s.stopped_at IS NOT NULL, coalesce(m.errors, 0), coalesce(m.late, 0),
           coalesce(m.taken, 0)
    FROM carrier_state s
    LEFT JOIN LATERAL (
        SELECT sum(not_now + silent)
                   FILTER (WHERE minute_at = date_trunc('minute', :now - interval '1 minute'))
                   AS errors,
               sum(greatest(taken - failed - (delivered - slow), 0))
                   FILTER (WHERE minute_at >= :window AND minute_at < :due) AS late,
               sum(taken) FILTER (WHERE minute_at >= :window AND minute_at < :due) AS taken,
               sum(delivered) AS delivered
        FROM carrier_minute WHERE code = s.code AND minute_at >= :now - interval '1 day'
    ) day ON true
    LEFT JOIN LATERAL (
        SELECT day.errors, day.taken, CASE WHEN day.delivered > 0 THEN day.late END AS late
    ) m ON true
    ORDER BY s.channel, s.code FOR UPDATE OF s
""")

_MOVE = HotStatement("""
    UPDATE carrier_state SET weight = :weight,
        shifted_at = CASE WHEN :why = 'resting' THEN shifted_at ELSE :now END,
        eased_at = CASE WHEN :why = 'resting' THEN :now ELSE eased_at END
    WHERE code = :code RETURNING code
""")


def balance(session: Session, *, now: datetime) -> list[Move]:
    """Move weights where the last minutes say so; returns what was moved."""
    values = {"now": now, "window": now - WINDOW, "due": now - SLOW_AFTER - _MINUTE}
    moves: list[Move] = []
    for _channel, rows in groupby(_STANDING.rows(session, values), key=lambda row: row[0]):
        moves += weigh([_standing(row) for row in rows], now=now)
    for move in moves:
        _MOVE.rows(session, {**move._asdict(), "now": now})
        _log.warning("carrier_weight", carrier=move.code, weight=move.weight, why=move.why)
    return moves


def _standing(row: tuple[object, ...]) -> Standing:
    names = (
        "code", "weight", "resting_weight", "shifted_at", "eased_at", "stopped", "errors", "late",
        "taken",
    )  # fmt: skip
    return Standing(**dict(zip(names, row[1:], strict=True)))  # type: ignore[arg-type]
