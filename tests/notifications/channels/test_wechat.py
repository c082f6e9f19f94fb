"""WeChat's messages, against a town written from its documentation."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from core.errors import Invalid, NotSignedIn, Upstream, UpstreamUnavailable
from core.settings import Environment, Settings
from notifications.channels.base import AddressGone, Fate, Message, NotPermitted, Template
from notifications.channels.wechat import Wechat, from_settings
from notifications.channels.wechat_fields import fitted
from notifications.channels.wechat_push import Key, Permission
from tests.notifications.channels.contract import CarrierContract
from tests.notifications.channels.wechat_far import (
    AES_KEY,
    APP_ID,
    APP_SECRET,
    PUSH_TOKEN,
    TEMPLATE,
    WechatTown,
    event,
    takes,
)
from tests.threads import at_once

VALUES = {
    "thing1": "自来水费",
    "amount2": "¥1,286.50",
    "time3": "2026年11月20日 12:00",
    "phrase4": "已缴费",
}
BILL = Message(
    message_id="notice-7", address="otFpruAK8D-E6EfStSYonYSBZ8_4", title="缴费回执",
    body="您的水费 ¥86.50 已缴。", link="https://citybill.example/payments/7",
    template=Template(TEMPLATE, VALUES),
)  # fmt: skip
SEND = "/cgi-bin/message/template/send"


@pytest.fixture
def far() -> Iterator[WechatTown]:
    town = WechatTown()
    yield town
    if town.fault != "down":
        town.close()


def account(far: WechatTown, **more: str) -> Wechat:
    told = {"app_id": APP_ID, "app_secret": APP_SECRET, "url": far.url, "token": PUSH_TOKEN, **more}
    made = from_settings(
        Settings(carriers={"wechat": {name: SecretStr(value) for name, value in told.items()}})
    )
    assert made is not None
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait five seconds for an answer that never comes."""
    monkeypatch.setattr("notifications.channels.http._PATIENCE_SECONDS", 2)


@pytest.fixture
def carrier(far: WechatTown) -> Iterator[Wechat]:
    made = account(far)
    yield made
    made.close()


@pytest.fixture
def subscriptions(far: WechatTown) -> Iterator[Wechat]:
    made = account(far, kind="service")
    yield made
    made.close()


@pytest.mark.usefixtures("impatient")
class TestContract(CarrierContract):
    MESSAGE = BILL
    SECRETS = (APP_SECRET, "token-1")


class SealedTown(WechatTown):
    def receipt(self, ref: str, fate: Fate) -> tuple[dict[str, str], bytes]:
        _, body = super().receipt(ref, fate)
        return self.sealed(body)


class TestContractEncrypted(CarrierContract):
    MESSAGE = BILL
    SECRETS = (APP_SECRET, "token-1", AES_KEY)

    @pytest.fixture
    def far(self, impatient: None) -> Iterator[WechatTown]:
        town = SealedTown()
        yield town
        if town.fault != "down":
            town.close()

    @pytest.fixture
    def carrier(self, far: WechatTown) -> Iterator[Wechat]:
        made = account(far, aes_key=AES_KEY)
        yield made
        made.close()


