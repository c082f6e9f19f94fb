"""Reading a page's form as a browser does, and bills that are due whatever day it is."""

from datetime import timedelta
from typing import Any

from lxml import html

from core.clock import add_months, billing_date, month_start, utc_now
from tests.factories import Home, a_home


def fields_of(page: str) -> dict[str, list[str]]:
    """Return what the form of the review would send, were it confirmed as it stands."""
    found: dict[str, list[str]] = {}
    for one in html.fromstring(page).xpath("//form[contains(@class, 'pay-form')]//input"):
        if one.get("type") in {"radio", "checkbox"} and one.get("checked") is None:
            continue
        found.setdefault(one.get("name"), []).append(one.get("value", ""))
    return found


def text_of(page: str) -> str:
    """Return what somebody reads of a page, on one line."""
    (main,) = html.fromstring(page).xpath("//main")
    return " ".join(main.text_content().split())


def a_due_home(*amounts_fen: int, **changes: Any) -> Home:
    """A household whose bills were issued three days ago and are due in twenty."""
    now = utc_now()
    today = billing_date(now)
    dates = {
        "billing_month": add_months(month_start(today), -1),
        "issued_on": today - timedelta(days=3),
        "due_on": today + timedelta(days=20),
    }
    return a_home(*amounts_fen, now=now, **dates | changes)
