"""What every installed gateway keeps, held against a far side that nobody of ours wrote for it.

A gateway is brought under test by an entry in ``FAR_SIDES``: how to reach its far side, and how a
payer, a merchant's bank or a thief behaves there.
"""

import io
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from itertools import count

import pytest

from core.clock import billing_date, utc_now
from core.errors import NotAllowed, UpstreamUnavailable
from payments.gateways.base import Gateway, GatewayReply, GatewayStatus, Order
from payments.gateways.sandbox import Sandbox
from tests.simulator.conftest import SECRET, Shop, Simulator, free_port, until

INSTALLED = sorted(point.name for point in entry_points(group="citybill.gateways"))
ANSWER_WITHIN_SECONDS = 6
_numbers = count(1)


@dataclass
class FarSide:
    """A gateway's far side, as the tests below need it."""

    gateway: Gateway
    at: Callable[[str], Gateway]  # the same gateway, told of another address
    choose: Callable[[str, str], None]  # (pay_url, choice) at the hosted page
    settlement: Callable[[], bytes]  # of today
    close: Callable[[], None]  # every connection of these tests


def _sandbox(simulator: Simulator) -> FarSide:
    def choose(pay_url: str, choice: str) -> None:
        answer = simulator.client.post(pay_url, data={"choice": choice})
        assert answer.status_code == 303, answer.text

    def settlement() -> bytes:
        day = billing_date(utc_now())
        return simulator.sandbox("GET", f"/sandbox/settlements/{day}.csv").content

    made: list[Sandbox] = []

    def at(url: str) -> Gateway:
        made.append(Sandbox(url, SECRET))
        return made[-1]

    def close() -> None:
        for one in made:
            one.hang_up()

    return FarSide(at(str(simulator.client.base_url)), at, choose, settlement, close)


FAR_SIDES: dict[str, Callable[[Simulator], FarSide]] = {"sandbox": _sandbox}


def test_every_installed_gateway_is_held_to_the_contract():
    assert set(INSTALLED) <= set(FAR_SIDES)


@pytest.fixture(params=INSTALLED, scope="module")
def far(request: pytest.FixtureRequest, simulator: Simulator) -> Iterator[FarSide]:
    far = FAR_SIDES[request.param](simulator)
    yield far
    far.close()


def an_order(shop: Shop | None = None, **changes: object) -> Order:
    facts = {
        "order_no": f"CB2611{next(_numbers):012d}",
        "amount_fen": 8_650,
        "subject": "水电燃气通信账单 Utility bills",
        "notify_url": shop.notify_url if shop else "http://127.0.0.1:9/nobody",
        "return_url": "http://127.0.0.1:9/payments/1",
        "expires_at": utc_now() + timedelta(minutes=30),
    }
    return Order(**facts | changes)


def a_paid_order(far: FarSide, **changes: object) -> Order:
    order = an_order(**changes)
    far.choose(far.gateway.open_order(order).pay_url or "", "nothing")
    return order


class TestOrders:
    def test_opening_is_idempotent_and_says_where_to_pay(self, far):
        order = an_order()

        first, again = far.gateway.open_order(order), far.gateway.open_order(order)

        assert first == again
        assert first.status is GatewayStatus.OPEN
        assert first.gateway_ref
        assert (first.pay_url or "").startswith("http")
        assert far.gateway.query(order.order_no).status is GatewayStatus.OPEN

    def test_another_amount_under_the_same_number_never_becomes_a_yes(self, far):
        order = an_order()
        far.gateway.open_order(order)

        answer = far.gateway.open_order(
            an_order(order_no=order.order_no, amount_fen=order.amount_fen + 1)
        )

        assert answer.status is GatewayStatus.UNKNOWN

    def test_an_order_it_never_heard_of_is_told_apart_from_not_knowing(self, far):
        assert far.gateway.query("CB-never-sent").status is GatewayStatus.NOT_FOUND
        assert far.gateway.close("CB-never-sent").status is GatewayStatus.NOT_FOUND

    @pytest.mark.parametrize(
        ("choice", "status"),
        [
            ("yes", GatewayStatus.PAID),
            ("no", GatewayStatus.REFUSED),
            ("late", GatewayStatus.PAID),
            ("nothing", GatewayStatus.PAID),
            ("twice", GatewayStatus.PAID),
        ],
    )
    def test_a_query_tells_what_the_payer_did(self, far, choice, status):  # rule 33
        order = an_order()
        opened = far.gateway.open_order(order)

        far.choose(opened.pay_url or "", choice)
        until(lambda: far.gateway.query(order.order_no).status is status)

        told = far.gateway.query(order.order_no)
        assert told.gateway_ref == opened.gateway_ref
        if status is GatewayStatus.PAID:
            assert told.amount_fen == order.amount_fen
            assert told.paid_at is not None
            assert abs(told.paid_at - datetime.now(UTC)) < timedelta(seconds=30)

    def test_a_closed_order_stays_closed(self, far):
        order = an_order()
        opened = far.gateway.open_order(order)

        answers = [far.gateway.close(order.order_no) for _ in range(2)]
        far.choose(opened.pay_url or "", "yes")

        assert {answer.status for answer in answers} == {GatewayStatus.CLOSED}
        assert far.gateway.query(order.order_no).status is GatewayStatus.CLOSED

    def test_a_close_after_the_payer_was_faster_says_paid(self, far):
        order = a_paid_order(far)

        told = far.gateway.close(order.order_no)

        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, order.amount_fen)
        assert told == far.gateway.query(order.order_no)


