r"""How many payments a second go from a resident's POST to *paid*, over HTTP, all processes real.

*Ours*: residents POST /api/v1/payments for one bill each; the web opens the payment at
a sandbox gateway (``bench.far_gateway``), which pays at once and calls back; scheduler and workers
ask the gateway, book the payment, and write the bill off at its company, which says yes. The time
of one is from its creation to its booking. *Eased*: the same at seven tenths of that rate, which
is what a resident feels; a POST is timed from when it was to be sent, so that waiting counts.
*Limit*: what is written until it is booked, and the reads that lock, under pgbench with as many
clients. *Callbacks*: news held back and let go at once, a second until all is booked.

    python -m bench.payments [--rows N …] [--clients C] [--seconds S] [--repeats K] [--json]

``--rows``: payments stored beforehand.
"""

import argparse
import asyncio
import http.client
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from bench.bill_import import ROOT, spread, told
from bench.far_gateway import read_body
from bench.ledger import COMPANIES
from bench.payment_script import FIRST, MONTH, RESIDENTS, pgbench_script
from cli.migrations import migrate
from cli.processes import Family
from cli.serve import WORKERS, worker
from cli.servers import Servers, default_data_dir
from core.clock import billing_date
from core.crypto import fingerprint

WEB, FAR = 8790, 8791
SECRET = "agreed-for-this-bench"  # noqa: S105  nobody else knows the port

# Resident r has the account r; its bill of round n is FIRST + n.
_CITY = f"""
    INSERT INTO person (role, name, contact, locale, created_at)
    SELECT 'resident', 'bench', 'bench' || r, 'zh_CN', now() FROM generate_series(1, {RESIDENTS}) r;
    INSERT INTO household (name, created_at)
    SELECT 'bench', now() FROM generate_series(1, {RESIDENTS});
    INSERT INTO household_member (household_id, person_id, role)
    SELECT r, r, 'manage' FROM generate_series(1, {RESIDENTS}) r;
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT (ARRAY{list(COMPANIES)})[1 + n %% 3], n::text, '', '', now()
    FROM generate_series(0, {RESIDENTS} - 1) n ORDER BY n;
    INSERT INTO household_account (household_id, account_id, bound_at)
    SELECT r, r, now() FROM generate_series(1, {RESIDENTS}) r;
"""
_BILLS = f"""
    INSERT INTO bill (account_id, id, bill_file_id, amount_fen, recorded_at, billing_month,
                      period_from_on, period_to_on, issued_on, due_on, file_line_no, version,
                      bill_no, usage_unit, items)
    SELECT a, {FIRST} + n, 1, 1000, now(), '{MONTH}', '{MONTH}', '{MONTH}', '{MONTH}',
           current_date + 20, 1, 1, n::text, 'm3', '[]'
    FROM generate_series(%(start)s::bigint, %(stop)s::bigint - 1) n,
         generate_series(1, {RESIDENTS}) a
"""
# Paid long ago: rows to look past, not to look at.
_FILL = """
    INSERT INTO payment (id, payer_id, gateway, order_no, gateway_ref, return_url, amount_fen,
                         status, created_at, status_at, expires_at, paid_at)
    SELECT n, 1 + n %% 3000, 'sandbox', 'OLD' || n, 'OLD' || n, '', 1000, 'paid', now(), now(),
           now(), now()
    FROM generate_series(%(start)s::bigint, %(stop)s::bigint - 1) n;
    INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, write_off_no, outcome,
                              outcome_at)
    SELECT n, 1 + n %% 3000, n, 1000, 'OLD' || n, 'written_off', now()
    FROM generate_series(%(start)s::bigint, %(stop)s::bigint - 1) n;
"""


