"""The far side of WeChat Pay, asked by a client made by hand from ``docs/wire/wechatpay.md``."""

import base64
import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.simulator.conftest import Shop, Simulator, running, until
from tests.simulator.wechatpay_shop import (
    API_V3_KEY,
    APPID,
    MCHID,
    PUBLIC_KEY_ID,
    SERIAL,
    Merchant,
    a_merchant,
)

ORDERS, REFUNDS = "/v3/pay/transactions", "/v3/refund/domestic/refunds"


@dataclass
class Client:
    """A merchant's program, as simple as the wire notes allow."""

    merchant: Merchant
    simulator: Simulator

    def ask(
        self, method: str, path: str, body: Any = None, *, late: int = 0, **wrong: str
    ) -> httpx.Response:
        target, content = f"/wechatpay{path}", "" if body is None else json.dumps(body)
        key = serialization.load_pem_private_key(self.merchant.ours.private.read_bytes(), None)
        seconds = str(int(time.time()) - late)
        message = f"{method}\n{target}\n{seconds}\nn0nce\n{content}\n".encode()
        signature = base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        given = {
            "mchid": MCHID, "nonce_str": "n0nce", "signature": signature.decode(),
            "timestamp": seconds, "serial_no": SERIAL, **wrong,
        }  # fmt: skip
        told = ",".join(f'{name}="{value}"' for name, value in given.items())
        headers = {"Authorization": f"WECHATPAY2-SHA256-RSA2048 {told}"}
        return self.simulator.client.request(method, target, content=content, headers=headers)

    def is_signed(self, headers: Any, body: bytes) -> bool:
        """Check a message with the public key of the platform. Raises InvalidSignature."""
        assert headers["wechatpay-serial"] == PUBLIC_KEY_ID
        key = serialization.load_pem_public_key(self.merchant.theirs.public.read_bytes())
        signed = f"{headers['wechatpay-timestamp']}\n{headers['wechatpay-nonce']}\n".encode()
        signature = base64.b64decode(headers["wechatpay-signature"])
        key.verify(signature, signed + body + b"\n", padding.PKCS1v15(), hashes.SHA256())
        return True

    def open(self, number: str, shop: Shop | None = None, **changes: Any) -> str:
        """Open an order to be paid by a code, and return the code."""
        answer = self.ask("POST", f"{ORDERS}/native", an_order(number, shop, **changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["code_url"])

    def pay(self, number: str, shop: Shop | None = None, choice: str = "yes", **changes: Any):
        code = self.open(number, shop, **changes)
        answer = self.simulator.client.post(
            "/wechatpay/scan", params={"code": code}, data={"choice": choice}
        )
        assert answer.status_code == 303, answer.text

    def query(self, number: str) -> dict[str, Any]:
        told: dict[str, Any] = self.ask(
            "GET", f"{ORDERS}/out-trade-no/{number}?mchid={MCHID}"
        ).json()
        return told

    def close(self, number: str) -> httpx.Response:
        return self.ask("POST", f"{ORDERS}/out-trade-no/{number}/close", {"mchid": MCHID})

    def refund(self, number: str, order_no: str, fen: int = 650, **changes: Any) -> httpx.Response:
        amount = {"refund": fen, "total": 8_650, "currency": "CNY"}
        body = {"out_trade_no": order_no, "out_refund_no": number, "amount": amount}
        return self.ask("POST", REFUNDS, body | changes)

    def refunded(self, number: str) -> dict[str, Any]:
        told: dict[str, Any] = self.ask("GET", f"{REFUNDS}/{number}").json()
        return told

    def fault(self, number: str, name: str) -> None:
        self.simulator.client.post("/wechatpay/faults", json={"order_no": number, "fault": name})


def an_order(number: str, shop: Shop | None = None, **changes: Any) -> dict[str, Any]:
    ends_at = datetime.now(UTC) + timedelta(minutes=10)
    return {
        "appid": APPID, "mchid": MCHID, "description": "水费, 十月", "out_trade_no": number,
        "time_expire": ends_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "notify_url": shop.notify_url if shop else "http://127.0.0.1:9/nobody",
        "amount": {"total": 8_650, "currency": "CNY"}, **changes,
    }  # fmt: skip


def opened(resource: dict[str, str]) -> dict[str, Any]:
    sealed = base64.b64decode(resource["ciphertext"])
    nonce, about = resource["nonce"].encode(), resource["associated_data"].encode()
    told: dict[str, Any] = json.loads(AESGCM(API_V3_KEY.encode()).decrypt(nonce, sealed, about))
    return told


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("wechatpay")
    merchant = a_merchant(folder / "keys")
    with running(folder, wechatpay=merchant.options) as simulator:
        yield Client(merchant, simulator)


class TestSignatures:
    def test_an_answer_is_signed_a_no_and_an_empty_one_too(self, client):
        client.open("signed1")

        answers = [
            client.ask("GET", f"{ORDERS}/out-trade-no/signed1?mchid={MCHID}"),
            client.ask("GET", f"{ORDERS}/out-trade-no/nobody?mchid={MCHID}"),
            client.close("signed1"),
        ]

        assert [one.status_code for one in answers] == [200, 404, 204]
        assert all(client.is_signed(one.headers, one.content) for one in answers)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"signature": "AAAA"}, {"mchid": "1900000009"}, {"serial_no": "00"},
            {"nonce_str": "other"}, {"timestamp": "soon"}, {"late": 301}, {"late": -330},
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", f"{ORDERS}/native", an_order("signed2")),
            ("GET", f"{ORDERS}/out-trade-no/signed1?mchid={MCHID}", None),
            ("POST", f"{ORDERS}/out-trade-no/signed1/close", {"mchid": MCHID}),
            ("POST", REFUNDS, {}),
            ("GET", f"{REFUNDS}/r1", None),
            ("GET", "/v3/certificates", None),
            ("GET", "/v3/bill/tradebill?bill_date=2026-11-20", None),
            ("GET", "/v3/billdownload/file?token=1", None),
        ],
    )
    def test_a_wrong_or_old_request_is_401_and_unsigned(self, client, method, path, body, wrong):
        answer = client.ask(method, path, body, **wrong)

        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")
        assert "wechatpay-signature" not in answer.headers

    def test_the_query_is_signed_as_well_as_the_path(self, client):
        client.open("signed3")
        path = f"/wechatpay{ORDERS}/out-trade-no/signed3?mchid={MCHID}"
        sent = client.ask("GET", f"{ORDERS}/out-trade-no/signed3?mchid={MCHID}").request

        moved = client.simulator.client.get(f"{path}&x=1", headers=sent.headers)

        assert moved.status_code == 401


