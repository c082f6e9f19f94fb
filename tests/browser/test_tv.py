"""The third door: a television, by its remote control alone, on any box, scripts or not."""

import json
import re
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from billing.bills import format_ref
from core.clock import utc_now
from core.db import transaction
from identity import televisions
from identity.models import Person
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from tests.factories import Home, a_paid_payment, a_person
from tests.web.forms import a_due_home
from tests.web.test_checkout_in_a_browser import resident, shot

pytestmark = pytest.mark.usefixtures("city")
SCREEN = {"width": 1280, "height": 720}
UP, DOWN, LEFT, RIGHT, OK = 38, 40, 37, 39, 13
KEYS = Path("web/static/tv-keys.js").read_text(encoding="utf-8")
OUTSIDE = """() => [...document.querySelectorAll("a[href], button, h1, p, td, th, svg, .sum")]
    .filter(one => one.getClientRects().length && !one.closest(".sky, svg svg"))
    .map(one => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
    .filter(([_, box]) => box.left < 32 || box.top < 18 || box.right > 1248 || box.bottom > 702)
    .map(([html, box]) => [html, box.left, box.top, box.right, box.bottom])"""
SMALL = """() => [...document.querySelectorAll("body *")]
    .filter(one => one.getClientRects().length
                   && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .map(one => [one, parseFloat(getComputedStyle(one).fontSize)
                      * (one.closest("svg") ? one.getCTM ? one.getCTM().a : 1 : 1)])
    .filter(([_, size]) => size < 22).map(([one, size]) => [one.outerHTML.slice(0, 80), size])"""
HERE = """() => [...document.querySelectorAll("a[href], button")].indexOf(document.activeElement)"""
LOW = """() => [...document.querySelectorAll("a[href], button")]
    .filter(one => one.getBoundingClientRect().height < 34).map(one => one.outerHTML)"""


@pytest.fixture
def home() -> Home:
    return a_due_home(8_650, 123_456_789, 1, 2_000, 3_000, 4_000)


@pytest.fixture
def tv(chromium: Browser, web: str, home: Home) -> Page:
    return a_tv(chromium, web, home.owner_id)


def a_tv(chromium: Browser, web: str, person_id: int, **how: Any) -> Page:
    context = chromium.new_context(
        **{"locale": "zh-CN", "viewport": SCREEN, "base_url": web} | how
    )  # fmt: skip
    now = utc_now()
    with transaction() as session:
        device_code, user_code = televisions.begin_pairing(session, now=now)
        televisions.decide_pairing(session, user_code, person_id, allow=True, now=now)
        token = televisions.ask_pairing(session, device_code, now=now).token
    context.add_cookies([{"name": "citybill_tv", "value": token or "", "url": web}])
    return context.new_page()


def press(page: Page, code: int) -> None:
    """Send what a remote control's key sends: a code, and nothing else."""
    client = page.context.new_cdp_session(page)
    for kind in ("rawKeyDown", "keyUp"):
        client.send("Input.dispatchKeyEvent", {"type": kind, "windowsVirtualKeyCode": code})
    client.detach()


def screens(home: Home) -> list[str]:
    bill = f"/tv/bills/{format_ref(home.refs[1])}"
    return [
        "/tv/bills", "/tv/bills?show=1", "/tv/bills?at=4&show=1", f"{bill}?show=1",
        f"{bill}/chart?show=1", f"{bill}/chart", f"/tv/pay?bill={format_ref(home.refs[0])}",
        "/tv/rest",
    ]  # fmt: skip


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_all_that_matters_is_inside_large_and_light(chromium, web, home, locale):
    page = a_tv(chromium, web, home.owner_id, locale=locale)
    weights: dict[str, int] = {}
    page.on("response", lambda one: weights.update({one.url: len(one.body())}))

    for at, path in enumerate(screens(home)):
        weights.clear()
        page.goto(path)
        page.wait_for_load_state("networkidle")
        shot(page, f"tv-{at}-{locale}")
        assert page.evaluate(OUTSIDE) == [], path
        assert page.evaluate(SMALL) == [], path
        assert page.evaluate(LOW) == [], path
        assert sum(weights.values()) <= 100_000, weights


def test_arrows_reach_everything_on_every_screen_and_back_returns(tv, home):
    for path in screens(home):
        tv.goto(path)
        everything = set(range(tv.locator("a[href], button").count()))
        start = tv.evaluate(HERE)
        assert start >= 0, f"{path}: nothing has the focus"
        seen, waiting = {start}, deque([start])
        while waiting:
            place = waiting.popleft()
            for key in (UP, DOWN, LEFT, RIGHT):
                tv.evaluate("at => document.querySelectorAll('a[href], button')[at].focus()", place)
                press(tv, key)
                found = tv.evaluate(HERE)
                if found not in seen:
                    seen.add(found)
                    waiting.append(found)
        assert seen == everything, path

    for _ in range(4):
        press(tv, 461)
        tv.wait_for_timeout(150)
    assert tv.url.endswith("/tv/rest")


