"""Telling a company that its bill was paid, and living with its answer."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from billing import late_fees
from billing.bills import state_of
from billing.views import BillState
from core.clock import day_bounds
from core.db import transaction
from core.errors import Conflict, IllegalTransition, NotFound, UpstreamUnavailable
from payments import write_offs
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.models import Payment, PaymentItem
from payments.quotes import Wanted
from payments.returns import refunds
from payments.states import Outcome
from providers.base import WriteOffReply
from tests.factories import (
    ACCEPTED,
    AWAY,
    MONTH,
    NO_WORD,
    NOW,
    REFUSED,
    FarUtility,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    items_of,
    the_bill,
    the_terms,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")


def answer(item: PaymentItem, reply: WriteOffReply) -> None:
    with transaction() as session:
        write_offs.book(session, item.write_off_no, reply, now=NOW)


def only_item(payment: Payment) -> PaymentItem:
    (item,) = items_of(payment)
    return item


class TestSend:
    def test_a_company_is_told_what_was_paid_and_says_yes(self):
        home = a_home(8_650)
        payment = a_paid_payment(home)
        item, water = only_item(payment), FarUtility([ACCEPTED])

        assert write_offs.send(item.write_off_no, {"water": water}, now=NOW)

        (told,) = water.told
        assert (told.write_off_no, told.account_no, told.bill_no, told.billing_month) == (
            item.write_off_no, home.account_nos[0], "B1", MONTH,
        )  # fmt: skip
        assert (told.amount_fen, told.paid_at) == (8_650, NOW + timedelta(minutes=1))
        after = only_item(payment)
        assert (after.outcome, after.utility_ref) == (Outcome.WRITTEN_OFF, "U-1")
        assert the_bill(home.refs[0]).written_off_fen == 8_650
        assert balances() == {"gateway:sandbox": 8_650, "payable:water": -8_650}
        assert violations() == []

    def test_nothing_is_told_twice_once_the_answer_is_final(self):
        item, water = only_item(a_paid_payment(a_home())), FarUtility([ACCEPTED])

        assert write_offs.send(item.write_off_no, {"water": water}, now=NOW)
        assert write_offs.send(item.write_off_no, {"water": water}, now=NOW)

        assert len(water.told) == 1

    def test_nothing_is_told_before_the_money_is_here(self):  # rule 26
        item, water = only_item(a_payment(a_home())), FarUtility()

        assert write_offs.send(item.write_off_no, {"water": water}, now=NOW)

        assert water.told == []

    def test_without_word_the_same_number_is_told_again(self):  # rule 28
        payment = a_paid_payment(a_home())
        item, water = only_item(payment), FarUtility([NO_WORD, AWAY, ACCEPTED])
        before = balances(), topics()

        assert not write_offs.send(item.write_off_no, {"water": water}, now=NOW)
        with pytest.raises(UpstreamUnavailable):
            write_offs.send(item.write_off_no, {"water": water}, now=NOW)
        assert (only_item(payment).outcome, balances(), topics()) == (Outcome.PAID, *before)
        assert write_offs.send(item.write_off_no, {"water": water}, now=NOW)

        assert water.told[0] == water.told[1] == water.told[2]

    def test_a_company_without_an_interface_and_a_number_nobody_made(self):
        item = only_item(a_paid_payment(a_home()))

        for number, code in ((item.write_off_no, "utility.no_api"), ("W0", "not_found")):
            with pytest.raises(NotFound) as refused:
                write_offs.send(number, {}, now=NOW)
            assert refused.value.code == code


class TestAnswers:
    def test_a_no_makes_the_bill_owe_again_and_the_money_go_back(self):  # rule 28
        home = a_home(8_650, 1_000)
        payment = a_paid_payment(home)
        refused = next(item for item in items_of(payment) if item.amount_fen == 8_650)

        answer(refused, REFUSED)

        bill = the_bill(home.refs[0])
        assert (bill.paid_fen, bill.written_off_fen) == (0, 0)
        assert balances()["returns"] == -8_650
        assert balances()["receivable:water"] == 8_650
        with transaction() as session:
            refund = session.execute(text("SELECT amount_fen, reason, status FROM refund")).one()
        assert tuple(refund) == (8_650, REFUSED.reason, "requested")
        assert topics(like="refund.%") == ["refund.requested"]
        assert the_bill(home.refs[1]).paid_fen == 1_000
        assert violations() == []

    def test_a_bill_that_was_refused_can_be_paid_again(self):
        home = a_home(8_650)
        answer(only_item(a_paid_payment(home)), REFUSED)

        again = book(a_payment(home), GatewayStatus.PAID)
        answer(only_item(again), ACCEPTED)

        assert the_bill(home.refs[0]).written_off_fen == 8_650
        assert violations() == []

    def test_not_knowing_changes_nothing(self):
        payment = a_paid_payment(a_home())
        before = balances(), topics()

        answer(only_item(payment), NO_WORD)

        assert only_item(payment).outcome is Outcome.PAID
        assert (balances(), topics()) == before

    @pytest.mark.parametrize("reply", [ACCEPTED, REFUSED])
    def test_the_same_answer_from_sixteen_threads_is_booked_once(self, reply):
        payment = a_paid_payment(a_home())
        item = only_item(payment)

        assert at_once([lambda: answer(item, reply)] * 16) == [None] * 16

        assert len(topics(like="write_off.%")) == 2  # due, and the one answer
        assert violations() == []

    def test_a_no_told_again_after_the_money_went_back_changes_nothing(self):
        payment = a_paid_payment(a_home())
        item = only_item(payment)
        answer(item, REFUSED)
        with transaction() as session:
            number = session.execute(text("SELECT refund_no FROM refund")).scalar_one()
            refunds.book(session, number, RefundReply(state=RefundState.SENT), now=NOW)

        answer(item, REFUSED)

        assert only_item(payment).outcome is Outcome.RETURNED
        assert violations() == []

    @pytest.mark.parametrize(("first", "then"), [(ACCEPTED, REFUSED), (REFUSED, ACCEPTED)])
    def test_an_answer_that_contradicts_the_first_needs_a_person(self, first, then):
        item = only_item(a_paid_payment(a_home()))
        answer(item, first)
        before = balances(), topics()

        with pytest.raises(IllegalTransition):
            answer(item, then)

        assert (balances(), topics()) == before
        assert violations() == []

    @pytest.mark.parametrize("reply", [ACCEPTED, REFUSED])
    def test_an_answer_nobody_asked_for_is_refused(self, reply):
        item = only_item(a_payment(a_home()))

        with pytest.raises(IllegalTransition):
            answer(item, reply)

        assert violations() == []

    def test_a_no_to_a_payment_that_failed_takes_nothing_from_the_one_that_paid(self):
        home = a_home(8_650)
        failed = a_payment(home)
        book(failed, GatewayStatus.CLOSED)
        a_paid_payment(home)

        with pytest.raises(IllegalTransition):
            answer(only_item(failed), REFUSED)

        assert the_bill(home.refs[0]).paid_fen == 8_650
        assert violations() == []

    def test_yes_and_no_at_one_moment_leave_one_of_the_two(self):
        payment = a_paid_payment(a_home())
        item = only_item(payment)

        found = at_once([lambda r=r: answer(item, r) for r in [ACCEPTED, REFUSED] * 6])

        assert sum(isinstance(one, IllegalTransition) for one in found) == 6
        assert only_item(payment).outcome in {Outcome.WRITTEN_OFF, Outcome.RETURNING}
        assert violations() == []


def without_word(number: str, hours: int, since: datetime = NOW) -> datetime:
    """Tell a company hour after hour, and hear nothing of it; returns when it is told again."""
    for hour in range(hours):
        now = since + timedelta(hours=hour)
        assert not write_offs.send(number, {"water": FarUtility([NO_WORD])}, now=now)
    return since + timedelta(hours=hours)


class TestDeadline:
    """What a company never saw goes back; what it cannot tell of waits for its word."""

    LATE = NOW + timedelta(hours=49)

    def test_after_its_time_a_company_is_asked_and_told_nothing_more(self):
        home = a_home(8_650)
        item, water = only_item(a_paid_payment(home)), FarUtility(answers=[ACCEPTED])
        late = without_word(item.write_off_no, 48)

        assert write_offs.send(item.write_off_no, {"water": water}, now=late)

        assert water.told == []
        assert the_bill(home.refs[0]).written_off_fen == 8_650

    def test_what_it_never_saw_goes_back_to_the_payer(self):  # rule 28
        home = a_home(8_650)
        payment = a_paid_payment(home)
        item = only_item(payment)
        late = without_word(item.write_off_no, 48)

        sent = write_offs.send(item.write_off_no, {"water": FarUtility(answers=[None])}, now=late)

        assert sent
        assert (only_item(payment).outcome, the_bill(home.refs[0]).open_fen) == (
            Outcome.RETURNING, 8_650,
        )  # fmt: skip
        assert topics(like="refund.%") == ["refund.requested"]
        assert violations() == []

    def test_what_it_cannot_tell_of_is_asked_about_again(self):
        item = only_item(a_paid_payment(a_home(8_650)))
        late, water = without_word(item.write_off_no, 48), FarUtility(answers=[NO_WORD, AWAY])

        assert not write_offs.send(item.write_off_no, {"water": water}, now=late)
        with pytest.raises(UpstreamUnavailable):
            write_offs.send(item.write_off_no, {"water": water}, now=late)

    def test_the_companys_own_terms_say_how_long(self):
        the_terms("water", "[write_off]\nhours = 1\n")
        item = only_item(a_paid_payment(a_home(8_650)))
        late, water = without_word(item.write_off_no, 1), FarUtility(answers=[None])

        assert write_offs.send(item.write_off_no, {"water": water}, now=late)
        assert water.told == []

    def test_a_company_that_we_never_told_is_told_before_anything_goes_back(self):  # rule 28
        home = a_home(8_650)
        number = only_item(a_paid_payment(home)).write_off_no
        water = FarUtility([ACCEPTED], answers=[None])  # our workers were away for its whole time

        assert write_offs.send(number, {"water": water}, now=self.LATE)

        assert len(water.told) == 1
        assert the_bill(home.refs[0]).written_off_fen == 8_650
        assert topics(like="refund.%") == []

    def test_so_it_is_in_a_set(self):
        homes = [a_home(8_650), a_home(8_650)]
        numbers = [only_item(a_paid_payment(home)).write_off_no for home in homes]
        water = FarUtility([ACCEPTED, NO_WORD], answers=[None, None])

        ends = write_offs.send_all(numbers, {"water": water}, now=self.LATE, over=lambda: False)

        assert list(ends.values()) == [None, 3_600]
        assert len(water.told) == 2

    def test_the_time_in_which_no_word_could_leave_us_is_none_of_its_time(self):
        number = only_item(a_paid_payment(a_home(8_650))).write_off_no
        for hour in range(49):
            with pytest.raises(UpstreamUnavailable):
                write_offs.send(
                    number, {"water": FarUtility([AWAY])}, now=NOW + timedelta(hours=hour)
                )
        water = FarUtility([ACCEPTED], answers=[None])

        assert write_offs.send(number, {"water": water}, now=self.LATE)

        assert len(water.told) == 1

    def test_days_in_which_we_did_not_ask_are_none_of_its_time(self):
        number = only_item(a_paid_payment(a_home(8_650))).write_off_no
        without_word(number, 24)
        back = NOW + timedelta(days=9)  # we were away for a week after a day of trying

        late = without_word(number, 25, since=back)
        assert write_offs.send(number, {"water": FarUtility(answers=[None])}, now=late)

        assert topics(like="refund.%") == ["refund.requested"]

    def test_asked_every_half_minute_it_has_the_same_time(self):
        number = only_item(a_paid_payment(a_home(8_650))).write_off_no
        the_terms("water", "[write_off]\nhours = 1\n")
        for seconds in range(0, 3_600, 30):
            now = NOW + timedelta(seconds=seconds)
            assert not write_offs.send(number, {"water": FarUtility([NO_WORD])}, now=now)

        water = FarUtility(answers=[None])
        assert write_offs.send(number, {"water": water}, now=NOW + timedelta(hours=1))

    def test_money_we_hear_of_days_late_is_told_of_from_then_on(self):  # rules 14, 28
        late = NOW + timedelta(days=3)
        payment = book(a_payment(a_home(8_650)), GatewayStatus.PAID, now=late)
        number, water = only_item(payment).write_off_no, FarUtility([NO_WORD, ACCEPTED])

        assert not write_offs.send(number, {"water": water}, now=late)
        with transaction() as session:
            assert write_offs.send_again_seconds(session, number, now=late) == 30
        assert write_offs.send(number, {"water": water}, now=late + timedelta(hours=47))

        assert only_item(payment).outcome is Outcome.WRITTEN_OFF


class TestPaidElsewhere:
    """Rule 37: a bill that was paid another way is nobody's to pay any more."""

    ELSEWHERE = replace(REFUSED, paid_elsewhere=True)

    def test_the_money_goes_back_and_the_bill_is_void(self):
        home = a_home(8_650)
        payment = a_paid_payment(home)

        answer(only_item(payment), self.ELSEWHERE)

        bill = the_bill(home.refs[0])
        assert (bill.open_fen, bill.paid_elsewhere_at) == (0, NOW)
        assert state_of(bill, pay_by_on=bill.due_on, today=bill.due_on) is BillState.PAID_ELSEWHERE
        assert only_item(payment).outcome is Outcome.RETURNING
        assert balances() == {"gateway:sandbox": 8_650, "returns": -8_650}
        assert violations() == []

    def test_it_cannot_be_paid_again(self):
        home = a_home(8_650)
        answer(only_item(a_paid_payment(home)), self.ELSEWHERE)

        with pytest.raises(Conflict):
            a_payment(home, wanted=[Wanted(home.refs[0], 8_650)])

    def test_late_fees_on_it_go_too(self):
        the_terms("water", "[late_fee]\nonce_fen = 7\n")
        home = a_home(8_650)
        due_on = the_bill(home.refs[0]).due_on
        late = day_bounds(due_on + timedelta(days=2))[0]
        late_fees.assess("water", due_on + timedelta(days=1), now=late)
        assert the_bill(home.refs[0]).open_fen == 8_657
        payment = book(a_payment(home, now=late), GatewayStatus.PAID, now=late)

        with transaction() as session:
            write_offs.book(session, only_item(payment).write_off_no, self.ELSEWHERE, now=late)

        assert the_bill(home.refs[0]).adjusted_fen == 0
        assert violations() == []

    def test_a_later_version_bills_it_anew(self):
        home = a_home(8_650)
        answer(only_item(a_paid_payment(home)), self.ELSEWHERE)

        assert home.correct(0, version=2, amount_fen=500).superseded == 1

        bill = the_bill(home.refs[0])
        assert (bill.open_fen, bill.paid_elsewhere_at) == (500, None)
        assert violations() == []
