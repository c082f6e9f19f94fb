r"""How near the books come to the database's own speed, and whether they slow down as they grow.

*Ours*: ``book_reply`` of a paid payment of three bills, from Python threads in a few processes as
web and workers run it: the payment, three bills, three items, three transfers, four events, one
transaction. *Limit*: the same SQL, statement by statement, under pgbench with as many clients. Both
in this run, in turn; at 1, 8 and 16 clients; with 1, 10 and 50 million transfers in the table.

    python -m bench.ledger [--rows N …] [--clients C …] [--seconds S] [--repeats K] [--json]
"""

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy

from bench.bill_import import ROOT, spread, told
from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from core.db import acting
from core.keys import month_key
from payments import applying, settlement
from payments.gateways.base import GatewayReply, GatewayStatus

MONTH, NOW = date(2026, 11, 1), datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
FIRST = month_key(MONTH, 1)  # the first payment's id, and the first bill's
COMPANIES = ("water", "power", "gas")
PROCESSES = 4

# A household is three accounts, 3n + 1 … 3n + 3; its payment n holds one bill of each.
_CITY = f"""
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT (ARRAY{list(COMPANIES)})[1 + n %% 3], n::text, '', '', now()
    FROM generate_series(0, 3 * %(households)s - 1) n ORDER BY n;
    INSERT INTO person (role, name, contact, locale, created_at)
    VALUES ('resident', 'bench', 'bench', 'zh_CN', now());
    INSERT INTO ledger_account (code)
    SELECT kind || ':' || company FROM unnest(ARRAY{list(COMPANIES)}) company,
           unnest(ARRAY['receivable', 'uncollected', 'payable']) kind
    UNION ALL SELECT 'gateway:sandbox';
"""

_PAYMENTS = f"""
    INSERT INTO payment (id, payer_id, gateway, order_no, gateway_ref, return_url, amount_fen,
                         status, created_at, status_at, expires_at)
    SELECT {FIRST} + n, 1, 'sandbox', 'B' || n, 'ref' || n, '', 6000, 'open', now(), now(), now()
    FROM generate_series(%(start)s, %(stop)s - 1) n;
    INSERT INTO bill (account_id, id, bill_file_id, amount_fen, recorded_at, billing_month,
                      period_from_on, period_to_on, issued_on, due_on, file_line_no, version,
                      bill_no, usage_unit, items, held_by)
    SELECT 3 * (n %% %(households)s) + k, {FIRST} + n, 1, 1000 * k, now(), '{MONTH}', '2026-10-01',
           '2026-10-31', '2026-11-01', '2026-11-30', 1, 1, n::text, 'm3', '[]', {FIRST} + n
    FROM generate_series(%(start)s, %(stop)s - 1) n, generate_series(1, 3) k;
    INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, write_off_no, outcome,
                              outcome_at)
    SELECT {FIRST} + n, 3 * (n %% %(households)s) + k, {FIRST} + n, 1000 * k, 'W' || n || '-' || k,
           'waiting', now()
    FROM generate_series(%(start)s, %(stop)s - 1) n, generate_series(1, 3) k;
"""

# Transfers of other bills, over a year's months, in the order a city would post them.
_FILL = f"""
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT 1 + n %% 3000000, (({FIRST}::bigint >> 51) - n * 12 / %(whole)s << 51) + n, 'issued.1',
           1, 2, 1000 + n %% 9000, '2026-10-01', '2026-10-01 04:00+00'
    FROM generate_series(%(start)s::bigint, %(stop)s::bigint - 1) n
"""


def _code(kind: str, owner: str) -> str:
    """Write a ledger account's code; pgbench takes a colon in a string for a variable."""
    return f"'{kind}' || chr(58) || '{owner}'"


