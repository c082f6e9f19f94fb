"""Companies' lists on the console: by day, handed in, asked for, rejected rows, differences."""

import io
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import transaction
from identity.models import Role
from payments.reconciliation.company import arrivals as company_arrivals
from tests.factories import a_person
from tests.payments.reconciliation.company_days import row_of, written_off
from tests.payments.reconciliation.test_company_arrivals import Listing
from tests.providers.confirmation_writers import DAY, Told, water
from tests.web.conftest import Browser, signed_in, with_key
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
ENGLISH = {"Accept-Language": "en"}
LISTS = "/console/company-lists"
LIST = f"{LISTS}/water/{DAY}"


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def hand_in(browser: Browser, content: bytes, **data: str):
    return browser.send_form(
        LISTS, {"source": "water", "day": str(DAY)} | data,
        files={"file": ("w.csv", io.BytesIO(content))}, headers=ENGLISH,
    )  # fmt: skip


class TestByHand:
    def test_a_list_is_handed_in_and_its_day_shows_what_it_says(self, staff):
        item = written_off(8_650)

        done = hand_in(staff, water([row_of(item)]))

        assert (done.status_code, done.headers["location"]) == (303, LIST)
        page = main_of(staff, LIST)
        assert "Balanced" in page
        assert "Ours 1 ¥86.50 Theirs 1 ¥86.50" in page
        assert "Written off 1 ¥86.50" in page
        assert "Nothing left unexplained" in page

    def test_what_differs_leads_to_its_own_page(self, staff):
        item = written_off(8_650)
        hand_in(staff, water([row_of(item, fen=8_649)]))

        page = staff.get(LIST, headers=ENGLISH)

        assert "Amounts differ" in told(page.text)
        assert item.write_off_no in page.text
        assert "/console/breaks/1" in page.text
        assert staff.get("/console/breaks/1").status_code == 200

    def test_a_corrected_list_replaces_the_first_and_both_are_told_of(self, staff):
        item = written_off(8_650)
        hand_in(staff, water([row_of(item, fen=8_649)]))
        hand_in(staff, water([row_of(item)]))

        page = main_of(staff, LIST)

        assert "Balanced" in page
        assert "It replaced:" in page
        assert "¥86.49" in page

    def test_a_refused_one_says_where_and_nothing_changes(self, staff):
        answer = hand_in(staff, water([row_of(written_off())], count=1))

        assert answer.status_code == 422
        assert "Line 3: the file says it holds 2 rows but 1 were read" in told(answer.text)
        assert staff.get(LIST).status_code == 404

    def test_of_nobody_it_is_not_taken(self, staff):
        for source in ("", "nobody"):
            answer = hand_in(staff, water([]), source=source)
            assert (answer.status_code, "Choose whose list" in told(answer.text)) == (422, True)

    def test_rejected_rows_are_taken_out_with_their_reason(self, staff):
        wrong = Told(number="W2611000000000077-01", seconds=9 * 86_400)
        hand_in(staff, water([row_of(written_off()), wrong]))

        assert "1 row rejected" in main_of(staff, LIST)
        taken = staff.get(f"{LIST}/rejects.csv", headers=ENGLISH)
        assert "W2611000000000077-01" in taken.text
        assert staff.get(f"{LIST}/rejects.xlsx").status_code == 200


class TestByThemselves:
    def expected(self, days: int) -> str:
        """Have the list of so many days ago expected; returns its page."""
        ago = utc_now() - timedelta(days=days)
        written_off(at=ago)
        with transaction() as session:
            company_arrivals.expect(session, {"water": Listing()}, now=utc_now())
        return f"{LISTS}/water/{billing_date(ago)}"

    def test_one_that_is_late_is_found_and_asked_for_at_once(self, staff):
        path = self.expected(days=3)
        page = staff.get(f"{LISTS}?state=late", headers=ENGLISH).text
        assert path in page
        assert "Not here yet" in main_of(staff, path)

        done = staff.send_form(f"{path}/fetch")

        assert done.status_code == 303
        assert "It is being asked for." in main_of(staff, done.headers["location"])
        with transaction() as session:
            asked = session.execute(
                text("SELECT count(*) FROM outbox_event WHERE topic = 'confirmation_file.expected'"
                     " AND relayed_at IS NULL")
            ).scalar_one()  # fmt: skip
        assert asked >= 1

    def test_what_is_here_is_not_asked_for(self, staff):
        hand_in(staff, water([row_of(written_off())]))

        answer = staff.send_form(f"{LIST}/fetch", headers=ENGLISH)

        assert (answer.status_code, "It is here already." in told(answer.text)) == (409, True)

    def test_a_form_of_another_site_does_nothing(self, staff):
        path = self.expected(days=3)
        staff.csrf = "forged"

        assert staff.send_form(f"{path}/fetch").status_code == 403
        assert hand_in(staff, water([])).status_code == 403


class TestLists:
    def test_before_the_first_write_off_nothing_is_expected(self, staff):
        assert "No list yet" in main_of(staff, LISTS)

    def test_days_are_filtered_and_taken_out(self, staff):
        hand_in(staff, water([row_of(written_off(), fen=1)]))

        assert LIST in staff.get(f"{LISTS}?state=breaks").text
        assert "Nothing like this" in main_of(staff, f"{LISTS}?state=balanced")
        assert "Nothing like this" in main_of(staff, f"{LISTS}?source=gas")
        assert staff.get(f"{LISTS}?state=nonsense").status_code == 422
        assert staff.get(f"{LISTS}?after=nonsense").status_code == 422
        assert "86.50" in staff.get(f"{LISTS}.csv", headers=ENGLISH).text
        assert staff.get(f"{LISTS}.xlsx").status_code == 200

    def test_what_is_no_day_of_a_company_with_lists_is_unknown(self, staff):
        for path in (f"{LISTS}/nobody/{DAY}", LIST):
            assert staff.get(path).status_code == 404

    def test_nobody_but_finance_sees_any_of_it(self, app, staff):
        hand_in(staff, water([row_of(written_off())]))
        for browser, status in (
            (signed_in(app, a_person()), 403),
            (signed_in(app, a_person(Role.STAFF, duties=())), 403),
            (with_key(app, "water"), 303),
        ):
            for path in (LISTS, LIST, f"{LIST}/rejects.csv"):
                assert browser.get(path).status_code == status
