"""The far side of UnionPay, held against its wire notes by a client written from them here."""

import base64
import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import lxml.html
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from core.clock import BILLING_ZONE, utc_now
from tests.payments.gateways.unionpay_keys import MER_ID, FarKeys
from tests.simulator.conftest import Shop, Simulator, running, until

NOW = f"{utc_now().astimezone(BILLING_ZONE):%Y%m%d%H%M%S}"
EARLIER = f"{(utc_now() - timedelta(minutes=1)).astimezone(BILLING_ZONE):%Y%m%d%H%M%S}"
COMMON = {
    "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "accessType": "0",
    "merId": MER_ID,
}  # fmt: skip
BACK, QUERY = "/unionpay/gateway/api/backTransReq.do", "/unionpay/gateway/api/queryTrans.do"
FRONT = "/unionpay/gateway/api/frontTransReq.do"
NOBODY = "http://www.specialUrl.com"


@dataclass
class Merchant:
    """Signs as the notes say, and checks as they say."""

    client: httpx.Client
    keys: FarKeys

    def signed(self, **fields: str) -> dict[str, str]:
        said = COMMON | {"certId": str(self.keys.ours.certificate.serial_number)} | fields
        return said | {"signature": self.keys.ours.sign(said)}

    def call(self, path: str, **fields: str) -> dict[str, str]:
        """Call, check the signature over what was answered, and return it."""
        answer = self.client.post(path, data=self.signed(**fields))
        assert answer.status_code == 200, answer.text
        told = dict(part.split("=", 1) for part in answer.text.split("&"))
        self.verify(told)
        return told

    def verify(self, told: dict[str, str]) -> None:
        theirs = x509.load_pem_x509_certificate(told["signPubKeyCert"].encode())
        theirs.verify_directly_issued_by(self.keys.middle.certificate)
        text = "&".join(f"{name}={told[name]}" for name in sorted(told) if name != "signature")
        theirs.public_key().verify(
            base64.b64decode(told["signature"], validate=True),
            hashlib.sha256(text.encode()).hexdigest().encode(),
            padding.PKCS1v15(), hashes.SHA256(),
        )  # fmt: skip

    def code(self, number: str, **changes: str) -> dict[str, str]:
        return self.call(BACK, **an_order(number, txnSubType="07", bizType="000000") | changes)

    def scanned(self, number: str, choice: str, **changes: str) -> str:
        told = self.code(number, **changes)
        assert told["respCode"] == "00", told
        self.client.post(told["qrCode"], data={"choice": choice})
        return told["qrCode"]

    def query(self, number: str, at: str = NOW) -> dict[str, str]:
        return self.call(
            QUERY, txnType="00", txnSubType="00", bizType="000000", orderId=number, txnTime=at
        )

    def refund(self, number: str, amount: str, **changes: str) -> dict[str, str]:
        return self.call(BACK, **{
            "txnType": "04", "txnSubType": "00", "bizType": "000000", "channelType": "07",
            "orderId": number, "txnTime": NOW, "txnAmt": amount, "backUrl": NOBODY, **changes,
        })  # fmt: skip

    def file(self, settle_date: str) -> dict[str, str]:
        return self.call(
            "/unionpay/files/", txnType="76", txnSubType="01", bizType="000000", fileType="00",
            settleDate=settle_date, txnTime=NOW,
        )  # fmt: skip

    def fault(self, number: str, fault: str) -> None:
        told = self.client.post("/unionpay/faults", json={"order_no": number, "fault": fault})
        assert told.status_code == 204, told.text


def an_order(number: str, **changes: Any) -> dict[str, str]:
    return {
        "txnType": "01", "txnSubType": "01", "bizType": "000201", "channelType": "08",
        "currencyCode": "156", "orderId": number, "txnTime": NOW, "txnAmt": "8650",
        "backUrl": "http://127.0.0.1:9/nobody", **changes,
    }  # fmt: skip


def merchant_of(simulator: Simulator) -> Merchant:
    keys = FarKeys.make()
    keys.lay(simulator.data_dir / "keys")
    return Merchant(simulator.client, keys)


@pytest.fixture(scope="module")
def merchant(simulator: Simulator) -> Merchant:
    return merchant_of(simulator)


class TestMessages:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"signature": "AAAA"}, "11"), ({"txnAmt": "1"}, "11"), ({"more": "1"}, "11"),
            ({"certId": "1"}, "11"), ({"merId": "777290058100002"}, "11"),
            ({"version": "5.0.0"}, "10"), ({"signMethod": "02"}, "11"),
        ],
    )  # fmt: skip
    def test_what_the_merchant_did_not_sign_is_refused_and_not_done(self, merchant, change, code):
        said = merchant.signed(**an_order("signed001", txnSubType="07", bizType="000000"))

        answer = merchant.client.post(BACK, data=said | change)

        assert f"respCode={code}&" in answer.text
        assert merchant.query("signed001")["respCode"] == "34"

    def test_without_keys_nobody_is_answered(self, tmp_path):
        with running(tmp_path) as simulator:
            answer = simulator.client.post(QUERY, data=COMMON)

        assert answer.status_code == 404


