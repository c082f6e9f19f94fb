"""What every gateway keeps, held against a far side that was not written from the gateway's code.

A gateway is brought under test by a subclass of ``GatewayContract`` whose fixture ``far`` gives its
``FarSide``: how to reach it, and how a payer, a bank or a bad line behaves there. An outsider's
gateway does the same from its own test suite.
"""

import io
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from core.clock import billing_date, utc_now
from core.errors import NotAllowed, UpstreamUnavailable
from payments.gateways.base import (
    Asked,
    FileState,
    Gateway,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
    RefundOrder,
    RefundReply,
    RefundState,
    Scene,
)
from tests.simulator.conftest import Shop, free_port, until

ANSWER_WITHIN_SECONDS = 6
_numbers = count(int(time.time()) % 1_000_000 * 1_000)


@dataclass
class FarSide:
    """A gateway's far side, as the contract needs it."""

    gateway: Gateway
    at: Callable[[str], Gateway]  # the same gateway, told of another address
    # (order, its reply, choice) as the payer: yes, no, late, nothing or twice; "late" is a "yes"
    # whose callback comes late, "nothing" one whose callback never comes.
    choose: Callable[[Order, GatewayReply, str], None]
    settlement: Callable[[], bytes]  # of today
    # What goes wrong next with an order of this number: "silent" and "error" are no answer and a
    # 500 after the far side has acted, "other_amount" is one fen more taken than was asked.
    fault: Callable[[str, str], None]
    close: Callable[[], None] = lambda: None  # every connection of these tests
    choices: frozenset[str] = field(default=frozenset({"yes", "no", "late", "nothing", "twice"}))
    changed: Callable[[str], str] = lambda body: body.replace("8650", "8651")  # a forged callback
    # Of a gateway that debits, (mandate, its reply, choice) as the payer: agree or refuse; once
    # agreed: short (of money from now on), pays (again) or end (at the gateway).
    decide: Callable[[MandateOrder, MandateReply, str], None] = lambda *_: None
    decisions: frozenset[str] = field(default=frozenset({"agree", "refuse", "short", "end"}))
    scene: Scene = Scene.DESKTOP  # one in which the gateway must be asked to open an order


def next_number() -> int:
    return next(_numbers)


def an_order(shop: Shop | None = None, **changes: object) -> Order:
    facts = {
        "order_no": f"CB2611{next_number():012d}",
        "amount_fen": 8_650,
        "subject": "水电燃气通信账单 Utility bills",
        "notify_url": shop.notify_url if shop else "http://127.0.0.1:9/nobody",
        "return_url": "http://127.0.0.1:9/payments/1",
        "expires_at": utc_now() + timedelta(minutes=30),
        "asked_at": utc_now(),
    }
    return Order(**facts | changes)


def asked(order: Order, reply: GatewayReply | None = None) -> Asked:
    """Return what we know of an order; without a reply, its answer never came."""
    return Asked(
        order_no=order.order_no, amount_fen=order.amount_fen, asked_at=order.asked_at,
        mode=order.mode, gateway_ref=reply.gateway_ref if reply else None,
    )  # fmt: skip


def a_refund(order: Order, told: GatewayReply, **changes: object) -> RefundOrder:
    facts = {
        "refund_no": f"R{order.order_no}",
        "amount_fen": order.amount_fen,
        "reason": "the company did not take the payment",
        "asked_at": utc_now(),
        "paid": asked(order, told),
    }
    return RefundOrder(**facts | changes)


def settled(gateway: Gateway, order: RefundOrder) -> RefundReply:
    """Ask for a refund until the gateway has an answer to it."""
    reply = gateway.refund(order)
    deadline = time.monotonic() + 5
    while reply.state is RefundState.PENDING:
        assert time.monotonic() < deadline, "it stays pending"
        time.sleep(0.05)
        reply = gateway.query_refund(order)
    return reply


