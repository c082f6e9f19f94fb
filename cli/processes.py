"""Child processes that live and die with their parent."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 10
_HUSH = "ignore:You're running the worker with superuser"  # said by us, in the docs


class Family:
    """Processes started together; when one dies, or a signal comes, all are stopped."""

    def __init__(self, folder: Path, out: int | None = None) -> None:
        """Work in ``folder``; ``out`` is a file descriptor for what they print (None: ours)."""
        self._folder, self._out = folder, out
        self._members: dict[str, subprocess.Popen[bytes]] = {}
        self._told_to_stop = False

    def start(self, name: str, *module: str) -> None:
        """Start ``python -m module …`` under a name, in a session of its own.

        Of its own, so that Ctrl-C in the terminal reaches only us and we stop them in good order.
        """
        self._members[name] = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *module],
            cwd=self._folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": _HUSH},
            stdout=self._out,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def dead(self) -> str | None:
        """Return the name of a member that has ended, if any."""
        return next((name for name, one in self._members.items() if one.poll() is not None), None)

    def watch(self) -> str | None:
        """Wait for Ctrl-C, a SIGTERM or a death; returns who died, if that is why."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop_soon)
        while not self._told_to_stop:
            name = self.dead()
            if name is not None:
                return name
            time.sleep(0.2)
        return None

    def _stop_soon(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_stop = True

    @property
    def told_to_stop(self) -> bool:
        return self._told_to_stop

    def stop(self) -> None:
        """Stop every member, the last started first, and wait for them."""
        for one in reversed(self._members.values()):
            if one.poll() is None:
                one.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for one in self._members.values():
            try:
                one.wait(timeout=max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()


def _die_with_parent() -> None:
    """Ask Linux to end this child when its parent is gone, even if that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
