"""``citybill terms check``, what the doctor says of calendars, and the terms of the demo."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from billing import terms
from billing.rules import workdays
from cli import demo, doctor
from core.clock import billing_date
from core.db import transaction
from tests.cli.test_commands import complaint
from tests.factories import NOW

DEMO_TERMS = Path(__file__).parents[2] / "cli" / "demo_terms"


class TestCheck:
    @pytest.mark.parametrize("name", ["water", "power", "gas", "telecom"])
    def test_terms_that_can_be_proposed(self, citybill, name):
        done = citybill("terms", "check", DEMO_TERMS / f"{name}.toml")

        assert (done.returncode, done.stderr) == (0, "")
        assert "late_fee" in done.stdout
        assert "can be proposed" in done.stdout

    def test_an_empty_page_is_the_plainest(self, citybill, tmp_path):
        (tmp_path / "empty.toml").touch()

        done = citybill("terms", "check", tmp_path / "empty.toml")

        assert done.returncode == 0
        assert "the plainest" in done.stdout

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"[late_fee]\nonec_fen = 5", "late_fee.onec_fen: there is no such key"),
            (b"[amount]\nmode = 'range'", "minimum_fen and maximum_fen"),
            (b"[amount", "not TOML"),
            (b"\xff", "not UTF-8"),
        ],
    )
    def test_terms_that_cannot_are_told_by_table_and_key(self, citybill, tmp_path, content, words):
        (tmp_path / "wrong.toml").write_bytes(content)

        done = citybill("terms", "check", tmp_path / "wrong.toml")

        assert done.returncode == 1
        assert words in complaint(done)

    def test_a_file_that_is_not_there_is_misuse(self, citybill):
        assert citybill("terms", "check", "nowhere.toml").returncode == 2


@pytest.mark.usefixtures("city")
class TestDoctor:
    @pytest.mark.parametrize(
        ("days_ahead", "health"),
        [(61, doctor.Health.WELL), (60, doctor.Health.SOON), (0, doctor.Health.WRONG)],
    )
    def test_holidays_that_end_soon_are_told_in_time(self, days_ahead, health):
        """Rule 19: a due date of next January is rolled by a list that may not be out yet."""
        last = workdays.known_through("CN")

        [(found, part, told)] = doctor.calendars(last - timedelta(days=days_ahead))

        assert (found, part) == (health, "calendar CN")
        assert str(last) in told
        assert ("upgrade" in told) is (health is not doctor.Health.WELL)


@pytest.mark.usefixtures("city")
class TestTheDemo:
    def test_its_companies_have_terms_from_before_their_first_bill_and_two_people_stand_for_them(
        self,
    ):
        demo.add_people(now=NOW)
        demo.add_people(now=NOW + timedelta(days=1))

        with transaction() as session:
            rows = terms.list_terms(session)
            both = terms.terms_of(session, ["water", "gas"], date(2024, 11, 20))
        assert [row.provider_code for row in rows] == ["gas", "power", "telecom", "water"]
        assert {row.effective_on for row in rows} == {date(2023, 11, 1)}
        assert all(row.approved_by not in {None, row.proposed_by} for row in rows)
        assert both["water"].late_fee.interest_ppm_per_day == 500
        assert both["gas"].cut_off.working_days
        assert billing_date(NOW) > date(2024, 11, 20)
