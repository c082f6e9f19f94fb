"""Take the screenshots of the README from a running demo city: ``make run``, then ``make shots``.

Signs in by itself with the codes from the demo inbox, pays what the resident owes through the
sandbox cashier, and reconciles today's settlement file: once with a fen wrong, for the pictures of
the morning, and once right. It looks at the resident, proposes other terms for a company and
withdraws them again. On a fresh city the home page still has bills to pay and a day waits to be
closed, so start from one.
"""

import re
import shutil
import sys
import time
from collections.abc import Iterable
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
RESIDENT = "19900000001"
STAFF, SECOND_STAFF = "staff@citybill.example", "staff2@citybill.example"
OPERATOR = "water-ops@citybill.example"
SAMPLE = Path(__file__).parents[1] / "tests/data/providers/water/sample.txt"
PART_YUAN = "30.00"  # of a bill that may be paid in parts
_DESK, _PHONE = {"width": 1280, "height": 1080}, {"width": 390, "height": 844}
SCREENS: dict[str, dict[str, Any]] = {
    "": {"viewport": _DESK, "device_scale_factor": 1.5, "locale": "en-GB"},
    "-zh": {"viewport": _DESK, "device_scale_factor": 1.5, "locale": "zh-CN"},
    "-phone": {"viewport": _PHONE, "device_scale_factor": 2, "locale": "zh-CN"},
}
OFFICE = ("-zh", "-phone")  # what only the staff see
HOME = ("-zh", "-phone")  # what only residents choose
_TV: dict[str, Any] = {"viewport": {"width": 1280, "height": 720}, "locale": "zh-CN"}
WAIT_SECONDS = 60
_CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")