class TestSending:
    def test_a_template_message_names_itself_and_where_it_leads(self, carrier, far):
        taken = carrier.send(BILL)

        [sent] = far.sent
        assert sent["client_msg_id"] == "notice-7"
        assert sent["url"] == BILL.link
        assert taken.ref.isdecimal()

    def test_after_ten_minutes_wechat_no_longer_knows_what_it_had(self, carrier, far):
        carrier.send(BILL)
        far.now += 601
        carrier.send(BILL)

        assert len(far.sent) == 2

    def test_another_persons_notice_is_another_message(self, carrier, far):
        carrier.send(BILL)
        carrier.send(replace(BILL, address="another-person-of-the-city"))

        assert len(far.sent) == 2

    def test_a_subscription_message_goes_the_way_of_its_account(self, subscriptions, far):
        far.permits[BILL.address] = 1
        subscriptions.send(BILL)

        [sent] = far.sent
        assert sent["path"] == "/cgi-bin/message/subscribe/bizsend"
        assert sent["page"] == BILL.link
        assert "client_msg_id" not in sent
        assert not subscriptions.repeats_safely

    def test_a_mini_program_opens_its_own_page(self, far):
        carrier = account(far, kind="mini_program", page="pages/notices")
        carrier.send(replace(BILL, locale="en"))
        carrier.close()

        [sent] = far.sent
        assert sent["path"] == "/cgi-bin/message/subscribe/send"
        assert (sent["page"], sent["lang"]) == ("pages/notices", "en_US")

    def test_words_without_a_template_never_leave(self, carrier, far):
        with pytest.raises(Upstream) as refused:
            carrier.send(replace(BILL, template=None))

        assert refused.value.code == "template.missing"
        assert far.asked.total() == 0

    def test_many_at_once_are_many_and_share_one_token(self, carrier, far):
        far.slowest_seconds = 0.05

        at_once(30, lambda number: carrier.send(replace(BILL, message_id=f"notice-{number}")))

        assert len({one["client_msg_id"] for one in far.sent}) == 30
        assert far.asked["/cgi-bin/stable_token"] == 1


class TestNames:
    """WeChat names places after their kinds, we after what stands in them."""

    OURS: ClassVar = {"company": "自来水", "amount": "¥86.50", "day": "2026-11-20", "how": "已缴费"}
    PLACES = "thing1=company,amount2=amount,time3=day,phrase4=how"

    def test_behind_the_number_stands_which_is_which(self, carrier, far):
        carrier.send(replace(BILL, template=Template(f"{TEMPLATE}:{self.PLACES}", self.OURS)))

        [sent] = far.sent
        assert sent["template_id"] == TEMPLATE
        assert sent["data"]["amount2"] == {"value": "¥86.50"}

    def test_one_of_ours_may_stand_nowhere(self, carrier, far):
        told = self.OURS | {"account": "1001"}

        carrier.send(replace(BILL, template=Template(f"{TEMPLATE}:{self.PLACES}", told)))

        assert len(far.sent) == 1

    @pytest.mark.parametrize("places", ["thing1=firm", "thing1", ""])
    def test_what_is_not_there_fills_no_place(self, carrier, far, places):
        with pytest.raises(Upstream) as refused:
            carrier.send(replace(BILL, template=Template(f"{TEMPLATE}:{places}", self.OURS)))

        assert refused.value.code == "template.places"
        assert far.sent == []


class TestToken:
    @pytest.mark.parametrize(("seconds", "asked"), [(7200, 1), (300, 2)])
    def test_one_serves_until_shortly_before_its_end(self, carrier, far, seconds, asked):
        far.token_seconds = seconds

        carrier.send(BILL)
        carrier.send(BILL)

        assert far.asked["/cgi-bin/stable_token"] == asked

    def test_one_that_somebody_ended_is_renewed_and_the_message_goes(self, carrier, far):
        carrier.send(BILL)
        far.end_tokens()

        carrier.send(replace(BILL, message_id="notice-8"))

        assert len(far.sent) == 2
        assert far.refused[40001] == 1

    @pytest.mark.parametrize("errcode", [40001, 40014, 42001])
    def test_it_is_renewed_once_and_no_more(self, carrier, far, errcode):
        far.answers = [errcode] * 5

        with pytest.raises(UpstreamUnavailable, match="does not believe"):
            carrier.send(BILL)

        assert far.refused[errcode] == 2

    def test_threads_that_meet_the_same_end_renew_it_once(self, carrier, far):
        carrier.send(BILL)
        far.end_tokens()

        at_once(8, lambda number: carrier.send(replace(BILL, message_id=f"notice-{number}")))

        assert far.asked["/cgi-bin/stable_token"] == 2

    def test_a_wrong_secret_can_wait_for_somebody_to_mend_it(self, far):
        carrier = account(far, app_secret="not the secret")

        with pytest.raises(UpstreamUnavailable, match="errcode 40125") as away:
            carrier.send(BILL)
        carrier.close()

        assert "not the secret" not in str(away.value)


