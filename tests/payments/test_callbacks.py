"""What gateways call us with: kept once, believed never, asked about instead."""

import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from core.db import transaction
from core.errors import Invalid, NotAllowed, NotFound, UpstreamUnavailable
from payments import callbacks
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.gateways.sandbox import Sandbox
from payments.models import Payment
from payments.states import PaymentStatus
from tests.conftest import as_owner
from tests.factories import (
    AWAY,
    NOW,
    FarGateway,
    a_home,
    a_payment,
    at_once,
    balances,
    book,
    says,
    the_bill,
    topics,
    violations,
)

SECRET = "agreed-for-these-tests"
GATEWAY = Sandbox("http://127.0.0.1:9", SECRET)


def a_body(order_no: str, event_id: str = "evt-1", **changes: object) -> bytes:
    told = {"event_id": event_id, "event": "order.paid", "order_no": order_no, "amount_fen": 8_650}
    return json.dumps(told | changes).encode()


def signed(body: bytes, *, age_seconds: int = 0, secret: str = SECRET) -> dict[str, str]:
    sent_at = str(int(NOW.timestamp()) - age_seconds)
    mark = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-sandbox-time": sent_at, "x-sandbox-signature": mark}


def receive(headers: dict[str, str], body: bytes) -> bool:
    return callbacks.receive(GATEWAY, headers, body, now=NOW)


def kept() -> list[tuple[int, str, bool]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT id, external_id, processed_at IS NOT NULL FROM gateway_callback")
        )
        return [tuple(row) for row in rows]


def a_kept_callback(payment: Payment) -> int:
    body = a_body(payment.order_no)
    receive(signed(body), body)
    return kept()[0][0]


@pytest.mark.usefixtures("city")
class TestReceive:
    def test_a_callback_is_kept_as_it_came_and_announced(self):
        body = a_body("CB1", subject="水费")

        assert receive(signed(body), body)

        with transaction() as session:
            row = session.execute(text("SELECT reference, body FROM gateway_callback")).one()
        assert tuple(row) == ("CB1", body)
        assert topics() == ["gateway_callback.received"]

    def test_the_same_event_again_is_taken_and_changes_nothing(self):  # rule 33
        body = a_body("CB1")

        found = [receive(signed(body, age_seconds=age), body) for age in (0, 30, 0)]

        assert found == [True, False, False]
        assert topics() == ["gateway_callback.received"]

    def test_the_same_event_from_ten_threads_is_kept_once(self):
        body = a_body("CB1")

        found = at_once([lambda: receive(signed(body), body)] * 10)

        assert sorted(found) == [False] * 9 + [True]
        assert topics() == ["gateway_callback.received"]

    @pytest.mark.parametrize(
        "forge",
        [
            lambda body: {},
            lambda body: signed(body, secret="another"),
            lambda body: signed(body + b" "),
            lambda body: signed(body) | {"x-sandbox-signature": ""},
            lambda body: signed(body) | {"x-sandbox-time": str(int(NOW.timestamp()) + 1)},
            lambda body: signed(body) | {"x-sandbox-time": "１７９５"},
            lambda body: signed(body) | {"x-sandbox-time": "9" * 5_000},
            lambda body: signed(body) | {"x-sandbox-time": "-1"},
            lambda body: signed(body, age_seconds=301),
            lambda body: signed(body, age_seconds=-301),
        ],
    )
    def test_a_forged_or_stale_one_leaves_no_trace(self, forge):
        body = a_body("CB1")

        with pytest.raises(NotAllowed):
            receive(forge(body), body)

        assert (kept(), topics()) == ([], [])

    @pytest.mark.parametrize("age_seconds", [300, -300])
    def test_five_minutes_either_way_are_fresh(self, age_seconds):
        body = a_body("CB1")

        assert receive(signed(body, age_seconds=age_seconds), body)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"order_no"', b"{}", b'{"event_id": "1"}', b"\xff\xfe",
         b'{"event_id": "a\\u0000b", "order_no": "CB1"}'],
    )  # fmt: skip
    def test_a_signed_one_that_says_nothing_is_refused(self, body):
        with pytest.raises(Invalid):
            receive(signed(body), body)

        assert kept() == []


class TestJunk:
    @given(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from(["x-sandbox-time", "x-sandbox-signature", "other"]), st.text()
        ),
    )
    def test_whatever_comes_is_refused_in_our_words(self, body, headers):
        with pytest.raises(NotAllowed):
            GATEWAY.read_callback(headers, body, now=NOW)

    @given(st.binary(max_size=200))
    def test_whatever_is_signed_is_read_or_refused_in_our_words(self, body):
        try:
            told = GATEWAY.read_callback(signed(body), body, now=NOW)
        except Invalid:
            return
        assert told.reference


