"""The words of notices in the console: written by one, approved by another."""

import pytest
from lxml import html
from sqlmodel import select

from core.clock import utc_now
from core.db import transaction
from identity.duties import Duty
from identity.models import Role
from notifications.bill_notices import find_ready, tell_some
from notifications.models import Notice
from notifications.notices import tell_paid
from notifications.wording import versions
from notifications.wording.rendering import Key
from notifications.wording.template import Form
from tests.factories import a_home, a_paid_payment, a_person, the_bill
from tests.notifications.test_complaint_notices import tell_all as tell_answers
from tests.notifications.wording.test_versions import proposed
from tests.support.complaining import answer, ask, take
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
AT = "/console/wording"
SHORT = f"{AT}/words/bill.ready/short/zh_CN/plain"
LETTER = f"{AT}/words/payment.receipt/letter/zh_CN/plain"
FORM = {"title": "新账单", "body": "{company}的账单到了：{amount}", "why": "更短"}


@pytest.fixture
def colleagues(app) -> tuple[Browser, Browser, int]:
    one = a_person(Role.STAFF, name="陈晓", duties=(Duty.SETUP,))
    other = a_person(Role.STAFF, name="林岚", duties=(Duty.SETUP,))
    return signed_in(app, one), signed_in(app, other), one


def begun(browser: Browser, at: str = SHORT) -> str:
    """Begin a version and return its page."""
    browser.open_form(at)
    return browser.send_form(at).headers["location"]


def in_force() -> str | None:
    with transaction() as session:
        row = versions.in_force(session, Key("bill.ready", Form.SHORT, "zh_CN", "plain"))
        return row.body if row else None


class TestFromAWordToTheNext:
    def test_written_by_one_approved_by_another_and_in_force(self, colleagues):
        one, other, _ = colleagues
        at = begun(one)
        one.open_form(at)
        assert one.send_form(at, {**FORM, "act": "propose"}).headers["location"] == at
        assert in_force() is None
        seen = main_of(other, at)
        for said in ("陈晓", "更短", "{company}的账单到了：{amount}", "To be approved"):
            assert said in seen, said

        other.open_form(at)
        other.send_form(f"{at}/approval")

        assert in_force() == FORM["body"]
        assert "In force" in main_of(other, at)
        assert "version 1" in main_of(other, AT)
        assert "林岚" in main_of(other, SHORT)

    def test_its_writer_has_no_yes_and_is_refused_one(self, colleagues):
        one, _, who = colleagues
        at = f"{AT}/versions/{proposed(who)}"
        page = html.fromstring(one.get(at).text)
        assert page.xpath("//main//form/@action") == [f"{at}/decline"]

        answer = one.send_form(f"{at}/approval")

        assert answer.status_code == 403
        assert "请同事来批" in told(answer.text)
        assert in_force() is None

    def test_declined_its_writer_reads_why(self, colleagues):
        one, other, who = colleagues
        at = f"{AT}/versions/{proposed(who)}"
        other.open_form(at)
        other.send_form(f"{at}/decline", {"words": "太短"})

        assert "太短" in main_of(one, at)
        assert "Declined" in main_of(one, SHORT)

    def test_an_old_version_is_begun_anew(self, colleagues):
        one, other, who = colleagues
        for body in ("{company} 旧 {amount}", "{company} 新 {amount}"):
            at = f"{AT}/versions/{proposed(who, body)}"
            other.open_form(at)
            other.send_form(f"{at}/approval")
        again = html.fromstring(one.get(SHORT).text).xpath("//input[@name='again']/@value")
        one.open_form(SHORT)

        at = one.send_form(SHORT, {"again": again[0]}).headers["location"]

        assert "{company} 旧 {amount}" in one.get(at).text


class TestTheForm:
    @pytest.mark.parametrize(("body", "said"), [
        ("应缴 {{7*7}}", "正文第 1 行第 4 个字符：这里没有这样的填充项"),
        ("一\n二", "这里只能写一行"), ("【我】{company}", "签名会自动加上"),
    ])  # fmt: skip
    def test_what_is_refused_is_said_with_where_and_keeps_what_was_typed(
        self, colleagues, body, said
    ):
        one, _, _ = colleagues
        at = begun(one)
        one.open_form(at)

        answer = one.send_form(at, {**FORM, "body": body, "act": "save"})

        assert answer.status_code == 422
        assert said in told(answer.text)
        assert html.fromstring(answer.text).get_element_by_id("body").value.strip() == body

    def test_it_counts_messages_without_any_script(self, colleagues):
        one, _, _ = colleagues
        at = begun(one)
        one.open_form(at)
        one.send_form(at, {**FORM, "body": "水" * 61, "act": "save"})

        assert "Text messages: 2 · 106 characters in UCS-2 · 28 left" in main_of(one, at)

    def test_a_colleague_sees_no_form_of_a_draft(self, colleagues):
        one, other, _ = colleagues
        at = begun(one)

        assert not html.fromstring(other.get(at).text).xpath("//textarea")
        other.open_form(at)
        assert other.send_form(at, {**FORM, "act": "save"}).status_code == 403

    @pytest.mark.parametrize("path", [
        "words/x.y/short/zh_CN/plain", "words/bill.ready/fax/zh_CN/plain",
        "words/bill.ready/short/fr/plain", "words/bill.ready/short/en/huge", "versions/1",
        "words/bill.ready/short/en/plain/letter", "versions/1/letter",
    ])  # fmt: skip
    def test_words_there_are_not_are_not_found(self, colleagues, path):
        assert colleagues[0].get(f"{AT}/{path}").status_code == 404