class TestRefunds:
    def test_a_refund_is_sent_once_however_often_it_is_asked_for(self, far):
        order = a_paid_order(far)
        ask = {"refund_no": f"R{order.order_no}", "order_no": order.order_no}

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: far.gateway.refund(**ask, amount_fen=8_650), range(8)))

        assert len(set(found)) == 1
        assert found[0].succeeded is True
        assert found[0].refund_ref
        assert found[0].refunded_at is not None

    def test_more_than_was_paid_is_refused_for_good(self, far):  # rule 44
        order = a_paid_order(far)

        for number, amount_fen in (("a", 8_651), ("b", 8_650), ("c", 1)):
            reply = far.gateway.refund(
                refund_no=f"R{order.order_no}{number}", order_no=order.order_no,
                amount_fen=amount_fen,
            )  # fmt: skip
            assert reply.succeeded is (number == "b")

    def test_an_unpaid_order_has_nothing_to_refund(self, far):
        order = an_order()
        far.gateway.open_order(order)

        reply = far.gateway.refund(
            refund_no=f"R{order.order_no}", order_no=order.order_no, amount_fen=1
        )

        assert reply.succeeded is False


class TestCallbacks:
    @pytest.mark.parametrize(
        ("choice", "times"), [("yes", 1), ("no", 1), ("late", 1), ("twice", 2)]
    )
    def test_what_arrives_is_read_and_is_the_same_however_often(self, far, shop, choice, times):
        order = an_order(shop)

        far.choose(far.gateway.open_order(order).pay_url or "", choice)
        until(lambda: len(shop.received) == times)

        read = [
            far.gateway.read_callback(headers, body.encode(), now=utc_now())
            for headers, body in shop.received
        ]
        assert {one.order_no for one in read} == {order.order_no}
        assert len({one.external_id for one in read}) == 1

    def test_one_that_was_not_taken_comes_again_as_the_same(self, far, shop):
        shop.answers = [500, 500]
        order = an_order(shop)

        far.choose(far.gateway.open_order(order).pay_url or "", "yes")
        until(lambda: len(shop.received) == 3)

        read = {
            far.gateway.read_callback(headers, body.encode(), now=utc_now())
            for headers, body in shop.received
        }
        assert len(read) == 1

    def test_a_changed_or_old_one_is_refused(self, far, shop):
        far.choose(far.gateway.open_order(an_order(shop)).pay_url or "", "yes")
        until(lambda: bool(shop.received))
        headers, text = shop.received[0]
        body = text.encode()

        for changed, now in (
            (body.replace(b"8650", b"8651"), utc_now()),
            (body + b" ", utc_now()),
            (body, utc_now() + timedelta(minutes=6)),
            (body, utc_now() - timedelta(minutes=6)),
        ):
            with pytest.raises(NotAllowed):
                far.gateway.read_callback(headers, changed, now=now)


class TestSettlement:
    def test_the_days_file_holds_what_was_paid_and_refunded(self, far):
        paid, refunded = a_paid_order(far), a_paid_order(far, amount_fen=1_250)
        number = f"R{refunded.order_no}"
        far.gateway.refund(refund_no=number, order_no=refunded.order_no, amount_fen=1_250)
        day = billing_date(utc_now())

        rows = {
            row.reference: row
            for row in far.gateway.read_settlement(io.BytesIO(far.settlement()), day=day)
        }

        assert (rows[paid.order_no].kind, rows[paid.order_no].amount_fen) == ("payment", 8_650)
        assert (rows[number].kind, rows[number].amount_fen) == ("refund", -1_250)
        told = far.gateway.query(paid.order_no)
        assert rows[paid.order_no].gateway_ref == told.gateway_ref
        assert rows[paid.order_no].happened_at == told.paid_at
        assert rows[paid.order_no].fee_fen > 0


@contextmanager
def a_mute() -> Iterator[str]:
    """Something that lets us connect and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def every_call(gateway: Gateway) -> list[Callable[[], object]]:
    return [
        lambda: gateway.open_order(an_order()),
        lambda: gateway.query("CB1"),
        lambda: gateway.close("CB1"),
        lambda: gateway.refund(refund_no="R1", order_no="CB1", amount_fen=1),
    ]


class TestAway:
    def test_a_far_side_that_is_down_was_never_asked(self, far):
        gateway = far.at(f"http://127.0.0.1:{free_port()}")

        for call in every_call(gateway):
            with pytest.raises(UpstreamUnavailable):
                call()

    def test_one_that_never_answers_is_unknown_in_time(self, far):  # rule 25
        with a_mute() as url, ThreadPoolExecutor(4) as pool:
            started = time.monotonic()
            calls = [pool.submit(call) for call in every_call(far.at(url))]
            *replies, refund = [call.result() for call in calls]

        assert time.monotonic() - started < ANSWER_WITHIN_SECONDS
        assert {reply.status for reply in replies} == {GatewayStatus.UNKNOWN}
        assert refund.succeeded is None

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
        for call in range(4):
            with saying(answer) as url:
                told = every_call(far.at(url))[call]()
            unknown = (
                told.status is GatewayStatus.UNKNOWN
                if isinstance(told, GatewayReply)
                else told.succeeded is None
            )
            assert unknown, told

    @pytest.mark.parametrize("paid_at", ['"yesterday"', '"2026-11-20T04:00:00"', "17", "[]"])
    def test_paid_at_a_time_nobody_can_read_is_not_knowing(self, far, paid_at):
        body = f'{{"status": "paid", "gateway_ref": "s", "amount_fen": 1, "paid_at": {paid_at}}}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

        with saying((head + body).encode()) as url:
            assert far.at(url).query("CB1").status is GatewayStatus.UNKNOWN


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """Something that hears one request and gives this answer."""
    with socket.socket() as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        def hear() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        heard = pool.submit(hear)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        heard.result(timeout=10)
