"""What goes wrong next at a gateway's far side, once, with an order somebody named."""

from enum import StrEnum
from threading import Lock
from typing import Generic, TypeVar

Fault = TypeVar("Fault", bound=StrEnum)


class OneTimeFaults(Generic[Fault]):
    """Each happens once; a restart forgets those that have not happened."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, Fault] = {}

    def set(self, order_no: str, fault: Fault) -> None:
        """Have a fault happen; a second one of the same order takes the first one's place."""
        with self._lock:
            self._waiting[order_no] = fault

    def take(self, order_no: str, *wanted: Fault) -> Fault | None:
        """Return the fault that waits for an order if it is one of these; it is then over."""
        with self._lock:
            if self._waiting.get(order_no) not in wanted:
                return None
            return self._waiting.pop(order_no)

    def hand_on(self, order_no: str, *, to: str) -> None:
        """Give what waits for one number to another, unless that has a fault of its own."""
        with self._lock:
            if order_no in self._waiting:
                self._waiting.setdefault(to, self._waiting.pop(order_no))

    def waiting(self) -> dict[str, Fault]:
        """Return what has not happened yet, by order."""
        with self._lock:
            return dict(self._waiting)
