"""Money on its way back as its payer sees it: every part, each in its stage, and only theirs."""

from datetime import timedelta

import pytest

from core.clock import billing_date
from core.db import transaction
from payments.gateways.base import RefundReply, RefundState
from payments.models import Payment
from payments.returns.tracker import MoneyBack, Stage, coming_back, every_return, list_returns
from tests.factories import NOW, a_home, a_paid_payment, a_person
from tests.payments.returns.returning import (
    a_confirmed_payment,
    a_wish,
    approve,
    confirm,
    confirm_sent,
    decline,
    enter_payee,
    propose,
    send,
    staff,
)

pytestmark = pytest.mark.usefixtures("city")
TODAY = billing_date(NOW)
PENDING = RefundReply(state=RefundState.PENDING)
REFUSED = RefundReply(state=RefundState.REFUSED, reason="the account is closed")


def tracked(payment: Payment, *, days: int = 0) -> list[MoneyBack]:
    assert payment.payer_id is not None
    with transaction() as session:
        today = TODAY + timedelta(days=days)
        return list_returns(session, payment.payer_id, today=today)


def stage_of(payment: Payment, *, days: int = 0) -> Stage:
    (one,) = tracked(payment, days=days)
    return one.stage


class TestStages:
    def test_from_its_proposal_until_it_must_be_there(self):
        payment, (maker, checker) = a_confirmed_payment(8_650), staff()

        refund = propose(a_wish(payment), maker)
        assert stage_of(payment) is Stage.CHECKED
        approve(refund, checker)
        assert stage_of(payment) is Stage.TO_ASK
        send(payment, PENDING)
        assert stage_of(payment) is Stage.AT_GATEWAY
        send(payment)
        assert stage_of(payment) is Stage.SENT
        (one,) = tracked(payment)
        assert one.arrives_by_on == TODAY + timedelta(days=1)  # a wallet's
        assert stage_of(payment, days=1) is Stage.SENT
        assert stage_of(payment, days=2) is Stage.SHOULD_BE_THERE

    def test_what_the_gateway_cannot_send_needs_an_account_and_goes_by_bank(self):
        payment, (maker, checker) = a_confirmed_payment(8_650), staff()
        refund = approve(propose(a_wish(payment), maker), checker)

        send(payment, REFUSED)
        assert stage_of(payment) is Stage.NEEDS_ACCOUNT
        enter_payee(refund.refund_no, maker)
        assert stage_of(payment) is Stage.AT_BANK
        confirm_sent(refund.refund_no, checker)
        (one,) = tracked(payment)
        assert (one.stage, one.by_bank) == (Stage.SENT, True)
        assert one.arrives_by_on == TODAY + timedelta(days=3)

    def test_declined_it_says_so_and_withdrawn_it_never_was(self):
        payment, (maker, checker) = a_confirmed_payment(8_650), staff()

        decline(propose(a_wish(payment), maker), maker)
        assert tracked(payment) == []
        decline(propose(a_wish(payment), maker), checker)
        assert stage_of(payment) is Stage.DECLINED


class TestWhose:
    def test_nobody_else_sees_it(self):
        payment, (maker, _) = a_confirmed_payment(8_650), staff()
        propose(a_wish(payment), maker)

        with transaction() as session:
            assert list_returns(session, a_person(), today=TODAY) == []

    def test_pages_hold_each_once_the_newest_first(self):
        payment, (maker, _) = a_confirmed_payment(1_000, 2_000, 3_000), staff()
        for at in range(3):
            propose(a_wish(payment, at=at), maker)
        assert payment.payer_id is not None

        with transaction() as session:
            whole = list(every_return(session, payment.payer_id, today=TODAY))
            seen, after = [], ""
            while page := list_returns(
                session, payment.payer_id, today=TODAY, after=after, limit=1
            ):  # fmt: skip
                seen += page
                after = page[-1].number

        assert seen == whole
        assert len({one.number for one in seen}) == 3

    def test_it_is_found_by_the_end_of_its_number(self):
        payment, (maker, _) = a_confirmed_payment(1_000, 2_000), staff()
        refund = propose(a_wish(payment), maker)
        propose(a_wish(payment, at=1), maker)
        assert payment.payer_id is not None

        with transaction() as session:
            (found,) = list_returns(
                session, payment.payer_id, today=TODAY, ending=refund.refund_no[-8:]
            )

        assert found.number == refund.refund_no


def test_what_comes_back_is_what_is_decided_and_not_sent():
    home, (maker, checker) = a_home(3_000, 2_000, 1_000), staff()
    payment = a_paid_payment(home)
    confirm(payment)
    sums = []

    def look() -> None:
        with transaction() as session:
            sums.append(coming_back(session, home.owner_id))

    look()
    refund = propose(a_wish(payment, at=0), maker)
    if refund.requested_at is None:
        approve(refund, checker)
    look()
    send(payment)
    look()

    assert [(one.parts, one.sum_fen) for one in sums] == [(0, 0), (1, refund.amount_fen), (0, 0)]
