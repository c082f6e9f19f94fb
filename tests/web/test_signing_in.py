"""Signing in with a one-time code, by page and by program."""

import re
from urllib.parse import quote

import pytest
from lxml import html
from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity.models import Role
from identity.people import add_person, get_person
from tests.factories import a_home, a_person, at_once
from tests.web.conftest import PUBLIC_URL, a_browser, signed_in
from web.pages.file_views import provider_name

pytestmark = pytest.mark.usefixtures("city")


def contact_of(person_id: int) -> str:
    with transaction() as session:
        return get_person(session, person_id).contact


def the_code() -> str:
    with transaction() as session:
        found = session.execute(text("SELECT body FROM notice ORDER BY id DESC LIMIT 1"))
        body = found.scalar_one()
    match = re.search(r"[0-9]{6}", body)
    assert match, body
    return match[0]


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


class TestPages:
    def test_from_the_contact_to_ones_own_bills_and_out_again(self, browser):
        home = a_home(8_650)
        contact = contact_of(home.owner_id)
        browser.open_form("/sign-in")

        asked = browser.send_form("/sign-in", {"contact": contact})
        entered = browser.send_form("/sign-in/code", {"contact": contact, "code": the_code()})

        assert asked.status_code == 200
        assert contact not in re.sub(r"<input[^>]*>", "", asked.text)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"]
        for part in ("__Host-citybill_session=", "HttpOnly", "Secure", "SameSite=lax", "Path=/"):
            assert part in cookie
        page = browser.open_form("/")
        assert page.status_code == 200
        out = browser.send_form("/sign-out")
        assert out.headers["location"] == "/sign-in"
        assert browser.get("/").status_code == 303

    @pytest.mark.parametrize(
        ("asked_for", "lands"),
        [
            ("/notices?only=unread&page=2", "/notices?only=unread&page=2"),
            ("/console", "/"),  # not theirs
            ("//evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("javascript:alert(1)", "/"),
        ],
    )
    def test_signing_in_goes_on_to_the_page_that_was_asked_for(self, browser, asked_for, lands):
        contact = contact_of(a_home(8_650).owner_id)
        sent_away = browser.get(asked_for) if asked_for.startswith("/no") else None
        page = browser.open_form(
            sent_away.headers["location"] if sent_away else f"/sign-in?next={quote(asked_for)}"
        )
        (onward,) = set(html.fromstring(page.text).xpath("//input[@name='next']/@value"))

        wrong = browser.send_form(
            "/sign-in/code", {"contact": contact, "code": "junk", "next": onward}
        )
        browser.send_form("/sign-in", {"contact": contact, "next": onward})
        (onward,) = set(html.fromstring(wrong.text).xpath("//input[@name='next']/@value"))
        entered = browser.send_form(
            "/sign-in/code", {"contact": contact, "code": the_code(), "next": onward}
        )

        assert entered.headers["location"] == lands

    @pytest.mark.parametrize(
        ("referer", "back_to"),
        [
            (f"{PUBLIC_URL}/autopay?x=1", "/autopay?x=1"),
            ("https://evil.example/autopay", "/"),
            (None, "/"),
        ],
    )
    def test_a_form_sent_after_the_session_ended_leads_back_to_its_page(
        self, app, referer, back_to
    ):
        headers = {"referer": referer} if referer else {}

        answer = a_browser(app, **headers).post("/autopay", data={})

        assert answer.headers["location"] == f"/sign-in?next={quote(back_to)}"

    def test_signing_out_ends_the_session_and_not_only_the_cookie(self, app):
        browser = signed_in(app, a_person())
        token = browser.cookies["__Host-citybill_session"]

        browser.send_form("/sign-out")

        thief = a_browser(app, authorization=f"Bearer {token}")
        assert thief.get("/api/v1/bills").status_code == 401

    def test_a_wrong_code_is_refused_and_the_right_one_still_works(self, browser):
        contact = contact_of(a_person())
        browser.open_form("/sign-in")
        browser.send_form("/sign-in", {"contact": contact})
        code = the_code()

        wrong = browser.send_form("/sign-in/code", {"contact": contact, "code": another(code)})
        right = browser.send_form("/sign-in/code", {"contact": contact, "code": code})
        again = browser.send_form("/sign-in/code", {"contact": contact, "code": code})

        assert (wrong.status_code, right.status_code, again.status_code) == (422, 303, 422)
        assert "set-cookie" not in wrong.headers

    def test_five_wrong_codes_use_the_code_up(self, browser):
        contact = contact_of(a_person())
        browser.open_form("/sign-in")
        browser.send_form("/sign-in", {"contact": contact})
        code = the_code()

        for _ in range(5):
            browser.send_form("/sign-in/code", {"contact": contact, "code": another(code)})

        answer = browser.send_form("/sign-in/code", {"contact": contact, "code": code})
        assert answer.status_code == 422

    def test_staff_arrive_at_the_console(self, browser):
        contact = contact_of(a_person(Role.STAFF))
        browser.open_form("/sign-in")
        browser.send_form("/sign-in", {"contact": contact})

        answer = browser.send_form("/sign-in/code", {"contact": contact, "code": the_code()})

        assert answer.headers["location"] == "/console"

    def test_a_contact_nobody_has_is_told_the_same(self, browser):
        known = contact_of(a_person())
        unknown = known[:-1] + str((int(known[-1]) + 1) % 10)
        browser.open_form("/sign-in")

        pages = [browser.send_form("/sign-in", {"contact": c}) for c in (known, unknown)]

        assert pages[0].status_code == pages[1].status_code == 200
        assert pages[0].text.replace(known, "…").replace(known[-4:], "…") == pages[1].text.replace(
            unknown, "…"
        ).replace(unknown[-4:], "…")

    @pytest.mark.parametrize("junk", ["\x00", "x\x00y", "a" * 201])
    def test_junk_is_refused_and_no_fault_of_ours(self, browser, junk):
        browser.open_form("/sign-in")

        assert browser.send_form("/sign-in", {"contact": junk}).status_code == 422
        form = {"contact": junk, "code": "1"}
        assert browser.send_form("/sign-in/code", form).status_code == 422
        for path in ("sign-in-codes", "sessions"):
            assert browser.post(f"/api/v1/{path}", json=form).status_code == 422


class TestPrograms:
    def test_a_code_becomes_a_token_once(self, app):
        contact = contact_of(a_person())
        program = a_browser(app)
        asked = program.post("/api/v1/sign-in-codes", json={"contact": contact})
        code = the_code()

        wrong = program.post("/api/v1/sessions", json={"contact": contact, "code": another(code)})
        right = program.post("/api/v1/sessions", json={"contact": contact, "code": code})
        again = program.post("/api/v1/sessions", json={"contact": contact, "code": code})

        assert asked.status_code == 202
        assert [one.status_code for one in (wrong, right, again)] == [401, 201, 401]
        assert wrong.json()["code"] == "sign_in.wrong_code"
        bearer = {"Authorization": f"Bearer {right.json()['token']}"}
        assert program.get("/api/v1/bills", headers=bearer).status_code == 200
        assert program.delete("/api/v1/sessions/current", headers=bearer).status_code == 204
        assert program.get("/api/v1/bills", headers=bearer).status_code == 401

    def test_ten_programs_with_one_code_open_one_session(self, app):
        contact = contact_of(a_person())
        a_browser(app).post("/api/v1/sign-in-codes", json={"contact": contact})
        body = {"contact": contact, "code": the_code()}

        found = at_once([lambda: a_browser(app).post("/api/v1/sessions", json=body)] * 10)

        assert sorted(one.status_code for one in found) == [201] + [401] * 9

    def test_ten_wrong_tries_at_one_moment_use_the_code_up(self, app):
        contact = contact_of(a_person())
        a_browser(app).post("/api/v1/sign-in-codes", json={"contact": contact})
        code = the_code()
        body = {"contact": contact, "code": another(code)}

        found = at_once([lambda: a_browser(app).post("/api/v1/sessions", json=body)] * 10)

        assert {one.status_code for one in found} == {401}
        late = a_browser(app).post("/api/v1/sessions", json={"contact": contact, "code": code})
        assert late.status_code == 401

    def test_five_codes_an_hour_and_no_more_and_nobody_is_told(self, app):
        contact = contact_of(a_person())

        answers = [
            a_browser(app).post("/api/v1/sign-in-codes", json={"contact": contact})
            for _ in range(6)
        ]

        assert [one.json() for one in answers] == [{"status": "sent if known"}] * 6
        with transaction() as session:
            codes = session.execute(text("SELECT count(*) FROM sign_in_code")).scalar_one()
        assert codes == 5


@pytest.fixture
def demo_browser(browser):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CITYBILL_ENVIRONMENT", "demo")
        settings.cache_clear()
        yield browser
    settings.cache_clear()


def test_the_demos_people_of_companies_are_told_apart_by_their_company(demo_browser):
    with transaction() as session:
        for code in ("water", "gas"):
            add_person(
                session, role=Role.OPERATOR, name="沈清", contact=f"{code}@x.example",
                provider_code=code, now=utc_now(),
            )  # fmt: skip

    for locale in ("zh_CN", "en"):
        page = demo_browser.get("/sign-in", headers={"Accept-Language": locale}).text
        people = html.fromstring(page).xpath("//ul[@class='people']//span[@class='row__meta']")
        names = [provider_name(locale, code) for code in ("water", "gas")]
        assert [one.text_content() for one in people] == names
