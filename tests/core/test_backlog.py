"""What is behind: due and not done, by queue, with its oldest; and news not passed on."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core import backlog, outbox
from core.backlog import Behind, find_behind
from core.db import transaction
from tests.conftest import NOW

pytestmark = pytest.mark.usefixtures("city")
MINUTE = timedelta(minutes=1)


def a_job(task: str, state: str = "waiting", *, minutes: int, lease: int | None = None) -> None:
    """A job that was due some minutes ago, and its lease, if it has one."""
    with transaction() as session:
        session.execute(
            text("INSERT INTO job (task, subject_id, state, attempts, due_at, lease_until)"
                 " VALUES (:task, '1', :state, 1, :due_at, :lease_until)"),
            {"task": task, "state": state, "due_at": NOW - minutes * MINUTE,
             "lease_until": None if lease is None else NOW + lease * MINUTE},
        )  # fmt: skip


def behind() -> list[Behind]:
    with transaction() as session:
        return find_behind(session, now=NOW)


def test_nothing_is_behind_in_a_quiet_city():
    assert behind() == []


def test_each_queue_is_counted_with_its_oldest():
    a_job("payments.callback", minutes=3)
    a_job("payments.write_off", minutes=9)
    a_job("notices.receipt", minutes=1)

    assert behind() == [
        Behind("notices", 1, NOW - MINUTE), Behind("payments", 2, NOW - 9 * MINUTE)
    ]  # fmt: skip


def test_what_is_not_due_is_held_or_has_ended_is_not_behind():
    a_job("payments.callback", minutes=-1)
    a_job("payments.callback", "running", minutes=2, lease=1)
    a_job("payments.callback", "done", minutes=2)
    a_job("payments.callback", "dead", minutes=2)

    assert behind() == []


def test_what_a_worker_died_over_is_behind():
    a_job("bills.import_file", "running", minutes=2, lease=-1)

    assert behind() == [Behind("bills", 1, NOW - 2 * MINUTE)]


def test_news_that_became_no_job_yet_is_counted_by_itself():
    with transaction() as session:
        outbox.emit(session, "payment.paid", "7", now=NOW - MINUTE)

    assert behind() == [Behind("outbox", 1, NOW - MINUTE)]


def test_no_more_are_counted_than_it_takes_to_know_that_it_is_bad(monkeypatch):
    monkeypatch.setattr(backlog, "MOST", 2)
    for at in range(4):
        a_job("upkeep.forget", minutes=at + 1)

    assert behind() == [Behind("upkeep", 2, NOW - 4 * MINUTE)]
