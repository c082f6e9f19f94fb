"""A company's people are told that money was sent to them, and that some came back: each once."""

import pytest
from sqlalchemy import text

from core.db import transaction
from identity.models import Role
from identity.people import add_person
from notifications import remittance_notices
from notifications.models import Notice
from payments.remittance import sending
from payments.remittance.models import Remittance, live_payments
from tests.factories import a_person
from tests.notifications.events import URL, told
from tests.payments.remittance.remitting import (
    a_clerk,
    a_remittance,
    approve,
    at,
    make_file,
    release,
    sent,
    terms,
)
from workers.relay import FOLLOWS

pytestmark = pytest.mark.usefixtures("city")
TELLS = {
    "remittance.sent": remittance_notices.tell_sent,
    "remittance.returned": remittance_notices.tell_returned,
}


@pytest.fixture(autouse=True)
def _terms() -> None:
    terms()


def tell_all() -> None:
    """Do each job that follows from what happened, twice."""
    with transaction() as session:
        news = session.execute(
            text(
                "SELECT topic, subject_id FROM outbox_event WHERE topic LIKE 'remittance.%'"
                " ORDER BY id"
            )
        ).all()
    for topic, subject in news * 2:
        assert len(FOLLOWS[topic]) == 1
        with transaction() as session:
            TELLS[topic](session, int(subject), public_url=URL, now=at(3))


def somebody(company: str, *, locale: str = "en") -> int:
    with transaction() as session:
        person = add_person(
            session, role=Role.OPERATOR, name="李", contact=f"{company}@company.example",
            email=f"{company}@company.example", provider_code=company, now=at(),
        )  # fmt: skip
        person.locale = locale
        assert person.id is not None
        return person.id


def bring_back(one: Remittance, reason: str = "no such account") -> Remittance:
    with transaction() as session:
        (payment,) = live_payments(session, one.id)
        return sending.bring_back(
            session, payment.id, reason=reason, was_debited=False, by=a_clerk(), now=at(3)
        )


def notices(event: str) -> list[Notice]:
    return told(like=event)


def test_everybody_of_the_company_and_nobody_else_is_told_what_was_sent():
    own, _ = somebody("water"), somebody("power")
    a_person()
    one = sent(a_remittance(8_650))

    tell_all()

    found = notices("remittance.%")
    assert {notice.person_id for notice in found} == {own}
    for notice in found:
        assert notice.link == f"{URL}/company/remittances/{one.id}"
        assert notice.title == "¥86.50 is on its way to you"
        assert f"{one.number}" in notice.body
        assert "on 20 November" in notice.body
    assert len({notice.channel for notice in found}) == len(found) > 0


def test_a_company_reads_it_in_its_language():
    somebody("water", locale="zh_CN")
    sent(a_remittance(8_650))

    tell_all()

    assert {notice.title for notice in notices("remittance.sent")} == {"划拨 ¥86.50 已交银行"}


def test_the_letter_leads_to_no_settings_the_reader_has_not():
    somebody("water")
    sent(a_remittance(8_650))

    tell_all()

    assert not [one for one in notices("remittance.sent") if "/preferences" in one.body]


def test_what_came_back_is_told_with_what_the_bank_says_and_again_when_it_goes():
    somebody("water")
    one = bring_back(sent(a_remittance(8_650)))
    tell_all()
    (title,) = {notice.title for notice in notices("remittance.returned")}
    assert title == "¥86.50 came back from the bank"
    assert all("no such account" in notice.body for notice in notices("remittance.returned"))
    assert notices("remittance.sent") == []  # it had come back before anybody was told

    approve(release(one, a_clerk()), a_clerk())
    make_file()
    tell_all()

    assert {notice.title for notice in notices("remittance.sent")} == {
        "¥86.50 is on its way to you"
    }


def test_a_company_nobody_signs_in_for_has_nobody_to_tell():
    sent(a_remittance(8_650))

    tell_all()

    assert notices("remittance.%") == []