@pytest.mark.parametrize("box", re.findall(r'"([^"]+)": \{', KEYS))
def test_every_box_moves_opens_and_returns(tv, box):
    keys = json.loads(
        re.sub(r"(\w+):", r'"\1":', re.search(rf'"{re.escape(box)}": (.+?}})', KEYS)[1])
    )
    tv.goto("/tv/bills")
    first = tv.evaluate("document.activeElement.href")

    press(tv, keys["down"][0])
    second = tv.evaluate("document.activeElement.href")
    press(tv, keys["ok"][0])
    tv.wait_for_url("**/tv/bills/*")
    opened = tv.url
    press(tv, keys["back"][0])
    tv.wait_for_url("**/tv/bills?**")

    assert first != second
    assert opened == second
    assert tv.evaluate("document.activeElement.href") == first  # another address: it begins anew


def test_no_code_means_two_things_that_move(now):
    meant: dict[int, set[str]] = {}
    for keys in re.findall(r": \{ (.+?) \}", KEYS):
        for name, codes in re.findall(r"(\w+): \[([\d, ]+)\]", keys):
            for code in codes.split(","):
                meant.setdefault(int(code), set()).add(name)

    assert {code: names for code, names in meant.items() if len(names) > 1} == {}


def test_a_box_that_only_types_is_heard_and_the_boxs_own_talk_is_not(tv):
    tv.goto("/tv/bills")
    before = tv.evaluate("document.activeElement.href")

    tv.evaluate("document.onkeypress({keyCode: 768})")
    same = tv.evaluate("document.activeElement.href")
    tv.evaluate("document.onkeypress({keyCode: 2})")

    assert same == before
    assert tv.evaluate("document.activeElement.href") != before


def test_amounts_and_numbers_are_hidden_until_somebody_asks(tv, home):
    tv.goto("/tv/bills")
    hidden = tv.content()
    tv.get_by_text("显示金额").click()
    tv.wait_for_url("**show=1**")

    assert not re.search(r"¥[\d,]+\.\d\d", hidden)
    assert "¥1,234,744.40" in tv.content()  # all of them together
    for number in home.account_nos:
        assert number not in hidden + tv.content()


def test_a_television_without_scripts_is_paired_shows_and_hands_over(chromium, web, home):
    context = chromium.new_context(
        locale="zh-CN", viewport=SCREEN, base_url=web, java_script_enabled=False
    )
    page, phone = context.new_page(), resident(chromium, web, home.owner_id).new_page()
    page.goto("/tv")
    code = page.locator(".code").get_attribute("aria-label")

    phone.goto(f"/televisions?code={code}")
    phone.get_by_role("button", name="允许").click()
    page.wait_for_url("**/tv/bills", timeout=15_000)  # by itself: it asks every few seconds
    page.locator("a.key--main").click()

    assert page.locator(".plate svg").count() == 1
    phone.goto(page.url.replace("/tv/pay", "/pay/now"))
    assert phone.locator(".pay-form").count() == 1
    phone.goto("/televisions")
    phone.get_by_role("button", name=re.compile("移除")).click()
    page.goto("/tv/bills")
    assert page.locator(".code").count() == 1


def test_the_television_shows_that_the_phone_has_paid(chromium, web):
    home = a_due_home(8_650)
    tv = a_tv(chromium, web, home.owner_id)
    tv.goto(f"/tv/pay?bill={format_ref(home.refs[0])}")
    assert tv.locator(".plate svg").count() == 1

    a_paid_payment(home, now=utc_now())
    tv.wait_for_selector("h1.ok", timeout=15_000)

    assert tv.locator(".plate svg").count() == 0


def test_left_alone_it_dims_and_then_shows_nothing_of_anybody(tv):
    tv.clock.install()
    tv.goto("/tv/bills?show=1")
    tv.clock.run_for(61_000)
    assert tv.locator("body.is-dim").count() == 1

    press(tv, DOWN)

    assert tv.locator("body.is-dim").count() == 0
    rest = tv.locator("meta[http-equiv=refresh]").get_attribute("content")
    assert rest == "180;url=/tv/rest"


def test_a_household_without_accounts_is_told_where_to_begin(chromium, web):
    tv = a_tv(chromium, web, a_person())
    tv.goto("/tv/bills")

    assert "请在手机上添加" in tv.content()


def test_news_is_reached_by_arrows_and_read_with_ok(chromium, web, home):
    page = a_tv(chromium, web, home.owner_id)
    facts = Facts({"company": "市水务", "month": "10月", "amount": "¥86.50", "due_on": "30日"})
    with transaction() as session:
        reader = session.get_one(Person, home.owner_id)
        told = Telling(event="bill.ready", person=reader, subject_ref="1.1.1", facts=facts)
        tell(session, told, now=utc_now())
    page.goto("/tv/bills")
    assert page.evaluate(OUTSIDE) == page.evaluate(SMALL) == page.evaluate(LOW) == []
    assert "86.50" not in page.inner_text("body")

    press(page, UP)
    assert page.evaluate("document.activeElement.className") == "news"
    with page.expect_navigation():
        press(page, OK)
    assert "¥86.50" in page.inner_text("body")
    assert page.evaluate(OUTSIDE) == []
    page.goto("/tv/rest")
    assert page.locator(".news").count() == 0
