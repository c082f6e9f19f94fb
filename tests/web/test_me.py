"""One's own page, taking one's data along and leaving: by page and by API."""

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.models import MemberRole
from core.clock import utc_now
from core.db import transaction
from identity import leaving
from identity.models import Role
from identity.people import get_person
from tests.factories import a_home, a_payment, a_person, join
from tests.web.conftest import signed_in

pytestmark = pytest.mark.usefixtures("city")
CONFIRM = {"confirm": "erase-my-data"}


def code_sent_to(person_id: int) -> str:
    """The newest code in somebody's messages."""
    with transaction() as session:
        body = session.execute(
            text("SELECT body FROM notice WHERE person_id = :id AND event = 'sign_in.code'"
                 " ORDER BY id DESC LIMIT 1"), {"id": person_id},
        ).scalar_one()  # fmt: skip
    return re.search(r"[0-9]{6}", body)[0]


def has_name(person_id: int) -> bool:
    with transaction() as session:
        return get_person(session, person_id).name != ""


class TestMyPage:
    def test_it_says_who_one_is_and_takes_another_name(self, app):
        person_id = a_person(name="王小明")
        browser = signed_in(app, person_id)
        assert "王小明" in browser.get("/me").text
        browser.send_form("/me/name", {"name": "王大明"})
        assert "王大明" in browser.get("/me").text

    def test_signing_out_everywhere_else_leaves_this_browser(self, app):
        person_id = a_person()
        here, there, program = (signed_in(app, person_id) for _ in range(3))
        assert "退出其他所有登录" in here.get("/me").text
        here.send_form("/me/sign-out-others")
        assert here.get("/me").status_code == 200
        assert there.get("/me").status_code == 303
        assert program.get("/api/v1/bills").status_code == 401

    def test_others_are_not_signed_out(self, app):
        other = signed_in(app, a_person())
        signed_in(app, a_person()).send_form("/me/sign-out-others")
        assert other.get("/me").status_code == 200


class TestTakingDataAlong:
    def test_a_code_opens_it(self, app):
        home = a_home(8_650, now=utc_now())
        browser = signed_in(app, home.owner_id)
        browser.send_form("/me/code", {"what": "export"})

        given = browser.send_form("/me/export", {"code": code_sent_to(home.owner_id)})

        assert given.headers["content-type"] == "application/json"
        assert given.headers["cache-control"] == "no-store"
        assert "attachment" in given.headers["content-disposition"]
        found = json.loads(given.content)
        assert found["accounts"][0]["account_no"] == home.account_nos[0]

    def test_without_a_right_code_nothing_is_given(self, app):
        browser = signed_in(app, a_person())
        browser.send_form("/me/code", {"what": "export"})
        for code in ("", "000000"):
            refused = browser.send_form("/me/export", {"code": code})
            assert refused.status_code == 422
            assert "text/html" in refused.headers["content-type"]

    def test_somebody_elses_code_opens_nothing(self, app):
        other_id = a_person()
        signed_in(app, other_id).send_form("/me/code", {"what": "export"})
        refused = signed_in(app, a_person()).send_form(
            "/me/export", {"code": code_sent_to(other_id)}
        )
        assert refused.status_code == 422

    def test_by_api_three_times_a_day_to_who_signed_in_lately(self, app):
        browser = signed_in(app, a_person())
        for _ in range(leaving.EXPORTS_A_DAY):
            assert browser.get("/api/v1/me/export").status_code == 200
        assert browser.get("/api/v1/me/export").status_code == 429
        with transaction() as session:
            session.execute(text("UPDATE web_session SET created_at = created_at - interval '1h'"))
        refused = browser.get("/api/v1/me/export")
        assert (refused.status_code, refused.json()["code"]) == (403, "me.sign_in_again")

    def test_staff_may_take_their_own_along(self, app):
        assert signed_in(app, a_person(Role.STAFF)).get("/api/v1/me/export").status_code == 200


class TestLeaving:
    def ask(self, app, person_id: int, word: str = "注销"):
        browser = signed_in(app, person_id)
        browser.send_form("/me/code", {"what": "leave"})
        return browser, browser.send_form(
            "/me/leave", {"code": code_sent_to(person_id), "word": word}
        )

    def test_with_code_and_word_and_a_week_to_take_it_back(self, app):
        person_id = a_person()
        browser, asked = self.ask(app, person_id)
        assert asked.headers["location"] == "/me?done=leaving"
        assert 'action="/me/stay"' in browser.get("/me").text

        browser.send_form("/me/stay")

        assert 'action="/me/stay"' not in browser.get("/me").text
        assert has_name(person_id)

    def test_the_word_must_be_typed(self, app):
        browser, refused = self.ask(app, a_person(), word="yes")
        assert refused.status_code == 422
        assert 'action="/me/stay"' not in browser.get("/me").text

    def test_why_not_now_is_said_before_a_code_is_asked_for(self, app):
        home, member_id = a_home(8_650, now=utc_now()), a_person()
        join(home, member_id, MemberRole.SEE)
        browser = signed_in(app, home.owner_id)
        shown = browser.get("/me/leave")
        assert shown.status_code == 200
        assert "家里还有别人" in shown.text
        assert 'action="/me/code"' not in shown.text

        a_payment(home, now=utc_now())
        assert "缴费还在进行" in browser.get("/me/leave").text

    def test_by_api(self, app):
        person_id = a_person()
        browser = signed_in(app, person_id)
        assert browser.delete("/api/v1/me").status_code == 422
        asked = browser.delete("/api/v1/me", params=CONFIRM)
        assert asked.status_code == 202
        assert asked.json() == browser.delete("/api/v1/me", params=CONFIRM).json()
        assert browser.delete("/api/v1/me/erasure").status_code == 204
        with transaction() as session:
            assert leaving.find_erasure(session, person_id) is None

    def test_by_api_the_reason_is_a_code(self, app):
        home = a_home(8_650, now=utc_now())
        a_payment(home, now=utc_now())
        refused = signed_in(app, home.owner_id).delete("/api/v1/me", params=CONFIRM)
        assert (refused.status_code, refused.json()["code"]) == (409, "me.payment_under_way")

    def test_once_erased_every_door_is_shut(self, app):
        person_id = a_person()
        browser, _ = self.ask(app, person_id)
        with transaction() as session:
            leaving.erase(session, person_id, now=utc_now() + timedelta(days=7))
        assert browser.get("/me").status_code == 303
        assert browser.get("/api/v1/bills").status_code == 401
