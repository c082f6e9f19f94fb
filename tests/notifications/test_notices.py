"""Told once, in the person's language, and no code is left behind."""

from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from sqlalchemy import text
from sqlmodel import select

from core.db import transaction
from core.errors import NotFound, TooMany, Upstream, UpstreamUnavailable
from identity.models import Person, Role
from identity.people import add_person
from notifications import words
from notifications.channels.base import Message
from notifications.models import Notice, NoticeState
from notifications.notices import (
    deliver,
    list_inbox,
    make_notice,
    mark_read,
    send_sign_in_code,
    tell_paid,
)
from tests.conftest import NOW
from tests.factories import a_home, a_paid_payment
from tests.threads import at_once

SECRET = "of-these-tests-only"


@dataclass
class Far:
    """A channel whose far side says what a test tells it to."""

    code: str = "email"
    answer: Exception | None = None
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.answer is not None:
            raise self.answer


def a_person(now, contact="19900000001", **others):
    with transaction() as session:
        return add_person(
            session, role=Role.RESIDENT, name="王小明", contact=contact, now=now, **others
        )


def a_notice(person, now, *, event="bill.issued", subject_ref="7", channel="email"):
    with transaction() as session:
        return make_notice(
            session, person, event=event, subject_ref=subject_ref, channel=channel,
            address="wang@example.com", text_=words.Words("题", "验证码 482913", "<p>482913</p>"),
            now=now,
        )  # fmt: skip


def the_notices():
    with transaction() as session:
        return list(session.exec(select(Notice).order_by(Notice.id)))


def count(table):
    with transaction() as session:
        return session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


@pytest.mark.usefixtures("city")
class TestOnce:
    """Rule 54: a notice is unique by event, person, subject and channel."""

    def test_twenty_at_once_are_one_notice_and_one_event(self, now):
        person = a_person(now)

        made = at_once(20, lambda _: a_notice(person, now))

        assert sum(one is not None for one in made) == 1
        assert (count("notice"), count("outbox_event")) == (1, 1)

    def test_another_event_person_subject_or_channel_is_another_notice(self, now):
        one, other = a_person(now), a_person(now, "19900000002")
        a_notice(one, now)

        made = [
            a_notice(one, now, event="bill.due"), a_notice(other, now),
            a_notice(one, now, subject_ref="8"), a_notice(one, now, channel="inbox"),
        ]  # fmt: skip

        assert None not in made
        assert count("notice") == 5

    def test_its_words_are_frozen_when_it_is_made(self, now):
        person = a_person(now)
        a_notice(person, now)
        with transaction() as session:
            make_notice(
                session, person, event="bill.issued", subject_ref="7", channel="email",
                address="other@example.com", text_=words.Words("other", "other"), now=now,
            )  # fmt: skip

        assert [(one.title, one.address) for one in the_notices()] == [("题", "wang@example.com")]

    def test_a_receipt_told_by_twenty_workers_is_one_mail_and_one_line_in_the_inbox(self, now):
        payment = a_paid_payment(a_home(8_650))

        def tell(_: int) -> None:
            with transaction() as session:
                tell_paid(session, payment.id, public_url="https://citybill.example", now=now)

        at_once(20, tell)

        assert sorted(one.channel for one in the_notices()) == ["email", "inbox"]


