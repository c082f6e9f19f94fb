"""Money on its way back: once, by the way it came."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import NotFound, UpstreamUnavailable
from payments import write_offs
from payments.gateways.base import GatewayStatus, RefundOrder, RefundReply, RefundState
from payments.models import Payment, list_receipts
from payments.returns import refunds, suspense, transfers
from payments.returns.desk import case_of
from payments.returns.models import Refund, RefundStatus, TransferReason, list_refunds
from payments.returns.ways_back import is_about_to_shut
from payments.states import Outcome
from payments.views import PublicStatus, view
from tests.conftest import as_owner
from tests.factories import (
    AWAY,
    CAN,
    NOW,
    REFUSED,
    FarGateway,
    a_home,
    a_paid_payment,
    at_once,
    balances,
    book,
    items_of,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
SENT = RefundReply(
    state=RefundState.SENT, refund_ref="sent-1", refunded_at=NOW + timedelta(hours=1)
)
UNKNOWN = RefundReply(state=RefundState.UNKNOWN)


def a_refund(*amounts_fen: int) -> tuple[Payment, str]:
    """A paid payment whose first bill its company refused."""
    payment = a_paid_payment(a_home(*amounts_fen))
    item = items_of(payment)[0]
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
        number = session.execute(text("SELECT refund_no FROM refund")).scalar_one()
    return payment, number


def the_refund(number: str) -> Refund:
    with transaction() as session:
        return refunds.get_refund(session, number)


def public(payment: Payment) -> PublicStatus:
    with transaction() as session:
        fresh = session.get_one(Payment, payment.id)
        return view(session, fresh, gateway_name="", today=NOW.date()).public_status


class TestSend:
    def test_a_refund_is_sent_and_booked_on_the_gateways_day(self):  # rule 44
        payment, number = a_refund(8_650)
        assert public(payment) is PublicStatus.PAID
        gateway = FarGateway(refund_replies=[SENT])

        assert refunds.send(number, {"sandbox": gateway}, now=NOW)

        assert public(payment) is PublicStatus.RETURNED
        assert gateway.asked == [("refund 8650", number)]
        refund = the_refund(number)
        assert (refund.status, refund.gateway_ref, refund.succeeded_at) == (
            RefundStatus.SUCCEEDED, "sent-1", SENT.refunded_at,
        )  # fmt: skip
        assert {item.outcome for item in items_of(payment)} == {Outcome.RETURNED}
        assert "returns" not in balances()
        assert "gateway:sandbox" not in balances()
        assert topics(like="refund.%") == ["refund.requested", "refund.succeeded"]
        assert violations() == []

    def test_only_the_refused_bills_money_goes_back(self):
        payment, number = a_refund(1_000, 2_000)

        refunds.send(number, {"sandbox": FarGateway(refund_replies=[SENT])}, now=NOW)

        assert balances()["gateway:sandbox"] == 2_000
        assert public(payment) is PublicStatus.PARTLY_RETURNED
        assert violations() == []

    def test_once_it_is_sent_the_gateway_is_not_asked_again(self):
        _, number = a_refund(8_650)
        gateway = FarGateway(refund_replies=[SENT])

        assert refunds.send(number, {"sandbox": gateway}, now=NOW)
        assert refunds.send(number, {"sandbox": gateway}, now=NOW)

        assert len(gateway.asked) == 1

    def test_without_word_it_stays_under_way_and_is_asked_for_again(self):
        payment, number = a_refund(8_650)
        gateway = FarGateway(refund_replies=[UNKNOWN, AWAY, SENT])

        assert not refunds.send(number, {"sandbox": gateway}, now=NOW)
        with pytest.raises(UpstreamUnavailable):
            refunds.send(number, {"sandbox": gateway}, now=NOW)
        assert the_refund(number).status is RefundStatus.PENDING
        assert {item.outcome for item in items_of(payment)} == {Outcome.RETURNING}
        assert violations() == []
        assert refunds.send(number, {"sandbox": gateway}, now=NOW)

        assert set(gateway.asked) == {("refund 8650", number)}

    def test_what_a_gateway_refuses_for_good_waits_for_a_transfer_by_staff(self):
        payment, number = a_refund(8_650)
        far = FarGateway(refund_replies=[RefundReply(state=RefundState.REFUSED, reason="closed")])

        assert refunds.send(number, {"sandbox": far}, now=NOW)
        assert refunds.send(number, {"sandbox": far}, now=NOW)  # it is not asked again

        assert the_refund(number).status is RefundStatus.BY_TRANSFER
        with transaction() as session:
            (transfer,) = transfers.list_waiting(session)
        assert (transfer.number, transfer.amount_fen, transfer.why, transfer.gateway_said) == (
            number, 8_650, TransferReason.REFUSED, "closed",
        )  # fmt: skip
        assert {item.outcome for item in items_of(payment)} == {Outcome.RETURNING}
        assert balances()["returns"] == -8_650
        assert topics(like="transfer.%") == ["transfer.opened"]
        assert violations() == []

    def test_several_of_one_order_are_asked_for_as_far_apart_as_their_gateway_wants(self):
        payment = a_paid_payment(a_home(1_000, 2_000))
        book(payment, GatewayStatus.PAID, amount_fen=3_000, gateway_ref="again")
        for item in items_of(payment):
            with transaction() as session:
                write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
        with transaction() as session:
            [receipt] = list_receipts(session, payment.id)
            numbers = [one.refund_no for one in list_refunds(session, payment.id)]
        can = replace(CAN, refunds_apart=timedelta(minutes=1))
        far = FarGateway(capabilities=can, refund_replies=[UNKNOWN] * 3)
        sends = {one: partial(refunds.send, one, {"sandbox": far}) for one in numbers}
        sends[f"S{receipt.id}"] = partial(suspense.send_back, receipt.id, {"sandbox": far})

        for minute in (0, 1, 2):
            for seconds in (0, 59):
                asked = {number for _, number in far.asked}
                left = [send for number, send in sends.items() if number not in asked]
                at = NOW + timedelta(minutes=minute, seconds=seconds)
                at_once([partial(send, now=at) for send in left])
                assert len(far.asked) == minute + 1

    def test_a_number_nobody_made_is_not_found(self):
        with pytest.raises(NotFound):
            refunds.send("R0", {}, now=NOW)

    def test_sixteen_threads_book_a_refund_once(self):
        _, number = a_refund(8_650)

        def sent() -> None:
            with transaction() as session:
                refunds.book(session, number, SENT, now=NOW)

        assert at_once([sent] * 16) == [None] * 16
        assert topics(like="refund.succeeded") == ["refund.succeeded"]
        assert violations() == []


@dataclass
class Slow(FarGateway):
    """Tells a refund asked for from one asked about."""

    def query_refund(self, order: RefundOrder) -> RefundReply:
        self.asked.append(("query", order.refund_no))
        reply = self.refund_replies.pop(0)
        assert isinstance(reply, RefundReply)
        return reply


PENDING = RefundReply(state=RefundState.PENDING)
NEVER_HEARD = RefundReply(state=RefundState.NOT_FOUND)


class TestAsking:
    """Rules 25 and 28: asked for once, then asked about, always under the same number."""

    def test_a_pending_refund_is_asked_about_until_it_is_sent(self):
        _, number = a_refund(8_650)
        far = Slow(refund_replies=[PENDING, PENDING, UNKNOWN, SENT])

        answers = [refunds.send(number, {"sandbox": far}, now=NOW) for _ in range(4)]

        assert answers == [False, False, False, True]
        assert [act for act, _ in far.asked] == ["refund 8650", "query", "query", "query"]

    def test_one_the_gateway_never_heard_of_is_asked_for_again(self):
        _, number = a_refund(8_650)
        far = Slow(refund_replies=[AWAY, NEVER_HEARD, SENT])
        with pytest.raises(UpstreamUnavailable):
            refunds.send(number, {"sandbox": far}, now=NOW)

        assert refunds.send(number, {"sandbox": far}, now=NOW)

        assert far.asked == [("refund 8650", number), ("query", number), ("refund 8650", number)]

    def test_a_no_while_the_first_asking_may_still_be_under_way_is_not_believed(self):
        """They reserve the money at once, and find the refund only when they have made it."""
        _, number = a_refund(8_650)
        no = RefundReply(state=RefundState.REFUSED, reason="more than is left")
        far = FarGateway(refund_replies=[UNKNOWN, NEVER_HEARD, no, SENT])

        for seconds in (0, 5, 60):
            refunds.send(number, {"sandbox": far}, now=NOW + timedelta(seconds=seconds))

        with transaction() as session:
            assert transfers.list_waiting(session) == []
        assert the_refund(number).status is RefundStatus.SUCCEEDED
        assert violations() == []

    def test_a_no_that_stays_one_is_believed_a_minute_later(self):
        _, number = a_refund(8_650)
        no = RefundReply(state=RefundState.REFUSED, reason="the trade is finished")
        far = FarGateway(refund_replies=[UNKNOWN, NEVER_HEARD, no, NEVER_HEARD, no])

        for seconds in (0, 5, 60):
            refunds.send(number, {"sandbox": far}, now=NOW + timedelta(seconds=seconds))

        assert the_refund(number).status is RefundStatus.BY_TRANSFER

    @pytest.mark.parametrize(
        ("age", "seconds"),
        [(timedelta(0), 5), (timedelta(minutes=30), 60), (timedelta(hours=5), 3_600),
         (timedelta(days=9), 21_600)],
    )  # fmt: skip
    def test_it_is_asked_about_more_and_more_seldom(self, age, seconds):
        _, number = a_refund(8_650)
        refunds.send(number, {"sandbox": Slow(refund_replies=[PENDING])}, now=NOW)

        assert refunds.ask_again_seconds(number, now=NOW + age) == seconds

    def test_news_of_it_makes_us_ask_and_changes_nothing_by_itself(self):
        _, number = a_refund(8_650)
        far = Slow(refund_replies=[PENDING, UNKNOWN, SENT])
        assert refunds.look(number, far, NOW)  # before it was asked for: there can be no news
        assert far.asked == []
        refunds.send(number, {"sandbox": far}, now=NOW)

        assert not refunds.look(number, far, NOW)
        assert the_refund(number).status is RefundStatus.PENDING
        assert refunds.look(number, far, NOW)
        assert the_refund(number).status is RefundStatus.SUCCEEDED

    def test_another_gateways_news_is_none(self):
        _, number = a_refund(8_650)

        with pytest.raises(NotFound):
            refunds.look(number, FarGateway(code="other"), NOW)
        with pytest.raises(NotFound):
            refunds.look("R0", FarGateway(), NOW)

    def test_sixteen_threads_that_ask_send_it_once(self):
        _, number = a_refund(8_650)
        far = FarGateway(refund_replies=[SENT] * 16)

        found = at_once([lambda: refunds.send(number, {"sandbox": far}, now=NOW)] * 16)

        assert found == [True] * 16
        assert topics(like="refund.succeeded") == ["refund.succeeded"]
        assert violations() == []

    def test_a_gateway_that_sends_it_after_its_no_is_believed_and_the_transfer_dropped(self):
        payment, number = a_refund(8_650)
        refused = RefundReply(state=RefundState.REFUSED)
        far = FarGateway(refund_replies=[refused, SENT])
        refunds.send(number, {"sandbox": far}, now=NOW)

        assert refunds.look(number, far, NOW)

        assert public(payment) is PublicStatus.RETURNED
        with transaction() as session:
            assert transfers.list_waiting(session) == []
        assert violations() == []


def a_gateway(**changes: Any) -> FarGateway:
    return FarGateway(capabilities=replace(CAN, **changes), refund_replies=[SENT] * 3)


class TestWays:
    """Rules 45 and 46: how money goes back depends on the method and on the gateway's window."""

    @pytest.mark.parametrize(
        ("changes", "days_on", "why"),
        [
            ({"refund_days": 0}, 0, TransferReason.NEVER),
            ({"refund_days": 60}, 61, TransferReason.WINDOW_SHUT),
            ({"refund_days": 60}, 60, None),
            ({"refund_days": None}, 5_000, None),
            ({"partial_refunds": False}, 0, TransferReason.NO_PARTS),
            ({"max_refunds": 0}, 0, TransferReason.TOO_MANY),
            ({"max_refunds": 1}, 0, None),
        ],
    )
    def test_what_a_gateway_cannot_send_goes_by_transfer(self, changes, days_on, why):
        _, number = a_refund(1_000, 2_000)
        far = a_gateway(**changes)

        assert refunds.send(number, {"sandbox": far}, now=NOW + timedelta(days=days_on))

        with transaction() as session:
            assert [one.why for one in transfers.list_waiting(session)] == ([why] if why else [])
        assert bool(far.asked) is (why is None)
        assert violations() == []

    def test_cash_always_goes_by_transfer(self):
        _, number = a_refund(8_650)
        with as_owner() as connection:
            connection.execute(text("UPDATE payment SET mode = 'cash'"))
        far = a_gateway()

        assert refunds.send(number, {"sandbox": far}, now=NOW)

        assert (the_refund(number).status, far.asked) == (RefundStatus.BY_TRANSFER, [])

    def test_so_does_what_came_by_a_gateway_that_is_gone(self):
        _, number = a_refund(8_650)

        assert refunds.send(number, {}, now=NOW)

        with transaction() as session:
            assert [one.why for one in transfers.list_waiting(session)] == [
                TransferReason.NO_GATEWAY
            ]

    @pytest.mark.parametrize(
        ("days_left", "warned"), [(8, False), (7, True), (1, True), (0, True), (-1, False)]
    )
    def test_a_window_about_to_shut_is_warned_of(self, days_left, warned):
        now = NOW + timedelta(days=60 - days_left)

        assert is_about_to_shut(replace(CAN, refund_days=60), NOW, now=now) is warned

    def test_its_last_day_is_the_citys(self):
        payment, number = a_refund(8_650)
        with as_owner() as connection:  # one in the morning of the 20th in Shanghai
            connection.execute(text("UPDATE payment SET paid_at = '2026-11-19 17:00+00'"))
        far = a_gateway(refund_days=60)

        with transaction() as session:
            fresh = session.get_one(Payment, payment.id)
            refund = refunds.get_refund(session, number)
            case = case_of(session, refund, fresh, {"sandbox": far}, now=NOW)

        assert case.shuts_on == date(2027, 1, 19)
