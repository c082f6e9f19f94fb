"""Told of how a complaint goes on: each step once, in their language, without any number."""

import pytest
from sqlalchemy import text

from core.db import transaction
from identity.models import Role
from notifications import complaint_notices
from providers.registry import get_provider
from support import complaints
from support.steps import find_step
from tests.factories import NOW, a_home, a_paid_payment, a_person
from tests.notifications.events import URL, one_by_one, told
from tests.support.complaining import answer, ask, close, take, write
from workers.relay import FOLLOWS

pytestmark = pytest.mark.usefixtures("city")


def tell_all() -> None:
    """Do each job that follows from what happened, twice."""
    with transaction() as session:
        news = session.execute(
            text("SELECT topic, subject_id FROM outbox_event WHERE topic LIKE 'complaint.%' "
                 "ORDER BY id")
        ).all()  # fmt: skip
    for topic, entry_id in news * 2:
        assert FOLLOWS[topic] == ("notices.complaint",)
        with transaction() as session:
            step = complaint_notices.Step(*find_step(session, int(entry_id)))
            complaint_notices.tell_step(session, step, public_url=URL, now=NOW)


def test_each_step_is_told_once_with_what_matters_in_it():
    home = a_home(8_650)
    clerk = a_person(Role.STAFF)
    one_by_one()
    one = ask(home.owner_id, about=f"bill:{home.refs[0][0]}.{home.refs[0][1]}")
    take(one, clerk)
    answer(one, clerk, "It is right:\n\nwe read it again.")
    write(one)
    answer(one, clerk, "Once more: it is.")
    close(one, clerk)

    tell_all()

    notices = told(like="complaint.%")
    assert [notice.event.partition(".")[2] for notice in notices] == [
        "received", "answered", "received", "answered", "closed",
    ]  # fmt: skip
    assert {notice.person_id for notice in notices} == {home.owner_id}
    assert {notice.link for notice in notices} == {f"{URL}/complaints/{one.number}"}
    first, second, *_, last = notices
    assert "We answer by Wednesday 25 November 2026" in first.body
    assert "· October 2026" in first.body
    assert "we read it again." in second.body
    assert "Once more: it is." in last.body  # nothing was said when it was closed
    for notice in notices:
        assert one.number in notice.title
        assert home.account_nos[0][-4:] not in notice.body


@pytest.mark.parametrize(
    ("locale", "paid", "company", "nothing"),
    [
        ("zh_CN", "2026年11月20日的缴费", get_provider("gas").name, "城市账单"),
        ("en", "the payment of 20 November 2026", get_provider("gas").name_en, "CityBill"),
    ],
)
def test_what_it_is_about_is_said_in_their_language(locale, paid, company, nothing):
    home = a_home(8_650)
    payment = a_paid_payment(home)
    one_by_one()
    with transaction() as session:
        session.execute(text("UPDATE person SET locale = :locale"), {"locale": locale})
    for about in (f"payment:{payment.id}", "company:gas", ""):
        ask(home.owner_id, about=about)

    tell_all()

    bodies = [notice.body for notice in told(like="complaint.%")]
    assert len(bodies) == 3
    assert paid in bodies[0]
    assert nothing in bodies[2]
    assert company in bodies[1]


def test_what_somebody_closed_themselves_is_not_told_to_them():
    person = a_person()
    one_by_one()
    one = ask(person)
    with transaction() as session:
        complaints.close_own(session, person, one.number, now=NOW)

    tell_all()

    assert [notice.event for notice in told(like="complaint.%")] == ["complaint.received"]
