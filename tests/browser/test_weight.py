"""A page's first view is light, comes in few round trips, and nothing in it jumps.

How soon it is seen on a slow phone hangs on the machine, so ``bench/pages.py`` measures it.
"""

from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page

from billing.bills import format_ref
from tests.web.forms import a_due_home
from tests.web.test_checkout_in_a_browser import resident
from tests.web.test_company_in_a_browser import PHONE

pytestmark = pytest.mark.usefixtures("city")

MOST_BYTES = 100_000
ROUND_TRIPS = 2  # the page, then at once all it needs to be drawn
SLOW_DOWN = 4  # a phone's processor draws what has come while the rest is still on its way
SLOW = {"offline": False, "latency": 60, "downloadThroughput": 400_000, "uploadThroughput": 90_000}
PARTS = """() => performance.getEntriesByType("resource").map(one => ({
    name: new URL(one.name).pathname, by: one.initiatorType, bytes: one.encodedBodySize,
    kept: one.transferSize === 0, blocks: one.renderBlockingStatus === "blocking"}))"""
JUMPS = """() => new Promise(done => {
    let sum = 0, moved = [];
    new PerformanceObserver(list => {
        for (const one of list.getEntries()) {
            sum += one.value;
            moved.push(...one.sources.map(at => at.node && at.node.outerHTML
                                          ? at.node.outerHTML.slice(0, 100) : "text"));
        }
    }).observe({type: "layout-shift", buffered: true});
    requestAnimationFrame(() => setTimeout(() => done(sum ? moved : []), 100));
})"""


def watched(context: BrowserContext) -> tuple[Page, CDPSession, list[int]]:
    """A tab, its line to DevTools, and the bytes over the wire of each answer."""
    tab, received = context.new_page(), list[int]()
    line = context.new_cdp_session(tab)
    line.send("Network.enable")
    line.send("Emulation.setCPUThrottlingRate", {"rate": SLOW_DOWN})
    line.on("Network.loadingFinished", lambda one: received.append(int(one["encodedDataLength"])))
    return tab, line, received


@pytest.fixture
def home(chromium: Browser, web: str) -> Any:
    """A household's browser with four bills to pay, and the way to one of them."""
    made = a_due_home(8_650, 123_456, 40_000, 2_000)
    with resident(chromium, web, made.owner_id, service_workers="block") as context:
        yield context, f"/bills/{format_ref(made.refs[0])}"


@pytest.mark.parametrize("edition", ["plain", "elder"])
def test_the_first_view_of_each_page_is_light_in_few_round_trips_and_still(home, web, edition):
    context, bill = home
    context.add_cookies([{"name": "citybill_edition", "value": edition, "url": web}])
    for path in ("/", bill, "/bills"):
        tab, line, received = watched(context)
        line.send("Network.clearBrowserCache")
        line.send("Network.emulateNetworkConditions", SLOW)
        tab.goto(path, wait_until="load")
        parts = tab.evaluate(PARTS)

        assert sum(received) <= MOST_BYTES, (path, received)
        blocking = [one["name"] for one in parts if one["blocks"]]
        assert len(blocking) == (2 if edition == "plain" else 3), (path, blocking)
        assert {one["by"] for one in parts} <= {"link", "script", "other"}, (path, parts)
        assert tab.evaluate(JUMPS) == [], path
        tab.close()


def test_the_first_page_a_visitor_sees_is_too(chromium, web):
    with chromium.new_context(viewport=PHONE, base_url=web, service_workers="block") as context:
        tab, line, received = watched(context)
        line.send("Network.emulateNetworkConditions", SLOW)
        tab.goto("/sign-in", wait_until="load")

        assert sum(received) <= MOST_BYTES
        assert tab.evaluate(JUMPS) == []


def test_the_second_page_brings_its_own_text_alone(home):
    context, bill = home
    tab, _, _ = watched(context)
    tab.goto("/", wait_until="load")
    tab.goto(bill, wait_until="load")

    parts = [one for one in tab.evaluate(PARTS) if one["blocks"]]
    assert len(parts) == 2
    assert [one["name"] for one in parts if not one["kept"]] == []
