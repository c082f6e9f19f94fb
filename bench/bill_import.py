r"""How near an import comes to the database's own speed.

*Ours*: ``citybill import`` as a process of its own, start to end: parse, validate, accounts, bills,
transfers, outbox, progress. *Limit*: one ``psql \\copy`` of the same bills alone into the bill
table with all its indexes and keys, on a fresh month each time. Both in this run, in turn: every
turn leaves two months more in the tables, so many turns show what growth costs.

    python -m bench.bill_import [--rows N] [--repeats K] [--json]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core.clock import add_months
from core.keys import month_range, named_key

ROOT = Path(__file__).parents[1]
FIRST_MONTH = date(2016, 1, 1)  # so long ago that the bills of many turns have been issued
_PROVIDER = "water"


def write_file(path: Path, month: date, rows: int) -> None:
    """Write a water file of ``rows`` bills, one an account, in the order of account numbers.

    Source: docs/wire/bill-files.md.
    """
    text = f"{month:%Y%m}"
    start, end = f"{month:%Y%m%d}", f"{month:%Y%m}28"
    issued = add_months(month, 1)
    total_fen = 0
    with path.open("w", encoding="gb18030", newline="\n") as out:
        out.write(f"H|WATER|{text}|{issued:%Y%m%d}\n")
        for at in range(rows):
            usage = 5 + at * 7919 % 40
            supply_fen, drainage_fen = usage * 225, usage * 180
            amount_fen = supply_fen + drainage_fen
            total_fen += amount_fen
            out.write(
                f"D|{at:010d}|王珅{at % 97}|上海市黄浦区汉口路{at % 900}弄{at % 60}号|{text}|"
                f"W{text}{at:09d}|1|N|{start}|{end}|{usage}|{yuan(supply_fen)}|"
                f"{yuan(drainage_fen)}|{yuan(amount_fen)}|{issued:%Y%m%d}|{issued:%Y%m}20\n"
            )
        out.write(f"T|{rows}|{yuan(total_fen)}\n")


def yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class Bench:
    def __init__(self, servers: Servers, folder: Path, rows: int) -> None:
        self.servers, self.folder, self.rows = servers, folder, rows
        self.url = servers.database_url("bench")
        self.environment = os.environ | {
            "CITYBILL_DATABASE_URL": self.url,
            "CITYBILL_REDIS_URL": servers.redis_url,
        }
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody runs a city like that

    def import_month(self, month: date) -> tuple[float, float, int]:
        """Import one month, then its bills again as another file; seconds of both and peak MB."""
        path = self.folder / f"water-{month:%Y%m}.txt"
        write_file(path, month, self.rows)
        first, peak_mb = self._import(path, created=self.rows)
        with path.open("r+b") as sent_again:  # another file number: every row is met again
            sent_again.seek(len("H|WATER|"))
            sent_again.write(b"9")
        again, _ = self._import(path, created=0)
        path.unlink()
        return first, again, peak_mb

    def _import(self, path: Path, *, created: int) -> tuple[float, int]:
        command = [sys.executable, "-m", "cli", "import", path, "--provider", _PROVIDER, "--json"]
        started = time.perf_counter()
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None
            told = json.loads(running.stdout.read())
            _, status, usage = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        assert running.returncode == 0, told
        assert (told["rows"], told["created"]) == (self.rows, created), told
        return seconds, usage.ru_maxrss // 1024

    def copy_month(self, imported: date, month: date) -> float:
        """Time psql's COPY of an imported month's bills, moved to another month, bills alone."""
        columns = (
            "account_id, id, bill_file_id, amount_fen, recorded_at, billing_month, "
            "period_from_on, period_to_on, issued_on, due_on, file_line_no, version, usage, "
            "bill_no, usage_unit, items"
        )
        first, after = month_range(imported)
        shift = named_key(month, "") - named_key(imported, "")
        path = self.folder / "bills.copy"
        moved = columns.replace(" id,", f" id + {shift},").replace(
            "billing_month", f"date '{month}'"
        )
        with psycopg.connect(self.url) as connection, path.open("wb") as out:
            query = (
                f"COPY (SELECT {moved} FROM bill WHERE id >= {first} AND id < {after} "
                "ORDER BY account_id, id) TO STDOUT"
            )
            with connection.cursor().copy(query) as copy:
                for piece in copy:
                    out.write(piece)
        seconds = timed(lambda: self._psql(f"\\copy bill ({columns}) FROM '{path}'"))
        path.unlink()
        return seconds

    def _psql(self, command: str) -> None:
        subprocess.run(
            [self.servers.binary("psql"), self.url, "-q", "-v", "ON_ERROR_STOP=1", "-c", command],
            check=True,
        )

    def settle(self) -> None:
        """Let neither side pay for the other's leftovers."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


def measure(rows: int, repeats: int) -> dict[str, Any]:
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-bench-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    imports, copies, replays, peaks_mb = [], [], [], []
    with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
        servers.create_database("bench")
        migrate(servers.database_url("bench"), today=FIRST_MONTH)
        bench = Bench(servers, Path(scratch), rows)
        for turn in range(repeats + 1):  # the first turn warms up and makes the accounts
            imported, copied = (
                add_months(FIRST_MONTH, 2 * turn),
                add_months(FIRST_MONTH, 2 * turn + 1),
            )
            migrate(servers.database_url("bench"), today=copied)
            bench.settle()
            first, again, peak_mb = bench.import_month(imported)
            bench.settle()
            copy = bench.copy_month(imported, copied)
            told(f"turn {turn}: import {first:.1f} s, again {again:.1f} s, COPY {copy:.1f} s")
            if turn:
                imports.append(first)
                replays.append(again)
                copies.append(copy)
                peaks_mb.append(peak_mb)
    shutil.rmtree(folder, ignore_errors=True)
    ratios = [copy / ours for copy, ours in zip(copies, imports, strict=True)]
    return {
        "name": "bill_import",
        "ours": spread([rows / one for one in imports], "bills/s"),
        "limit": spread([rows / one for one in copies], "bills/s (psql COPY of the bills alone)"),
        "ratio": round(statistics.median(ratios), 3),
        "replay_ratio": round(
            statistics.median(c / r for c, r in zip(copies, replays, strict=True)), 3
        ),
        "peak_mb": max(peaks_mb),
        "bills_stored": 2 * rows * (repeats + 1),
        "growth": round(growth(imports), 3),
        "rows": rows,
        "repeats": repeats,
        "versions": {"python": platform.python_version(), "psycopg": psycopg.__version__},
    }


def growth(seconds: list[float]) -> float:
    """Return by how much the last third of the turns was slower than the first: 0.05 is 5 %."""
    third = max(len(seconds) // 3, 1)
    return statistics.median(seconds[-third:]) / statistics.median(seconds[:third]) - 1


def spread(values: list[float], unit: str) -> dict[str, Any]:
    return {
        "median": round(statistics.median(values)),
        "min": round(min(values)),
        "max": round(max(values)),
        "unit": unit,
    }


def told(line: str) -> None:
    sys.stderr.write(line + "\n")


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
    print(f"  replay {found['replay_ratio']} of the limit; peak memory {found['peak_mb']} MB")
    print(f"  {found['growth']:+.1%} a row from the first turns to {found['bills_stored']:,} bills")


if __name__ == "__main__":
    main()
