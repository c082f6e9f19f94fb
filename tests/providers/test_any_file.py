"""What must hold for every file there could be."""

import io
from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import BillFileError
from core.money import yuan_text
from providers.base import BillRecord, Heading, Reject
from providers.registry import reader_for
from tests.providers.files import GAS, MAKERS, TELECOM, Maker

EACH = pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.code)
DAYS = st.dates(date(2001, 1, 1), date(2099, 1, 1))
HAN = st.text(st.sampled_from("张珅弢瑋東億䶮𠮷㛃示例路AZ09-"), min_size=1, max_size=10)


def drain(maker: Maker, data: bytes) -> list[Heading | BillRecord | Reject]:
    rows: list[Heading | BillRecord | Reject] = []
    with suppress(BillFileError):
        rows.extend(reader_for(maker.code).read(io.BytesIO(data)))
    return rows


@EACH
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_but_a_bill_file_error(maker, data):
    drain(maker, data)


@EACH
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_after_a_good_header_raise_nothing_but_a_bill_file_error(maker, data):
    drain(maker, maker.header + b"\n" + data)


@EACH
@settings(max_examples=300)
@given(at=st.integers(0, 2_000), put=st.binary(max_size=4), cut=st.integers(0, 4))
@example(at=60, put=b"\xff", cut=1)
def test_a_damaged_file_raises_nothing_but_a_bill_file_error(maker, at, put, cut):
    data = maker.file({}, {})
    at %= len(data)

    drain(maker, data[:at] + put + data[at + cut :])


@EACH
@given(text=st.text(max_size=12), column=st.integers(0, 20))
def test_any_text_in_any_column_raises_nothing_but_a_bill_file_error(maker, text, column):
    names = list(maker.row)
    try:
        data = maker.file({names[column % len(names)]: text}, {}, total="0")
    except UnicodeEncodeError:  # a lone surrogate is in no file
        return

    drain(maker, data)


def written(maker: Maker, day: date, name: str) -> str:
    """Write a date as the company writes this column."""
    if maker is GAS and name in ("出账", "截止"):
        return f"{day:%Y%j}"
    return f"{day:%Y%m%d}" if maker.encoding == "gb18030" else f"{day:%Y-%m-%d}"


@EACH
@given(
    fens=st.lists(st.integers(-99_999_999, 999_999_999), min_size=1, max_size=5),
    issued_on=DAYS,
    days=st.integers(1, 300),
    holder=HAN,
)
def test_every_fen_date_and_character_comes_back(maker, fens, issued_on, days, holder):
    names, due_on = maker.names, issued_on + timedelta(days=days)
    month = f"{issued_on:%Y%m}" if maker.encoding == "gb18030" else f"{issued_on:%Y-%m}"
    common = {
        names["month"]: month,
        names["holder"]: holder,
        names["issued"]: written(maker, issued_on, names["issued"]),
        names["due"]: written(maker, due_on, names["due"]),
    }
    changes = []
    for fen in fens:
        amount = f"{fen:010d}" if maker is GAS else yuan_text(fen)
        items = {"amount_fen": str(fen)} if maker is TELECOM else {}
        changes.append(common | {names["amount"]: amount} | items)

    records = [
        row
        for row in reader_for(maker.code).read(io.BytesIO(maker.file(*changes)))
        if isinstance(row, BillRecord)
    ]

    assert [record.amount_fen for record in records] == fens
    for record in records:
        assert sum(item.amount_fen for item in record.items) == record.amount_fen
        assert (record.issued_on, record.due_on) == (issued_on, due_on)
        assert record.holder_name == holder
