"""Paying companies on the console, and what each company sees of it: pages, files and API."""

import csv
import io
import re

import pytest

from core.money import parse_yuan
from core.settings import settings
from identity.models import Role
from payments.gateways.base import DisputeState
from payments.remittance.models import Remittance, RemittanceState
from tests.factories import a_person, balances, the_terms, violations
from tests.payments.remittance.remitting import (
    SPLIT,
    a_remittance,
    again,
    at,
    close,
    collected,
    dispute,
    give_back,
    payments_of,
    propose,
    sent,
    terms,
)
from tests.web.conftest import Browser, signed_in, with_key
from tests.web.test_company import gas, main_of, water  # noqa: F401  fixtures
from web.pages.company import remittances as company_remittances
from web.pages.console import remittances as console_remittances

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def colleagues(app) -> tuple[Browser, Browser]:
    people = (a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚"))
    one, other = (signed_in(app, person) for person in people)
    return one, other


@pytest.fixture(autouse=True)
def our_account(monkeypatch, app):
    monkeypatch.setattr(settings(), "remittance_account", "6222000011112222")
    monkeypatch.setattr(settings(), "remittance_bank", "102290000012")
    monkeypatch.setattr(settings(), "remittance_approval_above_fen", 0)


@pytest.fixture(autouse=True)
def monday(monkeypatch):
    for pages in (console_remittances, company_remittances):
        monkeypatch.setattr(pages, "utc_now", lambda: at(3))


def page_of(one: Remittance) -> str:
    return f"/console/remittances/{one.id}"


def seen(browser: Browser, one: Remittance) -> str:
    (found,) = re.findall(r'name="seen" value="(\w+)"', browser.get(page_of(one)).text)
    return found


def rows_of(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))


class TestConsole:
    def test_from_due_to_the_file_by_two_people(self, colleagues):
        terms(more=SPLIT)
        one, (first, second) = a_remittance(), colleagues
        assert "To be released" in main_of(first, "/console/remittances")

        first.send_form(f"{page_of(one)}/release", {"seen": seen(first, one)})
        assert "You released it" in main_of(first, page_of(one))
        second.send_form(f"{page_of(one)}/approval")
        answer = second.send_form("/console/remittances/files")

        file = second.get(answer.headers["location"])
        assert "RM" in file.text
        assert "6222000000004321" not in file.text  # masked on pages, whole in the file
        xml = second.get(f"{answer.headers['location']}/pain.001.xml")
        again_ = second.get(f"{answer.headers['location']}/pain.001.xml")
        assert xml.content == again_.content
        assert b"6222000000004321" in xml.content
        lines = second.get(f"{answer.headers['location']}/payments.csv").content
        assert lines.decode("utf-8-sig").splitlines()[-1].startswith("#TOTAL 2,86.50,CNY")
        assert again(one).state is RemittanceState.SENT
        assert balances()["bank"] == -8_650
        assert violations() == []

    def test_who_releases_cannot_approve(self, colleagues):
        terms()
        one, (first, _) = a_remittance(), colleagues
        first.send_form(f"{page_of(one)}/release", {"seen": seen(first, one)})

        answer = first.send_form(f"{page_of(one)}/approval", headers={"Accept-Language": "en"})

        assert answer.status_code == 403
        assert "ask a colleague" in answer.text
        assert again(one).state is RemittanceState.RELEASED

    def test_a_no_to_a_colleague_has_a_reason(self, colleagues):
        terms()
        one, (first, second) = a_remittance(), colleagues
        first.send_form(f"{page_of(one)}/release", {"seen": seen(first, one)})

        refused = second.send_form(f"{page_of(one)}/decline", {"reason": ""})
        assert refused.status_code == 422
        second.send_form(f"{page_of(one)}/decline", {"reason": "账号待核"})

        assert again(one).state is RemittanceState.PROPOSED
        assert "账号待核" in main_of(first, page_of(one))

    def test_nothing_is_approved_no_file_is_made(self, colleagues):
        terms()
        a_remittance()

        answer = colleagues[0].send_form(
            "/console/remittances/files", headers={"Accept-Language": "en"}
        )

        assert answer.status_code == 409
        assert "No remittance is approved" in answer.text

    def test_a_payment_that_came_back_waits_to_be_released_again(self, colleagues):
        terms()
        one = sent(a_remittance())
        (payment,) = payments_of(one)

        colleagues[0].send_form(
            f"{page_of(one)}/payments/{payment.id}/return",
            {"reason": "户名不符", "debited": "false"},
        )

        shown = main_of(colleagues[0], page_of(one))
        assert "Came back" in shown
        assert "户名不符" in shown
        assert "RM2611209001102" in shown

    def test_without_an_account_the_page_says_what_to_do(self, colleagues):
        the_terms("water", "[remit]\ndays = 1")
        one = a_remittance()

        shown = main_of(colleagues[0], page_of(one))

        assert "propose terms that do" in shown

    def test_what_companies_have_not_got_yet_is_told_with_why(self, colleagues):
        terms("days = 1\nminimum_fen = 5_000")
        collected(1_000, 2_000)
        dispute(collected(3_000), DisputeState.OPEN)
        close()
        propose()

        shown = main_of(colleagues[0], "/console/remittances/waiting")

        assert "Less than the minimum" in shown
        assert "Held: payers’ banks dispute it" in shown
        rows = rows_of(colleagues[0].get("/console/remittances/waiting.csv").text)
        assert {row["why"] for row in rows if row["company"] == "water"} == {"too_little", "held"}

    def test_a_list_is_filtered_by_its_address_and_taken_out_as_a_file(self, colleagues):
        terms()
        a_remittance()

        browser = colleagues[0]

        assert "RM2611209001" in main_of(browser, "/console/remittances?stage=proposed")
        assert "Nothing like this" in main_of(browser, "/console/remittances?stage=paid")
        rows = rows_of(browser.get("/console/remittances/list.csv?company=water").text)
        assert [(row["number"], row["net_yuan"]) for row in rows] == [("RM2611209001", "86.50")]
        assert browser.get("/console/remittances/list.xlsx").content[:2] == b"PK"

    def test_the_button_works_out_what_is_due(self, colleagues):
        terms()
        collected(8_650)
        close()

        colleagues[0].send_form("/console/remittances")

        assert "RM2611209001" in main_of(colleagues[0], "/console/remittances")