class TestRefusals:
    @pytest.mark.parametrize(
        ("errcode", "error"),
        [
            (-1, UpstreamUnavailable),
            (45009, UpstreamUnavailable),
            (45011, UpstreamUnavailable),
            (43101, NotPermitted),
            (40003, AddressGone),
            (43004, AddressGone),
            (40037, Upstream),
            (47003, Upstream),
            (48001, Upstream),
        ],
    )
    def test_each_has_its_meaning(self, carrier, far, errcode, error):
        far.answers = [errcode]

        with pytest.raises(Upstream) as refused:
            carrier.send(BILL)

        assert type(refused.value) is error
        assert far.sent == []

    def test_a_permit_is_good_once(self, subscriptions, far):
        far.permits[BILL.address] = 1
        subscriptions.send(BILL)

        with pytest.raises(NotPermitted):
            subscriptions.send(replace(BILL, message_id="notice-8"))

    def test_a_template_of_another_account_is_told_as_that(self, carrier, far):
        with pytest.raises(Upstream) as refused:
            carrier.send(replace(BILL, template=Template("another", VALUES)))

        assert refused.value.code == "template.unknown"

    def test_a_refused_value_is_told_by_its_place_and_not_by_what_stood_there(self, carrier, far):
        del far.templates[TEMPLATE]
        far.templates[TEMPLATE] = {"thing1", "thing9"}

        with pytest.raises(Upstream, match="place thing9") as refused:
            carrier.send(BILL)

        assert refused.value.code == "template.value_refused"

    def test_the_days_quota_is_for_later(self, carrier, far):
        far.quota = 0

        with pytest.raises(UpstreamUnavailable):
            carrier.send(BILL)


class TestPlaces:
    """What stands in a template's places: words are cut, figures never."""

    @pytest.mark.parametrize(
        ("place", "value", "sent"),
        [
            ("thing1", "幸福路小区" * 5, "幸福路小区" * 3 + "幸福路小…"),
            ("thing1", "一行\n两行", "一行 两行"),
            ("amount12", "¥1,286.50", "¥1286.50"),
            ("amount12", "86.50元", "86.50元"),
            ("time3", "2026年11月20日 12:00~13:00", "2026年11月20日 12:00~13:00"),
            ("date3", "2026-11-20", "2026-11-20"),
            ("phrase4", "已逾期", "已逾期"),
            ("name5", "阿卜杜热合曼·买买提艾力", "阿卜杜热合曼·买买提"),
            ("name5", "Alexandra Constantinou", "Alexandra Constantin"),
            ("character_string6", "NO-2026/11", "NO-2026/11"),
            ("const7", "", ""),
            ("keyword1", "旧模板的什么都行，很长很长很长很长很长很长很长很长", None),
        ],
    )
    def test_what_fits_is_sent(self, place, value, sent):
        assert fitted({place: value}) == {place: value if sent is None else sent}

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            ("thing1", " \n"),
            ("amount2", "¥12345678901"),
            ("amount2", "eighty"),
            ("amount2", "¥８６"),
            ("number3", "1,286"),
            ("time3", "soon"),
            ("date3", "25:00"),
            ("phrase4", "逾期三十天了"),
            ("phrase4", "paid"),
            ("character_string6", "户号 100"),
            ("character_string6", "1" * 33),
            ("letter7", "a1"),
            ("symbol8", "8"),
            ("symbol8", "+-*/=%"),
            ("phone_number9", "0571-8888-8888-8888"),
            ("car_number1", "粤A8Z888挂车"),
            ("name5", ""),
        ],
    )
    def test_what_would_be_wrong_if_it_were_cut_is_refused(self, place, value):
        with pytest.raises(Upstream) as refused:
            fitted({place: value})

        assert str(refused.value) == f"the template's place {place} takes no such value"

    @given(
        st.sampled_from([
            "thing1", "number2", "letter3", "symbol4", "character_string5", "amount6", "name7",
            "phrase8", "phone_number9",
        ]),
        st.text(st.one_of(st.sampled_from("¥1.2水电,-a "), st.characters()), max_size=40),
    )  # fmt: skip
    def test_whatever_is_sent_wechat_takes(self, place, value):
        try:
            sent = fitted({place: value})[place]
        except Upstream:
            return

        assert takes(re.sub("[0-9]", "", place), sent)


