"""Tell a city of its bills while workers are killed and Redis is flushed, stopped and hung.

``make tell TIMES=100``: however often a worker dies, each household is told of each bill; what a
carrier got twice is counted, and is at most what was on its way when a worker died.

    python -m tests.told [--rows N] [--times N] [--seed S]
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import redis

from bench.bill_import import ROOT
from bench.notify import CHANNELS, City
from cli.migrations import migrate
from cli.serve import WORKERS, worker
from cli.servers import Servers, default_data_dir
from core import db
from core.clock import billing_date
from notifications.sending.handing import SENDERS

_PAUSE_SECONDS = (0.2, 3.0)  # between two blows, drawn between them
_BLOWS = ("kill", "kill", "kill", "kill", "kill", "kill", "flush", "stop")
_HANG_SECONDS = 4.0


class Workers:
    """Our workers, each a process group of its own so that a kill takes all of it."""

    def __init__(self) -> None:
        self._running = {name: self._start(name, queues, n) for name, queues, n in WORKERS}

    def _start(self, name: str, queues: str, threads: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", *worker(name, queues, threads)], cwd=ROOT,
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self, chosen: random.Random) -> None:
        """Kill one with SIGKILL, and start it again."""
        name, queues, threads = chosen.choice(WORKERS)
        self._end(self._running[name], signal.SIGKILL)
        self._running[name] = self._start(name, queues, threads)

    def stop(self) -> None:
        for one in self._running.values():
            self._end(one, signal.SIGTERM)

    def _end(self, one: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(one.pid, number)
        one.wait()


def strike(workers: Workers, line: redis.Redis, chosen: random.Random) -> str:
    """Do one harm; returns which it was."""
    what = chosen.choice(_BLOWS)
    if what == "kill":
        workers.kill(chosen)
    elif what == "flush":
        line.flushall()
    else:  # it takes what is said to it and never answers: the blackhole
        pid = int(line.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_HANG_SECONDS)
        os.kill(pid, signal.SIGCONT)
    return what


def prove(rows: int, times: int, seed: int) -> int:
    """Tell and strike; returns the exit status."""
    chosen, base = random.Random(seed), default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-told-{os.getpid()}")
    done: dict[str, int] = {}
    with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
        servers.create_database("bench")
        migrate(servers.database_url("bench"), today=billing_date(datetime.now(UTC)))
        city = City(servers, Path(scratch), rows)
        city.prepare()
        workers, line = Workers(), redis.Redis.from_url(servers.redis_url)
        try:
            time.sleep(5)
            city.publish()
            while city.handed_over() < rows and done.get("kill", 0) < times:
                time.sleep(chosen.uniform(*_PAUSE_SECONDS))
                what = strike(workers, line, chosen)
                done[what] = done.get(what, 0) + 1
                sys.stderr.write(f"\r{city.handed_over():,} told, {done} ")
                sys.stderr.flush()
            city.wait(stalled_seconds=180)  # the last killed worker's leases end first
            came = city.counts()
        finally:
            workers.stop()
            city.family.stop()
            db.hang_up()
    shutil.rmtree(folder, ignore_errors=True)
    return judge(rows, done, came)


def judge(rows: int, done: dict[str, int], came: dict[str, dict[str, int]]) -> int:
    """Tell what was found; 0 when nobody was left out and little came twice."""
    messages = sum(came[channel]["messages"] for channel in CHANNELS)
    twice = sum(came[channel]["twice"] for channel in CHANNELS)
    most = done.get("kill", 0) * 2 * SENDERS
    sys.stdout.write(
        f"{done}: {messages:,} of {rows:,} told, {twice} of them more than once (at most {most}"
        f" were on their way): { {channel: came[channel]['twice'] for channel in CHANNELS} }\n"
    )
    return 0 if messages == rows and twice <= most else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    sys.stderr.write(f"seed {chosen.seed}\n")
    sys.exit(prove(chosen.rows, chosen.times, chosen.seed))


if __name__ == "__main__":
    main()
