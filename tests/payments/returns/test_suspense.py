"""Money that is on no bill: recorded first, suspended, sent back by itself, seen by who paid."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import AmountMismatch, NotFound
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.models import Payment, Receipt, ReceiptState
from payments.returns import refunds, suspense, transfers
from payments.states import PaymentStatus
from payments.views import PaymentView, PublicStatus, view
from tests.factories import (
    AWAY,
    NOW,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    the_bill,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
PAID = GatewayStatus.PAID
SENT = RefundReply(
    state=RefundState.SENT, refund_ref="sent-1", refunded_at=NOW + timedelta(hours=1)
)


def receipts() -> list[Receipt]:
    with transaction() as session:
        rows = session.execute(text("SELECT id FROM receipt ORDER BY id")).scalars().all()
        return [session.get_one(Receipt, number) for number in rows]


def shown(payment: Payment) -> PaymentView:
    with transaction() as session:
        fresh = session.get_one(Payment, payment.id)
        return view(session, fresh, gateway_name="", today=NOW.date())


class TestAnotherAmount:
    """Rule 32: the money stays visible and goes back; no bill is touched."""

    @pytest.mark.parametrize("off_fen", [-1, 1, -8_649])
    @pytest.mark.parametrize("first", [None, GatewayStatus.OPEN, GatewayStatus.CLOSED])
    def test_it_is_suspended_and_the_bill_is_free_again(self, off_fen, first):
        home = a_home(8_650)
        payment = a_payment(home)
        if first is not None:
            payment = book(payment, first)

        after = book(payment, PAID, amount_fen=8_650 + off_fen)

        assert after.status in {PaymentStatus.REFUSED, PaymentStatus.EXPIRED}
        assert (the_bill(home.refs[0]).held_by, the_bill(home.refs[0]).paid_fen) == (None, 0)
        assert balances() == {
            "receivable:water": 8_650, "uncollected:water": -8_650,
            "gateway:sandbox": 8_650 + off_fen, "suspense:sandbox": -8_650 - off_fen,
        }  # fmt: skip
        assert topics(like="receipt.%") == ["receipt.suspended"]
        assert violations() == []

    def test_told_again_it_is_the_same_money(self):
        payment = a_payment(a_home(8_650))

        for _ in range(3):
            book(payment, PAID, amount_fen=8_649)

        assert [one.amount_fen for one in receipts()] == [8_649]
        assert violations() == []

    @pytest.mark.parametrize("then_fen", [8_648, 8_650])
    def test_told_again_with_another_amount_needs_a_person(self, then_fen):
        payment = a_payment(a_home(8_650))
        book(payment, PAID, amount_fen=8_649)

        with pytest.raises(AmountMismatch) as refused:
            book(payment, PAID, amount_fen=then_fen)

        assert refused.value.code == "receipt.amount_differs"
        assert [one.amount_fen for one in receipts()] == [8_649]

    @pytest.mark.parametrize("told", [(None, "7"), ("7", None), (None, "7", None, "7")])
    def test_told_with_its_number_and_without_it_is_the_same_money(self, told):
        payment = a_payment(a_home(8_650))

        for number in told:
            book(payment, PAID, amount_fen=8_649, gateway_ref=number)

        assert [(one.source_ref, one.amount_fen) for one in receipts()] == [("7", 8_649)]
        assert violations() == []

    def test_another_number_is_another_money_even_if_the_first_came_without_one(self):
        payment = a_payment(a_home(8_650))

        for number in (None, "7", "8"):
            book(payment, PAID, amount_fen=8_649, gateway_ref=number)

        assert [one.source_ref for one in receipts()] == ["7", "8"]
        assert violations() == []

    def test_without_its_number_and_with_another_amount_needs_a_person(self):
        payment = a_payment(a_home(8_650))
        book(payment, PAID, amount_fen=8_649)

        with pytest.raises(AmountMismatch):
            book(payment, PAID, amount_fen=8_648, gateway_ref=None)

    def test_from_sixteen_threads_it_is_recorded_once(self):
        payment = a_payment(a_home(8_650))

        at_once([lambda: book(payment, PAID, amount_fen=8_649)] * 16)

        assert [one.amount_fen for one in receipts()] == [8_649]
        assert violations() == []


class TestSecondTime:
    """Rules 29, 38 and 39: two receipts for one bill are two moneys; the second is not applied."""

    def test_it_is_recorded_and_the_bill_stays_paid_once(self):
        home = a_home(1_000)
        payment = a_paid_payment(home)

        book(payment, PAID, gateway_ref="another")

        assert the_bill(home.refs[0]).paid_fen == 1_000
        assert [(one.source_ref, one.amount_fen) for one in receipts()] == [("another", 1_000)]
        assert violations() == []

    def test_each_number_of_the_source_is_a_money_of_its_own(self):
        payment = a_paid_payment(a_home(1_000))

        for number in ("second", "third", "second"):
            book(payment, PAID, gateway_ref=number)

        assert balances()["suspense:sandbox"] == -2_000
        assert violations() == []

    def test_the_same_number_of_two_institutions_is_two_moneys(self):
        for gateway in ("sandbox", "other"):
            payment = a_payment(a_home(1_000), gateway=gateway)
            book(payment, PAID, gateway_ref=f"first-{gateway}")
            book(payment, PAID, gateway_ref="7")

        assert sorted(one.source for one in receipts()) == ["other", "sandbox"]
        assert violations() == []


class TestSendingBack:
    def a_receipt(self) -> tuple[Payment, int]:
        payment = a_paid_payment(a_home(1_000))
        book(payment, PAID, gateway_ref="another")
        return payment, receipts()[0].id

    def test_it_goes_back_and_who_paid_sees_both_steps(self):
        payment, number = self.a_receipt()
        assert [one.returned_at for one in shown(payment).receipts] == [None]
        assert not shown(payment).settled
        far = FarGateway(refund_replies=[SENT])

        assert suspense.send_back(number, {"sandbox": far}, now=NOW)

        assert far.asked == [("refund 1000", f"S{number}")]
        assert [one.returned_at for one in shown(payment).receipts] == [SENT.refunded_at]
        assert shown(payment).public_status is PublicStatus.PAID
        assert "suspense:sandbox" not in balances()
        assert topics(like="receipt.%") == ["receipt.suspended", "receipt.returned"]
        assert violations() == []

    def test_it_goes_back_once_however_often_it_is_tried(self):
        _, number = self.a_receipt()
        far = FarGateway(refund_replies=[SENT] * 16)

        at_once([lambda: suspense.send_back(number, {"sandbox": far}, now=NOW)] * 16)

        assert receipts()[0].state is ReceiptState.RETURNED
        assert topics(like="receipt.returned") == ["receipt.returned"]
        assert violations() == []

    def test_without_word_the_same_number_is_tried_again(self):
        _, number = self.a_receipt()
        far = FarGateway(refund_replies=[RefundReply(state=RefundState.UNKNOWN), SENT])

        assert not suspense.send_back(number, {"sandbox": far}, now=NOW)
        assert receipts()[0].state is ReceiptState.SUSPENDED
        assert suspense.send_back(number, {"sandbox": far}, now=NOW)

        assert {ref for _, ref in far.asked} == {f"S{number}"}

    def test_a_gateway_that_is_away_leaves_it_suspended(self):
        _, number = self.a_receipt()

        with pytest.raises(type(AWAY)):
            suspense.send_back(number, {"sandbox": FarGateway(refund_replies=[AWAY])}, now=NOW)

        assert balances()["suspense:sandbox"] == -1_000
        assert violations() == []

    def test_what_it_refuses_for_good_waits_for_a_transfer_by_staff(self):
        _, number = self.a_receipt()
        far = FarGateway(refund_replies=[RefundReply(state=RefundState.REFUSED)])

        assert suspense.send_back(number, {"sandbox": far}, now=NOW)
        assert suspense.send_back(number, {"sandbox": far}, now=NOW)  # it is not asked again

        with transaction() as session:
            assert [one.number for one in transfers.list_waiting(session)] == [f"S{number}"]
        assert balances()["suspense:sandbox"] == -1_000
        assert violations() == []

    def test_news_of_it_makes_us_ask(self):
        _, number = self.a_receipt()
        far = FarGateway(refund_replies=[RefundReply(state=RefundState.PENDING), SENT])
        suspense.send_back(number, {"sandbox": far}, now=NOW)

        assert refunds.look(f"S{number}", far, NOW)

        assert receipts()[0].state is ReceiptState.RETURNED
        with pytest.raises(NotFound):
            refunds.look("S7", far, NOW)

    def test_a_number_nobody_made_is_not_found(self):
        with pytest.raises(NotFound):
            suspense.send_back(7, {}, now=NOW)
