"""The daily close on the console: looked at, confirmed, sealed; and refused with its reason."""

import csv
from datetime import date, timedelta
from typing import Any

import pytest
from lxml import html
from pypdfium2 import PdfDocument
from sqlalchemy import text

from billing.ledger import days
from core.clock import billing_date, utc_now
from core.db import transaction
from identity.models import Role
from identity.people import get_person
from payments.reconciliation.closing.checklist import LATE_FEES
from tests.factories import a_home, a_payment, a_person
from tests.web.conftest import Browser, signed_in
from tests.web.forms import text_of

pytestmark = pytest.mark.usefixtures("city")

ENGLISH = {"Accept-Language": "en"}


def the_day() -> date:
    """Midnight may come while tests run."""
    return billing_date(utc_now())


def first_day() -> date:
    return the_day() - timedelta(days=3)


@pytest.fixture
def staff(app) -> Browser:
    """Somebody of the staff, in a city whose books begin three days ago."""
    a_home(1_000, now=utc_now() - timedelta(days=3))
    a_home(2_000, now=utc_now())
    return signed_in(app, a_person(Role.STAFF))


def closed_days() -> list[date]:
    with transaction() as session:
        return [row.day for row in days.list_days(session, limit=10)]


def close(staff: Browser, day: date, **fields: str) -> Any:
    """Send the form; nobody has counted late fees here, so a reason is asked for."""
    return staff.send_form(f"/console/days/{day}/closing", {"despite": "a test"} | fields)


def count_late_fees() -> None:
    """What the scheduler leaves when the run of this morning is over."""
    number = (the_day() - date(1970, 1, 1)).days
    with transaction() as session:
        session.execute(
            text("INSERT INTO job (task, subject_id, schedule_key, state, attempts, due_at)"
                 " VALUES (:task, :today, :key, 'done', 1, :now)"),
            {"task": LATE_FEES, "today": str(the_day()), "key": f"{LATE_FEES}:{number}",
             "now": utc_now()},
        )  # fmt: skip


def checks_of(page: str) -> dict[str, str]:
    """Return each line of the checklist by its state: what a reader hears."""
    rows = html.fromstring(page).xpath("//li[starts-with(@class, 'check ')]")
    return {row.xpath(".//b")[0].text: row.xpath(".//span[@class='sr-only']")[0].text
            for row in rows}  # fmt: skip


class TestLooking:
    def test_the_list_has_open_days_and_leads_to_the_next_one(self, staff):
        page = staff.get("/console/days")

        assert f"/console/days/{first_day()}" in page.text
        assert f"/console/days/{the_day()}" in page.text
        assert "有 3 天待结账" in text_of(page.text)
        assert "/console/days" in staff.get("/console").text

    def test_a_day_shows_its_accounts_and_how_to_close_it(self, staff):
        page = staff.get(f"/console/days/{first_day()}")

        assert "居民应缴 · 城市自来水" in text_of(page.text)
        assert "¥10.00" in page.text
        assert 'name="sure"' in page.text

    def test_a_day_that_cannot_be_closed_has_no_button(self, staff):
        for day in (the_day(), first_day() + timedelta(days=1), first_day() - timedelta(days=9)):
            page = staff.get(f"/console/days/{day}")
            assert page.status_code == 200
            assert 'name="sure"' not in page.text

    @pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-30", "yesterday"])
    def test_junk_is_no_fault_of_ours(self, staff, day):
        assert staff.get(f"/console/days/{day}").status_code == 422


