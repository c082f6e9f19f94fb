"""Told once, in the person's language, and no code is left behind."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import TooMany, Upstream
from identity.models import Person
from notifications.models import NoticeState
from notifications.notices import (
    send_sign_in_code,
    tell_paid,
)
from notifications.payment_words import returned_facts
from notifications.wording.rendering import Asked, Facts, render_all
from tests.factories import a_home, a_paid_payment
from tests.notifications.far import Far, a_notice, a_person, hand_over, the_notices
from tests.threads import at_once

SECRET = "of-these-tests-only"


def count(table):
    with transaction() as session:
        return session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


@pytest.mark.usefixtures("city")
class TestOnce:
    """Rule 54: a notice is unique by event, person, subject and channel."""

    def test_a_receipt_told_by_twenty_workers_is_one_notice_for_each_channel(self, now):
        payment = a_paid_payment(a_home(8_650))

        def tell(_: int) -> None:
            with transaction() as session:
                tell_paid(session, payment.id, public_url="https://citybill.example", now=now)

        at_once(20, tell)

        assert sorted(one.channel for one in the_notices()) == ["email", "inbox", "sms"]


@pytest.mark.usefixtures("city")
class TestSignInCodes:
    def send(self, contact, now):
        with transaction() as session:
            send_sign_in_code(session, contact, secret=SECRET, now=now)

    @pytest.mark.parametrize(
        ("contact", "channel"), [("19900000001", "sms"), ("wang@example.com", "email")]
    )
    def test_it_goes_where_the_person_is(self, now, contact, channel):
        a_person(now, contact)

        self.send(contact, now)

        [notice] = the_notices()
        assert (notice.channel, notice.address) == (channel, contact)

    def test_a_code_that_is_no_longer_good_is_not_sent_and_is_wiped(self, now):  # rule 54
        a_person(now, "wang@example.com")
        self.send("wang@example.com", now)
        far = Far()

        hand_over(far, now=now + timedelta(minutes=6))

        [kept] = the_notices()
        assert far.sent == []
        assert (kept.state, kept.reason, kept.body) == (NoticeState.DROPPED, "expired", "(wiped)")

    @pytest.mark.parametrize("answer", [None, Upstream("never")], ids=["taken", "refused"])
    def test_the_code_is_wiped_once_it_has_left(self, now, answer):
        a_person(now, "wang@example.com")
        self.send("wang@example.com", now)
        far = Far(answer=answer)

        hand_over(far, now=now)

        [code] = re.findall("[0-9]{6}", far.sent[0].body)[:1]
        [row] = the_notices()
        assert code not in f"{row.title}{row.body}{row.body_html}{row.template_values}"
        assert row.body == "(wiped)"

    def test_another_notice_keeps_its_words(self, now):
        a_notice(a_person(now), now)

        hand_over(Far(), now=now)

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
            assert (home.account_nos[0][-4:] in notice.body) is (notice.channel != "sms")

    def test_a_name_is_text_whatever_it_says(self, now):
        evil = '<script>alert("1")</script>&amp;\'"'
        notice, _ = self.a_receipt(now, "zh_CN", evil)

        shown = Shown(notice.body_html)
        assert evil in shown.text
        assert set(shown.tags) <= {
            "html", "head", "meta", "style", "title", "body", "main", "h1", "p", "table", "thead",
            "tbody", "tr", "th", "td", "br", "a",
        }  # fmt: skip

    def written(self, event, facts, locale, channel="email"):
        with transaction() as session:
            [rendered] = render_all(session, [Asked(event, channel, locale, "plain", facts)])
        return rendered.words

    def test_a_reason_and_a_link_are_text_too(self):
        link = 'https://x.example/"onclick="y'
        facts = returned_facts(500, "<b>bold</b>", link=link, locale="en")

        told = self.written("payment.returned", facts, "en")

        shown = Shown(told.body_html)
        assert "<b>bold</b>" in shown.text
        assert "b" not in shown.tags
        assert '"onclick="' not in told.body_html

    @pytest.mark.parametrize(("locale", "word"), [("zh_CN", "退回"), ("en", "sent back")])
    def test_money_on_its_way_back_is_told_in_both_languages(self, locale, word):
        facts = returned_facts(500, "R", link="https://x.example", locale=locale)

        told = self.written("payment.returned", facts, locale)

        assert word in told.title
        assert "¥5.00" in told.title

    @pytest.mark.parametrize("channel", ["email", "sms"])
    @pytest.mark.parametrize(("locale", "word"), [("zh_CN", "验证码"), ("en", "sign-in code")])
    def test_a_code_says_what_it_is_and_how_long_it_lives(self, locale, word, channel):
        facts = Facts({"code": "000007", "minutes": "5"})

        told = self.written("sign_in.code", facts, locale, channel)

        assert word in told.body
        assert "000007" in told.body
        assert "5" in told.body
        assert "000007" not in told.title  # a title shows on a locked phone
