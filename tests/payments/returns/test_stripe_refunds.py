"""A refund that Stripe sent and that failed later: through its API, its webhook and its file."""

import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from payments import callbacks
from payments.gateways.base import FileState, Order, RefundState
from payments.gateways.stripe import Stripe
from payments.models import Payment, get_payment, list_receipts
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway.matching import ReconciliationResult, reconcile
from payments.returns import chargebacks, refunds, transfers
from payments.returns.models import RefundStatus, TransferReason
from payments.settlement import book_reply
from tests.factories import a_home, a_payment, balances, violations
from tests.payments.returns.returning import (
    a_wish,
    approve,
    confirm,
    propose,
    refunds_of,
    staff,
)
from tests.simulator.conftest import SECRET, Shop, Simulator, shop, simulator, until

__all__ = ["shop", "simulator"]
pytestmark = pytest.mark.usefixtures("city")
WANTED = ["refund.created", "refund.updated", "refund.failed"]


class Town:
    """A city that takes money by Stripe, and the far side's switches."""

    def __init__(self, far: Simulator, shop: Shop) -> None:
        self.client, self.shop = far.client, shop
        url = f"{far.client.base_url}/stripe"
        self.stripe = Stripe(f"sk_test_{SECRET}", f"whsec_{SECRET}", url)
        self.gateways = {"stripe": self.stripe}
        self.client.post(
            "/stripe/v1/webhook_endpoints", headers={"Authorization": f"Bearer sk_test_{SECRET}"},
            data={"url": shop.notify_url, "enabled_events[]": WANTED},
        )  # fmt: skip

    def paid(self) -> Payment:
        """Return a payment that its companies have confirmed."""
        now = utc_now()
        payment = a_payment(a_home(8_650, now=now), gateway="stripe", now=now)
        order = Order(
            order_no=payment.order_no, amount_fen=8_650, subject="Bills", notify_url="",
            return_url="http://127.0.0.1:9/back", expires_at=now + timedelta(minutes=30),
            asked_at=now,
        )  # fmt: skip
        opened = self.stripe.open_order(order)
        assert self.client.post(opened.pay_url or "", json={"choice": "yes"}).status_code == 303
        with transaction() as session:
            book_reply(session, payment.id, opened, now=now)
            fresh = get_payment(session, payment.id)
        told = self.stripe.query(fresh.asked())
        with transaction() as session:
            book_reply(session, payment.id, told, now=utc_now())
        confirm(payment)
        return payment

    def refunded(self, payment: Payment, fault: str) -> str:
        """Send all of it back, while something goes wrong there; returns the refund's number."""
        switched = {"order_no": payment.order_no, "fault": fault}
        assert self.client.post("/stripe/faults", json=switched).status_code == 200
        one, other = staff()
        refund = propose(a_wish(payment), one)
        approve(refund, other)
        refunds.send(refund.refund_no, self.gateways, now=utc_now())
        return refund.refund_no

    def hear(self, number: str) -> None:
        """Wait until a webhook tells that the refund failed, and act on all that came of it."""
        until(lambda: any("refund.failed" in b and number in b for _, b in self.shop.received))
        kept = 0
        for headers, body in self.shop.received:
            kept += callbacks.receive(self.stripe, headers, body.encode(), now=utc_now())
        assert kept

    def reconciled(self) -> ReconciliationResult:
        day = billing_date(utc_now())
        until(lambda: self.stripe.fetch_settlement(day).state is FileState.READY)
        file = self.client.get(f"/stripe/downloads/{day}.csv").content
        with transaction() as session:
            return reconcile(
                session, self.stripe, io.BytesIO(file), day=day, file_name="s.csv", now=utc_now()
            )


@pytest.fixture
def town(simulator: Simulator, shop: Shop) -> Iterator[Town]:
    town = Town(simulator, shop)
    yield town
    town.stripe.hang_up()


def act_on_callbacks(town: Town) -> None:
    with transaction() as session:
        ids = session.execute(text("SELECT id FROM gateway_callback ORDER BY id")).scalars().all()
    for one in ids:
        assert callbacks.process(one, town.gateways, now=utc_now())


