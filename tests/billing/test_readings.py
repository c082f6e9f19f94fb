"""What a bill says of its meter comes in with it and stays with its version."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text

from billing.readings import get_reading, put_reading
from core.db import transaction
from core.errors import Invalid
from payments.gateways.base import GatewayStatus
from providers.base import MeterReading, ReadingKind
from tests.factories import NOW, a_home, a_payment, a_record, book, bring_in, the_bill

pytestmark = pytest.mark.usefixtures("city")

READING = MeterReading(
    Decimal("814.5"), Decimal(825), date(2026, 10, 28), ReadingKind.ESTIMATED, "SW-1"
)


def kept(ref, version=1) -> MeterReading | None:
    with transaction() as session:
        row = get_reading(session, ref, version)
        if row is None:
            return None
        return MeterReading(row.before, row.after, row.read_on, row.kind, row.meter_no)


def rows() -> int:
    with transaction() as session:
        return session.execute(text("SELECT count(*) FROM bill_reading")).scalar_one()


def test_a_reading_comes_with_its_bill():
    assert kept(a_home(reading=READING).refs[0]) == READING


def test_a_bill_that_says_nothing_of_a_meter_has_no_row():
    home = a_home()

    assert kept(home.refs[0]) is None
    assert rows() == 0


def test_the_same_bill_again_changes_nothing():
    home = a_home(reading=READING)

    again = home.correct(0, version=1, reading=READING._replace(after=Decimal(999)))

    assert again.unchanged == 1
    assert kept(home.refs[0]) == READING


def test_a_bill_that_came_without_may_come_again_with_it():
    home = a_home()

    assert home.correct(0, version=1, reading=READING).unchanged == 1
    assert kept(home.refs[0]) == READING


def test_a_correction_brings_its_own():
    home = a_home(reading=READING)
    mended = READING._replace(after=Decimal(820), kind=ReadingKind.READ)

    home.correct(0, version=2, reading=mended, amount_fen=7_000)

    assert kept(home.refs[0], 2) == mended


def test_a_correction_that_says_nothing_has_none():
    home = a_home(reading=READING)

    home.correct(0, version=2, amount_fen=7_000)

    assert kept(home.refs[0], 2) is None


def test_a_rejected_row_leaves_the_bills_own():
    home = a_home(reading=READING)

    home.correct(0, version=1, amount_fen=7_000, reading=READING._replace(after=Decimal(1_000)))

    assert kept(home.refs[0]) == READING


def test_one_that_waits_for_a_payment_lands_with_its_correction():  # rule 13
    home = a_home(reading=READING)
    payment = a_payment(home, *home.refs)
    mended = READING._replace(after=Decimal(820))
    home.correct(0, version=2, amount_fen=7_000, reading=mended)
    assert kept(home.refs[0]) == READING

    book(payment, GatewayStatus.CLOSED)

    assert the_bill(home.refs[0]).version == 2
    assert kept(home.refs[0], 2) == mended


def test_of_two_rows_of_one_bill_the_first_is_told():
    record = a_record("4000000001", reading=READING)
    bring_in("water", record, record._replace(reading=READING._replace(after=Decimal(1))))

    with transaction() as session:
        assert session.execute(text('SELECT "after" FROM bill_reading')).scalar_one() == 825


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"after": Decimal(10**9)}, "nine digits"),
        ({"before": Decimal("NaN")}, "nine digits"),
        ({"read_on": date(1999, 12, 31)}, "read before 2000"),
        ({"meter_no": "1" * 33}, "32 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_books_cannot_hold_is_rejected_with_its_row(changes, told):
    result = bring_in("water", a_record("4000000002", reading=READING._replace(**changes)))

    assert (result.created, result.rejected) == (0, 1)
    with transaction() as session:
        reason = session.execute(text("SELECT reason FROM bill_file_reject")).scalar_one()
    assert told in reason


def test_told_later_the_last_word_stands():
    home = a_home()
    for after in (820, 825):
        with transaction() as session:
            bill = the_bill(home.refs[0])
            put_reading(session, bill, READING._replace(after=Decimal(after)), now=NOW)

    assert kept(home.refs[0]) == READING
    assert rows() == 1


def test_a_reading_of_nothing_is_refused():
    home = a_home()
    with pytest.raises(Invalid) as refused, transaction() as session:
        put_reading(session, the_bill(home.refs[0]), MeterReading(), now=NOW)

    assert refused.value.code == "reading.empty"
