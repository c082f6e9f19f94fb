"""Tencent Cloud against its far side, its documented signature, and what its codes mean."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from core.errors import Invalid, NotSignedIn, Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import (
    AddressGone,
    Fate,
    Message,
    NotPermitted,
    Receipt,
    Silent,
    Template,
)
from notifications.channels.tencent import authorization, from_settings
from tests.notifications.channels.contract import CarrierContract
from tests.notifications.channels.http_far import TakenAtItsWord
from tests.notifications.channels.tencent_far import (
    SDK_APP_ID,
    SECRET_ID,
    SECRET_KEY,
    SIGN_NAME,
    TOKEN,
    TencentFar,
)

VALUES = {"amount": "86.50", "company": "水务"}
MESSAGE = Message(
    message_id="notice-7", address="13900000007", title="缴费回执", body="您水务的账单已缴¥86.50。",
    template=Template("1110:company,amount", VALUES),
)  # fmt: skip
ACCOUNT = {
    "secret_id": SECRET_ID, "secret_key": SECRET_KEY, "sdk_app_id": SDK_APP_ID,
    "sign_name": SIGN_NAME, "receipt_token": TOKEN,
}  # fmt: skip


def configuration(**said):
    return Settings(carriers={"tencent": {name: SecretStr(text) for name, text in said.items()}})


@pytest.fixture
def far():
    with TencentFar() as far:
        yield far


@pytest.fixture
def make(far):
    made = []

    def tencent(**other):
        made.append(from_settings(configuration(**ACCOUNT | {"url": far.url} | other)))
        return made[-1]

    yield tencent
    for one in made:
        one.close()


@pytest.fixture
def carrier(make):
    return make()


class TestTheContract(TakenAtItsWord, CarrierContract):
    MESSAGE = MESSAGE
    SECRETS = (SECRET_KEY, TOKEN, SECRET_ID)


class TestTheSignature:
    def test_it_is_the_documented_one(self):
        """The example of "Signature v3"; its secret key is thirty-two asterisks."""
        filters = [{"Values": ["未命名"], "Name": "instance-name"}]
        body = json.dumps({"Limit": 1, "Filters": filters}).encode()

        said = authorization(
            "AKID" + "*" * 32, "*" * 32, "cvm", "cvm.tencentcloudapi.com", "DescribeInstances",
            1551113065, body,
        )  # fmt: skip

        assert said == (
            f"TC3-HMAC-SHA256 Credential=AKID{'*' * 32}/2019-02-25/cvm/tc3_request,"
            " SignedHeaders=content-type;host;x-tc-action,"
            " Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
        )

    def test_a_wrong_key_is_not_the_messages_fault(self, make, far):
        with pytest.raises(UpstreamUnavailable, match=r"AuthFailure\.SignatureFailure"):
            make(secret_key="another").send(MESSAGE)
        with pytest.raises(UpstreamUnavailable, match=r"AuthFailure\.SecretIdNotFound"):
            make(secret_id="AKIDnobody").send(MESSAGE)
        assert far.arrived == []


class TestSending:
    def test_it_is_the_template_filled_in_its_order(self, carrier, far):
        ref = carrier.send(MESSAGE).ref

        assert far.arrived == [
            ("13900000007", "【城市账单】您水务的账单已缴¥86.50，感谢使用。"),
        ]  # fmt: skip
        assert far.contexts == {ref: "notice-7"}

    @pytest.mark.parametrize(
        "template",
        [
            Template("1110", {"2": "86.50", "1": "水务"}),
            Template("1110:company,amount", dict(reversed(VALUES.items()))),
        ],
    )
    def test_the_order_is_that_of_the_places_and_not_of_the_values(self, carrier, far, template):
        carrier.send(replace(MESSAGE, template=template))

        assert "您水务的账单已缴¥86.50" in far.arrived[0].text

    @pytest.mark.parametrize(
        "template",
        [
            Template("1110", VALUES),
            Template("1110:company", VALUES),
            Template("1110:company,amount,due", VALUES),
            Template("1110:company,company", VALUES),
        ],
    )
    def test_values_without_an_order_are_refused_before_anybody_is_asked(
        self, carrier, far, template
    ):
        with pytest.raises(Upstream, match="places in order") as refused:
            carrier.send(replace(MESSAGE, template=template))

        assert type(refused.value) is Upstream
        assert far.asked == []

    def test_a_template_may_have_no_places(self, carrier, far):
        carrier.send(replace(MESSAGE, template=Template("1111")))

        assert far.arrived[0].text == "【城市账单】系统维护通知。"

    def test_words_without_a_template_are_refused_before_anybody_is_asked(self, carrier, far):
        with pytest.raises(Upstream, match="approved templates only") as refused:
            carrier.send(replace(MESSAGE, template=None))

        assert type(refused.value) is Upstream
        assert far.asked == []

    def test_a_number_may_have_its_country(self, carrier, far):
        carrier.send(replace(MESSAGE, address="+8613900000007"))
        carrier.send(replace(MESSAGE, address="+85261234567"))

        assert [there.address for there in far.arrived] == ["13900000007", "+85261234567"]

    def test_a_number_that_cannot_be_one_is_forgotten(self, carrier):
        with pytest.raises(AddressGone):
            carrier.send(replace(MESSAGE, address="12345678901"))

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("LimitExceeded.PhoneNumberDailyLimit", UpstreamUnavailable),
            ("LimitExceeded.DeliveryFrequencyLimit", UpstreamUnavailable),
            ("FailedOperation.InsufficientBalanceInSmsPackage", UpstreamUnavailable),
            ("FailedOperation.MarketingSendTimeConstraint", UpstreamUnavailable),
            ("UnauthorizedOperation.SerivceSuspendDueToArrears", UpstreamUnavailable),
            ("InternalError.SigVerificationFail", UpstreamUnavailable),
            ("InvalidParameterValue.SdkAppIdNotExist", UpstreamUnavailable),
            ("Something.New", UpstreamUnavailable),
            ("InternalError.Timeout", Silent),
            ("InternalError.SendAndRecvFail", Silent),
            ("FailedOperation.SignatureIncorrectOrUnapproved", Upstream),
            ("FailedOperation.TemplateIncorrectOrUnapproved", Upstream),
            ("InvalidParameterValue.ContentLengthLimit", Upstream),
            ("UnsupportedOperation.UnsuportedRegion", Upstream),
            ("FailedOperation.PhoneNumberInBlacklist", NotPermitted),
            ("InvalidParameterValue.IncorrectPhoneNumber", AddressGone),
        ],
    )
    @pytest.mark.parametrize("where", ["gateway_code", "status_code"])
    def test_what_its_codes_mean(self, carrier, far, code, kind, where):
        setattr(far, where, code)

        with pytest.raises(kind) as answer:
            carrier.send(MESSAGE)

        assert type(answer.value) is kind
        assert code in str(answer.value)

    def test_an_answer_about_another_message_is_no_answer(self, carrier, far):
        far.repeated_context = "notice-8"

        with pytest.raises(Silent, match="not about this message"):
            carrier.send(MESSAGE)


class TestReceipts:
    HEADERS = {"x-citybill-token": TOKEN}  # noqa: RUF012
    ONE = {  # noqa: RUF012 - the documentation's own
        "user_receive_time": "2015-10-17 08:03:04", "nationcode": "86", "mobile": "13xxxxxxxxx",
        "report_status": "SUCCESS", "errmsg": "DELIVRD", "description": "用户短信送达成功",
        "sid": "2028:7",
    }  # fmt: skip

    def test_a_call_may_bring_several(self, carrier):
        failed = self.ONE | {"report_status": "FAIL", "errmsg": "MK:0001", "sid": "2028:8"}

        told = carrier.read_receipts(self.HEADERS, json.dumps([self.ONE, failed]).encode())

        at = datetime(2015, 10, 17, 0, 3, 4, tzinfo=UTC)
        assert told == [
            Receipt("2028:7", Fate.DELIVERED, at),
            Receipt("2028:8", Fate.FAILED, at, "MK:0001"),
        ]

    @pytest.mark.parametrize(
        "body", [b"{}", b"[1]", b'[{"sid": "7"}]', b'[{"sid": "7", "report_status": "MAYBE"}]']
    )
    def test_what_is_no_report_is_said_to_be_none(self, carrier, body):
        with pytest.raises(Invalid, match="not a report"):
            carrier.read_receipts(self.HEADERS, body)

    def test_without_a_token_of_ours_no_receipt_is_believed(self, make):
        with pytest.raises(NotSignedIn):
            make(receipt_token="").read_receipts({"x-citybill-token": ""}, b"[]")

    def test_it_hears_what_it_wants_to(self, carrier):
        content_type, body = carrier.acknowledge()

        assert content_type == "application/json"
        assert json.loads(body) == {"result": 0, "errmsg": "OK"}
