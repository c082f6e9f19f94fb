"""The far side of Alipay, held against its wire notes by a client written from them here."""

import base64
import io
import json
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from core.clock import BILLING_ZONE, billing_date, utc_now
from tests.simulator.conftest import Shop, Simulator, running, until

PRODUCTS = {
    "page": "FAST_INSTANT_TRADE_PAY", "wap": "QUICK_WAP_WAY", "app": "QUICK_MSECURITY_PAY",
}  # fmt: skip


@dataclass
class Merchant:
    """Signs as the notes say, and checks as they say."""

    client: httpx.Client
    key: rsa.RSAPrivateKey
    alipay: rsa.RSAPublicKey
    app_id: str = "2021000000000001"

    def signed(self, method: str, biz: dict[str, Any], **more: str) -> dict[str, str]:
        params = {
            "app_id": self.app_id, "method": method, "format": "JSON", "charset": "utf-8",
            "sign_type": "RSA2", "version": "1.0", "biz_content": json.dumps(biz),
            "timestamp": f"{utc_now().astimezone(BILLING_ZONE):%Y-%m-%d %H:%M:%S}", **more,
        }  # fmt: skip
        text = "&".join(f"{name}={params[name]}" for name in sorted(params) if params[name])
        raw = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return params | {"sign": base64.b64encode(raw).decode()}

    def call(self, method: str, biz: dict[str, Any], **more: str) -> dict[str, Any]:
        """Call, check the signature over the answer's own letters, and return what is in it."""
        answer = self.client.post("/alipay/gateway.do", data=self.signed(method, biz, **more))
        assert answer.status_code == 200, answer.text
        head = f'{{"{method.replace(".", "_")}_response":'
        inner, _, rest = answer.text.removeprefix(head).rpartition(',"sign":"')
        assert answer.text.startswith(head)
        self.verify(inner, rest.removesuffix('"}'))
        return json.loads(inner)

    def verify(self, text: str, signature: str) -> None:
        raw = base64.b64decode(signature, validate=True)
        self.alipay.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())

    def scanned(self, number: str, choice: str = "enter", **more: str) -> str:
        """Have a code made and the payer scan it; return its page."""
        told = self.call("alipay.trade.precreate", an_order(number), **more)
        assert told["code"] == "10000", told
        page = told["qr_code"]
        self.client.post(page, data={"choice": choice})
        return page

    def query(self, number: str) -> dict[str, Any]:
        return self.call("alipay.trade.query", {"out_trade_no": number})

    def refund(self, number: str, request_no: str, amount: str) -> dict[str, Any]:
        return self.call("alipay.trade.refund", {
            "out_trade_no": number, "out_request_no": request_no, "refund_amount": amount,
        })  # fmt: skip

    def fault(self, number: str, fault: str) -> None:
        told = self.client.post("/alipay/faults", json={"order_no": number, "fault": fault})
        assert told.status_code == 204, told.text


def an_order(number: str, **changes: Any) -> dict[str, Any]:
    return {
        "out_trade_no": number, "total_amount": "86.50", "subject": "水费 十月",
        "product_code": "FACE_TO_FACE_PAYMENT", "seller_id": "2088000000000001", **changes,
    }  # fmt: skip


def merchant_of(simulator: Simulator) -> Merchant:
    folder = simulator.data_dir / "keys"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "alipay-merchant.public.pem").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    theirs = serialization.load_pem_public_key((folder / "alipay.public.pem").read_bytes())
    assert isinstance(theirs, rsa.RSAPublicKey)
    return Merchant(simulator.client, key, theirs)


@pytest.fixture(scope="module")
def merchant(simulator: Simulator) -> Merchant:
    return merchant_of(simulator)


