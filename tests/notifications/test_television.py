"""What televisions have to tell: beside the other channels, private, until somebody presses OK."""

from datetime import timedelta

import pytest
from sqlmodel import select

from core.db import transaction
from core.errors import Invalid, NotFound
from identity import televisions
from identity.models import Person
from notifications import television
from notifications.catalogue import Subject
from notifications.channels.base import Message
from notifications.channels.tv import Television
from notifications.choice.preferences import choose
from notifications.models import Notice, NoticeState
from notifications.telling import Telling, tell
from notifications.trying import send_test
from notifications.wording.rendering import Facts
from tests.conftest import NOW
from tests.factories import a_person
from tests.notifications.events import URL

DAY = timedelta(days=1)
BILL = Facts({"company": "市水务", "month": "10月", "amount": "¥86.50", "due_on": "30日"}, link=URL)
PAID = Facts({"amount": "¥1.00", "how": "", "greeting": "", "name": "", "count": "1"}, link=URL)

pytestmark = pytest.mark.usefixtures("city")


def a_television(person_id):
    with transaction() as session:
        device, user = televisions.begin_pairing(session, now=NOW)
        televisions.decide_pairing(session, user, person_id, allow=True, now=NOW)
        televisions.ask_pairing(session, device, now=NOW)
        return televisions.list_televisions(session, person_id, now=NOW)[0].id


@pytest.fixture
def person():
    """Somebody with a television."""
    found = a_person()
    a_television(found)
    return found


def say(person_id, event="bill.ready", ref="1.1.1", facts=BILL, now=NOW):
    with transaction() as session:
        reader = session.get_one(Person, person_id)
        tell(session, Telling(event=event, person=reader, subject_ref=ref, facts=facts), now=now)


def rows(channel="tv"):
    with transaction() as session:
        found = select(Notice).where(Notice.channel == channel).order_by(Notice.id)
        return session.exec(found).all()


def channels():
    with transaction() as session:
        return [one.channel for one in session.exec(select(Notice).order_by(Notice.id))]


def news(person_id, now=NOW):
    with transaction() as session:
        return television.news(session, person_id, now=now)


class TestPlan:
    def test_a_bill_shows_beside_the_other_channels(self, person):
        say(person)

        assert channels() == ["inbox", "tv", "email", "sms"]
        [shown] = rows()
        assert (shown.state, shown.carrier) == ("accepted", "tv")
        assert rows("email")[0].due_at is not None

    def test_without_a_television_there_is_none(self):
        say(a_person())

        assert rows() == []

    def test_an_ended_one_shows_nothing(self, person):
        with transaction() as session:
            found = televisions.list_televisions(session, person, now=NOW)[0]
            televisions.end_television(session, person, found.id, now=NOW)
        say(person)

        assert rows() == []

    def test_money_shows_only_where_somebody_chose_it(self, person):
        say(person, "payment.receipt", "1", PAID)
        assert rows() == []
        with transaction() as session:
            choose(session, person, Subject.PAYMENTS, ["email", "tv"], now=NOW)

        say(person, "payment.receipt", "2", PAID)

        assert [one.subject_ref for one in rows()] == ["2"]

    def test_who_left_it_out_or_muted_all_sees_nothing(self, person):
        for wanted in (["email"], []):
            with transaction() as session:
                choose(session, person, Subject.BILLS, wanted, now=NOW)
            say(person, ref=f"1.1.{len(wanted)}")

        assert rows() == []

    def test_the_television_alone_is_no_silence_and_no_other_channel(self, person):
        with transaction() as session:
            choose(session, person, Subject.BILLS, ["tv"], now=NOW)
        say(person)

        assert channels() == ["inbox", "tv"]

    def test_who_chose_it_alone_and_ended_it_hears_as_usual(self, person):
        with transaction() as session:
            choose(session, person, Subject.BILLS, ["tv"], now=NOW)
            found = televisions.list_televisions(session, person, now=NOW)[0]
            televisions.end_television(session, person, found.id, now=NOW)
        say(person)

        assert channels() == ["inbox", "email", "sms"]

    def test_what_must_be_told_needs_another_channel_too(self, person):
        with pytest.raises(Invalid) as refused, transaction() as session:
            choose(session, person, Subject.PAYMENTS, ["tv"], now=NOW)

        assert refused.value.code == "preferences.never_muted"

    def test_a_test_shows_there_alone(self, person):
        with transaction() as session:
            reader = session.get_one(Person, person)
            assert send_test(session, reader, "tv", link=URL, now=NOW)

        assert channels() == ["tv"]


class TestNews:
    def test_the_newest_is_told_with_how_many_there_are(self, person):
        say(person, ref="1.1.1")
        say(person, "usage.unusual", "1.1.1", now=NOW + DAY, facts=Facts({
            "company": "", "month": "", "amount": "", "due_on": "", "usage": "", "usual": "",
            "percent": "", "hint": "",
        }))  # fmt: skip

        found = news(person, NOW + DAY)

        assert (found.how_many, found.subject) == (2, Subject.USAGE)

    def test_shown_is_delivered_and_read_is_read_once(self, person):
        say(person)
        found = news(person)
        assert rows()[0].state == NoticeState.DELIVERED

        for minutes in (1, 2):
            with transaction() as session:
                at = NOW + timedelta(minutes=minutes)
                notice = television.read(session, person, found.notice_id, now=at)
                assert "¥86.50" in notice.body

        [read] = rows()
        assert (read.state, read.read_at) == (NoticeState.READ, NOW + timedelta(minutes=1))
        assert news(person) is None

    def test_what_is_of_no_use_any_more_is_not_told(self, person):
        say(person)

        assert news(person, NOW + 15 * DAY) is None

    def test_another_persons_and_another_channels_are_not_there(self, person):
        say(person)
        other, of_mail = a_person(), rows("email")[0].id

        for whose, number in ((other, rows()[0].id), (person, of_mail), (person, 10**9)):
            with pytest.raises(NotFound), transaction() as session:
                television.read(session, whose, number, now=NOW)

    def test_more_than_nine_are_many(self, person):
        for number in range(12):
            say(person, ref=f"1.1.{number}")

        assert news(person).how_many == television.MANY + 1


def test_the_carrier_takes_what_is_sent_again_and_hears_nothing():
    message = Message(message_id="n", address="1", title="t", body="b")

    assert Television().send(message) == ("", False)
    assert Television().read_receipts({}, b"x") == []
