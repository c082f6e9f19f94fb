"""Kill an import at random moments and start it again: ``make kill TIMES=100``.

After any number of kills the books must be what an import nobody disturbed leaves, to the row, and
keep every invariant. What is killed is the importing process (SIGKILL), the database's process
behind one of its connections, or the whole database server (SIGKILL, every process of it).

    python -m tests.kill [--times N] [--what import|connection|server] [--rows N] [--seed S]
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from tests import nights
from tests.conftest import NOW, ROOT
from tests.factories import violations
from tests.victim import BEGUN, BUSY

_COUNTED = """
    WITH told AS (SELECT facts FROM outbox_event
                  WHERE topic = 'bills.recorded' AND subject_id = %(id)s::text)
    SELECT ARRAY[created, rejected, rows_done, created],
           ARRAY[(SELECT count(*) FROM bill) - (SELECT sum(created) FROM bill_file o
                                                WHERE o.id <> f.id),
                 (SELECT count(*) FROM bill_file_reject r WHERE r.bill_file_id = f.id),
                 coalesce((SELECT max((facts->>'upto_row')::int) FROM told), 0),
                 coalesce((SELECT sum((facts->>'created')::int) FROM told), 0)]
    FROM bill_file f WHERE id = %(id)s
"""
CHUNK_ROWS = 100
KINDS = ("import", "connection", "server")
_PATIENCE_SECONDS = 120
# What the latest statement of a connection tells of where its import is, the most telling first.
_PHASES = (
    ("COMMIT", "committing"),
    ("COPY bill_file_reject", "keeping rejects"),
    ("COPY bill ", "COPY of bills"),
    ("COPY ledger_transfer", "COPY of transfers"),
    ("UPDATE bill_file", "counting a chunk"),
    ("INSERT INTO outbox_event", "telling of a chunk"),
    ("verdict", "judging corrections"),
    ("contested", "judging corrections"),
    ("trim_scale(b.usage)", "comparing with bills held"),
    ("incoming", "taking in what meets bills held"),
    ("utility_account", "finding accounts"),
)


class Victim:
    """An import of a registered file in a process of its own, begun when this is made."""

    def __init__(
        self, url: str, data: Path, bill_file_id: int, *, chunk_rows: int = CHUNK_ROWS
    ) -> None:
        arguments = [url, str(data), str(bill_file_id), str(chunk_rows)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.victim", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == BEGUN, self._process.stderr

    def ends_within(self, seconds: float) -> bool:
        try:
            self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def status(self) -> tuple[int, str]:
        """Wait for its end; returns the exit status and what it complained of."""
        try:
            _, complaint = self._process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return self._process.returncode, complaint


def phase(monitor: psycopg.Connection[Any], bill_file_id: int) -> str:
    """Say where the import of a file is at this moment."""
    file = monitor.execute("SELECT status, rows FROM bill_file WHERE id = %s", [bill_file_id])
    status, rows = file.fetchone() or ("gone", 0)
    if status != "importing":
        return {"received": "before its first word", "imported": "after its last word"}[status]
    at_work = monitor.execute(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    queries = [query for (query,) in at_work]
    for words, name in _PHASES:
        if any(words in query for query in queries):
            return name
    return "reading and staging the file" if rows == 0 else "between statements"


def end_a_connection(monitor: psycopg.Connection[Any], chosen: random.Random) -> bool:
    """End the database's process behind one of the import's connections; tells whether it could."""
    rows = monitor.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchall()
    if not rows:
        return False
    monitor.execute("SELECT pg_terminate_backend(%s)", list(chosen.choice(rows)))
    return True


def kill_server(servers: Servers) -> None:
    """Kill every process of the database server at once, and start it again."""
    lock = servers.data_dir / "postgres" / "postmaster.pid"
    first = int(lock.read_text().split()[0])
    all_of_it = [first, *_children(first)]
    for pid in all_of_it:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while any(_is_alive(pid) for pid in all_of_it):
        time.sleep(0.01)
    again = Servers(servers.data_dir, fsync=servers.fsync)
    again.start()
    again.stop()  # it is in use by ``servers`` still, and so goes on


def _children(parent: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, after_name = stat.read_text().rpartition(")")
            if int(after_name.split()[1]) == parent:
                yield int(stat.parent.name)


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # of one that is dead it is blank
    return False


class Proof:
    """One night, and copies of the database in which its file has been registered."""

    def __init__(self, servers: Servers, folder: Path, *, rows: int, seed: int) -> None:
        self.servers, self.chosen = servers, random.Random(seed)
        self.killed: Counter[str] = Counter()
        night = nights.a_night(rows, seed=seed)
        self._data = folder / "tonight.txt"
        self._data.write_bytes(night.tonight)
        url = self._copy("the_start", of=None)
        migrate(url, today=NOW.date())
        with bound(url):
            self._file_id = nights.begin(night)
        with self._a_copy("undisturbed") as url:
            victim, began = Victim(url, self._data, self._file_id), time.monotonic()
            assert victim.status() == (0, "")
            self.seconds = time.monotonic() - began
            self.clean = self._kept(url)

    def story(self, what: str, most: int) -> int:
        """Kill one import until it is through, ``most`` times at most; returns how often."""
        kills = 0
        with self._a_copy("disturbed") as url:
            while True:
                victim, began = Victim(url, self._data, self._file_id), time.monotonic()
                if kills < most and not victim.ends_within(self.chosen.uniform(0, self.seconds)):
                    kills += self._strike(what, victim, url)
                status, complaint = victim.status()
                if status == 0:
                    if kills == 0:  # how long it takes changes with what else the machine does
                        self.seconds = time.monotonic() - began
                    break
                assert status in (BUSY, -signal.SIGKILL) or what != "import", complaint
                self._books_hold(url)
            if what == "server":
                kill_server(self.servers)  # what is said to be imported has reached the disk
            told = nights.differences(self._kept(url), self.clean)
            assert not told, "\n".join(told)
            self._books_hold(url)
        return kills

    def _strike(self, what: str, victim: Victim, url: str) -> int:
        with psycopg.connect(url, autocommit=True) as monitor:
            where = phase(monitor, self._file_id)
            if what == "connection" and not end_a_connection(monitor, self.chosen):
                return 0
            if what == "import":
                victim.kill()
        if what == "server":
            kill_server(self.servers)
        self.killed[where] += 1
        return 1

    def _books_hold(self, url: str) -> None:
        """Between two attempts too: what has landed is whole, counted and told of."""
        with bound(url):
            assert violations() == []
        with psycopg.connect(url) as connection:
            counted, found = connection.execute(_COUNTED, {"id": self._file_id}).fetchone() or ()
        assert counted == found, f"counted {counted}, found {found}"

    def _kept(self, url: str) -> dict[str, list[str]]:
        with bound(url):
            return nights.kept()

    @contextmanager
    def _a_copy(self, name: str) -> Iterator[str]:
        yield self._copy(name, of="the_start")
        self._server(f"DROP DATABASE {name} WITH (FORCE)")

    def _copy(self, name: str, *, of: str | None) -> str:
        self._server(f"CREATE DATABASE {name}" + (f" TEMPLATE {of}" if of else ""))
        return self.servers.database_url(name)

    def _server(self, statement: str) -> None:
        url = self.servers.database_url("postgres")
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(statement.encode())


@contextmanager
def bound(url: str) -> Iterator[None]:
    """Work on a database, and leave no connection to it behind."""
    db.bind(url)
    try:
        yield
    finally:
        db.hang_up()


def prove(times: int, what: str, rows: int, seed: int) -> int:
    """Kill so many times; returns the exit status."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-kill-{os.getpid()}")
    with Servers(folder, fsync=True) as servers:
        proof = Proof(servers, folder, rows=rows, seed=seed)
        done, stories = 0, 0
        while done < times:
            done += proof.story(what, times - done)
            stories += 1
            sys.stderr.write(f"\r{done} of {times} kills, {stories} imports ")
            sys.stderr.flush()
    shutil.rmtree(folder, ignore_errors=True)
    for where, count in proof.killed.most_common():
        sys.stdout.write(f"{count:6}  {where}\n")
    sys.stdout.write(f"{done} kills of the {what} in {stories} imports: the books are the same\n")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--what", choices=KINDS, default="import")
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    sys.stderr.write(f"seed {chosen.seed}\n")
    sys.exit(prove(chosen.times, chosen.what, chosen.rows, chosen.seed))


if __name__ == "__main__":
    main()
