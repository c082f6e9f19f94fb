"""Refunds of a payment of several bills by WeChat Pay: each the way it came, as its rules want."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from payments import write_offs
from payments.gateways.wechatpay import WechatPay
from payments.models import Payment, get_payment
from payments.returns import refunds, transfers
from payments.returns.models import RefundStatus
from payments.settlement import book_reply
from tests.factories import REFUSED, a_home, a_payment, items_of, violations
from tests.payments.gateways.contract import an_order
from tests.payments.gateways.wechatpay_town import Town, a_town
from tests.payments.returns.returning import refunds_of

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path, refunds_apart=60) as town:  # as really
        yield town


def refused(town: Town, gateway: WechatPay, *amounts_fen: int, why: str) -> Payment:
    """A paid payment all of whose bills their company refused, in its words."""
    now = utc_now()
    payment = a_payment(a_home(*amounts_fen, now=now), gateway="wechatpay", now=now)
    order = an_order(order_no=payment.order_no, amount_fen=payment.amount_fen)
    town.choose(gateway.open_order(order), "nothing")
    with transaction() as session:
        fresh = get_payment(session, payment.id)
    told = gateway.query(fresh.asked())
    with transaction() as session:
        book_reply(session, payment.id, told, now=utc_now())
    for item in items_of(payment):
        with transaction() as session:
            no = replace(REFUSED, reason=why)
            write_offs.book(session, item.write_off_no, no, now=utc_now())
    return payment


def waiting() -> list[str]:
    with transaction() as session:
        return [one.number for one in transfers.list_waiting(session)]


def test_a_companys_long_reason_does_not_keep_money_from_going_back_the_way_it_came(town):
    gateway = town.gateway()
    payment = refused(
        town, gateway, 8_650, why="户号已于上月销户，账单不再受理，请联系营业厅办理退费" * 2
    )

    for refund in refunds_of(payment):
        refunds.send(refund.refund_no, {"wechatpay": gateway}, now=utc_now())

    assert waiting() == []
    assert violations() == []


def test_of_several_bills_one_goes_back_and_a_minute_later_the_next(town):
    gateway = town.gateway()
    payment = refused(town, gateway, 1_000, 2_000, why="销户")
    first, second = (one.refund_no for one in refunds_of(payment))
    now = utc_now()

    refunds.send(first, {"wechatpay": gateway}, now=now)
    for seconds in (0, 5, 59):
        assert not refunds.send(
            second, {"wechatpay": gateway}, now=now + timedelta(seconds=seconds)
        )

    assert waiting() == []  # nobody is asked for an account
    assert [one.status for one in refunds_of(payment)] == [
        RefundStatus.PENDING, RefundStatus.REQUESTED,
    ]  # fmt: skip
    with transaction() as session:
        asked = session.execute(text("SELECT count(asked_at) FROM refund")).scalar_one()
    assert asked == 1
