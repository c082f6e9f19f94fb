"""What the doctor says of files of gateways, companies and banks."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.files.deliveries import note_poll, plan_polls
from cli import doctor
from core.clock import billing_date, utc_now
from core.db import transaction
from core.settings import settings
from payments.reconciliation.intake.senders import POLLED
from tests.payments.reconciliation.company_days import run, the_day

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def as_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read anew, before and after."""
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def waits(source: str, hours: int) -> None:
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO settlement_arrival (source, day, state, due_at, answer)"
                " VALUES (:source, :day, 'waiting', :due_at, 'not_yet')"
            ),
            {
                "source": source, "day": billing_date(utc_now()) - timedelta(days=1),
                "due_at": utc_now() - timedelta(hours=hours),
            },
        )  # fmt: skip


@pytest.mark.parametrize(("hours", "health"), [(1, doctor.Health.WELL), (4, doctor.Health.WRONG)])
def test_a_file_that_waits_is_told_with_when_it_was_due(hours, health):
    waits("alipay", hours)

    ((found, part, told),) = doctor.books()

    assert (found, part) == (health, "books alipay")
    assert "none here yet" in told
    assert f"due at {utc_now() - timedelta(hours=hours):%Y-%m-%d %H}" in told
    assert told.endswith("told: not_yet")


def test_a_list_that_came_is_told_with_its_day_and_when_it_came():
    today = billing_date(utc_now())
    run([], (today - the_day()).days, now=utc_now())

    ((found, part, told),) = doctor.books()

    assert (found, part) == (doctor.Health.WELL, "books water")
    assert told.startswith(f"{today} is here, came at {utc_now():%Y-%m-%d}")
    assert "nothing waits" in told


def test_a_server_that_is_looked_at_is_told_with_when_it_is_next(monkeypatch):
    delivery = {"mybank": {"leg": "bank", "address": "sftp://files.example/out"}}
    monkeypatch.setenv("CITYBILL_BOOK_DELIVERIES", json.dumps(delivery))
    settings.cache_clear()
    assert doctor.books() == [
        (doctor.Health.WELL, "books mybank", "never fetched yet, every 60 min")
    ]
    now = utc_now()
    with transaction() as session:
        plan_polls(session, [(f"{POLLED}mybank", timedelta(minutes=10))], now=now)
        note_poll(session, f"{POLLED}mybank", complaint="no such folder", again_at=None, now=now)

    ((found, _, told),) = doctor.books()

    assert found is doctor.Health.WRONG
    assert "next at" in told
    assert "1 failures since: no such folder" in told