class TestOrders:
    def test_a_form_leads_to_the_page_and_back_to_the_shop(self, merchant):
        form = merchant.signed(**an_order("orders001", frontUrl="http://127.0.0.1:9/back"))

        page = merchant.client.post(FRONT, data=form).headers["location"]

        assert "¥86.50" in merchant.client.get(page).text
        assert merchant.client.post(page, data={"choice": "nothing"}).status_code == 303
        shown = lxml.html.fromstring(merchant.client.get(page).text)
        (back,) = shown.forms
        assert (back.method, back.action) == ("POST", "http://127.0.0.1:9/back")
        told = dict(back.form_values())
        merchant.verify(told)
        assert (told["orderId"], told["respCode"]) == ("orders001", "00")
        assert merchant.query("orders001")["origRespCode"] == "00"

    def test_a_form_that_is_not_the_merchants_shows_no_page(self, merchant):
        form = merchant.signed(**an_order("orders002", frontUrl="http://127.0.0.1:9/back"))

        shown = merchant.client.post(FRONT, data=form | {"txnAmt": "1"})

        assert shown.status_code == 400
        assert "11 " in shown.text

    def test_the_same_again_is_the_same_code_and_otherwise_twice(self, merchant):
        first, again = merchant.code("orders003"), merchant.code("orders003")

        assert first["qrCode"] == again["qrCode"]
        assert merchant.code("orders003", txnAmt="8651")["respCode"] == "12"
        assert merchant.code("orders003", txnTime=EARLIER)["respCode"] == "12"
        merchant.client.post(first["qrCode"], data={"choice": "nothing"})
        assert merchant.code("orders003")["respCode"] == "12"

    def test_what_is_asked_for_is_asked_for_now(self, merchant):
        assert merchant.code("orders013", txnTime="20260101000000")["respCode"] == "10"

    def test_an_order_is_known_by_its_number_and_its_time(self, merchant):
        merchant.code("orders004")

        assert merchant.query("orders004")["origRespCode"] == "05"
        assert merchant.query("orders004", at="20260101000000")["respCode"] == "34"

    def test_paid_it_says_what_and_when(self, merchant):
        merchant.scanned("orders005", "nothing")

        told = merchant.query("orders005")

        assert (told["origRespCode"], told["txnAmt"], told["currencyCode"]) == ("00", "8650", "156")
        assert len(told["queryId"]) == 21
        today = utc_now().astimezone(BILLING_ZONE)
        assert told["traceTime"][:4] in {f"{today:%m%d}", f"{today - timedelta(minutes=1):%m%d}"}
        cleared = (today + timedelta(hours=1)).date()
        assert told["settleDate"] == f"{cleared:%m%d}"

    @pytest.mark.parametrize(("choice", "code"), [("no", "64"), ("late", "05")])
    def test_declined_and_late(self, merchant, choice, code):
        page = merchant.scanned(f"orders6{choice}", choice)

        assert merchant.query(f"orders6{choice}")["origRespCode"] == code
        merchant.client.post(page, data={"choice": "yes"})
        until(lambda: merchant.query(f"orders6{choice}")["origRespCode"] in {"00", "64"})
        assert merchant.query(f"orders6{choice}")["origRespCode"] == {"no": "64"}.get(choice, "00")

    def test_its_time_is_beijings_and_ends_it(self, merchant):
        soon = (utc_now() + timedelta(seconds=2)).astimezone(BILLING_ZONE)
        page = merchant.code("orders007", payTimeout=f"{soon:%Y%m%d%H%M%S}")["qrCode"]

        until(lambda: merchant.query("orders007")["origRespCode"] == "69")
        merchant.client.post(page, data={"choice": "yes"})
        assert merchant.query("orders007")["origRespCode"] == "69"

    @pytest.mark.parametrize(
        "change",
        [
            {"orderId": "short"}, {"orderId": "with-hyphen"}, {"orderId": "a" * 41},
            {"txnAmt": "0"}, {"txnAmt": "86.50"}, {"txnAmt": "1" * 13}, {"currencyCode": "840"},
            {"txnTime": "2026-11-20"}, {"payTimeout": "20200101000000"}, {"backUrl": ""},
            {"channelType": "01"}, {"txnSubType": "09"},
        ],
    )  # fmt: skip
    def test_a_malformed_order_is_refused(self, merchant, change):
        changes = {k: v for k, v in change.items() if v}
        order = an_order("orders008", txnSubType="07", bizType="000000") | changes
        if "backUrl" in change:
            del order["backUrl"]

        told = merchant.call(BACK, **order)

        assert told["respCode"] in {"10", "13"}
        assert merchant.query("orders008")["respCode"] == "34"

    def test_it_remembers_over_a_restart(self, tmp_path):
        with running(tmp_path) as first:
            merchant = merchant_of(first)
            merchant.scanned("orders009", "nothing")
            ref = merchant.query("orders009")["queryId"]
            assert merchant.refund("refund009", "100", origQryId=ref)["respCode"] == "00"
        with running(tmp_path) as again:
            merchant.client = again.client
            assert merchant.query("orders009")["queryId"] == ref
            assert merchant.query("refund009")["origRespCode"] == "00"
            assert merchant.refund("refund009", "100", origQryId=ref)["respCode"] == "12"


