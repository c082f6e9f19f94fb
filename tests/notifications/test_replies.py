"""N-14: what people answer to texts, as it is kept, taken at its word, and answered."""

import random
from datetime import timedelta

import pytest
from sqlmodel import select

from core.db import transaction
from core.outbox import OutboxEvent
from identity.models import Person
from notifications import replies
from notifications.catalogue import Subject
from notifications.channels.base import TextReply
from notifications.choice import consents
from notifications.choice.models import Consent
from notifications.choice.preferences import choose
from notifications.models import Notice
from notifications.sending.models import ReaderReply
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from tests.conftest import NOW
from tests.factories import a_person
from tests.notifications.events import URL
from tests.threads import at_once

MINUTE = timedelta(minutes=1)
OFFER = Facts({"company": "自来水公司", "text": "水质检测，本月免费。"}, link=URL)

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def person():
    """Somebody who agreed to offers, by text first."""
    found = a_person()
    with transaction() as session:
        consents.agree(session, found, proof="yes, tell me", now=NOW - MINUTE)
        choose(session, found, Subject.OFFERS, ["sms", "email"], now=NOW)
    return found


def phone_of(person):
    with transaction() as session:
        return session.get_one(Person, person).contact


def an_offer(person, ref="1"):
    with transaction() as session:
        reader = session.get_one(Person, person)
        told = Telling(event="offer.made", person=reader, subject_ref=ref, facts=OFFER)
        tell(session, told, now=NOW)


def comes(phone, text, *, ref=None, said_at=None, carrier="aliyun", now=NOW):
    with transaction() as session:
        reply = TextReply(ref or f"{text} {now}", phone, text, said_at)
        replies.keep_heard(session, carrier, [reply], now=now)


def read(*, now=NOW):
    with transaction() as session:
        return replies.read_some(session, public_url=URL, now=now)


def answers(person, text, **how):
    comes(phone_of(person), text, **how)
    read(now=how.get("now", NOW))


def rows(model):
    with transaction() as session:
        return list(session.exec(select(model).order_by(model.id)))


def refusals():
    return [one for one in rows(Consent) if not one.given]


def meanings():
    return [one.meaning for one in rows(ReaderReply)]


def texts(event):
    return [one for one in rows(Notice) if one.event == event]


class TestARefusal:
    @pytest.mark.parametrize(
        "text", ["R", "T", " t。", "ｔ", "TD", "退订", "“退订”", "stop", "退订\r\n"]
    )
    def test_it_stops_offers_by_text_and_keeps_the_words(self, person, text):
        answers(person, text)

        [refused] = refusals()
        assert (refused.person_id, refused.channel, refused.source) == (
            person, "sms", "text_reply",
        )  # fmt: skip
        assert text[:1] in refused.proof
        assert phone_of(person) not in refused.proof

    def test_it_names_the_offer_they_had_last(self, person):
        an_offer(person)
        with transaction() as session:
            offer = session.exec(select(Notice).where(Notice.channel == "sms")).one()
            offer.accepted_at, offer_id = NOW, offer.id

        answers(person, "TD")

        assert rows(ReaderReply)[0].notice_id == offer_id
        assert f"notice-{offer_id}" in refusals()[0].proof

    def test_those_that_wait_are_dropped(self, person):
        an_offer(person)

        answers(person, "T")

        waiting = [one for one in texts("offer.made") if one.channel == "sms"]
        assert [one.state for one in waiting] == ["dropped"]

    def test_it_is_confirmed_once_by_text_and_says_what_goes_on(self, person):
        for number in range(3):
            answers(person, "退订", now=NOW + number * MINUTE)

        [told] = texts("offers.stopped")
        assert told.channel == "sms"
        assert told.kind == "service"
        assert "账单" in told.body
        assert f"{URL}/preferences" in told.body
        assert meanings() == ["refused", "refused_before", "refused_before"]
        assert len(refusals()) == 1

    def test_whoever_agrees_again_and_refuses_again_is_told_again(self, person):
        answers(person, "T")
        with transaction() as session:
            consents.agree(session, person, proof="yes", now=NOW + MINUTE)

        answers(person, "T", now=NOW + 2 * MINUTE)

        assert len(refusals()) == len(texts("offers.stopped")) == 2

    def test_bills_and_payments_are_told_as_before(self, person):
        answers(person, "TD")
        facts = Facts({"amount": "¥1.00", "how": "", "greeting": "", "name": "", "count": "1"})
        with transaction() as session:
            reader = session.get_one(Person, person)
            told = Telling(event="payment.receipt", person=reader, subject_ref="1", facts=facts)
            tell(session, told, now=NOW)

        assert texts("payment.receipt")

    @pytest.mark.parametrize("form", ["{}", "+86{}", "86{}", "0086{}"])
    def test_a_number_is_the_same_however_a_carrier_writes_it(self, person, form):
        comes(form.format(phone_of(person).removeprefix("+86")), "T")
        read()

        assert meanings() == ["refused"]


