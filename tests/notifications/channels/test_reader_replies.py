"""What people answer to texts, as each carrier's documentation says that it brings it."""

import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from core.errors import Invalid, NotSignedIn
from core.settings import Settings
from notifications.channels import aliyun, sms_http, tencent
from notifications.channels.base import BringsReplies, HearsReplies, Message, TextReply
from notifications.channels.smpp import Smpp
from notifications.channels.smpp_line import Bind
from tests.notifications.channels.smpp_far import TRY_LATER, SmsCentre, until
from tests.notifications.channels.sms_http_far import RECEIPT_SECRET, SECRET, SmsHttpFar

DOCS = Path(__file__).parents[3] / "docs" / "notices.md"
[PRINTED] = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
TOKEN = "the company knows this address"
HEADERS = {"x-citybill-token": TOKEN}
AT = datetime(2026, 11, 21, 0, 3, 4, tzinfo=UTC)
BILL = Message(message_id="notice-7", address="+8613900000001", title="缴费", body="已缴。")


def settings_of(code: str, **said: str) -> Settings:
    return Settings(carriers={code: {name: SecretStr(text) for name, text in said.items()}})


def an_aliyun(**more: str) -> BringsReplies:
    said = {"access_key_id": "i", "access_key_secret": "s", "sign_name": "城市账单"}
    made = aliyun.from_settings(settings_of("aliyun", **said | {"receipt_token": TOKEN} | more))
    assert made is not None
    return made


def a_tencent(**more: str) -> BringsReplies:
    said = {"secret_id": "i", "secret_key": "s", "sdk_app_id": "1", "sign_name": "城市账单"}
    made = tencent.from_settings(settings_of("tencent", **said | {"receipt_token": TOKEN} | more))
    assert made is not None
    return made


class TestAliyun:
    """SmsUp: a list; ``sequence_id`` was a number before it was a text."""

    ONE = {  # noqa: RUF012 - the documentation's own
        "phone_number": "13811110000", "content": "退订", "send_time": "2026-11-21 08:03:04",
        "dest_code": "1234", "sequence_id": "1234567890",
    }  # fmt: skip

    def body(self, *changes: dict[str, Any]) -> bytes:
        return json.dumps([self.ONE | one for one in changes], ensure_ascii=False).encode()

    def test_a_call_may_bring_several(self):
        body = self.body({}, {"sequence_id": 77, "content": "你好", "sign_name": "城市账单"})

        assert an_aliyun().read_replies(HEADERS, body) == [
            TextReply("1234567890", "13811110000", "退订", AT),
            TextReply("77", "13811110000", "你好", AT),
        ]

    @pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"content": "T"}]', b"\xff", b""])
    def test_what_is_no_reply_is_said_to_be_none(self, body):
        with pytest.raises(Invalid):
            an_aliyun().read_replies(HEADERS, body)

    def test_it_hears_what_it_wants_to(self):
        assert json.loads(an_aliyun().acknowledge_replies()[1])["code"] == 0


class TestTencent:
    """One reply, without a number of its own: the same one said again is the same."""

    ONE = {  # noqa: RUF012 - the documentation's own
        "extend": "", "mobile": "13811110000", "nationcode": "86", "sign": "城市账单",
        "text": "T", "time": int(AT.timestamp()),
    }  # fmt: skip

    def read(self, **changes: Any) -> TextReply:
        body = json.dumps(self.ONE | changes).encode()
        [found] = a_tencent().read_replies(HEADERS, body)
        return found

    def test_it_is_read_with_its_country_and_its_moment(self):
        found = self.read()

        assert (found.phone, found.text, found.said_at) == ("+8613811110000", "T", AT)

    def test_said_again_it_is_the_same_and_another_is_not(self):
        first = self.read().ref

        assert self.read(sign="x").ref == first
        others = [self.read(text="t"), self.read(time=1), self.read(mobile="13811110001")]
        assert first not in {one.ref for one in others}

    @pytest.mark.parametrize("body", [b"[]", b"{}", b"1", b"\xff", b""])
    def test_what_is_no_reply_is_said_to_be_none(self, body):
        with pytest.raises(Invalid):
            a_tencent().read_replies(HEADERS, body)

    def test_a_moment_no_calendar_has_is_none(self):
        with pytest.raises(Invalid):
            self.read(time=10**20)

    def test_it_hears_what_it_wants_to(self):
        assert json.loads(a_tencent().acknowledge_replies()[1]) == {"result": 0, "errmsg": "OK"}


