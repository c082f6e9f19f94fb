"""Bills in our own JSON: read exactly, judged line by line, and nothing brings the reader down."""

import io
import json
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.base import BillRecord, LineItem, RecordKind, Reject
from providers.own_schema import OwnSchemaReader, entries
from providers.registry import get_provider

BILL: dict[str, Any] = {
    "account_no": "1000000001", "bill_no": "B-1", "billing_month": "2026-10", "version": 2,
    "holder_name": "王珅", "address": "汉口路1弄2号", "period_from_on": "2026-10-01",
    "period_to_on": "2026-10-31", "issued_on": "2026-11-01", "due_on": "2026-12-01",
    "usage": 12.10, "usage_unit": "m³", "amount_fen": 8650,
    "items": [
        {"name": "基本费", "quantity": "12.1", "unit": "m³", "amount_fen": 8700},
        {"name": "减免", "amount_fen": -50},
    ],
}  # fmt: skip


def read(*bills: Any, company: str | None = None) -> list[BillRecord | Reject]:
    reader = OwnSchemaReader(get_provider(company).profile if company else None)
    body = json.dumps({"bills": bills}).encode()
    return list(reader.read(io.BytesIO(body)))


def test_a_bill_is_read_to_the_last_field():
    assert read(BILL) == [
        BillRecord(
            line_no=1, kind=RecordKind.BILL, account_no="1000000001", holder_name="王珅",
            address="汉口路1弄2号", billing_month=date(2026, 10, 1), bill_no="B-1", version=2,
            period_from_on=date(2026, 10, 1), period_to_on=date(2026, 10, 31),
            issued_on=date(2026, 11, 1), due_on=date(2026, 12, 1), usage=Decimal("12.1"),
            usage_unit="m³", amount_fen=8_650,
            items=(
                LineItem("基本费", Decimal("12.1"), "m³", 8_700), LineItem("减免", None, "", -50),
            ),
        )
    ]  # fmt: skip


def test_what_may_be_left_out_may_be_left_out():
    least = {
        name: value for name, value in BILL.items()
        if name not in {"version", "holder_name", "address", "usage", "usage_unit"}
    }  # fmt: skip

    (bill,) = read(least)

    assert isinstance(bill, BillRecord)
    assert (bill.version, bill.holder_name, bill.usage) == (1, "", None)


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"account_no": 1000000001}, "account_no", "no text"),
        ({"account_no": " 1"}, "account_no", "space"),
        ({"account_no": ""}, "account_no", "is blank: write"),
        ({"bill_no": "账单"}, "bill_no", "is not right"),
        ({"billing_month": "2026-13"}, "billing_month", "no date"),
        ({"billing_month": 202610}, "billing_month", "write it as text"),
        ({"billing_month": "1999-12"}, "billing_month", "lies before"),
        ({"billing_month": "2028-01"}, "billing_month", "more than 13 months"),
        ({"issued_on": "9999-01-01", "due_on": "9999-02-01"}, "issued_on", "lies after 2099"),
        ({"due_on": "2026-11-01"}, "due_on", "leave at least a day"),
        ({"period_to_on": "2026-09-30"}, "period_to_on", "before it begins"),
        ({"version": 0}, "version", "greater than or equal to 1"),
        ({"version": "1"}, "version", "whole number"),
        ({"version": True}, "version", "whole number"),
        ({"amount_fen": 86.5}, "amount_fen", "whole number"),
        ({"amount_fen": 8651}, "amount_fen", "add up to 8650 fen"),
        ({"amount_fen": 10**13}, "amount_fen", "less than or equal"),
        ({"usage": -1}, "usage", "negative"),
        ({"usage": "1e3"}, "usage", "not a quantity"),
        ({"usage": [1]}, "usage", "a number"),
        ({"holder_name": "a\u0000"}, "holder_name", "control"),
        ({"holder_name": "x" * 201}, "holder_name", "at most 200"),
        ({"items": []}, "items", "every bill has a line"),
        ({"items": [{"name": "", "amount_fen": 8650}]}, "items.1.name", "has a name"),
        ({"items": [{"name": "x"}]}, "items.1.amount_fen", "missing"),
        ({"colour": "red"}, "colour", "no field here: the fields are kind, account_no"),
        ({"kind": "remind"}, "kind", '"bill" or "cancel"'),
        ({"kind": []}, "kind", '"bill" or "cancel"'),
    ],
)
def test_what_is_wrong_is_told_by_its_field_and_rejected_alone(change, column, words):
    before, wrong, after = read(BILL, BILL | change, BILL)

    assert isinstance(wrong, Reject)
    assert (wrong.line_no, wrong.column) == (2, column)
    assert words in wrong.reason
    assert isinstance(before, BillRecord)
    assert isinstance(after, BillRecord)


def test_a_cancellation_needs_a_name_and_a_version_and_takes_no_more():
    void = {
        "kind": "cancel", "account_no": "1000000001", "bill_no": "B-1",
        "billing_month": "2026-10", "version": 1,
    }  # fmt: skip

    cancelled, bare, more = read(
        void, {k: v for k, v in void.items() if k != "version"}, void | {"amount_fen": 1}
    )

    assert isinstance(cancelled, BillRecord)
    assert (cancelled.kind, cancelled.bill_no, cancelled.version) == ("cancel", "B-1", 1)
    assert isinstance(bare, Reject)
    assert isinstance(more, Reject)
    assert (bare.column, more.column) == ("version", "amount_fen")


def test_the_companys_own_rule_of_numbers_holds_here_too():
    short = BILL | {"account_no": "123"}

    assert isinstance(read(short)[0], BillRecord)
    (refused,) = read(short, company="water")
    assert isinstance(refused, Reject)
    assert "10 digits" in refused.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*BILL, "kind", "name", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, min_size=1, max_size=4), st.sampled_from(list(BILL)), JSON)
def test_every_entry_has_its_line_whatever_it_is(bills, field, value):
    entered = [*bills, BILL | {field: value}]
    try:
        rows = read(*entered)
    except BillFileError:
        return  # NaN and the like: refused whole

    assert [row.line_no for row in rows] == list(range(1, len(entered) + 1))
    assert all(row.reason for row in rows if isinstance(row, Reject))


@given(st.binary(max_size=200))
def test_bytes_are_a_list_of_bills_or_refused(body):
    with suppress(BillFileError):
        assert entries(body)
