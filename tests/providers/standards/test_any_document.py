"""What must hold for every document there could be."""

import io
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.registry import reader_from
from tests.providers.standards.documents import (
    CUSTOMER,
    cii,
    cii_file,
    cii_line,
    file,
    one_bill,
    pdf,
    profile,
    stamp,
    ubl,
    ubl_file,
    ubl_line,
)

UBL, CII = reader_from(profile("ubl")), reader_from(profile("cii"))
SAMPLES = {
    "ubl": (UBL, ubl_file() + ubl_file(root="CreditNote", code="381")),
    "cii": (CII, cii_file() + cii_file(old=True)),
    "pdf": (CII, pdf(cii_file())),
}
EACH = pytest.mark.parametrize(("reader", "data"), SAMPLES.values(), ids=SAMPLES)
DAYS = st.dates(date(2001, 1, 1), date(2099, 1, 1))
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=30)


def drain(reader, data):
    with suppress(BillFileError):
        list(reader.read(io.BytesIO(data)))


@EACH
@given(noise=st.binary(max_size=400), whole=st.booleans())
def test_arbitrary_bytes_raise_nothing_but_a_bill_file_error(reader, data, noise, whole):
    drain(reader, noise if whole else data[:200] + noise)


@EACH
@settings(max_examples=300)
@given(at=st.integers(0, 6_000), put=st.binary(max_size=4), cut=st.integers(0, 40))
@example(at=60, put=b"\xff", cut=1)
def test_a_damaged_file_raises_nothing_but_a_bill_file_error(reader, data, at, put, cut):
    at %= len(data)

    drain(reader, data[:at] + put + data[at + cut :])


@given(text=TEXTS, place=st.sampled_from(["number", "code", "payable", "currency", "tax"]))
def test_any_text_in_a_field_raises_nothing_but_a_bill_file_error(text, place):
    drain(UBL, ubl_file(**{place: escape(text)}))


@given(
    fen=st.integers(-(10**14), 10**14),
    lines=st.lists(st.decimals(-(10**6), 10**6, places=3), max_size=6),
    tax=st.integers(0, 10**8),
    issued_on=DAYS,
    days=st.integers(1, 300),
    name=TEXTS,
    credit=st.booleans(),
)
def test_every_fen_date_and_character_comes_back(fen, lines, tax, issued_on, days, name, credit):
    """Whatever the lines come to, they add up to the payable; it alone is the amount."""
    fen, due_on = abs(fen) if credit else fen, issued_on + timedelta(days=days)
    root, code = ("CreditNote", "381") if credit else ("Invoice", "380")
    data = ubl_file(
        root=root, code=code, payable=str(Decimal(fen).scaleb(-2)), tax=str(Decimal(tax) / 100),
        issued=f"<cbc:IssueDate>{issued_on}</cbc:IssueDate>", period="",
        due=f"<cbc:DueDate>{due_on}</cbc:DueDate>",
        customer=CUSTOMER.replace("Ada", "Ada " + escape(name)),
        lines="".join(ubl_line(f"{line:f}", root=root) for line in lines),
    )  # fmt: skip

    bill = one_bill(data)

    assert bill.amount_fen == (-fen if credit else fen)
    assert not bill.items or sum(item.amount_fen for item in bill.items) == bill.amount_fen
    assert (bill.issued_on, bill.due_on) == (issued_on, due_on)
    assert bill.holder_name.isprintable()
    assert [mark for mark in name if mark.isalnum()] == [
        mark for mark in bill.holder_name[4:-8] if mark.isalnum()
    ]


@given(
    fen=st.integers(0, 10**12),
    issued_on=DAYS,
    days=st.integers(1, 300),
    code=st.sampled_from(["380", "381"]),
)
def test_ubl_and_cii_say_the_same(fen, issued_on, days, code):
    """Two ways of writing one invoice are one bill."""
    amount, due_on = str(Decimal(fen).scaleb(-2)), issued_on + timedelta(days=days)
    in_ubl = ubl(
        code=code, payable=amount, issued=f"<cbc:IssueDate>{issued_on}</cbc:IssueDate>",
        due=f"<cbc:DueDate>{due_on}</cbc:DueDate>", period="", lines=ubl_line(amount),
    )  # fmt: skip
    in_cii = cii(
        code=code, payable=f"<ram:DuePayableAmount>{amount}</ram:DuePayableAmount>", period="",
        issued=stamp(f"{issued_on:%Y%m%d}"), due=stamp(f"{due_on:%Y%m%d}"), lines=cii_line(amount),
    )  # fmt: skip

    assert one_bill(file(in_ubl)) == one_bill(file(in_cii), profile("cii"))