def pgbench_script(households: int) -> str:
    """Return our own statements with the values of one payment, as pgbench takes them."""
    keys = ", ".join(f"3 * (:n % {households}) + {k}" for k in (1, 2, 3))
    each = {
        "account_ids": f"ARRAY[{keys}]", "bill_ids": "ARRAY[:id, :id, :id]",
        "paid": "ARRAY[1000, 2000, 3000]", "adjusts": "ARRAY[0, 0, 0]",
        "outcomes": "ARRAY['paid', 'paid', 'paid']",
        "reasons": "CAST(ARRAY[NULL, NULL, NULL] AS text[])",
        "unpaid": "ARRAY['created', 'unknown', 'open', 'refused', 'expired']",
        "undecided": "ARRAY['waiting', 'not_paid']", "gateway_refs": "ARRAY['ref' || :n]",
        "paid_ats": "ARRAY[now()]", "now": "now()", "stray": "''",
        "stray_nos": "'{}'", "stray_write_offs": "'{}'", "stray_fees": "'{}'",
        "payment_id": ":id", "payment_ids": "ARRAY[:id]", "payments": "ARRAY[:id, :id, :id]",
        "move_accounts": f"ARRAY[{keys}]", "move_subjects": "ARRAY[:id, :id, :id]",
        "move_keys": "ARRAY['paid:' || :id, 'paid:' || :id, 'paid:' || :id]",
        "move_debits": f"ARRAY[{', '.join([_code('gateway', 'sandbox')] * 3)}]",
        "move_credits": f"ARRAY[{', '.join(_code('receivable', one) for one in COMPANIES)}]",
        "move_fen": "ARRAY[1000, 2000, 3000]",
        "posted_on": "CAST(now() AT TIME ZONE 'Asia/Shanghai' AS date)",
        "posted_at": "now()", "event_request_id": "''", "event_at": "now()",
        "event_topics": "ARRAY['payment.paid', 'write_off.due', 'write_off.due', 'write_off.due']",
        "event_subjects": "ARRAY[:n, :n || '-1', '2', '3']",
    }  # fmt: skip

    def filled(statement: Any) -> str:
        text = re.sub(r"(?<!:):([a-z_]+)", lambda name: each[name[1]], statement.text)
        typed = re.sub(r"(?<!:):(n|id)\b", r"CAST(:\1 AS bigint)", text)  # $1 alone has no type
        return " ".join(typed.split()) + ";\n"

    return (
        f"SELECT nextval('bench_n') AS n \\gset\n\\set id {FIRST} + :n\nBEGIN;\n"
        f"{filled(settlement._LOCK)}{filled(applying.APPLY)}COMMIT;\n"
    )


