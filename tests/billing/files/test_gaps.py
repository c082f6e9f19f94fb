"""A file that never came is missed by its number (rule 40: a number stands for one file)."""

from datetime import datetime, timedelta

import pytest

from billing.files.gaps import find_gaps
from core.db import transaction
from tests.billing.files.numbered import bring
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("city")


def missing(company: str = "water", now: datetime = NOW) -> list[str]:
    with transaction() as session:
        return [str(one) for one in find_gaps(session, [company], now=now)]


def test_a_number_that_was_left_out_is_missed_until_its_file_comes():
    bring(3, 5)
    assert missing() == ["4"]

    bring(4)
    assert missing() == []


def test_every_company_counts_for_itself():
    bring(1, 2, company="water")
    bring(8, 12, company="gas")

    assert missing("water") == []
    assert missing("gas") == ["9–11"]


def test_a_refused_file_is_still_missing():
    bring(1, 3)
    bring(2, refuse=True)

    assert missing() == ["2"]


def test_a_number_longer_by_a_digit_comes_after_the_shorter_ones():
    bring(8, 9, 10, 12)

    assert missing() == ["11"]


@pytest.mark.parametrize(
    "numbers",
    [
        (20261101, 20261108, 20261115),  # days
        (2026110101, 2026110103),  # a number of each day
        (261101, 261108),
        (202610, 202612),
        (10, 20, 30, 40),  # by tens
        (7, 1_000_000),  # another count was begun
    ],
)
def test_numbers_that_do_not_run_by_one_are_not_missed(numbers):
    bring(*numbers)

    assert missing() == []


def test_a_number_that_was_never_used_is_forgotten_in_time():
    bring(3, 5)

    assert missing(now=NOW + timedelta(days=99)) == ["4"]
    assert missing(now=NOW + timedelta(days=101)) == []
