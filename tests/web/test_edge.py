"""What every answer has: headers, an id, an error in the right form, and nothing of our insides."""

from collections import defaultdict

import pytest

from core.errors import CityBillError
from identity.models import Role
from tests.factories import a_home, a_person
from tests.web.conftest import a_browser, signed_in
from tests.web.test_access import ROUTES
from web import errors

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}
SAMPLE = [
    ("/healthz", 200), ("/readyz", 200), ("/sign-in", 200), ("/", 303), ("/nowhere", 404),
    ("/api/v1/nowhere", 404), ("/api/v1/bills", 401), ("/api/v1/openapi.json", 200),
    ("/static/nowhere.css", 404), ("/static/citybill.css", 200), ("/sign-out", 405),
    ("/api/v1/payments/1", 401), ("/bills/1.2", 303),
]  # fmt: skip


@pytest.mark.usefixtures("city")
class TestHeaders:
    @pytest.mark.parametrize(("path", "status"), SAMPLE)
    def test_every_answer_is_fenced_and_not_kept(self, app, path, status):
        answer = a_browser(app).get(path)

        assert answer.status_code == status
        assert HEADERS.items() <= dict(answer.headers).items()
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        kept = status == 200 and path.startswith("/static/")
        assert answer.headers["cache-control"] == (
            "public, max-age=31536000, immutable" if kept else "no-store"
        )

    def test_a_request_keeps_its_id(self, browser):
        answer = browser.get("/api/v1/nowhere", headers={"X-Request-Id": "from-the-gate-1"})

        assert answer.headers["x-request-id"] == "from-the-gate-1"
        assert answer.json()["request_id"] == "from-the-gate-1"

    @pytest.mark.parametrize(
        "junk", ["", "x" * 65, "a b", "a\tb", "<script>", "a;b", "../x", "é", "--"]
    )
    def test_a_junk_id_is_replaced(self, browser, junk):
        answers = [
            browser.get("/healthz", headers={"X-Request-Id": junk.encode("latin-1")})
            for _ in range(2)
        ]

        ids = {answer.headers["x-request-id"] for answer in answers}
        assert len(ids) == 2
        assert junk not in ids


@pytest.mark.usefixtures("city")
class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/api/v1/nowhere", 404, "not_found"),
            ("DELETE", "/api/v1/bills", 405, "method.not_allowed"),
            ("GET", "/api/v1/bills", 401, "not_signed_in"),
            ("POST", "/api/v1/providers/water/bill-files", 401, "api_key.missing"),
            ("POST", "/api/v1/sessions", 422, "request.malformed"),
            ("POST", "/api/v1/callbacks/sandbox", 403, "callback.forged"),
            ("POST", "/api/v1/callbacks/nobody", 404, "not_found"),
        ],
    )
    def test_a_program_gets_problem_details_with_a_stable_code(
        self, browser, method, path, status, code
    ):
        answer = browser.request(method, path)

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert (told["status"], told["code"]) == (status, code)
        assert told["type"].endswith(f"/problems/{code}")
        assert told["title"]
        assert told["detail"]
        assert told["request_id"] == answer.headers["x-request-id"]

    def test_a_person_gets_a_page_in_their_language(self, app):
        chinese = a_browser(app).get("/nowhere")
        english = a_browser(app, **{"accept-language": "en-GB"}).get("/nowhere")

        assert (chinese.status_code, english.status_code) == (404, 404)
        assert 'lang="zh-CN"' in chinese.text
        assert "There is no such page" in english.text

    def test_a_form_that_stood_open_too_long_leads_back_to_its_page(self, app):
        browser = a_browser(app, **{"accept-language": "en-GB"})
        form = f"{browser.base_url}/pay/guest?from=paper"

        answer = browser.post("/edition", data={"edition": "elder"}, headers={"referer": form})

        assert answer.status_code == 403
        assert "Nothing was sent." in answer.text
        assert "may not see it" not in answer.text
        assert 'href="/pay/guest?from=paper"' in answer.text

    def test_what_was_typed_is_never_told_back_raw(self, browser):
        page = browser.get("/%3Cscript%3Ealert(1)%3C/script%3E")

        assert "<script>alert(1)" not in page.text

    @pytest.mark.parametrize("path", ["/console", "/api/v1/reconciliations/sandbox/2026-11-20"])
    def test_a_fault_of_ours_shows_no_insides(self, app, monkeypatch, path):
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret insides: postgresql://citybill@/var/lib")

        monkeypatch.setattr("web.pages.console.today.today_figures", broken)
        monkeypatch.setattr("web.api.reconciliations.matching.get_result", broken)

        answer = signed_in(app, a_person(Role.STAFF)).get(path, headers={"X-Request-Id": "r-1"})

        assert answer.status_code == 500
        for inside in ("secret", "postgresql", "RuntimeError", "Traceback", ".py"):
            assert inside not in answer.text
        assert "r-1" in answer.text
        assert answer.headers["x-request-id"] == "r-1"
        assert answer.headers["cache-control"] == "no-store"
        assert HEADERS.items() <= dict(answer.headers).items()
        if path.startswith("/api/"):
            assert answer.json()["code"] == "unforeseen"

    def test_every_error_of_ours_has_a_status(self):
        def kinds(kind: type) -> set[type]:
            return {kind}.union(*(kinds(sub) for sub in kind.__subclasses__()))

        for kind in kinds(CityBillError) - {CityBillError}:
            if kind.__module__ == "core.errors":
                assert 400 <= errors.status_of(kind("x")) < 600

        assert errors.status_of(CityBillError("x")) == 500


