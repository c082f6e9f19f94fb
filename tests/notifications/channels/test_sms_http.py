"""A declared SMS company: what docs/notices.md prints, and what else a declaration may say."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

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
from notifications.channels.sms_http import from_settings
from notifications.wording.built_in import built_in
from notifications.wording.rendering import Key, words_of
from notifications.wording.samples import sample
from notifications.wording.template import Form
from tests.notifications.channels.contract import CarrierContract
from tests.notifications.channels.http_far import Asked, HttpFar, impatient
from tests.notifications.channels.sms_http_far import RECEIPT_SECRET, SECRET, SmsHttpFar, signed

DOCS = Path(__file__).parents[3] / "docs" / "notices.md"
[PRINTED] = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
MESSAGE = Message(
    message_id="notice-7", address="13900000007", title="缴费回执", body="您水务的账单已缴¥86.50。"
)
TOKEN = "the company knows this address"


def configuration(**said):
    return Settings(carriers={"sms_http": {name: SecretStr(text) for name, text in said.items()}})


@pytest.fixture
def declare(tmp_path):
    """Make the carrier of a declaration."""
    made = []

    def sms_http(text, url, **said):
        path = tmp_path / "sms.toml"
        path.write_text(text, encoding="utf-8")
        made.append(from_settings(configuration(declaration=str(path), url=url, **said)))
        return made[-1]

    yield sms_http
    for one in made:
        one.close()


@pytest.fixture
def far():
    with SmsHttpFar() as far:
        yield far


@pytest.fixture
def carrier(declare, far):
    return declare(PRINTED, far.url, secret=SECRET, receipt_secret=RECEIPT_SECRET)


class TestTheContract(CarrierContract):
    MESSAGE = MESSAGE
    SECRETS = (SECRET, RECEIPT_SECRET)

    @pytest.fixture(autouse=True)
    def _impatient(self, request, monkeypatch):
        impatient(request, monkeypatch)


class TestThePrintedOne:
    def test_our_texts_arrive_signed_once(self, carrier, far):
        key = Key("payment.receipt", Form.SHORT, "zh_CN", "plain")
        words = words_of(key, built_in(*key), "sms", sample(key.event, key.locale))

        carrier.send(replace(MESSAGE, body=words.body))

        assert far.arrived[0].text.startswith("【城市账单】")
        assert far.arrived[0].text.count("【") == 1

    def test_it_sends_what_it_says(self, carrier, far):
        assert carrier.send(MESSAGE).ref == "m-0"

        assert far.arrived == [("13900000007", "您水务的账单已缴¥86.50。")]
        assert (far.asked[0].method, far.asked[0].path) == ("POST", "/")

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (200, "1001", UpstreamUnavailable),
            (200, "1002", Upstream),
            (200, "1003", AddressGone),
            (200, "1004", NotPermitted),
            (200, "1005", Silent),
            (429, "", UpstreamUnavailable),
            (500, "0", Silent),
        ],
    )
    def test_what_its_answers_mean(self, carrier, far, status, code, kind):
        far.says = (status, {"code": code})

        with pytest.raises(kind) as answer:
            carrier.send(MESSAGE)

        assert type(answer.value) is kind

    def test_another_secret_is_no_yes(self, declare, far):
        with pytest.raises(Silent):
            declare(PRINTED, far.url, secret="x", receipt_secret="y").send(MESSAGE)

        assert far.arrived == []

    def test_receipts_that_wait_are_left_out(self, carrier):
        told = carrier.read_receipts(
            *signed({
                "reports": [
                    {"msgid": "m-1", "status": "ENROUTE"},
                    {"msgid": "m-2", "status": "DELIVRD", "at": "2026-11-21 08:03:04"},
                    {"msgid": "m-3", "status": "EXPIRED", "at": "2026-11-21T08:03:04+00:00"},
                    {"msgid": "m-4", "status": "EXPIRED", "at": "yesterday"},
                ]
            })
        )  # fmt: skip

        assert told == [
            Receipt("m-2", Fate.DELIVERED, datetime(2026, 11, 21, 0, 3, 4, tzinfo=UTC)),
            Receipt("m-3", Fate.FAILED, datetime(2026, 11, 21, 8, 3, 4, tzinfo=UTC), "EXPIRED"),
            Receipt("m-4", Fate.FAILED, None, "EXPIRED"),
        ]

    @pytest.mark.parametrize(
        "call", [{}, [], {"reports": {}}, {"reports": [{"msgid": "m-1"}]}, {"reports": [7]}]
    )
    def test_a_signed_call_of_another_shape_is_said_to_be_one(self, carrier, call):
        with pytest.raises(Invalid):
            carrier.read_receipts(*signed(call))

    def test_a_signature_is_of_one_time(self, carrier):
        headers, body = signed({"reports": []})

        with pytest.raises(NotSignedIn):
            carrier.read_receipts(headers | {"x-time": "1795219385"}, body)

    def test_it_hears_what_it_wants_to(self, carrier):
        assert carrier.acknowledge() == ("application/json", b'{"code": 0}')


class OldFar(HttpFar):
    """A company of the old kind: a form, a password in it, XML back."""

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        return 200, b"<r><code>0</code><id>9</id></r>"


OLD = """
[send]
form = { user = "city", password = "{secret}", mobile = "{phone}", content = "{text}" }
format = "xml"
result = "code"
ref = "id"
results = [{ is = "0", means = "taken" }]