class TestOrders:
    def test_the_same_again_has_the_same_answer_and_another_has_none(self, client):
        order = an_order("again01")

        first, again = (client.ask("POST", f"{ORDERS}/native", order) for _ in range(2))
        other = client.ask(
            "POST", f"{ORDERS}/native", order | {"amount": {"total": 1, "currency": "CNY"}}
        )
        as_h5 = client.ask(
            "POST",
            f"{ORDERS}/h5",
            order | {"scene_info": {"payer_client_ip": "192.0.2.1", "h5_info": {"type": "Wap"}}},
        )

        assert first.json() == again.json()
        assert [one.json()["code"] for one in (other, as_h5)] == ["INVALID_REQUEST"] * 2

    @pytest.mark.parametrize(
        ("kind", "change"),
        [
            ("native", {"amount": {"total": 0, "currency": "CNY"}}),
            ("native", {"amount": {"total": 86.5, "currency": "CNY"}}),
            ("native", {"amount": {"total": 1, "currency": "USD"}}),
            ("native", {"out_trade_no": "short"}), ("native", {"description": "x" * 128}),
            ("native", {"time_expire": "2026-11-20 12:00:00"}),
            ("h5", {}), ("jsapi", {}), ("native", {"payer": {"openid": "o1"}}),
        ],
    )  # fmt: skip
    def test_a_malformed_one_is_400(self, client, kind, change):
        answer = client.ask("POST", f"{ORDERS}/{kind}", an_order("malformed") | change)

        assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")

    def test_a_paid_one_tells_everything_and_cannot_be_closed_or_opened(self, client):
        assert client.query("paid0001").get("code") == "ORDER_NOT_EXIST"
        client.pay("paid0001")

        told = client.query("paid0001")

        assert (told["trade_state"], told["amount"]["total"]) == ("SUCCESS", 8_650)
        assert told["transaction_id"].startswith("42000")
        assert datetime.fromisoformat(told["success_time"]).utcoffset() == timedelta(hours=8)
        assert client.close("paid0001").json()["code"] == "ORDERPAID"
        again = client.ask("POST", f"{ORDERS}/native", an_order("paid0001"))
        assert again.json()["code"] == "ORDERPAID"
        by_id = f"{ORDERS}/id/{told['transaction_id']}?mchid={MCHID}"
        assert client.ask("GET", by_id).json() == told

    def test_an_attempt_may_fail_and_the_next_succeed(self, client):
        browser, code = client.simulator.client, {"code": client.open("tries001")}

        browser.post("/wechatpay/scan", params=code, data={"choice": "no"})
        page = browser.get("/wechatpay/scan", params=code).text
        assert client.query("tries001")["trade_state"] == "NOTPAY"
        assert "上次未付成" in page
        assert page.count('name="choice"') == 5
        browser.post("/wechatpay/scan", params=code, data={"choice": "yes"})

        assert client.query("tries001")["trade_state"] == "SUCCESS"
        assert "tries001" in browser.get("/wechatpay").text

    def test_its_time_runs_out(self, client):
        ends_at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        client.open("expired1", time_expire=ends_at)

        assert client.query("expired1")["trade_state"] == "CLOSED"

    def test_of_many_payers_at_once_one_pays(self, client, shop):
        code = client.open("race0001", shop)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: client.simulator.client.post(
                "/wechatpay/scan", params={"code": code}, data={"choice": "yes"}), range(8)
            ))  # fmt: skip
        until(lambda: bool(shop.received))
        time.sleep(0.3)

        assert len(shop.received) == 1


