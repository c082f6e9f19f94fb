"""Money a payer's bank takes back: told in any order, booked once, and never returned twice."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import AmountMismatch, Conflict, NotFound, UpstreamUnavailable
from payments import callbacks, write_offs
from payments.gateways.base import (
    CallbackKind,
    DisputeReply,
    DisputeState,
    GatewayStatus,
    RefundOrder,
    RefundReply,
    RefundState,
)
from payments.models import GatewayCallback, Payment
from payments.returns import chargebacks, refunds, suspense, transfers
from payments.returns.lists import ChargebackFilter, find_chargebacks
from payments.returns.models import ChargebackState, RefundStatus, TransferReason
from payments.states import Outcome
from tests.factories import (
    ACCEPTED,
    CAN,
    NOW,
    REFUSED,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    items_of,
    says,
    the_bill,
    the_terms,
    topics,
    violations,
)
from tests.payments.returns.returning import (
    SENT,
    Disputed,
    a_confirmed_payment,
    a_wish,
    approve,
    confirm,
    confirm_sent,
    enter_payee,
    posted,
    propose,
    ref_of,
    refunds_of,
    staff,
    the_chargeback,
)

pytestmark = pytest.mark.usefixtures("city")
OPEN, WON, LOST = DisputeState.OPEN, DisputeState.WON, DisputeState.LOST
OWED_AGAIN = {"receivable:water": 8_650, "uncollected:water": -8_650}


def a_refused_payment(*amounts_fen: int) -> tuple[Payment, str]:
    """A payment whose first bill its company refused: its money waits to go back."""
    payment = a_paid_payment(a_home(*amounts_fen))
    for at, item in enumerate(items_of(payment)):
        with transaction() as session:
            reply = ACCEPTED if at else REFUSED
            write_offs.book(session, item.write_off_no, reply, now=NOW)
    return payment, refunds_of(payment)[0].refund_no


class Forgetful(Disputed):
    """A gateway no request of ours for a refund has reached."""

    def query_refund(self, order: RefundOrder) -> RefundReply:
        return RefundReply(state=RefundState.NOT_FOUND)


class TestTold:
    def test_open_the_money_is_gone_and_nothing_is_decided(self):
        payment, far = a_confirmed_payment(8_650), Disputed()
        due_at = NOW + timedelta(days=7)

        assert far.says(payment, OPEN, reason="fraudulent", evidence_due_at=due_at)

        known = the_chargeback()
        assert (known.state, known.reason, known.evidence_due_at) == (
            ChargebackState.OPEN, "fraudulent", due_at,
        )  # fmt: skip
        assert balances() == {"payable:water": -8_650, "chargebacks": 8_650}
        assert topics(like="chargeback.%") == ["chargeback.opened"]
        assert violations() == []

    def test_won_the_gateway_has_it_again(self):
        payment, far = a_confirmed_payment(8_650), Disputed()
        before = balances()

        far.says(payment, OPEN)
        far.says(payment, WON, decided_at=NOW)

        assert balances() == before
        assert topics(like="chargeback.%") == ["chargeback.opened", "chargeback.won"]
        assert violations() == []

    def test_lost_the_company_bears_it_and_the_bill_owes_again(self):
        payment, far = a_confirmed_payment(8_650), Disputed()

        far.says(payment, OPEN)
        far.says(payment, LOST, decided_at=NOW)

        assert balances() == OWED_AGAIN
        assert the_bill(ref_of(items_of(payment)[0])).open_fen == 8_650
        assert [item.outcome for item in items_of(payment)] == [Outcome.RETURNED]
        assert topics(like="chargeback.%") == ["chargeback.opened", "chargeback.lost"]
        assert topics(like="bill.owed_again") == ["bill.owed_again"]
        assert violations() == []

    @pytest.mark.parametrize("end", [WON, LOST])
    @pytest.mark.parametrize("order", [*permutations((0, 1, 1), 3), (1,), (1, 1), (0, 0, 1, 0)])
    def test_told_in_any_order_and_however_often_it_is_booked_once(self, end, order):
        payment, far = a_confirmed_payment(8_650), Disputed()

        for at in order:
            assert far.says(payment, [OPEN, end][at])

        assert the_chargeback().state.value == end.value
        assert len(topics(like="chargeback.%")) == 2
        assert violations() == []

    @pytest.mark.parametrize("end", [OPEN, WON, LOST])
    def test_sixteen_threads_book_it_once(self, end):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.disputes["dp-1"] = DisputeReply(
            state=end, order_no=payment.order_no, amount_fen=8_650, fee_fen=1_500
        )

        found = at_once([lambda: chargebacks.look("dp-1", far, NOW)] * 16)

        assert found == [True] * 16
        assert topics(like="chargeback.opened") == ["chargeback.opened"]
        assert violations() == []

    @pytest.mark.parametrize(("first", "then"), [(WON, LOST), (LOST, WON)])
    def test_decided_twice_and_otherwise_needs_a_person(self, first, then):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.says(payment, first)

        with pytest.raises(Conflict) as refused:
            far.says(payment, then)

        assert refused.value.code == "chargeback.decided"
        assert violations() == []

    @pytest.mark.parametrize("facts", [{"amount_fen": 8_649}, {"fee_fen": 1}])
    def test_other_figures_than_before_need_a_person(self, facts):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.says(payment, OPEN, fee_fen=1_500)

        with pytest.raises(AmountMismatch):
            far.says(payment, OPEN, **facts)
        with pytest.raises(AmountMismatch):
            far.says(payment, OPEN, ref="dp-2", amount_fen=None)

    def test_an_order_we_do_not_know_or_anothers_is_not_found(self):
        payment = a_confirmed_payment(8_650)

        with pytest.raises(NotFound):
            Disputed().says(payment, OPEN, order_no="CB0")
        with pytest.raises(NotFound):
            Disputed(code="other").says(payment, OPEN)
        with pytest.raises(NotFound):
            chargebacks.look("dp-1", FarGateway(), NOW)

    def test_without_an_answer_nothing_is_booked(self):
        assert not chargebacks.look("dp-1", Disputed(), NOW)
        assert topics(like="chargeback.%") == []

    def test_an_open_one_is_asked_about_until_it_is_decided(self):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.says(payment, OPEN)
        known = the_chargeback()

        assert not chargebacks.ask_again(known.id, {"sandbox": far}, now=NOW)
        far.disputes["dp-1"] = replace(far.disputes["dp-1"], state=WON)
        assert chargebacks.ask_again(known.id, {"sandbox": far}, now=NOW)
        assert chargebacks.ask_again(known.id, {}, now=NOW)

    def test_a_callback_about_it_only_makes_us_ask(self):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.disputes["dp-1"] = DisputeReply(state=OPEN, order_no=payment.order_no, amount_fen=8_650)
        with transaction() as session:
            callback = GatewayCallback(
                gateway="sandbox", external_id="e-1", kind=CallbackKind.DISPUTE,
                reference="dp-1", body=b"", received_at=NOW,
            )  # fmt: skip
            session.add(callback)
            session.flush()
            number = callback.id

        assert callbacks.process(number, {"sandbox": far}, now=NOW)

        assert the_chargeback().state is ChargebackState.OPEN


class TestFee:
    def test_it_is_the_gateways_and_not_the_companys(self):
        payment, far = a_confirmed_payment(8_650), Disputed()

        for state in (OPEN, OPEN, LOST, LOST):
            far.says(payment, state, fee_fen=1_500)

        assert balances() == OWED_AGAIN | {"gateway:sandbox": -1_500, "gateway_fees": 1_500}
        assert violations() == []

    @pytest.mark.parametrize(("kept_fen", "cost_fen"), [(0, 0), (1_500, 1_500)])
    def test_won_some_gateways_give_it_back(self, kept_fen, cost_fen):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.says(payment, OPEN, fee_fen=1_500)

        for _ in range(2):
            far.says(payment, WON, fee_fen=kept_fen)

        assert balances().get("gateway_fees", 0) == cost_fen
        assert violations() == []


class TestWhoBearsIt:
    def test_of_several_bills_each_company_its_own_and_we_our_fee(self):
        the_terms("water", "[fee]\nslabs = [{ rate_ppm = 10000 }]\ntax_ppm = 60000\n")
        payment, far = a_confirmed_payment(8_650, 2_000), Disputed()

        far.says(payment, LOST)

        known = the_chargeback()
        assert (known.bills_fen, known.borne_fen) == (10_650, 0)
        assert known.service_fee_fen + known.service_tax_fen == payment.amount_fen - 10_650 > 0
        assert {*balances()} == {
            "receivable:water", "uncollected:water", "receivable:power", "uncollected:power",
        }  # fmt: skip
        assert violations() == []

    def test_of_a_part_the_bills_in_their_order(self):
        payment, far = a_confirmed_payment(1_000, 2_000), Disputed()

        far.says(payment, LOST, amount_fen=1_500)

        assert [item.returned_fen for item in items_of(payment)] == [1_000, 500]
        assert [item.outcome for item in items_of(payment)] == [
            Outcome.RETURNED, Outcome.WRITTEN_OFF,
        ]  # fmt: skip
        assert violations() == []

    def test_after_a_full_refund_it_is_our_own_loss_and_no_companys(self):
        payment, far, (one, _) = a_confirmed_payment(1_000), Disputed(), staff()
        number = propose(a_wish(payment), one).refund_no
        far.refund_replies = [SENT]
        refunds.send(number, {"sandbox": far}, now=NOW)

        far.says(payment, OPEN)
        far.says(payment, LOST)

        assert the_chargeback().borne_fen == 1_000
        assert balances() == {
            "receivable:water": 1_000, "uncollected:water": -1_000,
            "gateway:sandbox": -1_000, "losses": 1_000,
        }  # fmt: skip
        assert [item.returned_fen for item in items_of(payment)] == [1_000]
        assert violations() == []

    @pytest.mark.parametrize("disputed_fen", [8_650, 3_000])
    def test_what_was_on_its_way_back_is_not_sent_a_second_time(self, disputed_fen):
        payment, number = a_refused_payment(8_650)
        far = Disputed(refund_replies=[SENT])

        far.says(payment, LOST, amount_fen=disputed_fen)
        refunds.send(number, {"sandbox": far}, now=NOW)

        rest_fen = 8_650 - disputed_fen
        assert [act for act, _ in far.asked if act != "dispute"] == (
            [f"refund {rest_fen}"] if rest_fen else []
        )
        assert [item.outcome for item in items_of(payment)] == [Outcome.RETURNED]
        assert balances() == OWED_AGAIN
        assert violations() == []

    @pytest.mark.parametrize("second_fen", [2_000, 3_000])
    def test_nor_are_several_refunds_of_one_bill(self, second_fen):
        payment, (one, _), far = a_confirmed_payment(8_650), staff(), Disputed()
        for fen in (2_000, second_fen):
            propose(a_wish(payment, fen), one)

        far.says(payment, LOST)

        assert [one.status for one in refunds_of(payment)] == [RefundStatus.CHARGED_BACK] * 2
        assert posted("taken_back:%") == {"taken_back": 2_000 + second_fen}
        assert balances() == OWED_AGAIN
        assert violations() == []

    def test_nor_is_suspended_money(self):
        payment = a_confirmed_payment(1_000)
        book(payment, GatewayStatus.PAID, gateway_ref="another")
        far = Disputed(refund_replies=[SENT])
        far.says(payment, LOST, amount_fen=400)
        with transaction() as session:
            receipt_id = session.execute(text("SELECT id FROM receipt")).scalar_one()

        assert suspense.send_back(receipt_id, {"sandbox": far}, now=NOW)

        assert ("refund 600", f"S{receipt_id}") in far.asked
        assert balances() == {"payable:water": -1_000, "gateway:sandbox": 1_000}
        assert violations() == []

    def test_more_than_one_dispute_takes_no_more_than_there_is(self):
        payment, far = a_confirmed_payment(8_650), Disputed()

        for ref in ("dp-1", "dp-2"):
            far.says(payment, LOST, ref=ref)

        assert balances()["losses"] == 8_650
        assert [item.returned_fen for item in items_of(payment)] == [8_650]
        assert violations() == []


class TestMeanwhile:
    """While a dispute is open nothing more goes back; what went before takes its course."""

    def test_nothing_is_proposed_approved_or_asked_for(self):
        payment, far, (one, other) = a_confirmed_payment(8_650), Disputed(), staff()
        small = propose(a_wish(payment, 1_000), one)
        large = propose(a_wish(payment), one)
        far.says(payment, OPEN)

        for act in (lambda: approve(large, other), lambda: propose(a_wish(payment, 1), one)):
            with pytest.raises(Conflict) as refused:
                act()
            assert refused.value.code in {"refund.disputed", "refund.too_much"}
        assert not refunds.send(small.refund_no, {"sandbox": far}, now=NOW)
        far.says(payment, WON)
        far.refund_replies = [SENT]
        assert refunds.send(small.refund_no, {"sandbox": far}, now=NOW)
        approve(large, other)
        assert violations() == []

    def test_a_lost_one_declines_proposals_and_takes_the_bill(self):
        payment, far, (one, _) = a_confirmed_payment(8_650), Disputed(), staff()
        propose(a_wish(payment), one)

        far.says(payment, LOST)

        assert [each.status for each in refunds_of(payment)] == [RefundStatus.DECLINED]
        assert balances() == OWED_AGAIN
        assert violations() == []

    def test_a_lost_one_waits_for_the_companys_answer(self):
        payment, far = a_paid_payment(a_home(8_650)), Disputed()
        assert not far.says(payment, LOST)
        assert the_chargeback().state is ChargebackState.OPEN
        with transaction() as session:
            write_offs.book(session, items_of(payment)[0].write_off_no, ACCEPTED, now=NOW)

        assert far.says(payment, LOST)

        assert balances() == OWED_AGAIN
        assert violations() == []

    @pytest.mark.parametrize("first", [None, GatewayStatus.CLOSED])
    def test_a_lost_one_told_before_the_money_itself_waits_for_it(self, first):
        home = a_home(8_650)
        payment, far = a_payment(home), Disputed()
        if first is not None:
            book(payment, first)
        far.replies = [UpstreamUnavailable("away")]
        with pytest.raises(UpstreamUnavailable):
            far.says(payment, LOST)
        far.replies = [says(payment, GatewayStatus.UNKNOWN)]
        assert not far.says(payment, LOST)
        assert the_chargeback().state is ChargebackState.OPEN

        far.replies = [says(payment, GatewayStatus.PAID)]
        assert not far.says(payment, LOST)  # it is paid now; its company has not answered
        confirm(payment)
        assert far.says(payment, LOST)

        assert balances() == OWED_AGAIN
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []

    @pytest.mark.parametrize("answer", [RefundState.SENT, RefundState.REFUSED])
    def test_a_lost_one_waits_for_a_refund_the_gateway_was_asked_for(self, answer):
        payment, number = a_refused_payment(8_650)
        far = Disputed(refund_replies=[RefundReply(state=RefundState.PENDING)])
        refunds.send(number, {"sandbox": far}, now=NOW)
        assert not far.says(payment, LOST)

        far.refund_replies = [RefundReply(state=answer)]
        assert refunds.look(number, far, NOW)
        assert far.says(payment, LOST)

        assert balances().get("losses", 0) == (8_650 if answer is RefundState.SENT else 0)
        assert "returns" not in balances()
        with transaction() as session:
            assert transfers.list_waiting(session) == []
        assert violations() == []

    @pytest.mark.parametrize("end", [WON, LOST])
    def test_what_a_gateway_never_heard_of_is_not_asked_for_again_meanwhile(self, end):
        payment, number = a_refused_payment(8_650)
        far = Forgetful(refund_replies=[UpstreamUnavailable("away")])
        with pytest.raises(UpstreamUnavailable):
            refunds.send(number, {"sandbox": far}, now=NOW)
        far.says(payment, OPEN)

        for hours in (1, 23, 24, 25):
            assert not refunds.send(number, {"sandbox": far}, now=NOW + timedelta(hours=hours))

        assert [act for act, _ in far.asked if act.startswith("refund")] == ["refund 8650"]
        far.refund_replies = [SENT]
        assert far.says(payment, end)
        assert refunds.send(number, {"sandbox": far}, now=NOW + timedelta(days=2))
        assert refunds_of(payment)[0].status is (
            RefundStatus.SUCCEEDED if end is WON else RefundStatus.CHARGED_BACK
        )
        assert balances() == OWED_AGAIN
        assert violations() == []

    def test_nor_is_suspended_money_it_never_heard_of(self):
        payment = a_confirmed_payment(1_000)
        book(payment, GatewayStatus.PAID, gateway_ref="another")
        far = Forgetful(refund_replies=[UpstreamUnavailable("away")])
        with transaction() as session:
            receipt_id = session.execute(text("SELECT id FROM receipt")).scalar_one()
        with pytest.raises(UpstreamUnavailable):
            suspense.send_back(receipt_id, {"sandbox": far}, now=NOW)
        far.says(payment, OPEN)

        for days in (0, 1, 2):
            later = NOW + timedelta(days=days)
            assert not suspense.send_back(receipt_id, {"sandbox": far}, now=later)

        assert far.says(payment, LOST)
        assert balances() == {"payable:water": -1_000, "gateway:sandbox": 1_000}
        assert violations() == []

    def test_and_for_a_transfer_that_may_have_been_sent(self):
        payment, number = a_refused_payment(8_650)
        far = Disputed(capabilities=replace(CAN, refund_days=0))
        refunds.send(number, {"sandbox": far}, now=NOW)
        one, other = staff()
        enter_payee(number, one)
        assert not far.says(payment, LOST)

        with transaction() as session:
            transfers.clear_payee(session, number)
        with pytest.raises(Conflict):
            enter_payee(number, one)
        assert far.says(payment, LOST)

        with pytest.raises(Conflict):
            confirm_sent(number, other)
        assert balances() == OWED_AGAIN
        assert violations() == []

    def test_a_gateway_that_sends_after_its_no_what_the_bank_took_needs_a_person(self):
        payment, number = a_refused_payment(8_650)
        far = Disputed(refund_replies=[RefundReply(state=RefundState.REFUSED)])
        refunds.send(number, {"sandbox": far}, now=NOW)
        far.says(payment, LOST)
        assert refunds_of(payment)[0].status is RefundStatus.CHARGED_BACK
        far.refund_replies = [SENT]

        with pytest.raises(Conflict) as refused:
            refunds.look(number, far, NOW)

        assert refused.value.code == "refund.sent_twice"

    def test_a_part_of_a_transfer_is_taken_and_the_rest_is_to_send(self):
        payment, number = a_refused_payment(8_650)
        far = Disputed()
        refunds.send(number, {}, now=NOW)
        far.says(payment, LOST, amount_fen=5_000)
        one, _ = staff()

        enter_payee(number, one)
        confirm_sent(number, one)

        assert balances() == OWED_AGAIN | {"gateway:sandbox": 3_650, "bank": -3_650}
        assert violations() == []

    def test_a_late_success_and_its_lost_dispute_at_once_cost_nobody_twice(self):
        for _ in range(4):
            payment, far = a_payment(a_home(1_000)), Disputed()
            book(payment, GatewayStatus.CLOSED)
            far.replies = [says(payment, GatewayStatus.PAID)]
            ref = f"dp-{payment.id}"
            far.disputes[ref] = DisputeReply(
                state=LOST, order_no=payment.order_no, amount_fen=1_000
            )

            at_once(
                [
                    lambda: book(payment, GatewayStatus.PAID),  # noqa: B023
                    lambda: chargebacks.look(ref, far, NOW),  # noqa: B023
                ]
            )
            confirm(payment)
            assert chargebacks.look(ref, far, NOW)

            assert "losses" not in balances()
            assert "chargebacks" not in balances()
            assert violations() == []

    def test_a_refund_and_a_lost_dispute_at_once_never_return_more_than_was_paid(self):
        for _ in range(6):
            payment, (one, other) = a_confirmed_payment(1_000), staff()
            wish, far = a_wish(payment), Disputed()
            told = DisputeReply(state=LOST, order_no=payment.order_no, amount_fen=1_000)
            ref = f"dp-{payment.id}"
            far.disputes[ref] = told

            at_once(
                [
                    lambda: chargebacks.look(ref, far, NOW),  # noqa: B023
                    lambda: propose(wish, one),  # noqa: B023
                    lambda: propose(wish, other),  # noqa: B023
                ]
            )

            assert [item.returned_fen for item in items_of(payment)] == [1_000]
            assert "returns" not in balances()  # nobody has sent anything, and nobody will
            assert violations() == []


class TestList:
    def test_what_is_due_first_comes_first_and_of_the_others_the_newest(self):
        far = Disputed()
        for at, (state, due_in, opened_ago) in enumerate(
            [(WON, 1, 9), (LOST, 5, 2), (WON, 9, 5), (OPEN, 8, 1), (OPEN, 3, 7)]
        ):
            far.says(
                a_confirmed_payment(1_000), OPEN, ref=f"dp-{at}",
                evidence_due_at=NOW + timedelta(days=due_in),
                opened_at=NOW - timedelta(days=opened_ago),
            )  # fmt: skip
            if state is not OPEN:
                far.disputes[f"dp-{at}"] = replace(far.disputes[f"dp-{at}"], state=state)
                chargebacks.look(f"dp-{at}", far, NOW)

        with transaction() as session:
            found = [
                [one.dispute_ref for one in find_chargebacks(session, ChargebackFilter(state))]
                for state in (*ChargebackState, None)
            ]

        assert found == [
            ["dp-4", "dp-3"], ["dp-2", "dp-0"], ["dp-1"], ["dp-3", "dp-1", "dp-2", "dp-4", "dp-0"],
        ]  # fmt: skip

    @pytest.mark.parametrize(("days", "urgent"), [(4, False), (3, True), (0, True), (-2, True)])
    def test_evidence_due_within_three_days_is_urgent(self, days, urgent):
        payment, far = a_confirmed_payment(8_650), Disputed()
        far.says(payment, OPEN, evidence_due_at=NOW + timedelta(days=days))

        assert chargebacks.is_urgent(the_chargeback(), now=NOW) is urgent
        far.says(payment, WON)
        assert not chargebacks.is_urgent(the_chargeback(), now=NOW)

    def test_a_gateway_that_is_away_is_asked_again_later(self):
        class Away(Disputed):
            def query_dispute(self, dispute_ref: str) -> DisputeReply:
                raise UpstreamUnavailable("away")

        with pytest.raises(UpstreamUnavailable):
            chargebacks.look("dp-1", Away(), NOW)

    def test_a_transfer_says_why_it_is_one(self):
        _, number = a_refused_payment(8_650)
        refunds.send(number, {}, now=NOW)

        with transaction() as session:
            assert transfers.get_transfer(session, number).why is TransferReason.NO_GATEWAY
