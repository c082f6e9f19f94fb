"""While words are written, the page counts the messages they take as the server does."""

import json
from html import escape
from pathlib import Path

from playwright.sync_api import Browser

from notifications.segments import segments
from tests.web.test_company_in_a_browser import chromium

__all__ = ["chromium"]
SCRIPT = Path(__file__).parents[2] / "web" / "static" / "wording.js"
SIGNED, LINK = "【城市账单】", "https://citybill.example/bills/1"
PAGE = """<textarea data-counting="{}"></textarea><output data-count hidden>#|%|~|^</output>"""
TEXTS = [
    "", "水", "水" * 63, "水" * 64, "水" * 127, "水" * 128, "水" * 200, "😀" * 32,
    "水" * 60 + "😀" * 3, "Water · May · {amount}",
    "应缴 {amount}", "应缴 {nothing}", "a" * 160, "a^b€~" * 40,
]  # fmt: skip


def counted(browser: Browser, signature: str) -> list[str]:
    page = browser.new_page()
    given = {
        "signature": signature, "latin": signature.isascii(), "link": LINK,
        "values": {"amount": "¥86.50"},
    }  # fmt: skip
    page.set_content(PAGE.format(escape(json.dumps(given))))
    page.add_script_tag(path=str(SCRIPT))
    said = []
    for text in TEXTS:
        page.fill("textarea", text)
        said.append(page.inner_text("output"))
    page.close()
    return said


def expected(signature: str) -> list[str]:
    said = []
    for text in TEXTS:
        whole = signature + text.replace("{amount}", "¥86.50")
        whole = whole.replace(" · ", ", ") if signature.isascii() else whole
        takes = segments(f"{whole} {LINK}")
        if takes.parts > 2:
            takes = segments(whole)
        said.append(f"{takes.parts}|{takes.units}|{takes.encoding}|{takes.left_in_part}")
    return said


def test_in_chinese_and_in_the_alphabet_of_gsm(chromium: Browser):
    for signature in (SIGNED, "[CityBill] "):
        assert counted(chromium, signature) == expected(signature)
