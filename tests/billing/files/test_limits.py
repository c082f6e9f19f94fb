"""What the books cannot hold rejects its row, and the rest of the file lands."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text

from billing.files.limits import MAX_FEN
from core.db import transaction
from tests import nights
from tests.factories import a_record, bring_in, violations
from tests.providers.files import WATER

BEYOND = {
    "a usage of ten digits": ({"usage": Decimal("1000000000")}, "nine digits"),
    "a usage that is no number": ({"usage": Decimal("NaN")}, "nine digits"),
    "more than ten billion yuan": ({"amount_fen": MAX_FEN + 1}, "ten billion"),
    "a credit of as much": ({"amount_fen": -MAX_FEN - 1}, "ten billion"),
    "the year 1": ({"billing_month": date(1, 1, 1)}, "before 2000"),
    "the year 1999": ({"billing_month": date(1999, 12, 1)}, "before 2000"),
    "the year 2426": ({"billing_month": date(2426, 10, 1)}, "after 2199"),
    "the year 9999": ({"billing_month": date(9999, 12, 1)}, "after 2199"),
    "version 100": ({"version": 100}, "from 1 to 99"),
}


def reasons() -> list[str]:
    with transaction() as session:
        return list(session.execute(text("SELECT reason FROM bill_file_reject")).scalars())


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(("changes", "told"), BEYOND.values(), ids=BEYOND)
def test_a_row_beyond_the_books_is_rejected_alone(changes, told):
    odd = a_record("0000000001")._replace(**changes)

    result = bring_in("water", odd, a_record("0000000002"))

    assert (result.created, result.rejected) == (1, 1)
    assert told in reasons()[0]
    assert violations() == []


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"用水量": "1000000000"}, "nine digits"),
        ({"应缴金额": "10000000000.01"}, "ten billion"),
    ],
)
def test_so_is_one_of_a_file_that_is_read_by_columns(changes, told):
    file = WATER.file({}, {"账单号": "W-2"} | changes, {"账单号": "W-3"})

    result = nights.import_whole(nights.a_file(file), file)

    assert (result.created, result.rejected) == (2, 1)
    assert told in reasons()[0]


@pytest.mark.usefixtures("city")
def test_what_just_fits_lands():
    most = a_record("0000000001", amount_fen=MAX_FEN)
    most = most._replace(usage=Decimal("999999999.999"), version=99)

    assert bring_in("water", most).created == 1
    assert violations() == []


@pytest.mark.usefixtures("city")
def test_bills_of_days_to_come_make_no_tables():
    """A file of a thousand months to come would else leave thousands of tables behind."""
    rows = [
        a_record(
            f"{year:010d}", billing_month=date(year, 1, 1), issued_on=date(year, 2, 1),
            due_on=date(year, 3, 1),
        )
        for year in range(2100, 2150)
    ]  # fmt: skip
    with transaction() as session:
        before = session.execute(_TABLES).scalar_one()

    result = bring_in("water", *rows)

    with transaction() as session:
        assert session.execute(_TABLES).scalar_one() == before
    assert result.rejected == len(rows)


_TABLES = text("SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'")
