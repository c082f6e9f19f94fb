"""What was matched without our number: told with how, taken out as a file, undone with a reason."""

import io
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from identity.models import Role
from payments.reconciliation.gateway.matching import reconcile
from tests.factories import a_person
from tests.payments.reconciliation.test_matching import GATEWAY, a_file, row_of
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_breaks import ENGLISH, paid_yesterday
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
PATH = "/console/breaks/matches"


@pytest.fixture
def browser(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def a_match() -> int:
    now, payment = utc_now(), paid_yesterday()
    day = billing_date(now) - timedelta(days=1)
    happened_at = payment.paid_at.isoformat().replace("+00:00", "Z")
    rows = [row_of(payment, order_no="", gateway_ref="s1", happened_at=happened_at)]
    with transaction() as session:
        reconcile(session, GATEWAY, io.BytesIO(a_file(rows, day=day)), day=day, file_name="s.csv",
                  now=now)  # fmt: skip
        return session.execute(text("SELECT id FROM gateway_match")).scalar_one()


def test_where_nothing_was_found_so_it_says_so(browser):
    assert "Nothing was found so" in main_of(browser, PATH)


def test_each_says_how_and_is_taken_out_as_a_file(browser):
    a_match()

    assert "Sum and time" in main_of(browser, PATH)
    taken = browser.get(f"{PATH}.csv", headers=ENGLISH).text
    assert "Sum and time,86.50" in taken
    assert browser.get(f"{PATH}.xlsx").content.startswith(b"PK")


def test_undone_with_a_reason_both_sides_are_differences_again(browser):
    match = a_match()

    silent = browser.send_form(f"{PATH}/{match}/undo", {"reason": " "}, headers=ENGLISH)
    assert "Say why" in told(silent.text)
    assert browser.send_form(f"{PATH}/{match}/undo", {"reason": "另一人"}).status_code == 303

    assert "Nothing was found so" in main_of(browser, PATH)
    said = main_of(browser, "/console/breaks")
    assert "Theirs, not ours" in said
    assert "Ours, not theirs" in said
    again = browser.send_form(f"{PATH}/{match}/undo", {"reason": "另一人"}, headers=ENGLISH)
    assert "undone already" in told(again.text)
