"""Jobs to run, and a doorbell to hear."""

import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from sqlalchemy import Row, text

from core.clock import utc_now
from core.db import transaction
from workers.app import broker_url, celery
from workers.jobs import JOBS

ROOT = Path(__file__).parents[2]


def a_job(
    task: str = "upkeep.test", subject_id: str = "1", *, due_at: datetime | None = None
) -> int:
    """A job that waits and is due."""
    with transaction() as session:
        return session.execute(
            text(
                "INSERT INTO job (task, subject_id, state, attempts, due_at) "
                "VALUES (:task, :subject_id, 'waiting', 0, :due_at) RETURNING id"
            ),
            {
                "task": task, "subject_id": subject_id,
                "due_at": due_at or utc_now() - timedelta(seconds=1),
            },
        ).scalar_one()  # fmt: skip


def the_job(job_id: int) -> Row[Any]:
    with transaction() as session:
        return session.execute(text("SELECT * FROM job WHERE id = :id"), {"id": job_id}).one()


def change(job_id: int, assignment: str) -> None:
    """Do to a job's row what only time could."""
    with transaction() as session:
        session.execute(text(f"UPDATE job SET {assignment} WHERE id = :id"), {"id": job_id})


@pytest.fixture(autouse=True)
def _plain_log() -> Iterator[None]:
    """Plain lines: drawing every failure's frames takes longer than the test."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Say what the job ``upkeep.test`` does."""

    def does(function: Callable[[str], None]) -> None:
        monkeypatch.setitem(JOBS, "upkeep.test", function)

    return does


@pytest.fixture
def bell(servers: Any) -> Iterator[redis.Redis]:
    """The embedded Redis, empty, and Celery ringing it."""
    celery.conf.broker_url = broker_url(servers.redis_url)
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
        yield client
        client.flushall()


def rung(client: redis.Redis, queue: str = "upkeep") -> int:
    """Count the jobs that a queue has been rung for."""
    messages = [json.loads(one) for one in client.lrange(queue, 0, -1)]  # type: ignore[union-attr]
    return sum(len(json.loads(b64decode(one["body"]))[0][0]) for one in messages)


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without anybody's settings, and with these."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CITYBILL_")}
    hush = "ignore:You're running the worker with superuser"
    return own | {"PYTHONWARNINGS": hush} | changes


@contextmanager
def process(*module: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module …`` in a session of its own, and leave nothing of it behind."""
    with subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=environment(**settings),
        start_new_session=True,
    ) as started:
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, 9)
