"""Walk the city of ``tests/walk.py`` a long way: ``make prove STEPS=1000000``.

Each process walks a database of its own with seeds nobody chose. What breaks is shown with its seed
and ends the walk with exit status 1; ``--shrink`` with that seed finds the shortest story of it.

    python -m tests.prove [--steps N] [--processes P] [--seed S] [--shrink]
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import time
import traceback
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from tests import walk
from tests.conftest import NOW, ROOT

STEPS_A_STORY, STORIES_A_ROUND = 100, 10


def walk_far(url: str, steps: int, seed: int, shrink: bool, news: Any) -> None:
    """Walk one database until so many steps are done; tell of each round."""
    migrate(url, today=NOW.date())
    db.bind(url)
    chosen = settings(
        max_examples=STORIES_A_ROUND,
        stateful_step_count=STEPS_A_STORY,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        while walk.steps < steps:
            before = walk.steps
            seeded(seed)(walk.City)
            run_state_machine_as_test(walk.City, settings=chosen)
            seed += 1
            news.put(walk.steps - before)
    except BaseException:
        news.put(f"seed {seed}\n{traceback.format_exc()}")
        raise
    news.put(None)


def prove(steps: int, processes: int, seed: int, *, shrink: bool) -> int:
    """Walk in several processes; returns the exit status."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-prove-{os.getpid()}")
    news: Any = multiprocessing.get_context("spawn").Queue()
    started, done = time.monotonic(), 0
    with Servers(folder, fsync=False) as servers:
        workers = []
        for at in range(processes):
            name = f"walk_{at}"
            servers.create_database(name)
            share = (steps + at) // processes
            worker = multiprocessing.get_context("spawn").Process(
                target=walk_far,
                args=(servers.database_url(name), share, seed + at * 1_000_000, shrink, news),
            )
            worker.start()
            workers.append(worker)
        walking = processes
        while walking:
            told = news.get()
            if isinstance(told, str):
                sys.stderr.write(f"\nafter {done:,} steps: {told}\n")
                for worker in workers:
                    worker.terminate()
                return 1
            walking -= told is None
            done += told or 0
            rate = done / (time.monotonic() - started)
            sys.stderr.write(f"\r{done:,} of {steps:,} steps, {rate:,.0f} a second ")
            sys.stderr.flush()
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"\n{done:,} steps: every invariant held after each\n")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--shrink", action="store_true")
    chosen = parser.parse_args()
    sys.exit(prove(chosen.steps, chosen.processes, chosen.seed, shrink=chosen.shrink))


if __name__ == "__main__":
    main()
