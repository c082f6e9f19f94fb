"""Staff hand in our bank's statements; what is told back never names an account whole."""

import pytest

from core.clock import utc_now
from identity.models import Role
from tests.factories import a_person
from tests.payments.reconciliation.banking import takes
from tests.payments.statements.samples import ACCOUNT, sample
from tests.web.conftest import a_browser, signed_in, with_key

pytestmark = pytest.mark.usefixtures("city")
PATH = "/api/v1/bank-statements"


class TestBankStatements:
    def test_a_file_is_taken_matched_and_listed(self, app):
        takes("alpha", 0, 10_000)
        staff = signed_in(app, a_person(Role.STAFF))

        sent = staff.post(PATH, content=sample("camt053.xml"), headers={"X-File-Name": "a.xml"})

        assert sent.status_code == 201, sent.text
        (taken,) = sent.json()["statements"]
        assert (taken["is_new"], taken["entries"]) == (True, taken["new_entries"])
        again = staff.post(PATH, content=sample("camt053.xml"))
        assert again.json()["statements"][0]["is_new"] is False
        assert again.json()["matches_made"] == 0
        (shown,) = staff.get(PATH).json()
        assert (shown["file_name"], shown["gap_fen"]) == ("a.xml", None)
        assert shown["taken_at"] <= utc_now().isoformat()
        assert ACCOUNT not in sent.text + staff.get(PATH).text

    def test_a_csv_needs_a_profile_that_is_there(self, app):
        staff = signed_in(app, a_person(Role.STAFF))
        content = sample("two_columns.csv")

        assert staff.post(PATH, content=content).status_code == 422
        assert staff.post(f"{PATH}?profile=nobodys", content=content).status_code == 404
        assert staff.post(f"{PATH}?profile=..%2Fx", content=content).status_code == 422
        assert staff.post(f"{PATH}?profile=two_columns", content=content).status_code == 201

    def test_a_wrong_file_is_refused_with_its_place(self, app):
        staff = signed_in(app, a_person(Role.STAFF))

        answer = staff.post(PATH, content=b":20:x")

        assert (answer.status_code, answer.json()["code"]) == (422, "bank_statement.refused")
        assert staff.get(PATH).json() == []

    def test_nobody_but_staff(self, app):
        answers = [
            one.post(PATH, content=sample("camt053.xml")).status_code
            for one in (a_browser(app), signed_in(app, a_person()), with_key(app, "water"))
        ]

        assert answers == [401, 403, 401]