class TestSignatures:
    @pytest.mark.parametrize("name", ["biz_content", "timestamp", "app_id", "notify_url", "sign"])
    def test_a_parameter_that_was_changed_or_added_afterwards_is_refused(self, merchant, name):
        params = merchant.signed("alipay.trade.query", {"out_trade_no": "s1"})
        params[name] = params.get(name, "x")[:-1] + "x"

        told = merchant.client.post("/alipay/gateway.do", data=params).text

        wanted = "isv.invalid-app-id" if name == "app_id" else "isv.invalid-signature"
        assert '"code":"40002"' in told
        assert wanted in told

    def test_an_app_nobody_knows_gets_an_error_without_a_signature(self, merchant):
        stranger = Merchant(merchant.client, merchant.key, merchant.alipay, app_id="2021")

        told = merchant.client.post(
            "/alipay/gateway.do", data=stranger.signed("alipay.trade.query", {})
        ).json()

        assert set(told) == {"error_response"}

    def test_sign_type_is_signed_in_a_request(self, merchant):
        params = merchant.signed("alipay.trade.query", {"out_trade_no": "s2"})
        kept = sorted((k, v) for k, v in params.items() if k not in {"sign", "sign_type"})
        text = "&".join(f"{name}={value}" for name, value in kept)
        raw = merchant.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        params["sign"] = base64.b64encode(raw).decode()

        assert "isv.invalid-signature" in merchant.client.post(
            "/alipay/gateway.do", data=params
        ).text  # fmt: skip

    def test_a_forged_page_is_not_shown(self, merchant):
        biz = an_order("s3", product_code=PRODUCTS["page"])
        params = merchant.signed("alipay.trade.page.pay", biz)
        params["biz_content"] = params["biz_content"].replace("86.50", "0.01")

        shown = merchant.client.get("/alipay/gateway.do", params=params)

        assert shown.status_code == 400
        assert "isv.invalid-signature" in shown.text


