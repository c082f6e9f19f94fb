"""``citybill doctor`` tells how many notices are due, and how long the oldest has been."""

from datetime import timedelta

import pytest

from cli.doctor import Health, notices
from core.clock import utc_now
from notifications.models import Lane
from tests.notifications.far import a_notice, a_person

pytestmark = pytest.mark.usefixtures("city")


def test_nothing_due_is_well():
    assert notices() == (
        Health.WELL, "notices", "now: 0 due, the oldest for 0 s; bulk: 0 due, the oldest for 0 s"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lane", "minutes", "health"),
    [(Lane.NOW, 2, Health.WRONG), (Lane.BULK, 2, Health.WELL), (Lane.BULK, 70, Health.WRONG)],
)
def test_what_somebody_waits_for_must_not_wait_and_a_city_s_bills_may(lane, minutes, health):
    at = utc_now() - timedelta(minutes=minutes)
    a_notice(a_person(at), at, lane=lane)

    found, _, told = notices()

    assert found is health
    assert f"{lane}: 1 due, the oldest for " in told
