"""What a company does wrong on demand, and the switchboard it is told so by.

The board is a file, so that a company can be switched from its own page, from the far side's, and
even while it is down and answers nobody.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request

from simulator.wire import is_form, read_json


class Operation(StrEnum):
    """What a company can be asked."""

    FETCH = "fetch"
    VALIDATE = "validate"
    WRITE_OFF = "write_off"
    QUERY = "query"
    REVERSE = "reverse"
    CONFIRMATIONS = "confirmations"


class Fault(StrEnum):
    """What a company does instead of behaving."""

    NONE = "none"
    SLOW = "slow"  # does it at once, answers eight seconds later
    ERROR = "error"  # 500, and nothing was done
    REFUSE = "refuse"  # a final no: account_closed
    SILENT = "silent"  # does it, and hangs up in the middle of the answer
    LIES_DONE = "lies_done"  # says yes with a receipt, and did nothing
    LIES_FAILED = "lies_failed"  # says no, and did it
    TWICE = "twice"  # first "not decided yet", then done; a list has every row twice
    FORGETS = "forgets"  # does it, and has lost it after two minutes or a restart
    WRONG_AMOUNT = "wrong_amount"  # does it, and says it took one fen more
    GARBAGE = "garbage"  # does it, and answers with a web page
    TRUNCATED = "truncated"  # does it, and answers with the first half of the answer
    DRIP = "drip"  # does it, and answers a byte every half second
    MISSING = "missing"  # of a day's list of write-offs: the last is left out
    EXTRA = "extra"  # it has a row nobody asked for
    REVERSED = "reversed"  # its first write-off is taken back
    NOT_YET = "not_yet"  # it is not there yet
    DOWN = "down"  # of the whole company: nobody listens


_ANY = {
    Fault.NONE, Fault.SLOW, Fault.ERROR, Fault.SILENT, Fault.GARBAGE, Fault.TRUNCATED, Fault.DRIP,
}  # fmt: skip
_LISTS = {Fault.MISSING, Fault.EXTRA, Fault.REVERSED, Fault.NOT_YET}
FAULTS_OF = {
    Operation.FETCH: _ANY | {Fault.TWICE},
    Operation.VALIDATE: _ANY,
    Operation.WRITE_OFF: set(Fault) - _LISTS - {Fault.DOWN},
    Operation.QUERY: _ANY | {Fault.TWICE},
    Operation.REVERSE: _ANY | {Fault.TWICE, Fault.REFUSE},
    Operation.CONFIRMATIONS: _ANY | _LISTS | {Fault.TWICE, Fault.WRONG_AMOUNT},
}


class FaultSwitch(BaseModel):
    """``times``: for so many questions; None is until switched again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault = Field(strict=False)
    times: int | None = Field(default=None, ge=1)
    operation: Operation | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _can_be(self) -> "FaultSwitch":
        if self.fault is Fault.DOWN:
            if self.operation is not None or self.times is not None:
                raise ValueError("a company is down as a whole, until it is switched again")
        elif self.fault not in FAULTS_OF[self.operation or Operation.WRITE_OFF]:
            raise ValueError(f"{self.fault} is nothing {self.operation} can do")
        return self


class Switchboard:
    """The switches of one company. Safe between threads and processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock_path = path.with_suffix(".lock")

    def set(self, switch: FaultSwitch) -> None:
        """Make the company misbehave, or behave again: ``none`` of no operation ends everything."""
        with self._locked():
            switches = self._read()
            if switch.fault is Fault.NONE and switch.operation is None:
                switches.clear()
            else:
                place = "company" if switch.fault is Fault.DOWN else switch.operation
                place = place or Operation.WRITE_OFF
                switches[place] = switch
                if switch.fault is Fault.NONE:
                    del switches[place]
            self._write(switches)

    def all(self) -> dict[str, FaultSwitch]:
        """Return every switch that is on, by operation, or ``company``."""
        return self._read()

    def is_down(self) -> bool:
        return "company" in self._read()

    def take(self, operation: Operation) -> Fault:
        """Return how to treat the question in hand, and count it."""
        if not self._read():
            return Fault.NONE
        with self._locked():
            switches = self._read()
            switch = switches.get(operation)
            if switch is None:
                return self._of_a_company_that_fails(operation, switches)
            if switch.times is not None:
                switches[operation] = switch.model_copy(update={"times": switch.times - 1})
                if switch.times == 1:
                    del switches[operation]
                self._write(switches)
            return switch.fault

    @staticmethod
    def _of_a_company_that_fails(operation: Operation, switches: dict[str, FaultSwitch]) -> Fault:
        """Fail at accounts where write-offs fail; what was written off can be told all the same."""
        of_write_offs = switches.get(Operation.WRITE_OFF)
        fails = of_write_offs is not None and of_write_offs.fault is Fault.ERROR
        told = operation in (Operation.QUERY, Operation.CONFIRMATIONS)
        return Fault.ERROR if fails and not told else Fault.NONE

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock_path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, FaultSwitch]:
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        return {place: FaultSwitch.model_validate(switch) for place, switch in found.items()}

    def _write(self, switches: dict[str, FaultSwitch]) -> None:
        part = self._path.with_suffix(".part")
        shown = {place: switch.model_dump(mode="json") for place, switch in switches.items()}
        part.write_text(json.dumps(shown))
        os.replace(part, self._path)


async def read_switch(request: Request) -> FaultSwitch:
    """Read a switch, as JSON from a test or as a form from a page. Raises Invalid."""
    body = await request.body()
    if not is_form(request):
        return read_json(FaultSwitch, body)
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    if not form.get("times", "").isdigit() or form.get("fault") in {"none", "down"}:
        form.pop("times", None)
    if form.get("fault") == "down":
        form.pop("operation", None)
    return read_json(FaultSwitch, json.dumps(_numbered(form)).encode())


def _numbered(form: dict[str, str]) -> dict[str, str | int]:
    return {name: int(text) if name == "times" else text for name, text in form.items()}