class TestTrades:
    def test_there_is_no_trade_before_the_payer_comes(self, merchant):
        told = merchant.call("alipay.trade.precreate", an_order("t1"))

        assert merchant.query("t1")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
        merchant.client.post(told["qr_code"], data={"choice": "enter"})
        found = merchant.query("t1")
        assert (found["trade_status"], found["total_amount"]) == ("WAIT_BUYER_PAY", "86.50")
        assert "send_pay_date" not in found

    def test_the_same_again_is_the_same_code_and_otherwise_inconsistent(self, merchant):
        first, again = (merchant.call("alipay.trade.precreate", an_order("t2")) for _ in range(2))
        other = merchant.call("alipay.trade.precreate", an_order("t2", total_amount="86.51"))

        assert first["qr_code"] == again["qr_code"]
        assert other["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"

    def test_paid_it_says_when_and_cannot_be_closed(self, merchant):
        merchant.scanned("t3", "nothing")

        told = merchant.query("t3")

        assert told["trade_status"] == "TRADE_SUCCESS"
        assert told["send_pay_date"][:10] == str(billing_date(utc_now()))
        assert told["receipt_amount"] == "0.00"
        closed = merchant.call("alipay.trade.close", {"out_trade_no": "t3"})
        assert closed["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
        again = merchant.call("alipay.trade.precreate", an_order("t3"))
        assert again["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"

    def test_who_leaves_without_paying_leaves_it_waiting(self, merchant):
        merchant.scanned("t4", "no")

        assert merchant.query("t4")["trade_status"] == "WAIT_BUYER_PAY"

    def test_closed_it_stays_closed(self, merchant):
        page = merchant.scanned("t5")

        assert merchant.call("alipay.trade.close", {"out_trade_no": "t5"})["code"] == "10000"
        merchant.client.post(page, data={"choice": "yes"})
        assert merchant.query("t5")["trade_status"] == "TRADE_CLOSED"

    def test_its_time_is_beijings_and_ends_it(self, merchant):
        soon = (utc_now() + timedelta(seconds=2)).astimezone(BILLING_ZONE)
        biz = an_order("t6", time_expire=f"{soon:%Y-%m-%d %H:%M:%S}")
        page = merchant.call("alipay.trade.precreate", biz)["qr_code"]
        merchant.client.post(page, data={"choice": "enter"})

        until(lambda: merchant.query("t6")["trade_status"] == "TRADE_CLOSED")

    @pytest.mark.parametrize("kind", ["page", "wap", "app"])
    def test_pages_and_strings_lead_to_the_cashier(self, merchant, kind):
        method = f"alipay.trade.{kind}.pay"
        params = merchant.signed(
            method, an_order(f"t7{kind}", product_code=PRODUCTS[kind]),
            return_url="http://127.0.0.1:9/back",
        )  # fmt: skip
        if kind == "app":
            shown = merchant.client.post("/alipay/wallet", content=urlencode(params))
        else:
            shown = merchant.client.get("/alipay/gateway.do", params=params)

        page = shown.headers["location"]
        assert "¥86.50" in merchant.client.get(page).text
        back = merchant.client.post(page, data={"choice": "nothing"})
        assert back.headers["location"] == "http://127.0.0.1:9/back"
        assert merchant.query(f"t7{kind}")["trade_status"] == "TRADE_SUCCESS"

    @pytest.mark.parametrize(
        "change",
        [
            {"total_amount": "0.00"}, {"total_amount": "86.505"}, {"total_amount": "100000000.01"},
            {"subject": "a=b"}, {"subject": ""}, {"out_trade_no": "a b"},
            {"product_code": "OTHER"}, {"time_expire": "2020-01-01 00:00:00"},
            {"time_expire": "tomorrow"}, {"seller_id": "2088"},
        ],
    )  # fmt: skip
    def test_a_malformed_order_is_refused(self, merchant, change):
        told = merchant.call("alipay.trade.precreate", an_order("t8") | change)

        assert told["code"] == "40004"
        assert merchant.query("t8")["sub_code"] == "ACQ.TRADE_NOT_EXIST"

    def test_cancel_closes_what_waits_and_sends_back_what_was_paid(self, merchant):
        merchant.scanned("t9")
        merchant.scanned("t9b", "nothing")

        actions = [
            merchant.call("alipay.trade.cancel", {"out_trade_no": number}).get("action")
            for number in ("t9", "t9b", "t9c")
        ]

        assert actions == ["close", "refund", None]
        assert merchant.query("t9b")["trade_status"] == "TRADE_CLOSED"
        assert "send_pay_date" in merchant.query("t9b")

    def test_it_remembers_over_a_restart(self, tmp_path):
        with running(tmp_path) as first:
            merchant = merchant_of(first)
            merchant.scanned("t10", "nothing")
            merchant.refund("t10", "r1", "1.00")
        with running(tmp_path) as again:
            merchant.client = again.client
            assert merchant.query("t10")["trade_status"] == "TRADE_SUCCESS"
            told = merchant.refund("t10", "r1", "1.00")
            assert (told["fund_change"], told["refund_fee"]) == ("N", "1.00")


class TestRefunds:
    def asked(self, merchant: Merchant, number: str, request_no: str) -> dict[str, Any]:
        return merchant.call("alipay.trade.fastpay.refund.query", {
            "out_trade_no": number, "out_request_no": request_no,
            "query_options": ["gmt_refund_pay"],
        })  # fmt: skip

    def test_the_same_again_moves_nothing_and_more_than_was_paid_is_refused(self, merchant):
        merchant.scanned("r1", "nothing")

        told = [merchant.refund("r1", "x", "86.49")["fund_change"] for _ in range(2)]

        assert told == ["Y", "N"]
        more = merchant.refund("r1", "y", "0.02")
        assert more["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
        other = merchant.refund("r1", "x", "86.48")
        assert other["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
        assert merchant.query("r1")["trade_status"] == "TRADE_SUCCESS"
        merchant.refund("r1", "z", "0.01")
        assert merchant.query("r1")["trade_status"] == "TRADE_CLOSED"

    def test_a_query_says_when_only_if_it_is_asked_to(self, merchant):
        merchant.scanned("r2", "nothing")
        merchant.refund("r2", "x", "1.00")

        told = self.asked(merchant, "r2", "x")
        assert (told["refund_status"], told["refund_amount"]) == ("REFUND_SUCCESS", "1.00")
        assert told["gmt_refund_pay"][:10] == str(billing_date(utc_now()))
        assert "refund_status" not in self.asked(merchant, "r2", "never")

    def test_what_was_not_paid_cannot_go_back(self, merchant):
        merchant.scanned("r3")

        assert merchant.refund("r3", "x", "1.00")["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
        assert merchant.refund("r4", "x", "1.00")["sub_code"] == "ACQ.TRADE_NOT_EXIST"

    def test_its_faults(self, merchant):
        merchant.scanned("r5", "nothing")
        merchant.fault("r5", "no_balance")
        told = merchant.refund("r5", "x", "1.00")
        assert told["sub_code"] == "ACQ.SELLER_BALANCE_NOT_ENOUGH"
        merchant.fault("r5", "slow_refund")
        assert merchant.refund("r5", "x", "1.00")["fund_change"] == "N"
        assert "refund_status" not in self.asked(merchant, "r5", "x")

        until(lambda: "refund_status" in self.asked(merchant, "r5", "x"))


class TestFaults:
    @pytest.mark.parametrize("fault", ["silent", "error", "busy", "system_error", "other_key"])
    def test_each_happens_once_and_after_the_act(self, merchant, fault):
        merchant.scanned(f"f-{fault}", "nothing")
        merchant.fault(f"f-{fault}", fault)
        params = merchant.signed("alipay.trade.refund", {
            "out_trade_no": f"f-{fault}", "out_request_no": "x", "refund_amount": "86.50",
        })  # fmt: skip

        try:
            answer = merchant.client.post("/alipay/gateway.do", data=params)
            lost = answer.status_code == 500 or '"code":"10000"' not in answer.text
        except httpx.HTTPError:
            lost = True

        assert lost is (fault != "other_key")
        assert merchant.query(f"f-{fault}")["trade_status"] == "TRADE_CLOSED"

    def test_another_amount_is_taken_and_told(self, merchant):
        merchant.fault("f1", "other_amount")
        merchant.scanned("f1", "nothing")

        assert merchant.query("f1")["total_amount"] == "86.51"


class TestNotifications:
    def verified(self, merchant: Merchant, body: str) -> dict[str, str]:
        told = dict(parse_qsl(body, strict_parsing=True))
        kept = sorted((k, v) for k, v in told.items() if k not in {"sign", "sign_type"})
        merchant.verify("&".join(f"{name}={value}" for name, value in kept), told["sign"])
        return told

    def paid(self, merchant: Merchant, shop: Shop, number: str, choice: str) -> None:
        merchant.scanned(number, choice, notify_url=shop.notify_url)

    def test_only_the_word_success_ends_it(self, merchant, shop):
        shop.answers = [200, 500]

        self.paid(merchant, shop, "n1", "yes")
        until(lambda: len(shop.received) == 4)  # 204 without the word is no success either

        told = [self.verified(merchant, body) for _, body in shop.received]
        assert len({one["notify_id"] for one in told}) == 1
        assert told[0]["trade_status"] == "TRADE_SUCCESS"
        assert told[0]["total_amount"] == "86.50"

    def test_the_word_ends_it(self, merchant, shop):
        shop.taken = shop.taken._replace(status_code=200, body="success")

        self.paid(merchant, shop, "n2", "twice")
        until(lambda: len(shop.received) == 2)
        self.paid(merchant, shop, "n3", "yes")
        until(lambda: len(shop.received) == 3)

        told = [self.verified(merchant, body) for _, body in shop.received]
        assert len({one["notify_id"] for one in told}) == 3

    def test_a_refund_is_told_with_its_number(self, merchant, shop):
        shop.taken = shop.taken._replace(status_code=200, body="success")
        self.paid(merchant, shop, "n4", "nothing")

        merchant.refund("n4", "x", "1.00")
        until(lambda: bool(shop.received))

        told = self.verified(merchant, shop.received[0][1])
        assert (told["out_biz_no"], told["refund_fee"]) == ("x", "1.00")
        assert told["gmt_refund"]


class TestBills:
    def address(self, merchant: Merchant, kind: str = "trade", day: str = "") -> dict[str, Any]:
        biz = {"bill_type": kind, "bill_date": day or str(billing_date(utc_now()))}
        return merchant.call("alipay.data.dataservice.bill.downloadurl.query", biz)

    def members(self, content: bytes) -> dict[str, str]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert not any(info.flag_bits & 0x800 for info in archive.infolist())
            return {
                info.filename.encode("cp437").decode("gbk"): archive.read(info).decode("gbk")
                for info in archive.infolist()
            }

    def fetched(self, merchant: Merchant, kind: str = "trade") -> dict[str, str]:
        url = self.address(merchant, kind)["bill_download_url"]
        return self.members(merchant.client.get(url, headers={"user-agent": "Shop"}).content)

    def test_a_days_trades_and_their_summary(self, merchant):
        merchant.scanned("b1", "nothing")
        merchant.refund("b1", "x1", "10.00")

        files = self.fetched(merchant)

        today = f"{billing_date(utc_now()):%Y%m%d}"
        name = f"20880000000000010156_{today}_业务明细"
        assert set(files) == {f"{name}.csv", f"{name}(汇总).csv"}
        text = files[f"{name}.csv"]
        assert text.startswith("#支付宝业务明细查询\n#账号：[20880000000000010156]\n")
        paid = next(line for line in text.split("\n") if "b1\t,交易" in line)
        back = next(line for line in text.split("\n") if "x1\t" in line)
        assert ",86.50,86.50," in paid
        assert paid.endswith("\t,-0.52,0.00,")
        assert ",-10.00,-10.00," in back

    def test_its_address_needs_a_name_of_ones_own_and_is_no_guess(self, merchant):
        merchant.scanned("b2", "nothing")
        url = self.address(merchant)["bill_download_url"]

        assert merchant.client.get(url).status_code == 403  # httpx's own User-Agent
        assert merchant.client.get(f"{url}0", headers={"user-agent": "Shop"}).status_code == 403

    @pytest.mark.parametrize(
        ("fault", "sub_code"), [("not_yet", "isp.BILL_NOT_EXIST"), ("no_data", "NO_BILL_DATA")]
    )
    def test_not_yet_and_nothing(self, merchant, fault, sub_code):
        merchant.scanned(f"b3-{fault}", "nothing")
        merchant.fault("bill", fault)

        assert self.address(merchant)["sub_code"] == sub_code

    def test_days_to_come_days_without_and_days_that_are_none(self, merchant):
        tomorrow = str(billing_date(utc_now()) + timedelta(days=1))

        found = [
            self.address(merchant, day=day)["sub_code"]
            for day in (tomorrow, "2020-01-01", "2026-13-01")
        ]

        assert found == ["isp.BILL_NOT_EXIST", "NO_BILL_DATA", "isp.INVAILID_ARGUMENTS"]

    @pytest.mark.parametrize(
        ("fault", "rows", "adds_up"),
        [("missing", -1, True), ("extra", 1, True), ("amount", 0, True), ("trailer", 0, False)],
    )
    def test_it_can_be_made_wrong(self, merchant, fault, rows, adds_up):
        merchant.scanned(f"b4-{fault}", "nothing")
        right, wrong = self.fetched(merchant), None
        merchant.fault("bill", fault)
        wrong = self.fetched(merchant)

        right_text, text = (next(iter(files.values())) for files in (right, wrong))
        assert text != right_text
        assert text.count("\n") - right_text.count("\n") == rows
        paid = [line.split(",")[12] for line in text.split("\n") if "\t,交易\t" in line]
        fen = sum(int(yuan.replace(".", "")) for yuan in paid)
        total = f"#交易合计：{len(paid)}笔，商家实收共{fen // 100}.{fen % 100:02d}元"
        assert (total in text) is adds_up

    def test_the_fund_bill_has_the_fee_in_a_row_of_its_own(self, merchant):
        merchant.scanned("b5", "nothing")

        text = next(iter(self.fetched(merchant, "signcustomer").values()))

        rows = [line for line in text.split("\n") if "b5\t" in line]
        assert [line.split(",")[10] for line in rows] == ["在线支付", "收费"]

    def test_a_person_gets_it_at_the_page(self, merchant):
        merchant.scanned("b6", "nothing")
        today = billing_date(utc_now())

        answer = merchant.client.get(f"/alipay/downloads/{today}.zip?fault=extra")

        assert any("unknown" in text for text in self.members(answer.content).values())
        shown = merchant.client.get("/alipay").text
        assert "b6" in shown
        assert merchant.client.get("/alipay/downloads/nonsense.zip").status_code == 422
