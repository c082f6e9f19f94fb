"""What goes wrong next with an order at the sandbox gateway, when somebody has asked for it.

Source: docs/wire/sandbox-gateway.md, "Faults".
"""

from enum import StrEnum
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field

NEXT = "*"  # the next order that is opened or debited, whatever its number


class Fault(StrEnum):
    SILENT = "silent"  # does it, and hangs up in the middle of the answer
    ERROR = "error"  # does it, and answers 500
    OTHER_AMOUNT = "other_amount"  # takes one fen more


class FaultRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_no: str = Field(pattern=r"^(\*|[0-9A-Za-z._:~-]{1,64})$")
    fault: Fault = Field(strict=False)


class Faults:
    """Each fault happens once. A restart forgets those that have not happened."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, Fault] = {}

    def set(self, asked: FaultRequest) -> None:
        """Have a fault happen; a second one of the same order takes the first one's place."""
        with self._lock:
            self._waiting[asked.order_no] = asked.fault

    def name(self, order_no: str) -> None:
        """Give a new order the fault that waits for whichever comes next."""
        with self._lock:
            if NEXT in self._waiting:
                self._waiting.setdefault(order_no, self._waiting.pop(NEXT))

    def take(self, order_no: str, *wanted: Fault) -> Fault | None:
        """Return the fault that waits for an order if it is one of these; it is then over."""
        with self._lock:
            if self._waiting.get(order_no) not in wanted:
                return None
            return self._waiting.pop(order_no)

    def waiting(self) -> dict[str, Fault]:
        """Return what has not happened yet, by order."""
        with self._lock:
            return dict(self._waiting)
