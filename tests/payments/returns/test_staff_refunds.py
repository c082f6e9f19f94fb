"""Refunds by staff: two people, never more than was paid, and a company that bears them."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.db import transaction
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from payments import write_offs
from payments.gateways.base import (
    DisputeState,
    RefundReply,
    RefundState,
    SettlementRecord,
)
from payments.quotes import Wanted
from payments.reconciliation.gateway.matching import reconcile
from payments.returns import refunds
from payments.returns.models import RefundReason, RefundStatus
from payments.states import Outcome
from tests.conftest import as_owner, empty_city
from tests.factories import (
    ACCEPTED,
    NOW,
    REFUSED,
    FarGateway,
    a_home,
    a_paid_payment,
    at_once,
    balances,
    items_of,
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
    decline,
    enter_payee,
    left_fen,
    posted,
    propose,
    refunds_of,
    send,
    staff,
)

pytestmark = pytest.mark.usefixtures("city")


class TestTwoPeople:
    """Rules 44 and 51."""

    def test_above_the_threshold_a_second_person_approves(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()

        refund = propose(a_wish(payment), one)
        assert refund.status is RefundStatus.PROPOSED
        assert posted("%R%") == {}
        assert [left_fen(item) for item in items_of(payment)] == [0]
        approve(refund, other)

        assert [one.status for one in refunds_of(payment)] == [RefundStatus.REQUESTED]
        assert balances() == {
            "receivable:water": 8_650, "uncollected:water": -8_650,
            "gateway:sandbox": 8_650, "returns": -8_650,
        }  # fmt: skip
        send(payment)
        assert balances() == {"receivable:water": 8_650, "uncollected:water": -8_650}
        assert the_bill((items_of(payment)[0].account_id, items_of(payment)[0].bill_id)).open_fen
        assert [item.outcome for item in items_of(payment)] == [Outcome.RETURNED]
        assert topics(like="refund.%") == [
            "refund.proposed", "refund.requested", "refund.succeeded",
        ]  # fmt: skip
        assert violations() == []

    def test_up_to_it_the_proposer_is_enough(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()

        refund = propose(a_wish(payment, 5_000), one)

        assert (refund.status, refund.approved_by) == (RefundStatus.REQUESTED, None)
        assert violations() == []

    def test_small_steps_do_not_pass_under_it(self):
        payment, (one, _) = a_confirmed_payment(8_650, 2_000), staff()

        found = [propose(a_wish(payment, 2_500), one).status for _ in range(2)]
        found.append(propose(a_wish(payment, 1, at=1), one).status)

        assert found == [RefundStatus.REQUESTED, RefundStatus.REQUESTED, RefundStatus.PROPOSED]

    def test_the_fee_that_goes_with_the_last_fen_counts_to_it(self):
        the_terms("water", "[fee]\nslabs = [{ rate_ppm = 10000 }]\n")
        payment, (one, _) = a_confirmed_payment(4_990), staff()
        assert payment.amount_fen > 5_000

        assert propose(a_wish(payment, 10), one).status is RefundStatus.REQUESTED
        assert propose(a_wish(payment), one).status is RefundStatus.PROPOSED

    def test_who_proposed_cannot_approve_not_even_past_us(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)

        with pytest.raises(NotAllowed):
            approve(refund, one)
        with pytest.raises(IntegrityError, match="two_people"), as_owner() as connection:
            connection.execute(
                text("UPDATE refund SET approved_by = proposed_by, approved_at = now()")
            )
        with pytest.raises(IntegrityError, match="approved_if_needed"), as_owner() as connection:
            connection.execute(text("UPDATE refund SET status = 'requested', requested_at = now()"))

    def test_of_ones_own_payment_nothing_is_decided_alone(self):
        one, other = staff()
        payment = a_paid_payment(a_home(8_650, owner_id=one))
        confirm(payment)

        mine = propose(a_wish(payment, 100), one)
        assert mine.status is RefundStatus.PROPOSED
        approve(mine, other)
        large = propose(a_wish(payment), other)
        with pytest.raises(NotAllowed) as refused:
            approve(large, one)

        assert refused.value.code == "refund.own_payment"
        approve(large, staff()[0])
        assert violations() == []

    def test_approved_twice_it_is_one_refund(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)

        found = at_once([lambda: approve(refund, other)] * 8)

        assert {type(each).__name__ for each in found} == {"Refund"}
        assert posted("refunded:%") == {"refunded": 8_650}
        assert topics(like="refund.requested") == ["refund.requested"]
        with pytest.raises(Conflict):
            approve(refund, staff()[0])

    def test_a_no_needs_a_reason_and_sets_the_amount_free(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)
        with pytest.raises(Invalid):
            decline(refund, other, reason=" ")

        decline(refund, other)
        decline(refund, other)

        assert [left_fen(item) for item in items_of(payment)] == [8_650]
        with pytest.raises(Conflict, match="declined"):
            approve(refund, other)
        assert topics(like="refund.declined") == ["refund.declined"]
        assert violations() == []

    def test_who_proposed_may_withdraw_without_a_word(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)

        assert decline(refund, one, reason="").status is RefundStatus.DECLINED
        assert propose(a_wish(payment), one).refund_no != refund.refund_no

    def test_yes_and_no_at_once_is_one_of_them(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = propose(a_wish(payment), one)

        at_once([lambda: approve(refund, other), lambda: decline(refund, other)] * 4)

        status = refunds_of(payment)[0].status
        assert status in {RefundStatus.REQUESTED, RefundStatus.DECLINED}
        assert bool(posted("refunded:%")) is (status is RefundStatus.REQUESTED)
        assert violations() == []


class TestLock:
    """Rule 44: what was shown as refundable is the lock, and what was paid is the end."""

    def test_another_figure_is_refused_with_the_true_one(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()
        shown = a_wish(payment, 1_000)
        propose(shown, one)

        with pytest.raises(Conflict) as refused:
            propose(shown, one)

        assert refused.value.code == "refund.refundable_changed"
        assert refused.value.facts == {"refundable_fen": 7_650}

    @pytest.mark.parametrize(
        ("amount_fen", "kind"), [(8_651, Conflict), (0, Invalid), (-1, Invalid)]
    )
    def test_neither_more_than_was_paid_nor_nothing(self, amount_fen, kind):
        payment, (one, _) = a_confirmed_payment(8_650), staff()

        with pytest.raises(kind):
            propose(a_wish(payment, amount_fen), one)

    def test_two_staff_at_once_refund_it_once(self):
        payment, people = a_confirmed_payment(8_650), staff()
        wish = a_wish(payment)

        found = at_once([lambda by=by: propose(wish, by) for by in people * 4])

        assert len([one for one in found if isinstance(one, Conflict)]) == 7
        assert [one.amount_fen for one in refunds_of(payment)] == [8_650]
        assert violations() == []

    def test_the_database_keeps_to_it_without_us(self):
        a_confirmed_payment(8_650)

        with pytest.raises(IntegrityError, match="returned_within"), as_owner() as connection:
            connection.execute(text("UPDATE payment_item SET returned_fen = amount_fen + 1"))

    def test_the_same_key_is_the_same_refund_and_another_wish_is_refused(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()
        wish = a_wish(payment, 1_000)

        found = at_once([lambda: propose(wish, one, key="k")] * 8)

        assert len({refund.refund_no for refund in found}) == 1
        with pytest.raises(Conflict) as refused:
            propose(wish._replace(amount_fen=999), one, key="k")
        assert refused.value.code == "idempotency.other_request"

    def test_other_needs_words(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()

        with pytest.raises(Invalid):
            propose(a_wish(payment)._replace(reason=RefundReason.OTHER, words=" "), one)

    def test_only_what_the_company_confirmed_is_refunded_by_staff(self):
        payment, (one, _) = a_paid_payment(a_home(8_650)), staff()

        with pytest.raises(Conflict) as refused:
            propose(a_wish(payment), one)
        assert refused.value.code == "refund.not_confirmed"
        with pytest.raises(NotFound):
            propose(a_wish(payment)._replace(bill=(1, 1)), one)

    @pytest.mark.parametrize("answer", [ACCEPTED, REFUSED])
    def test_racing_the_companys_answer_the_money_goes_back_once(self, answer):
        payment, (one, other) = a_paid_payment(a_home(8_650)), staff()
        wish, number = a_wish(payment, 4_000), items_of(payment)[0].write_off_no

        def company() -> None:
            with transaction() as session:
                write_offs.book(session, number, answer, now=NOW)

        at_once([company, lambda: propose(wish, one), lambda: propose(wish, other)] * 2)

        under_way = [each.amount_fen for each in refunds_of(payment)]
        assert under_way in ([[8_650]] if answer is REFUSED else [[], [4_000]])
        assert violations() == []


class TestParts:
    def test_a_part_leaves_the_bill_confirmed_and_owing_that_much(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()

        propose(a_wish(payment, 3_000), one)
        propose(a_wish(payment, 2_000), one)
        send(payment, SENT, SENT)

        item = items_of(payment)[0]
        bill = the_bill((item.account_id, item.bill_id))
        assert (bill.open_fen, bill.paid_fen, bill.written_off_fen) == (5_000, 3_650, 3_650)
        assert item.outcome is Outcome.WRITTEN_OFF
        assert balances()["gateway:sandbox"] == 3_650
        assert topics(like="bill.owed_again") == ["bill.owed_again"] * 2
        assert violations() == []

    def test_what_was_paid_above_the_bill_goes_back_first(self):
        the_terms("water", 'surplus = "advance"\n[amount]\nmode = "any"\n')
        home = a_home(8_650)
        wanted = [Wanted(home.refs[0], 8_650, None, 9_000)]
        payment, (one, other) = a_paid_payment(home, wanted=wanted), staff()
        with transaction() as session:
            write_offs.book(session, items_of(payment)[0].write_off_no, ACCEPTED, now=NOW)

        approve_all = [propose(a_wish(payment, 500), one), propose(a_wish(payment), one)]
        approve(approve_all[1], other)

        assert [each.advance_fen for each in refunds_of(payment)] == [350, 0]
        assert the_bill(home.refs[0]).open_fen == 8_650
        send(payment, SENT, SENT)
        assert balances() == {"receivable:water": 8_650, "uncollected:water": -8_650}
        assert violations() == []

    def test_the_fee_goes_back_with_the_last_fen_and_not_before(self):
        the_terms("water", "[fee]\nslabs = [{ rate_ppm = 10000 }]\ntax_ppm = 60000\n")
        payment, (one, other) = a_confirmed_payment(8_650, 1_000), staff()
        fee_fen = payment.fee_fen + payment.fee_tax_fen
        assert fee_fen > 0

        approve(propose(a_wish(payment), one), other)
        first = propose(a_wish(payment, 400, at=1), one)
        approve(first, other)
        approve(propose(a_wish(payment, at=1), one), other)

        assert sorted(each.fee_fen for each in refunds_of(payment)) == [0, 0, fee_fen]
        send(payment, SENT, SENT, SENT)
        assert {"gateway:sandbox", "fees", "fee_tax", "returns"} & {*balances()} == set()
        assert violations() == []

    def test_after_it_the_bill_is_paid_and_refunded_again(self):
        home = a_home(1_000)
        people = staff()
        for _ in range(2):
            payment = a_paid_payment(home)
            with transaction() as session:
                write_offs.book(session, items_of(payment)[0].write_off_no, ACCEPTED, now=NOW)
            propose(a_wish(payment), people[0])
            send(payment)

        assert the_bill(home.refs[0]).open_fen == 1_000
        assert violations() == []


def a_row(line_no: int, kind: str, reference: str, amount_fen: int) -> SettlementRecord:
    return SettlementRecord(line_no, kind, reference, f"ref-{reference}", amount_fen, 0, NOW)


class TestReconciled:
    def test_a_gateways_file_has_what_it_sent_and_not_what_our_bank_did(self):
        payment, (one, _) = a_confirmed_payment(8_650), staff()
        sent, stuck = (propose(a_wish(payment, fen), one).refund_no for fen in (1_000, 900))
        far = FarGateway(refund_replies=[SENT, RefundReply(state=RefundState.REFUSED)])
        for number in (sent, stuck):
            refunds.send(number, {"sandbox": far}, now=NOW)
        enter_payee(stuck, one)
        confirm_sent(stuck, one)
        far.rows = [
            a_row(1, "payment", payment.order_no, 8_650), a_row(2, "refund", sent, -1_000),
        ]  # fmt: skip

        with transaction() as session:
            run = reconcile(
                session, far, io.BytesIO(b"a day"), day=NOW.date(), file_name="f", now=NOW
            )

        assert (run.balanced, run.matched, run.our_total_fen) == (True, 2, 7_650)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["propose", "approve", "decline", "send", "refuse", "payee", "sent", "open", "won",
             "lost"]
        ),
        st.integers(0, 2),
        st.sampled_from([1, 999, 4_000, None]),
    ),
    min_size=8,
    max_size=25,
)  # fmt: skip


class TestAnything:
    """Whatever staff, gateway and bank do, in whatever order, the books hold after it all."""

    @settings(max_examples=25)
    @given(acts=ACTS)
    def test_no_order_of_acts_breaks_the_books(self, database_url, acts):
        empty_city()
        the_terms("water", "[fee]\nslabs = [{ rate_ppm = 10000 }]\n")
        payment, (one, other) = a_confirmed_payment(9_000, 2_000, 1_000), staff()
        far = Disputed()
        for at, amount_fen in ((0, 900), (1, 2_000), (0, 3_000)):
            propose(a_wish(payment, amount_fen, at=at), one)

        for act, at, amount_fen in acts:
            try:
                do(payment, act, at, amount_fen, one, other, far)
            except (Conflict, Invalid, NotFound):
                continue
            assert violations() == [], act

        assert violations() == []
        gone_fen = sum(one.to_send_fen for one in refunds_of(payment) if one.succeeded_at)
        assert gone_fen <= payment.amount_fen


def do(payment, act, at, amount_fen, one, other, far) -> None:
    """Do one act, to the refund or bill there is at a place."""
    known = refunds_of(payment)
    refund = known[at % len(known)] if known else None
    states = {"open": DisputeState.OPEN, "won": DisputeState.WON, "lost": DisputeState.LOST}
    if act == "propose":
        propose(a_wish(payment, amount_fen, at=at), one)
    elif act in states:
        facts = {"amount_fen": amount_fen} if amount_fen else {}
        far.says(payment, states[act], ref=f"dp-{at}", **facts)
    elif refund is None:
        return
    elif act == "approve":
        approve(refund, other)
    elif act == "decline":
        decline(refund, other)
    elif act in {"send", "refuse"}:
        no = RefundReply(state=RefundState.REFUSED)
        far.refund_replies = [SENT if act == "send" else no]
        refunds.send(refund.refund_no, {"sandbox": far}, now=NOW)
    elif act == "payee":
        enter_payee(refund.refund_no, one)
    else:
        confirm_sent(refund.refund_no, other, f"bank-{refund.refund_no}")