class TestCalls:
    """What WeChat tells us of itself."""

    OPENID = "otFpruAK8D-E6EfStSYonYSBZ8_4"
    SENT = (
        "<SubscribeMsgSentEvent><List><TemplateId>x</TemplateId><MsgID>1700827132819554304</MsgID>"
        "<ErrorCode>{}</ErrorCode><ErrorStatus><![CDATA[{}]]></ErrorStatus></List>"
        "</SubscribeMsgSentEvent>"
    )

    def test_a_subscription_message_has_its_own_event(self, carrier, far):
        [good] = carrier.read_receipts(*far.signed(
            event("subscribe_msg_sent_event", self.SENT.format(0, "success"))
        ))  # fmt: skip
        [bad] = carrier.read_receipts(*far.signed(
            event("subscribe_msg_sent_event", self.SENT.format(43101, "refused"))
        ))  # fmt: skip

        assert (good.ref, good.fate) == ("1700827132819554304", Fate.DELIVERED)
        assert (bad.fate, bad.reason) == (Fate.FAILED, "refused")
        assert good.happened_at.isoformat() == "2026-11-21T16:00:00+00:00"

    def test_what_is_said_of_anything_else_is_no_receipt(self, carrier, far):
        assert carrier.read_receipts(*far.signed(event("subscribe", ""))) == []

    def test_yes_at_a_prompt_is_a_permission_for_each_template(self, far):
        listed = "".join(
            f"<List><TemplateId>{template}</TemplateId>"
            f"<SubscribeStatusString>{said}</SubscribeStatusString><PopupScene>2</PopupScene></List>"
            for template, said in [("bill", "accept"), ("outage", "reject"), ("refund", "accept")]
        )
        inside = f"<SubscribeMsgPopupEvent>{listed}</SubscribeMsgPopupEvent>"

        call = far.signed(event("subscribe_msg_popup_event", inside))

        carrier = account(far, long_term="refund,outage")
        assert carrier.read_permissions(*call) == [
            Permission(self.OPENID, "bill", allowed=True),
            Permission(self.OPENID, "refund", allowed=True, long_term=True),
        ]
        assert carrier.read_receipts(*call) == []
        carrier.close()

    @pytest.mark.parametrize("inside", ["SubscribeMsgChangeEvent", "SubscribeMsgPopupEvent"])
    def test_no_in_the_settings_ends_all_permissions(self, carrier, far, inside):
        listed = (
            f"<{inside}><List><TemplateId>bill</TemplateId><SubscribeStatusString>reject"
            f"</SubscribeStatusString></List></{inside}>"
        )

        call = far.signed(event("subscribe_msg_change_event", listed))

        assert carrier.read_permissions(*call) == [Permission(self.OPENID, "bill", allowed=False)]

    def test_the_first_question_is_answered_with_what_it_brings(self, carrier, far):
        headers, _ = far.signed(b"")

        assert carrier.greet(headers | {"x-query-echostr": "5683012"}) == b"5683012"
        with pytest.raises(NotSignedIn):
            carrier.greet(headers | {"x-query-nonce": "another", "x-query-echostr": "5683012"})

    def test_a_kept_call_is_acknowledged_in_its_words(self, carrier):
        assert carrier.acknowledge() == ("text/plain", b"success")

    @pytest.mark.parametrize("seconds_ago", [700, -700])
    def test_an_old_calls_address_is_good_for_nothing(self, carrier, far, seconds_ago):
        call = far.signed(event("subscribe", ""), seconds_ago=seconds_ago)

        with pytest.raises(NotSignedIn) as refused:
            carrier.read_receipts(*call)

        assert refused.value.code == "carrier.stale"

    def test_without_a_token_nobody_is_believed(self, far):
        carrier = Wechat(far.url, APP_ID, APP_SECRET)
        with pytest.raises(NotSignedIn):
            carrier.read_receipts(*far.receipt("1", Fate.DELIVERED))
        carrier.close()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"<xml><Event>TEMPLATESENDJOBFINISH</Event></xml>",
            b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><Event>&a;</Event></xml>',
            event("TEMPLATESENDJOBFINISH", "<MsgID>１２</MsgID><Status>success</Status>"),
        ],
    )
    def test_what_is_not_as_described_is_invalid(self, carrier, far, body):
        with pytest.raises(Invalid):
            carrier.read_receipts(*far.signed(body))


