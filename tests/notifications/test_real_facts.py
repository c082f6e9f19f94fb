"""Words are looked at with what somebody was told of their money or complaint, but not by whom."""

import pytest
from sqlalchemy import text
from sqlmodel import select

from core.clock import billing_date
from core.db import transaction
from identity.models import Person, Role
from notifications import complaint_notices, money_notices, notices
from notifications.real_facts import Look, Told, facts_told, list_told
from notifications.wording.samples import sample
from payments.returns.models import Refund
from support.steps import find_step
from tests.conftest import NOW
from tests.factories import ACCEPTED, a_home, a_paid_payment, a_person, items_of
from tests.notifications.events import URL, one_by_one
from tests.notifications.test_complaint_notices import tell_all
from tests.notifications.test_money_back import a_refused_payment, tell_refused
from tests.notifications.test_money_notices import a_stray, answered
from tests.payments.returns.returning import (
    a_confirmed_payment,
    a_wish,
    approve,
    decline,
    propose,
    send,
    staff,
)
from tests.support.complaining import answer, ask, take

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def home():
    found = a_home(8_650, 4_300)
    one_by_one()
    return found


def look(session, locale="en", find=lambda _session, _entry: None):
    return Look(session, locale, billing_date(NOW), find)


def lately(event, **how):
    with transaction() as session:
        return list_told(event, look(session, **how))


def facts(event, **how):
    """The facts of the only notice there is of an event."""
    with transaction() as session:
        [one] = list_told(event, look(session, **how))
        return facts_told(event, one.notice_id, look(session, **how))


def tell(what, number):
    with transaction() as session:
        what(session, number, public_url=URL, now=NOW)


def the_refund():
    with transaction() as session:
        return session.exec(select(Refund)).one()


class TestPayments:
    def test_a_receipt_has_its_bills_and_their_sum_and_the_examples_name(self, home):
        payment = a_paid_payment(home)
        tell(notices.tell_paid, payment.id)

        found = facts("payment.receipt")

        assert (found.values["amount"], found.values["count"]) == ("¥129.50", "2")
        assert [amount for _, amount in found.lines] == ["¥86.50", "¥43.00"]
        example = sample("payment.receipt", "en")
        assert found.link == example.link
        for place in ("name", "greeting"):
            assert found.values[place] == example.values[place]

    def test_what_it_is_chosen_by_names_no_account_and_nobody(self, home):
        with transaction() as session:
            session.get_one(Person, home.owner_id).name = "赵敏"
        tell(notices.tell_paid, a_paid_payment(home).id)

        [one] = lately("payment.receipt")

        assert one.about.endswith("¥129.50")
        said = f"{one.about}{facts('payment.receipt')}"
        assert not any(number in said for number in home.account_nos)
        assert "赵敏" not in said

    def test_a_confirmation_has_the_bills_that_were_confirmed(self, home):
        for item in items_of(a_paid_payment(home)):
            answered(item, ACCEPTED)

        found = facts("write_off.accepted", locale="zh_CN")

        assert (found.values["amount"], found.values["count"]) == ("¥129.50", "2")
        assert "2026年10月" in found.lines[0][0]

    def test_a_bill_that_was_not_taken_says_whose_and_until_when(self, home):
        tell_refused(a_refused_payment(home))

        found = facts("write_off.refused")

        assert found.values["amount"] == "¥86.50"
        assert "Monday 30 November 2026" in found.values["please"]
        assert found.values["bill"] == found.lines[0][0]

    def test_money_on_its_way_says_our_own_why(self, home):
        a_stray(home)
        tell(money_notices.tell_on_its_way, the_refund().refund_no)

        found = facts("refund.requested")

        assert found.values["amount"] == "¥86.50"
        assert found.values["why"] == the_refund().reason

    @pytest.mark.parametrize(
        ("event", "what"),
        [
            ("refund.requested", money_notices.tell_on_its_way),
            ("payment.returned", notices.tell_returned),
        ],
    )
    def test_a_companys_own_why_is_shown_to_nobody(self, home, event, what):
        a_stray(home)
        tell(what, the_refund().refund_no)
        with transaction() as session:
            session.execute(text("UPDATE refund SET reason = 'Zhao Min of 0001 moved away'"))

        found = facts(event)

        assert found.values["why"] == sample(event, "en").values["why"]
        assert "Zhao" not in lately(event)[0].about

    def test_a_refund_that_was_declined_is_known_by_its_bill(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)
        decline(refund, other, reason="Zhao Min has no proof")
        tell(notices.tell_declined, refund.refund_no)

        found = facts("refund.declined")

        assert found.lines == [(found.values["bill"], "¥86.50")]
        assert "Zhao" not in str(found)

    def test_bills_whose_money_went_back_since_are_not_to_choose(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        tell(money_notices.tell_confirmed, items_of(payment)[0].write_off_no)
        before = lately("write_off.accepted")
        refund = propose(a_wish(payment), one)
        approve(refund, other)
        send(payment)

        assert len(before) == 1
        assert lately("write_off.accepted") == []

    def test_nobody_chooses_a_receipt_for_the_words_of_a_refund(self, home):
        tell(notices.tell_paid, a_paid_payment(home).id)
        [told] = lately("payment.receipt")

        assert lately("payment.returned") == []
        with transaction() as session:
            shown = facts_told("payment.returned", told.notice_id, look(session))
        assert shown == sample("payment.returned", "en")


class TestComplaints:
    @pytest.fixture
    def one(self, home):
        clerk = a_person(Role.STAFF)
        one = ask(home.owner_id, about=f"bill:{home.refs[0][0]}.{home.refs[0][1]}")
        take(one, clerk)
        answer(one, clerk, "Dear Mr Zhao, we read 0001 again.")
        tell_all()
        return one

    @staticmethod
    def found(session, entry_id):
        return complaint_notices.Step(*find_step(session, entry_id))

    def test_an_answer_is_shown_with_what_it_is_about_and_the_examples_words(self, one):
        shown = facts("complaint.answered", find=self.found)

        example = sample("complaint.answered", "en")
        assert "· October 2026" in shown.values["about"]
        assert shown.values["day"] != example.values["day"]
        for place in ("answer", "complaint_no"):
            assert shown.values[place] == example.values[place]

    def test_each_step_is_chosen_by_what_it_is_about_and_its_day(self, one):
        [received] = lately("complaint.received", find=self.found)

        assert isinstance(received, Told)
        assert received.about.endswith("Wednesday 25 November 2026")
        assert one.number not in received.about

    def test_one_that_was_forgotten_is_not_to_choose(self, one):
        assert lately("complaint.answered") == []
