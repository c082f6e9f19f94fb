"""The browser of the tests: Chromium's shell without windows where there is one.

The same engine for a quarter of the work. In the whole browser every context, and a test has one of
its own at least, begins with a profile, with extensions and the like, and with spare processes.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserType, sync_playwright

_WHOLE = shutil.which("chromium") or shutil.which("google-chrome")
_SHELL = shutil.which("chromium-headless-shell") or _WHOLE


@contextmanager
def opened() -> Iterator[Browser]:
    """Open a browser, and close it with whatever is open in it."""
    if _SHELL is None:
        pytest.skip("needs a browser: install Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = _launch(playwright.chromium, _SHELL)
        yield browser
        browser.close()


@contextmanager
def opened_whole(beside: Browser) -> Iterator[Browser]:
    """Open the whole browser: its shell shows no notices and installs nothing."""
    if _WHOLE is None:
        pytest.skip("needs the whole browser: install Chromium (apt-get install chromium)")
    browser = _launch(beside.browser_type, _WHOLE)
    yield browser
    browser.close()


def _launch(kind: BrowserType, program: str) -> Browser:
    return kind.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