class TestOrder:
    def test_the_same_reply_twice_is_one(self, person):
        for _ in range(2):
            comes(phone_of(person), "T", ref="77")
            read()

        assert meanings() == ["refused"]
        with transaction() as session:
            kept = select(OutboxEvent).where(OutboxEvent.topic == "replies.kept")
            assert len(session.exec(kept).all()) == 1

    @pytest.mark.parametrize("words", ["TD", "谢谢"])
    def test_one_a_centre_says_again_is_kept_again_and_answered_once(self, person, words):
        for number in range(2):  # SMPP: each has a number of our own
            comes(phone_of(person), words, ref=f"{number}", carrier="smpp")
            read()

        assert len(rows(ReaderReply)) == 2
        assert len(texts("offers.stopped") + texts("reply.unread")) == 1
        assert len(refusals()) <= 1

    def test_an_old_reply_does_not_undo_a_newer_yes(self, person):
        answers(person, "T", ref="late", said_at=NOW - 2 * MINUTE)

        assert refusals() == []
        assert meanings() == ["outdated"]

    @pytest.mark.parametrize("seed", range(5))
    def test_any_order_comes_to_the_same(self, person, seed):
        words = ["T", "退订", "你好", "TD", "谢谢"]
        random.Random(seed).shuffle(words)
        for number, text in enumerate(words):
            comes(phone_of(person), text, ref=str(number))
        read()

        assert len(refusals()) == len(texts("offers.stopped")) == len(texts("reply.unread")) == 1
        assert sorted(meanings()) == ["refused", "refused_before", "refused_before"] + 2 * ["words"]

    def test_read_by_several_at_once_each_is_read_once(self, person):
        for number in range(20):
            comes(phone_of(person), "T", ref=str(number))

        read_by = at_once(4, lambda _: read())

        assert sum(read_by) == 20
        assert len(refusals()) == len(texts("offers.stopped")) == 1


class TestOtherWords:
    @pytest.mark.parametrize("text", ["", "Thanks", "请问今天停水吗", "T恤", "不退订"])
    def test_they_stop_nothing_and_are_told_where_somebody_reads(self, person, text):
        answers(person, text)

        assert refusals() == []
        [told] = texts("reply.unread")
        assert told.channel == "sms"
        assert f"{URL}/complaints/new" in told.body

    def test_once_a_day_so_that_two_machines_do_not_talk_for_ever(self, person):
        for number in range(5):
            answers(person, "我在开车", now=NOW + number * MINUTE)
        assert len(texts("reply.unread")) == 1

        answers(person, "我在开车", now=NOW + timedelta(days=1))
        assert len(texts("reply.unread")) == 2

    def test_a_stranger_is_answered_nothing(self):
        comes("+8613911112222", "T")
        read()

        assert meanings() == ["stranger"]
        assert rows(Notice) == []

    def test_what_the_database_cannot_hold_is_kept_without_it(self, person):
        answers(person, "T\0恤\ud800")

        assert rows(ReaderReply)[0].words == "T恤?"


def test_staff_page_through_them_by_what_they_were_taken_for(person):
    for number, text in enumerate(["T", "你好", "TD"]):
        answers(person, text, ref=str(number))

    with transaction() as session:
        newest = replies.list_replies(session, limit=1)
        older = replies.list_replies(session, after=newest[0].id, limit=5)
        assert [one.words for one in newest + older] == ["TD", "你好", "T"]
        words = replies.list_replies(session, meaning="words")
        assert [one.words for one in words] == ["你好"]


def test_they_are_forgotten_after_half_a_year_and_the_refusal_is_not(person):
    answers(person, "T")
    with transaction() as session:
        replies.forget(session, now=NOW + timedelta(days=179))
        assert len(session.exec(select(ReaderReply)).all()) == 1
        replies.forget(session, now=NOW + timedelta(days=181))

    assert rows(ReaderReply) == []
    assert len(refusals()) == 1