class TestNotifications:
    def test_one_is_signed_encrypted_and_as_the_query_tells_it(self, client, shop):
        client.pay("notify01", shop)
        until(lambda: bool(shop.received))

        headers, body = shop.received[0]
        told = json.loads(body)
        assert client.is_signed(headers, body.encode())
        assert (told["event_type"], told["resource_type"]) == (
            "TRANSACTION.SUCCESS", "encrypt-resource",
        )  # fmt: skip
        assert opened(told["resource"]) == client.query("notify01")

    def test_it_comes_again_as_the_same_but_signed_anew_until_it_is_taken(self, client, shop):
        shop.answers = [500, 404]
        client.pay("notify02", shop)
        until(lambda: len(shop.received) == 3)
        time.sleep(0.3)

        assert len(shop.received) == 3
        assert len({body for _, body in shop.received}) == 1
        assert len({headers["wechatpay-nonce"] for headers, _ in shop.received}) == 3

    def test_nothing_is_never_told_and_twice_is_told_twice(self, client, shop):
        client.pay("notify03", shop, choice="nothing")
        client.pay("notify04", shop, choice="twice")
        until(lambda: len(shop.received) == 2)
        time.sleep(0.3)

        assert len({body for _, body in shop.received}) == 1

    def test_a_probe_is_wrong_on_purpose(self, client, shop):
        code = client.open("notify05", shop)
        client.fault("notify05", "probe")
        client.simulator.client.post(
            "/wechatpay/scan", params={"code": code}, data={"choice": "yes"}
        )
        until(lambda: len(shop.received) == 2)

        probes = [
            one for one, _ in shop.received
            if one["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/")
        ]  # fmt: skip
        assert len(probes) == 1


