"""WeChat Pay's orders, notifications, refunds, keys and files, as its wire notes have them."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.clock import BILLING_ZONE, billing_date, utc_now
from core.errors import Invalid, NotAllowed
from payments.gateways.base import (
    CallbackKind,
    FileState,
    GatewayStatus,
    RefundState,
    Scene,
)
from tests.payments.gateways.contract import (
    a_refund,
    an_order,
    asked,
    is_unknown,
    saying,
    settled,
)
from tests.payments.gateways.wechatpay_town import Town, a_town, an_answer, paid
from tests.simulator.conftest import Shop, free_port, until
from tests.simulator.wechatpay_shop import (
    API_V3_KEY,
    MCHID,
)

PLAIN = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with a_town(tmp_path_factory.mktemp("wechatpay")) as town:
        yield town


@pytest.fixture
def own_town(tmp_path: Path) -> Iterator[Town]:
    """One whose keys may change over."""
    with a_town(tmp_path) as town:
        yield town


@contextmanager
def a_platform(say: Callable[[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """One that answers by path, told of its own address, and notes what it was asked."""
    heard: list[str] = []

    class Platform(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.append(self.path)
            self.wfile.write(say(self.path, url))

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Platform) as server, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{server.server_port}"
        pool.submit(server.serve_forever, 0.01)
        try:
            yield url, heard
        finally:
            server.shutdown()


class TestScenes:
    @pytest.mark.parametrize("scene", [Scene.DESKTOP, Scene.SCREEN])
    def test_a_desktop_and_a_screen_show_a_code(self, town, scene):
        order = an_order(scene=scene)

        reply = town.gateway().open_order(order)

        assert (reply.pay_code or "").startswith("weixin://wxpay/bizpayurl?pr=")
        assert not reply.pay_url
        assert not reply.pay_fields

    def test_a_phone_goes_to_a_page_and_comes_back_to_us(self, town):
        gateway, order = town.gateway(), an_order(scene=Scene.PHONE, payer_ip="2001:db8::7")

        reply = gateway.open_order(order)
        answer = town.simulator.client.post(reply.pay_url or "", data={"choice": "yes"})

        assert answer.headers["location"] == order.return_url
        assert gateway.query(asked(order)).status is GatewayStatus.PAID

    def test_in_wechat_the_page_gets_what_the_wallet_wants(self, town):
        gateway, order = town.gateway(), an_order(scene=Scene.IN_APP, payer_ref="oCitizen")

        reply = gateway.open_order(order)

        forged = {**reply.pay_fields, "package": "prepay_id=another", "choice": "yes"}
        answer = town.simulator.client.post("/wechatpay/jsapi", data=forged)
        assert answer.status_code == 422
        town.choose(reply, "yes")
        assert gateway.query(asked(order)).status is GatewayStatus.PAID

    @pytest.mark.parametrize("scene", [Scene.PHONE, Scene.IN_APP])
    def test_without_what_the_scene_needs_it_is_refused_and_nothing_is_sent(self, town, scene):
        nobody = town.gateway(f"http://127.0.0.1:{free_port()}")

        reply = nobody.open_order(an_order(scene=scene))

        assert reply.status is GatewayStatus.REFUSED
        assert "needed" in (reply.reason or "")

    def test_a_subject_of_any_length_is_taken(self, town):
        assert town.gateway().open_order(an_order(subject="水`" * 99)).pay_code

    def test_an_attempt_that_failed_leaves_the_order_to_be_paid(self, town):
        gateway, order = town.gateway(), an_order()
        reply = gateway.open_order(order)

        town.choose(reply, "no")
        assert gateway.query(asked(order)).status is GatewayStatus.OPEN
        town.choose(reply, "yes")

        assert gateway.query(asked(order)).status is GatewayStatus.PAID


class TestRefusals:
    def test_a_no_is_believed_where_they_do_not_know_the_number(self, town):
        gateway = town.gateway(appid="wx_another")

        reply = gateway.open_order(an_order())

        assert reply.status is GatewayStatus.REFUSED
        assert (reply.reason or "").startswith("APPID_MCHID_NOT_MATCH")

    def test_an_order_that_is_paid_or_closed_says_so_when_it_is_opened_again(self, town):
        gateway = town.gateway()
        (order, _), closed = paid(town, gateway), an_order()
        gateway.open_order(closed)
        gateway.close(asked(closed))

        assert gateway.open_order(order).status is GatewayStatus.PAID
        assert gateway.open_order(closed).status is GatewayStatus.CLOSED

    def test_an_order_closes_itself_when_its_time_is_over(self, town):
        order = an_order(expires_at=utc_now() + timedelta(milliseconds=1_200))
        gateway = town.gateway()
        gateway.open_order(order)

        until(lambda: gateway.query(asked(order)).status is GatewayStatus.CLOSED)

    @pytest.mark.parametrize(
        ("status", "told", "meant"),
        [
            (404, {"code": "ORDER_NOT_EXIST"}, GatewayStatus.NOT_FOUND),
            (200, {"trade_state": "CLOSED"}, GatewayStatus.CLOSED),
            (200, {"trade_state": "NOTPAY"}, GatewayStatus.UNKNOWN),
            (200, {"trade_state": "SUCCESS"}, GatewayStatus.PAID),
        ],
    )
    def test_a_yes_to_closing_is_checked_because_they_say_it_to_any_number(
        self, town, status, told, meant
    ):
        def say(path: str, url: str) -> bytes:
            closing = path.endswith("/close")
            return town.signed(204, None) if closing else town.signed(status, facts | told)

        order, facts = an_order(), {}
        if status == 200:
            facts = an_answer(order.order_no)
        with a_platform(say) as (url, _):
            assert town.gateway(url).close(asked(order)).status is meant


class TestNotifications:
    def received(self, town: Town, shop: Shop, fault: str) -> list[str]:
        gateway, order = town.gateway(), an_order(shop)
        reply = gateway.open_order(order)
        town.fault(order.order_no, fault)
        town.choose(reply, "yes")
        until(lambda: len(shop.received) == 2)
        outcomes = []
        for headers, body in shop.received:
            try:
                read = gateway.read_callback(headers, body.encode(), now=utc_now())
                outcomes.append(read.reference if read else "")
            except NotAllowed:
                outcomes.append("refused")
        return sorted({order.order_no: "ours"}.get(one, one) for one in outcomes)

    @pytest.mark.parametrize("fault", ["probe", "stale", "unknown_serial"])
    def test_one_that_must_be_refused_is_and_the_right_one_is_taken(self, town, shop, fault):
        assert self.received(town, shop, fault) == ["ours", "refused"]

    def test_it_is_answered_as_they_want_to_hear_it(self, town):
        gateway = town.gateway()

        assert gateway.answer_callback(taken=True) == (204, "", "text/plain")
        status, body, content_type = gateway.answer_callback(taken=False)
        assert (status, content_type) == (400, "application/json")
        assert json.loads(body) == {"code": "FAIL", "message": "失败"}

    def read(self, town: Town, event: str, inner: Mapping[str, object], **changes: object):
        sealed = AESGCM(API_V3_KEY.encode()).encrypt(
            b"abcdefghijkl", json.dumps(inner).encode(), b"x"
        )
        resource = {
            "algorithm": "AEAD_AES_256_GCM", "nonce": "abcdefghijkl", "associated_data": "x",
            "ciphertext": base64.b64encode(sealed).decode(),
        }  # fmt: skip
        told = {"id": "EV-1", "event_type": event, "resource": resource, **changes}
        body = json.dumps(told).encode()
        return town.gateway().read_callback(town.headers(body), body, now=utc_now())

    def test_a_payment_is_known_by_our_number_and_their_event(self, town):
        read = self.read(town, "TRANSACTION.SUCCESS", an_answer("CB2611"))

        assert read == ("EV-1", "CB2611", CallbackKind.PAYMENT)

    @pytest.mark.parametrize("end", ["SUCCESS", "ABNORMAL", "CLOSED"])
    def test_a_refund_is_known_by_our_refunds_number(self, town, end):
        inner = {"mchid": MCHID, "out_trade_no": "CB2611", "out_refund_no": "R1"}

        assert self.read(town, f"REFUND.{end}", inner) == ("EV-1", "R1", CallbackKind.REFUND)

    def test_news_we_have_no_use_for_is_none(self, town):
        assert self.read(town, "COUPON.USE", {}) is None

    @pytest.mark.parametrize(
        ("inner", "changes"),
        [
            (an_answer("CB1", mchid="9"), {}), (an_answer("CB1", appid="wx9"), {}), ({}, {}),
            (an_answer("CB1"), {"resource": None}), (an_answer("CB1"), {"resource": {}}),
            (an_answer("CB\x00"), {}),
        ],
    )  # fmt: skip
    def test_another_merchants_or_garbage_is_none_of_ours(self, town, inner, changes):
        with pytest.raises(Invalid):
            self.read(town, "TRANSACTION.SUCCESS", inner, **changes)

    def test_a_refund_is_told(self, town, shop):
        gateway = town.gateway()
        order, told = paid(town, gateway, notify_url=shop.notify_url)
        refund = a_refund(order, told)

        settled(gateway, refund)
        until(lambda: len(shop.received) == 1)

        headers, body = shop.received[0]
        read = gateway.read_callback(headers, body.encode(), now=utc_now())
        assert read is not None
        assert (read.kind, read.reference) == (CallbackKind.REFUND, refund.refund_no)


class TestChangingKeys:
    @pytest.mark.parametrize("keys", [True, False])
    def test_an_answer_with_a_new_key_sends_us_for_it(self, own_town, keys):
        gateway, order = own_town.gateway(keys=keys), an_order()
        own_town.simulator.client.post("/wechatpay/keys")

        assert gateway.open_order(order).status is GatewayStatus.OPEN
        assert gateway.query(asked(order)).status is GatewayStatus.OPEN

    def test_a_callback_never_does_and_is_taken_once_we_have_asked_something(self, own_town, shop):
        gateway, order = own_town.gateway(), an_order(shop)
        reply = gateway.open_order(order)
        own_town.simulator.client.post("/wechatpay/keys")
        own_town.choose(reply, "yes")
        until(lambda: bool(shop.received))
        headers, body = shop.received[0]

        with pytest.raises(NotAllowed):
            gateway.read_callback(headers, body.encode(), now=utc_now())
        gateway.query(asked(order))

        read = gateway.read_callback(headers, body.encode(), now=utc_now())
        assert read is not None
        assert read.reference == order.order_no

    def test_a_callback_with_a_key_we_lack_sends_us_for_it_after_our_next_question(self, town):
        def say(path: str, url: str) -> bytes:
            return town.signed(404, {"code": "ORDER_NOT_EXIST"})

        with a_platform(say) as (url, heard):
            gateway, body = town.gateway(url), b"{}"
            with pytest.raises(NotAllowed):
                gateway.read_callback(town.headers(body, serial="NEW"), body, now=utc_now())
            assert heard == []
            for _ in range(3):
                assert gateway.query(asked(an_order())).status is GatewayStatus.NOT_FOUND

        assert heard.count("/v3/certificates") == 1  # at most once a minute
        assert heard.index("/v3/certificates") == 1

    def test_a_certificate_nobody_encrypted_for_us_is_not_taken(self, own_town):
        own_town.simulator.client.post("/wechatpay/keys")
        gateway = own_town.gateway(api_v3_key="z" * 32)

        assert is_unknown(gateway.open_order(an_order()))


class TestRefunds:
    @pytest.mark.parametrize("end", ["abnormal", "closed"])
    def test_one_that_their_side_cannot_send_is_refused_with_its_reason(self, town, end):
        gateway = town.gateway()
        order, told = paid(town, gateway)
        town.fault(order.order_no, f"refund_{end}")

        reply = settled(gateway, a_refund(order, told))

        assert reply.state is RefundState.REFUSED
        assert (reply.reason or "").startswith(end.upper())

    def test_an_empty_account_there_is_no_end_and_the_same_number_goes_through_later(self, town):
        gateway = town.gateway()
        order, told = paid(town, gateway)
        refund = a_refund(order, told)
        town.fault(order.order_no, "short")

        short = gateway.refund(refund)

        assert short.state is RefundState.UNKNOWN
        assert (short.reason or "").startswith("NOT_ENOUGH")
        assert gateway.query_refund(refund).state is RefundState.NOT_FOUND
        assert settled(gateway, refund).state is RefundState.SENT

    @pytest.mark.parametrize("fault", ["silent", "error"])
    def test_an_answer_that_was_lost_sends_nothing_twice(self, town, fault):
        gateway = town.gateway()
        order, told = paid(town, gateway)
        refund = a_refund(order, told)
        town.fault(refund.refund_no, fault)

        lost, again = gateway.refund(refund), settled(gateway, refund)

        assert (lost.state, again.state) == (RefundState.UNKNOWN, RefundState.SENT)
        assert gateway.query(asked(order)).status is GatewayStatus.PAID

    def test_the_same_number_with_another_amount_never_becomes_a_yes(self, town):
        gateway = town.gateway()
        order, told = paid(town, gateway)
        settled(gateway, a_refund(order, told, amount_fen=1_000))

        other = gateway.refund(a_refund(order, told, amount_fen=1_001))

        assert other.state is RefundState.UNKNOWN

    def test_a_paid_order_they_miss_for_a_moment_is_not_the_end(self, town):
        gateway = town.gateway()
        order, told = paid(town, gateway)
        refund = a_refund(order, told)
        town.fault(order.order_no, "missed")

        assert gateway.refund(refund).state is RefundState.UNKNOWN
        assert settled(gateway, refund).state is RefundState.SENT


class TestFiles:
    DAY = date(2026, 11, 20)

    def fetched(self, town: Town, answer: bytes, now: datetime) -> FileState:
        with saying(answer) as url:
            return town.gateway(url, clock=lambda: now).fetch_settlement(self.DAY).state

    @pytest.mark.parametrize(
        ("at", "code", "state"),
        [
            ((20, 23, 0), "NO_STATEMENT_EXIST", FileState.NOT_YET),
            ((21, 9, 59), "NO_STATEMENT_EXIST", FileState.NOT_YET),
            ((21, 10, 0), "NO_STATEMENT_EXIST", FileState.NO_DATA),
            ((21, 10, 0), "STATEMENT_CREATING", FileState.NOT_YET),
            ((20, 23, 0), "INVALID_REQUEST", FileState.NOT_YET),
            ((21, 10, 0), "INVALID_REQUEST", FileState.UNKNOWN),
        ],
    )
    def test_no_file_is_no_data_only_when_it_should_be_there(self, town, at, code, state):
        day, hour, minute = at  # rule 48
        now = datetime(2026, 11, day, hour, minute, tzinfo=BILLING_ZONE)

        answer = town.signed(400, {"code": code, "message": "…"}, at=now)

        assert self.fetched(town, answer, now) is state

    def test_todays_bill_comes_whole_and_so_does_the_fund_bill(self, town):
        gateway, today = town.gateway(), billing_date(utc_now())
        order, told = paid(town, gateway)
        settled(gateway, a_refund(order, told, amount_fen=650))

        bill, fund = gateway.fetch_settlement(today), gateway.fetch_fund_bill(today)

        assert (bill.state, bill.content) == (FileState.READY, town.bill())
        assert bill.file_name == f"wechatpay-{today}.csv"
        assert (fund.state, fund.content) == (FileState.READY, town.bill(bill="fund"))

    @pytest.mark.parametrize(
        ("content", "host", "state"),
        [
            (b"a bill", "127.0.0.1", FileState.READY),
            (gzip.compress(b"a bill", mtime=0), "127.0.0.1", FileState.READY),
            (gzip.compress(b"a bill", mtime=0)[:-9], "127.0.0.1", FileState.UNKNOWN),
            (b"a bil", "127.0.0.1", FileState.UNKNOWN),
            (b"a bill", "localhost", FileState.UNKNOWN),  # our signature is for nobody else
        ],
    )
    def test_only_the_file_that_was_announced_is_taken(self, town, content, host, state):
        def say(path: str, url: str) -> bytes:
            if path.startswith("/file"):
                return PLAIN % len(content) + content
            where = url.replace("127.0.0.1", host)
            sha1 = hashlib.sha1(b"a bill", usedforsecurity=False).hexdigest()
            told = {"hash_value": sha1, "download_url": f"{where}/file?token=1"}
            return town.signed(200, told)

        with a_platform(say) as (url, heard):
            told = town.gateway(url).fetch_settlement(self.DAY)

        assert told.state is state
        assert ("/file?token=1" in heard) is (host == "127.0.0.1")
