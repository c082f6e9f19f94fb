"""The lanes of notices: rung for while something is due, and handed over by who hears it.

The rows are the jobs. A bell carries nothing but which lane it is for; of each lane no more than
a few wait to be heard, whatever is due, so Redis never holds a backlog.
"""

import time
from datetime import datetime
from functools import cache
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core import log
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from notifications.channels.base import Carrier
from notifications.models import Lane
from notifications.sending.carriers import ensure_known
from notifications.sending.claiming import find_behind
from notifications.sending.handing import BATCH, House, hand_over_due
from workers.app import Queue, celery
from workers.start import outside

QUEUES = {Lane.NOW: Queue.NOTICES, Lane.BULK: Queue.BULK}
BELLS = 4  # so many of a lane at most wait to be heard
_TURN_SECONDS = 2  # after which a thread listens again: a queue has other bells too
_log = log.logger(__name__)


def bell(lane: Lane) -> str:
    """Return the name of the task that hands over what is due of a lane."""
    return f"{QUEUES[lane]}.hand_over"


def ring(*, now: datetime) -> int:
    """Ring for the lanes in which something is due, in proportion; returns how many bells.

    Redis being away costs delay and nothing else: the next round rings again.
    """
    with transaction() as session:
        behind = find_behind(session, now=now, most=BELLS * BATCH)
    due = {one.lane: -(-one.how_many // BATCH) for one in behind if one.how_many}
    try:
        for lane, bells in due.items():
            for _ in range(_waiting(lane), bells):
                celery.send_task(bell(lane))
    except (OperationalError, RedisError, OSError) as away:
        _log.warning("redis_away", reason=str(away), lanes=len(due))
    return sum(due.values())


def _waiting(lane: Lane) -> int:
    """Return how many bells of a lane's queue nobody has heard yet."""
    with celery.producer_pool.acquire(block=True) as producer:
        channel: Any = producer.channel  # of Redis, whatever kombu's types say
        return int(channel.client.llen(QUEUES[lane]))


def _answer(lane: Lane) -> None:
    """Have this process hand over what is due of a lane when it is rung for."""

    def rung() -> None:
        until = time.monotonic() + _TURN_SECONDS
        while hand_over(lane) == BATCH and time.monotonic() < until:
            pass

    celery.task(name=bell(lane))(rung)


for _lane in QUEUES:
    _answer(_lane)


def hand_over(lane: Lane) -> int:
    """Hand over a batch of a lane; returns how many notices were claimed."""
    chosen = settings()
    house = House(chosen.public_url, chosen.secret_key.get_secret_value())
    return hand_over_due(lane, _carriers(), now=utc_now(), house=house)


@cache
def _carriers() -> dict[str, list[Carrier]]:
    """Return this process's carriers by channel, all of them known to the database."""
    carriers = outside().carriers
    with transaction() as session:
        ensure_known(
            session, [one for many in carriers.values() for one in many],
            settings().carrier_weights,
        )  # fmt: skip
    return carriers
