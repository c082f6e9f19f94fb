"""Refunds by UnionPay, which takes only what is asked for at about this moment."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.clock import utc_now
from core.db import transaction
from payments import write_offs
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.gateways.unionpay import UnionPay
from payments.models import Payment, ReceiptState, get_payment, list_receipts
from payments.returns import refunds, suspense
from payments.returns.models import RefundStatus
from payments.settlement import book_reply
from tests.factories import REFUSED, a_home, a_payment, items_of, violations
from tests.payments.gateways.contract import an_order
from tests.payments.gateways.test_unionpay import gateway_at, press
from tests.payments.gateways.unionpay_keys import FarKeys
from tests.payments.returns.returning import refunds_of
from tests.simulator.conftest import Simulator, running

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with running(tmp_path) as simulator:
        yield simulator


@pytest.fixture
def gateway(simulator: Simulator) -> Iterator[UnionPay]:
    keys = FarKeys.make()
    keys.lay(simulator.data_dir / "keys")
    made = gateway_at(str(simulator.client.base_url).rstrip("/"), keys)
    yield made
    made.hang_up()


def paid(simulator: Simulator, gateway: UnionPay) -> tuple[Payment, GatewayReply]:
    """A payment that was made just now, and what UnionPay says of it."""
    payment = a_payment(a_home(8_650, now=utc_now()), gateway="unionpay", now=utc_now())
    order = an_order(order_no=payment.order_no, asked_at=payment.created_at)
    press(simulator.client, gateway.open_order(order), "nothing")
    with transaction() as session:
        told = gateway.query(get_payment(session, payment.id).asked())
    assert told.status is GatewayStatus.PAID
    return payment, told


def book(payment: Payment, told: GatewayReply, *, now: datetime) -> None:
    with transaction() as session:
        book_reply(session, payment.id, told, now=now)


def test_money_told_of_late_goes_back_although_it_came_hours_ago(simulator, gateway):
    payment, told = paid(simulator, gateway)
    came_at = utc_now() - timedelta(hours=5)
    book(payment, replace(told, amount_fen=8_649, paid_at=came_at), now=utc_now())
    with transaction() as session:
        [receipt] = list_receipts(session, payment.id)

    suspense.send_back(receipt.id, {"unionpay": gateway}, now=utc_now())
    suspense.send_back(receipt.id, {"unionpay": gateway}, now=utc_now() + timedelta(hours=6))

    with transaction() as session:
        [receipt] = list_receipts(session, payment.id)
    assert receipt.state is ReceiptState.RETURNED
    assert violations() == []


def test_a_refund_that_had_to_wait_is_asked_for_as_of_when_it_is_asked_for(simulator, gateway):
    payment, told = paid(simulator, gateway)
    book(payment, told, now=utc_now())
    [item] = items_of(payment)
    decided_at = utc_now() - timedelta(days=3)  # before a dispute that was won since
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=decided_at)
    [refund] = refunds_of(payment)

    refunds.send(refund.refund_no, {"unionpay": gateway}, now=utc_now())
    refunds.send(refund.refund_no, {"unionpay": gateway}, now=utc_now() + timedelta(hours=6))

    assert [one.status for one in refunds_of(payment)] == [RefundStatus.SUCCEEDED]
    assert violations() == []