FIELDS = {
    "edition": "elder", "scope": "home", "cap_kind": "none", "pay_day": "due", "first_bill": "same",
    "contact": "a@b.example", "code": "123456", "locale": "en", "provider": "water",
    "source": "sandbox", "day": "2026-11-20", "idempotency_key": "k", "gateway": "sandbox",
    "refundable_fen": "1", "home": "1", "person": "1", "invitation": "1",
    "key": "k", "bill": "1.1", "shown:1.1": "1",
    "total_fen": "1", "what": "water", "month": "2026-10", "quoted_at": "2026-11-20T04:00:00+00:00",
}  # fmt: skip
PLACES = {
    "mandate_id": "1", "payment_id": "1", "batch_id": "1", "number": "R1",
    "terms_id": "1", "code": "water", "day": "2026-11-19", "bill_file_id": "1", "key_id": "ck_0",
    "kind": "duty", "decision": "approval", "act": "sending",
    "event": "sign_in.code", "form": "letter", "locale": "en", "edition": "plain",
}  # fmt: skip
# A gateway's own form brings the payer back by it; nothing of it is read: test_coming_back.py.
COMING_BACK = "/payments/{payment_id}"
# Mail programs post to it; the address itself is signed: test_unsubscribe.py.
ONE_CLICK = "/unsubscribe/{token}"
FORMS = [
    path.format_map(defaultdict(lambda: "1", PLACES))
    for method, path, _ in ROUTES
    if method == "POST" and not path.startswith("/api/") and path not in {COMING_BACK, ONE_CLICK}
]


def whose(path: str) -> Role:
    """Return who may send a form, were its token right."""
    return Role.OPERATOR if path.startswith("/company") else Role.STAFF


@pytest.mark.usefixtures("city")
class TestForms:
    def test_there_are_forms_to_look_at(self):
        assert len(FORMS) >= 8

    @pytest.mark.parametrize("path", FORMS)
    @pytest.mark.parametrize("token", ["wrong", "", "é", "anothers"])
    def test_a_form_without_its_own_token_is_refused(self, app, path, token):
        browser = signed_in(app, a_person(whose(path)))
        if token == "anothers":
            token = signed_in(app, a_person(whose(path))).csrf
        if path.startswith("/sign-in"):
            browser.open_form("/sign-in")

        answer = browser.post(
            path, data={"csrf": token, **FIELDS},
            files=dict.fromkeys(("file", "files"), ("f.txt", b"bytes")),
        )  # fmt: skip

        assert answer.status_code == 403

    @pytest.mark.parametrize("path", FORMS)
    def test_a_form_without_any_token_changes_nothing(self, app, path):
        browser = signed_in(app, a_person(whose(path)))

        answer = browser.post(path, data=FIELDS, files={"file": ("f.txt", b"bytes")})

        assert answer.status_code in {403, 422}

    def test_a_visitor_without_a_form_has_no_token_that_fits(self, browser):
        answer = browser.post("/sign-in", data={"csrf": "", "contact": "a@b.example"})

        assert answer.status_code == 403

    @pytest.mark.parametrize(
        "back",
        ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)",
         "evil.example", "", "\\/evil.example", "/\t/evil.example", "/\n/evil.example",
         "http:evil.example", " //evil.example"],
    )  # fmt: skip
    def test_a_choice_of_language_leads_to_nobody_elses_site(self, browser, back):
        browser.open_form("/sign-in")

        answer = browser.send_form("/language", {"locale": "en", "back": back})

        assert (answer.status_code, answer.headers["location"]) == (303, "/")

    def test_it_leads_back_to_the_page_and_is_remembered(self, browser):
        browser.open_form("/sign-in")

        answer = browser.send_form("/language", {"locale": "en", "back": "/bills/1.2"})

        assert answer.headers["location"] == "/bills/1.2"
        assert 'lang="en"' in browser.get("/sign-in").text

    def test_a_language_there_is_not_is_not_remembered(self, browser):
        browser.open_form("/sign-in")

        answer = browser.send_form("/language", {"locale": "xx", "back": "/"})

        assert "citybill_locale" not in answer.headers.get("set-cookie", "")

    def test_somebody_signed_in_can_change_language_on_every_page(self, app):
        home = a_home(100)

        for path in ("/", "/nowhere", "/sign-in"):
            browser = signed_in(app, home.owner_id)
            browser.open_form(path)
            answer = browser.send_form("/language", {"locale": "en", "back": "/"})
            assert answer.status_code == 303, path