class TestCompany:
    def test_it_sees_its_own_and_nobody_elses(self, water, gas):  # noqa: F811
        terms(more=SPLIT)
        one = a_remittance()

        shown = main_of(water, f"/company/remittances/{one.id}")

        assert "RM2611209001" in main_of(water, "/company/remittances")
        assert "Being prepared" in shown
        assert "6222000000004321" not in shown
        assert gas.get(f"/company/remittances/{one.id}").status_code == 404
        assert gas.get(f"/company/remittances/{one.id}/advice.csv").status_code == 404
        assert "No remittance yet" in main_of(gas, "/company/remittances")

    def test_the_lines_of_its_advice_sum_to_what_it_is_paid(self, water):  # noqa: F811
        terms(more=FEE)
        give_back(collected(100_000), 7_000)
        dispute(collected(2_000), DisputeState.OPEN)
        close()
        one = propose()

        rows = rows_of(water.get(f"/company/remittances/{one.id}/advice.csv").text)

        assert sum(parse_yuan(row["amount_yuan"]) for row in rows) == one.net_fen
        assert {row["kind"] for row in rows} == {"collected", "refunded", "fee", "fee_tax", "held"}
        assert all(row["bill_no"] == "B1" for row in rows if row["kind"] == "collected")

    def test_its_advice_is_a_document_too(self, water):  # noqa: F811
        terms(more=SPLIT)
        one = sent(a_remittance())

        answer = water.get(f"/company/remittances/{one.id}/advice.pdf")

        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF")

    def test_on_a_gross_basis_too(self, water):  # noqa: F811
        terms('basis = "gross"')
        give_back(collected(8_650), 7_000)
        close()
        one = propose()

        rows = rows_of(water.get(f"/company/remittances/{one.id}/advice.csv").text)

        assert sum(parse_yuan(row["amount_yuan"]) for row in rows) == 8_650
        assert "Please pay us ¥70.00" in main_of(water, f"/company/remittances/{one.id}")

    def test_what_is_still_to_come_says_why(self, water):  # noqa: F811
        terms()
        collected(8_650)

        assert "Its day is not closed yet" in main_of(water, "/company/remittances")


class TestApi:
    def test_a_companys_system_reads_its_own(self, app):
        terms(more=SPLIT)
        one = sent(a_remittance())
        system = with_key(app, "water")

        listed = system.get("/api/v1/providers/water/remittances").json()
        shown = system.get(f"/api/v1/providers/water/remittances/{one.id}").json()

        assert [row["number"] for row in listed["remittances"]] == ["RM2611209001"]
        assert listed["next_cursor"] is None
        assert (shown["stage"], shown["net_fen"]) == ("sent", 8_650)
        assert [share["account_masked"][-4:] for share in shown["shares"]] == ["4321", "8765"]
        assert [line["kind"] for line in shown["lines"]] == ["collected"]

    def test_nobody_elses(self, app):
        terms()
        one = a_remittance()
        system = with_key(app, "gas")

        assert system.get("/api/v1/providers/water/remittances").status_code == 403
        assert system.get(f"/api/v1/providers/gas/remittances/{one.id}").status_code == 404


FEE = """
[fee]
paid_by = "company"
tax_ppm = 60_000
slabs = [{ fixed_fen = 50 }]
"""
