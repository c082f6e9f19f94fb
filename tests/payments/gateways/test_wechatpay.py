"""WeChat Pay, held to the contract against the simulator, and to its wire notes."""

import base64
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli.demo_wechatpay import far_side_file, wechatpay
from core.clock import BILLING_ZONE, utc_now
from core.errors import Invalid, UpstreamUnavailable
from core.settings import Environment, Settings
from payments.gateways import wechatpay_signing as signing
from payments.gateways.base import (
    Asked,
    Gateway,
    GatewayReply,
    GatewayStatus,
    Order,
)
from payments.gateways.wechatpay import from_settings
from simulator.wechatpay_records import WechatpayOptions
from tests.payments.gateways.contract import (
    FarSide,
    GatewayContract,
    a_refund,
    an_order,
    every_call,
    is_unknown,
    saying,
)
from tests.payments.gateways.wechatpay_town import Town, a_town, an_answer
from tests.simulator.conftest import running
from tests.simulator.wechatpay_shop import (
    API_V3_KEY,
    APPID,
    MCHID,
    PUBLIC_KEY_ID,
    SERIAL,
)

SHANGHAI_NOON = datetime(2026, 11, 20, 12, tzinfo=BILLING_ZONE)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with a_town(tmp_path_factory.mktemp("wechatpay")) as town:
        yield town


@pytest.fixture(scope="module")
def far(town: Town) -> FarSide:
    def choose(order: Order, opened: GatewayReply, choice: str) -> None:
        town.choose(opened, choice)

    def at(url: str) -> Gateway:
        return town.gateway(url)

    return FarSide(
        town.gateway(), at, choose, town.bill, town.fault,
        changed=lambda body: body.replace('"id":"EV-', '"id":"EV-0'),
    )  # fmt: skip


class TestWechatpay(GatewayContract):
    pass


class TestSignatures:
    def test_a_request_is_signed_line_by_line_and_a_get_ends_with_an_empty_one(self, town):
        private = signing.private_key(town.merchant.ours.private)
        merchant = signing.Merchant(APPID, MCHID, SERIAL, private)
        target = b"/v3/pay/transactions/out-trade-no/CB1?mchid=1900000001"

        header = merchant.authorization("GET", target, b"", now=SHANGHAI_NOON)

        scheme, _, rest = header.partition(" ")
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        assert scheme == "WECHATPAY2-SHA256-RSA2048"
        assert (given["mchid"], given["serial_no"]) == (MCHID, SERIAL)
        assert given["timestamp"] == "1795147200"
        message = b"GET\n%b\n1795147200\n%b\n\n" % (target, given["nonce_str"].encode())
        private.public_key().verify(
            base64.b64decode(given["signature"]), message, padding.PKCS1v15(), hashes.SHA256()
        )

    def test_the_key_of_notifications_has_32_bytes_because_a_shorter_one_opens_as_well(self):
        short, nonce, about = b"testAPIv3Key0000", b"wCq51qZv4Yfg", b"about"
        sealed = AESGCM(short).encrypt(nonce, b"Hello World", about)
        assert AESGCM(short).decrypt(nonce, sealed, about) == b"Hello World"

        with pytest.raises(Invalid, match="has 16 bytes: it must have 32"):
            signing.api_v3_key(short.decode())
        resource = {
            "algorithm": "AEAD_AES_256_GCM", "nonce": nonce.decode(), "associated_data": "about",
            "ciphertext": base64.b64encode(sealed).decode(),
        }  # fmt: skip
        with pytest.raises(AssertionError):
            signing.open_resource(short, resource)

    @pytest.mark.parametrize("about", ["", None, "transaction"])
    def test_what_is_encrypted_is_about_something_or_nothing(self, about):
        key, nonce = API_V3_KEY.encode(), "abcdefghijkl"
        sealed = AESGCM(key).encrypt(nonce.encode(), b"{}", (about or "").encode())
        resource = {
            "algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": about,
            "ciphertext": base64.b64encode(sealed).decode(),
        }  # fmt: skip

        assert signing.open_resource(key, resource) == b"{}"
        with pytest.raises(Invalid):
            signing.open_resource(key, resource | {"associated_data": "refund"})