class Shots:
    """One round through the city, in the order somebody would take it."""

    def __init__(self, browser: Browser, *, city: str, far_side: str) -> None:
        self._browser, self._city, self._far_side = browser, city, far_side
        self._http = httpx.Client(timeout=10, trust_env=False)

    def take(self) -> None:
        resident = self._sign_in(RESIDENT)
        self._shoot(resident, "home", "/")
        page = self._open(resident, "/")
        water = page.locator(".due", has_text=re.compile("Water|自来水")).first
        bill = water.locator("a[href^='/bills/']").get_attribute("href")
        assert bill is not None
        self._shoot(resident, "bill", bill)
        self._review(resident)
        # An account that has been here for long enough to be held against the year before.
        usage = self._open(resident, "/usage").locator(
            "a[href^='/usage?account=']", has_text=re.compile("year|上年")
        ).first  # fmt: skip
        self._shoot(resident, "usage", str(usage.get_attribute("href")), HOME)
        for name, path in (
            ("bills", "/bills"), ("calendar", "/calendar"), ("homes", "/household"),
            ("preferences", "/preferences"),
        ):  # fmt: skip
            self._shoot(resident, name, path, HOME)
        self._elder(resident)
        self._television(resident)
        self._shoot(resident, "payment", self._pay(page))
        staff = self._sign_in(STAFF)
        self._reconcile(staff)
        self._shoot(staff, "days", "/console/days")
        self._shoot(staff, "notices", "/console/notices", OFFICE)
        self._propose_terms(staff, self._sign_in(SECOND_STAFF))
        self._upload(self._sign_in(OPERATOR))

    def _elder(self, resident: Any) -> None:
        """Photograph the home page in large print; the edition is this browser's alone."""
        page = self._open(resident, "/elder", "-phone")
        self._keep(page, "elder-phone")

    def _television(self, resident: Any) -> None:
        """Pair a television as its owner does, and photograph what it shows."""
        context = self._browser.new_context(base_url=self._city, **_TV)
        screen = context.new_page()
        screen.goto("/tv")
        code = screen.locator(".code").get_attribute("aria-label")
        phone = self._open(resident, f"/televisions?code={code}")
        phone.locator("button[value=allow]").click()
        phone.context.close()
        screen.wait_for_url("**/tv/bills", timeout=WAIT_SECONDS * 1000)
        screen.goto("/tv/bills?show=1")
        self._keep(screen, "tv-zh")

    def _upload(self, operator: Any) -> None:
        """Bring a file as a company does, and photograph its pages."""
        page = self._open(operator, "/company")
        page.set_input_files("input[type=file]", SAMPLE)
        page.locator("form:has(input[type=file]) button").first.click()
        page.wait_for_url("**/company/bill-files/*")
        for _ in range(WAIT_SECONDS):
            page.reload()
            if page.locator("progress").count() == 0:
                break
            time.sleep(1)
        path = page.url.removeprefix(self._city)
        page.context.close()
        self._shoot(operator, "company", "/company")
        self._shoot(operator, "company-file", path)

    def _context(self, suffix: str = "", state: Any = None) -> BrowserContext:
        return self._browser.new_context(
            base_url=self._city,
            timezone_id="Asia/Shanghai",
            storage_state=state,
            **SCREENS[suffix],
        )

    def _sign_in(self, contact: str) -> Any:
        """Return the browser state of somebody who has signed in with the code they were sent."""
        context = self._context()
        page = context.new_page()
        page.goto("/sign-in")
        page.fill("#contact", contact)
        before = {message["id"] for message in self._messages()}
        page.locator("form:has(#contact) button").click()
        page.fill("#code", self._code(contact, before))
        page.locator("form:has(#code) button").click()
        page.wait_for_url(lambda url: "/sign-in" not in url)
        state = context.storage_state()
        context.close()
        return state

    def _messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = self._http.get(f"{self._far_side}/inbox.json").json()[
            "messages"
        ]
        return messages

    def _code(self, contact: str, before: set[str]) -> str:
        for _ in range(WAIT_SECONDS * 5):
            for message in self._messages():
                if message["id"] not in before and message["to"] == contact:
                    found = _CODE.search(message["text"])
                    assert found is not None, message
                    return found[0]
            time.sleep(0.2)
        raise SystemExit(f"no code for {contact} has come to {self._far_side}/inbox")

    def _open(self, state: Any, path: str, suffix: str = "") -> Page:
        page = self._context(suffix, state).new_page()
        page.goto(path)
        return page

    def _shoot(
        self, state: Any, name: str, path: str, screens: Iterable[str] = tuple(SCREENS)
    ) -> None:
        """Photograph one page on every screen, or on some."""
        for suffix in screens:
            self._keep(self._open(state, path, suffix), f"{name}{suffix}")

    def _keep(self, page: Page, name: str) -> None:
        page.wait_for_load_state("load")
        _save(page.screenshot(animations="disabled"), IMAGES / f"{name}.png")
        page.context.close()

    def _review(self, state: Any) -> None:
        """Photograph the review with a part of one bill typed; nothing is paid."""
        for suffix in SCREENS:
            page = self._open(state, "/", suffix)
            if page.locator("form[action='/pay']").count() == 0:
                return
            page.locator("form[action='/pay'] button:not([type=button])").click()
            choosing = page.locator(".row--paying:has(summary)").last
            if choosing.count():
                choosing.locator("summary").click()
                choosing.locator("input[name^='amount:']").fill(PART_YUAN)
                page.locator("button[formaction='/pay']").click()
            self._keep(page, f"review{suffix}")

    def _pay(self, home: Page) -> str:
        """Pay what is ticked, and return the payment's page; an earlier one if nothing is due."""
        if home.locator("form[action='/pay']").count() == 0:
            home.locator("a[href^='/bills/']").first.click()
            path = home.locator("a[href^='/payments/']").first.get_attribute("href")
            assert path is not None, "nothing is due, and the first bill was not paid here"
            return path
        home.locator("form[action='/pay'] button:not([type=button])").click()
        home.locator("form[action='/payments'] button.button--big").click()
        home.locator("button[value=yes]").click()
        home.wait_for_url("**/payments/*")
        for _ in range(WAIT_SECONDS):
            home.reload()
            if home.locator("[data-refresh-seconds]").count() == 0:
                break
            time.sleep(1)
        return home.url.removeprefix(self._city)

    def _reconcile(self, staff: Any) -> None:
        """Upload today's settlement file, wrong and then right, and photograph the wrong one."""
        day = self._today()
        for fault in ("?fault=amount", ""):
            content = self._http.get(f"{self._far_side}/sandbox/downloads/{day}.csv{fault}").content
            page = self._open(staff, "/console/reconciliations")
            upload = {"name": f"sandbox-{day}.csv", "mimeType": "text/csv", "buffer": content}
            page.select_option("#source", "sandbox")
            page.set_input_files("input[type=file]", upload)  # type: ignore[arg-type]
            page.fill("input[name=day]", day)
            page.locator("form:has(input[type=file]) button").last.click()
            page.wait_for_url(f"**/console/reconciliations/sandbox/{day}")
            page.context.close()
            if fault:
                self._shoot(staff, "reconciliation", f"/console/reconciliations/sandbox/{day}")
                self._morning(staff, date.fromisoformat(day) - timedelta(days=1))

    def _morning(self, staff: Any, yesterday: date) -> None:
        """Photograph what the staff open first, while something waits for them."""
        for name, path in (
            ("today", ""), ("differences", "/breaks"), ("checklist", f"/days/{yesterday}"),
            ("bank", "/bank"), ("remittances", "/remittances"),
        ):  # fmt: skip
            self._shoot(staff, name, f"/console{path}", OFFICE)
        self._shoot(staff, "resident", self._look_at(staff, RESIDENT), OFFICE)

    def _look_at(self, staff: Any, contact: str) -> str:
        """Find a resident and say why; returns their page, open to this session from now on."""
        page = self._open(staff, "/console/residents")
        page.fill("#q", contact)
        page.locator("form:has(#q) button").click()
        page.wait_for_url(re.compile(r"/console/residents/[0-9]+$"))
        path = page.url.removeprefix(self._city)
        if page.locator("input[name=reason]").count():
            page.check("input[name=reason][value=asked]")
            page.locator("form:has(input[name=reason]) button").click()
            page.wait_for_url(f"**{path}")
        page.context.close()
        return path

    def _propose_terms(self, first: Any, second: Any) -> None:
        """Propose lower interest, photograph what the second person sees, and withdraw it."""
        page = self._open(first, "/console/terms/water")
        content = page.locator("#content").input_value()
        page.fill("#content", re.sub(r"(interest_ppm_per_day = )[0-9]+", r"\g<1>300", content))
        page.fill("#reason", "降低滞纳金 · lower late fees")
        page.locator("form:has(#content) button").click()
        page.wait_for_url("**/console/terms/changes/*")
        self._shoot(second, "terms", page.url.removeprefix(self._city))
        page.locator("form[action$='/withdrawal'] button").click()
        page.context.close()

    def _today(self) -> str:
        page = self._http.get(f"{self._far_side}/sandbox").text
        found = re.search(r"/sandbox/downloads/([0-9-]{10})\.csv", page)
        assert found is not None, "the far side offers no settlement file"
        return found[1]


def _save(png: bytes, path: Path) -> None:
    """Write a picture in a palette of 256 colours: text and flat areas lose nothing by it."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stderr.write(f"{path.relative_to(IMAGES.parents[1])}  {path.stat().st_size // 1024} KB\n")


def main(
    city: Annotated[str, typer.Option(help="Where the city's web is.")] = "http://127.0.0.1:8000",
    far_side: Annotated[
        str, typer.Option(help="Where its simulator is.")
    ] = "http://127.0.0.1:8001",
) -> None:
    """Take every screenshot; needs Chromium or Chrome on this machine."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("install Chromium or Chrome: the pictures are taken with it")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        Shots(browser, city=city, far_side=far_side).take()
        browser.close()


if __name__ == "__main__":
    typer.run(main)