class Books:
    """A city's books on servers of their own, with payments waiting to be booked."""

    def __init__(self, servers: Servers, folder: Path, households: int) -> None:
        self.servers, self.folder, self.households = servers, folder, households
        self.url = servers.database_url("bench")
        self.made, self.used, self.filled = 0, 0, 0
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE SEQUENCE bench_n MINVALUE 0")
            for statement in _CITY.split(";")[:-1]:
                connection.execute(statement, {"households": households})

    def fill(self, transfers: int) -> None:
        """Bring the table to so many transfers."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for start in range(self.filled, transfers, 1_000_000):
                stop = min(start + 1_000_000, transfers)
                connection.execute(_FILL, {"start": start, "stop": stop, "whole": 50_000_000})
            connection.execute("VACUUM ANALYZE ledger_transfer")
        self.filled = max(self.filled, transfers)

    def make_payments(self, count: int) -> None:
        """See to it that so many payments wait."""
        stop = self.used + count
        with psycopg.connect(self.url, autocommit=True) as connection:
            values = {"start": self.made, "stop": stop, "households": self.households}
            if stop > self.made:
                for statement in _PAYMENTS.split(";")[:-1]:
                    connection.execute(statement, values)
                self.made = stop
            connection.execute("VACUUM ANALYZE bill, payment, payment_item, outbox_event")
            connection.execute("CHECKPOINT")

    def ours(self, clients: int, seconds: float) -> float:
        """Book payments from Python; payments a second."""
        processes = min(clients, PROCESSES)
        first = self.used
        counts = multiprocessing.get_context("spawn").Queue()
        workers = [
            multiprocessing.get_context("spawn").Process(
                target=book_many,
                args=(self.url, first + at, processes, self.made, _share(clients, processes, at),
                      seconds, counts),
            )
            for at in range(processes)
        ]  # fmt: skip
        for worker in workers:
            worker.start()
        found = [counts.get(timeout=seconds + 60) for _ in workers]
        for worker in workers:
            worker.join()
        self.used = max(one["next"] for one in found)
        return sum(one["count"] / one["seconds"] for one in found)

    def limit(self, clients: int, seconds: float) -> float:
        """Run the same statements under pgbench; payments a second."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT setval('bench_n', %s, false)", [self.used])
        script = self.folder / "book.sql"
        script.write_text(pgbench_script(self.households))
        done = subprocess.run(
            [self.servers.binary("pgbench"), "-n", "-M", "prepared", "-f", str(script), "-c",
             str(clients), "-j", str(min(clients, 2)), "-T", str(int(seconds)), self.url],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT last_value + 1 FROM bench_n").fetchone()
        assert row is not None
        self.used = row[0]
        assert self.used <= self.made, "pgbench ran out of payments: make more"
        found = re.search(r"tps = ([0-9.]+)", done.stdout)
        assert found is not None, done.stdout
        return float(found[1])

    def check(self) -> None:
        """Make sure that both sides did the whole work."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM payment WHERE status = 'paid'), "
                "(SELECT count(*) FROM payment_item WHERE outcome = 'paid'), "
                "(SELECT count(*) FROM ledger_transfer WHERE entry_key LIKE 'paid:%'), "
                "(SELECT count(*) FROM bill WHERE paid_fen = amount_fen AND held_by IS NULL)"
            ).fetchone()
        assert row is not None
        assert row[0] > 0, row
        assert row[1:] == (3 * row[0], 3 * row[0], 3 * row[0]), row


def _share(clients: int, processes: int, at: int) -> int:
    return clients // processes + (at < clients % processes)


def book_many(
    url: str, first: int, step: int, stop: int, threads: int, seconds: float, counts: Any
) -> None:
    """Book every ``step``-th payment from ``threads`` threads for some seconds."""
    db.bind(url, pool_size=threads)
    turns, lock = itertools.count(first, step), threading.Lock()
    ended, last = [0] * threads, [first] * threads
    for _ in range(threads):  # connections made, statements prepared
        with acting() as session:
            session.execute(sqlalchemy.text("SELECT 1"))
    started = time.perf_counter()

    def work(at: int) -> None:
        while time.perf_counter() - started < seconds:
            with lock:
                number = next(turns)
            assert number < stop, "ran out of payments: make more"
            reply = GatewayReply(
                status=GatewayStatus.PAID, gateway_ref=f"ref{number}", amount_fen=6000, paid_at=NOW
            )
            with acting() as session:
                settlement.book_reply(session, FIRST + number, reply, now=NOW)
            ended[at] += 1
            last[at] = number

    workers = [threading.Thread(target=work, args=[at]) for at in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - started
    counts.put({"count": sum(ended), "seconds": took, "next": max(last) + step})


def measure(
    sizes: list[int], clients: list[int], seconds: float, repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield one finding for each size of the table and number of clients."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-ledger-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
            servers.create_database("bench")
            url = servers.database_url("bench")
            for month in range(1, 12, 4):
                migrate(url, today=date(2026, month, 1))
            books = Books(servers, Path(scratch), households=100_000)
            for size in sizes:
                told(f"{size:,} transfers …")
                books.fill(size)
                for count in clients:
                    yield _compare(books, size, count, seconds, repeats)
            books.check()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(books: Books, size: int, clients: int, seconds: float, repeats: int) -> dict[str, Any]:
    ours, limits = [], []
    for turn in range(repeats + 1):  # the first turn warms up
        books.make_payments(int(6_000 * seconds))
        mine, limit = books.ours(clients, seconds), books.limit(clients, seconds)
        told(f"  {clients} clients: {mine:,.0f}/s, pgbench {limit:,.0f}/s")
        if turn:
            ours.append(mine)
            limits.append(limit)
    return {
        "transfers": size,
        "clients": clients,
        "ours": spread(ours, "payments/s"),
        "limit": spread(limits, "payments/s (the same SQL under pgbench)"),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, limits, strict=True)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = list(measure(chosen.rows, chosen.clients, chosen.seconds, chosen.repeats))
    middle = next((one for one in found if one["clients"] == 8), found[0])
    if chosen.json:
        versions = {"python": platform.python_version(), "psycopg": psycopg.__version__}
        print(json.dumps({"name": "ledger", **middle, "runs": found, "versions": versions}))
        return
    for one in found:
        print(
            f"{one['transfers']:>11,} transfers, {one['clients']:>2} clients: "
            f"{one['ours']['median']:>6,}/s of {one['limit']['median']:>6,}/s = {one['ratio']}"
        )


if __name__ == "__main__":
    main()
