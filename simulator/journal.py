"""An append-only file of JSON lines: what a part of the simulator remembers over a restart."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from core.errors import Invalid

_LINE_BYTES = 1_024  # more than a line is long


class Journal:
    """One part's memory. Each line is one change, whole or not there at all.

    A line cut short by a crash can only be the last; it was never answered for, so it is dropped.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = Lock()
        self._mend_tail()
        self._file = path.open("ab")

    def replay(self) -> Iterator[dict[str, Any]]:
        """Yield every remembered change, oldest first.

        Raises:
            Invalid: a line other than the last is unreadable: somebody edited the file.
        """
        with self._path.open("rb") as lines:
            for line_no, line in enumerate(lines, start=1):
                change = _read(line)
                if change is None:
                    raise Invalid(f"{self._path.name} line {line_no} is not a JSON object")
                yield change

    @staticmethod
    def latest(path: Path, limit: int) -> list[dict[str, Any]]:
        """Return the newest changes of a journal that another process may be writing."""
        try:
            with path.open("rb") as file:
                file.seek(max(file.seek(0, 2) - limit * _LINE_BYTES, 0))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        changes = [change for line in reversed(lines) if (change := _read(line)) is not None]
        return changes[:limit]

    def append(self, change: Mapping[str, Any]) -> None:
        """Remember one change; it is with the operating system when this returns."""
        line = json.dumps(change, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line.encode())
            self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def _mend_tail(self) -> None:
        """Cut a torn last line off, so that the next change begins a line of its own."""
        if not self._path.exists():
            return
        with self._path.open("r+b") as file:
            start, last = 0, b""
            for line in file:
                start, last = start + len(last), line
            if not last:
                return
            if _read(last) is None:
                file.truncate(start)
            elif not last.endswith(b"\n"):
                file.seek(0, 2)
                file.write(b"\n")


def _read(line: bytes) -> dict[str, Any] | None:
    """Return the object on ``line``, or None where there is none."""
    try:
        change = json.loads(line)
    except ValueError:
        return None
    return change if isinstance(change, dict) else None
