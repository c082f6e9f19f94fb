"""A payment is told as confirmed once, when all companies have answered; and money on its way."""

import pytest
from sqlmodel import select

from core.db import transaction
from notifications import money_notices
from notifications.real_facts import Look, facts_told
from notifications.still_so import over
from payments import write_offs
from payments.gateways.base import DisputeState, GatewayStatus, RefundReply, RefundState
from payments.models import PaymentItem, list_receipts
from payments.returns import refunds
from payments.returns.models import Refund, RefundStatus
from payments.returns.receipts import return_no
from providers.base import WriteOffReply
from tests.conftest import NOW
from tests.factories import (
    ACCEPTED,
    REFUSED,
    FarGateway,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    book,
    items_of,
)
from tests.notifications.events import URL, events, one_by_one, told
from tests.payments.returns.returning import (
    Disputed,
    a_confirmed_payment,
    a_wish,
    approve,
    confirm_sent,
    enter_payee,
    propose,
    send,
    staff,
)
from workers import tasks
from workers.relay import FOLLOWS

pytestmark = pytest.mark.usefixtures("city")
REGISTERED = tasks


def confirm(item: PaymentItem) -> None:
    with transaction() as session:
        money_notices.tell_confirmed(session, item.write_off_no, public_url=URL, now=NOW)


def answered(item: PaymentItem, reply: WriteOffReply) -> None:
    """Let a company answer, and do the job that follows."""
    with transaction() as session:
        write_offs.book(session, item.write_off_no, reply, now=NOW)
    confirm(item)


def a_stray(home: Home) -> None:
    """Have money come for a bill that was paid by another payment meanwhile."""
    given_up = book(a_payment(home, home.refs[0]), GatewayStatus.CLOSED)
    a_paid_payment(home, home.refs[0])
    book(given_up, GatewayStatus.PAID)


@pytest.fixture
def home() -> Home:
    home = a_home(8_650, 4_300)
    one_by_one()
    return home


class TestConfirmed:
    def test_one_notice_for_the_payment_once_the_last_company_has_answered(self, home):
        first, second = items_of(a_paid_payment(home))

        answered(first, ACCEPTED)
        before = events()
        answered(second, ACCEPTED)
        confirm(first)

        (notice,) = told(like="write_off.accepted")
        assert before == []
        assert "¥129.50" in notice.title
        assert ("¥86.50" in notice.body, "¥43.00" in notice.body) == (True, True)

    def test_what_a_company_refused_is_not_among_it_whoever_answers_last(self, home):
        first, second = items_of(a_paid_payment(home))

        answered(first, ACCEPTED)
        answered(second, REFUSED)

        (notice,) = told(like="write_off.accepted")
        assert "¥129.50" not in notice.title

    def test_nothing_is_told_when_all_refused(self, home):
        for item in items_of(a_paid_payment(home)):
            answered(item, REFUSED)

        assert events() == []

    @pytest.mark.parametrize("topic", ["write_off.accepted", "write_off.refused"])
    def test_both_answers_are_followed(self, topic):
        assert "notices.confirmed" in FOLLOWS[topic]


class TestOnItsWay:
    @staticmethod
    def tell() -> None:
        with transaction() as session:
            (refund_no,) = session.exec(select(Refund.refund_no))
            money_notices.tell_on_its_way(session, refund_no, public_url=URL, now=NOW)

    def test_what_came_too_late_for_its_bill_is_told_to_be_on_its_way(self, home):
        a_stray(home)
        self.tell()
        self.tell()

        (notice,) = told(like="refund.requested")
        assert "¥86.50" in notice.title

    def test_what_a_company_refused_was_told_by_itself(self, home):
        item = items_of(a_paid_payment(home, home.refs[0]))[0]
        answered(item, REFUSED)

        self.tell()

        assert told(like="refund.%") == []

    def test_once_it_is_sent_it_is_not_on_its_way_any_more(self, home):
        a_stray(home)
        self.tell()
        with transaction() as session:
            refund = session.exec(select(Refund)).one()
            refund.move_to(RefundStatus.PENDING)
            refund.move_to(RefundStatus.SUCCEEDED)
            refund.succeeded_at = NOW

        with transaction() as session:
            assert set(over(session, told()).values()) == {"superseded"}