class TestChecklist:
    def test_it_turns_green_and_says_how_far_it_is(self, staff):
        before = staff.get(f"/console/days/{first_day()}", headers=ENGLISH).text
        assert checks_of(before)["The late fees of the day are not counted yet."] == "Waiting"
        assert "12 of 13 done" in text_of(before)
        assert html.fromstring(before).xpath("//main/@data-refresh-seconds") == ["5"]

        count_late_fees()

        after = staff.get(f"/console/days/{first_day()}", headers=ENGLISH).text
        assert set(checks_of(after).values()) == {"Done"}
        assert "13 of 13 done" in text_of(after)
        assert not html.fromstring(after).xpath("//main/@data-refresh-seconds")

    def test_each_line_that_is_open_leads_to_the_page_that_helps(self, staff):
        at = utc_now() - timedelta(days=3)
        payment = a_payment(a_home(1_000, now=at), now=at)

        page = html.fromstring(staff.get(f"/console/days/{first_day()}", headers=ENGLISH).text)

        (link,) = page.xpath("//li[contains(@class, 'check--')]//a/@href")
        assert staff.get(link).status_code == 200
        assert payment.order_no in staff.get("/console/payments").text

    def test_a_reason_is_asked_for_only_where_something_is_open(self, staff):
        assert 'name="despite"' in staff.get(f"/console/days/{first_day()}").text

        count_late_fees()

        assert 'name="despite"' not in staff.get(f"/console/days/{first_day()}").text

    def test_nobody_is_asked_to_wait_for_a_day_that_goes_on(self, staff):
        page = staff.get(f"/console/days/{the_day()}", headers=ENGLISH).text

        assert checks_of(page)["The day is not over yet."] == "Waiting"
        assert not html.fromstring(page).xpath("//main/@data-refresh-seconds")


class TestReport:
    def test_it_is_a_pdf_of_the_day_in_the_readers_language(self, staff):
        answer = staff.get(f"/console/days/{first_day()}/report.pdf", headers=ENGLISH)

        assert answer.headers["content-type"] == "application/pdf"
        assert f"citybill-{first_day()}.pdf" in answer.headers["content-disposition"]
        assert PdfDocument(answer.content).get_metadata_dict()["Title"].startswith("Report of the")

    def test_nobody_but_staff(self, app):
        resident = signed_in(app, a_person())

        assert resident.get(f"/console/days/{first_day()}/report.pdf").status_code == 403


class TestList:
    def test_older_days_are_a_page_further(self, staff, monkeypatch):
        monkeypatch.setattr("web.pages.console.days.DAYS_SHOWN", 1)
        for at in (0, 1):
            close(staff, first_day() + timedelta(days=at), sure="yes")

        first = html.fromstring(staff.get("/console/days").text)
        (more,) = first.xpath("//a[@rel='next']/@href")
        second = html.fromstring(staff.get(more).text)

        assert second.xpath("//tbody//a/@href") == [f"/console/days/{first_day()}"]
        assert not second.xpath("//a[@rel='next']")

    def test_all_of_them_are_taken_out_as_a_file(self, staff):
        close(staff, first_day(), sure="yes", despite="the worker was away")

        answer = staff.get("/console/days.csv", headers=ENGLISH)

        head, row = csv.reader(answer.text.lstrip("\ufeff").splitlines())
        assert head[0] == "Day"
        assert (row[0], row[-1]) == (str(first_day()), "the worker was away")
        assert staff.get("/console/days.xlsx").status_code == 200


