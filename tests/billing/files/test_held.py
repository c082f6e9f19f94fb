"""A chunk that comes again is what we hold only if it is so to the letter."""

from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from sqlalchemy import text

from billing.corrections import Chunk
from billing.files.held import _stretches, held
from billing.files.staging import NO_ROWS, Staged
from billing.models import Bill
from core.db import transaction
from providers.base import AmountRule, BillRecord, Exactness, LineItem, PayTerms
from providers.bulk import NO_BILLS, Bulk
from tests.factories import NOW, a_record, bring_in

TERMS = PayTerms(AmountRule(Exactness.EXACT_AND_BELOW, minimum_fen=1_000), ())
ROW = a_record("0000000002", "B2", pay_terms=TERMS)
ROWS = (a_record("0000000001"), ROW, a_record("0000000003", "B3", usage=None))

pytestmark = pytest.mark.usefixtures("city")


def a_chunk(*rows: BillRecord) -> Chunk:
    with Staged(100) as staged:
        staged.read(iter([Bulk(NO_BILLS, list(rows))]))
        frame = staged.chunk(0) if staged.chunks else NO_ROWS
    return Chunk(
        bill_file_id=1, provider_code="water", rows=frame, after=0, upto=frame.height,
        first_id=frame["id"].min(), last_id=frame["id"].max(), receivable_id=1, uncollected_id=2,
        now=NOW,
    )  # fmt: skip


def are_held(*rows: BillRecord) -> bool:
    with transaction() as session:
        return held(session, a_chunk(*rows)) is not None


def change(column: str, value: str) -> None:
    with transaction() as session:
        session.execute(text(f"UPDATE bill SET {column} = {value} WHERE bill_no = 'B2'"))


def test_what_came_is_held_in_any_order_and_in_part():
    bring_in("water", *ROWS)

    assert are_held(*ROWS)
    assert are_held(*reversed(ROWS))
    assert are_held(ROW)
    assert are_held(ROWS[0], ROWS[2])


@pytest.mark.parametrize("changed", [
    {"amount_fen": 8_651}, {"version": 2}, {"due_on": date(2026, 12, 2)},
    {"issued_on": date(2026, 11, 2)}, {"period_from_on": date(2026, 10, 2)},
    {"period_to_on": date(2026, 10, 29)}, {"usage": Decimal("8.001")}, {"usage": None},
    {"usage": Decimal(80)}, {"usage_unit": ""}, {"items": (LineItem("基本费", None, "", 8_650),)},
    {"pay_terms": None}, {"bill_no": "B9"}, {"account_no": "0000000001"},
    {"account_no": "0000000009"}, {"billing_month": date(2026, 9, 1)},
], ids=str)  # fmt: skip
def test_a_row_that_says_anything_else_is_not(changed):
    bring_in("water", *ROWS)

    assert not are_held(ROWS[0], ROW._replace(**changed), ROWS[2])


@pytest.mark.parametrize(("column", "value"), [
    ("amount_fen", "amount_fen + 1"), ("version", "2"), ("due_on", "due_on + 1"),
    ("issued_on", "issued_on + 1"), ("period_from_on", "period_from_on + 1"),
    ("period_to_on", "period_to_on + 1"), ("usage", "usage + 0.001"), ("usage", "NULL"),
    ("usage_unit", "usage_unit || ' '"), ("items", "'[]'"), ("bill_no", "'B20'"),
    ("pay_terms", "NULL"), ("cancelled_at", "now()"),
])  # fmt: skip
def test_a_bill_that_became_anything_else_is_not(column, value):
    bring_in("water", *ROWS)
    assert are_held(*ROWS)

    change(column, value)

    assert not are_held(*ROWS)


def test_every_column_that_a_row_states_is_compared():
    stated = set(NO_ROWS.columns) & set(Bill.model_fields) - {"id", "billing_month"}

    assert stated == {
        "amount_fen", "version", "due_on", "issued_on", "period_from_on", "period_to_on",
        "usage", "usage_unit", "items", "bill_no", "pay_terms",
    }  # fmt: skip


def test_bills_that_nobody_asked_about_are_in_nobodys_way():
    between = a_record("0000000002", "B2")
    bring_in("water", ROWS[0], between, between._replace(bill_no="B22"), ROWS[2])

    assert are_held(ROWS[0], ROWS[2])
    assert are_held(ROWS[0], between, ROWS[2])


def test_a_neighbours_bill_alike_to_the_letter_does_not_stand_for_one_we_lack():
    alike = a_record("0000000002")
    bring_in("water", ROWS[0], alike)
    with transaction() as session:
        session.execute(
            text("DELETE FROM bill WHERE account_id = (SELECT min(id) FROM utility_account)")
        )

    assert are_held(alike)
    assert not are_held(ROWS[0])


def test_a_company_never_meets_anothers_bills():
    bring_in("power", *ROWS)

    assert not are_held(*ROWS)


@pytest.mark.parametrize("usage", ["8", "8.0", "8.50", "8.125", "0", "0.000", "100", "1200.10"])
def test_a_usage_is_the_same_with_any_zeros_behind_it(usage):
    bring_in("water", a_record("0000000001", usage=Decimal(usage)))

    assert are_held(a_record("0000000001", usage=Decimal(usage)))
    assert are_held(a_record("0000000001", usage=Decimal(usage).quantize(Decimal("0.001"))))


def test_accounts_side_by_side_are_looked_up_as_one_stretch():
    found = _stretches(pl.Series([900, 3, 5, 2, 5, 4, 100, 1]))

    assert found.select("first", "last").rows() == [(1, 5), (100, 100), (900, 900)]


def test_accounts_with_another_companys_in_between_are_held_all_the_same():
    bring_in("water", ROWS[0])
    bring_in("power", *[a_record(f"{number:010d}") for number in range(20)])
    bring_in("water", *ROWS)

    assert are_held(*ROWS)


def test_only_a_holder_of_another_name_is_told():
    bring_in("water", *ROWS)

    with transaction() as session:
        same = held(session, a_chunk(*ROWS))
        other = held(session, a_chunk(ROWS[0]._replace(holder_name="李雷"), *ROWS[1:]))

    assert same is not None
    assert other is not None
    assert (same.renamed, other.renamed) == (False, True)
