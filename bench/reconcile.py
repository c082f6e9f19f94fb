r"""How near a gateway's day of a million rows comes to the database's own speed.

*Ours*: a settlement file laid beside as many payments as a worker does it, in a process of its own:
read and check the file, land its rows, sum up what the ledger moved for each payment, match, class,
record. *Limit*: ``psql \\copy`` of the same rows into such a table with its key, and one hash join
of it with the payments; ``bare_ratio`` is against a table that has no key either. All in this run,
in turn, on the same rows.

    python -m bench.reconcile [--rows N] [--repeats K] [--json]
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import polars
import psycopg

from bench.bill_import import ROOT, spread, timed, told
from bench.reconcile_city import (
    DAY,
    ENDED,
    GATEWAY,
    NOW,
    STARTED,
    copied,
    make_payments,
    settled_rows,
    settlement_file,
)
from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from core.db import transaction
from payments.gateways.sandbox import Sandbox
from payments.reconciliation.gateway.matching import reconcile

_FOUND = ("reconciliation_break", "settlement_left", "gateway_match", "bank_due",
          "settlement_arrival", "reconciliation", "settlement_row", "settlement_file")  # fmt: skip
_ROWS = f"""
    SELECT 1::bigint, row_number() OVER (ORDER BY id) + 2, 'payment', order_no, gateway_ref,
           amount_fen, 6, paid_at, ''
    FROM payment WHERE gateway = '{GATEWAY}' ORDER BY id
"""
_JOIN = f"""
    SELECT count(*) FILTER (WHERE o.amount_fen = t.amount_fen),
           count(*) FILTER (WHERE o.order_no IS NULL), count(*) FILTER (WHERE t.reference IS NULL)
    FROM (SELECT order_no, amount_fen FROM payment
          WHERE gateway = '{GATEWAY}' AND paid_at >= '{STARTED}' AND paid_at < '{ENDED}') o
    FULL JOIN bare_row t ON t.reference = o.order_no
"""


class Bench:
    def __init__(self, servers: Servers, folder: Path, rows: int) -> None:
        self.servers, self.rows = servers, rows
        self.url = servers.database_url("bench")
        self.file, self._copy = folder / "settlement.csv", folder / "rows.copy"
        with psycopg.connect(self.url, autocommit=True) as connection, self._copy.open("wb") as out:
            make_payments(connection, rows)
            self.file.write_bytes(settlement_file(settled_rows(connection)))
            for piece in copied(connection, _ROWS, "FORMAT text"):
                out.write(piece)

    def ours(self) -> tuple[float, float, int]:
        """Reconcile the day, then the same file again; seconds of both, and peak MB."""
        answer = multiprocessing.get_context("spawn").Queue()
        process = multiprocessing.get_context("spawn").Process(
            target=reconcile_twice, args=(self.url, str(self.file), self.rows, answer)
        )
        process.start()
        found: tuple[float, float, int] = answer.get(timeout=900)
        process.join()
        return found

    def limit(self, keys: str = "INCLUDING INDEXES") -> float:
        """Time the same rows' COPY into a table of its own, and the join alone."""
        self._owner(
            f"DROP TABLE IF EXISTS bare_row; CREATE TABLE bare_row (LIKE settlement_row {keys})",
            "CHECKPOINT",
        )
        return timed(lambda: self._psql(f"\\copy bare_row FROM '{self._copy}'", _JOIN))

    def _psql(self, *commands: str) -> None:
        given = [part for command in commands for part in ("-c", command)]
        done = subprocess.run(
            [self.servers.binary("psql"), self.url, "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-c", "SET enable_mergejoin = off", *given],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.split() == [f"{self.rows}|0|0"], done.stdout

    def forget(self) -> None:
        """Have the day as if nobody had told of it; neither side pays for the other's leftovers."""
        self._owner("; ".join(f"TRUNCATE {table} CASCADE" for table in _FOUND))
        self._owner("VACUUM ANALYZE", "CHECKPOINT")

    def _owner(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode())


def reconcile_twice(url: str, path: str, rows: int, answer: Any) -> None:
    """Reconcile the day in this process; tells how long it took, and the same again."""
    db.bind(url)
    gateway, seconds = Sandbox("http://127.0.0.1:9", "no secret is needed to read a file"), []
    for _ in range(2):
        started = time.perf_counter()
        with Path(path).open("rb") as file, transaction() as session:
            found = reconcile(session, gateway, file, day=DAY, file_name="bench.csv", now=NOW)
        seconds.append(time.perf_counter() - started)
        assert (found.matched, found.breaks) == (rows, 0), found
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    answer.put((*seconds, peak_mb))


def measure(rows: int, repeats: int) -> dict[str, Any]:
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-reconcile-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    ours, again, limits, bares, peaks_mb = [], [], [], [], []
    try:
        with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
            servers.create_database("bench")
            migrate(servers.database_url("bench"), today=DAY)
            told(f"{rows:,} payments …")
            bench = Bench(servers, Path(scratch), rows)
            for turn in range(repeats + 1):  # the first turn warms up
                bench.forget()
                first, second, peak_mb = bench.ours()
                bench.forget()
                limit, bare = bench.limit(), bench.limit(keys="")
                told(
                    f"turn {turn}: {first:.1f} s, again {second:.1f} s,"
                    f" limit {limit:.1f} s, without a key {bare:.1f} s"
                )
                if turn:
                    ours.append(first)
                    again.append(second)
                    limits.append(limit)
                    bares.append(bare)
                    peaks_mb.append(peak_mb)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "name": "reconcile",
        "ours": spread([rows / one for one in ours], "rows/s"),
        "limit": spread([rows / one for one in limits], "rows/s (COPY and a hash join)"),
        "ratio": ratio(limits, ours),
        "bare_ratio": ratio(bares, ours),
        "again_ratio": ratio(limits, again),
        "peak_mb": max(peaks_mb),
        "rows": rows,
        "repeats": repeats,
        "versions": {
            "python": platform.python_version(), "psycopg": psycopg.__version__,
            "polars": polars.__version__,
        },
    }  # fmt: skip


def ratio(limits: list[float], ours: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(limits, ours, strict=True)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.rows, chosen.repeats)
    if chosen.json:
        print(json.dumps(found))
        return
    print(f"{found['name']}: {found['ratio']} of the limit, {found['rows']:,} rows")
    for side in ("ours", "limit"):
        one = found[side]
        print(f"  {side:<6}{one['median']:>9,} {one['unit']}  ({one['min']:,} to {one['max']:,})")
    print(f"  {found['bare_ratio']} of a COPY without a key; the same file again ", end="")
    print(f"{found['again_ratio']}; peak memory {found['peak_mb']} MB")


if __name__ == "__main__":
    main()