class TestAnswers:
    def told(self, town: Town, answer: bytes, **more: object) -> GatewayReply:
        with saying(answer) as url:
            return town.gateway(url, **more).query(
                Asked(order_no="CB2611", amount_fen=8_650, asked_at=utc_now())
            )

    def test_a_signed_one_is_believed_and_an_unsigned_one_is_not(self, town):
        answer = town.signed(200, an_answer("CB2611"))

        told = self.told(town, answer)

        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, 8_650)
        assert told.paid_at == datetime(2026, 11, 20, 12, 0, 3, tzinfo=BILLING_ZONE)
        bare = re.sub(rb"wechatpay-signature: [^\r]*\r\n", b"", answer)
        assert is_unknown(self.told(town, bare))
        assert is_unknown(self.told(town, answer.replace(b"8650", b"8651")))

    def test_that_there_is_no_such_order_is_believed_only_when_signed(self, town):
        signed = town.signed(404, {"code": "ORDER_NOT_EXIST", "message": "订单不存在"})

        assert self.told(town, signed).status is GatewayStatus.NOT_FOUND
        bare = b"HTTP/1.1 404 No\r\nContent-Length: 26\r\n\r\n" + b'{"code":"ORDER_NOT_EXIST"}'
        assert is_unknown(self.told(town, bare))

    @pytest.mark.parametrize(("seconds", "believed"), [(-280, True), (-301, False), (330, False)])
    def test_one_of_more_than_five_minutes_ago_is_not_believed(self, town, seconds, believed):
        at = utc_now() + timedelta(seconds=seconds)

        told = self.told(town, town.signed(200, an_answer("CB2611"), at=at))

        assert (told.status is GatewayStatus.PAID) is believed

    @pytest.mark.parametrize(
        "change",
        [
            {"out_trade_no": "CB9"}, {"appid": "wx9"}, {"mchid": "9"}, {"trade_state": "NEW"},
            {"amount": {"total": 8_650, "currency": "USD"}}, {"amount": {"total": "8650"}},
            {"amount": None}, {"success_time": "2026-11-20T12:00:03"}, {"transaction_id": None},
        ],
    )  # fmt: skip
    def test_one_about_something_else_says_nothing(self, town, change):
        assert is_unknown(self.told(town, town.signed(200, an_answer("CB2611", **change))))

    @pytest.mark.parametrize(
        ("state", "status"),
        [
            ("NOTPAY", GatewayStatus.OPEN), ("USERPAYING", GatewayStatus.OPEN),
            ("CLOSED", GatewayStatus.CLOSED), ("REVOKED", GatewayStatus.CLOSED),
            ("PAYERROR", GatewayStatus.REFUSED), ("REFUND", GatewayStatus.PAID),
        ],
    )  # fmt: skip
    def test_every_state_of_theirs_has_a_word_of_ours(self, town, state, status):
        answer = town.signed(200, an_answer("CB2611", trade_state=state))

        assert self.told(town, answer).status is status

    def test_that_our_signature_is_wrong_says_nothing_of_any_order(self, town):
        body = b'{"code":"SIGN_ERROR"}'
        answer = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

        for call in range(5):
            with saying(answer) as url:
                assert is_unknown(every_call(town.gateway(url))[call]())

    def test_a_server_error_is_not_knowing_even_when_signed(self, town):
        for call in range(5):
            with saying(town.signed(500, {"code": "SYSTEM_ERROR"})) as url:
                assert is_unknown(every_call(town.gateway(url))[call]())

    def test_too_many_questions_were_never_asked(self, town):
        order = an_order()
        for number in (order.order_no, f"R{order.order_no}"):
            town.fault(number, "limited")

        with pytest.raises(UpstreamUnavailable):
            town.gateway().open_order(order)
        _, told = order, town.gateway().open_order(order)
        assert told.status is GatewayStatus.OPEN
        with pytest.raises(UpstreamUnavailable):
            town.gateway().refund(a_refund(order, told))


class TestSettings:
    def settings(self, town: Town, **changes: object) -> Settings:
        ours, theirs = town.merchant.ours, town.merchant.theirs
        given = {
            "wechatpay_appid": APPID, "wechatpay_mchid": MCHID, "wechatpay_merchant_serial": SERIAL,
            "wechatpay_private_key": ours.private, "wechatpay_api_v3_key": API_V3_KEY,
            "wechatpay_public_key": theirs.public, "wechatpay_public_key_id": PUBLIC_KEY_ID,
        }  # fmt: skip
        return Settings(_env_file=None, **given | changes)

    def test_configured_it_is_there_and_otherwise_not(self, town):
        gateway = from_settings(self.settings(town))
        assert gateway is not None
        gateway.hang_up()
        assert from_settings(Settings(_env_file=None)) is None

    def test_without_a_public_key_it_takes_their_certificates(self, town):
        gateway = from_settings(
            self.settings(town, wechatpay_public_key="", wechatpay_public_key_id="")
        )
        assert gateway is not None
        gateway.hang_up()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"wechatpay_mchid": ""}, "set CITYBILL_WECHATPAY_MCHID"),
            ({"wechatpay_private_key": ""}, "set CITYBILL_WECHATPAY_PRIVATE_KEY"),
            ({"wechatpay_public_key_id": ""}, "set CITYBILL_WECHATPAY_PUBLIC_KEY_ID"),
            ({"wechatpay_public_key": ""}, "set CITYBILL_WECHATPAY_PUBLIC_KEY"),
            ({"wechatpay_api_v3_key": "short"}, "has 5 bytes"),
            ({"wechatpay_private_key": "/nowhere/key.pem"}, "/nowhere/key.pem"),
            ({"wechatpay_public_key": "/nowhere/pub.pem"}, "/nowhere/pub.pem"),
        ],
    )
    def test_half_configured_it_is_refused_and_says_what_is_missing(self, town, change, told):
        with pytest.raises(Invalid, match=told):
            from_settings(self.settings(town, **change))

    def test_production_speaks_to_it_over_tls_only(self, town):
        settings = self.settings(town, wechatpay_url="http://api.mch.weixin.qq.com")

        with pytest.raises(Invalid, match="https://"):
            from_settings(settings.model_copy(update={"environment": Environment.PRODUCTION}))

    def test_the_demos_two_sides_know_each_other_and_do_so_tomorrow(self, tmp_path, monkeypatch):
        first = wechatpay(tmp_path, "http://127.0.0.1:1")
        options = WechatpayOptions.model_validate_json(far_side_file(tmp_path).read_bytes())
        with running(tmp_path, wechatpay=options) as simulator:
            again = wechatpay(tmp_path, str(simulator.client.base_url).rstrip("/"))
            for name, value in again.items():
                monkeypatch.setenv(name, value)
            gateway = from_settings(Settings(_env_file=None))
            assert gateway is not None
            reply = gateway.open_order(an_order())
            gateway.hang_up()

        assert reply.status is GatewayStatus.OPEN
        assert first | {"CITYBILL_WECHATPAY_URL": again["CITYBILL_WECHATPAY_URL"]} == again
        assert far_side_file(tmp_path).stat().st_mode & 0o077 == 0
