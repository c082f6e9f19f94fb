"""How many home and bill pages a second, against a bare FastAPI route with one indexed select.

*Ours*: ``/`` and ``/bills/…`` as signed-in residents of a city with so many bills stored ask for
them, each another household; two processes of uvicorn. *Limit*: ``bench.bare`` with a session,
served the same, on the same database, in turn with ours; and beside it the same on the driver
alone. Times are those of a page when nothing waits but ``--clients``, and at 70 % of the most.

    python -m bench.pages [--rows N …] [--clients C] [--seconds S] [--repeats K] [--json]
"""

import argparse
import itertools
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fastapi
import psycopg

from bench.bill_import import ROOT, spread, told
from bench.first_paint import first_paints
from bench.load import Loaded, Wanted, load
from bench.pages_city import Reader, build, sign_in
from bench.statements import statements
from cli.migrations import migrate
from cli.processes import Family
from cli.servers import Servers, default_data_dir
from core.clock import add_months, billing_date, month_start
from core.settings import settings

OURS, BARE = 8794, 8795
PROCESSES, POOL = 2, 15
PAGES = ("home", "bill")
LIMITS = ("session", "driver")


def measure(
    sizes: list[int], clients: int, seconds: float, repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield one finding for each number of bills stored."""
    base = default_data_dir(ROOT)
    month = add_months(month_start(billing_date(datetime.now(UTC))), -1)
    for size in sizes:
        folder = base.with_name(f"{base.name}-pages-{os.getpid()}")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with Servers(folder, fsync=False, buffers_mb=_quarter_mb()) as servers:
                servers.create_database("bench")
                url = servers.database_url("bench")
                migrate(url, today=billing_date(datetime.now(UTC)))
                told(f"{size:,} bills …")
                began = time.perf_counter()
                stored = build(url, size, this_month=month)
                told(f"  stored in {time.perf_counter() - began:,.0f} s")
                readers = sign_in(url, this_month=month)
                os.environ |= {
                    "CITYBILL_ENVIRONMENT": "demo", "CITYBILL_DATABASE_URL": url,
                    "CITYBILL_REDIS_URL": servers.redis_url, "CITYBILL_LOG_JSON": "true",
                    "CITYBILL_DATABASE_POOL_SIZE": str(POOL),
                }  # fmt: skip
                settings.cache_clear()
                yield _compare(stored, readers, clients, seconds, repeats)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _quarter_mb() -> int:
    """Return a quarter of this machine's memory, as a city's database server would be given."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 >> 20


def _compare(
    stored: int, readers: list[Reader], clients: int, seconds: float, repeats: int
) -> dict[str, Any]:
    family = Family(ROOT, out=subprocess.DEVNULL)
    _serve(family, "ours", OURS, "--factory", "web.app:create_app")
    _serve(family, "bare", BARE, "bench.bare:app")
    looked_at = {name: next(_asked(name, readers)) for name in PAGES}
    try:
        _wait(f"http://127.0.0.1:{OURS}/readyz")
        _wait(f"http://127.0.0.1:{BARE}/session/{readers[0].bills[0]}")
        runs = _in_turn(readers, clients, seconds, repeats)
        best = {name: statistics.median(one.rate for one in runs[name]) for name in runs}
        eased = {
            name: load(
                OURS, _asked(name, readers, seed=99), clients=64, seconds=seconds,
                rate=best[name] * 0.7,
            ).percentiles()
            for name in PAGES
        }  # fmt: skip
        paints = first_paints(OURS, looked_at)
    finally:
        family.stop()
    counted = statements(looked_at)
    pages = {
        name: {
            **spread([one.rate for one in runs[name]], "pages/s"),
            "ratio": round(best[name] / best["session"], 3),
            "ratio_driver": round(best[name] / best["driver"], 3),
            "ms": _together(runs[name]), "ms_at_70_percent": eased[name],
            "bytes": runs[name][-1].bytes_each, **counted[name], **paints.get(name, {}),
        }
        for name in PAGES
    }  # fmt: skip
    return {
        "bills": stored, "clients": clients,
        "ours": spread([one.rate for one in runs["home"]], "home pages/s"),
        "limit": spread([one.rate for one in runs["session"]], "selects/s (bare, session)"),
        "driver": spread([one.rate for one in runs["driver"]], "selects/s (bare, driver)"),
        "ratio": pages["home"]["ratio"], "pages": pages,
        "client_share": round(max(one.own_share for each in runs.values() for one in each), 2),
    }  # fmt: skip


def _in_turn(
    readers: list[Reader], clients: int, seconds: float, repeats: int
) -> dict[str, list[Loaded]]:
    """Load ours and the limits in turn; the first turn warms up and is left out."""
    runs: dict[str, list[Loaded]] = {name: [] for name in (*LIMITS, *PAGES)}
    for turn in range(repeats + 1):
        for name, kept in runs.items():
            port = OURS if name in PAGES else BARE
            asked = _asked(name, readers, seed=turn)
            kept.append(load(port, asked, clients=clients, seconds=seconds))
            told(f"  {name} {kept[-1].rate:,.0f}/s, client {kept[-1].own_share:.0%}")
    return {name: kept[1:] for name, kept in runs.items()}


def _together(runs: list[Loaded]) -> dict[str, float]:
    """Return the percentiles of the middle run by each."""
    each = [one.percentiles() for one in runs]
    return {name: statistics.median(one[name] for one in each) for name in each[0]}


def _asked(name: str, readers: list[Reader], seed: int = 0) -> Iterator[Wanted]:
    """Yield what is asked for, each time by another reader."""
    dice = random.Random(seed)  # noqa: S311
    for reader in itertools.cycle(dice.sample(readers, len(readers))):
        cookie, bill = f"citybill_session={reader.token}", dice.choice(reader.bills)
        match name:
            case "home":
                yield Wanted("/", cookie)
            case "bill":
                yield Wanted(f"/bills/{bill}", cookie)
            case _:
                yield Wanted(f"/{name}/{bill}")


def _serve(family: Family, name: str, port: int, *app: str) -> None:
    family.start(
        name, "uvicorn", *app, "--host", "127.0.0.1", "--port", str(port), "--workers",
        str(PROCESSES), "--log-level", "warning", "--no-access-log",
    )  # fmt: skip


def _wait(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = list(measure(chosen.rows, chosen.clients, chosen.seconds, chosen.repeats))
    if chosen.json:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        versions = {
            "python": platform.python_version(), "psycopg": psycopg.__version__,
            "fastapi": fastapi.__version__,
        }  # fmt: skip
        print(
            json.dumps({
                "name": "pages", "rows": found[-1]["bills"], **found[-1],
                "peak_mb": peak // 1024, "runs": found, "versions": versions,
            })
        )  # fmt: skip
        return
    for one in found:
        print(
            f"{one['bills']:,} bills; bare: {one['limit']['median']:,}/s by session, "
            f"{one['driver']['median']:,}/s by driver; client at most {one['client_share']:.0%}"
        )
        for name, page in one["pages"].items():
            rest = {key: page[key] for key in page if key not in {"min", "max", "unit", "median"}}
            print(f"  {name}: {page['median']:,}/s; {rest}")


if __name__ == "__main__":
    main()
