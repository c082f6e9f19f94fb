"""A chunk taken in as new is what we hold, to the letter, and nothing else is."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from billing import copies, ledger
from billing.binary_rows import BinaryRows
from billing.corrections import Chunk
from billing.landing import Landing
from billing.partitions import ensure_months
from billing.staging import Staged
from core.db import driver
from providers.base import BillRecord, LineItem
from providers.bulk import NO_BILLS, Bulk
from tests.factories import MONTH, NOW, a_record

NOTHING_ODD = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
BIGINT = st.integers(-(2**63), 2**63 - 1)
USAGE = st.decimals(-999_999_999, 999_999_999, places=3)
WORDS = st.sampled_from(["", "a", "汉口路", "𠮷\\N", "x" * 300]) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)


@NOTHING_ODD
@given(
    rows=st.lists(
        st.tuples(
            BIGINT,
            st.integers(-(2**15), 2**15 - 1),
            st.dates(date(1, 1, 1), date(9999, 12, 31)),
            st.none() | USAGE,
            st.none() | WORDS,
            WORDS,
        ),
        max_size=6,
    )
)
def test_what_is_written_in_binary_is_what_the_database_reads(rows, session):
    columns = list(zip(*rows, strict=True)) or [()] * 6
    binary = BinaryRows(len(rows), 8)
    binary.number(8, pl.Series(columns[0], dtype=pl.Int64))
    binary.number(2, pl.Series(columns[1], dtype=pl.Int16))
    binary.day(pl.Series(columns[2], dtype=pl.Date))
    binary.day(MONTH)
    binary.moment(NOW)
    usage = [None if one is None else f"{one:f}" for one in columns[3]]
    binary.thousandths(pl.Series(usage, dtype=pl.String))
    binary.text(pl.Series(columns[4], dtype=pl.String))
    binary.text(pl.Series(columns[5], dtype=pl.String))

    connection = driver(session)
    connection.execute("DROP TABLE IF EXISTS pg_temp.read_back")
    connection.execute(
        "CREATE TEMPORARY TABLE read_back (big bigint, small smallint, day date, month date,"
        " at timestamptz, usage numeric(12,3), maybe text, word text)"
    )
    with connection.cursor().copy("COPY read_back FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(binary.written())
    found = connection.execute("SELECT * FROM read_back").fetchall()

    assert found == [
        (big, small, day, MONTH, NOW, usage, maybe, word)
        for big, small, day, usage, maybe, word in rows
    ]


def chunk_of(session: Session, *records: BillRecord) -> Chunk:
    """Return records as a chunk that is about to land."""
    ensure_months(session, {MONTH})
    names = ledger.receivable("water"), ledger.uncollected("water")
    ids = ledger.account_ids(session, names)
    with Staged(len(records)) as staged:
        staged.read(iter([Bulk(NO_BILLS, list(records))]))
        return Landing(
            staged=staged, bill_file_id=1, provider_code="water", receivable_id=ids[names[0]],
            uncollected_id=ids[names[1]], now=NOW,
        ).chunk(0)  # fmt: skip


BILL = a_record("0000000001")
OTHERS = (
    a_record("0000000002", usage=None, usage_unit="", amount_fen=0),
    a_record("0000000003", amount_fen=-500, version=12, usage=Decimal("-0.5")),
    a_record("0000000003", "B\\N", usage=Decimal("1E+2"), items=()),
    a_record("0000000004", usage=Decimal("7.0005")),
)


def test_what_landed_as_new_is_held(session):
    chunk = chunk_of(session, BILL, *OTHERS)

    assert copies.copy_in(session, chunk) == (5, 3 * 8_650 - 500)

    assert copies.are_held(session, chunk)
    usage = session.execute(text("SELECT usage FROM bill ORDER BY account_id, bill_no"))
    told = ["8.000", None, "-0.500", "100.000", "7.001"]
    assert usage.scalars().all() == [one and Decimal(one) for one in told]


@pytest.mark.parametrize("others", [(), (a_record("0000000002", holder_name="", address=""),)])
def test_an_account_may_be_without_a_name_and_an_address(session, others):
    copies.copy_in(session, chunk_of(session, BILL._replace(holder_name="", address=""), *others))

    found = session.execute(text("SELECT DISTINCT holder_name, address FROM utility_account"))
    assert found.all() == [("", "")]


def test_a_part_of_what_is_held_is_held(session):
    copies.copy_in(session, chunk_of(session, BILL, *OTHERS))

    assert copies.are_held(session, chunk_of(session, OTHERS[1]))


@pytest.mark.parametrize(
    "change",
    [
        {"account_no": "0000000009"},
        {"bill_no": "B2"},
        {"version": 2},
        {"period_from_on": MONTH + timedelta(days=1)},
        {"period_to_on": MONTH + timedelta(days=26)},
        {"issued_on": MONTH + timedelta(days=30)},
        {"due_on": MONTH + timedelta(days=61)},
        {"usage": Decimal("8.001")},
        {"usage": None},
        {"usage_unit": "度"},
        {"amount_fen": 8_651},
        {"items": (LineItem("基本费", Decimal("8.0"), "m³", 8_650),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_bill_that_differs_in_anything_is_not_held(session, change: dict[str, Any]):
    copies.copy_in(session, chunk_of(session, BILL, *OTHERS))

    assert not copies.are_held(session, chunk_of(session, BILL._replace(**change), *OTHERS))


def test_a_cancelled_bill_is_not_held(session):
    chunk = chunk_of(session, BILL, *OTHERS)
    copies.copy_in(session, chunk)
    session.execute(text("UPDATE bill SET cancelled_at = :now WHERE amount_fen = 0"), {"now": NOW})

    assert not copies.are_held(session, chunk)