class TestRefunds:
    def test_once_each_and_no_more_than_was_paid(self, merchant):
        merchant.scanned("refunds01", "nothing")
        ref = merchant.query("refunds01")["queryId"]

        told = [
            merchant.refund(number, amount, origQryId=ref)["respCode"]
            for number, amount in (
                ("refunds1a", "8649"), ("refunds1a", "8649"), ("refunds1b", "2"),
                ("refunds1c", "1"), ("refunds1d", "1"), ("refunds01", "1"),
            )
        ]  # fmt: skip

        assert told == ["00", "12", "36", "00", "36", "12"]
        found = merchant.query("refunds1a")
        assert (found["origRespCode"], found["txnAmt"]) == ("00", "8649")
        assert found["queryId"] != ref

    def test_what_was_not_paid_cannot_go_back(self, merchant):
        merchant.code("refunds02")

        for named in (
            {"origOrderId": "refunds02", "origTxnTime": NOW}, {"origQryId": "2" * 21}, {},
        ):  # fmt: skip
            assert merchant.refund("refunds2a", "1", **named)["respCode"] == "35"
        assert merchant.query("refunds2a")["respCode"] == "34"

    def test_a_payment_can_be_named_by_its_number_and_time(self, merchant):
        merchant.scanned("refunds03", "nothing")

        told = merchant.refund("refunds3a", "1", origOrderId="refunds03", origTxnTime=NOW)

        assert told["respCode"] == "00"

    def test_a_slow_one_is_accepted_first(self, merchant):
        merchant.scanned("refunds04", "nothing")
        ref = merchant.query("refunds04")["queryId"]
        merchant.fault("refunds04", "slow_refund")

        assert merchant.refund("refunds4a", "1", origQryId=ref)["respCode"] == "00"
        assert merchant.query("refunds4a")["origRespCode"] == "05"
        until(lambda: merchant.query("refunds4a")["origRespCode"] == "00")


class TestFaults:
    @pytest.mark.parametrize("fault", ["silent", "error", "busy", "other_key"])
    def test_each_happens_once_and_after_the_act(self, merchant, fault):
        number = f"faults{fault.replace('_', '')}"
        merchant.fault(number, fault)
        said = merchant.signed(**an_order(number, txnSubType="07", bizType="000000"))

        try:
            answer = merchant.client.post(BACK, data=said)
            lost = answer.status_code == 500 or "respCode=00" not in answer.text
        except httpx.HTTPError:
            lost = True

        assert lost is (fault != "other_key")
        assert merchant.query(number)["origRespCode"] == "05"

    def test_another_amount_is_taken_and_told(self, merchant):
        merchant.fault("faults001", "other_amount")
        merchant.scanned("faults001", "nothing")

        assert merchant.query("faults001")["txnAmt"] == "8651"


class TestNotifications:
    def told(self, merchant: Merchant, body: str) -> dict[str, str]:
        told = dict(parse_qsl(body, strict_parsing=True))
        merchant.verify(told)
        return told

    def test_only_200_ends_it_and_it_stays_the_same(self, merchant, shop: Shop):
        shop.answers = [204, 500]
        shop.taken = shop.taken._replace(status_code=200, body="ok")

        merchant.scanned("notices01", "yes", backUrl=shop.notify_url)
        until(lambda: len(shop.received) == 3)

        told = [self.told(merchant, body) for _, body in shop.received]
        assert told[0] == told[1] == told[2]
        assert (told[0]["respCode"], told[0]["txnType"], told[0]["txnAmt"]) == ("00", "01", "8650")
        assert told[0]["queryId"] == merchant.query("notices01")["queryId"]

    def test_a_refund_is_told_to_who_gave_an_address(self, merchant, shop: Shop):
        shop.taken = shop.taken._replace(status_code=200, body="ok")
        merchant.scanned("notices02", "nothing")
        ref = merchant.query("notices02")["queryId"]

        merchant.refund("notices2a", "100", origQryId=ref)
        merchant.refund("notices2b", "100", origQryId=ref, backUrl=shop.notify_url)
        until(lambda: bool(shop.received))

        (told,) = [self.told(merchant, body) for _, body in shop.received]
        assert (told["orderId"], told["txnType"]) == ("notices2b", "04")


