"""Aliyun against its far side, its documented signature, and what each of its codes means."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from core.errors import Invalid, NotSignedIn, Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.aliyun import authorization, canonical_query, from_settings
from notifications.channels.base import (
    AddressGone,
    Fate,
    Message,
    Receipt,
    Silent,
    Taken,
    Template,
)
from tests.notifications.channels.aliyun_far import KEY_ID, SECRET, SIGN_NAME, TOKEN, AliyunFar
from tests.notifications.channels.contract import CarrierContract
from tests.notifications.channels.http_far import TakenAtItsWord

MESSAGE = Message(
    message_id="notice-7", address="13900000007", title="缴费回执", body="您水务的账单已缴¥86.50。",
    template=Template("SMS_480000001", {"company": "水务", "amount": "86.50"}),
)  # fmt: skip
ACCOUNT = {
    "access_key_id": KEY_ID, "access_key_secret": SECRET, "sign_name": SIGN_NAME,
    "receipt_token": TOKEN,
}  # fmt: skip


def configuration(**said):
    return Settings(carriers={"aliyun": {name: SecretStr(text) for name, text in said.items()}})


@pytest.fixture
def far():
    with AliyunFar() as far:
        yield far


@pytest.fixture
def make(far):
    made = []

    def aliyun(**other):
        made.append(from_settings(configuration(**ACCOUNT | {"url": far.url} | other)))
        return made[-1]

    yield aliyun
    for one in made:
        one.close()


@pytest.fixture
def carrier(make):
    return make()


class TestTheContract(TakenAtItsWord, CarrierContract):
    MESSAGE = MESSAGE
    SECRETS = (SECRET, TOKEN, KEY_ID)


class TestTheSignature:
    """The example of "V3 request structure and signature", both times it was printed."""

    QUERY = canonical_query({
        "RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
    })  # fmt: skip

    @pytest.mark.parametrize(
        ("date", "nonce", "signature"),
        [
            (
                "2023-10-26T10:22:32Z", "3156853299f313e23d1673dc12e1703d",
                "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
            ),
            (
                "2023-10-26T09:01:01Z", "d410180a5abf7fe235dd9b74aca91fc0",
                "e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804",
            ),
        ],
    )  # fmt: skip
    def test_it_is_the_documented_one(self, date, nonce, signature):
        said = authorization("YourAccessKeyId", "YourAccessKeySecret", self.QUERY, {
            "x-acs-version": "2014-05-26", "host": "ecs.cn-shanghai.aliyuncs.com",
            "x-acs-action": "RunInstances", "x-acs-date": date, "x-acs-signature-nonce": nonce,
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        })  # fmt: skip

        assert said == (
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;"
            "x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
            f"Signature={signature}"
        )

    def test_what_is_signed_is_escaped_by_rfc_3986(self):
        assert canonical_query({"b": "a b*~/+", "a": "水"}) == "a=%E6%B0%B4&b=a%20b%2A~%2F%2B"

    def test_any_value_arrives_as_it_was(self, carrier, far):
        odd = "a+b c*~%2F&=水😀\"\\'/?#"

        carrier.send(replace(MESSAGE, template=Template("SMS_480000002", {"code": odd})))

        assert odd in far.arrived[0].text

    def test_a_wrong_key_is_not_the_messages_fault(self, make, far):
        with pytest.raises(UpstreamUnavailable, match="SignatureDoesNotMatch"):
            make(access_key_secret="another").send(MESSAGE)
        with pytest.raises(UpstreamUnavailable, match="InvalidAccessKeyId"):
            make(access_key_id="LTAInobody").send(MESSAGE)
        assert far.arrived == []


class TestSending:
    def test_it_is_the_template_filled_and_signed_with_our_name(self, carrier, far):
        assert carrier.send(MESSAGE) == Taken()

        assert far.arrived == [
            ("13900000007", "【城市账单】您水务的账单已缴¥86.50，感谢使用。"),
        ]  # fmt: skip
        assert list(far.out_ids.values()) == ["notice-7"]

    def test_words_without_a_template_are_refused_before_anybody_is_asked(self, carrier, far):
        with pytest.raises(Upstream, match="approved templates only") as refused:
            carrier.send(replace(MESSAGE, template=None))

        assert type(refused.value) is Upstream
        assert far.asked == []

    @pytest.mark.parametrize(
        "address",
        ["13900000007,13900000008", "wang@example.com", "", "１３９００００００７", "139 0000"],
    )
    def test_what_is_not_one_number_is_refused_before_anybody_is_asked(self, carrier, far, address):
        with pytest.raises(Upstream, match="not one phone number"):
            carrier.send(replace(MESSAGE, address=address))

        assert far.asked == []

    def test_a_number_may_have_its_country(self, carrier, far):
        carrier.send(replace(MESSAGE, address="+8613900000007"))
        carrier.send(replace(MESSAGE, address="+85261234567", message_id="notice-8"))

        assert [there.address for there in far.arrived] == ["8613900000007", "85261234567"]

    @pytest.mark.parametrize(
        ("template", "code"),
        [
            (Template("SMS_1"), "isv.SMS_TEMPLATE_ILLEGAL"),
            (Template("SMS_480000002"), "isv.TEMPLATE_MISSING_PARAMETERS"),
            (Template("SMS_480000002", {"code": "http://x"}), "isv.PARAM_NOT_SUPPORT_URL"),
        ],
    )
    def test_a_template_it_does_not_take_is_refused_for_good(self, carrier, template, code):
        with pytest.raises(Upstream, match=code) as refused:
            carrier.send(replace(MESSAGE, template=template))

        assert type(refused.value) is Upstream

    def test_a_number_that_cannot_be_one_is_forgotten(self, carrier):
        with pytest.raises(AddressGone):
            carrier.send(replace(MESSAGE, address="12345678901"))

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("isv.BUSINESS_LIMIT_CONTROL", UpstreamUnavailable),
            ("isv.DAY_LIMIT_CONTROL", UpstreamUnavailable),
            ("isv.AMOUNT_NOT_ENOUGH", UpstreamUnavailable),
            ("isv.OUT_OF_SERVICE", UpstreamUnavailable),
            ("isp.RAM_PERMISSION_DENY", UpstreamUnavailable),
            ("isp.SYSTEM_ERROR", UpstreamUnavailable),
            ("Throttling.User", UpstreamUnavailable),
            ("ServiceUnavailable", UpstreamUnavailable),
            ("isv.SOMETHING_NEW", UpstreamUnavailable),
            ("InternalError", Silent),
            ("SignatureNonceUsed", Silent),
            ("isv.SMS_SIGNATURE_ILLEGAL", Upstream),
            ("isv.BLACK_KEY_CONTROL_LIMIT", Upstream),
            ("isv.MOBILE_NUMBER_ILLEGAL", AddressGone),
        ],
    )
    def test_what_its_codes_mean(self, carrier, far, code, kind):
        far.fault_code = code

        with pytest.raises(kind) as answer:
            carrier.send(MESSAGE)

        assert type(answer.value) is kind
        assert code in str(answer.value)

    def test_a_code_that_holds_a_number_is_not_repeated(self, carrier, far):
        far.fault_code = "no.13900000007"

        with pytest.raises(UpstreamUnavailable) as answer:
            carrier.send(MESSAGE)

        assert "139" not in str(answer.value)


class TestReceipts:
    HEADERS = {"x-citybill-token": TOKEN}  # noqa: RUF012
    ONE = {  # noqa: RUF012 - the documentation's own
        "phone_number": "1381111****", "send_time": "2017-01-01 00:00:00",
        "report_time": "2017-01-01 00:00:00", "success": True, "err_code": "DELIVERED",
        "err_msg": "用户接收成功", "sms_size": "1", "biz_id": "12345", "out_id": "67890",
    }  # fmt: skip

    def test_a_call_may_bring_several_and_some_that_are_not_ours(self, carrier):
        failed = self.ONE | {"success": False, "err_code": "MOBILE_NOT_ON_SERVICE", "out_id": "8"}
        others = [self.ONE | {"out_id": ""}, {"success": True, "biz_id": "9"}]

        told = carrier.read_receipts(self.HEADERS, json.dumps([self.ONE, failed, *others]).encode())

        at = datetime(2016, 12, 31, 16, tzinfo=UTC)
        assert told == [
            Receipt("67890", Fate.DELIVERED, at),
            Receipt("8", Fate.FAILED, at, "MOBILE_NOT_ON_SERVICE"),
        ]

    @pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"out_id": "7"}]', b"null"])
    def test_what_is_no_report_is_said_to_be_none(self, carrier, body):
        with pytest.raises(Invalid, match="not a report"):
            carrier.read_receipts(self.HEADERS, body)

    def test_without_a_token_of_ours_no_receipt_is_believed(self, make):
        with pytest.raises(NotSignedIn):
            make(receipt_token="").read_receipts({"x-citybill-token": ""}, b"[]")

    def test_it_hears_what_it_wants_to(self, carrier):
        content_type, body = carrier.acknowledge()

        assert content_type == "application/json"
        assert json.loads(body) == {"code": 0, "msg": "接收成功"}
