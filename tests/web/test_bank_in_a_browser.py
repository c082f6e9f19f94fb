"""The bank by keyboard, in a real browser: from the list to a match, and files handed in."""

from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import billing_date, utc_now
from tests.payments.reconciliation import banking
from tests.payments.reconciliation.banking import Line, matched, the_entry
from tests.payments.statements.samples import sample
from tests.web.test_breaks_in_a_browser import page, press
from tests.web.test_company_in_a_browser import (
    DESK,
    PHONE,
    chromium,
    is_no_wider_than_the_window,
    web,
)
from tests.web.test_console_bank import BANK, ENTRIES, says

__all__ = ["chromium", "page", "web"]  # fixtures
pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def lately(monkeypatch):
    """Have Friday be a few days ago, whatever day it is."""
    monkeypatch.setattr(banking, "DAY", billing_date(utc_now()) - timedelta(days=20))


def two_days_in_one_sum() -> None:
    """Too late to be found by itself: a person ticks both days."""
    banking.takes("alpha", 0, 6_000)
    banking.takes("alpha", 1, 4_000)
    banking.takes("beta", 0, 700)
    says(Line(10_000, on=14, name="阿尔法"), Line(-1, on=15))


def test_down_the_list_into_an_entry_two_days_ticked_and_matched(page, web):
    two_days_in_one_sum()
    page.goto(f"{web}{ENTRIES}?how=open")

    press(page, "j", "j", "Enter")
    page.wait_for_url(f"{web}{ENTRIES}/{the_entry(10_000).id}")
    match = page.get_by_role("button", name="Match")
    assert match.is_disabled()
    assert "¥100.00" in page.inner_text("[data-left]")
    for row in page.query_selector_all("tr[data-row]"):
        press(page, "j")
        if "alpha" in row.inner_text():
            press(page, "x")
    assert page.inner_text("[data-left]") == "¥0.00"
    press(page, "a")
    page.keyboard.type("jkx: they told me")
    press(page, "Enter")

    page.wait_for_selector("text=What it posted is posted back")
    assert [(how, entries) for how, entries, _, _ in matched()] == [("person", [10_000])]


def test_a_proposal_ticks_what_it_means(page, web):
    two_days_in_one_sum()
    page.goto(f"{web}{ENTRIES}/{the_entry(10_000).id}")

    page.click("[data-choose]")

    assert page.inner_text("[data-left]") == "¥0.00"
    assert page.get_by_role("button", name="Match").is_enabled()
    assert page.evaluate("document.activeElement.id") == "reason"


def test_what_came_in_several_sums_is_added_up(page, web):
    banking.takes("alpha", 0, 10_000)
    banking.takes("beta", 0, 700)
    says(Line(7_000, on=14, name="甲"), Line(3_000, on=15, name="乙"))
    page.goto(f"{web}{ENTRIES}/{the_entry(7_000).id}")
    page.check("input[data-fen='10000']")
    assert page.inner_text("[data-left]") == "-¥30.00"

    page.click("summary:has-text('It came in several sums')")
    page.check("input[data-also='3000']")

    assert (page.inner_text("[data-came]"), page.inner_text("[data-left]")) == ("¥100.00", "¥0.00")
    page.fill("#reason", "they told me")
    page.get_by_role("button", name="Match").click()
    page.wait_for_selector("text=What it posted is posted back")
    assert [sorted(entries) for _, entries, _, _ in matched()] == [[3_000, 7_000]]


@pytest.mark.parametrize("scripted", [True, False])
def test_a_proposal_of_several_sums_ticks_them_too(page, web, scripted):
    banking.takes("alpha", 0, 10_000)
    says(Line(7_000, on=14, name="某店"), Line(3_000, on=15, name="某店"))
    page.goto(f"{web}{ENTRIES}/{the_entry(7_000).id}")
    assert "with one more sum of this sender" in page.inner_text("main")
    where = page.get_attribute("[data-choose]", "href")

    if scripted:
        page.click("[data-choose]")
    else:
        page.goto(f"{web}{where}")

    assert (page.inner_text("[data-came]"), page.inner_text("[data-left]")) == ("¥100.00", "¥0.00")
    assert page.is_visible("input[data-also='3000']")


def test_files_are_handed_in_together_and_only_a_csv_asks_how_it_is_written(
    page, web, tmp_path: Path
):
    files = []
    for name in ("camt053.xml", "two_columns.csv"):
        (tmp_path / name).write_bytes(sample(name))
        files.append(tmp_path / name)
    page.goto(f"{web}{BANK}")
    assert not page.is_visible("#profile")
    page.set_input_files("#files", files[:1])
    assert not page.is_visible("#profile")
    page.set_input_files("#files", files)
    assert page.is_visible("#profile")

    page.select_option("#profile", "two_columns")
    page.get_by_role("button", name="Hand in").click()

    page.wait_for_selector(".notice >> text=two_columns.csv")
    assert page.locator(".notice--success").count() == 2


@pytest.mark.parametrize("viewport", [PHONE, {"width": 320, "height": 700}, DESK])
def test_nothing_is_wider_than_the_window(page, web, viewport):
    two_days_in_one_sum()
    page.set_viewport_size(viewport)

    entry = f"{ENTRIES}/{the_entry(10_000).id}"
    for path in (BANK, ENTRIES, entry, f"{BANK}/expected", f"{BANK}/rules"):
        page.goto(f"{web}{path}")
        assert is_no_wider_than_the_window(page)
