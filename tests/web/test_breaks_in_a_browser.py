"""Differences by keyboard, in a real browser: from the list to a reason without the mouse."""

import pytest

from core.clock import utc_now
from core.db import transaction
from identity import sign_in
from identity.models import Role
from identity.people import get_person
from payments.reconciliation.models import BreakState
from tests.factories import a_person
from tests.payments.reconciliation.repairing import acts_of, the_break
from tests.web.test_company_in_a_browser import (
    DESK,
    PHONE,
    chromium,
    is_no_wider_than_the_window,
    web,
)
from tests.web.test_console_breaks import breaks, limits

__all__ = ["chromium", "limits", "web"]  # fixtures
pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def page(chromium, web):
    context = chromium.new_context(locale="en-GB", viewport=DESK)
    with transaction() as session:
        person = get_person(session, a_person(Role.STAFF))
        token, _ = sign_in.start_session(session, person, now=utc_now())
    context.add_cookies([{"name": "citybill_session", "value": token, "url": web}])
    opened = context.new_page()
    opened.complaints = []
    opened.on(
        "console",
        lambda told: opened.complaints.append(told.text) if told.type == "error" else None,
    )
    yield opened
    assert opened.complaints == []
    context.close()


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_down_the_list_ticked_and_accepted_with_a_reason(page, web):
    found = breaks("86.48", "86.47", "86.46")
    page.goto(f"{web}/console/breaks")
    listed = page.eval_on_selector_all("[data-row] a", "rows => rows.map(one => one.pathname)")

    press(page, "j", "j", "k", "x", "j", "j", "a")
    page.keyboard.type("jkax/? is typed here")
    press(page, "Enter")

    page.wait_for_selector("text=2 differences accepted.")
    left = int(listed[1].rpartition("/")[2])
    assert [one for one in found if the_break(one).state is BreakState.OPEN] == [left]
    done = next(one for one in found if one != left)
    assert acts_of(done)[0].reason == "jkax/? is typed here"


def test_opened_accepted_there_and_the_keys_are_shown(page, web):
    (found,) = breaks("86.48")
    page.goto(f"{web}/console/breaks")

    press(page, "?")
    assert page.is_visible("text=accept: tick it and say why")
    press(page, "/")
    assert page.evaluate("document.activeElement.id") == "leg"
    press(page, "Escape", "Enter")
    page.wait_for_url(f"{web}/console/breaks/{found}")
    press(page, "a")
    page.keyboard.type("known")
    press(page, "Enter")

    page.wait_for_selector("text=It is open again then")
    assert the_break(found).state is BreakState.RESOLVED


@pytest.mark.parametrize("viewport", [PHONE, {"width": 320, "height": 700}, DESK])
def test_nothing_is_wider_than_the_window(page, web, viewport):
    breaks("86.48", "86.47", "")
    page.set_viewport_size(viewport)

    for path in ("", "/1"):
        page.goto(f"{web}/console/breaks{path}")
        assert is_no_wider_than_the_window(page)
        for table in page.query_selector_all("table"):
            fits = "table => table.scrollWidth <= table.closest('.card').clientWidth + 1"
            assert table.evaluate(fits)
