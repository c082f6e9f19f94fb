"""When a page is first seen on a phone with a slow network: 1.6 Mbit/s, 150 ms away, a slow chip.

Needs Chromium; without one there is nothing to tell.
"""

import shutil
import statistics
from collections.abc import Mapping

from playwright.sync_api import Browser, sync_playwright

from bench.load import Wanted

TIMES = 3
_SLOW_NET = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8,
             "uploadThroughput": 0.75e6 / 8}  # fmt: skip
_PAINTED = """() => new Promise(done => new PerformanceObserver(list => {
    const seen = list.getEntriesByName("first-contentful-paint");
    if (seen.length) { done(seen[0].startTime); }
}).observe({type: "paint", buffered: true}))"""


def first_paints(port: int, pages: Mapping[str, Wanted]) -> dict[str, dict[str, float]]:
    """Return by page the milliseconds until something of it is seen, by an empty browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return {}
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = {
            name: {
                "first_paint_ms": round(
                    statistics.median(_first_paint(opened, port, wanted) for _ in range(TIMES))
                )
            }
            for name, wanted in pages.items()
        }
        opened.close()
    return found


def _first_paint(browser: Browser, port: int, wanted: Wanted) -> float:
    url = f"http://127.0.0.1:{port}"
    name, _, value = wanted.cookie.partition("=")
    with browser.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN") as context:
        context.add_cookies([{"name": name, "value": value, "url": url}])
        tab = context.new_page()
        line = context.new_cdp_session(tab)
        line.send("Network.enable")
        line.send("Network.emulateNetworkConditions", _SLOW_NET)
        line.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        tab.goto(url + wanted.path)
        painted: float = tab.evaluate(_PAINTED)
        return painted
