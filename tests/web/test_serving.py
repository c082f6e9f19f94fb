"""``python -m web.serving``: several processes on one port, each with its share of callers."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.workers.conftest import environment

ROOT = Path(__file__).parents[2]
CALLERS = 64


@contextmanager
def a_web(
    database_url: str, processes: int, said: Path = Path(os.devnull)
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Serve in so many processes; yields who started them, and the port.

    Args:
        said: where what they write is kept.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with said.open("wb") as output, subprocess.Popen(
        [sys.executable, "-m", "web.serving", "--port", str(port), "--processes", str(processes)],
        cwd=ROOT, env=environment(CITYBILL_DATABASE_URL=database_url),
        stdout=output, stderr=subprocess.STDOUT,
    ) as web:  # fmt: skip
        try:
            yield web, port
        finally:
            web.kill()


def children_of(pid: int) -> list[int]:
    """The processes that serve; multiprocessing has one more, which tracks what they share."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def listening(pids: list[int], port: int) -> bool:
    return all(f":{port:04X}" in listeners_of(pid) for pid in pids)


def listeners_of(pid: int) -> set[str]:
    """The ports a process listens on, as the kernel writes them."""
    of_sockets = {}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        column = line.split()
        if column[3] == "0A":
            of_sockets[column[9]] = column[1][-5:]
    return {of_sockets[one] for one in sockets_of(pid) & of_sockets.keys()}


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(one.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target.removeprefix("socket:[").rstrip("]"))
    return found


def until(true: Callable[[], bool], *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def started(web: subprocess.Popen[bytes], port: int, processes: int) -> list[int]:
    until(lambda: len(children_of(web.pid)) == processes)
    children = children_of(web.pid)
    until(lambda: listening(children, port))
    return children


class TestSeveralProcesses:
    def test_each_has_its_share_of_callers_and_all_end_in_good_order(
        self, database_url: str, tmp_path: Path
    ) -> None:
        with a_web(database_url, 2, tmp_path / "said") as (web, port):
            children = started(web, port, 2)
            before = {pid: len(sockets_of(pid)) for pid in children}
            lines = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(CALLERS)]
            for line in lines:
                line.request("GET", "/healthz?of=somebody")
            assert {line.getresponse().read() and 200 for line in lines} == {200}

            shares = [len(sockets_of(pid)) - before[pid] for pid in children]

            assert min(shares) >= CALLERS // 5  # one in a million by chance, were all dealt fairly
            for line in lines:
                line.close()
            web.send_signal(signal.SIGTERM)
            assert web.wait(timeout=60) == 0
            assert all(map(gone, children))
        assert "somebody" not in (tmp_path / "said").read_text()  # an address may hold a secret

    def test_when_one_dies_all_end_so_that_they_are_started_anew(self, database_url: str) -> None:
        with a_web(database_url, 2) as (web, port):
            children = started(web, port, 2)

            os.kill(children[0], signal.SIGKILL)

            assert web.wait(timeout=60) == 1
            assert all(map(gone, children))

    def test_without_who_started_them_they_leave_the_port(self, database_url: str) -> None:
        with a_web(database_url, 2) as (web, port):
            children = started(web, port, 2)

            web.kill()

            until(lambda: all(map(gone, children)))
