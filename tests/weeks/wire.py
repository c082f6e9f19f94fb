"""What lies between us and a far side: calls that do not arrive, and answers that are lost."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from random import Random
from typing import NamedTuple, Protocol, TypeVar

from core import db
from core.clock import utc_now
from core.errors import UpstreamUnavailable
from tests.weeks.dying import Deaths

Told = TypeVar("Told")


class Story(Protocol):
    """Who tells what happens, and what is wrong."""

    def tell(self, line: str) -> None: ...

    def complain(self, line: str) -> None: ...

    def meanwhile(self) -> None: ...


class Outage(NamedTuple):
    """A far side that cannot be reached for a while, or acts and does not say so."""

    kind: str  # away, silent
    until: datetime


class Wire:
    """Calls to far sides. While one waits, others take steps: ``Story.meanwhile``."""

    def __init__(self, dice: Random, deaths: Deaths, story: Story) -> None:
        self.dice, self.deaths, self.story = dice, deaths, story
        self.away_often = self.silent_often = 0  # in a thousand
        self.outages: dict[str, Outage] = {}  # by the far side's code

    def call(self, what: str, act: Callable[[], Told], *, lost: Callable[[], Told]) -> Told:
        """Have a far side act; ``lost`` makes what its caller hears when the answer is.

        Raises:
            UpstreamUnavailable: the call never left us.
        """
        if any(one.pool.checkedout() for one in db.engines()):  # type: ignore[attr-defined]
            self.story.complain(f"{what}: a far side is called inside a transaction")
        self.deaths.point(f"before {what}")
        self.story.meanwhile()
        outage = self._outage_of(what)
        if outage == "away" or self.dice.randrange(1_000) < self.away_often:
            self.story.tell(f"  {what}: cannot be reached")
            raise UpstreamUnavailable(f"{what}: the far side cannot be reached")
        told = act()
        self.deaths.point(f"after {what}")
        self.story.meanwhile()
        if outage == "silent" or self.dice.randrange(1_000) < self.silent_often:
            self.story.tell(f"  {what}: done there, and the answer is lost")
            return lost()
        self.story.tell(f"  {what}: {_brief(told)}")
        return told

    def _outage_of(self, what: str) -> str:
        outage = self.outages.get(what.split()[0])
        return outage.kind if outage is not None and utc_now() < outage.until else ""


def _brief(told: object) -> str:
    """Return an answer's facts in one line, what is not said left out."""
    if not is_dataclass(told):
        return str(told)
    said = [getattr(told, one.name) for one in fields(told)]
    return " ".join(str(one) for one in said if one not in (None, False, ()) and one != {})