def test_one_that_had_succeeded_is_sent_again_from_our_bank_and_the_file_agrees(town):
    payment = town.paid()
    number = town.refunded(payment, "refund_comes_back")
    assert [one.status for one in refunds_of(payment)] == [RefundStatus.SUCCEEDED]

    town.hear(number)
    act_on_callbacks(town)
    act_on_callbacks(town)

    with transaction() as session:
        (back,) = list_receipts(session, payment.id)
        (transfer,) = transfers.list_waiting(session)
    assert (back.came_back_of, back.amount_fen) == (number, 8_650)
    assert (transfer.why, transfer.gateway_said) == (
        TransferReason.CAME_BACK, "expired_or_canceled_card",
    )  # fmt: skip
    assert balances()["suspense:stripe"] == -8_650
    result = town.reconciled()
    assert [one.reference for one in _differences(payment, number)] == []
    assert result.our_count >= 3
    assert violations() == []


def test_one_that_was_pending_leaves_no_difference_either(town):
    payment = town.paid()
    number = town.refunded(payment, "refund_fails")
    town.hear(number)
    act_on_callbacks(town)

    assert [one.status for one in refunds_of(payment)] == [RefundStatus.BY_TRANSFER]
    with transaction() as session:
        assert list_receipts(session, payment.id) == []
    town.reconciled()
    assert _differences(payment, number) == []


def test_when_nobody_told_us_the_file_does_and_the_gateway_says_since_when(town):
    payment = town.paid()
    number = town.refunded(payment, "refund_comes_back")
    until(lambda: any("refund.failed" in body for _, body in town.shop.received))

    town.reconciled()
    (found,) = _differences(payment, number)
    assert (found.kind.value, found.ours_fen, found.theirs_fen) == ("amount_differs", -8_650, 0)
    assert refunds.look(number, town.stripe, utc_now())

    town.reconciled()
    assert _differences(payment, number) == []


def _differences(payment: Payment, number: str) -> list:
    with transaction() as session:
        found = list_breaks(session, "stripe", billing_date(utc_now()))
    return [one for one in found if one.reference in {payment.order_no, number}]


def test_what_failed_before_it_was_sent_and_after_both_say_when_the_money_was_back(town):
    for fault, was_sent in (("refund_fails", False), ("refund_comes_back", True)):
        payment = town.paid()
        number = town.refunded(payment, fault)
        refund = refunds_of(payment)[0]
        order = refund.order(_fresh(payment))
        until(lambda: town.stripe.query_refund(order).state is RefundState.REFUSED)  # noqa: B023

        reply = town.stripe.query_refund(order)

        assert reply.came_back_at is not None
        assert abs(reply.came_back_at - utc_now()) < timedelta(seconds=30)
        assert (refund.status is RefundStatus.SUCCEEDED) is was_sent
        assert refund.refund_no == number


@pytest.mark.parametrize(
    ("won", "end"), [(True, RefundStatus.SUCCEEDED), (False, RefundStatus.CHARGED_BACK)]
)
def test_a_dispute_it_hears_of_before_we_do_makes_no_second_way_back(town, won, end):
    payment = town.paid()
    dispute = town.client.post("/stripe/disputes", json={"order_no": payment.order_no}).json()
    one, other = staff()
    number = propose(a_wish(payment), one).refund_no
    approve(refunds_of(payment)[0], other)

    assert not refunds.send(number, town.gateways, now=utc_now())

    with transaction() as session:
        assert transfers.list_waiting(session) == []  # the payer's bank may keep what it took
    town.client.post(f"/stripe/disputes/{dispute['id']}", json={"won": won})
    town.client.post("/stripe/forget")
    chargebacks.look(dispute["id"], town.stripe, utc_now())
    refunds.send(number, town.gateways, now=utc_now() + timedelta(days=1))
    assert chargebacks.look(dispute["id"], town.stripe, utc_now())
    assert refunds_of(payment)[0].status is end
    assert violations() == []


def _fresh(payment: Payment) -> Payment:
    with transaction() as session:
        return get_payment(session, payment.id)
