"""A company writes to its customers: it sees whom it reaches before anybody is told."""

import pytest
from fastapi import FastAPI
from sqlmodel import select

from core.clock import utc_now
from core.db import transaction
from identity.models import Role
from notifications.models import ServiceMessage
from tests.factories import a_home, a_person, topics
from tests.web.conftest import Browser, signed_in

FORM = {
    "kind": "outage", "words_zh": "主管抢修。", "words_en": "A main <b>burst</b>.",
    "from_at": "2030-01-01T08:00", "until_at": "2030-01-01T18:00", "reach": "all",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def browser(app: FastAPI) -> Browser:
    """A water company's own person."""
    return signed_in(app, a_person(Role.OPERATOR))


def write(browser: Browser, **changes: str) -> str:
    """Write a message; returns where it is."""
    answer = browser.send_form("/company/messages", FORM | changes)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def the_message() -> ServiceMessage:
    with transaction() as session:
        return session.exec(select(ServiceMessage)).one()


class TestWriting:
    def test_what_was_written_is_shown_with_its_reach_and_nobody_is_told(self, browser):
        a_home(now=utc_now())
        shown = browser.get(write(browser)).text

        assert "可通知 1 户" in shown
        assert "A main &lt;b&gt;burst&lt;/b&gt;." in shown
        assert "主管抢修。" in shown
        assert topics(like="service_message.%") == []
        assert the_message().from_at.isoformat() == "2030-01-01T00:00:00+00:00"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"words_en": " "}, "请写中文和英文内容"),
            ({"until_at": "2029-12-31T08:00"}, "结束时间要晚于开始时间"),
            ({"from_at": "soon"}, "请填写开始的日期和时间"),
            ({"from_at": "9999-12-31T08:00"}, "请填写开始的日期和时间"),
            ({"reach": "address"}, "请写地址的开头"),
            ({"reach": "accounts"}, "请填写户号"),
            ({"kind": "party"}, "没有这个选项"),
        ],
    )
    def test_what_is_not_whole_is_told_and_what_was_typed_stays(self, browser, changes, words):
        answer = browser.send_form("/company/messages", FORM | changes)

        assert answer.status_code == 422
        assert words in answer.text
        assert "主管抢修。" in answer.text

    def test_the_form_and_the_empty_list_can_be_opened(self, browser):
        assert "写通知" in browser.get("/company/messages").text
        assert browser.get("/company/messages/new").status_code == 200


class TestItsLife:
    def test_sent_it_is_asked_for_once_and_then_over(self, browser):
        path = write(browser)
        for act in ("sending", "sending", "end"):
            assert browser.send_form(f"{path}/{act}", {}).status_code == 303

        assert topics(like="service_message.%") == ["service_message.sent", "service_message.over"]
        assert "已结束" in browser.get(path).text
        assert "停水通知" in browser.get("/company/messages").text

    def test_withdrawn_it_cannot_be_sent(self, browser):
        path = write(browser)
        browser.send_form(f"{path}/withdrawal", {})

        answer = browser.send_form(f"{path}/sending", {})

        assert answer.status_code == 409
        assert "已撤回" in answer.text
        assert topics(like="service_message.%") == []

    def test_another_companys_message_is_not_there(self, browser):
        path = write(browser)
        with transaction() as session:
            session.get_one(ServiceMessage, the_message().id).provider_code = "gas"

        assert browser.get(path).status_code == 404
        assert browser.send_form(f"{path}/sending", {}).status_code == 404

    def test_there_is_no_other_act(self, browser):
        assert browser.send_form(f"{write(browser)}/party", {}).status_code == 422


class TestStaff:
    def test_see_all_companies_messages_and_take_them_out(self, app, browser):
        write(browser)
        clerk = signed_in(app, a_person(Role.STAFF))

        assert "主管抢修。" in clerk.get("/console/service-messages").text
        assert "主管抢修。" not in clerk.get("/console/service-messages?company=gas").text
        assert "主管抢修。" in clerk.get("/console/service-messages.csv").text
        assert clerk.get("/console/service-messages.xlsx").status_code == 200