@pytest.mark.parametrize("make", [an_aliyun, a_tencent])
@pytest.mark.parametrize("headers", [{}, {"x-citybill-token": "guessed"}])
def test_a_forged_call_is_nobodys(make, headers):
    with pytest.raises(NotSignedIn):
        make().read_replies(headers, b"[]")


@pytest.mark.parametrize("make", [an_aliyun, a_tencent])
def test_without_a_token_of_ours_no_reply_is_believed(make):
    with pytest.raises(NotSignedIn):
        make(receipt_token="").read_replies({"x-citybill-token": ""}, b"[]")


class TestADeclaredCompany:
    @pytest.fixture
    def declare(self, tmp_path):
        made = []

        def sms_http_of(text: str, **said: str) -> sms_http.SmsHttp:
            path = tmp_path / "sms.toml"
            path.write_text(text, encoding="utf-8")
            chosen = settings_of(
                "sms_http", declaration=str(path), url="https://sms.example", secret=SECRET, **said
            )
            one = sms_http.from_settings(chosen)
            assert one is not None
            made.append(one)
            return one

        yield sms_http_of
        for one in made:
            one.close()

    def of_replies(self, replies: str) -> str:
        before = PRINTED.partition("[receipts]")[0]
        return f"{before}\n[replies]\n{replies}"

    def test_what_the_manual_prints_reads_signed_replies(self, declare):
        carrier = declare(PRINTED, receipt_secret=RECEIPT_SECRET)
        headers, body = SmsHttpFar.reply(
            None, ("1", "13811110000", "TD"), ("2", "+8613811110001", "谢谢")
        )

        assert carrier.read_replies(headers, body) == [
            TextReply("1", "13811110000", "TD", AT), TextReply("2", "+8613811110001", "谢谢", AT),
        ]  # fmt: skip
        assert carrier.acknowledge_replies() == ("application/json", b'{"code": 0}')

    def test_a_forged_one_is_nobodys(self, declare):
        carrier = declare(PRINTED, receipt_secret=RECEIPT_SECRET)
        headers, body = SmsHttpFar.reply(None, ("1", "13811110000", "TD"))

        for forged in ((headers, body.replace(b"TD", b"TE")), ({}, body), (headers, b"")):
            with pytest.raises(NotSignedIn):
                carrier.read_replies(*forged)

    def test_a_form_in_gbk_is_read(self, declare):
        carrier = declare(
            self.of_replies(
                'format = "form"\ncharset = "gb18030"\nref = "id"\nphone = "m"\ntext = "t"'
            ),
            receipt_token=TOKEN,
        )
        body = f"id=9&m=13811110000&t={quote('退订'.encode('gbk'))}".encode()

        [found] = carrier.read_replies(HEADERS, body)

        assert found == TextReply("9", "13811110000", "退订", None)

    def test_json_in_gbk_is_read(self, declare):
        carrier = declare(
            self.of_replies('charset = "gb18030"\nref = "id"\nphone = "m"\ntext = "t"'),
            receipt_token=TOKEN,
        )
        body = json.dumps({"id": "9", "m": "1", "t": "退订"}, ensure_ascii=False).encode("gbk")

        assert carrier.read_replies(HEADERS, body)[0].text == "退订"

    @pytest.mark.parametrize(
        ("text_in", "said"),
        [("ucs2_hex", "90008BA2"), ("gb18030_hex", "CDCBB6A9"), ("base64", "6YCA6K6i")],
    )
    def test_words_may_be_written_otherwise(self, declare, text_in, said):
        carrier = declare(
            self.of_replies(f'ref = "id"\nphone = "m"\ntext = "t"\ntext_in = "{text_in}"'),
            receipt_token=TOKEN,
        )

        def read(text: str) -> str:
            body = json.dumps({"id": "9", "m": "1", "t": text}).encode()
            return str(carrier.read_replies(HEADERS, body)[0].text)

        assert read(said) == "退订"
        with pytest.raises(Invalid):
            read("not this")

    def test_without_a_number_it_is_known_by_phone_moment_and_words(self, declare):
        carrier = declare(
            self.of_replies('phone = "m"\ntext = "t"\ntime = "at"'), receipt_token=TOKEN
        )

        def ref(**said: str) -> str:
            told = {"m": "1", "t": "T", "at": "2026-11-21 08:03:04"} | said
            return str(carrier.read_replies(HEADERS, json.dumps(told).encode())[0].ref)

        assert ref() == ref()
        assert len({ref(), ref(t="TD"), ref(m="2"), ref(at="2026-11-21 08:03:05")}) == 4

    def test_neither_number_nor_moment_is_no_declaration(self, declare):
        with pytest.raises(Invalid, match="ref or time"):
            declare(self.of_replies('phone = "m"\ntext = "t"'), receipt_token=TOKEN)

    def test_a_company_that_brings_none_says_so(self, declare):
        carrier = declare(PRINTED.partition("[replies]")[0], receipt_secret=RECEIPT_SECRET)

        assert carrier.read_replies({}, b"x") == []

    def test_replies_need_what_proves_them(self, declare):
        with pytest.raises(Invalid, match="receipt_token"):
            declare(self.of_replies('ref = "i"\nphone = "m"\ntext = "t"'))