@pytest.mark.usefixtures("city")
class TestDelivery:
    def test_it_is_handed_over_as_it_was_made(self, now):
        far = Far()
        notice_id = a_notice(a_person(now), now)

        deliver(notice_id, {"email": far}, now=NOW)

        assert far.sent == [
            Message(
                message_id=f"notice-{notice_id}", address="wang@example.com", title="题",
                body="验证码 482913", body_html="<p>482913</p>",
            )
        ]  # fmt: skip
        assert the_notices()[0].state is NoticeState.ACCEPTED

    def test_once_delivered_it_is_not_sent_again(self, now):
        far = Far()
        notice_id = a_notice(a_person(now), now)
        deliver(notice_id, {"email": far}, now=NOW)

        deliver(notice_id, {"email": far}, now=NOW)

        assert len(far.sent) == 1

    def test_not_now_leaves_it_as_it_is_and_the_next_try_has_the_same_id(self, now):
        far = Far(answer=UpstreamUnavailable("greylisted"))
        notice_id = a_notice(a_person(now), now)
        with pytest.raises(UpstreamUnavailable):
            deliver(notice_id, {"email": far}, now=NOW)
        assert the_notices()[0].state is NoticeState.CREATED

        far.answer = None
        deliver(notice_id, {"email": far}, now=NOW)

        assert the_notices()[0].state is NoticeState.ACCEPTED
        assert len({message.message_id for message in far.sent}) == 1

    def test_refused_for_good_it_failed_and_is_left_alone(self, now):
        far = Far(answer=Upstream("no such mailbox"))
        notice_id = a_notice(a_person(now), now)

        for _ in range(2):
            deliver(notice_id, {"email": far}, now=NOW)

        assert the_notices()[0].state is NoticeState.FAILED
        assert len(far.sent) == 1

    def test_a_channel_nobody_installed_fails_it(self, now):
        deliver(a_notice(a_person(now), now, channel="fax"), {"email": Far()}, now=NOW)

        assert the_notices()[0].state is NoticeState.FAILED

    def test_no_transaction_is_open_while_the_far_side_thinks(self, now):
        class Nosy(Far):
            def send(self, message: Message) -> None:
                with transaction() as session:
                    open_ = session.execute(
                        text(
                            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' "
                            "AND datname = current_database() AND pid <> pg_backend_pid()"
                        )
                    ).scalar_one()
                self.sent += [message] * (open_ == 0)

        far = Nosy()
        deliver(a_notice(a_person(now), now), {"email": far}, now=NOW)

        assert len(far.sent) == 1

    def test_a_notice_that_is_not_there_is_not_found(self):
        with pytest.raises(NotFound):
            deliver(1, {}, now=NOW)


@pytest.mark.usefixtures("city")
class TestSignInCodes:
    def send(self, contact, now):
        with transaction() as session:
            send_sign_in_code(session, contact, secret=SECRET, now=now)

    @pytest.mark.parametrize(
        ("contact", "channel"), [("19900000001", "console"), ("wang@example.com", "email")]
    )
    def test_it_goes_where_the_person_is(self, now, contact, channel):
        a_person(now, contact)

        self.send(contact, now)

        [notice] = the_notices()
        assert (notice.channel, notice.address) == (channel, contact)

    def test_a_code_that_is_no_longer_good_is_not_sent_and_is_wiped(self, now):  # rule 54
        person, far = a_person(now), Far()
        notice_id = a_notice(person, now, event="sign_in.code")

        deliver(notice_id, {"email": far}, now=now + timedelta(minutes=6))

        with transaction() as session:
            kept = session.get_one(Notice, notice_id)
        assert far.sent == []
        assert (kept.state, kept.body) == (NoticeState.FAILED, "(wiped)")

    @pytest.mark.parametrize("answer", [None, Upstream("never")], ids=["delivered", "failed"])
    def test_the_code_is_wiped_once_it_has_left(self, now, answer):
        a_person(now, "wang@example.com")
        self.send("wang@example.com", now)
        far = Far(answer=answer)
        [notice] = the_notices()

        deliver(notice.id, {"email": far}, now=NOW)

        [code] = [word for word in far.sent[0].body.replace("，", " ").split() if word.isdigit()][
            :1
        ]
        [row] = the_notices()
        assert code not in f"{row.title}{row.body}{row.body_html}"
        assert row.body == "(wiped)"

    def test_another_notice_keeps_its_words(self, now):
        deliver(a_notice(a_person(now), now), {"email": Far()}, now=NOW)

        assert the_notices()[0].body == "验证码 482913"

    def test_a_contact_nobody_has_gets_nothing_and_leaves_nothing(self, now):
        self.send("nobody@example.com", now)

        assert (count("notice"), count("outbox_event"), count("sign_in_code")) == (0, 0, 0)

    def test_a_sixth_code_is_refused_and_not_sent(self, now):
        a_person(now)
        for _ in range(5):
            self.send("19900000001", now)

        with pytest.raises(TooMany):
            self.send("19900000001", now)

        assert count("notice") == 5

    def test_a_second_code_is_a_second_notice(self, now):
        a_person(now)
        self.send("19900000001", now)
        self.send("19900000001", now)

        assert count("notice") == 2


