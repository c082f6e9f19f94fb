r"""How fast a night's bills reach people, and whether anybody waits behind them.

*Ours*: a file of bills was imported; workers find whom to tell, choose channels, write the words,
and hand each notice over to one of four carriers that answer after 3 ms (``bench.far_carriers``):
mail, text message, WeChat, Web Push, besides the inbox. The time is from the file's news to the
last notice taken. Meanwhile sign-in codes are asked for, five a second: *transactional* is how long
each takes to be handed over. *Limit*: Celery alone, with as many workers, doing nothing per notice.

    python -m bench.notify [--rows N] [--repeats K] [--json]
"""

import argparse
import base64
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import redis
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlmodel import select

from bench.bill_import import ROOT, spread, told, write_file
from bench.noop import celery as noop
from cli.migrations import migrate
from cli.processes import Family
from cli.serve import WORKERS, worker
from cli.servers import Servers, default_data_dir
from core import db
from core.clock import add_months, billing_date, month_start, utc_now
from core.db import transaction
from identity.models import Person
from notifications.channels.push import subscription_address
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from workers.app import broker_url

FAR, MAIL = 8792, 8793
CHANNELS = ("email", "sms", "wechat", "push")
CODES_A_SECOND = 5
_STATES = "SELECT channel, state, reason, held, count(*) FROM notice GROUP BY 1, 2, 3, 4"
NOOPS = 5_000
_DECLARATION = """
repeats_safely = true
[send]
json = { id = "{message_id}", to = "{phone}", text = "{text}" }
result = "code"
results = [{ is = "0", means = "taken" }]
"""
# Person p has account p and is reached over one channel, in turn.
_CITY = """
    INSERT INTO person (role, name, contact, email, locale, created_at)
    SELECT 'resident', 'bench',
           CASE p %% 4 WHEN 1 THEN (19000000000 + p)::text ELSE 'p' || p || '@bench.example' END,
           CASE p %% 4 WHEN 0 THEN 'p' || p || '@bench.example' END, 'zh_CN', now()
    FROM generate_series(1, %(rows)s) p;
    INSERT INTO notice_settings (person_id, quiet_from, quiet_until, zone, digest, elder,
                                 texts_per_day, changed_at)
    SELECT p, NULL, NULL, 'Asia/Shanghai', true, false, 20, now()
    FROM generate_series(1, %(rows)s) p;
    INSERT INTO contact_point (person_id, channel, address, address_hash, label, made_at)
    SELECT p, CASE p %% 4 WHEN 2 THEN 'wechat' ELSE 'push' END,
           CASE p %% 4 WHEN 2 THEN 'o' || p ELSE replace(%(browser)s, '/n', '/' || p) END,
           'hash' || p, '', now()
    FROM generate_series(1, %(rows)s) p WHERE p %% 4 IN (2, 3);
    INSERT INTO household (name, created_at)
    SELECT 'bench', now() FROM generate_series(1, %(rows)s);
    INSERT INTO household_member (household_id, person_id, role)
    SELECT p, p, 'manage' FROM generate_series(1, %(rows)s) p;
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT 'water', lpad((p - 1)::text, 10, '0'), '', '', now()  -- as bench.bill_import has them
    FROM generate_series(1, %(rows)s) p ORDER BY p;
    INSERT INTO household_account (household_id, account_id, bound_at)
    SELECT p, p, now() FROM generate_series(1, %(rows)s) p;
    INSERT INTO person (role, name, contact, locale, created_at)
    VALUES ('staff', 'one', 'one@bench.example', 'zh_CN', now()),
           ('staff', 'two', 'two@bench.example', 'zh_CN', now());
    INSERT INTO notice_template (event, form, locale, edition, version, title, body,
                                 carrier_ids, why, state, made_by, made_at, decided_by, decided_at)
    VALUES ('bill.ready', 'short', 'zh_CN', 'plain', 1, '新账单', '{company} {amount}',
            '{"wechat": "T1:thing1=company,amount2=amount"}', '',
            'approved', %(rows)s + 1, now(), %(rows)s + 2, now())
"""


