"""What the doctor says of autopay."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from cli import doctor
from core.clock import billing_date, utc_now
from core.db import transaction
from tests.factories import a_home
from tests.payments.autopay.autopaying import FarDebits, a_mandate, plan

pytestmark = pytest.mark.usefixtures("city")


@pytest.mark.parametrize(("days", "health"), [(0, doctor.Health.WELL), (1, doctor.Health.WRONG)])
def test_a_debit_of_an_earlier_day_is_behind(days, health):
    a_mandate(a_home())
    today = billing_date(utc_now())
    plan(FarDebits(), today)
    with transaction() as session:
        session.execute(
            text(
                "UPDATE autopay_run SET state = 'announced', amount_fen = 1, announced_at = now(),"
                " debit_on = :day"
            ),
            {"day": today - timedelta(days=days)},
        )

    found, part, told = doctor.autopay()

    assert (found, part) == (health, "autopay")
    assert f"{days} of earlier days" in told


def test_nothing_to_debit_is_well():
    assert doctor.autopay()[0] is doctor.Health.WELL