class TestAnSmsCentre:
    @pytest.fixture
    def far(self):
        centre = SmsCentre()
        yield centre
        centre.close()

    @pytest.fixture
    def carrier(self, far):
        bind = Bind("127.0.0.1", far.port, far.system_id, far.password)
        made = Smpp(bind, sender="10690000")
        made.send(BILL)
        yield made
        made.close()

    @pytest.fixture
    def kept(self, carrier):
        assert isinstance(carrier, HearsReplies)
        kept: list[TextReply] = []
        carrier.hear_replies(lambda replies: kept.extend(replies) is None)
        return kept

    @pytest.mark.parametrize(
        ("octets", "coding", "text"),
        [
            (b"TD", 0, "TD"), (b"td\x1b\x65", 0, "td€"), (b"TD", 1, "TD"),
            ("退订".encode("utf-16-be"), 8, "退订"), ("退订".encode("gbk"), 15, "退订"),
            (b"caf\xe9", 3, "café"), (b"\xff", 8, "\ufffd"),
        ],
    )  # fmt: skip
    def test_it_is_read_in_the_alphabet_it_came_in(self, far, kept, octets, coding, text):
        number = far.deliver(octets, esm_class=0, coding=coding)

        until(lambda: far.answered)
        assert [(one.phone, one.text) for one in kept] == [("8613900000001", text)]
        assert far.answered == [(number, 0)]

    def test_a_part_of_a_long_one_is_read_without_its_header(self, far, kept):
        far.deliver(b"\x05\x00\x03\x07\x02\x01TD", esm_class=0x40)

        until(lambda: far.answered)
        assert [one.text for one in kept] == ["TD"]

    def test_a_long_one_as_payload_is_read(self, far, kept):
        far.deliver(b"", esm_class=0, options=b"\x04\x24\x00\x02TD")

        until(lambda: far.answered)
        assert [one.text for one in kept] == ["TD"]

    def test_what_nobody_keeps_the_centre_sends_again_later(self, far, carrier):
        carrier.hear_replies(lambda _replies: False)

        number = far.deliver(b"TD", esm_class=0)

        until(lambda: far.answered)
        assert far.answered == [(number, TRY_LATER)]

    def test_one_said_again_is_another_because_a_centre_numbers_none(self, far, kept):
        for _ in range(2):
            far.deliver(b"TD", esm_class=0)

        until(lambda: len(far.answered) == 2)
        assert [one.text for one in kept] == ["TD", "TD"]
        assert len({one.ref for one in kept}) == 2

    def test_none_is_kept_that_the_centre_is_told_to_say_again(self, far, carrier):
        """Why: it came with a receipt that could not be kept, and both are answered alike."""
        kept, slow = [], threading.Event()
        carrier.hear(lambda _receipts: False)
        carrier.hear_replies(lambda replies: kept.extend(replies) is None and slow.wait(5))
        far.deliver(b"first", esm_class=0)
        until(lambda: kept)
        far.tell("5E00", "DELIVRD")
        again = far.deliver(b"second", esm_class=0)
        until(lambda: carrier._line._heard.qsize() == 2)

        slow.set()

        until(lambda: len(far.answered) == 3)
        assert [one.text for one in kept] == ["first"]
        assert (again, TRY_LATER) in far.answered

    def test_a_receipt_is_no_reply(self, far, kept, carrier):
        carrier.hear(lambda _receipts: True)

        far.tell("5E00", "DELIVRD")

        until(lambda: far.answered)
        assert kept == []
