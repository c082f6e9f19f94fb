"""Every page of a resident or visitor can be used by everybody: WCAG 2.2 AA and good practice.

Each page is loaded once a look and then looked at in dark, on a desk, at 320 px, zoomed and with
text spaced out. A new page needs a line in ``town.PAGES``. Pictures on request
(CITYBILL_TEST_SHOTS).
"""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Page as Tab
from pydantic import SecretStr

from core.settings import Settings
from notifications.channels import wechat
from tests.browser import town
from tests.browser.test_tv import SCREEN
from tests.browser.town import PAGES, PLENTY, PLENTY_SCREENS, SCREENS, Page, Town
from tests.web.test_access import ROUTES
from tests.web.test_checkout_in_a_browser import fits, shot
from tests.web.test_company_in_a_browser import PHONE, serving
from web.pages.edition import NAMES

WIDE, HALF, NARROW = ({"width": width, "height": 844} for width in (1440, 720, 320))
OURS = {"anyone", "visitor", "resident", "looker", "payer", "television"}
NO_PAGES = {  # for programs, papers, and what only leads on
    "/healthz", "/readyz", "/sw.js", "/manifest.webmanifest", "/bills/{ref}.pdf",
    "/bills.{kind}", "/payments.{kind}", "/calendar.ics", "/calendar/{token}.ics",
    "/bills/{ref}/papers/{sha256}", "/payments/{payment_id}/receipt.pdf",
    "/household/statement/{month}.pdf", "/sign-in/code", "/preferences/wechat/return",
    *(f"/{name}" for name in NAMES),
}  # fmt: skip
CLOSELY = {("zh-CN", "plain"), ("en-GB", "elder")}  # the usual look, and the widest
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Style sheets are not fetched anew: no rule of these reads them. Nor is a selector made up for
# what is found: its HTML names it.
TELLING = {"resultTypes": ["violations"], "preload": False, "selectors": False}
EVERYTHING = TELLING | {"runOnly": TAGS}
COLOURS = TELLING | {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
}
# What hangs on how a page is drawn, where its elements and their names were looked at already.
DRAWN = TELLING | {
    "runOnly": {
        "type": "rule",
        "values": ["color-contrast", "link-in-text-block", "target-size",
                   "scrollable-region-focusable", "html-has-lang", "valid-lang"],
    }
}  # fmt: skip
# A television may run no scripts: its page asks again by itself whether the phone has let it in.
ON_TV = EVERYTHING | {"rules": {"meta-refresh": {"enabled": False}}}
ASK_AXE = """async options => (await axe.run(options)).violations.map(
    one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 160)).join(" | ")}`)"""
# Text cut off by the box it is in.
CLIPPED = """() => [...document.querySelectorAll("body *")]
    .filter(one => one.checkVisibility() && !one.closest("svg, .sr-only, .sky, input, select")
                   && /hidden|clip/.test(getComputedStyle(one).overflow)
                   && (one.scrollWidth > one.clientWidth + 1
                       || one.scrollHeight > one.clientHeight + 1))
    .map(one => "clipped " + one.outerHTML.slice(0, 120))"""
# Lines of text that lie on one another; a bar that floats over the page is no line of it.
OVERLAPPING = """() => {
    const lines = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode, one = node.parentElement, range = document.createRange();
        if (!node.data.trim() || !one.checkVisibility()
            || one.closest(`.sr-only, .skip, .pay-bar--float, .nav--own, svg, select,
                            noscript`)) { continue; }
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) {
            const rim = box.height * .3;  // a font's box is taller than its letters
            lines.push([one, box.left + 1, box.right - 1, box.top + rim, box.bottom - rim]);
        }
    }
    lines.sort((one, other) => one[3] - other[3]);
    const wrong = [];
    lines.forEach((one, at) => {
        for (let next = at + 1; next < lines.length && lines[next][3] < one[4]; next += 1) {
            const other = lines[next];
            if (other[1] < one[2] && one[1] < other[2]) {
                const [upper, lower] = [one, other].map(each => each[0].outerHTML.slice(0, 80));
                wrong.push(`${upper} on ${lower}`);
            }
        }
    });
    return wrong;
}"""
SPACED = """() => {
    const style = new CSSStyleSheet();
    style.replaceSync(`* { line-height: 1.5 !important; letter-spacing: .12em !important;
        word-spacing: .16em !important } p { margin-bottom: 2em !important }`);
    document.adoptedStyleSheets = [style];
}"""
# What had the focus each time a key came up: its place in the page, whether that shows, what hides.
WATCH = """() => {
    window.seen = [];
    addEventListener("keyup", () => {
        const one = document.activeElement, box = one.getBoundingClientRect();
        const look = getComputedStyle(one), x = box.left + box.width / 2;
        const y = Math.max(box.top, 0) + Math.min(box.height, 40) / 2;
        const top = document.elementFromPoint(x, y);
        seen.push({
            one, html: one.outerHTML.slice(0, 120), top: box.top + scrollY, left: box.left,
            shown: look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2,
            hidden: !top || !(one.contains(top) || top.contains(one) || one.labels
                              && [...one.labels].some(label => label.contains(top))),
        });
    });
}"""
REACHABLE = """() => [...document.querySelectorAll(
        "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
    .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled
                   && (one.type !== "radio" || one === (
                       one.closest("form").querySelector(`[name="${one.name}"]:checked`)
                       ?? one.closest("form").querySelector(`[name="${one.name}"]`))))"""


