"""Live through many seeded weeks, or tell one: ``python -m tests.weeks --seeds 1000``.

    python -m tests.weeks [--seeds N] [--processes P] [--from S]
    python -m tests.weeks --seed N [--trace]

Each process has a database of its own on a PostgreSQL of this run. A week that breaks is shown with
its seed, and the exit status is 1; the others go on.
"""

import argparse
import os
import sys

from tests.weeks.many import live_all, tell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        sys.exit(tell(chosen.seed, trace=chosen.trace))
    sys.exit(live_all(chosen.first, chosen.seeds, chosen.processes))


if __name__ == "__main__":
    main()