class TestEncryptedCalls:
    @pytest.fixture
    def carrier(self, far: WechatTown) -> Iterator[Wechat]:
        made = account(far, aes_key=AES_KEY)
        yield made
        made.close()

    def test_a_call_in_the_open_is_not_believed(self, carrier, far):
        with pytest.raises(NotSignedIn):
            carrier.read_receipts(*far.receipt("1", Fate.DELIVERED))

    def test_one_for_another_account_is_not_ours(self, carrier, far):
        _, body = far.receipt("1", Fate.DELIVERED)

        with pytest.raises(Invalid, match="not for us"):
            carrier.read_receipts(*far.sealed(body, app_id="wxother"))

    def test_one_by_somebody_else_is_refused_before_it_is_read(self, carrier, far):
        _, body = far.receipt("1", Fate.DELIVERED)

        with pytest.raises(NotSignedIn):
            carrier.read_receipts(*far.sealed(body, token="another token"))

    @given(st.binary(max_size=200))
    def test_nothing_but_what_was_encrypted_opens(self, garbage):
        with pytest.raises(Invalid):
            Key(AES_KEY, APP_ID).open(garbage.hex())


class TestSettings:
    GOOD: ClassVar = {"app_id": APP_ID, "app_secret": APP_SECRET}

    @staticmethod
    def chosen(told: dict[str, str], **more: Any) -> Settings:
        return Settings(
            carriers={"wechat": {name: SecretStr(value) for name, value in told.items()}}
        ).model_copy(update=more)

    def test_without_settings_there_is_none(self):
        assert from_settings(Settings()) is None

    def test_with_them_there_is_one(self):
        made = from_settings(self.chosen(self.GOOD))
        assert made is not None
        assert made.repeats_safely
        made.close()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"app_id": APP_ID},
            GOOD | {"kind": "sms"},
            GOOD | {"aes_key": "short"},
            GOOD | {"aes_key": "¥" * 43},
            GOOD | {"secret": "x"},
        ],
        ids=["no secret", "no such kind", "a short key", "no key", "a slip of the pen"],
    )
    def test_what_is_wrong_stops_the_start_and_shows_no_secret(self, wrong):
        with pytest.raises(Invalid) as refused:
            from_settings(self.chosen(wrong))

        assert refused.value.code == "carrier.half_configured"
        assert APP_SECRET not in str(refused.value)

    def test_production_speaks_to_it_by_https(self):
        told = self.GOOD | {"url": "http://api.weixin.qq.com"}

        with pytest.raises(Invalid, match="https"):
            from_settings(self.chosen(told, environment=Environment.PRODUCTION))
