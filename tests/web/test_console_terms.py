"""Terms on the console: proposed by one of the staff, seen and approved by another."""

import csv
import io
import re
from datetime import date, timedelta
from html import unescape

import pytest
from lxml import html

from billing import terms
from billing.rules.terms import Terms
from core.clock import billing_date, utc_now
from core.db import transaction
from identity import audit
from identity.models import Role
from identity.people import get_person
from providers.registry import PROVIDERS
from tests.factories import a_person
from tests.web.conftest import Browser, a_browser, signed_in
from web.pages.console import companies

pytestmark = pytest.mark.usefixtures("city")

LATE = "[late_fee]\nonce_fen = 500\n"


@pytest.fixture
def colleagues(app) -> tuple[Browser, Browser]:
    people = (a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚"))
    one, other = (signed_in(app, person) for person in people)
    return one, other


def tomorrow() -> date:
    return billing_date(utc_now()) + timedelta(days=1)


def typed(content: str = LATE, **changes: str) -> dict[str, str]:
    return {"content": content, "effective_on": str(tomorrow()), "reason": "为了 2027"} | changes


def proposed(browser: Browser, content: str = LATE, **changes: str) -> str:
    """Propose terms of the water company; the address they are at."""
    answer = browser.send_form("/console/terms/water", typed(content, **changes))
    assert answer.status_code == 303, answer.text
    address: str = answer.headers["location"]
    return address


def main_of(browser: Browser, path: str) -> str:
    answer = browser.get(path, headers={"Accept-Language": "en"})
    assert answer.status_code == 200, answer.text
    return told(answer.text)


def told(html: str) -> str:
    """What is in the page's main part, without its tags."""
    inside = re.search(r"<main.*</main>", html, re.DOTALL)
    assert inside, html
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inside[0])).split())


def in_force(day: date) -> Terms:
    with transaction() as session:
        return terms.terms_on(session, "water", day)


class TestTwoPeople:
    def test_from_a_proposal_to_terms_in_force(self, colleagues):
        one, other = colleagues

        address = proposed(one)
        seen = main_of(other, address)
        approved = other.send_form(f"{address}/approval")

        for words in ("为了 2027", "陈晓", "late_fee.once_fen", "To be approved"):
            assert words in seen
        assert (approved.status_code, approved.headers["location"]) == (303, address)
        assert in_force(tomorrow()).late_fee.once_fen == 500
        after = main_of(one, address)
        assert "Approved by 林岚" in after
        assert "Withdraw" not in after

    def test_the_proposer_is_shown_no_button_and_refused_all_the_same(self, colleagues):
        one, _ = colleagues
        address = proposed(one)

        shown = one.get(address).text
        refused = one.send_form(f"{address}/approval", headers={"Accept-Language": "en"})

        assert '/approval"' not in shown
        assert refused.status_code == 403
        assert "ask a colleague" in told(refused.text)
        assert in_force(tomorrow()) == Terms()

    def test_either_takes_a_proposal_back(self, colleagues):
        one, other = colleagues
        address = proposed(one)

        taken_back = other.send_form(f"{address}/withdrawal")
        too_late = other.send_form(f"{address}/approval")

        assert taken_back.status_code == 303
        assert "Withdrawn" in main_of(one, address)
        assert too_late.status_code == 409
        assert in_force(tomorrow()) == Terms()

    def test_approved_terms_are_not_taken_back(self, colleagues):
        one, other = colleagues
        address = proposed(one)
        other.send_form(f"{address}/approval")

        refused = one.send_form(f"{address}/withdrawal")

        assert refused.status_code == 409
        assert in_force(tomorrow()).late_fee.once_fen == 500

    def test_a_second_page_of_the_same_day_is_refused_with_the_remedy(self, colleagues):
        one, other = colleagues
        first, second = proposed(one), proposed(one, "")
        other.send_form(f"{first}/approval")

        refused = other.send_form(f"{second}/approval", headers={"Accept-Language": "en"})

        assert refused.status_code == 409
        assert "propose another day" in told(refused.text)


class TestTheForm:
    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"content": "[late_fee]\nonec_fen = 5"}, "late_fee.onec_fen: there is no such key"),
            ({"content": "[due]\ncalendar = 'ZZ'"}, "due.calendar: there is no calendar 'ZZ'"),
            ({"content": "<nonsense>"}, "the terms are not TOML"),
            ({"effective_on": "2026-01-01"}, "tomorrow at the earliest"),
            ({"effective_on": ""}, "The first day is missing"),
            ({"effective_on": "31.1.2027"}, "The first day is missing"),
            ({"reason": ""}, "Say why"),
            ({"reason": "  "}, "Say why"),
        ],
    )
    def test_what_is_wrong_stands_beside_the_form_and_nothing_typed_is_lost(
        self, colleagues, wrong, words
    ):
        form = typed(LATE + "# mine\n") | wrong

        answer = colleagues[0].send_form(
            "/console/terms/water", form, headers={"Accept-Language": "en"}
        )

        assert answer.status_code == 422
        assert words in told(answer.text)
        page = unescape(answer.text)
        assert form["content"] in page
        for name in ("effective_on", "reason"):
            assert f'name="{name}" value="{form[name]}"' in page
        with transaction() as session:
            assert terms.list_terms(session) == []

    def test_refusals_are_said_in_chinese_too(self, colleagues):
        answer = colleagues[0].send_form("/console/terms/water", typed(reason=""))

        assert "请写明理由" in told(answer.text)

    def test_it_begins_with_the_present_terms(self, colleagues):
        one, other = colleagues
        with transaction() as session:
            terms.put_first_terms(
                session, "water", LATE + "# <our> own\n", proposed_by=a_person(Role.STAFF),
                approved_by=a_person(Role.STAFF), effective_on=date(2024, 1, 1), now=utc_now(),
            )  # fmt: skip

        page = one.get("/console/terms/water").text

        assert "# &lt;our&gt; own" in page
        assert f'value="{tomorrow()}"' in page
        assert "In force since 1 Jan 2024" in main_of(other, "/console/terms/water")
        assert "1 Jan 2024" in main_of(other, "/console/terms")

    def test_a_proposal_is_listed_with_its_company(self, colleagues):
        one, other = colleagues
        address = proposed(one)

        for path in ("/console/terms", "/console/terms/water"):
            assert "To be approved" in main_of(other, path)
            assert f'href="{address}"' in other.get(path).text
        assert "No terms yet" in main_of(other, "/console/terms/gas")

    def test_every_page_of_the_console_leads_there(self, colleagues):
        assert 'href="/console/terms"' in colleagues[0].get("/console").text

    def test_the_company_is_named_in_the_readers_language(self, colleagues):
        assert "City Water" in main_of(colleagues[0], "/console/terms")
        assert "城市自来水" in colleagues[0].get("/console/terms").text


