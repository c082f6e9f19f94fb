"""Alipay, held to the contract against the far side, and its protocol by hand-made facts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotAllowed
from core.settings import Settings
from payments.gateways.alipay import Alipay, Merchant, from_settings
from payments.gateways.alipay_signing import plain_keys
from payments.gateways.base import (
    Asked,
    CallbackKind,
    FileState,
    Gateway,
    GatewayReply,
    GatewayStatus,
    RefundState,
    Scene,
)
from tests.payments.gateways.alipay_keys import (
    FarKeys,
    KeyPair,
    answer,
    answering,
    lay_merchant_key,
    notice,
)
from tests.payments.gateways.contract import (
    FarSide,
    GatewayContract,
    a_refund,
    an_order,
    asked,
    saying,
    settled,
)
from tests.simulator.conftest import Shop, Simulator, until

APP_ID, SELLER_ID = "2021000000000001", "2088000000000001"
US = Merchant(app_id=APP_ID, seller_id=SELLER_ID)


def page_of(client: httpx.Client, opened: GatewayReply) -> str:
    """Go as a payer goes: scan the code, follow the address, or hand the string to the wallet."""
    if opened.pay_code:
        return opened.pay_code
    if opened.pay_url:
        return client.get(opened.pay_url).headers["location"]
    told = client.post("/alipay/wallet", content=opened.pay_fields["orderStr"])
    return told.headers["location"]


def press(client: httpx.Client, page: str, choice: str) -> None:
    assert client.get(page).status_code == 200
    answered = client.post(page, data={"choice": choice})
    assert answered.status_code == 303, answered.text


@pytest.fixture(scope="module")
def keys(simulator: Simulator) -> FarKeys:
    return lay_merchant_key(simulator.data_dir / "keys")


@pytest.fixture(scope="module")
def far(simulator: Simulator, keys: FarKeys) -> Iterator[FarSide]:
    made: list[Alipay] = []

    def at(url: str) -> Gateway:
        ours = plain_keys(keys.private_pem, keys.far_public_pem)
        made.append(Alipay(f"{url}/alipay/gateway.do", US, ours))
        return made[-1]

    def fault(order_no: str, name: str) -> None:
        told = simulator.client.post("/alipay/faults", json={"order_no": order_no, "fault": name})
        assert told.status_code == 204, told.text

    def settlement() -> bytes:
        day = billing_date(utc_now())
        return simulator.client.get(f"/alipay/downloads/{day}.zip").content

    yield FarSide(
        at(str(simulator.client.base_url).rstrip("/")), at,
        lambda _, opened, choice: press(
            simulator.client, page_of(simulator.client, opened), choice
        ),
        settlement, fault, changed=lambda body: body.replace("86.50", "86.51"),
        scene=Scene.SCREEN,
    )  # fmt: skip
    for one in made:
        one.hang_up()


class TestAlipay(GatewayContract):
    def opened(self, far: FarSide, shop: Shop | None = None, **changes: object):
        """Have the payer scan the code, too: before that there is no trade at Alipay."""
        order, reply = super().opened(far, shop, **changes)
        far.choose(order, reply, "enter")
        return order, reply


class TestScenes:
    @pytest.mark.parametrize("scene", list(Scene))
    def test_every_scene_has_a_way_to_pay_and_ends_paid(self, far, scene):
        order = an_order(scene=scene)

        opened = far.gateway.open_order(order)
        far.choose(order, opened, "nothing")

        told = far.gateway.query(asked(order, opened))
        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, 8_650)
        ways = [bool(way) for way in (opened.pay_url, opened.pay_code, opened.pay_fields)]
        assert ways.count(True) == 1

    def test_a_screen_gets_a_code_and_an_app_a_string(self, far):
        screen = far.gateway.open_order(an_order(scene=Scene.SCREEN))
        app = far.gateway.open_order(an_order(scene=Scene.IN_APP))

        assert screen.pay_code
        assert set(app.pay_fields) == {"orderStr"}
        assert "method=alipay.trade.app.pay" in app.pay_fields["orderStr"]

    @pytest.mark.parametrize("scene", list(Scene))
    def test_opened_again_it_is_the_same_order(self, far, scene):
        order = an_order(scene=scene)

        first, again = far.gateway.open_order(order), far.gateway.open_order(order)
        far.choose(order, again, "nothing")

        assert first.status is again.status is GatewayStatus.OPEN
        assert first.gateway_ref == again.gateway_ref == order.order_no
        paid = far.gateway.query(asked(order, first))
        assert paid.status is GatewayStatus.PAID
        assert paid.gateway_ref not in {None, order.order_no}

    @pytest.mark.parametrize("scene", list(Scene))
    def test_until_the_payer_comes_alipay_has_never_heard_of_it(self, far, scene):
        order = an_order(scene=scene)
        opened = far.gateway.open_order(order)

        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.NOT_FOUND
        assert far.gateway.close(asked(order, opened)).status is GatewayStatus.NOT_FOUND

        far.choose(order, opened, "enter")
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.OPEN

    @pytest.mark.parametrize("scene", list(Scene))
    def test_an_order_that_could_not_be_closed_ends_by_itself(self, far, simulator, scene):
        order = an_order(scene=scene, expires_at=utc_now() + timedelta(seconds=2))
        page = page_of(simulator.client, opened := far.gateway.open_order(order))
        press(simulator.client, page, "enter")

        until(lambda: utc_now() > order.expires_at)
        press(simulator.client, page, "yes")

        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.CLOSED

    def test_a_page_of_another_amount_is_never_shown(self, far, simulator):
        order, _ = TestAlipay().opened(far, scene=Scene.DESKTOP)
        other = replace(order, amount_fen=order.amount_fen + 1)

        shown = simulator.client.get(far.gateway.open_order(other).pay_url)

        assert shown.status_code == 400
        assert "ACQ.CONTEXT_INCONSISTENT" in shown.text

    def test_what_alipay_takes_for_its_own_never_stands_in_a_subject(self, far):
        order = an_order(scene=Scene.SCREEN, subject="water/power=1&gas,2\n")

        assert far.gateway.open_order(order).status is GatewayStatus.OPEN


class TestWhatIsKnown:
    @pytest.mark.parametrize("fault", ["busy", "system_error", "other_key"])
    def test_an_answer_that_proves_nothing_is_not_knowing(self, far, fault):
        order, opened = TestAlipay().opened(far)
        far.choose(order, opened, "nothing")

        far.fault(order.order_no, fault)

        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.UNKNOWN
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.PAID

    def test_a_trade_that_all_was_sent_back_of_is_still_one_that_was_paid(self, far):
        order, paid = TestAlipay().paid(far)
        assert settled(far.gateway, a_refund(order, paid)).state is RefundState.SENT

        told = far.gateway.query(asked(order, paid))

        assert (told.status, told.gateway_ref) == (GatewayStatus.PAID, paid.gateway_ref)

    def test_a_key_that_is_not_ours_opens_nothing(self, far, keys, simulator):
        stranger = KeyPair.make()
        gateway = Alipay(
            f"{simulator.client.base_url}/alipay/gateway.do", US,
            plain_keys(stranger.private_pem, keys.far_public_pem),
        )  # fmt: skip
        order = an_order(scene=Scene.SCREEN)

        reply = gateway.open_order(order)
        gateway.hang_up()

        assert (reply.status, reply.reason) == (GatewayStatus.REFUSED, "isv.invalid-signature")
        assert far.gateway.query(asked(order)).status is GatewayStatus.NOT_FOUND

    @pytest.mark.parametrize(
        "change",
        [
            {"send_pay_date": "yesterday"},
            {"send_pay_date": "２０26-11-20 12:00:00x"},
            {"total_amount": "86.505"},
            {"total_amount": "1e3"},
            {"trade_status": "TRADE_PENDING"},
            {"out_trade_no": "CB2"},
            {"trade_no": ""},
        ],
    )
    def test_a_signed_answer_that_makes_no_sense_is_not_knowing(self, keys, change):
        facts = {
            "code": "10000", "msg": "Success", "out_trade_no": "CB1", "trade_no": "2026",
            "trade_status": "TRADE_SUCCESS", "total_amount": "86.50",
            "send_pay_date": "2026-11-20 12:00:00",
        }  # fmt: skip

        assert told_by(keys, facts).status is GatewayStatus.PAID
        assert told_by(keys, facts | change).status is GatewayStatus.UNKNOWN

    def test_times_are_beijings(self, keys):
        facts = {
            "code": "10000", "out_trade_no": "CB1", "trade_no": "2026", "total_amount": "0.01",
            "trade_status": "TRADE_FINISHED", "send_pay_date": "2026-11-20 00:00:05",
        }  # fmt: skip

        told = told_by(keys, facts)

        assert told.paid_at == datetime(2026, 11, 19, 16, 0, 5, tzinfo=UTC)
        assert told.amount_fen == 1

    def test_an_answer_is_verified_as_it_was_written(self, keys):
        inner = '{ "code" : "10000","out_trade_no":"CB1", "trade_no":"2026","x":"a\\/b\\u4e2d",\n'
        inner += '"trade_status":"TRADE_SUCCESS","total_amount":"86.50"}'

        assert told_by(keys, inner).status is GatewayStatus.PAID

    def test_an_unsigned_error_proves_nothing(self, keys):
        body = '{"error_response":{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}}'

        assert heard(keys, body).status is GatewayStatus.UNKNOWN

    @pytest.mark.parametrize("code", ["20000", "20001", "40001", "40006"])
    def test_a_code_that_says_nothing_of_the_order_is_not_knowing(self, keys, code):
        assert told_by(keys, {"code": code}).status is GatewayStatus.UNKNOWN


class TestCancel:
    def test_what_waits_is_closed_what_was_paid_goes_back_what_is_not_there_is_told(self, far):
        waiting, opened = TestAlipay().opened(far)
        paid_order, paid = TestAlipay().paid(far)
        never = an_order()

        assert far.gateway.cancel(asked(waiting, opened)).reason == "close"
        assert far.gateway.cancel(asked(paid_order, paid)).reason == "refund"
        assert far.gateway.cancel(asked(never)).status is GatewayStatus.NOT_FOUND
        assert far.gateway.query(asked(waiting, opened)).status is GatewayStatus.CLOSED


class TestRefunds:
    def test_want_of_money_in_our_account_is_no_refusal(self, far):
        order, paid = TestAlipay().paid(far)
        far.fault(order.order_no, "no_balance")
        refund = a_refund(order, paid)

        assert far.gateway.refund(refund).state is RefundState.UNKNOWN
        assert far.gateway.query_refund(refund).state is RefundState.NOT_FOUND
        assert settled(far.gateway, refund).state is RefundState.SENT

    def test_one_that_was_accepted_is_pending_until_it_was_made(self, far):
        order, paid = TestAlipay().paid(far)
        far.fault(order.order_no, "slow_refund")
        refund = a_refund(order, paid)

        assert far.gateway.refund(refund).state is RefundState.PENDING
        until(lambda: far.gateway.query_refund(refund).state is RefundState.SENT)

    @pytest.mark.parametrize("fault", ["silent", "error", "busy", "system_error"])
    def test_one_whose_answer_was_lost_is_found_by_asking(self, far, fault):
        order, paid = TestAlipay().paid(far)
        far.fault(order.order_no, fault)
        refund = a_refund(order, paid)

        assert far.gateway.refund(refund).state is RefundState.UNKNOWN
        assert far.gateway.query_refund(refund).state is RefundState.SENT

    def test_the_same_number_with_another_amount_is_not_knowing(self, far):
        order, paid = TestAlipay().paid(far)
        settled(far.gateway, a_refund(order, paid, amount_fen=100))

        other = a_refund(order, paid, amount_fen=101)

        assert far.gateway.refund(other).state is RefundState.UNKNOWN
        assert far.gateway.query_refund(other).state is RefundState.UNKNOWN

    @pytest.mark.parametrize(
        ("known", "state"),
        [
            ({"code": "10000"}, RefundState.REFUSED),
            ({"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST"}, RefundState.REFUSED),
            ({"code": "20000"}, RefundState.UNKNOWN),
            ({"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"}, RefundState.UNKNOWN),
            (
                {
                    "code": "10000", "refund_status": "REFUND_SUCCESS", "refund_amount": "86.50",
                    "out_trade_no": "CB1", "out_request_no": "RCB1", "trade_no": "2026",
                },
                RefundState.SENT,
            ),
        ],
    )  # fmt: skip
    def test_a_no_is_one_only_if_nothing_went_under_its_number_before(self, keys, known, state):
        order = an_order(order_no="CB1")
        facts = {
            "alipay.trade.refund": {"code": "40004", "sub_code": "ACQ.TRADE_HAS_FINISHED"},
            "alipay.trade.fastpay.refund.query": known,
        }

        with answering(keys, facts) as url:
            gateway = gateway_at(url, keys)
            reply = gateway.refund(a_refund(order, GatewayReply(status=GatewayStatus.PAID)))
            gateway.hang_up()

        assert reply.state is state

    def test_its_notification_names_our_refund(self, far, shop):
        shop.speak(far.gateway)
        order, paid = TestAlipay().paid(far, shop)
        refund = a_refund(order, paid, amount_fen=50)
        settled(far.gateway, refund)

        until(lambda: bool(shop.received))
        headers, body = shop.received[0]
        told = far.gateway.read_callback(headers, body.encode(), now=utc_now())
        assert (told.kind, told.reference) == (CallbackKind.REFUND, refund.refund_no)


class TestNotifications:
    FACTS = {  # noqa: RUF012
        "notify_id": "n1", "app_id": APP_ID, "seller_id": SELLER_ID, "out_trade_no": "CB1",
        "trade_no": "2026", "trade_status": "TRADE_SUCCESS", "total_amount": "86.50",
        "subject": "水费 + a%20b=c&d", "fund_bill_list": '[{"amount":"86.50"}]',
        "notify_time": "2019-01-01 00:00:00",
    }  # fmt: skip

    def read(self, far: FarSide, keys: FarKeys, **changes: str):
        return far.gateway.read_callback({}, notice(keys, self.FACTS | changes), now=utc_now())

    def test_it_is_decoded_once_and_may_be_years_old(self, far, keys):
        told = self.read(far, keys)

        assert (told.kind, told.reference) == (CallbackKind.PAYMENT, "CB1")

    def test_one_fact_under_two_numbers_is_one(self, far, keys):
        first = self.read(far, keys)
        again = self.read(far, keys, notify_id="n2", notify_time="2026-11-20 12:00:00")
        other = self.read(far, keys, trade_status="TRADE_CLOSED")

        assert first == again != other

    def test_sign_type_is_no_part_of_what_is_signed(self, far, keys):
        with pytest.raises(NotAllowed):
            far.gateway.read_callback(
                {}, notice(keys, self.FACTS, with_sign_type=True), now=utc_now()
            )

    @pytest.mark.parametrize("change", [
        {"app_id": "2021000000000009"}, {"seller_id": "2088000000000009"},
    ])  # fmt: skip
    def test_another_merchants_is_refused_though_alipay_signed_it(self, far, keys, change):
        with pytest.raises(NotAllowed):
            self.read(far, keys, **change)

    @pytest.mark.parametrize("name", ["total_amount", "out_trade_no", "trade_status", "sign"])
    def test_a_tampered_one_is_refused(self, far, keys, name):
        pairs = dict(parse_qsl(notice(keys, self.FACTS).decode()))
        pairs[name] = ("A" if pairs[name][0] != "A" else "B") + pairs[name][1:]

        with pytest.raises(NotAllowed):
            far.gateway.read_callback({}, urlencode(pairs).encode(), now=utc_now())

    @pytest.mark.parametrize("added", ["&sign_type=RSA", "&sign=", "&x=1&x=2"])
    def test_a_field_that_comes_twice_is_refused(self, far, keys, added):
        with pytest.raises(Invalid):
            far.gateway.read_callback({}, notice(keys, self.FACTS) + added.encode(), now=utc_now())

    @pytest.mark.parametrize("body", [b"{}", b"\xff", b"a", "水=1".encode(), b"a=%ff"])
    def test_what_is_no_form_is_no_callback(self, far, body):
        with pytest.raises(Invalid):
            far.gateway.read_callback({}, body, now=utc_now())

    @pytest.mark.parametrize("body", [b"", b"trade_status=TRADE_SUCCESS"])
    def test_a_form_of_anybodys_is_forged(self, far, body):
        with pytest.raises(NotAllowed):
            far.gateway.read_callback({}, body, now=utc_now())

    @given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
    def test_nothing_but_a_signed_form_is_read(self, far, body):
        with pytest.raises((NotAllowed, Invalid)):
            far.gateway.read_callback({}, body, now=utc_now())

    def test_that_the_payer_has_come_is_of_no_use(self, far, keys):
        assert self.read(far, keys, trade_status="WAIT_BUYER_PAY") is None

    def test_the_answers_are_the_words_alipay_knows(self, far):
        assert far.gateway.answer_callback(taken=True).body == "success"
        assert far.gateway.answer_callback(taken=False).body == "failure"

    def test_two_numbers_for_one_payment_arrive_as_one(self, far, shop):
        shop.speak(far.gateway)
        order, opened = TestAlipay().opened(far, shop)

        far.choose(order, opened, "twice")
        until(lambda: len(shop.received) == 2)

        bodies = [dict(parse_qsl(body)) for _, body in shop.received]
        assert bodies[0]["notify_id"] != bodies[1]["notify_id"]
        read = {
            far.gateway.read_callback(headers, body.encode(), now=utc_now())
            for headers, body in shop.received
        }
        assert len(read) == 1


class TestTheDaysFile:
    def test_it_is_fetched_and_read(self, far):
        TestAlipay().paid(far)
        day = billing_date(utc_now())

        fetched = far.gateway.fetch_settlement(day)

        assert (fetched.state, fetched.file_name) == (FileState.READY, f"alipay-trade-{day}.zip")
        assert fetched.content.startswith(b"PK")
        assert far.gateway.fetch_fund_bill(day).state is FileState.READY

    @pytest.mark.parametrize(
        ("fault", "state"), [("not_yet", FileState.NOT_YET), ("no_data", FileState.NO_DATA)]
    )
    def test_not_yet_and_nothing_are_told_apart(self, far, fault, state):
        TestAlipay().paid(far)
        far.fault("bill", fault)

        assert far.gateway.fetch_settlement(billing_date(utc_now())).state is state

    def test_an_address_that_gives_no_file_is_not_knowing(self, keys):
        facts = {"code": "10000", "bill_download_url": "http://127.0.0.1:9x/y"}
        with saying(answer(keys, "alipay_data_dataservice_bill_downloadurl_query", facts)) as url:
            fetched = gateway_at(url, keys).fetch_settlement(billing_date(utc_now()))

        assert fetched.state is FileState.UNKNOWN


class TestSettings:
    def test_without_any_there_is_no_alipay(self):
        assert from_settings(Settings(_env_file=None)) is None

    def test_by_half_it_is_refused_with_what_is_missing(self):
        with pytest.raises(Invalid, match=r"SELLER_ID, .*PUBLIC_KEY"):
            from_settings(Settings(_env_file=None, alipay_app_id=APP_ID))

    def test_a_file_that_is_no_key_is_named(self, tmp_path):
        (tmp_path / "not.pem").write_text("no key")
        chosen = Settings(
            _env_file=None, alipay_app_id=APP_ID, alipay_seller_id=SELLER_ID,
            alipay_private_key=str(tmp_path / "not.pem"),
            alipay_public_key=str(tmp_path / "gone.pem"),
        )  # fmt: skip

        with pytest.raises(Invalid, match=r"gone\.pem"):
            from_settings(chosen)
        (tmp_path / "gone.pem").write_text("no key either")
        with pytest.raises(Invalid, match="private key is no PEM"):
            from_settings(chosen)


def gateway_at(url: str, keys: FarKeys) -> Alipay:
    return Alipay(url, US, plain_keys(keys.private_pem, keys.far_public_pem))


def told_by(keys: FarKeys, facts: dict[str, str] | str) -> GatewayReply:
    """Query an Alipay that gives this signed answer."""
    with saying(answer(keys, "alipay_trade_query", facts)) as url:
        gateway = gateway_at(url, keys)
        reply = gateway.query(Asked(order_no="CB1", amount_fen=8_650, asked_at=utc_now()))
        gateway.hang_up()
    return reply


def heard(keys: FarKeys, body: str) -> GatewayReply:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with saying((head + body).encode()) as url:
        gateway = gateway_at(url, keys)
        reply = gateway.query(Asked(order_no="CB1", amount_fen=8_650, asked_at=utc_now()))
        gateway.hang_up()
    return reply


def test_an_address_holds_no_more_than_it_must(keys):
    opened = gateway_at("http://127.0.0.1:9/gateway.do", keys).open_order(
        an_order(scene=Scene.PHONE)
    )

    params = dict(parse_qsl(urlsplit(opened.pay_url).query))
    assert set(params) == {
        "app_id", "method", "format", "charset", "sign_type", "timestamp", "version",
        "biz_content", "notify_url", "return_url", "sign",
    }  # fmt: skip