class TestCameBack:
    """What was sent back and came back to us: the payer is asked for an account, once."""

    @staticmethod
    def a_refund() -> tuple[int, str]:
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = approve(propose(a_wish(payment), one), other)
        send(payment)
        back = RefundReply(state=RefundState.REFUSED, reason="closed")
        refunds.look(refund.refund_no, FarGateway(refund_replies=[back]), NOW)
        with transaction() as session:
            (receipt,) = list_receipts(session, payment.id)
        return receipt.id, return_no(receipt)

    @staticmethod
    def tell(receipt_id: int) -> None:
        with transaction() as session:
            money_notices.tell_came_back(session, receipt_id, public_url=URL, now=NOW)

    def test_it_is_told_once_with_what_we_need(self):
        receipt_id, _ = self.a_refund()
        one_by_one()

        self.tell(receipt_id)
        self.tell(receipt_id)

        (notice,) = told(like="refund.came_back")
        assert "¥86.50" in notice.title
        assert "a bank account in your own name" in notice.body
        assert "notices.came_back" in FOLLOWS["receipt.came_back"]

    def test_once_it_went_another_way_it_is_not_told_any_more(self):
        receipt_id, number = self.a_refund()
        one_by_one()
        self.tell(receipt_id)
        (notice,) = told(like="refund.came_back")
        one, other = staff()
        enter_payee(number, one)
        confirm_sent(number, other)

        with transaction() as session:
            assert list(over(session, [notice]).values()) == ["superseded"]

    def test_nor_when_it_went_before_anybody_was_told(self):
        receipt_id, number = self.a_refund()
        one_by_one()
        one, other = staff()
        enter_payee(number, one)
        confirm_sent(number, other)

        self.tell(receipt_id)

        assert told(like="refund.came_back") == []

    def test_its_words_can_be_looked_at_with_what_somebody_was_told(self):
        receipt_id, _ = self.a_refund()
        one_by_one()
        self.tell(receipt_id)
        (notice,) = told(like="refund.came_back")
        assert notice.id is not None

        with transaction() as session:
            look = Look(session, "en", NOW.date(), lambda *_: None)
            shown = facts_told("refund.came_back", notice.id, look)

        assert shown.values == {"amount": "¥86.50"}

    def test_once_our_bank_has_sent_it_that_is_told_once(self):
        receipt_id, number = self.a_refund()
        one_by_one()
        self.tell(receipt_id)
        money_is_sent(receipt_id)
        assert told(like="payment.returned") == []
        one, other = staff()
        enter_payee(number, one)
        confirm_sent(number, other)

        money_is_sent(receipt_id)
        money_is_sent(receipt_id)

        (notice,) = told(like="payment.returned")
        assert "¥86.50 was transferred to your bank account" in notice.body
        assert "did not take it" in notice.body
        assert FOLLOWS["receipt.returned"] == ("notices.sent_again",)

    def test_what_their_own_bank_gave_them_we_did_not_send(self):
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = approve(propose(a_wish(payment), one), other)
        send(payment)
        far = Disputed()
        far.says(payment, DisputeState.LOST)
        far.refund_replies = [RefundReply(state=RefundState.REFUSED, reason="closed")]
        refunds.look(refund.refund_no, far, NOW)
        with transaction() as session:
            (receipt,) = list_receipts(session, payment.id)
        one_by_one()

        money_is_sent(receipt.id)

        assert told(like="payment.returned") == []


def money_is_sent(receipt_id: int) -> None:
    """Do the job that follows when money that was on no bill has gone back."""
    with transaction() as session:
        money_notices.tell_sent_again(session, receipt_id, public_url=URL, now=NOW)
