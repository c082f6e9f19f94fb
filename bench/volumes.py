"""A city's bills as volumes to print, made whole: a database of its own, and workers that draw.

A month of the water company's bills is brought in by ``citybill import``, and a year before it made
from them, so that each bill has its chart. Then the month is ordered, cut, and drawn by as many
processes as there are processors, each share as a bulk worker's job draws it.
"""

import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from bench.bill_import import ROOT, told, write_file
from billing.documents import batches
from billing.documents.batches import BatchKind
from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from core.clock import add_months
from core.db import transaction
from core.keys import month_range
from identity.models import Person, Role
from workers.tasks.documents import draw_documents

_COMPANY, _LAST, _HISTORY_MONTHS = "water", date(2026, 10, 1), 12


_PAST = """
    INSERT INTO bill (account_id, id, bill_file_id, amount_fen, paid_fen, recorded_at,
                      billing_month, period_from_on, period_to_on, issued_on, due_on, file_line_no,
                      version, usage, bill_no, usage_unit, items)
    SELECT account_id, id + %(shift)s, bill_file_id, fen, fen, recorded_at, %(month)s, %(month)s,
           %(month)s::date + 27, %(month)s::date + 30, %(month)s::date + 50, file_line_no, version,
           usage, bill_no, usage_unit, items
    FROM (SELECT *, amount_fen + %(back)s * 137 AS fen FROM bill WHERE billing_month = %(last)s) b
"""


class _Drawn(NamedTuple):
    process: int
    cpu_s: float
    peak_mb: int


def make_volumes(rows: int) -> dict[str, Any]:
    """Make a batch of so many bills, and tell what it took."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-volumes-{os.getpid()}")
    try:
        with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
            servers.create_database("bench")
            os.environ |= {
                "CITYBILL_DATABASE_URL": servers.database_url("bench"),
                "CITYBILL_REDIS_URL": servers.redis_url,
                "CITYBILL_DOCUMENTS_DIR": f"{scratch}/papers",
            }
            _bring_in(Path(scratch), rows)
            _begin()
            return _made(_ordered(), rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bring_in(scratch: Path, rows: int) -> None:
    url = os.environ["CITYBILL_DATABASE_URL"]
    path = scratch / "bills.txt"
    for back in range(_HISTORY_MONTHS + 1):
        migrate(url, today=add_months(_LAST, -back))  # makes room for the month
    write_file(path, _LAST, rows)
    told(f"bringing in {rows:,} bills …")
    command = [sys.executable, "-m", "cli", "import", str(path), "--provider", _COMPANY, "--json"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for back in range(1, _HISTORY_MONTHS + 1):
            month = add_months(_LAST, -back)
            shift = month_range(month)[0] - month_range(_LAST)[0]
            connection.execute(_PAST, {"month": month, "last": _LAST, "shift": shift, "back": back})
        connection.execute("VACUUM ANALYZE")


def _ordered() -> int:
    """Order the last month's bills and cut them into shares."""
    now = datetime.now(UTC)
    with transaction() as session:
        who = Person(
            role=Role.OPERATOR, name="bench", contact="bench@city.example",
            provider_code=_COMPANY, created_at=now,
        )  # fmt: skip
        session.add(who)
        session.flush()
        batch = batches.order(
            session, BatchKind.BILLS, provider_code=_COMPANY, month=_LAST, by=who.id or 0, now=now
        )
        batches.cut(session, batch.id or 0, now=now)
    return batch.id or 0


def _made(batch_id: int, rows: int) -> dict[str, Any]:
    workers = os.cpu_count() or 1
    with transaction() as session:
        shares = [f"{batch_id}.{one.no}" for one in batches.list_shares(session, batch_id)]
    started = time.perf_counter()
    drawn: dict[int, _Drawn] = {}
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(workers, initializer=_begin) as pool:
        for at, one in enumerate(pool.imap_unordered(_draw, shares), start=1):
            drawn[one.process] = one
            if at % 10 == 0:
                seconds, used = time.perf_counter() - started, _used(drawn)
                told(f"{at} of {len(shares)} volumes, {seconds:.0f} s, {used}")
    seconds = time.perf_counter() - started
    with transaction() as session:
        done = batches.progress_of(session, [batch_id])[batch_id]
        state = batches.get_batch(session, batch_id).state
    assert (done.documents, state) == (rows, batches.BatchState.DONE), (done, state)
    return {
        "name": "volumes",
        "documents": done.documents,
        "volumes": done.made,
        "workers": workers,
        "seconds": round(seconds),
        "documents_a_second": round(done.documents / seconds),
        "bytes": done.file_bytes,
        **_used(drawn),
    }


def _used(drawn: dict[int, _Drawn]) -> dict[str, int]:
    return {
        "worker_cpu_seconds": round(sum(one.cpu_s for one in drawn.values())),
        "worker_peak_mb": max(one.peak_mb for one in drawn.values()),
    }


def _begin() -> None:
    db.bind(os.environ["CITYBILL_DATABASE_URL"])


def _draw(share: str) -> _Drawn:
    draw_documents(share)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return _Drawn(os.getpid(), used.ru_utime + used.ru_stime, used.ru_maxrss >> 10)
