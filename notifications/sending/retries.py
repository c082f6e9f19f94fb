"""When a notice is tried again: soon at first, then seldom, at no moment others can guess."""

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from notifications.channels.base import Kind

MOST_TRIES: Final = 200  # more than any outage takes
MOST_LOST: Final = 8  # of what kills the workers that try it
BROKEN_TRIES: Final = 8  # of what an adapter fails over
SILENT_TRIES: Final = 4  # where the carrier knows what it has: after that it counts as taken
_WAITED_FOR: Final = timedelta(seconds=15)  # who waits for a code looks at the clock


class Pauses(NamedTuple):
    """How a channel is tried again: within ``base``, twice that, four times that … up to ``cap``.

    ``tries``: so many, and the channel behind it has its turn; the last one goes on.
    """

    base: timedelta
    cap: timedelta
    tries: int


_USUAL: Final = Pauses(timedelta(seconds=4), timedelta(minutes=15), 8)
_PAUSES: Final[Mapping[str, Pauses]] = {
    "email": Pauses(timedelta(seconds=15), timedelta(hours=1), 8),  # greylisting takes minutes
    "sms": Pauses(timedelta(seconds=4), timedelta(minutes=10), 8),
    "webhook": Pauses(timedelta(seconds=10), timedelta(hours=3), 20),
}


def pauses_of(channel: str) -> Pauses:
    return _PAUSES.get(channel, _USUAL)


def pause(channel: str, kind: Kind, tries: int, draw: random.Random) -> timedelta:
    """Return how long to wait after a try that came to nothing: full jitter."""
    pauses = pauses_of(channel)
    cap = min(pauses.cap, _WAITED_FOR) if kind is Kind.CODE else pauses.cap
    longest = min(cap, pauses.base * (1 << min(max(tries - 1, 0), 20)))
    return longest * draw.random()
