"""The command line at a fraction of its start: forked from a process that has its libraries.

A command run so is a process of its own, with arguments, an environment, a folder, an end and an
exit code of its own, and it imports every module of ours itself. Only other people's libraries are
there already, because importing them takes longer than most commands.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from runpy import run_module
from tempfile import TemporaryDirectory
from threading import active_count
from typing import Any

ROOT = Path(__file__).parents[1]
_SECONDS = 60  # a command's, at most
_LIBRARIES = (  # not polars: it starts threads, which a fork does not take along
    "alembic.context", "argon2", "asyncssh", "cryptography.fernet", "holidays", "httpx", "limits",
    "lxml.etree", "pydantic_settings", "psycopg", "redis", "reportlab.graphics.barcode.code128",
    "reportlab.pdfgen.canvas", "reportlab.platypus", "rich.table", "segno",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlmodel", "structlog", "typer.rich_utils",
)  # fmt: skip


class Commands(AbstractContextManager["Commands"]):
    """Runs commands, one after another, for one process of the tests."""

    def __enter__(self) -> "Commands":
        self._folder = TemporaryDirectory()
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "tests.commands"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        with self._forking as forking:
            assert forking.stdin is not None
            forking.stdin.close()
        self._folder.cleanup()

    def run(
        self, *arguments: object, env: Mapping[str, str], cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """Run ``citybill`` with these arguments, in this environment and no other."""
        assert self._forking.stdin is not None
        assert self._forking.stdout is not None
        said = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        order = {
            "arguments": [*map(str, arguments)], "env": dict(env), "cwd": str(cwd),
            "said": [*map(str, said)],
        }  # fmt: skip
        self._forking.stdin.write(json.dumps(order) + "\n")
        self._forking.stdin.flush()
        code = int(self._forking.stdout.readline())
        return subprocess.CompletedProcess(
            order["arguments"], code, *(one.read_text(encoding="utf-8") for one in said)
        )


def serve() -> None:
    """Fork a process for every order; in that process return, to go on as the command."""
    for name in _LIBRARIES:
        import_module(name)
    for line in sys.stdin:
        assert not is_threaded(), "a fork takes no threads along: preload nothing that starts any"
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            run_module("cli", run_name="__main__", alter_sys=True)
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def is_threaded() -> bool:
    """Tell whether this process has another thread, by Linux's count if there is one."""
    counted = Path("/proc/self/task")
    return (len(list(counted.iterdir())) if counted.exists() else active_count()) > 1


def become(order: dict[str, Any]) -> None:
    """Be the process that an order asks for."""
    signal.alarm(_SECONDS)  # who hangs is ended, and its exit code says so
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in enumerate(order["said"], start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["citybill", *order["arguments"]]


if __name__ == "__main__":
    serve()
