"""Facts stand or fall with the change they announce."""

import pytest
import structlog
from sqlalchemy import text
from sqlmodel import select

from core import outbox
from core.db import transaction
from core.outbox import OutboxEvent


def count() -> int:
    with transaction() as session:
        return session.execute(text("SELECT count(*) FROM outbox_event")).scalar_one()


@pytest.mark.usefixtures("city")
def test_an_event_is_committed_with_its_transaction(now):
    with transaction() as session:
        outbox.emit(session, "payment.paid", 7, now=now)
        session.flush()
        assert count() == 0  # nobody else sees it yet

    assert count() == 1


@pytest.mark.usefixtures("city")
def test_an_event_is_rolled_back_with_its_transaction(now):
    def fail() -> None:
        with transaction() as session:
            outbox.emit(session, "payment.paid", 7, now=now)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert count() == 0


def test_an_event_says_what_happened_to_what_and_when(session, now):
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        outbox.emit(session, "bills.recorded", 2**62, now=now, created=3, codes=["water"])
    session.flush()
    session.expire_all()

    event = session.exec(select(OutboxEvent)).one()

    assert (event.topic, event.subject_id, event.request_id) == (
        "bills.recorded",
        str(2**62),
        "r-1",
    )
    assert event.facts == {"created": 3, "codes": ["water"]}
    assert (event.emitted_at, event.relayed_at) == (now, None)


def test_an_event_outside_a_request_has_no_request(session, now):
    outbox.emit(session, "payment.paid", 7, now=now)
    session.flush()

    assert session.exec(select(OutboxEvent)).one().request_id is None