class City:
    """A city whose people are reached over four channels, and its processes.

    ``delay_ms``: how long a carrier takes, as ``bench.far_carriers`` is told.
    """

    def __init__(self, servers: Servers, scratch: Path, rows: int, *, delay_ms: str = "3") -> None:
        self.servers, self.scratch, self.rows = servers, scratch, rows
        self.delay_ms = delay_ms
        self.url = servers.database_url("bench")
        self.family = Family(ROOT, out=subprocess.DEVNULL)
        self.files = 0
        self.run(_CITY, rows=rows, browser=browser())
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def run(self, statements: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run statements as a superuser whose triggers and keys are switched off."""
        found: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in filter(str.strip, statements.split(";\n")):
                done = connection.execute(statement.encode(), values)
                found = done.fetchall() if done.description else []
        return found

    def one(self, query: str, *values: Any) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        return row[0]

    def start(self) -> None:
        """Start the carriers and our own processes, as ``citybill serve`` does."""
        self.prepare()
        for name, queues, threads in WORKERS:
            self.family.start(name, *worker(name, queues, threads))

    def prepare(self) -> None:
        """Start everything but the workers."""
        declaration = self.scratch / "sms.toml"
        declaration.write_text(_DECLARATION, encoding="utf-8")
        key = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        far = f"http://127.0.0.1:{FAR}"
        os.environ |= {
            "CITYBILL_ENVIRONMENT": "test", "CITYBILL_DATABASE_URL": self.url,
            "CITYBILL_REDIS_URL": self.servers.redis_url, "CITYBILL_LOG_JSON": "true",
            "CITYBILL_SMTP_PORT": str(MAIL),
            "CITYBILL_CARRIER_WEIGHTS": json.dumps({"console": 0}),
            "CITYBILL_CARRIERS": json.dumps({
                "sms_http": {"declaration": str(declaration), "url": f"{far}/sms"},
                "wechat": {"app_id": "wx1", "app_secret": "s", "token": "t", "url": far},
                "push": {
                    "private_key": _text64(key.to_bytes(32, "big")), "services": "127.0.0.1",
                    "subject": "mailto:bench@city.example",
                },
            }),
        }  # fmt: skip
        self.family.start(
            "far", "bench.far_carriers", "--port", str(FAR), "--smtp-port", str(MAIL),
            "--delay-ms", self.delay_ms,
        )  # fmt: skip
        self.family.start("scheduler", "workers.scheduler")
        db.bind(self.url)

    def publish(self) -> float:
        """Import bills, one an account; returns when their news stood in the outbox."""
        last_month = add_months(month_start(billing_date(utc_now())), -1)
        path = self.scratch / "water.txt"
        write_file(path, last_month, self.rows)
        again = f"{9 - self.files}".encode()  # another file's number, and other bills'
        path.write_bytes(
            path.read_bytes()
            .replace(b"H|WATER|2", b"H|WATER|" + again)
            .replace(b"|W2", b"|W" + again)
        )
        self.files += 1
        done = subprocess.run(
            [sys.executable, "-m", "cli", "import", str(path), "--provider", "water", "--json"],
            capture_output=True, text=True, cwd=ROOT, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["created"] == self.rows, done.stdout
        return time.monotonic()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what the far side has counted, by channel."""
        with urllib.request.urlopen(f"http://127.0.0.1:{FAR}/counts") as answer:
            found: dict[str, dict[str, int]] = json.load(answer)
        return found

    def handed_over(self) -> int:
        """Return how many of all bills somebody was told of outside their inbox."""
        return int(self.one(
            "SELECT count(*) FROM notice WHERE event = 'bill.ready' AND channel <> 'inbox'"
            " AND state IN ('accepted', 'delivered')"
        ))  # fmt: skip

    def wait(self, *, stalled_seconds: int = 60) -> None:
        """Wait until everybody was told of every bill; so long without progress is too long."""
        before, since = -1, time.monotonic()
        while (count := self.handed_over()) < self.rows * self.files:
            if count != before:
                before, since = count, time.monotonic()
                told(f"  {count:,} of {self.rows * self.files:,}")
            assert time.monotonic() - since < stalled_seconds, self.run(_STATES)
            time.sleep(1)


class Codes:
    """People who ask for a sign-in code while the city is told of its bills."""

    def __init__(self, rows: int) -> None:
        self._rows, self._over = rows, threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.since = utc_now()

    def __enter__(self) -> "Codes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        at = 0
        while not self._over.wait(1 / CODES_A_SECOND):
            at += 1
            with transaction() as session:
                person = session.exec(select(Person).where(Person.id == 1 + at % self._rows)).one()
                facts = Facts({"code": "000000", "minutes": "5"})
                telling = Telling(
                    event="sign_in.code", person=person, subject_ref=f"{self.since} {at}",
                    facts=facts,
                )  # fmt: skip
                tell(session, telling, now=utc_now())


def browser() -> str:
    """Return a browser's address; its path ends in /n, which becomes each person's own."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        Encoding.X962, PublicFormat.UncompressedPoint
    )  # fmt: skip
    return subscription_address(
        f"http://127.0.0.1:{FAR}/push/n", _text64(point), _text64(os.urandom(16))
    )  # fmt: skip


def _text64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def limit(servers: Servers) -> float:
    """Have Celery do nothing, with the threads of our workers; tasks a second."""
    family, line = Family(ROOT, out=subprocess.DEVNULL), redis.Redis.from_url(servers.redis_url)
    noop.conf.broker_url = broker_url(servers.redis_url)
    for at in range(NOOPS):
        noop.send_task("noop", args=[at])
    started = time.monotonic()
    threads = sum(threads for _, _, threads in WORKERS)
    family.start(
        "noop", "celery", "--quiet", "-A", "bench.noop", "worker", "--queues", "noop", "--pool",
        "threads", "--concurrency", str(threads), "--without-gossip", "--without-mingle",
    )  # fmt: skip
    first = None
    while (left := line.llen("noop")) or line.hlen("unacked"):
        if first is None and left < NOOPS:
            started, first = time.monotonic(), NOOPS - left  # it has started by now
        time.sleep(0.02)
    rate = (NOOPS - (first or 0)) / (time.monotonic() - started)
    family.stop()
    return rate


@contextmanager
def a_city(rows: int, *, delay_ms: str = "3") -> Iterator[City]:
    """Have a city that is about to start; nothing of it stays."""
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-notify-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Servers(folder) as servers, tempfile.TemporaryDirectory() as scratch:
            os.environ["CITYBILL_REDIS_URL"] = servers.redis_url
            servers.create_database("bench")
            migrate(servers.database_url("bench"), today=billing_date(datetime.now(UTC)))
            city = City(servers, Path(scratch), rows, delay_ms=delay_ms)
            try:
                yield city
            finally:
                city.family.stop()
                db.hang_up()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(rows: int, repeats: int) -> dict[str, Any]:
    with a_city(rows) as city:
        return _compare(city, rows, repeats)


def _compare(city: City, rows: int, repeats: int) -> dict[str, Any]:
    limits, ours, seconds = [], [], []
    city.start()
    for _ in range(repeats):
        limits.append(limit(city.servers))
        told(f"Celery alone {limits[-1]:,.0f}/s")
        with Codes(rows):
            started = city.publish()
            city.wait()
        seconds.append(time.monotonic() - started)
        ours.append(rows / seconds[-1])
        told(f"{rows:,} in {seconds[-1]:,.0f} s, {ours[-1]:,.0f}/s")
    waited = city.run(
        "SELECT extract(epoch FROM accepted_at - created_at) FROM notice"
        " WHERE event = 'sign_in.code' AND accepted_at IS NOT NULL"
    )
    counts = city.counts()
    cuts = statistics.quantiles([float(one) for (one,) in waited], n=100)
    return {
        "name": "notify", "rows": rows, "ours": spread(ours, "notices/s, over four channels"),
        "limit": spread(limits, "tasks/s (Celery that does nothing)"),
        "ratio": round(statistics.median(ours) / statistics.median(limits), 3),
        "seconds": round(statistics.median(seconds), 1),
        "transactional_seconds": {
            "p50": round(cuts[49], 2), "p95": round(cuts[94], 2), "p99": round(cuts[98], 2),
            "of": len(waited),
        },
        "twice": {channel: one["twice"] for channel, one in counts.items()},
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,  # of one process
        "versions": {
            "python": platform.python_version(), "celery": version("celery"),
            "psycopg": psycopg.__version__,
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.rows, chosen.repeats)
    if chosen.json:
        print(json.dumps(found))
        return
    print(
        f"{found['rows']:,} bills told in {found['seconds']} s: {found['ours']['median']:,}/s of"
        f" {found['limit']['median']:,}/s = {found['ratio']}; codes meanwhile"
        f" {found['transactional_seconds']}; sent twice {found['twice']}"
    )


if __name__ == "__main__":
    main()
