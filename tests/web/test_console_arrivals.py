"""Which files are here, expected or late, as staff see it."""

from datetime import timedelta

import pytest

from core.clock import utc_now
from core.db import transaction
from identity.models import Role
from payments.gateways.base import GatewayStatus
from payments.reconciliation.gateway import arrivals
from tests.factories import a_home, a_payment, a_person, book
from tests.payments.reconciliation.test_arrivals import Filing
from tests.web.conftest import Browser, signed_in
from tests.web.forms import text_of

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def staff(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def expected_since(days: int) -> None:
    past = utc_now() - timedelta(days=days)
    book(a_payment(a_home(1_000, now=past), now=past), GatewayStatus.PAID, paid_at=past)
    with transaction() as session:
        arrivals.expect(session, {"sandbox": Filing()}, now=utc_now())


def test_before_the_first_payment_nothing_is_expected(staff):
    assert "暂无应到文件" in text_of(staff.get("/console/arrivals").text)


def test_a_file_that_did_not_come_is_late_and_can_be_looked_for_alone(staff):
    expected_since(days=3)

    page, late = staff.get("/console/arrivals"), staff.get("/console/arrivals?status=late")

    assert "逾期未到" in text_of(page.text)
    assert "status=late" in page.text
    assert "沙箱支付" in text_of(late.text)


def test_it_is_reached_from_reconciliation(staff):
    assert "/console/arrivals" in staff.get("/console/reconciliations").text


def test_residents_do_not_see_it(app):
    assert signed_in(app, a_person()).get("/console/arrivals").status_code == 403
