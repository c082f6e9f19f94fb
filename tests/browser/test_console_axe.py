"""Every page of the console and of a company's people can be used by everybody.

A walk from each list into the first of everything it leads to, by links alone; then each page is
loaded once, in English, whose words are the longest: seen on a desk in light, then on a phone in
dark. A new page is found by the link that leads to it: the only thing to add is what it shows, in
``desk``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fastapi import FastAPI
from lxml import html
from playwright.sync_api import Page as Tab

from tests.browser import desk
from tests.browser.test_every_page import DRAWN, NARROW, WIDE, axe, misfits, walked, window
from tests.web.conftest import a_browser
from tests.web.test_access import ROUTES
from tests.web.test_checkout_in_a_browser import fits, shot
from tests.web.test_company_in_a_browser import PHONE, serving

ROOMS = ("/console", "/company")
PAPERS = re.compile(r"\.\{|\.(csv|pdf|zip|xml)$|/(file|download|letter)$")
SHAPES = sorted(
    (path for method, path, _ in ROUTES if method == "GET" and path.startswith(ROOMS)),
    key=lambda path: (path.count("{"), path),
)
# No link leads here: after a form, with a folder for papers, a file at the bank or handed in.
NO_LINK = {
    "/console/profiles/check", "/console/profiles/proposal",
    "/console/residents/{person_id}/home", "/console/residents/{person_id}/bills/{ref}",
    "/console/remittances/files/{file_id}", "/console/books/{book_file_id}",
    "/console/documents/{batch_id}", "/company/documents/{batch_id}",
}  # fmt: skip
TABLET = {"width": 768, "height": 1024}
HEAD = ".top .wrap > :visible, .top .nav li > :visible"
PARTS = 4  # each within the time a test may take on a machine that does other things


class Desk(NamedTuple):
    """Where it is served, whose cookies open which room, and the pages found by their shapes."""

    url: str
    tokens: Mapping[str, str]
    pages: Mapping[str, str]


@pytest.fixture(scope="module")
def at_the_desk(app: FastAPI, kept_city: None) -> Iterator[Desk]:
    tokens, searched = desk.build()
    with serving(app) as url:
        yield Desk(url, tokens, pages_of(app, tokens, [*ROOMS, *searched]))


def shape_of(path: str) -> str | None:
    """The route a path is of, if it is a page; what has fewer places in it comes first."""
    any_ = r"\\{\w+\\}"
    found = (one for one in SHAPES if re.fullmatch(re.sub(any_, "[^/]+", re.escape(one)), path))
    shape = next(found, None)
    return None if shape is None or PAPERS.search(shape) else shape


def pages_of(app: FastAPI, tokens: Mapping[str, str], ahead: list[str]) -> dict[str, str]:
    """Follow links; return by shape the first page found of each."""
    found: dict[str, str] = {}
    browser = a_browser(app)
    while ahead:
        path = ahead.pop(0)
        shape = shape_of(urlsplit(path).path)
        if shape is None or shape in found:
            continue
        found[shape] = path
        cookie = {"cookie": f"citybill_session={tokens[room_of(path)]}"}
        answer = browser.get(path, headers=cookie)
        assert answer.status_code == 200, path
        ahead += [str(one) for one in html.fromstring(answer.content).xpath("//a/@href")]
    return found


def room_of(path: str) -> str:
    return next(one for one in ROOMS if path.startswith(one))


def come_to(tab: Tab, here: Desk, path: str) -> None:
    token = here.tokens[room_of(path)]
    tab.context.add_cookies([{"name": "citybill_session", "value": token, "url": here.url}])
    tab.goto(here.url + path)


def test_every_page_is_found(at_the_desk):
    pages = {one for one in SHAPES if not PAPERS.search(one)} - NO_LINK

    assert sorted(pages - set(at_the_desk.pages)) == []


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_can_be_used_by_everybody(chromium, at_the_desk, part):
    wrong: list[str] = []
    with window(chromium, viewport=WIDE, locale="en-GB") as context:
        context.add_init_script(AXE_SCRIPT)
        tab = context.new_page()
        for shape, path in [*at_the_desk.pages.items()][part::PARTS]:
            come_to(tab, at_the_desk, path)
            name = "console-" + re.sub(r"[^a-z]+", "-", shape)
            wrong += [f"{path}, {one}" for one in on_a_desk(tab, name) + on_a_phone(tab, name)]

    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_the_head_of_a_page_is_one_line_on_a_tablet(chromium, at_the_desk, language, room):
    with window(chromium, viewport=TABLET, locale=language) as context:
        tab = context.new_page()
        come_to(tab, at_the_desk, room)
        boxes = [one.bounding_box() for one in tab.locator(HEAD).all()]

    middles = [box["y"] + box["height"] / 2 for box in boxes]
    assert max(middles) - min(middles) < 10


def on_a_desk(tab: Tab, name: str) -> list[str]:
    """What is wrong in light on a desk, by eye, by what reads it aloud and by keyboard."""
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size(WIDE)
    shot(tab, f"{name}-desk")
    found = axe(tab) + misfits(tab)
    if not tab.locator("iframe").count():  # a frame takes keys for itself
        found += walked(tab)
    return [f"desk: {one}" for one in found]


def on_a_phone(tab: Tab, name: str) -> list[str]:
    """What is wrong in dark on a phone, where the same page is only drawn anew."""
    tab.emulate_media(color_scheme="dark")
    tab.set_viewport_size(PHONE)
    shot(tab, f"{name}-phone")
    found = axe(tab, DRAWN)
    tab.set_viewport_size(NARROW)
    found += [] if fits(tab) else ["wider than 320 px"]
    return [f"phone: {one}" for one in found]