class TestRefunds:
    def test_one_is_processing_and_then_told(self, client, shop):
        client.pay("back0001", shop, choice="nothing")

        first, again = client.refund("R1", "back0001"), client.refund("R1", "back0001")

        assert first.json()["status"] == "PROCESSING"
        assert first.json()["refund_id"] == again.json()["refund_id"]
        until(lambda: client.refunded("R1")["status"] == "SUCCESS")
        until(lambda: bool(shop.received))
        told = opened(shop.events()[0]["resource"])
        assert (told["out_refund_no"], told["refund_status"]) == ("R1", "SUCCESS")
        assert client.query("back0001")["trade_state"] == "REFUND"

    @pytest.mark.parametrize("end", ["ABNORMAL", "CLOSED"])
    def test_one_may_not_arrive(self, client, end):
        client.pay(f"back{end}", choice="nothing")
        client.fault(f"back{end}", f"refund_{end.lower()}")

        client.refund(f"R{end}", f"back{end}", 8_650)

        until(lambda: client.refunded(f"R{end}")["status"] == end)
        more = client.refund(f"R{end}2", f"back{end}", 8_650)
        assert (more.status_code == 200) is (end == "CLOSED")  # the money is back with the merchant

    def test_up_to_the_amount_and_not_a_fen_more_however_many_at_once(self, client):
        client.pay("back0002", choice="nothing")

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(
                lambda at: client.refund(f"R2-{at}", "back0002", 3_000).status_code, range(8)
            ))  # fmt: skip

        assert sorted(answers) == [200] * 2 + [400] * 6

    def test_what_cannot_be_refunded_says_why(self, client):
        client.open("back0003")
        client.pay("back0004", choice="nothing")
        client.fault("back0004", "short")

        codes = [
            client.refund(*given).json()["code"]
            for given in (("R3", "back0003"), ("R4", "nobody"), ("R5", "back0004"))
        ]

        assert codes == ["RESOURCE_NOT_EXISTS", "RESOURCE_NOT_EXISTS", "NOT_ENOUGH"]
        assert client.refunded("R3")["code"] == "RESOURCE_NOT_EXISTS"


class TestKeys:
    def test_a_new_certificate_signs_and_only_the_merchant_can_read_it(self, tmp_path):
        merchant = a_merchant(tmp_path / "keys")
        with running(tmp_path, wechatpay=merchant.options) as simulator:
            client = Client(merchant, simulator)
            serial = simulator.client.post("/wechatpay/keys").json()["serial_no"]
        with running(tmp_path, wechatpay=merchant.options) as simulator:  # it is remembered
            client = Client(merchant, simulator)
            answer = client.ask("GET", "/v3/certificates")

        (told,) = answer.json()["data"]
        assert told["serial_no"] == answer.headers["wechatpay-serial"] == serial
        sealed = told["encrypt_certificate"]
        pem = AESGCM(API_V3_KEY.encode()).decrypt(
            sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), b"certificate"
        )
        certificate = x509.load_pem_x509_certificate(pem)
        assert f"{certificate.serial_number:X}" == serial


