"""The utility's pages in a real browser: sending a file with its progress, by hand and by mouse."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from core.settings import Environment, settings
from identity import sign_in
from identity.models import Role
from identity.people import get_person
from tests.chromium import opened
from tests.factories import a_person
from tests.web.test_company import TORN
from workers.tasks import bills

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture
def web(app: FastAPI, city: str, chromium: Browser) -> Iterator[str]:
    """Where it is served; what a test leaves open is closed, for its pages go on asking."""
    with serving(app) as url:
        yield url
        for left in chromium.contexts:
            left.close()


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application behind a real server, with cookies that work without TLS."""
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, lifespan="off", log_level="warning", timeout_graceful_shutdown=5
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(settings(), "environment", Environment.DEMO)
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def operator(chromium: Browser, web: str, **how: object) -> BrowserContext:
    """A browser that somebody of City Water is signed in with."""
    context = chromium.new_context(**{"locale": "en-GB", "viewport": DESK} | how)
    with transaction() as session:
        person = get_person(session, a_person(Role.OPERATOR))
        token, _ = sign_in.start_session(session, person, now=utc_now())
    context.add_cookies([{"name": "citybill_session", "value": token, "url": web}])
    return context


def last_file() -> str:
    with transaction() as session:
        return str(session.execute(text("SELECT max(id) FROM bill_file")).scalar_one())


def is_no_wider_than_the_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_a_file_goes_up_with_a_bar_and_its_import_is_followed(chromium, web, tmp_path, viewport):
    page = operator(chromium, web, viewport=viewport).new_page()
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.goto(f"{web}/company")
    assert is_no_wider_than_the_window(page)
    slow = page.context.new_cdp_session(page)
    slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000},
    )
    big = tmp_path / "water-2026-11.txt"
    big.write_bytes(TORN + b"x" * 4_000_000)

    page.set_input_files("#file", big)
    page.click("form[data-upload] .button")

    page.wait_for_function(
        "() => { const bar = document.querySelector('[data-progress] progress');"
        " return bar && bar.value > 0 && bar.value < 100 }"
    )  # fmt: skip
    page.wait_for_url(f"{web}/company/bill-files/*")
    assert "Waiting for the import to start." in page.inner_text("main")
    bills.import_file(last_file())
    page.wait_for_selector("text=Refused whole", timeout=10_000)  # by itself, nobody reloads
    assert is_no_wider_than_the_window(page)
    assert complaints == []


def test_a_file_is_dropped_on_the_form(chromium, web):
    page = operator(chromium, web).new_page()
    page.goto(f"{web}/company")
    dropped = page.evaluate_handle(
        "() => { const data = new DataTransfer();"
        " data.items.add(new File(['H|WATER|1'], 'dropped.txt')); return data; }"
    )

    page.dispatch_event("form[data-drop]", "drop", {"dataTransfer": dropped})
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    page.wait_for_url(f"{web}/company/bill-files/*")
    assert "dropped.txt" in page.inner_text("h1")


def test_everything_is_done_without_javascript_and_by_keyboard(chromium, web, tmp_path):
    page = operator(chromium, web, java_script_enabled=False).new_page()
    file = tmp_path / "water-2026-11.txt"
    file.write_bytes(TORN)
    page.goto(f"{web}/company")

    page.set_input_files("#file", file)
    page.focus("form[data-upload] .button")
    page.keyboard.press("Enter")

    page.wait_for_url(f"{web}/company/bill-files/*")
    bills.import_file(last_file())
    page.reload()
    page.focus("text=Read it once more")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Waiting for the import to start.")
