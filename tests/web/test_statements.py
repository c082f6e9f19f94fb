"""A household's months are its own people's to download."""

from datetime import UTC, date, datetime

import pytest
from fastapi import FastAPI

from core.clock import billing_date, utc_now
from tests.factories import Home, a_home, a_person
from tests.web.conftest import signed_in

pytestmark = pytest.mark.usefixtures("city")
PAPER = "/household/statement/2026-09.pdf"


@pytest.fixture
def home() -> Home:
    """A home that was billed in September 2026."""
    return a_home(billing_month=date(2026, 7, 1), now=datetime(2026, 9, 10, tzinfo=UTC))


def test_its_people_find_and_download_a_month(app: FastAPI, home: Home):
    owner = signed_in(app, home.owner_id)

    paper = owner.get(PAPER)

    assert PAPER in owner.get("/household/statement").text
    assert paper.headers["content-type"] == "application/pdf"
    assert paper.content.startswith(b"%PDF")


def test_nobody_else_does(app: FastAPI, home: Home):
    other = signed_in(app, a_person())

    assert other.get(PAPER).status_code == 404
    assert "还没有对账单" in other.get("/household/statement").text


def test_the_running_month_has_none_yet(app: FastAPI, home: Home):
    month = billing_date(utc_now())

    answer = signed_in(app, home.owner_id).get(f"/household/statement/{month:%Y-%m}.pdf")

    assert answer.status_code == 404


@pytest.mark.parametrize("month", ["2026-13", "1999-01", "2026-9", "x"])
def test_what_is_no_month_is_not_found(app: FastAPI, home: Home, month: str):
    answer = signed_in(app, home.owner_id).get(f"/household/statement/{month}.pdf")

    assert answer.status_code in {404, 422}