PATHS = ("/console/terms", "/console/terms/water", "/console/terms/changes/1")
POSTS = (
    "/console/terms/water", "/console/terms/changes/1/approval",
    "/console/terms/changes/1/withdrawal",
)  # fmt: skip


class TestOthers:
    @pytest.fixture(autouse=True)
    def _there_is_a_proposal(self, colleagues):
        assert proposed(colleagues[0]) == PATHS[-1]

    def test_residents_are_turned_away(self, app):
        resident = signed_in(app, a_person())

        assert {resident.get(path).status_code for path in PATHS} == {403}
        assert {resident.send_form(path, typed()).status_code for path in POSTS} == {403}

    def test_visitors_are_asked_to_sign_in(self, app):
        visitor = a_browser(app)

        for answer in [visitor.get(path) for path in PATHS] + [visitor.post(p) for p in POSTS]:
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in?next=")

    def test_a_form_of_another_site_is_refused(self, colleagues):
        _, other = colleagues

        for path in POSTS:
            assert other.post(path, data=typed() | {"csrf": "guessed"}).status_code == 403
        with transaction() as session:
            rows = terms.list_terms(session)
        assert [(row.approved_at, row.withdrawn_at) for row in rows] == [(None, None)]

    @pytest.mark.parametrize("path", ["/console/terms/wasser", "/console/terms/changes/404"])
    def test_what_there_is_not(self, colleagues, path):
        assert colleagues[0].get(path).status_code == 404

    @pytest.mark.parametrize("junk", ["0", "-1", "x", "9" * 30, "%00"])
    def test_junk_in_an_address_is_no_fault_of_ours(self, colleagues, junk):
        for path in (f"/console/terms/changes/{junk}", f"/console/terms/{junk}"):
            assert colleagues[0].get(path).status_code in {404, 422}

    def test_who_approves_is_a_person_there_is(self, colleagues):
        colleagues[1].send_form("/console/terms/changes/1/approval")

        with transaction() as session:
            by = terms.get_terms(session, 1).approved_by
            assert by is not None
            assert get_person(session, by).role is Role.STAFF


class TestList:
    """Companies with their terms, found, a page at a time, and taken out as they are shown."""

    def test_it_is_found_by_words_and_by_what_is_ahead(self, colleagues):
        browser = colleagues[0]
        proposed(browser)

        assert codes(browser, "?words=WATER") == codes(browser, "?standing=ahead") == ["water"]
        assert set(codes(browser, "?standing=plainest")) == set(PROVIDERS)
        assert "No company like this" in main_of(browser, "/console/terms?words=nobody")
        assert browser.get("/console/terms?standing=junk").status_code == 422

    def test_it_goes_on_after_the_last_one_of_a_page(self, colleagues, monkeypatch):
        monkeypatch.setattr(companies, "PAGE", 2)
        browser, seen, query = colleagues[0], [], ""
        while query is not None:
            page = html.fromstring(browser.get(f"/console/terms{query}").text)
            seen += page.xpath("//main//tbody//code/text()")
            following = page.xpath("//a[@rel='next']/@href")
            query = following[0].removeprefix("/console/terms") if following else None

        assert seen == sorted(PROVIDERS)

    def test_it_is_taken_out_as_it_is_filtered_and_that_is_noted(self, colleagues):
        browser = colleagues[0]
        proposed(browser)

        answer = browser.get(
            "/console/terms.csv?standing=ahead", headers={"Accept-Language": "en"}
        )  # fmt: skip

        rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert [row[:1] + row[4:] for row in rows] == [
            ["Code", "Ahead", "State", "Why ahead"],
            ["water", str(tomorrow()), "To be approved", "为了 2027"],
        ]
        assert browser.get("/console/terms.xlsx").content[:2] == b"PK"
        with transaction() as session:
            noted = audit.find_entries(session, audit.Wanted(what=audit.Deed.LIST_EXPORTED))
        assert {one.subject_id for one in noted} == {"terms"}


def codes(browser: Browser, query: str) -> list[str]:
    page = html.fromstring(browser.get(f"/console/terms{query}").text)
    return list(page.xpath("//main//tbody//code/text()"))
