"""The elder edition, by MIIT's measures: text from 18 px, what matters from 30, targets from 60."""

import pytest
from playwright.sync_api import Browser, Page

from billing.bills import format_ref
from tests.factories import Home
from tests.web.forms import a_due_home
from tests.web.test_checkout_in_a_browser import fits, resident, shot
from tests.web.test_company_in_a_browser import DESK, PHONE
from web.pages.edition import NAMES

pytestmark = pytest.mark.usefixtures("city")

# What can be tapped, but a link inside a sentence; a box to tick counts with the edge of its row.
TARGETS = """() => [...document.querySelectorAll(
        "a, button, summary, select, .due__main, .choice label, .input")]
    .filter(one => one.getClientRects().length && !one.closest("p, dd, .row__name, .skip, .brand"))
    .map(one => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
    .filter(([_, box]) => box.width < 60 || box.height < 60).map(([html, _]) => html)"""
SMALL_TEXT = """() => [...document.querySelectorAll("body *")]
    .filter(one => one.getClientRects().length && !one.closest("svg")
                   && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(one => parseFloat(getComputedStyle(one).fontSize) < 18).map(one => one.outerHTML)"""
SMALL_SUMS = """() => [...document.querySelectorAll(
        "main .amount, main h1, main h2, main .button:not(.button--quiet)")]
    .filter(one => one.getClientRects().length && parseFloat(getComputedStyle(one).fontSize) < 30)
    .map(one => one.outerHTML)"""


@pytest.fixture
def home() -> Home:
    return a_due_home(8_650, 123_456_789)


def pages(home: Home) -> list[str]:
    return [
        "/",
        f"/bills/{format_ref(home.refs[0])}",
        "/notices",
        "/complaints",
        "/complaints/new",
        "/autopay",
        "/pay",
        "/nowhere",
    ]


def elder(chromium: Browser, web: str, home: Home, **how: object) -> Page:
    page = resident(chromium, web, home.owner_id, **how).new_page()
    page.goto("/elder")
    return page


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_text_sums_and_targets_are_large_and_nothing_runs_over(
    chromium, web, home, viewport, locale
):
    page = elder(chromium, web, home, viewport=viewport, locale=locale)

    for path in pages(home):
        page.goto(path)
        shot(page, f"elder-{path.strip('/').replace('/', '-')}-{viewport['width']}-{locale}")
        assert page.evaluate(SMALL_TEXT) == [], path
        assert page.evaluate(SMALL_SUMS) == [], path
        assert page.evaluate(TARGETS) == [], path
        assert fits(page), path


def test_the_sum_of_the_page_is_larger_than_the_others(chromium, web, home):
    page = elder(chromium, web, home)
    page.goto("/")

    sizes = page.evaluate(
        """() => [".amount--sum", ".due > .amount"].map(
            one => parseFloat(getComputedStyle(document.querySelector(one)).fontSize))"""
    )

    assert sizes[0] > 1.3 * sizes[1]


def test_every_usual_name_leads_there_and_one_tap_leads_back(chromium, web, home):
    for name in NAMES:
        page = resident(chromium, web, home.owner_id).new_page()
        page.goto(f"/{name}")
        assert page.locator("html[data-edition=elder]").count() == 1, name

    page.goto("/notices")
    page.get_by_role("button", name="标准版").click()

    assert page.locator("html[data-edition=elder]").count() == 0
    assert page.url == f"{web}/notices"


@pytest.mark.parametrize("path", ["/", "/sign-in", "/pay", "/nowhere"])
def test_the_switch_is_on_every_page_and_needs_no_script(chromium, web, home, path):
    page = resident(chromium, web, home.owner_id, java_script_enabled=False).new_page()
    page.goto(path)

    page.get_by_role("button", name="大字版").click()

    assert page.locator("html[data-edition=elder]").count() == 1


def test_a_page_is_read_aloud_piece_by_piece_and_stops_when_asked(chromium, web, home):
    page = elder(chromium, web, home)
    page.add_init_script("""
        window.said = [];
        speechSynthesis.speak = words => {
            said.push([words.text, words.lang]);
            if (said.length < 4) { setTimeout(() => words.onend(), 0); }
        };
    """)  # the browser here has no voice: what it would say is what counts
    page.goto("/")

    page.get_by_role("button", name="朗读").click()
    for _ in range(200):  # Playwright's own wait would need the eval that our pages forbid
        if page.evaluate("said.length") == 4:
            break
        page.wait_for_timeout(20)

    spoken = page.evaluate("said")
    assert spoken[0][0] == page.locator("h1").inner_text()
    assert {lang for _, lang in spoken} == {"zh-CN"}
    assert page.locator(".is-read").count() == 1
    page.get_by_role("button", name="停止朗读").click()
    assert page.locator(".is-read").count() == 0
    assert page.get_by_role("button", name="朗读").get_attribute("aria-pressed") == "false"
