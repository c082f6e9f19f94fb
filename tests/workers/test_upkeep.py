"""What upkeep forgets, and by which clock."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from billing.homes.models import HouseMove
from core.clock import billing_date, utc_now
from core.db import transaction
from tests.factories import a_home
from tests.weeks.simclock import simulated
from tests.workers.conftest import a_job, change
from workers.tasks.upkeep import forget

pytestmark = pytest.mark.usefixtures("city")


@pytest.mark.parametrize(
    "start", [datetime(2031, 5, 1, tzinfo=UTC), datetime(2021, 5, 1, tzinfo=UTC)]
)
def test_what_is_old_is_told_by_the_clock_that_jobs_read(start):
    ages = {a_job(subject_id=str(days)): days for days in (6, 8)}
    for job_id, days in ages.items():
        finished_at = start - timedelta(days=days)
        change(job_id, f"state = 'done', finished_at = '{finished_at.isoformat()}'")

    with simulated(start):
        forget("2026-11-21")

    with transaction() as session:
        assert session.execute(text("SELECT subject_id FROM job")).scalars().all() == ["6"]


def test_where_who_moved_was_to_be_reached_goes_a_month_after_the_move():
    home, now = a_home(8_650), utc_now()
    with transaction() as session:
        for days in (29, 31):
            session.add(
                HouseMove(
                    household_id=home.household_id, made_by=home.owner_id, made_at=now,
                    leaves_on=billing_date(now), new_address="南京路8号", phone="139 0000 0000",
                    done_at=now - timedelta(days=days),
                )
            )  # fmt: skip

    forget("2026-11-21")

    with transaction() as session:
        kept = session.execute(text("SELECT new_address, phone FROM house_move ORDER BY id")).all()
    assert [tuple(row) for row in kept] == [("南京路8号", "139 0000 0000"), ("-", "")]