@pytest.mark.usefixtures("city")
class TestInbox:
    def test_newest_first_own_only_and_no_more_than_asked(self, now):
        one, other = a_person(now), a_person(now, "19900000002")
        mine = [a_notice(one, now, subject_ref=ref, channel="inbox") for ref in "123"]
        a_notice(other, now, channel="inbox")
        a_notice(one, now, channel="email")

        with transaction() as session:
            assert [one.id for one in list_inbox(session, one.id)] == mine[::-1]
            assert len(list_inbox(session, one.id, limit=2)) == 2

    def test_what_was_shown_is_read_and_stays_read_as_of_then(self, now):
        person = a_person(now)
        a_notice(person, now, channel="inbox")
        for at in (now, now.replace(hour=9)):
            with transaction() as session:
                mark_read(session, list_inbox(session, person.id), now=at)

        assert the_notices()[0].read_at == now


class Shown(HTMLParser):
    """What a reader would see of an HTML mail, and what a browser would run or fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


@pytest.mark.usefixtures("city")
class TestWords:
    def a_receipt(self, now, locale, name="王小明"):
        payment = a_paid_payment(a_home(8_650, 5))
        with transaction() as session:
            person = session.get_one(Person, payment.payer_id)
            person.locale, person.name = locale, name
        with transaction() as session:
            tell_paid(session, payment.id, public_url="https://citybill.example", now=now)
        return next(one for one in the_notices() if one.channel == "email"), payment

    @pytest.mark.parametrize(
        ("locale", "title", "company", "month", "lang"),
        [
            ("zh_CN", "缴费回执：已收到 ¥86.55", "水", "2026年10月", "zh-CN"),
            ("en", "Receipt: ¥86.55 paid", "Water", "October 2026", "en"),
        ],
    )
    def test_a_receipt_names_every_bill_in_the_persons_language(
        self, now, locale, title, company, month, lang
    ):
        notice, payment = self.a_receipt(now, locale)

        assert notice.title == title
        for words_ in (notice.body, Shown(notice.body_html).text):
            assert company in words_
            assert words_.count(month) == 2
            assert "¥86.50" in words_
            assert "¥0.05" in words_
            assert f"https://citybill.example/payments/{payment.id}" in words_
        assert f'lang="{lang}"' in notice.body_html

    def test_a_receipt_shows_no_account_number_in_full(self, now):
        home = a_home(8_650)
        payment = a_paid_payment(home)
        with transaction() as session:
            tell_paid(session, payment.id, public_url="https://citybill.example", now=now)

        for notice in the_notices():
            assert home.account_nos[0] not in f"{notice.title}{notice.body}{notice.body_html}"
            assert home.account_nos[0][-4:] in notice.body

    def test_a_name_is_text_whatever_it_says(self, now):
        evil = '<script>alert("1")</script>&amp;\'"'
        notice, _ = self.a_receipt(now, "zh_CN", evil)

        shown = Shown(notice.body_html)
        assert evil in shown.text
        assert set(shown.tags) <= {
            "html", "head", "meta", "title", "body", "h1", "p", "table", "tr", "td", "br", "a",
        }  # fmt: skip

    def test_a_reason_and_a_link_are_text_too(self):
        told = words.returned(500, "<b>bold</b>", link='https://x.example/"onclick="y', locale="en")

        shown = Shown(told.body_html)
        assert "<b>bold</b>" in shown.text
        assert "b" not in shown.tags
        assert '"onclick="' not in told.body_html

    @pytest.mark.parametrize(("locale", "word"), [("zh_CN", "退回"), ("en", "sent back")])
    def test_money_on_its_way_back_is_told_in_both_languages(self, locale, word):
        told = words.returned(500, "R", link="https://x.example", locale=locale)

        assert word in told.title
        assert "¥5.00" in told.title

    @pytest.mark.parametrize(("locale", "word"), [("zh_CN", "验证码"), ("en", "sign-in code")])
    def test_a_code_says_what_it_is_and_how_long_it_lives(self, locale, word):
        told = words.sign_in_code("000007", minutes=5, locale=locale)

        assert word in told.body
        assert "000007" in told.body
        assert "5" in told.body
        assert "000007" not in told.title  # a title shows on a locked phone
