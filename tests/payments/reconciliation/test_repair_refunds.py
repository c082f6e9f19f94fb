"""Refunds that are asked for at a difference: proposed to staff once, and never over each other."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.db import transaction
from core.errors import Conflict, Invalid
from payments.models import Payment, PaymentItem
from payments.reconciliation.models import BreakState
from payments.reconciliation.repair import acts as repair_acts
from payments.reconciliation.repair.models import Act
from payments.returns import staff_refunds
from payments.returns.models import RefundStatus
from tests.factories import NOW, items_of, violations
from tests.payments.reconciliation.repairing import (
    ALONE,
    a_paid,
    acts_of,
    do,
    newest,
    staff,
    the_break,
)
from tests.payments.reconciliation.test_matching import a_file, row_of, run
from tests.payments.returns.returning import a_wish, confirm

pytestmark = pytest.mark.usefixtures("city")


def items_of_one(item: PaymentItem) -> PaymentItem:
    with transaction() as session:
        return session.get_one(PaymentItem, (item.payment_id, item.account_id, item.bill_id))


class TestRefunding:
    def a_duplicate(self) -> tuple[int, Any]:
        payment = a_paid()
        confirm(payment)
        run(a_file([row_of(payment), row_of(payment, gateway_ref="again")]))
        return newest(), items_of(payment)[0]

    def test_it_is_proposed_to_staff_and_the_difference_stays(self):
        found, item = self.a_duplicate()

        act = do(found, Act.REFUND, target=item.write_off_no, wanted_fen=8_650, limits=ALONE)

        with transaction() as session:
            refund = repair_acts.refund_of(session, act)
        assert refund is not None
        assert (refund.amount_fen, refund.status) == (8_650, RefundStatus.REQUESTED)
        assert the_break(found).state is BreakState.OPEN
        assert violations() == []

    def test_sent_twice_it_is_one_refund(self):
        (found, item), person = self.a_duplicate(), staff()
        wish = {"target": item.write_off_no, "wanted_fen": 4_000, "limits": ALONE, "by": person}

        assert do(found, Act.REFUND, **wish).id == do(found, Act.REFUND, **wish).id

        assert items_of_one(item).returned_fen == 4_000

    def test_of_another_amount_it_is_another_refund(self):
        (found, item), person = self.a_duplicate(), staff()
        wish = {"target": item.write_off_no, "limits": ALONE, "by": person}

        first = do(found, Act.REFUND, wanted_fen=4_000, **wish)
        second = do(found, Act.REFUND, wanted_fen=1_000, **wish)

        assert first.id != second.id
        assert items_of_one(item).returned_fen == 5_000

    def test_declined_it_may_be_proposed_once_more(self):
        (found, item), person = self.a_duplicate(), staff()
        limits = ALONE._replace(refund_approval_above_fen=0)
        wish = {"target": item.write_off_no, "wanted_fen": 4_000, "limits": limits, "by": person}
        act = do(found, Act.REFUND, **wish)
        with transaction() as session:
            refund = repair_acts.refund_of(session, act)
            assert refund is not None
            staff_refunds.decline(session, refund.refund_no, by=staff(), reason="no", now=NOW)

        again = do(found, Act.REFUND, **wish)

        assert again.id != act.id
        assert items_of_one(item).returned_fen == 4_000

    def test_what_a_colleague_proposes_meanwhile_is_not_lost(self):
        found, item = self.a_duplicate()
        with transaction() as session:
            payment = session.get_one(Payment, item.payment_id)

        with ThreadPoolExecutor(1) as pool:
            with transaction() as session:
                staff_refunds.propose(
                    session, a_wish(payment, 3_000), by=staff(), key="k", approval_above_fen=0,
                    now=NOW,
                )  # fmt: skip
                asking = pool.submit(
                    do, found, Act.REFUND, target=item.write_off_no, wanted_fen=5_000, limits=ALONE
                )
                with pytest.raises(TimeoutError):
                    asking.result(timeout=1)
            with pytest.raises(Conflict) as refused:
                asking.result(timeout=60)

        assert refused.value.code == "refund.refundable_changed"
        assert items_of_one(item).returned_fen == 3_000

    def test_it_has_a_second_person_of_its_own(self):
        found, item = self.a_duplicate()
        limits = ALONE._replace(refund_approval_above_fen=8_649)

        act = do(found, Act.REFUND, target=item.write_off_no, wanted_fen=8_650, limits=limits)

        with transaction() as session:
            refund = repair_acts.refund_of(session, act)
        assert refund is not None
        assert refund.status is RefundStatus.PROPOSED

    def test_without_a_bill_and_an_amount_nothing_is_proposed(self):
        found, item = self.a_duplicate()

        for changes in ({"target": item.write_off_no}, {"wanted_fen": 1}):
            with pytest.raises(Invalid):
                do(found, Act.REFUND, limits=ALONE, **changes)
        assert acts_of(found) == []
