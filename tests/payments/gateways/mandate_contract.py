"""What every gateway that debits keeps besides: asking leave, ending it, taking money by it.

A gateway with ``Debiting`` is brought under test by a subclass of ``MandateContract`` with the same
fixture ``far`` as ``GatewayContract`` has, whose ``FarSide.decide`` is the payer.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.clock import utc_now
from core.errors import UpstreamUnavailable
from payments.gateways.base import (
    Debiting,
    Gateway,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    RefundState,
)
from tests.payments.gateways.contract import (
    FarSide,
    a_mute,
    a_refund,
    an_order,
    asked,
    is_unknown,
    next_number,
    settled,
)
from tests.simulator.conftest import Shop, free_port, until


def a_mandate(shop: Shop | None = None, **changes: object) -> MandateOrder:
    facts = {
        "mandate_no": f"M2611{next_number():012d}",
        "maximum_fen": 20_000,
        "subject": "水电燃气通信账单代扣 Autopay of utility bills",
        "notify_url": shop.notify_url if shop else "http://127.0.0.1:9/nobody",
        "return_url": "http://127.0.0.1:9/autopay/1",
        "asked_at": utc_now(),
    }
    return MandateOrder(**facts | changes)


class MandateContract:
    """What a gateway with ``Debiting`` keeps besides; subclass me with the same ``far``."""

    def active(self, far: FarSide, shop: Shop | None = None, **changes: object):
        order = a_mandate(shop, **changes)
        far.decide(order, far.gateway.sign_mandate(order), "agree")
        told = far.gateway.query_mandate(order.mandate_no, None)
        assert told.state is MandateState.ACTIVE
        assert told.mandate_ref
        return order, told

    def debited(self, far: FarSide, told: MandateReply, **changes: object):
        order = an_order(channel="autopay", **changes)
        reply = far.gateway.debit(order, mandate_ref=told.mandate_ref)
        until(lambda: far.gateway.query(asked(order, reply)).status is not GatewayStatus.OPEN)
        return order, far.gateway.query(asked(order, reply))

    def test_it_debits_on_the_channel_of_autopay(self, far):
        assert isinstance(far.gateway, Debiting)
        assert "autopay" in far.gateway.capabilities.channels

    def test_asking_for_leave_is_idempotent_and_says_where_it_is_given(self, far):
        order = a_mandate()

        first, again = far.gateway.sign_mandate(order), far.gateway.sign_mandate(order)

        assert first.state is again.state is MandateState.OPEN
        assert first.sign_url
        assert first.mandate_ref == again.mandate_ref
        assert far.gateway.query_mandate(order.mandate_no, None).state is MandateState.OPEN

    def test_a_mandate_it_never_heard_of_is_told_apart_from_not_knowing(self, far):
        assert far.gateway.query_mandate("M0", None).state is MandateState.NOT_FOUND

    @pytest.mark.parametrize(
        ("choice", "state"), [("agree", MandateState.ACTIVE), ("refuse", MandateState.REFUSED)]
    )
    def test_a_query_tells_what_the_payer_decided(self, far, choice, state):
        if choice not in far.decisions:
            return
        order = a_mandate()

        far.decide(order, far.gateway.sign_mandate(order), choice)

        assert far.gateway.query_mandate(order.mandate_no, None).state is state

    def test_an_ended_mandate_stays_ended_and_takes_no_more_money(self, far):
        order, told = self.active(far)

        ends = [far.gateway.end_mandate(order.mandate_no, told.mandate_ref) for _ in range(2)]

        assert {one.state for one in ends} == {MandateState.ENDED}
        asked_again = far.gateway.query_mandate(order.mandate_no, told.mandate_ref)
        assert asked_again.state is MandateState.ENDED
        late = far.gateway.debit(an_order(channel="autopay"), mandate_ref=told.mandate_ref)
        assert late.status is GatewayStatus.REFUSED
        assert (late.reason or "").startswith("mandate_ended")

    def test_a_debit_takes_the_money_once_however_often_it_is_asked_for(self, far):
        _, told = self.active(far)
        order = an_order(channel="autopay")

        with ThreadPoolExecutor(4) as pool:
            replies = list(
                pool.map(lambda _: far.gateway.debit(order, mandate_ref=told.mandate_ref), range(4))
            )

        until(lambda: far.gateway.query(asked(order)).status is GatewayStatus.PAID)
        found = far.gateway.query(asked(order))
        refs = {one.gateway_ref for one in replies if one.status is not GatewayStatus.UNKNOWN}
        assert refs == {found.gateway_ref}
        assert found.amount_fen == order.amount_fen

    def test_what_was_debited_can_be_sent_back(self, far):
        if far.gateway.capabilities.refund_days == 0:
            return
        _, told = self.active(far)
        order, paid = self.debited(far, told)

        assert settled(far.gateway, a_refund(order, paid)).state is RefundState.SENT

    def test_want_of_funds_is_a_no_that_may_be_tried_again(self, far):  # rule 43
        if "short" not in far.decisions:
            return
        order, told = self.active(far)
        far.decide(order, told, "short")

        reply = far.gateway.debit(an_order(channel="autopay"), mandate_ref=told.mandate_ref)

        assert reply.status is GatewayStatus.REFUSED
        assert not (reply.reason or "").startswith("mandate_ended")
        if "pays" in far.decisions:
            far.decide(order, told, "pays")
            assert self.debited(far, told)[1].status is GatewayStatus.PAID

    def test_one_that_its_payer_ended_there_says_so(self, far, shop):  # rule 43
        if "end" not in far.decisions:
            return
        shop.speak(far.gateway)
        order, told = self.active(far, shop)

        far.decide(order, told, "end")

        assert far.gateway.query_mandate(order.mandate_no, None).state is MandateState.ENDED
        reply = far.gateway.debit(an_order(channel="autopay"), mandate_ref=told.mandate_ref)
        assert (reply.reason or "").startswith("mandate_ended")
        until(lambda: any(one.reference == order.mandate_no for one in self.of_mandates(far, shop)))

    def of_mandates(self, far: FarSide, shop: Shop) -> list:
        read = [
            far.gateway.read_callback(headers, body.encode(), now=utc_now())
            for headers, body in list(shop.received)
        ]
        return [one for one in read if one is not None and one.kind == "mandate"]

    @pytest.mark.parametrize("fault", ["silent", "error"])
    def test_a_debit_whose_answer_was_lost_is_found_by_asking(self, far, fault):  # rule 25
        _, told = self.active(far)
        order = an_order(channel="autopay")
        far.fault(order.order_no, fault)

        lost = far.gateway.debit(order, mandate_ref=told.mandate_ref)

        assert lost.status is GatewayStatus.UNKNOWN
        assert far.gateway.query(asked(order)).status is GatewayStatus.PAID

    def test_when_it_is_down_or_mute_nothing_is_known(self, far):
        def calls(gateway: Gateway) -> list[Callable[[], GatewayReply | MandateReply]]:
            return [
                lambda: gateway.sign_mandate(a_mandate(mandate_no="M1")),
                lambda: gateway.query_mandate("M1", "ref-1"),
                lambda: gateway.end_mandate("M1", "ref-1"),
                lambda: gateway.debit(an_order(order_no="CB1"), mandate_ref="ref-1"),
            ]

        for call in calls(far.at(f"http://127.0.0.1:{free_port()}")):
            with pytest.raises(UpstreamUnavailable):
                call()
        with a_mute() as url, ThreadPoolExecutor(4) as pool:
            replies = [pool.submit(call) for call in calls(far.at(url))]
            assert all(is_unknown(reply.result()) for reply in replies)
