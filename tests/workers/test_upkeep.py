"""What upkeep forgets, and by which clock."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
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