class City:
    """A city's servers and processes, with bills to be paid."""

    def __init__(self, servers: Servers, scratch: Path) -> None:
        self.servers, self.scratch = servers, scratch
        self.url = servers.database_url("bench")
        self.family = Family(ROOT)
        self.rounds, self.filled, self.next = 0, 0, 0
        self.line = psycopg.connect(self.url, autocommit=True)  # to ask how far they are
        self.run(_CITY)
        with psycopg.connect(self.url, autocommit=True) as connection:
            rows = [(fingerprint(f"token{r}"), r) for r in range(1, RESIDENTS + 1)]
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO web_session (token_hash, person_id, csrf, created_at, seen_at) "
                    "VALUES (%s, %s, '', now(), now())",
                    rows,
                )
            connection.execute("CREATE SEQUENCE bench_n MINVALUE 0")

    def run(self, statements: str, **values: int) -> None:
        """Run statements as a superuser whose triggers and keys are switched off."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in filter(str.strip, statements.split(";")):
                connection.execute(statement, values)

    def one(self, query: str, *values: Any) -> Any:
        row = self.line.execute(query, values).fetchone()
        assert row is not None
        return row[0] if len(row) == 1 else row

    def fill(self, payments: int) -> None:
        """Bring the tables to so many payments."""
        for start in range(self.filled, payments, 500_000):
            self.run(_FILL, start=start + 1, stop=min(start + 500_000, payments) + 1)
        self.filled = max(self.filled, payments)
        self.more_bills(20)

    def more_bills(self, rounds: int) -> None:
        """Let every account have so many bills more."""
        self.run(_BILLS, start=self.rounds, stop=self.rounds + rounds)
        self.rounds += rounds
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def start(self) -> None:
        """Start the far side and our own processes, as ``citybill serve`` does."""
        self.family = Family(ROOT, out=subprocess.DEVNULL)
        os.environ |= {
            "CITYBILL_ENVIRONMENT": "test", "CITYBILL_DATABASE_URL": self.url,
            "CITYBILL_LOG_JSON": "true",
            "CITYBILL_REDIS_URL": self.servers.redis_url, "CITYBILL_SANDBOX_SECRET": SECRET,
            "CITYBILL_SANDBOX_URL": f"http://127.0.0.1:{FAR}",
            "CITYBILL_PUBLIC_URL": f"http://127.0.0.1:{WEB}",
            "CITYBILL_UTILITIES": json.dumps({
                code: {"base_url": f"http://127.0.0.1:{FAR}", "secret": SECRET,
                       "declaration": str(ROOT / "providers/apis/citybill.toml"),
                       "calls_per_second": 100_000, "burst": 100_000}
                for code in COMPANIES
            }),
        }  # fmt: skip
        self.family.start("far", "bench.far_gateway", "--port", str(FAR), "--secret", SECRET)
        self.family.start("web", "web.serving", "--port", str(WEB), "--processes", "2")
        for name, queues, _ in WORKERS:
            self.family.start(name, *worker(name, queues, 4))
        self.family.start("scheduler", "workers.scheduler")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if request("GET", "/readyz")[0] == http.client.OK:
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit("the web does not answer within a minute")

    def basket(self) -> tuple[int, str]:
        """Return the next resident, and the bill they pay."""
        turn, self.next = self.next, self.next + 1
        round_, resident = divmod(turn, RESIDENTS)
        assert round_ < self.rounds, "ran out of bills: make more"
        return resident + 1, f"{resident + 1}.{FIRST + round_}"

    def pay(self, clients: int, seconds: float, *, rate: float | None = None) -> list[float]:
        """Pay from so many residents at once; the seconds each POST took.

        Args:
            rate: how many a second; each is timed from when it was to be sent. None: each resident
                pays as soon as the last answer is there.
        """
        began, took = time.perf_counter(), list[float]()
        turns = iter(range(int(seconds * rate))) if rate else None

        async def work() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", WEB)
            while (started := time.perf_counter()) < began + seconds:
                if turns is not None and rate is not None:
                    turn = next(turns, None)
                    if turn is None:
                        break
                    started = began + turn / rate
                    await asyncio.sleep(started - time.perf_counter())
                resident, bill = self.basket()
                writer.write(_post(resident, bill))
                status = await reader.readline()
                text = await read_body(reader)
                took.append(time.perf_counter() - started)
                assert b" 201 " in status, text
            writer.close()

        async def everybody() -> None:
            await asyncio.gather(*(work() for _ in range(clients)))

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(everybody())
        return took

    def wait_until_paid(self) -> None:
        """Wait until nothing is open any more."""
        deadline = time.monotonic() + 300
        while self.one(
            "SELECT count(*) FROM payment WHERE status IN ('created', 'unknown', 'open')"
        ):
            assert time.monotonic() < deadline, "some payments are never paid"
            time.sleep(0.05)

    def limit(self, clients: int, seconds: float) -> float:
        """Write the same under pgbench; payments a second."""
        self.one("SELECT setval('bench_n', %s, false)", self.next)
        script = self.scratch / "pay.sql"
        script.write_text(pgbench_script())
        done = subprocess.run(
            [self.servers.binary("pgbench"), "-n", "-M", "prepared", "-f", str(script), "-c",
             str(clients), "-j", "2", "-T", str(int(seconds)), self.url],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        self.next = self.one("SELECT last_value + 1 FROM bench_n")
        assert self.next < self.rounds * RESIDENTS, "ran out of bills: make more"
        found = re.search(r"tps = ([0-9.]+)", done.stdout)
        assert found is not None, done.stdout
        return float(found[1])


def _post(resident: int, bill: str) -> bytes:
    """Write a resident's POST of one bill; little work, so that what is measured is ours."""
    body = json.dumps({"bill_ids": [bill], "gateway": "sandbox"})
    return (
        f"POST /api/v1/payments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer token{resident}\r\nIdempotency-Key: {bill}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def request(method: str, path: str, *, port: int = WEB) -> tuple[int, bytes]:
    """Send one request on a connection of its own."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request(method, path, "", {"Content-Length": "0"})
    answer = line.getresponse()
    return answer.status, answer.read()


def measure(sizes: list[int], clients: int, seconds: float, repeats: int) -> Iterator[Any]:
    """Yield one finding for each number of payments stored."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-payments-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
            servers.create_database("bench")
            migrate(servers.database_url("bench"), today=billing_date(datetime.now(UTC)))
            city = City(servers, Path(scratch))
            for size in sizes:
                told(f"{size:,} payments stored …")
                city.fill(size)
                yield _compare(city, size, clients, seconds, repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(city: City, size: int, clients: int, seconds: float, repeats: int) -> dict[str, Any]:
    """Measure the limit before our processes start: they would act on what it writes."""
    limits, ours, callbacks, posts, whole = [], [], [], list[float](), list[float]()
    for _ in range(repeats + 1):  # the first turn warms up
        city.more_bills(1 + int(4_000 * seconds) // RESIDENTS)
        limits.append(city.limit(clients, seconds))
        told(f"  pgbench {limits[-1]:,.0f}/s")
    city.one("WITH done AS (UPDATE outbox_event SET relayed_at = now() RETURNING 1) SELECT 1")
    city.start()
    try:
        for _ in range(repeats + 1):
            city.more_bills(1 + int(1_000 * seconds) // RESIDENTS)
            since = city.one("SELECT now()")
            took = city.pay(clients, seconds)
            city.wait_until_paid()
            rate, times = _booked(city, since)
            ours.append(rate)
            callbacks.append(_callbacks(city, clients, seconds))
            told(f"  {rate:,.0f}/s, callbacks {callbacks[-1]:,.0f}/s")
            if len(ours) > 1:
                posts += took
                whole += times
        eased = _eased(city, clients, seconds, repeats, 0.7 * statistics.median(ours[1:]))
    finally:
        city.family.stop()
    median = statistics.median(ours[1:])
    return {
        "payments": size, "clients": clients, "ours": spread(ours[1:], "payments/s"),
        "limit": spread(limits[1:], "payments/s (what they write, under pgbench)"),
        "ratio": round(median / statistics.median(limits[1:]), 3),
        "post_ms": _percentiles(posts), "paid_ms": _percentiles(whole),
        "post_ms_at_70_percent": _percentiles(eased),
        "callbacks": spread(callbacks[1:], "callbacks/s, from kept to booked"),
    }  # fmt: skip


def _eased(city: City, clients: int, seconds: float, repeats: int, rate: float) -> list[float]:
    """Pay so many a second; the seconds each POST took, waiting in line included."""
    took: list[float] = []
    for _ in range(repeats):
        city.more_bills(1 + int(1_000 * seconds) // RESIDENTS)
        took += city.pay(8 * clients, seconds, rate=rate)
        city.wait_until_paid()
    return took


def _booked(city: City, since: datetime) -> tuple[float, list[float]]:
    """Return payments a second since a moment, and the seconds each took to be booked."""
    with psycopg.connect(city.url) as connection:
        rows = connection.execute(
            "SELECT created_at, status_at FROM payment WHERE created_at >= %s AND status = 'paid'",
            [since],
        ).fetchall()
    first, last = min(row[0] for row in rows), max(row[1] for row in rows)
    return len(rows) / (last - first).total_seconds(), [
        (row[1] - row[0]).total_seconds() for row in rows
    ]


def _callbacks(city: City, clients: int, seconds: float) -> float:
    """Hold news back while residents pay, let it go, and count what is booked a second."""
    request("POST", "/hold", port=FAR)
    since = city.one("SELECT now()")
    city.pay(clients, seconds / 2)
    started = time.perf_counter()
    request("POST", "/release", port=FAR)
    city.wait_until_paid()
    took = time.perf_counter() - started
    count = city.one("SELECT count(*) FROM payment WHERE created_at >= %s", since)
    return int(count) / took


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1)}


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
        versions = {"python": platform.python_version(), "psycopg": psycopg.__version__}
        print(json.dumps({"name": "payments", **found[0], "runs": found, "versions": versions}))
        return
    for one in found:
        print(
            f"{one['payments']:>11,} stored, {one['clients']} clients: "
            f"{one['ours']['median']:,}/s of {one['limit']['median']:,}/s = {one['ratio']}; "
            f"POST {one['post_ms']}, at 70 % of that {one['post_ms_at_70_percent']}, "
            f"paid {one['paid_ms']}, "
            f"callbacks {one['callbacks']['median']:,}/s"
        )


if __name__ == "__main__":
    main()
