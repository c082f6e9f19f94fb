"""A bill's barcode is read into its field where the browser can; elsewhere nothing is there."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.web.test_company_in_a_browser import chromium
from web import look

__all__ = ["chromium"]
SCRIPT = Path(__file__).parents[2] / "web" / "static" / "scan.js"
DIGITS = "310100020427211172610000086508"
FORM = """<input id="account_no">{}"""
# The camera and the reader, as the browser would have them.
READER = """
    window.BarcodeDetector = class {{
        constructor(wanted) {{ window.wanted = wanted; }}
        async detect() {{ return window.seen || []; }}
    }};
    const track = {{ stop() {{ window.stopped = true; }} }};
    Object.defineProperty(navigator, "mediaDevices", {{ value: {{
        async getUserMedia(asked) {{ window.asked = asked; {refuse}
            const stream = document.createElement("canvas").captureStream();
            stream.getTracks = () => [track];
            return stream;
        }} }} }});
    HTMLMediaElement.prototype.play = async () => {{}};
"""


def a_page(browser: Browser, *, reads: bool = True, refuse: str = "") -> Page:
    page = browser.new_page()
    macros = look._environment("zh_CN").get_template("parts/scan.html").module
    page.set_content(FORM.format(macros.scan_button("account_no")))  # type: ignore[attr-defined]
    if reads:
        page.evaluate(READER.format(refuse=refuse))
    page.add_script_tag(path=str(SCRIPT))
    return page


def test_the_thirty_digits_land_in_the_field_and_the_camera_stops(chromium: Browser):
    page = a_page(chromium)

    page.click("[data-scan-start]")
    page.wait_for_selector("[data-scan-view]:not([hidden])")
    page.evaluate("window.seen = [{rawValue: '6901234567892'}]")  # something else on the table
    page.evaluate(f"window.seen = [{{rawValue: '{DIGITS}'}}]")
    page.wait_for_selector("[data-scan-view]", state="hidden")

    assert page.input_value("#account_no").replace(" ", "") == DIGITS
    assert page.inner_text("[data-scan-said]") == "已读出条形码。"
    assert page.evaluate("window.stopped && document.activeElement.id") == "account_no"
    assert page.evaluate("window.wanted.formats") == ["code_128"]
    page.close()


def test_it_can_be_stopped_before(chromium: Browser):
    page = a_page(chromium)
    page.click("[data-scan-start]")
    page.click("[data-scan-stop]")

    assert page.evaluate("window.stopped") is True
    assert page.is_visible("[data-scan-start]")
    assert page.input_value("#account_no") == ""
    page.close()


def test_a_camera_that_is_refused_leaves_typing(chromium: Browser):
    page = a_page(chromium, refuse="throw new DOMException('no', 'NotAllowedError');")
    page.click("[data-scan-start]")
    page.wait_for_function("document.querySelector('[data-scan-said]').textContent")

    assert "请手动输入" in page.inner_text("[data-scan-said]")
    assert page.is_hidden("[data-scan-view]")
    page.close()


@pytest.mark.parametrize("reads", [True, False])
def test_where_the_browser_cannot_there_is_no_button(chromium: Browser, reads):
    page = a_page(chromium, reads=reads)

    assert page.is_visible("[data-scan-start]") is reads
    page.close()
