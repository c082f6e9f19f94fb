"""A small city at work: whatever happens, in whatever order, the books hold after every step."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from core.db import transaction
from core.errors import AmountMismatch, Conflict, IllegalTransition
from payments import refunds, write_offs
from payments.gateways.base import GatewayStatus, RefundReply
from payments.models import Payment
from payments.states import PaymentStatus
from tests.conftest import empty_city
from tests.factories import (
    ACCEPTED,
    NO_WORD,
    NOW,
    REFUSED,
    a_home,
    a_payment,
    as_shown,
    book,
    items_of,
    the_bill,
    violations,
)

AMOUNTS = (8_650, 1, 0, -500)


class City(RuleBasedStateMachine):
    """One household of four bills, paid, refused, corrected and cancelled at random."""

    payments = Bundle("payments")

    def __init__(self) -> None:
        super().__init__()
        self.now, self.version = NOW, 1

    @initialize()
    def bill_the_household(self) -> None:
        empty_city()
        self.home = a_home(*AMOUNTS)

    def tick(self):
        self.now += timedelta(minutes=7)
        return self.now

    @rule(
        target=payments, chosen=st.sets(st.integers(0, 3), min_size=1), off_fen=st.integers(-1, 1)
    )
    def pay(self, chosen, off_fen):
        wanted = as_shown(*(self.home.refs[at] for at in chosen))
        wanted[0] = wanted[0]._replace(shown_fen=wanted[0].shown_fen + off_fen)
        open_fen = sum(max(bill.shown_fen, 0) for bill in wanted)
        try:
            payment = a_payment(self.home, wanted=wanted, now=self.tick())
        except Conflict:
            return multiple()
        assert off_fen == 0
        assert payment.amount_fen == open_fen
        return payment

    @rule(
        payment=payments,
        status=st.sampled_from(GatewayStatus),
        off_fen=st.sampled_from([0, 0, 0, -1, 1]),
        ref=st.sampled_from(["", "", "-another"]),
    )
    def hear(self, payment, status, off_fen, ref):
        facts = {"gateway_ref": f"ref-{payment.order_no}{ref}"}
        if status is GatewayStatus.PAID:
            facts["amount_fen"] = payment.amount_fen + off_fen
        was = self.fresh(payment).status
        try:
            book(payment, status, now=self.tick(), **facts)
        except AmountMismatch:
            assert off_fen != 0
        except IllegalTransition:
            assert was is PaymentStatus.PAID
        after = self.fresh(payment).status
        assert after is PaymentStatus.PAID or was is not PaymentStatus.PAID

    @staticmethod
    def fresh(payment: Payment) -> Payment:
        with transaction() as session:
            return session.get_one(Payment, payment.id)

    @rule(
        payment=payments, at=st.integers(0, 3), reply=st.sampled_from([ACCEPTED, REFUSED, NO_WORD])
    )
    def company_answers(self, payment, at, reply):
        items = items_of(payment)
        item = items[at % len(items)]
        try:
            with transaction() as session:
                write_offs.book(session, item.write_off_no, reply, now=self.tick())
        except IllegalTransition:
            assert item.outcome not in {"paid"}

    @rule(times=st.integers(1, 2))
    def refund_is_sent(self, times):
        with transaction() as session:
            asked = text("SELECT refund_no FROM refund ORDER BY status, refund_no LIMIT 1")
            number = session.execute(asked).scalar_one_or_none()
        for _ in range(times if number else 0):
            with transaction() as session:
                refunds.book(session, number, RefundReply(succeeded=True), now=self.tick())

    @rule(at=st.integers(0, 3), amount_fen=st.sampled_from([8_650, 8_651, 1, 0, -3]))
    def correct(self, at, amount_fen):
        self.version += 1
        before = the_bill(self.home.refs[at])
        result = self.home.correct(at, version=self.version, amount_fen=amount_fen, now=self.tick())
        frozen = before.paid_fen > 0 or before.held_by is not None
        assert (result.rejected, result.superseded) == ((1, 0) if frozen else (0, 1))

    @rule(at=st.integers(0, 3))
    def cancel(self, at):
        self.version += 1
        before = the_bill(self.home.refs[at])
        result = self.home.cancel(at, version=self.version, now=self.tick())
        if before.cancelled_at is not None:
            assert result.unchanged == 1
        elif before.paid_fen > 0 or before.held_by is not None:
            assert result.rejected == 1
        else:
            assert result.cancelled == 1

    @rule(payment=consumes(payments))
    def forget(self, payment):
        """Nothing more is ever heard of this one."""

    @invariant()
    def the_books_hold(self) -> None:
        if hasattr(self, "home"):
            assert violations() == []

    @invariant()
    def money_taken_is_on_a_bill_or_on_its_way_back(self) -> None:
        with transaction() as session:
            taken, kept, returning, returned = session.execute(
                text("""
                    SELECT (SELECT coalesce(sum(amount_fen), 0) FROM payment WHERE status = 'paid'),
                           (SELECT coalesce(sum(paid_fen), 0) FROM bill),
                           (SELECT coalesce(sum(amount_fen), 0) FROM refund
                            WHERE status = 'requested'),
                           (SELECT coalesce(sum(amount_fen), 0) FROM refund
                            WHERE status = 'succeeded')
                """)
            ).one()
        assert taken == kept + returning + returned


@pytest.mark.usefixtures("city")
def test_the_books_hold_whatever_happens():
    run_state_machine_as_test(
        City,
        settings=settings(
            max_examples=10,
            stateful_step_count=16,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )


@pytest.mark.usefixtures("city")
def test_empty_books_hold():
    assert violations() == []