class TestTheLetter:
    def test_it_is_framed_by_us_alone_and_runs_nothing(self, colleagues):
        answer = colleagues[0].get(f"{LETTER}/letter")

        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "frame-ancestors 'self'" in policy
        assert "script" not in policy
        assert "¥86.50" in answer.text

    def test_the_page_around_it_keeps_its_fence(self, colleagues):
        answer = colleagues[0].get(LETTER)

        assert "unsafe" not in answer.headers["content-security-policy"]
        [frame] = html.fromstring(answer.text).xpath("//iframe")
        assert (frame.get("src"), frame.get("sandbox")) == (f"{LETTER}/letter", "")
        assert frame.get("title")

    def test_a_version_shows_its_own(self, colleagues):
        one, _, _ = colleagues
        at = begun(one, LETTER)
        one.open_form(at)
        one.send_form(at, {"title": "收", "body": "收到 {amount}", "why": "x", "act": "save"})

        assert "<p>收到 ¥86.50</p>" in one.get(f"{at}/letter").text


class TestTheList:
    def test_it_can_be_of_one_subject(self, colleagues):
        one, _, _ = colleagues

        assert "Receipt" in main_of(one, AT)
        seen = main_of(one, f"{AT}?subject=sign_in")
        assert "Sign-in code" in seen
        assert "Receipt" not in seen
        assert "Receipt" in main_of(one, f"{AT}?subject=nothing")

    def test_what_waits_stands_in_the_inbox_and_is_decided_there(self, colleagues):
        one, other, who = colleagues
        number = proposed(who)
        inbox = "/console/approvals"
        assert "Words · Bill is there" in main_of(other, inbox)
        assert "1 for you" in main_of(other, inbox)
        assert "Yours: a colleague decides." in main_of(one, inbox)

        done = other.send_form(f"{inbox}/words/{number}/approval")

        assert done.headers["location"] == f"{inbox}?done=approval"
        assert in_force() == "{company}的账单到了：{amount}"


class TestRealFacts:
    """What somebody was told lately fills the words, without whose it is."""

    def test_a_bill_of_somebodys_may_be_looked_at_with(self, colleagues):
        writer = colleagues[0]
        home = a_home(12_345, now=utc_now())
        with transaction() as session:
            bill_id = the_bill(home.refs[0]).bill_file_id
            find_ready(session, bill_id, now=utc_now())
            tell_some(session, public_url="https://c.example", now=utc_now())
            number = session.exec(
                select(Notice.id).where(Notice.event == "bill.ready", Notice.channel == "inbox")
            ).one()
        at = "/console/wording/words/bill.overdue/short/zh_CN/plain"

        page = writer.get(at).text
        assert "¥123.45" in page  # to choose
        assert "¥123.45" in writer.get(f"{at}?told={number}").text.partition("bubble")[2]
        assert "¥86.50" in writer.get(f"{at}?told=999").text.partition("bubble")[2]
        assert "¥86.50" in writer.get(f"{at}?told=").text.partition("bubble")[2]
        letter = writer.get(at.replace("short", "letter") + f"/letter?told={number}").text
        assert "¥123.45" in letter
        assert home.account_nos[0] not in letter + page

    def test_a_receipt_and_an_answer_may_be_looked_at_with_too(self, colleagues):
        writer, home, clerk = colleagues[0], a_home(12_345, now=utc_now()), a_person(Role.STAFF)
        one = ask(home.owner_id, about=f"bill:{home.refs[0][0]}.{home.refs[0][1]}")
        take(one, clerk)
        answer(one, clerk, "赵敏，您好：读数无误。")
        tell_answers()
        payment = a_paid_payment(home)
        with transaction() as session:
            tell_paid(session, payment.id, public_url="https://c.example", now=utc_now())
            rows = session.exec(select(Notice).where(Notice.channel == "inbox")).all()
        numbers = {row.event: row.id for row in rows}
        answered = "/console/wording/words/complaint.answered/letter/zh_CN/plain"

        receipt = writer.get(f"{LETTER}/letter?told={numbers['payment.receipt']}").text
        reply = writer.get(f"{answered}/letter?told={numbers['complaint.answered']}").text

        assert "¥123.45" in receipt
        assert "2026年10月" in main_of(writer, answered)  # to choose
        assert "赵敏" not in reply
        assert one.number not in reply + writer.get(answered).text
        assert home.account_nos[0] not in reply + receipt
