"""A real worker, killed in mid-job while Redis forgets everything: the job is done all the same."""

import asyncio
import io
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.files.bill_files import get_bill_file, receive
from core.clock import utc_now
from core.db import transaction
from notifications.models import NoticeState
from notifications.sending.claiming import LEASE
from tests.notifications.conftest import MailServer, running
from tests.notifications.far import a_notice, a_person, the_notice
from tests.providers.files import WATER
from tests.workers.conftest import a_job, change, process, the_job

WORKER = (
    "celery", "--quiet", "-A", "workers.app", "worker", "--queues", "payments,notices,bills,upkeep",
    "--concurrency", "2", "--loglevel", "ERROR", "--without-gossip", "--without-mingle",
)  # fmt: skip
SCHEDULER = ("workers.scheduler",)


def until(holds: Callable[[], bool], what: str, seconds: int = 40) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it never came about: {what}"
        time.sleep(0.05)


class SlowMailServer(MailServer):
    """Holds the first mail in its hands, until the sender is gone."""

    tried = 0

    async def handle_DATA(self, *given: Any) -> str:
        self.tried += 1
        if self.tried == 1:
            await asyncio.sleep(60)
        return await super().handle_DATA(*given)


@pytest.fixture
def settings(city, servers, bell):
    """What the processes of this test run on."""
    return {
        "CITYBILL_DATABASE_URL": city,
        "CITYBILL_REDIS_URL": servers.redis_url,
        "CITYBILL_SMTP_HOST": "127.0.0.1",
    }


def test_a_worker_killed_in_mid_send_and_a_flushed_redis_cost_delay_only(settings, bell):
    """Rung, claimed, killed, forgotten, claimed by another when the lease ends: under one id."""
    now = utc_now()
    # Told at any hour: no test waits for the end of somebody's night.
    notice_id = a_notice(a_person(now), now, event="outage.announced")
    with running(SlowMailServer()) as mail_server, process(*SCHEDULER, **settings):
        settings["CITYBILL_SMTP_PORT"] = str(mail_server.port)
        with process(*WORKER, **settings) as worker:
            until(lambda: mail_server.tried == 1, "the worker is in the middle of it")
            os.killpg(worker.pid, signal.SIGKILL)
        bell.flushall()
        held = the_notice(notice_id)
        assert (held.state, held.attempts) == (NoticeState.CREATED, 1)
        assert held.due_at is not None
        assert timedelta(0) < held.due_at - utc_now() < LEASE
        with transaction() as session:
            session.execute(text("UPDATE notice SET due_at = now()"))

        with process(*WORKER, **settings):
            until(lambda: the_notice(notice_id).state == "accepted", "another worker took over")

    assert [mail["Message-ID"] for _, mail, _ in mail_server.taken] == [
        f"<notice-{notice_id}@citybill.example>"
    ]


def test_rung_for_twice_it_is_done_once_by_real_workers(settings, bell):
    job_id = a_job("upkeep.forget", "2026-11-20")
    with running(MailServer()) as mail_server:
        settings["CITYBILL_SMTP_PORT"] = str(mail_server.port)
        with process(*SCHEDULER, **settings), process(*WORKER, **settings):
            until(lambda: the_job(job_id).state == "done", "the job is done")
            change(job_id, "rung_at = NULL")

    assert the_job(job_id).attempts == 1


def test_a_bill_file_is_imported_by_a_real_worker(settings):
    """In a fork of its process polars would wait for ever: workers are threads."""
    with transaction() as session:
        sent = receive(
            session, "water", io.BytesIO(WATER.file({}, {"账单号": "W-2"})),
            file_name="bills.txt", received_via="test", now=utc_now(),
        )  # fmt: skip
    assert sent.id is not None

    def status() -> str:
        with transaction() as session:
            return str(get_bill_file(session, sent.id or 0).status)

    with process(*SCHEDULER, **settings), process(*WORKER, **settings):
        until(lambda: status() == "imported", "the file is imported")
