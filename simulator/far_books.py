"""What the books of all gateways' far sides have in common.

A memory that outlives a restart, and notifications that are tried again until they are taken.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import RLock
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from simulator.journal import Journal

_DELIVERIES = "deliveries"


class FarDelivery(BaseModel, ABC):
    """One notification on its way; ``due_at`` is None once it was taken or given up."""

    model_config = ConfigDict(frozen=True)

    delivery_id: str
    url: str
    attempts: int = 0
    delivered: bool = False
    due_at: datetime | None = None

    @property
    @abstractmethod
    def about(self) -> str:
        """The number of what it tells of."""


D = TypeVar("D", bound=FarDelivery)


class FarBooks(ABC, Generic[D]):
    """Thread-safe; each change is one journal line of whole records.

    ``on_due`` is called after anything was put on the agenda, so that a courier may wake. What is
    made of this calls ``_replay`` once it has somewhere to keep its records.

    Args:
        kinds: the records a line may hold, by their names there.
        retry_after: the waits between attempts at one notification.
    """

    def __init__(
        self,
        journal: Journal,
        kinds: Mapping[str, type[BaseModel]],
        delivery: type[D],
        *,
        retry_after: Sequence[timedelta],
    ) -> None:
        self.on_due: Callable[[], None] = lambda: None
        self._lock = RLock()
        self._journal, self._kinds, self._delivery = journal, kinds, delivery
        self._name_of: dict[type[BaseModel], str] = {kind: name for name, kind in kinds.items()}
        self._name_of[delivery] = _DELIVERIES
        self._retry_after = retry_after
        self._deliveries: dict[str, D] = {}
        self._deliveries_of: defaultdict[str, list[str]] = defaultdict(list)
        self._waiting: set[str] = set()  # deliveries to be attempted

    @abstractmethod
    def _keep(self, record: BaseModel) -> None:
        """Hold a record as it is now, in the place of what it was."""

    @abstractmethod
    def _moments(self) -> Iterable[datetime | None]:
        """Return when something but a delivery is to be done."""

    def due_deliveries(self, *, now: datetime) -> list[D]:
        """Return the notifications to attempt now."""
        with self._lock:
            waiting = [self._deliveries[name] for name in self._waiting]
        return [one for one in waiting if one.due_at is not None and one.due_at <= now]

    def book_attempt(self, delivery: D, *, taken: bool, now: datetime) -> None:
        """Enter how an attempt went, and when the next is due if there is one."""
        waits = self._waits(delivery)[delivery.attempts :]
        due_at = now + waits[0] if waits and not taken else None
        tried = {"attempts": delivery.attempts + 1, "delivered": taken, "due_at": due_at}
        with self._lock:
            self._change(deliveries=[delivery.model_copy(update=tried)])

    def next_due_at(self, *, excluding: set[str]) -> datetime | None:
        """Return when something is next to be done, leaving out deliveries under way."""
        with self._lock:
            moments = [*self._moments()]
            moments += [self._deliveries[name].due_at for name in self._waiting - excluding]
        return min((moment for moment in moments if moment is not None), default=None)

    def _waits(self, delivery: D) -> Sequence[timedelta]:
        """Return the waits between attempts at a notification."""
        return self._retry_after

    def _told_of(self, number: str) -> list[D]:
        return [self._deliveries[name] for name in self._deliveries_of[number]]

    def _change(self, *records: BaseModel, deliveries: Iterable[D] = ()) -> None:
        """Remember new states of records: one line, so they land together or not at all."""
        told, line = list(deliveries), defaultdict[str, list[Any]](list)
        every: list[BaseModel] = [*records, *told]
        for one in every:
            line[self._name_of[type(one)]].append(one.model_dump(mode="json"))
        self._journal.append(line)
        self._keep_all(records, told)
        self.on_due()

    def _replay(self) -> None:
        """Read the journal through."""
        for line in self._journal.replay():
            records = [
                kind.model_validate(one) for name, kind in self._kinds.items()
                for one in _several(line.get(name, []))
            ]  # fmt: skip
            told = [self._delivery.model_validate(one) for one in line.get(_DELIVERIES, ())]
            self._keep_all(records, told)

    def _keep_all(self, records: Iterable[BaseModel], told: Iterable[D]) -> None:
        for record in records:
            self._keep(record)
        for one in told:
            if one.delivery_id not in self._deliveries:
                self._deliveries_of[one.about].append(one.delivery_id)
            self._deliveries[one.delivery_id] = one
            put(self._waiting, one.delivery_id, one.due_at is not None)


def _several(kept: Any) -> list[Any]:
    """Return the records of a kind in a line; older lines hold one, and no list around it."""
    return kept if isinstance(kept, list) else [kept]


def put(agenda: set[str], name: str, wanted: bool) -> None:
    """Have ``name`` on an agenda, or not."""
    (agenda.add if wanted else agenda.discard)(name)


def whole(moment: datetime) -> datetime:
    """Drop the part of a second the wire cannot carry, so every view agrees."""
    return moment.replace(microsecond=0)