@pytest.mark.usefixtures("city")
class TestProcess:
    def test_the_gateways_answer_is_booked_and_not_what_the_callback_says(self):
        home = a_home(8_650)
        payment = a_payment(home)
        number = a_kept_callback(payment)  # it says "paid"; the gateway will say "declined"

        far = FarGateway(replies=[says(payment, GatewayStatus.REFUSED)])
        assert callbacks.process(number, {"sandbox": far}, now=NOW)

        assert far.asked == [("query", payment.order_no)]
        assert the_bill(home.refs[0]).paid_fen == 0
        assert balances().get("gateway:sandbox") is None

    def test_a_callback_of_a_payment_that_is_paid_books_it_once(self):
        payment = a_payment(a_home(8_650))
        number = a_kept_callback(payment)
        far = {"sandbox": FarGateway(replies=[says(payment, GatewayStatus.PAID)])}

        found = at_once([lambda: callbacks.process(number, far, now=NOW)] * 8)

        assert found == [True] * 8
        assert balances()["gateway:sandbox"] == 8_650
        assert topics(like="payment.paid") == ["payment.paid"]
        assert kept()[0][2]
        assert violations() == []

    def test_while_the_gateway_cannot_say_it_stays_to_be_done(self):
        payment = a_payment(a_home())
        number = a_kept_callback(payment)
        far = FarGateway(replies=[GatewayReply(status=GatewayStatus.UNKNOWN), AWAY])

        assert not callbacks.process(number, {"sandbox": far}, now=NOW)
        with pytest.raises(UpstreamUnavailable):
            callbacks.process(number, {"sandbox": far}, now=NOW)

        assert not kept()[0][2]

    def test_one_that_was_faster_than_we_waits_until_we_know_its_order(self):
        body = a_body("CB-later")
        receive(signed(body), body)
        number = kept()[0][0]
        assert not callbacks.process(number, {"sandbox": FarGateway()}, now=NOW)
        payment = a_payment(a_home(8_650))
        with as_owner() as owner:
            owner.execute(text("UPDATE payment SET order_no = 'CB-later'"))

        far = FarGateway(replies=[says(payment, GatewayStatus.PAID)])
        assert callbacks.process(number, {"sandbox": far}, now=NOW + timedelta(hours=1))

        assert balances()["gateway:sandbox"] == 8_650

    def test_an_order_we_do_not_know_after_two_days_needs_a_person(self):
        body = a_body("CB-nobodys")
        receive(signed(body), body)
        number = kept()[0][0]

        with pytest.raises(NotFound) as refused:
            callbacks.process(number, {"sandbox": FarGateway()}, now=NOW + timedelta(days=2))

        assert refused.value.code == "callback.no_order"
        assert not kept()[0][2]

    def test_another_amount_is_kept_visible_and_not_booked(self):  # rule 32
        payment = a_payment(a_home(8_650))
        number = a_kept_callback(payment)
        far = FarGateway(replies=[says(payment, GatewayStatus.PAID, amount_fen=8_649)])

        assert callbacks.process(number, {"sandbox": far}, now=NOW)

        assert balances()["suspense:sandbox"] == -8_649
        assert balances()["receivable:water"] == 8_650

    @pytest.mark.parametrize(
        "behind", [GatewayStatus.NOT_FOUND, GatewayStatus.OPEN, GatewayStatus.UNKNOWN]
    )
    def test_a_gateway_behind_its_own_callback_is_asked_until_it_knows(self, behind):  # rule 33
        payment = a_payment(a_home(8_650))
        book(payment, GatewayStatus.CLOSED)  # so nobody asks about it any more by themselves
        number = a_kept_callback(payment)
        paid = says(payment, GatewayStatus.PAID)
        far = {"sandbox": FarGateway(replies=[says(payment, behind), says(payment, behind), paid])}

        told = callbacks.process_all([number], far, now=NOW, over=lambda: False)
        if told.get(number, 0) is not None:
            assert not callbacks.process(number, far, now=NOW)
            assert callbacks.process(number, far, now=NOW + timedelta(hours=1))

        assert balances()["gateway:sandbox"] == 8_650
        assert kept()[0][2]
        assert violations() == []

    @pytest.mark.parametrize("ever", [GatewayStatus.NOT_FOUND, GatewayStatus.OPEN])
    def test_one_that_never_knows_what_it_called_about_needs_a_person(self, ever):
        payment = a_payment(a_home(8_650))
        book(payment, GatewayStatus.CLOSED)
        number = a_kept_callback(payment)
        far = {"sandbox": FarGateway(replies=[says(payment, ever)])}

        with pytest.raises(NotFound) as refused:
            callbacks.process(number, far, now=NOW + timedelta(days=2))

        assert refused.value.code == "callback.no_order"
        assert not kept()[0][2]

    def test_that_an_order_still_waits_is_an_answer_while_we_wait_as_well(self):
        payment = a_payment(a_home(8_650))
        number = a_kept_callback(payment)
        far = {"sandbox": FarGateway(replies=[says(payment, GatewayStatus.OPEN)])}

        told = callbacks.process_all([number], far, now=NOW, over=lambda: False)

        assert (told, kept()[0][2]) == ({number: None}, True)

    def test_news_that_arrives_in_the_wrong_order_ends_right(self):  # rule 33
        home = a_home(8_650)
        payment = a_payment(home)
        for event_id in ("late", "early"):
            body = a_body(payment.order_no, event_id)
            receive(signed(body), body)
        numbers = sorted(row[0] for row in kept())
        far = {"sandbox": FarGateway(replies=[says(payment, GatewayStatus.PAID)])}
        stale = {"sandbox": FarGateway(replies=[says(payment, GatewayStatus.OPEN)])}

        callbacks.process(numbers[0], far, now=NOW)
        callbacks.process(numbers[1], stale, now=NOW)

        with transaction() as session:
            assert session.get_one(Payment, payment.id).status is PaymentStatus.PAID
        assert violations() == []

    def test_we_tell_a_gateway_where_to_call(self):
        url = callbacks.notify_url("https://bills.city.example", "sandbox")

        assert url == "https://bills.city.example/api/v1/callbacks/sandbox"