[receipts]
format = "form"
ref = "id"
status = "stat"
delivered = ["0"]
"""
WITH_TEMPLATES = """
[send]
method = "GET"
query = { to = "{phone}", template = "{template_id}", values = "{template_values}" }
result = "code"
results = [{ is = "0", means = "taken" }]
"""


class TestOthers:
    def test_a_form_and_xml(self, declare):
        with OldFar() as far:
            carrier = declare(OLD, far.url + "/send", secret="a&b=c", receipt_token=TOKEN)
            taken = carrier.send(replace(MESSAGE, body="a&user=thief 100%"))
            carrier.close()

        assert taken.ref == "9"
        assert not carrier.repeats_safely
        assert far.asked[0].path == "/send"
        assert parse_qs(far.asked[0].body.decode()) == {
            "user": ["city"], "password": ["a&b=c"], "mobile": ["13900000007"],
            "content": ["a&user=thief 100%"],
        }  # fmt: skip

    def test_receipts_nobody_signs_need_the_token(self, declare):
        carrier = declare(OLD, "http://127.0.0.1:9", secret="x", receipt_token=TOKEN)

        told = carrier.read_receipts({"x-citybill-token": TOKEN}, b"id=9&stat=0")
        with pytest.raises(NotSignedIn):
            carrier.read_receipts({}, b"id=9&stat=0")

        assert told == [Receipt("9", Fate.DELIVERED)]

    def test_a_call_may_be_a_list_or_one_receipt(self, declare):
        text = OLD.replace('format = "form"\n', "")
        carrier = declare(text, "http://127.0.0.1:9", secret="x", receipt_token=TOKEN)
        headers = {"x-citybill-token": TOKEN}

        for call in ([{"id": 9, "stat": 0}], {"id": "9", "stat": "0"}):
            told = carrier.read_receipts(headers, json.dumps(call).encode())
            assert told == [Receipt("9", Fate.DELIVERED)]

    def test_templates_in_a_query(self, declare, far):
        carrier = declare(WITH_TEMPLATES, far.url + "/send?app=city")
        template = Template("T-1", {"amount": "86.50"})

        with pytest.raises(Silent):  # this far side wants a signature; it has heard enough
            carrier.send(replace(MESSAGE, template=template))

        assert parse_qs(far.asked[0].query) == {
            "app": ["city"], "to": ["13900000007"], "template": ["T-1"],
            "values": ['{"amount": "86.50"}'],
        }  # fmt: skip

    def test_words_without_a_template_are_refused_where_one_is_needed(self, declare, far):
        with pytest.raises(Upstream, match="approved templates only") as refused:
            declare(WITH_TEMPLATES, far.url).send(MESSAGE)

        assert type(refused.value) is Upstream
        assert far.asked == []

    def test_without_receipts_none_are_read(self, declare):
        carrier = declare(WITH_TEMPLATES, "http://127.0.0.1:9")

        assert carrier.read_receipts({}, b"anything") == []
        assert carrier.acknowledge() == ("text/plain", b"")


class TestTheDeclaration:
    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ('to = "{phone}"', 'to = "{number}"', r"send: json: there is no {number}"),
            ('"{time}" }', '"{text}" }', r"send: headers: there is no {text}"),
            ('means = "later"', 'means = "soon"', r"results\[2\].means 'soon' is none of"),
            ('means = "taken"', 'means = "later"', "none of them means taken"),
            ('result = "code"', "", "line 8, send.result: is missing"),
            ("[send]", '[send]\nmethod = "GET"', "a GET has no body"),
            ("[send]", '[send]\nform = { a = "b" }', "one body"),
            ("[send]", '[send]\ncolour = "red"', "send.colour: is no key"),
            ('over = "{time}\\n{body}", time', 'over = "{time}", time', "without {body}"),
            (', time_header = "X-Time"', "", "there is no {time}"),
            ("[send]", "[send", "is not TOML"),
        ],
    )
    def test_what_is_wrong_is_named(self, declare, old, new, complaint):
        assert old in PRINTED

        with pytest.raises(Invalid, match=complaint):
            declare(PRINTED.replace(old, new, 1), "http://x", secret="x", receipt_secret="y")

    def test_a_secret_has_no_place_in_an_address(self, declare):
        text = WITH_TEMPLATES.replace("{phone}", "{secret}")

        with pytest.raises(Invalid, match=r"query: there is no \{secret\}"):
            declare(text, "http://x", secret="x")

    @pytest.mark.parametrize(
        ("text", "said", "missing"),
        [
            (PRINTED, {}, "receipt_secret, secret"),
            (PRINTED, {"secret": "x"}, "receipt_secret"),
            (OLD, {"secret": "x"}, "receipt_token"),
            (OLD, {"receipt_token": TOKEN}, "secret"),
        ],
    )
    def test_what_it_needs_is_named(self, declare, text, said, missing):
        with pytest.raises(Invalid, match=f"its declaration needs {missing} too"):
            declare(text, "http://x", **said)

    def test_a_file_that_is_not_there_is_named(self):
        with pytest.raises(Invalid, match=r"/nowhere/sms.toml: cannot be read"):
            from_settings(configuration(declaration="/nowhere/sms.toml", url="http://x"))