class GatewayContract:
    """Subclass me with a fixture ``far`` that gives a FarSide."""

    def opened(self, far: FarSide, shop: Shop | None = None, **changes: object):
        order = an_order(shop, **{"scene": far.scene} | changes)
        return order, far.gateway.open_order(order)

    def paid(self, far: FarSide, shop: Shop | None = None, **changes: object):
        order, opened = self.opened(far, shop, **changes)
        far.choose(order, opened, "nothing")
        told = far.gateway.query(asked(order, opened))
        assert told.status is GatewayStatus.PAID
        return order, told

    def test_it_says_what_it_can_do(self, far):
        can = far.gateway.capabilities
        assert can.modes
        assert can.channels
        assert can.minimum_fen >= 1
        assert can.maximum_fen is None or can.maximum_fen >= can.minimum_fen

    def test_opening_is_idempotent_and_says_how_to_pay(self, far):
        order = an_order(scene=far.scene)

        first, again = far.gateway.open_order(order), far.gateway.open_order(order)

        assert first.status is again.status is GatewayStatus.OPEN
        assert first.gateway_ref == again.gateway_ref
        assert first.pay_url or first.pay_code or first.pay_fields

    def test_another_amount_under_the_same_number_never_becomes_a_yes(self, far):
        order, _ = self.opened(far)

        answer = far.gateway.open_order(replace(order, amount_fen=order.amount_fen + 1))

        assert answer.status in {GatewayStatus.UNKNOWN, GatewayStatus.REFUSED}

    def test_an_order_it_never_heard_of_is_told_apart_from_not_knowing(self, far):
        never = asked(an_order())

        assert far.gateway.query(never).status is GatewayStatus.NOT_FOUND
        assert far.gateway.close(never).status is GatewayStatus.NOT_FOUND

    @pytest.mark.parametrize("choice", ["yes", "no", "late", "nothing", "twice"])
    def test_a_query_tells_what_the_payer_did(self, far, choice):  # rule 33
        if choice not in far.choices:
            return
        order, opened = self.opened(far)
        ended = {GatewayStatus.REFUSED, GatewayStatus.OPEN, GatewayStatus.CLOSED}

        far.choose(order, opened, choice)

        if choice == "no":
            assert far.gateway.query(asked(order, opened)).status in ended
            return
        until(lambda: far.gateway.query(asked(order, opened)).status is GatewayStatus.PAID)
        told = far.gateway.query(asked(order, opened))
        assert told.gateway_ref
        assert told.amount_fen == order.amount_fen
        assert told.paid_at is not None
        assert abs(told.paid_at - datetime.now(UTC)) < timedelta(seconds=30)

    def test_a_closed_order_stays_closed(self, far):
        if not far.gateway.capabilities.closes:
            return
        order, opened = self.opened(far)

        answers = [far.gateway.close(asked(order, opened)) for _ in range(2)]

        assert {answer.status for answer in answers} == {GatewayStatus.CLOSED}
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.CLOSED

    def test_a_close_after_the_payer_was_faster_says_paid(self, far):
        if not far.gateway.capabilities.closes:
            return
        order, paid = self.paid(far)

        told = far.gateway.close(asked(order, paid))

        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, order.amount_fen)

    def test_a_refund_is_sent_once_however_often_it_is_asked_for(self, far):
        if far.gateway.capabilities.refund_days == 0:
            return
        order, paid = self.paid(far)
        refund = a_refund(order, paid)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: settled(far.gateway, refund), range(8)))

        sent = [one for one in found if one.state is RefundState.SENT]
        assert sent
        assert len({one.refund_ref for one in sent}) == 1
        final = far.gateway.query_refund(refund)
        assert (final.state, final.refund_ref) == (RefundState.SENT, sent[0].refund_ref)
        assert final.refunded_at is not None
        more = a_refund(order, paid, refund_no=f"{refund.refund_no}B", amount_fen=1)
        assert far.gateway.refund(more).state is RefundState.REFUSED

    def test_more_than_was_paid_is_refused_for_good(self, far):  # rule 44
        if far.gateway.capabilities.refund_days == 0:
            return
        order, paid = self.paid(far)

        for letter, amount_fen in (("a", 8_651), ("b", 8_650), ("c", 1)):
            number = f"R{order.order_no}{letter}"
            refund = a_refund(order, paid, refund_no=number, amount_fen=amount_fen)
            reply = settled(far.gateway, refund)
            assert (reply.state is RefundState.SENT) is (letter == "b"), reply
            assert reply.state in {RefundState.SENT, RefundState.REFUSED}

    def test_a_part_goes_back_and_then_the_rest(self, far):
        can = far.gateway.capabilities
        if can.refund_days == 0 or not can.partial_refunds:
            return
        order, paid = self.paid(far)

        replies = [
            settled(far.gateway, a_refund(order, paid, refund_no=f"R{order.order_no}{at}",
                                          amount_fen=fen))
            for at, fen in enumerate((1_000, 7_650))
        ]  # fmt: skip

        assert [one.state for one in replies] == [RefundState.SENT] * 2
        assert len({one.refund_ref for one in replies}) == 2

    def test_an_unpaid_order_has_nothing_to_refund(self, far):
        if far.gateway.capabilities.refund_days == 0:
            return
        order, opened = self.opened(far)

        reply = far.gateway.refund(a_refund(order, opened, amount_fen=1))

        assert reply.state is RefundState.REFUSED

    def test_a_refund_it_never_heard_of_is_told_apart_from_not_knowing(self, far):
        if far.gateway.capabilities.refund_days == 0:
            return
        order, paid = self.paid(far)

        assert far.gateway.query_refund(a_refund(order, paid)).state is RefundState.NOT_FOUND

    @pytest.mark.parametrize(("choice", "times"), [("yes", 1), ("late", 1), ("twice", 2)])
    def test_what_arrives_is_read_and_is_the_same_however_often(self, far, shop, choice, times):
        if choice not in far.choices:
            return
        shop.speak(far.gateway)
        order, opened = self.opened(far, shop)

        far.choose(order, opened, choice)
        until(lambda: len(self.of_payments(far, shop)) == times)

        read = self.of_payments(far, shop)
        assert {one.reference for one in read} == {order.order_no}
        assert len({one.external_id for one in read}) == 1

    def of_payments(self, far: FarSide, shop: Shop) -> list:
        read = [
            far.gateway.read_callback(headers, body.encode(), now=utc_now())
            for headers, body in list(shop.received)
        ]
        return [one for one in read if one is not None and one.kind == "payment"]

    def test_one_that_was_not_taken_comes_again_as_the_same(self, far, shop):
        if "yes" not in far.choices:
            return
        shop.speak(far.gateway)
        shop.answers = [500, 500]
        order, opened = self.opened(far, shop)

        far.choose(order, opened, "yes")
        until(lambda: len(self.of_payments(far, shop)) == 3)

        assert len(set(self.of_payments(far, shop))) == 1

    def test_a_changed_or_old_one_is_refused(self, far, shop):
        if "yes" not in far.choices:
            return
        shop.speak(far.gateway)
        order, opened = self.opened(far, shop)
        far.choose(order, opened, "yes")
        until(lambda: bool(shop.received))
        headers, text = shop.received[0]
        assert far.changed(text) != text

        for body in (far.changed(text), text + " "):
            with pytest.raises(NotAllowed):
                far.gateway.read_callback(headers, body.encode(), now=utc_now())

    @pytest.mark.parametrize("fault", ["silent", "error"])
    def test_an_answer_that_was_lost_after_the_act_is_unknown_and_found_by_asking(
        self, far, fault
    ):  # rule 25
        order = an_order(scene=far.scene)
        far.fault(order.order_no, fault)

        lost = far.gateway.open_order(order)
        again = far.gateway.open_order(order)

        assert lost.status is GatewayStatus.UNKNOWN
        assert again.status is GatewayStatus.OPEN
        far.choose(order, again, "nothing")
        assert far.gateway.query(asked(order, again)).status is GatewayStatus.PAID

    def test_another_amount_than_we_asked_for_is_told_as_it_is(self, far):  # rule 32
        order = an_order(scene=far.scene)
        far.fault(order.order_no, "other_amount")
        opened = far.gateway.open_order(order)

        far.choose(order, opened, "nothing")

        told = far.gateway.query(asked(order, opened))
        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, order.amount_fen + 1)

    def test_the_days_file_holds_what_was_paid_and_refunded(self, far):
        if not far.gateway.capabilities.settlement_file:
            return
        (order, paid), (other, other_paid) = self.paid(far), self.paid(far, amount_fen=1_250)
        refund = a_refund(other, other_paid)
        if far.gateway.capabilities.refund_days != 0:
            settled(far.gateway, refund)
        day = billing_date(utc_now())

        rows = {
            row.reference: row
            for row in far.gateway.read_settlement(io.BytesIO(far.settlement()), day=day)
        }

        found = rows[order.order_no]
        assert (found.kind, found.amount_fen) == ("payment", 8_650)
        assert found.gateway_ref == paid.gateway_ref
        assert paid.paid_at is not None
        assert abs(found.happened_at - paid.paid_at) < timedelta(seconds=1)
        assert found.fee_fen >= 0
        if far.gateway.capabilities.refund_days != 0:
            assert (rows[refund.refund_no].kind, rows[refund.refund_no].amount_fen) == (
                "refund", -1_250,
            )  # fmt: skip

    def test_the_file_of_a_day_to_come_is_not_yet(self, far):
        if not far.gateway.capabilities.settlement_file:
            return
        tomorrow = billing_date(utc_now()) + timedelta(days=1)

        assert far.gateway.fetch_settlement(tomorrow).state is FileState.NOT_YET

    def test_a_far_side_that_is_down_was_never_asked(self, far):
        gateway = far.at(f"http://127.0.0.1:{free_port()}")

        for call in every_call(gateway, far.scene):
            with pytest.raises(UpstreamUnavailable):
                call()

    def test_one_that_never_answers_is_unknown_in_time(self, far):  # rule 25
        with a_mute() as url, ThreadPoolExecutor(5) as pool:
            started = time.monotonic()
            calls = [pool.submit(call) for call in every_call(far.at(url), far.scene)]
            replies = [call.result() for call in calls]

        assert time.monotonic() - started < ANSWER_WITHIN_SECONDS
        assert all(is_unknown(reply) for reply in replies)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>...",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"status": "new word"}',
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
            b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"status": "paid"',
            b"not HTTP at all\r\n\r\n",
            b"",
        ],
    )
    def test_garbage_is_not_knowing(self, far, answer):
        for call in range(5):
            with saying(answer) as url:
                told = every_call(far.at(url), far.scene)[call]()
            assert is_unknown(told), told


def is_unknown(reply: GatewayReply | RefundReply | MandateReply) -> bool:
    if isinstance(reply, GatewayReply):
        return reply.status is GatewayStatus.UNKNOWN
    if isinstance(reply, MandateReply):
        return reply.state is MandateState.UNKNOWN
    return reply.state is RefundState.UNKNOWN


def every_call(
    gateway: Gateway, scene: Scene = Scene.DESKTOP
) -> list[Callable[[], GatewayReply | RefundReply]]:
    order = an_order(order_no="CB1", scene=scene)
    known = asked(order, GatewayReply(status=GatewayStatus.OPEN, gateway_ref="ref-1"))
    refund = RefundOrder(
        refund_no="R1", amount_fen=1, reason="a test", asked_at=order.asked_at, paid=known
    )
    return [
        lambda: gateway.open_order(order),
        lambda: gateway.query(known),
        lambda: gateway.close(known),
        lambda: gateway.refund(refund),
        lambda: gateway.query_refund(refund),
    ]


@contextmanager
def a_mute() -> Iterator[str]:
    """Something that lets us connect and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """Something that gives this answer to whatever it is asked."""
    with socket.socket() as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)

        def hear() -> None:
            while True:  # a client that tries again hears the same again
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        pool.submit(hear)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
