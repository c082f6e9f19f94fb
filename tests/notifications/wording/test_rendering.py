"""From facts to words: escaped in HTML, in the right edition and language, and fast."""

import re
from email import message_from_bytes, policy
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.db import transaction
from notifications.channels.base import Message
from notifications.channels.mail import write_mail
from notifications.models import NoticeTemplate
from notifications.segments import segments
from notifications.wording.built_in import built_in
from notifications.wording.rendering import Asked, Facts, Key, render_all, words_of
from notifications.wording.samples import sample
from notifications.wording.template import Form
from tests.conftest import NOW
from tests.factories import a_person

# From the lists browsers were attacked with: tags, attributes, entities, encodings, odd spaces.
XSS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg/onload=alert(1)>',
    "'-alert(1)-'", "javascript:alert(1)", "<a href='javascript:alert(1)'>x</a>", "&lt;script&gt;",
    "&#60;script&#62;", "<style>*{display:none}</style>", "</p></body></html><h1>x", "<!--", "]]>",
    "<iframe srcdoc='<script>alert(1)</script>'>", "<math><mtext></form><form><mglyph><style>",
    '" style="background:url(//evil.example)" x="', "<base href=//evil.example>", "{{7*7}}",
    "{link}", "<meta http-equiv=refresh content='0;url=//evil.example'>", "\x00<script\x00>",
    "<\u2028b>",
]  # fmt: skip
LETTER = Key("payment.receipt", Form.LETTER, "zh_CN", "plain")
OURS = {"html", "head", "meta", "style", "title", "body", "main", "h1", "p", "table", "thead",
        "tbody", "tr", "th", "td", "br", "a"}  # fmt: skip


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def letter(facts: Facts) -> str:
    page = words_of(LETTER, built_in(*LETTER), "email", facts).body_html
    assert page is not None
    return page


def plain_page() -> list[tuple[str, dict[str, str | None]]]:
    return Page(letter(evil_facts("x"))).tags


def evil_facts(evil: str) -> Facts:
    names = ("greeting", "name", "amount", "how", "count")
    return Facts(dict.fromkeys(names, evil), [(evil, evil)], f"https://x.example/{evil}")


def assert_only_text(evil: str) -> None:
    page = Page(letter(evil_facts(evil)))

    kept = [tag for tag, _ in page.tags if tag != "br"]
    assert kept == [tag for tag, _ in plain_page() if tag != "br"]
    for tag, attributes in page.tags:
        assert tag in OURS
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "a":
            assert str(attributes["href"]).startswith("https://x.example/")


@pytest.mark.parametrize("evil", XSS)
def test_whatever_is_filled_in_is_text(evil):
    assert_only_text(evil)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_text(evil):
    assert_only_text(evil)


@pytest.mark.parametrize(
    "evil", ["王\r\nBcc: x@evil.example", "王\nX-Evil: 1\n\n<b>", "王\u2028y\x00"]
)
def test_no_name_becomes_a_header_of_a_mail(evil):
    key = Key("payment.returned", Form.LETTER, "zh_CN", "plain")
    facts = Facts({"amount": evil, "way": evil, "why": evil}, link="https://x.example")
    words = words_of(key, built_in(*key), "email", facts)

    raw = write_mail(
        Message(message_id="notice-1", address="wang@example.com", **words._asdict()),
        sender="no-reply@citybill.example",
    )

    mail = message_from_bytes(raw, policy=policy.default)
    assert not {"bcc", "x-evil"} & {name.lower() for name in mail}
    assert len(mail.get_all("to")) == 1


def test_a_letter_reads_the_same_as_text_and_as_a_page():
    said = words_of(LETTER, built_in(*LETTER), "email", sample("payment.receipt", "zh_CN"))

    assert said.body == (
        "王小明，您好！我们已收到您的自动缴费 ¥86.50。\n\n"
        "  市自来水公司 · 2026年10月 · ****1234  ¥86.50\n"
        "  市燃气公司 · 2026年10月 · ****5678  ¥142.00\n\n"
        "各公司确认销账的进度可在此查看：\nhttps://citybill.example/bills/1024.77\n"
    )
    shown = re.sub(r"\s", "", unescape(Page(said.body_html or "").text))
    for line in said.body.split("\n"):
        assert re.sub(r"\s", "", line) in shown


