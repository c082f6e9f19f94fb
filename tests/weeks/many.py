"""Many weeks, in several processes: each has a database of its own on a PostgreSQL of this run."""

import multiprocessing
import os
import queue
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from tests.conftest import NOW, ROOT
from tests.weeks.run import run
from tests.weeks.week import Broken


@contextmanager
def own_servers() -> Iterator[Servers]:
    """Run a PostgreSQL of our own, thrown away afterwards."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-weeks-{os.getpid()}")
    try:
        with Servers(folder, fsync=False) as servers:
            yield servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bind(url: str) -> None:
    """Prepare a database and bind this process to it."""
    migrate(url, today=NOW.date())
    db.bind(url)
    for engine in db.engines():
        event.listen(engine, "connect", _keep_statements)


def _keep_statements(connection: Any, _record: Any) -> None:
    """Have a statement parsed once: a week has some five hundred, and psycopg keeps a hundred."""
    connection.prepare_threshold, connection.prepared_max = 1, None


def live(url: str, first: int, count: int, every: int, news: Any) -> None:
    """Live through every so-manyth seed; tell of each: (seed, counts or None, complaint)."""
    bind(url)
    for seed in range(first, first + count, every):
        try:
            told = run(seed)
            news.put((seed, told.counts, ""))
        except BaseException as broken:
            news.put((seed, None, f"{type(broken).__name__}: {broken}"))
            if isinstance(broken, KeyboardInterrupt):
                raise
    news.put(None)


def live_all(first: int, count: int, processes: int) -> int:
    """Live through many seeds in several processes; returns the exit status."""
    spawn = multiprocessing.get_context("spawn")
    news: Any = spawn.Queue()
    started, sums, broken, lived = time.monotonic(), Counter[str](), [], 0
    with own_servers() as servers:
        workers = []
        for at in range(processes):
            servers.create_database(f"weeks_{at}")
            url = servers.database_url(f"weeks_{at}")
            worker = spawn.Process(
                target=live, args=(url, first + at, count - at, processes, news), daemon=True
            )
            worker.start()
            workers.append(worker)
        living = len(workers)
        while living:
            try:
                told = news.get(timeout=5)
            except queue.Empty:
                if not any(worker.is_alive() for worker in workers):
                    raise RuntimeError("the processes are gone, and have not said so") from None
                continue
            if told is None:
                living -= 1
                continue
            seed, counts, complaint = told
            lived += 1
            if counts is None:
                broken.append(seed)
                sys.stdout.write(f"\n{complaint}\n")
                sys.stdout.flush()
            else:
                sums.update(counts)
            rate = lived * 60 / (time.monotonic() - started)
            sys.stderr.write(f"\r{lived:,} of {count:,} seeds, {rate:,.0f} a minute ")
            sys.stderr.flush()
        for worker in workers:
            worker.join()
    sys.stdout.write(f"\n{lived:,} seeds from {first}: {len(broken)} broken {broken[:20]}\n")
    for what, times in sorted(sums.items()):
        sys.stdout.write(f"  {what}: {times:,}\n")
    return 1 if broken else 0


def tell(seed: int, *, trace: bool) -> int:
    """Live through one seed, and tell its story."""
    with own_servers() as servers:
        servers.create_database("weeks")
        bind(servers.database_url("weeks"))
        try:
            told = run(seed)
        except Broken as broken:
            story = [str(broken)] + (["", "all of it:", *broken.story] if trace else [])
            sys.stdout.write("\n".join(story) + "\n")
            return 1
    sys.stdout.write("\n".join(told.story if trace else [str(told.counts)]) + "\n")
    return 0