class TestClosing:
    def test_without_a_reason_what_is_open_stays_so(self, staff):
        answer = close(staff, first_day(), sure="yes", despite=" ")

        assert answer.status_code == 409
        assert "还有检查未完成：请写明" in text_of(answer.text)
        assert closed_days() == []

    def test_the_reason_stands_on_the_day_and_in_the_list(self, staff):
        close(staff, first_day(), sure="yes", despite="the worker was away")

        page = staff.get(f"/console/days/{first_day()}", headers=ENGLISH)

        assert "the worker was away" in text_of(page.text)
        assert list(checks_of(page.text)) == ["The late fees of the day are not counted yet."]
        assert "the worker was away" in text_of(staff.get("/console/days").text)

    def test_a_green_day_needs_none(self, staff):
        count_late_fees()

        assert close(staff, first_day(), sure="yes", despite="").status_code == 303

    def test_what_was_typed_is_not_lost_when_the_tick_is(self, staff):
        answer = close(staff, first_day(), despite="the worker was away")

        assert 'value="the worker was away"' in answer.text

    def test_a_day_is_closed_by_who_confirmed_it(self, app):
        a_home(1_000, now=utc_now() - timedelta(days=3))
        person_id = a_person(Role.STAFF)
        staff = signed_in(app, person_id)

        answer = close(staff, first_day(), sure="yes")

        assert answer.status_code == 303
        assert answer.headers["location"] == f"/console/days/{first_day()}"
        with transaction() as session:
            (row,) = days.list_days(session, limit=10)
            assert row.closed_by == get_person(session, person_id).contact
        page = staff.get(f"/console/days/{first_day()}")
        assert row.closed_by in page.text
        assert row.sha256.hex() in page.text
        listed = staff.get("/console/days").text
        assert f"<code>{row.sha256.hex()[:12]}</code>" in listed

    def test_again_changes_nothing(self, staff):
        close(staff, first_day(), sure="yes")

        again = close(staff, first_day(), sure="yes")

        assert again.status_code == 303
        assert closed_days() == [first_day()]

    def test_the_chain_goes_on_and_shows_the_seal_before(self, staff):
        close(staff, first_day(), sure="yes")
        close(staff, first_day() + timedelta(days=1), sure="yes")

        with transaction() as session:
            second, first = days.list_days(session, limit=10)
        assert second.before_sha256 == first.sha256
        assert first.sha256.hex()[:12] in staff.get(f"/console/days/{second.day}").text

    @pytest.mark.parametrize("sure", ["", "no", "YES"])
    def test_without_the_tick_nothing_is_closed(self, staff, sure):
        answer = close(staff, first_day(), sure=sure)

        assert answer.status_code == 422
        assert "请勾选" in text_of(answer.text)
        assert closed_days() == []

    def test_what_may_not_be_closed_is_refused_with_its_reason(self, staff):
        gap = close(staff, first_day() + timedelta(days=1), sure="yes")
        running = close(staff, the_day(), sure="yes")
        close(staff, first_day(), sure="yes")
        before = close(staff, first_day() - timedelta(days=1), sure="yes")

        assert [answer.status_code for answer in (gap, running, before)] == [409, 409, 409]
        assert f"请先结 {first_day().year}年{first_day().month}月{first_day().day}日" in gap.text
        assert "还没有结束" in running.text
        assert "早于第一个结账日" in before.text
        assert closed_days() == [first_day()]

    def test_nobody_but_staff(self, app):
        a_home(1_000, now=utc_now() - timedelta(days=3))
        resident = signed_in(app, a_person())

        answers = [resident.get("/console/days"), close(resident, first_day(), sure="yes")]

        assert [answer.status_code for answer in answers] == [403, 403]
        assert closed_days() == []


def test_every_ledger_account_has_a_name(app):
    kinds = ["advance:water", "credits:water", "suspense:sandbox", "bank", "fees", "fee_tax",
             "gateway_fees", "chargebacks", "receivable:water", "uncollected:water",
             "payable:water", "gateway:sandbox", "returns"]  # fmt: skip
    with transaction() as session:
        session.execute(
            text("INSERT INTO ledger_account (code) SELECT unnest(CAST(:codes AS text[]))"),
            {"codes": kinds},
        )

    page = signed_in(app, a_person(Role.STAFF)).get("/console/ledger").text

    rows = html.fromstring(page).xpath("//section[@aria-labelledby='accounts']//tbody/tr/td[1]")
    names = {row.xpath(".//code")[0].text: row.text.strip() for row in rows}
    assert sorted(names) == sorted(kinds)
    assert [code for code, name in names.items() if name.isascii()] == []