@pytest.fixture(scope="module")
def city_of_all(app: FastAPI, kept_city: None) -> Iterator[Town]:
    secrets = {name: SecretStr("of these tests") for name in ("app_id", "app_secret")}
    with (
        serving(app) as url,
        closing(wechat.from_settings(Settings(carriers={"wechat": secrets}))) as account,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setitem(app.state.carriers, "wechat", account)
        yield town.build(url)


def window(chromium: Browser, **how: Any) -> BrowserContext:
    return chromium.new_context(
        **{"locale": "zh-CN", "viewport": PHONE, "reduced_motion": "reduce",
           "service_workers": "block"} | how
    )  # fmt: skip


def elder(context: BrowserContext, here: Town) -> None:
    context.add_cookies([{"name": "citybill_edition", "value": "elder", "url": here.url}])


def visit(tab: Tab, here: Town, page: Page) -> None:
    """Come to a page as whoever it is for."""
    tab.context.clear_cookies(name=re.compile("citybill_(session|tv)"))
    if page.who in here.tokens:
        name = "citybill_tv" if page.who.endswith("tv") else "citybill_session"
        value = here.tokens[page.who]
        tab.context.add_cookies([{"name": name, "value": value, "url": here.url}])
    tab.goto(here.url + (page.route + page.query).format_map(here.places))
    if page.click:
        with tab.expect_navigation():
            tab.locator(page.click).first.click()


def axe(tab: Tab, options: dict[str, Any] = EVERYTHING) -> list[str]:
    found: list[str] = tab.evaluate(ASK_AXE, options)
    return found


def misfits(tab: Tab) -> list[str]:
    """What is not where it can be read."""
    wide = [] if fits(tab) else [f"wider than {tab.viewport_size}"]
    return [*wide, *tab.evaluate(CLIPPED), *tab.evaluate(OVERLAPPING)]


def looked_at(tab: Tab, name: str, *, closely: bool) -> list[str]:
    """What is wrong with a page, by how it was looked at."""
    shot(tab, f"a11y-{name}")
    wrong = {"light": axe(tab, EVERYTHING if closely else DRAWN)}
    tab.emulate_media(color_scheme="dark")
    wrong["dark"] = axe(tab, COLOURS)
    tab.emulate_media(color_scheme="light")
    if closely:
        for size in (HALF, NARROW):
            tab.set_viewport_size(size)
            wrong[str(size["width"])] = misfits(tab)
        tab.set_viewport_size(WIDE)
        wrong["desk"] = axe(tab) + misfits(tab)
        tab.set_viewport_size(PHONE)
        tab.evaluate(SPACED)
        wrong["spaced"] = misfits(tab)
    return [f"{name}, {how}: {one}" for how, found in wrong.items() for one in found]


def test_every_page_has_its_line_here():
    routes = {
        path for method, path, rules in ROUTES
        if method == "GET" and OURS & set(rules) and not path.startswith("/api/")
    }  # fmt: skip
    ours = {page.route for page in PAGES + SCREENS} - {"/nowhere"}

    assert {shape(path) for path in routes - NO_PAGES} == {shape(path) for path in ours}


def shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


@pytest.mark.parametrize("edition", ["plain", "elder"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_every_page_can_be_used_by_everybody(chromium, city_of_all, locale, edition):
    wrong: list[str] = []
    with window(chromium, locale=locale) as context:
        context.add_init_script(AXE_SCRIPT)
        if edition == "elder":
            elder(context, city_of_all)
        tab = context.new_page()
        for page in PAGES:
            visit(tab, city_of_all, page)
            name = re.sub(r"\W+", "-", f"{page.name}-{locale[:2]}-{edition}")
            wrong += looked_at(tab, name, closely=(locale, edition) in CLOSELY)

    assert wrong == []


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_every_screen_of_a_television_too(chromium, city_of_all, locale):
    wrong: list[str] = []
    with window(chromium, locale=locale, viewport=SCREEN) as context:
        context.add_init_script(AXE_SCRIPT)
        tab = context.new_page()
        for page in SCREENS:
            visit(tab, city_of_all, page)
            wrong += [f"{page.name}: {one}" for one in axe(tab, ON_TV) + misfits(tab)]

    assert wrong == []


@pytest.mark.parametrize("edition", ["plain", "elder"])
@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["phone", "desk"])
def test_long_names_nine_digits_and_many_bills_break_nothing(chromium, city_of_all, size, edition):
    wrong: list[str] = []
    with window(chromium, viewport=size) as context:
        if edition == "elder":
            elder(context, city_of_all)
        tab = context.new_page()
        for page in PLENTY:
            visit(tab, city_of_all, page)
            name = re.sub(r"\W+", "-", page.name)
            shot(tab, f"plenty-{name}-{size['width']}-{edition}")
            wrong += [f"{page.name}: {one}" for one in misfits(tab)]

    assert wrong == []


def test_nor_a_televisions_screens(chromium, city_of_all):
    wrong: list[str] = []
    with window(chromium, viewport=SCREEN) as context:
        tab = context.new_page()
        for page in PLENTY_SCREENS:
            visit(tab, city_of_all, page)
            shot(tab, f"plenty-{re.sub(r'[^a-z]+', '-', page.name)}")
            wrong += [f"{page.name}: {one}" for one in misfits(tab)]

    assert wrong == []


def test_without_scripts_every_form_still_works(chromium, city_of_all):
    home, here = Page("/"), city_of_all
    with window(chromium, java_script_enabled=False) as context:
        tab = context.new_page()
        for click, then in (
            ("[action='/language'] button", "html[lang=en]"),
            ("[action='/language'] button", "html[lang=zh-CN]"),
            ("[action='/edition'] button", "html[data-edition=elder]"),
            ("[action='/edition'] button", "html:not([data-edition])"),
            (".pay-bar .button", "form[action='/payments']"),
        ):
            visit(tab, here, home._replace(click=click))
            assert tab.locator(then).count() == 1, (click, then)
        visit(tab, here, Page("/preferences", click="[action='/preferences/settings'] .button"))
        assert tab.locator(".notice--success").count() == 1
        visit(tab, here, Page("/complaints/new"))
        tab.locator("input[name=kind]").first.check()
        tab.fill("#words", "水费怎么算？")
        with tab.expect_navigation():
            tab.locator("main form .button").click()
        assert tab.locator(".talk__one").count() == 1


@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["phone", "desk"])
def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(
    chromium, city_of_all, size
):
    wrong: list[str] = []
    with window(chromium, viewport=size) as context:
        context.add_init_script("window.fetch = undefined")  # nothing changes under our hands
        tab = context.new_page()
        for page in PAGES:
            visit(tab, city_of_all, page)
            wrong += [f"{page.name}: {one}" for one in walked(tab)]

    assert wrong == []


def walked(tab: Tab) -> list[str]:
    """What is wrong on the way through a page by Tab alone, once around."""
    tab.evaluate(WATCH)
    count = tab.evaluate(f"({REACHABLE})().length")
    clocks = tab.locator("input[type^=date], input[type=time]").count()
    for _ in range(count + 3 + 8 * clocks):  # a field for a time has several stops
        tab.keyboard.press("Tab")
    return tab.evaluate(f"""() => {{
        const wrong = [], all = ({REACHABLE})();
        const steps = seen.filter(at => at.one !== document.body);
        const end = steps.findIndex((at, n) => n && at.one !== steps[n - 1].one
                                          && steps.slice(0, n).some(one => one.one === at.one));
        const way = end < 0 ? steps : steps.slice(0, end);
        if (end < 0) wrong.push("no way round: " + steps.at(-1).html);
        all.filter(one => !way.some(at => at.one === one))
            .forEach(one => wrong.push("not reached: " + one.outerHTML.slice(0, 120)));
        way.filter(at => !at.shown).forEach(at => wrong.push("focus not seen: " + at.html));
        way.filter(at => at.hidden).forEach(at => wrong.push("hidden: " + at.html));
        const part = at => at.one.closest("header, main, footer");  // each has an order of its own
        way.slice(1).filter((at, n) => part(at) === part(way[n]) && at.one !== way[0].one
                                       && at.top < way[n].top - 24 && at.left <= way[n].left)
            .forEach(at => wrong.push("out of order: " + at.html));
        return wrong;
    }}""")
