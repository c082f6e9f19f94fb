"""N-12 and N-18: a notice as a mail that arrives is well-formed, safe, and readable by everybody.

Pictures on request (CITYBILL_TEST_SHOTS).
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from lxml import html
from playwright.sync_api import Browser, Page

from core.db import transaction
from notifications.catalogue import EVENTS
from notifications.channels.base import Message
from notifications.channels.email import from_settings
from notifications.wording.rendering import Asked, Facts, render_all
from notifications.wording.samples import sample
from tests.notifications.conftest import MailServer
from tests.web.test_company_in_a_browser import DESK, PHONE, chromium

__all__ = ["chromium"]
pytestmark = pytest.mark.usefixtures("city")
SHOTS = os.environ.get("CITYBILL_TEST_SHOTS")
LOCALES = ("zh_CN", "en")
HOSTILE = "王\r\nBcc: thief@example.com\r\n\r\n<script>alert(1)</script>{{7*7}}{% import os %}\"'>"


@pytest.fixture
def arrived(chosen, mail_server: MailServer):
    """Send letters as they are written from facts, by event; return them as they arrive."""

    def arrive(
        facts: dict[str, Facts], locale: str, edition: str = "plain"
    ) -> Iterator[tuple[str, EmailMessage]]:
        asked = [Asked(event, "email", locale, edition, of) for event, of in facts.items()]
        with transaction() as session:
            rendered = render_all(session, asked)
        carrier = from_settings(chosen)
        for event, one in zip(facts, rendered, strict=True):
            carrier.send(
                Message(
                    message_id="notice-7", address="wang@example.com", title=one.words.title,
                    body=one.words.body, body_html=one.words.body_html, locale=locale,
                )
            )  # fmt: skip
            yield event, mail_server.taken[-1][1]

    return arrive


def samples(locale: str, events: Iterable[str] = EVENTS) -> dict[str, Facts]:
    return {event: sample(event, locale) for event in events}


def page_of(mail: EmailMessage) -> str:
    return str(mail.get_body(("html",)).get_content())


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_letter_can_be_read_by_everybody(arrived, chromium: Browser, locale):
    page, fetched, wrong = chromium.new_page(), [], {}
    page.on("request", lambda request: fetched.append(request.url))

    for event, mail in arrived(samples(locale), locale):
        page.set_content(page_of(mail))
        wrong[event] = violations(page)
        wrong[event] += [] if page.title() == page.inner_text("h1") else ["another title"]
        lang = page.get_attribute("html", "lang")
        wrong[event] += [] if lang == mail["Content-Language"] else [f"lang {lang}"]

    page.close()
    assert {event: found for event, found in wrong.items() if found} == {}
    assert fetched == []  # no image, no font: nobody learns that it was opened


@pytest.mark.parametrize("width", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("edition", ["plain", "elder"])
def test_it_is_readable_in_every_look(arrived, chromium, edition, scheme, width):
    page = chromium.new_page(viewport=width, color_scheme=scheme)

    for event, mail in arrived(
        samples("zh_CN", ["payment.receipt", "bill.ready"]), "zh_CN", edition
    ):
        page.set_content(page_of(mail))
        if SHOTS:
            name = f"mail-{event}-{edition}-{scheme}-{width['width']}.png"
            page.screenshot(path=str(Path(SHOTS) / name), full_page=True)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.close()


@pytest.mark.parametrize("locale", LOCALES)
def test_its_text_says_what_its_page_says(arrived, locale):
    for _, mail in arrived(samples(locale), locale):
        shown = html.fromstring(page_of(mail)).find("body").text_content()
        text = mail.get_body(("plain",)).get_content()
        said = [words for line in text.splitlines() for words in line.strip().split("  ")]

        assert [words for words in said if words not in shown] == []


def test_whatever_a_place_is_filled_with_stays_words(arrived):
    """N-12: no header slipped in, no element, nothing worked out."""
    facts = {
        event: replace(
            usual, values=dict.fromkeys(usual.values, HOSTILE), lines=[(HOSTILE, HOSTILE)]
        )
        for event, usual in samples("zh_CN").items()
    }

    for _, mail in arrived(facts, "zh_CN"):
        shown = html.fromstring(page_of(mail))
        assert len(mail.keys()) == len(set(mail.keys())) == 9
        assert not {"Bcc", "X-Evil"} & set(mail.keys())
        assert shown.xpath("//script | //@onerror | //@onclick") == []
        assert "49" not in mail["Subject"] + shown.find("body").text_content()
