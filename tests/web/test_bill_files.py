"""A bill file as its company and our staff see it."""

import pytest

from identity.models import Role
from tests.factories import a_home, a_payment, a_person
from tests.web.conftest import signed_in, with_key

pytestmark = pytest.mark.usefixtures("city")


def test_a_correction_that_waits_is_counted_and_shown(app):  # rule 13
    home = a_home(8_650)
    a_payment(home)
    done = home.correct(0, version=2, amount_fen=8_000)

    told = with_key(app, "water").get(f"/api/v1/bill-files/{done.bill_file_id}").json()
    staff = signed_in(app, a_person(Role.STAFF))
    shown = staff.get(f"/console/bill-files/{done.bill_file_id}")
    listed = staff.get("/console/bill-files")

    assert (told["rows"], told["waiting"], told["reminded"], told["rejected"]) == (1, 1, 0, 0)
    assert told["sequence_no"] is None
    assert (shown.status_code, listed.status_code) == (200, 200)
    assert "缴费途中收到的更正" in shown.text
    assert "等待缴费结果" in shown.text
    assert "B1" in shown.text