def test_a_line_that_comes_out_empty_leaves_no_gap():
    key = Key("payment.receipt", Form.LETTER, "en", "plain")
    values = {**sample("payment.receipt", "en").values, "greeting": "", "how": ""}

    said = words_of(key, built_in(*key), "email", Facts(values))

    assert said.body.startswith("We have received your payment of ¥86.50.\n\nWe will show here")
    assert "<p></p>" not in (said.body_html or "")
    assert "<table" not in (said.body_html or "")


def test_only_a_mail_has_a_page():
    key = LETTER

    assert words_of(key, built_in(*key), "inbox", Facts()).body_html is None


class TestShort:
    KEY = Key("autopay.announced", Form.SHORT, "zh_CN", "plain")

    def said(self, channel: str, **values: str) -> str:
        known = sample("autopay.announced", "zh_CN")
        facts = Facts({**known.values, **values}, known.lines, known.link)
        return words_of(self.KEY, built_in(*self.KEY), channel, facts).body

    def test_a_text_message_alone_is_signed(self):
        assert self.said("sms").startswith("【城市账单】")
        for channel in ("push", "wechat", "tv"):
            assert "【" not in self.said(channel)
            assert "http" not in self.said(channel)

    def test_its_link_comes_along_where_two_messages_hold_it(self):
        assert self.said("sms").endswith(" https://citybill.example/bills/1024.77")
        long = self.said("sms", bill="水" * 90)
        assert "http" not in long
        assert segments(long).parts > 1

    def test_in_english_it_keeps_to_the_alphabet_that_costs_half(self):
        key, facts = self.KEY._replace(locale="en"), sample("autopay.announced", "en")

        said = words_of(key, built_in(*key), "sms", facts).body

        assert segments(said).encoding == "GSM-7"
        assert "City Water, October 2026, ****1234" in said

    def test_it_is_one_line_whatever_is_filled_in(self):
        assert "\n" not in self.said("sms", bill="水\r\n电")


@pytest.mark.usefixtures("city")
class TestWhoseWords:
    FACTS = sample("sign_in.code", "zh_CN")

    def approved(self, body: str, *, edition="plain", form=Form.SHORT, **ids: object) -> int:
        one, other = a_person(), a_person()
        with transaction() as session:
            row = NoticeTemplate(
                event="sign_in.code", form=form, locale="zh_CN", edition=edition, version=1,
                title="码", body=body, carrier_ids=ids, state="approved", made_by=one, made_at=NOW,
                why="", decided_by=other, decided_at=NOW,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return row.id or 0

    def rendered(self, channel="push", edition="plain", locale="zh_CN"):
        asked = Asked("sign_in.code", channel, locale, edition, self.FACTS)
        with transaction() as session:
            [found] = render_all(session, [asked])
        return found

    def test_what_was_approved_comes_before_what_came_with_us(self):
        number = self.approved("码 {code}")

        assert self.rendered().words.body == "码 482913"
        assert self.rendered().template_id == number
        assert self.rendered(locale="en").template_id is None

    def test_an_edition_has_its_own_words_before_those_for_everybody(self):
        self.approved("码 {code}")
        assert "谁来要都不要给" in self.rendered(edition="elder").words.body  # built in, but elder

        self.approved("大字 {code}", edition="elder")
        assert self.rendered(edition="elder").words.body == "大字 482913"

    def test_a_draft_is_nobodys_words(self):
        self.approved("码 {code}")
        with transaction() as session:
            row = session.get_one(NoticeTemplate, self.rendered().template_id)
            row.state, row.decided_by, row.decided_at = "draft", None, None

        assert self.rendered().template_id is None

    def test_carriers_get_the_values_of_their_copy(self):
        self.approved("码 {code}", wechat="T1:character_string1=code,number2=minutes")

        assert self.rendered("sms").template_values == {"code": "482913"}
        assert self.rendered("wechat").template_values == {"code": "482913", "minutes": "5"}
        assert self.rendered("push").template_values is None

    def test_words_nobody_had_approved_have_no_number_at_a_carrier(self):
        assert self.rendered("sms").template_values is None


@pytest.mark.usefixtures("city")
def test_the_words_of_many_come_in_the_order_they_were_asked_for():
    channels = ("inbox", "email", "sms", "push")
    facts = sample("payment.receipt", "zh_CN")
    asked = [Asked("payment.receipt", one, "zh_CN", "plain", facts) for one in channels * 500]

    with transaction() as session:
        found = render_all(session, asked)

    assert [one.words for one in found[:4]] * 500 == [one.words for one in found]
    assert len({one.words for one in found}) == 4