class TestFiles:
    @property
    def today(self) -> Any:
        """The day UnionPay has begun, at 23:00 of the evening before."""
        return (utc_now().astimezone(BILLING_ZONE) + timedelta(hours=1)).date()

    def files(self, content: bytes) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def fetched(self, merchant: Merchant) -> dict[str, bytes]:
        told = merchant.file(f"{self.today:%m%d}")
        assert told["respCode"] == "00", told
        assert told["fileName"] == f"{MER_ID}_{self.today:%Y%m%d}.zip"
        return self.files(zlib.decompress(base64.b64decode(told["fileContent"])))

    def test_a_row_has_607_bytes_and_each_field_its_place(self, merchant):
        merchant.scanned("files0001", "nothing")
        ref = merchant.query("files0001")["queryId"]
        merchant.refund("files001a", "1000", origQryId=ref)

        files = self.fetched(merchant)

        head = f"{self.today:%y%m%d}88"
        assert set(files) == {
            f"INN{head}ZM_{MER_ID}", f"INN{head}ZME_{MER_ID}", f"RD{head}_{MER_ID}",
        }  # fmt: skip
        rows = files[f"INN{head}ZM_{MER_ID}"].split(b"\r\n")
        assert {len(row) for row in rows[:-1]} == {607}
        paid = next(row for row in rows if row[112:144].strip() == b"files0001")
        back = next(row for row in rows if row[112:144].strip() == b"files001a")
        assert paid[66:78] == b"000000008650"
        assert paid[87:108] == ref.encode()
        assert (paid[166:179], paid[180:193]) == (b"D000000000052", b"C000000008598")
        assert (paid[215:217], back[215:217]) == (b"01", b"04")
        assert (back[66:78], back[180:193]) == (b"000000001000", b"D000000001000")
        assert back[271:292] == ref.encode()
        assert paid[293:308] == MER_ID.encode()

    def test_its_totals_are_those_of_its_rows(self, merchant):
        merchant.scanned("files0002", "nothing")

        files = self.fetched(merchant)
        rows = next(raw for name, raw in files.items() if "ZM_" in name).split(b"\r\n")[:-1]
        summary = next(raw for name, raw in files.items() if name.startswith("RD")).decode("gbk")
        fen = 0
        for row in rows:
            fen += int(row[181:193]) * (-1 if row[180:181] == b"D" else 1)

        total = summary.strip().split("\r\n")[-1]
        assert total.startswith("合计")
        assert total.split()[-1].replace(",", "") == f"{fen // 100}.{fen % 100:02d}"

    def test_days_to_come_days_without_and_days_that_are_none(self, merchant):
        merchant.scanned("files0003", "nothing")
        tomorrow = self.today + timedelta(days=1)

        found = [merchant.file(one)["respCode"] for one in (f"{tomorrow:%m%d}", "0115", "1301")]

        assert found == ["98", "98", "10"]

    def test_not_yet(self, merchant):
        merchant.scanned("files0004", "nothing")
        merchant.fault("file", "not_yet")

        assert merchant.file(f"{self.today:%m%d}")["respCode"] == "98"
        assert merchant.file(f"{self.today:%m%d}")["respCode"] == "00"

    @pytest.mark.parametrize(
        ("fault", "rows"), [("missing", -1), ("extra", 1), ("amount", 0), ("trailer", 0)]
    )
    def test_it_can_be_made_wrong(self, merchant, fault, rows):
        merchant.scanned(f"files5{fault}", "nothing")
        right = self.fetched(merchant)
        merchant.fault("file", fault)
        wrong = self.fetched(merchant)

        def listed(files: dict[str, bytes]) -> int:
            return next(raw for name, raw in files.items() if "ZM_" in name).count(b"\r\n")

        assert wrong != right
        assert listed(wrong) - listed(right) == rows

    def test_a_person_gets_it_at_the_page(self, merchant):
        merchant.scanned("files0006", "nothing")

        answer = merchant.client.get(f"/unionpay/downloads/{self.today}.zip?fault=extra")

        assert any(b"unknown" in raw for raw in self.files(answer.content).values())
        shown = merchant.client.get("/unionpay").text
        assert "files0006" in shown
        assert merchant.client.get("/unionpay/downloads/nonsense.zip").status_code == 422
        later = self.today + timedelta(days=2)
        assert merchant.client.get(f"/unionpay/downloads/{later}.zip").status_code == 404
