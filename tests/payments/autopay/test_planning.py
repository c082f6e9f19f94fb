"""Autopay day by day: what is announced, what is debited, and what is not, with its reason."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.clock import billing_date
from core.db import transaction
from payments.autopay import debits, mandates
from payments.autopay.models import AutopayRun
from payments.autopay.rules import CapKind, FirstBill, NotPaid, Rules
from payments.autopay.states import MandateStatus, RunState
from payments.gateways.base import GatewayStatus
from payments.models import Payment
from payments.states import PaymentStatus
from tests.factories import (
    NOW,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    book,
    the_bill,
    the_terms,
    topics,
    violations,
)
from tests.payments.autopay.autopaying import (
    UP_TO_200,
    FarDebits,
    a_mandate,
    debit_all,
    live_through,
    noon,
    plan,
    poll,
    runs,
    the_run,
)

pytestmark = pytest.mark.usefixtures("city")

DUE = date(2026, 11, 30)
TODAY = billing_date(NOW)
TELL_ON, AFTER = DUE - timedelta(days=5), DUE + timedelta(days=1)


@pytest.fixture
def far() -> FarDebits:
    return FarDebits()


def a_mandated_home(*amounts_fen: int, rules: Rules = UP_TO_200, **changes: object) -> Home:
    """A household whose first account has autopay since before its bills."""
    home = a_home(*(amounts_fen or (8_650,)), due_on=DUE, **changes)
    a_mandate(home, rules)
    return home


def the_payments() -> list[Payment]:
    with transaction() as session:
        ids = session.execute(text("SELECT id FROM payment ORDER BY id")).scalars().all()
        return [session.get_one(Payment, payment_id) for payment_id in ids]


class TestADebit:
    def test_announced_five_days_ahead_debited_on_the_day_and_paid_once(self, far):
        home = a_mandated_home()

        plan(far, TELL_ON - timedelta(days=1))
        assert the_run().state is RunState.PLANNED
        plan(far, TELL_ON)
        announced = the_run()
        live_through(far, TELL_ON, AFTER)

        assert (announced.state, announced.amount_fen) == (RunState.ANNOUNCED, 8_650)
        assert announced.debit_on == DUE
        assert the_run().state is RunState.DONE
        (payment,) = the_payments()
        assert (payment.status, payment.channel) == (PaymentStatus.PAID, "autopay")
        assert (payment.mandate_ref, payment.payer_id) == ("agreed-1", home.owner_id)
        assert list(far.taken.values()) == [8_650]
        assert the_bill(home.refs[0]).open_fen == 0
        assert topics(like="autopay.%") == ["autopay.announced", "autopay.due", "autopay.done"]
        assert violations() == []

    def test_its_fee_is_announced_with_it(self, far):  # rule 4
        the_terms("water", "[fee]\nslabs = [{ fixed_fen = 50 }]\n")
        a_mandated_home()

        live_through(far, TELL_ON, AFTER)

        assert (the_run().amount_fen, list(far.taken.values())) == (8_700, [8_700])

    def test_never_before_its_hour_and_once_a_day_only(self, far):
        a_mandated_home()
        plan(far, TELL_ON)

        assert debit_all(far, noon(DUE) - timedelta(hours=4, minutes=1)) == [None]
        assert far.orders == {}
        assert debit_all(far, noon(DUE) - timedelta(hours=4)) == [None]
        assert len(far.orders) == 1
        plan(far, DUE)
        plan(far, DUE)
        assert topics(like="autopay.due") == []  # it was debited before anybody asked

    def test_each_bill_of_a_household_is_debited_by_itself(self, far):
        home = a_home(1_000, 2_000, due_on=DUE)
        a_mandate(home, at=None)

        live_through(far, TELL_ON, AFTER)

        assert sorted(far.taken.values()) == [1_000, 2_000]
        assert {run.state for run in runs()} == {RunState.DONE}

    def test_an_accounts_own_mandate_goes_before_the_households(self, far):
        home = a_home(1_000, 2_000, due_on=DUE)
        own = a_mandate(home, at=0)
        shared = a_mandate(home, at=None)

        plan(far, TELL_ON)

        assert {(run.mandate_id, run.account_id) for run in runs()} == {
            (own.id, home.refs[0][0]), (shared.id, home.refs[1][0]),
        }  # fmt: skip

    def test_an_answer_that_was_lost_is_found_by_asking_and_takes_nothing_twice(
        self, far
    ):  # rule 25
        home = a_mandated_home()
        far.says = "mute"
        plan(far, TELL_ON)
        debit_all(far, noon(DUE))
        assert the_run().state is RunState.DEBITING
        assert the_bill(home.refs[0]).held_by is not None

        poll(far, noon(DUE) + timedelta(minutes=1))

        assert the_run().state is RunState.DONE
        assert list(far.taken.values()) == [8_650]
        assert violations() == []

    def test_a_debit_that_never_reached_the_gateway_is_sent_under_the_same_number(self, far):
        a_mandated_home()
        far.says = "away"
        plan(far, TELL_ON)
        debit_all(far, noon(DUE))
        assert far.orders == {}

        far.says = "pays"
        poll(far, noon(DUE) + timedelta(minutes=5))

        assert list(far.orders) == [the_payments()[0].order_no]
        assert the_run().state is RunState.DONE


class TestWhatIsCovered:
    """Rules 41 and 42."""

    def test_a_bill_from_before_enrolment_is_not(self, far):
        home = a_home(8_650, due_on=DUE)
        a_mandate(home, now=NOW + timedelta(seconds=1))

        live_through(far, TODAY, AFTER)

        assert runs() == []
        assert far.orders == {}

    def test_not_even_when_it_is_corrected_afterwards(self, far):
        home = a_home(8_650, due_on=DUE)
        later = NOW + timedelta(hours=1)
        a_mandate(home, now=later)
        home.correct(0, version=2, amount_fen=8_000, due_on=DUE, issued_on=TODAY,
                     now=later + timedelta(hours=1))  # fmt: skip

        live_through(far, TODAY, AFTER)

        assert runs() == []

    def test_one_issued_before_and_brought_after_is_not_either(self, far):
        home = a_home(8_650, due_on=DUE)
        a_mandate(home, now=NOW - timedelta(days=2))  # issued on the first of the month

        plan(far, TELL_ON)

        assert runs() == []

    def test_who_enrols_less_than_two_working_days_before_is_told(self, far):
        due_on = TODAY + timedelta(days=3)  # Monday; the bill comes on the day of enrolment
        home = a_home(8_650, due_on=due_on, issued_on=TODAY, now=NOW + timedelta(hours=1))
        a_mandate(home, now=NOW)

        plan(far, TODAY)

        assert (the_run().state, the_run().reason) == (RunState.TOLD, NotPaid.ENROLLED_LATE)
        assert topics(like="autopay.%") == ["autopay.skipped"]

    def test_one_that_comes_too_late_to_be_announced_is_told_of(self, far):
        home = a_home(8_650, due_on=TODAY + timedelta(days=3), issued_on=TODAY)
        a_mandate(home)

        plan(far, TODAY)

        assert (the_run().state, the_run().reason) == (RunState.TOLD, NotPaid.TOO_LATE)
        live_through(far, TODAY, AFTER)
        assert far.orders == {}

    def test_a_company_that_does_not_take_autopay_is_not_paid_so(self, far):  # rule 5
        the_terms("water", '[[limits]]\nmode = "wallet"\nchannels = ["web"]\n')
        a_mandated_home()

        live_through(far, TELL_ON, AFTER)

        assert (the_run().state, the_run().reason) == (RunState.TOLD, NotPaid.NOT_TAKEN)

    def test_a_company_may_name_autopay_among_its_ways(self, far):  # rule 5
        the_terms("water", '[[limits]]\nmode = "wallet"\nchannels = ["autopay"]\n')
        a_mandated_home()

        live_through(far, TELL_ON, AFTER)

        assert the_run().state is RunState.DONE


class TestTheCap:
    """Rule 41."""

    @pytest.mark.parametrize(("fen", "paid"), [(20_000, True), (20_001, False)])
    def test_a_fen_over_it_is_not_paid_and_told_in_time(self, far, fen, paid):
        a_mandated_home(fen)

        plan(far, TELL_ON)
        live_through(far, TELL_ON, AFTER)

        assert bool(far.taken) is paid
        if not paid:
            told = the_run()
            assert (told.state, told.reason) == (RunState.TOLD, NotPaid.OVER_CAP)
            assert noon(DUE) - (told.announced_at or NOW) >= timedelta(days=3)
            assert topics(like="autopay.%") == ["autopay.over_cap"]

    def test_the_fee_counts(self, far):
        the_terms("water", "[fee]\nslabs = [{ fixed_fen = 1 }]\n")
        a_mandated_home(20_000)

        live_through(far, TELL_ON, AFTER)

        assert the_run().reason is NotPaid.OVER_CAP

    def test_the_first_bill_may_hold_two_periods_and_the_second_may_not(self, far):
        rules = Rules(cap_kind=CapKind.MAX, cap_fen=10_000, first_bill=FirstBill.MORE)
        home = a_mandated_home(20_000, rules=rules)
        live_through(far, TELL_ON, AFTER)
        second = date(2026, 11, 1)
        home.correct(0, version=1, amount_fen=20_000, billing_month=second,
                     due_on=date(2026, 12, 30),
                     issued_on=date(2026, 12, 1), now=noon(date(2026, 12, 2)))  # fmt: skip

        live_through(far, date(2026, 12, 20), date(2026, 12, 31))

        assert [run.state for run in runs()] == [RunState.DONE, RunState.TOLD]
        assert list(far.taken.values()) == [20_000]

    def test_the_first_bill_may_be_told_of_only(self, far):
        rules = Rules(cap_kind=CapKind.NONE, first_bill=FirstBill.TELL)
        a_mandated_home(rules=rules)

        live_through(far, TELL_ON, AFTER)

        assert (the_run().state, the_run().reason) == (RunState.TOLD, NotPaid.FIRST_BILL)

    def test_the_first_bill_stays_the_first_when_it_is_corrected(self, far):
        rules = Rules(cap_kind=CapKind.NONE, first_bill=FirstBill.TELL)
        home = a_mandated_home(rules=rules)
        home.correct(0, version=1, billing_month=date(2026, 11, 1), due_on=date(2026, 12, 30),
                     issued_on=date(2026, 11, 19))  # fmt: skip
        plan(far, TODAY)
        home.correct(0, version=2, amount_fen=9_000, due_on=DUE, now=noon(TODAY))

        live_through(far, TELL_ON, AFTER)

        assert far.orders == {}
        told = [(run.version, run.state, run.reason) for run in runs() if run.reason is not None]
        assert told == [
            (1, RunState.SKIPPED, NotPaid.SUPERSEDED), (2, RunState.TOLD, NotPaid.FIRST_BILL),
        ]  # fmt: skip

    def test_a_cap_lowered_after_the_notice_still_holds(self, far):
        home = a_mandated_home()
        plan(far, TELL_ON)
        with transaction() as session:
            mandates.change_cap(
                session, the_run().mandate_id, home.owner_id, 8_649, now=noon(TELL_ON)
            )

        live_through(far, DUE, AFTER)

        assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.OVER_CAP)


class TestTheLastLook:
    """Rule 37: just before the debit, not at the notice."""

    def announced(self, far: FarDebits) -> Home:
        home = a_mandated_home()
        plan(far, TELL_ON)
        return home

    def skipped(self, far: FarDebits, reason: NotPaid) -> None:
        debit_all(far, noon(DUE))
        assert far.orders == {}
        assert (the_run().state, the_run().reason) == (RunState.SKIPPED, reason)
        assert topics(like="autopay.%") == ["autopay.announced", "autopay.skipped"]
        assert violations() == []

    def test_paid_elsewhere(self, far):
        a_paid_payment(self.announced(far))
        self.skipped(far, NotPaid.PAID)

    def test_paid_elsewhere_vanishes_at_the_next_plan(self, far):
        a_paid_payment(self.announced(far))
        plan(far, TELL_ON + timedelta(days=1))
        assert the_run().reason is NotPaid.PAID

    def test_cancelled(self, far):
        self.announced(far).cancel(0)
        self.skipped(far, NotPaid.CANCELLED)

    def test_superseded_and_the_new_version_is_announced_anew(self, far):
        home = self.announced(far)
        home.correct(0, version=2, amount_fen=9_000, due_on=DUE, now=noon(TELL_ON))

        plan(far, TELL_ON + timedelta(days=1))
        live_through(far, TELL_ON + timedelta(days=2), AFTER)

        old, new = runs()
        assert (old.state, old.reason) == (RunState.SKIPPED, NotPaid.SUPERSEDED)
        assert (new.state, new.amount_fen) == (RunState.DONE, 9_000)
        assert list(far.taken.values()) == [9_000]

    def test_more_than_was_announced(self, far):
        home = self.announced(far)
        with transaction() as session:
            session.execute(
                text("UPDATE bill SET adjusted_fen = 1 WHERE account_id = :id"),
                {"id": home.refs[0][0]},
            )
        debit_all(far, noon(DUE))
        assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.CHANGED)

    def test_less_than_was_announced_is_what_is_debited(self, far):
        home = self.announced(far)
        with transaction() as session:
            session.execute(
                text("UPDATE bill SET adjusted_fen = -1 WHERE account_id = :id"),
                {"id": home.refs[0][0]},
            )
        debit_all(far, noon(DUE))
        assert list(far.taken.values()) == [8_649]

    def test_paused(self, far):
        home = self.announced(far)
        with transaction() as session:
            mandates.pause(session, the_run().mandate_id, home.owner_id, now=noon(TELL_ON))
        self.skipped(far, NotPaid.PAUSED)

    def test_what_was_planned_while_its_mandate_ended_does_not_stay_planned(self, far):
        home = a_mandated_home()
        plan(far, TODAY)
        with transaction() as session:
            session.execute(text("UPDATE mandate SET status = 'ended', reason = 'by_payer'"))

        plan(far, TODAY)

        assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.ENDED)
        assert topics(like="autopay.%") == []
        assert the_bill(home.refs[0]).held_by is None

    def test_ended_is_said_at_once(self, far):
        home = self.announced(far)
        with transaction() as session:
            mandates.end(session, the_run().mandate_id, home.owner_id, now=noon(TELL_ON))
        self.skipped(far, NotPaid.ENDED)

    def test_a_payer_who_may_no_longer_pay(self, far):
        home = self.announced(far)
        with transaction() as session:
            session.execute(text("DELETE FROM household_account"))
        self.skipped(far, NotPaid.NOT_ALLOWED)
        assert the_bill(home.refs[0]).held_by is None

    def test_being_paid_by_hand_is_waited_for(self, far):  # rule 31
        payment = a_payment(self.announced(far), now=noon(DUE))

        assert debit_all(far, noon(DUE)) == [600]

        assert far.orders == {}
        assert the_run().state is RunState.ANNOUNCED
        assert the_payments()[0].id == payment.id


class TestShortOfFunds:
    """Rule 43."""

    def test_daily_up_to_six_days_and_then_told(self, far):
        home = a_mandated_home()
        far.says = "short"

        live_through(far, TELL_ON, DUE + timedelta(days=10))

        assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.SHORT)
        assert the_run().tries == 7
        days = [billing_date(order.asked_at) for order in far.orders.values()]
        assert days == [DUE + timedelta(days=n) for n in range(7)]
        assert topics(like="autopay.postponed") == ["autopay.postponed"] * 6
        assert topics(like="autopay.failed") == ["autopay.failed"]
        assert (the_bill(home.refs[0]).held_by, the_bill(home.refs[0]).paid_fen) == (None, 0)
        assert violations() == []

    def test_six_days_are_six_days_however_long_it_was_held_up(self, far):
        home = a_mandated_home()
        far.says = "short"
        live_through(far, TELL_ON, DUE + timedelta(days=1))
        far.says, day = "pays", DUE + timedelta(days=7)
        a_payment(home, now=noon(DUE + timedelta(days=2)))
        (held,) = [one for one in the_payments() if one.status is PaymentStatus.CREATED]
        book(held, GatewayStatus.CLOSED, now=noon(day))

        live_through(far, day, day + timedelta(days=1))

        assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.SHORT)
        assert far.taken == {}

    def test_money_on_the_third_day_pays_it_once(self, far):
        a_mandated_home()
        far.says = "short"
        live_through(far, TELL_ON, DUE + timedelta(days=1))
        far.says = "pays"

        live_through(far, DUE + timedelta(days=2), DUE + timedelta(days=9))

        assert (the_run().state, the_run().tries) == (RunState.DONE, 3)
        assert list(far.taken.values()) == [8_650]

    @pytest.mark.parametrize(("in_parts", "terms", "last_fen"), [
        (True, '[amount]\nmode = "any"\nminimum_fen = 1\n', 4_326),
        (True, "", 8_651),
        (False, '[amount]\nmode = "any"\nminimum_fen = 1\n', 8_651),
    ])  # fmt: skip
    def test_half_is_asked_for_in_the_end_if_both_let_it(self, far, in_parts, terms, last_fen):
        the_terms("water", terms)
        rules = Rules(cap_kind=CapKind.MAX, cap_fen=20_000, in_parts=in_parts)
        a_mandated_home(8_651, rules=rules)
        far.says = "short"

        live_through(far, TELL_ON, DUE + timedelta(days=9))

        asked = [order.amount_fen for order in far.orders.values()]
        assert asked == [8_651] * 6 + [last_fen]

    def test_a_refusal_for_good_ends_the_mandate(self, far):
        home = a_mandated_home()
        far.says = "ended"

        live_through(far, TELL_ON, DUE + timedelta(days=9))

        assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.ENDED)
        assert len(far.orders) == 1
        with transaction() as session:
            ended = session.get_one(AutopayRun, the_run().id).mandate_id
        assert topics(like="mandate.%")[-1] == "mandate.ended"
        assert ended is not None
        assert the_bill(home.refs[0]).held_by is None

    def test_a_debit_that_is_never_done_is_tried_the_day_after(self, far):
        a_mandated_home()
        far.says = "late"
        plan(far, TELL_ON)
        debit_all(far, noon(DUE))
        poll(far, noon(DUE) + timedelta(minutes=29))
        assert the_run().state is RunState.DEBITING

        poll(far, noon(DUE) + timedelta(minutes=30))
        assert the_run().state is RunState.RETRY
        assert the_run().debit_on == AFTER


class TestMoneyThatCannotBeKept:
    def test_another_amount_goes_back_and_nothing_is_tried_again(self, far):  # rule 32
        home = a_mandated_home()
        far.says = "more"

        live_through(far, TELL_ON, DUE + timedelta(days=3))

        assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.RETURNED)
        assert len(far.orders) == 1
        assert topics(like="receipt.%") == ["receipt.suspended"]
        assert the_bill(home.refs[0]).paid_fen == 0
        assert violations() == []

    def test_money_that_comes_after_its_time_was_over_pays_the_bill_once(self, far):  # rule 29
        home = a_mandated_home()
        far.says = "late"
        plan(far, TELL_ON)
        debit_all(far, noon(DUE))
        poll(far, noon(DUE) + timedelta(minutes=31))
        assert the_run().state is RunState.RETRY
        (payment,) = the_payments()

        book(payment, GatewayStatus.PAID)
        live_through(far, AFTER, AFTER + timedelta(days=2))

        assert the_run().state is RunState.DONE
        assert the_bill(home.refs[0]).paid_fen == 8_650
        assert len(far.orders) == 1
        assert violations() == []

    def test_one_whose_order_is_still_open_there_is_not_tried_again(self, far):
        a_mandated_home()
        far.says = "late"
        plan(far, TELL_ON)
        debit_all(far, noon(DUE))
        (payment,) = the_payments()
        book(payment, GatewayStatus.CLOSED, now=noon(DUE))

        assert debits.after_refusal(payment.id, {far.code: far}, now=noon(DUE)) is False

        assert the_run().state is RunState.DEBITING

    @pytest.mark.parametrize("installed", [True, False])
    def test_a_gateway_that_never_says_is_not_asked_for_ever(self, far, installed):
        a_mandated_home()
        far.says = "late"
        plan(far, TELL_ON)
        debit_all(far, noon(DUE))
        (payment,) = the_payments()
        book(payment, GatewayStatus.CLOSED, now=noon(DUE))
        gateways = {far.code: far} if installed else {}

        found = [
            debits.after_refusal(payment.id, gateways, now=noon(DUE) + timedelta(days=days))
            for days in (6, 7)
        ]

        assert found == [False, True]
        assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.NO_ANSWER)
        live_through(far, AFTER, AFTER + timedelta(days=9))
        assert len(far.orders) == 1


class TestABounce:
    def test_the_mandate_is_frozen_once_and_goes_on_when_the_payer_says_so(self, far):  # rule 35
        home = a_mandated_home()
        mandate_id = 0
        live_through(far, TELL_ON, AFTER)
        (payment,) = the_payments()

        with transaction() as session:
            frozen = [mandates.freeze(session, payment.id, now=noon(AFTER)) for _ in range(2)]
            mandate_id = the_run().mandate_id

        assert frozen == [True, False]
        assert topics(like="mandate.frozen") == ["mandate.frozen"]
        with transaction() as session:
            resumed = mandates.resume(session, mandate_id, home.owner_id, now=noon(AFTER))
        assert resumed.status is MandateStatus.ACTIVE

    def test_of_a_payment_by_hand_freezes_nothing(self):
        payment = a_paid_payment(a_mandated_home())

        with transaction() as session:
            assert mandates.freeze(session, payment.id, now=NOW) is False


class TestTheDatabase:
    def test_a_debit_inside_the_notice_period_is_refused(self, far):  # rule 42
        a_mandated_home()
        live_through(far, TELL_ON, AFTER)

        with pytest.raises(IntegrityError, match="notice_kept"), transaction() as session:
            session.execute(
                text("UPDATE autopay_run SET debit_on = :day"),
                {"day": TELL_ON + timedelta(days=2)},
            )

    def test_one_version_of_a_bill_has_one_run_under_a_mandate(self, far):
        a_mandated_home()
        plan(far, TODAY)

        with pytest.raises(IntegrityError, match="uq_autopay_run"), transaction() as session:
            session.execute(
                text(
                    "INSERT INTO autopay_run (mandate_id, account_id, bill_id, version, first,"
                    " state, state_at, pay_by_on, tell_on, debit_on, tries) SELECT mandate_id,"
                    " account_id, bill_id, version, first, state, state_at, pay_by_on, tell_on,"
                    " debit_on, tries FROM autopay_run"
                )
            )