class TestBills:
    def bill(self, client: Client, kind: str = "tradebill") -> list[list[str]]:
        today = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%d")
        told = client.ask("GET", f"/v3/bill/{kind}?bill_date={today}&tar_type=GZIP").json()
        url = urlsplit(told["download_url"])
        path = f"{url.path}?{url.query}".removeprefix("/wechatpay")
        file = client.ask("GET", path)
        assert "wechatpay-signature" not in file.headers
        text = gzip.decompress(file.content)
        assert hashlib.sha1(text, usedforsecurity=False).hexdigest() == told["hash_value"]
        rows = text.decode("utf-8-sig").strip().split("\r\n")
        return [row.removeprefix("`").split(",`" if row[0] == "`" else ",") for row in rows]

    def test_the_trade_bill_adds_up_and_holds_a_payment_and_its_refund(self, client):
        client.pay("bill0001", choice="nothing")
        client.refund("RB1", "bill0001", 650)

        header, *lines, _, totals = self.bill(client)

        rows = [dict(zip(header, line, strict=True)) for line in lines]
        assert len(header) == 27
        mine = {one["交易状态"]: one for one in rows if one["商户订单号"] == "bill0001"}
        sale, back = mine["SUCCESS"], mine["REFUND"]
        assert (sale["应结订单金额"], sale["手续费"], sale["商品名称"]) == (
            "86.50", "0.52000", "水费, 十月",
        )  # fmt: skip
        assert (back["应结订单金额"], back["退款金额"], back["手续费"]) == (
            "0.00", "6.50", "-0.03000",
        )  # fmt: skip
        assert sale["微信订单号"] == back["微信订单号"]
        assert totals[0] == f"{len(rows)}.0"

    def test_the_fund_bill_follows_the_balance(self, client):
        client.pay("bill0002", choice="nothing")

        _, *lines, _, totals = self.bill(client, "fundflowbill")

        sign = {"收入": 1, "支出": -1}
        fen = [sign[one[5]] * int(one[6].replace(".", "")) for one in lines]
        balances = [int(one[7].replace(".", "")) for one in lines]
        assert all(
            b - a == more for a, b, more in zip(balances, balances[1:], fen[1:], strict=False)
        )
        assert int(totals[0]) == len(lines)

    @pytest.mark.parametrize("fault", ["missing", "extra", "amount", "fee", "trailer"])
    def test_a_bill_is_wrong_on_demand(self, client, fault):
        client.pay(f"bill-{fault}", choice="nothing")
        today = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%d")
        path = f"/wechatpay/downloads/{today}.csv"

        right, wrong = client.simulator.client.get(path), client.simulator.client.get(
            path, params={"fault": fault}
        )  # fmt: skip

        assert (right.status_code, wrong.status_code) == (200, 200)
        assert right.content != wrong.content

    def test_the_real_one_has_none_before_ten_the_next_day(self, tmp_path):
        merchant = a_merchant(tmp_path / "keys", bills_at_once=False)
        today = (datetime.now(UTC) + timedelta(hours=8)).date()
        with running(tmp_path, wechatpay=merchant.options) as simulator:
            client = Client(merchant, simulator)
            client.pay("bill0003", choice="nothing")
            codes = [
                client.ask("GET", f"/v3/bill/tradebill?bill_date={day}").json()["code"]
                for day in (today, today - timedelta(days=9), today + timedelta(days=1))
            ]

        assert codes == ["STATEMENT_CREATING", "NO_STATEMENT_EXIST", "INVALID_REQUEST"]


class TestPages:
    def test_the_first_page_leads_there_and_a_fault_is_switched_by_a_button(self, client):
        browser = client.simulator.client
        assert 'href="/wechatpay"' in browser.get("/").text
        client.open("pages001", description="<i>bill</i>")
        assert "&lt;i&gt;bill&lt;/i&gt;" in browser.get("/wechatpay").text

        switched = browser.post(
            "/wechatpay/faults", data={"order_no": "pages001", "fault": "limited"}
        )
        wrong = browser.post("/wechatpay/faults", data={"order_no": "pages001", "fault": "x"})

        assert (switched.status_code, wrong.status_code) == (303, 422)
        assert client.query("pages001")["code"] == "FREQUENCY_LIMITED"
        assert client.query("pages001")["trade_state"] == "NOTPAY"

    def test_of_nothing_is_404(self, client):
        for path in ("scan?code=weixin://wxpay/bizpayurl?pr=none", "scan?code=x", "h5?prepay_id=x"):
            assert client.simulator.client.get(f"/wechatpay/{path}").status_code == 404


class TestRestart:
    def test_orders_refunds_and_what_was_due_are_remembered(self, tmp_path, shop):
        merchant = a_merchant(tmp_path / "keys", hurry=15)  # the first wait is a second
        shop.answers = [500]
        with running(tmp_path, wechatpay=merchant.options) as simulator:
            client = Client(merchant, simulator)
            client.pay("kept0001", shop)
            until(lambda: len(shop.received) == 1)
            client.refund("RK", "kept0001", notify_url="http://127.0.0.1:9/nobody")
            before = client.query("kept0001")

        with running(tmp_path, wechatpay=merchant.options) as simulator:
            client = Client(merchant, simulator)
            until(lambda: len(shop.received) == 2)
            assert client.query("kept0001") == before
            until(lambda: client.refunded("RK")["status"] == "SUCCESS")


def test_a_simulator_without_it_knows_no_wechat_pay(simulator):
    assert simulator.client.get("/wechatpay").status_code == 404
    assert "/wechatpay" not in simulator.client.get("/").text
