"""Told of money a company did not take, and of a refund that was not granted."""

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from core.db import transaction
from notifications.models import Notice
from notifications.notices import tell_declined, tell_not_taken
from payments import write_offs
from payments.models import Payment
from tests.factories import (
    NOW,
    REFUSED,
    Home,
    a_guest,
    a_home,
    a_paid_payment,
    items_of,
    the_bill,
)
from tests.payments.returns.returning import (
    a_confirmed_payment,
    a_wish,
    decline,
    propose,
    send,
    staff,
)

URL = "https://citybill.example"
SECRET = "of-these-tests-only"

pytestmark = pytest.mark.usefixtures("city")


def speaking(locale: str) -> None:
    with transaction() as session:
        session.execute(text("UPDATE person SET locale = :locale"), {"locale": locale})


def notices() -> list[Notice]:
    with transaction() as session:
        return list(session.exec(select(Notice).order_by(col(Notice.id))))


def a_refused_payment(home: Home, **changes: object) -> Payment:
    payment = a_paid_payment(home, home.refs[0], **changes)
    with transaction() as session:
        write_offs.book(session, items_of(payment)[0].write_off_no, REFUSED, now=NOW)
    return payment


def tell_refused(payment: Payment) -> None:
    number = items_of(payment)[0].write_off_no
    for _ in range(2):
        with transaction() as session:
            tell_not_taken(session, number, public_url=URL, now=NOW, secret=SECRET)


class TestNotTaken:
    """Rule 28: the company's no is final, and its payer is told before the money is back."""

    @pytest.mark.parametrize(("locale", "title", "words"), [
        ("zh_CN", "¥86.50 将退还给您", ["没有接受", "自动退还", "需要重新缴费", "2026年11月30日"]),
        ("en", "¥86.50 is coming back to you",
         ["did not take your payment", "by itself", "is to pay again", "Monday 30 November 2026"]),
    ])  # fmt: skip
    def test_once_that_the_money_comes_back_and_the_bill_is_to_pay(self, locale, title, words):
        home = a_home(8_650)
        speaking(locale)

        tell_refused(a_refused_payment(home))

        assert the_bill(home.refs[0]).open_fen == 8_650
        assert sorted(one.channel for one in notices()) == ["email", "inbox", "sms"]
        for one in notices():
            assert one.title == title
            assert [word for word in words if word not in one.body] == []
            assert home.account_nos[0] not in one.body

    def test_money_that_is_back_already_is_told_as_that(self):
        payment = a_refused_payment(a_home(8_650))
        send(payment)

        tell_refused(payment)

        assert notices() == []

    def test_a_guest_is_told_by_mail_with_a_link_that_needs_no_sign_in(self):
        guest_id, home = a_guest(email="guest@city.example"), a_home(8_650)
        payment = a_refused_payment(home)
        with transaction() as session:
            session.execute(text("UPDATE payment SET payer_id = :id"), {"id": guest_id})

        tell_refused(payment)

        (mail,) = notices()
        assert (mail.channel, mail.address) == ("email", "guest@city.example")
        assert f"{URL}/receipts/{payment.id}/" in mail.body


class TestNotGranted:
    def declined(self, *, by_a_colleague: bool) -> None:
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        speaking("en")
        refund = propose(a_wish(payment), one)
        decline(refund, other if by_a_colleague else one)
        for _ in range(2):
            with transaction() as session:
                tell_declined(session, refund.refund_no, public_url=URL, now=NOW)

    def test_once_and_without_the_staffs_own_words(self):
        self.declined(by_a_colleague=True)

        assert [one.channel for one in notices()] == ["inbox", "email", "sms"]
        assert notices()[0].title == "A refund of ¥86.50 was not granted"
        assert "no proof" not in notices()[0].body

    def test_what_was_withdrawn_nobody_is_told_of(self):
        self.declined(by_a_colleague=False)

        assert notices() == []

    def test_it_is_said_in_chinese_too(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)
        decline(refund, other)
        with transaction() as session:
            tell_declined(session, refund.refund_no, public_url=URL, now=NOW)

        assert notices()[0].title == "¥86.50 的退款未获批准"
