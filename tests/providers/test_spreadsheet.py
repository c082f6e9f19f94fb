"""What a spreadsheet program does to bills, and what is made of it."""

import io
import re
import struct
import zipfile
from datetime import date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BillFileError, Invalid
from core.money import yuan_text
from providers.base import BillRecord, Reject
from providers.formats import workbook
from providers.profiles import Profile
from providers.registry import reader_from
from tests.providers.samples_mapped import CELLS, NAMES, sheet_profile, xls, xlsx

PLAIN = sheet_profile()
SEVERAL = settings(max_examples=15, deadline=None, suppress_health_check=[*HealthCheck])


def read(data: bytes, profile: Profile = PLAIN) -> list:
    return list(reader_from(profile).read(io.BytesIO(data)))


def row_of(**cells: object) -> list[object]:
    """Return the sample's row with some cells changed, by column name."""
    return [cells.get(name, cell) for name, cell in zip(NAMES, CELLS, strict=True)]


def one(profile: Profile = PLAIN, **cells: object) -> BillRecord | Reject:
    (bill,) = read(xlsx([NAMES, row_of(**cells)]), profile)
    return bill


def refusal(data: bytes, profile: Profile = PLAIN) -> str:
    with pytest.raises(BillFileError) as refused:
        read(data, profile)
    return str(refused.value)


class TestAnIdentifierThatIsANumber:
    def test_is_taken_as_its_digits(self):
        assert one(户号=1000000001).account_no == "1000000001"

    def test_is_padded_where_the_rule_says_so(self):
        padding = sheet_profile("length = 10\npad = true")

        assert one(padding, 户号=42).account_no == "0000000042"

    def test_without_its_leading_zeros_is_rejected_with_the_remedy(self):
        rejected = one(户号=42)

        assert (rejected.line_no, rejected.column) == (2, "户号")
        assert "keeps no zeros at its front: format the column as text" in rejected.reason

    @pytest.mark.parametrize("number", [2.0**53, 1e20, 310012345678901234567.0])
    def test_beyond_what_a_number_keeps_is_rejected_with_the_remedy(self, number):
        rejected = one(户号=number)

        assert "last digits are lost: format the column as text" in rejected.reason


class TestANumber:
    def test_is_exact_to_the_fen_without_its_binary_noise(self):
        assert one(金额=86.49999999999999).amount_fen == 8_650
        assert one(金额=-0.1).amount_fen == -10

    @pytest.mark.parametrize("amount", [86.499, 86.4999, 1e-7])
    def test_finer_than_a_fen_is_rejected(self, amount):
        assert re.search("finer than a fen|not an amount", one(金额=amount).reason)

    @pytest.mark.parametrize("amount", ["", True, time(3, 4)])
    def test_that_is_none_is_rejected(self, amount):
        assert one(金额=amount).column == "金额"

    def test_may_be_in_fen_or_as_the_profile_says_they_are_written(self):
        in_fen = sheet_profile('[numbers]\ndecimal = ","\nthousands = "."\nsigns = ["trailing"]')

        assert one(in_fen, 金额=-1234.5).amount_fen == -123_450
        assert one(in_fen, 金额="1.234,50-").amount_fen == -123_450

    def test_with_decimals_is_no_date(self):
        assert "may have lost a 0" in one(账期=2026.1).reason


DAWN = datetime.fromisoformat("2026-11-20 08:30")


class TestADay:
    @pytest.mark.parametrize("day", [date(2026, 11, 20), DAWN, "2026-11-20", 20261120])
    def test_is_the_same_day_however_the_cell_holds_it(self, day):
        assert one(截止=day).due_on == date(2026, 11, 20)

    @pytest.mark.parametrize(
        "layout",
        ["yyyymmdd", "yyyy-mm-dd", "yyyyddd", "yyyy/mm/dd", "dd/mm/yyyy", "dd.mm.yyyy",
         "yyyy年mm月dd日", "yymmdd", "datetime", "epoch_seconds", "epoch_milliseconds", "excel"],
    )  # fmt: skip
    def test_is_read_whatever_the_layout_of_its_column(self, layout):
        days = sheet_profile(f'[dates]\nday = "{layout}"')
        cells = {"起": date(2026, 10, 1), "截止": date(2026, 11, 20)}
        cells |= {"止": date(2026, 10, 31), "出账": date(2026, 11, 1)}

        bill = one(days, **cells)

        assert (bill.period_from_on, bill.due_on) == (cells["起"], cells["截止"])

    def test_stands_for_its_month(self):
        assert one(账期=date(2026, 10, 15)).billing_month == date(2026, 10, 1)


class TestTheRowOfNames:
    def test_is_found_below_a_preamble_in_any_order_and_dress(self):
        names = [f"\u00a0{name} " for name in reversed(NAMES)]
        rows = [["示例"], [], names, list(reversed(CELLS)), [None] * 11, list(reversed(CELLS))]

        assert [bill.line_no for bill in read(xlsx(rows))] == [4, 6]

    def test_without_a_column_is_told_by_its_row(self):
        told = refusal(xlsx([[], NAMES[:-1], CELLS[:-1]]))

        assert told.startswith("line 2, column 金额: the header has no column 金额")

    def test_that_is_not_there_is_told(self):
        assert "no row of the first 50 has the column names" in refusal(xlsx([["a"], [1]]))

    def test_with_a_column_too_many_is_refused_unless_the_profile_ignores_it(self):
        data = xlsx([[*NAMES, "备注"], [*CELLS, "x"]])

        assert "column 12 of the header, '备注', is not in the interface note" in refusal(data)
        assert len(read(data, sheet_profile('[header]\nkind = "names"\nextra = "ignore"'))) == 1

    def test_with_a_column_twice_is_refused(self):
        data = xlsx([[*NAMES, "金额"], [*CELLS, 1]])

        ignoring = sheet_profile('[header]\nkind = "names"\nextra = "ignore"')
        assert "is there twice" in refusal(data, ignoring)

    def test_is_not_asked_for_where_there_is_none(self):
        nameless = sheet_profile('[header]\nkind = "none"')

        assert read(xlsx([CELLS]), nameless)[0].line_no == 1


class TestTheSheet:
    def test_is_the_one_with_the_column_names(self):
        assert len(read(xlsx([["说明"]], [NAMES, CELLS], []))) == 1

    def test_that_is_hidden_counts_only_when_named(self):
        data = xlsx([NAMES, CELLS], [NAMES, CELLS, CELLS], hidden=1)

        assert len(read(data)) == 2
        assert len(read(data, sheet_profile(shape='sheet = "表1"'))) == 1
        assert len(read(data, sheet_profile(shape="sheet = 1"))) == 1

    def test_must_be_named_where_two_hold_bills(self):
        assert "the sheets '表1' and '表2' both hold bills" in refusal(
            xlsx([NAMES, CELLS], [NAMES, CELLS])
        )

    @pytest.mark.parametrize("sheet", ["0", "3", '"别的"'])
    def test_that_is_not_there_is_told_with_those_that_are(self, sheet):
        told = refusal(xlsx([NAMES, CELLS]), sheet_profile(shape=f"sheet = {sheet}"))

        assert "its sheets are '表1'" in told


class TestTheEnd:
    ENDED = '[trailer]\nfields = [{ name = "合计", must_be = "合计" },' \
            ' { name = "总额", holds = "amount_sum" }]'  # fmt: skip

    @pytest.mark.parametrize(
        ("total", "told"),
        [
            (86.49, "86.49 yuan but they come to 86.50"),
            (86.51, "86.51 yuan but they come to 86.50"),
        ],
    )
    def test_one_fen_off_refuses_the_file(self, total, told):
        data = xlsx([NAMES, CELLS, ["合计", *[None] * 9, total]])

        assert told in refusal(data, sheet_profile(self.ENDED))

    def test_that_is_missing_refuses_the_file(self):
        assert "without its trailer row (合计)" in refusal(
            xlsx([NAMES, CELLS]), sheet_profile(self.ENDED)
        )

    def test_is_the_end(self):
        data = xlsx([NAMES, CELLS, ["合计", 86.5], CELLS])

        assert refusal(data, sheet_profile(self.ENDED)).startswith("line 4: there is a row after")

    def test_of_a_sheet_without_bills_is_refused(self):
        assert "holds no bill" in refusal(xlsx([NAMES]))


def test_a_formula_without_a_value_is_a_blank_cell_and_its_reject_says_so():
    rejected = one(金额="=1/0")

    assert rejected.reason.endswith("a formula that failed, or was never worked out, is blank too")


def test_bills_that_are_all_of_nothing_are_formulas_that_nobody_worked_out():
    """Programs that write a formula write 0 for its value until a spreadsheet program saves it."""
    rows = [row_of(金额=0) for _ in range(20)]

    assert "formulas are that were never worked out" in refusal(xlsx([NAMES, *rows]))
    assert len(read(xlsx([NAMES, *rows, CELLS]))) == 21


def test_column_names_again_in_another_order_are_another_table():
    swapped = [*NAMES[:-2], "金额", "水量"]

    assert refusal(xlsx([NAMES, CELLS, swapped, CELLS])).startswith("line 3: the column names")


def open_document(rows: list) -> bytes:
    def cell(value: object) -> str:
        if isinstance(value, date):
            return f'<table:table-cell office:value-type="date" office:date-value="{value}"/>'
        kind = 'string"' if isinstance(value, str) else f'float" office:value="{value}"'
        return (
            f'<table:table-cell office:value-type="{kind}><text:p>{value}</text:p>'
            "</table:table-cell>"
        )

    lines = (f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    base = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(f'xmlns:{name}="{base}:{name}:1.0"' for name in ("office", "table", "text"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr(
            "META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{base}:manifest:1.0"/>'
        )
        archive.writestr(
            "content.xml",
            f"<office:document-content {names}><office:body><office:spreadsheet>"
            f'<table:table table:name="账">{"".join(lines)}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return stream.getvalue()


def test_an_open_document_sheet_is_read():
    (bill,) = read(open_document([NAMES, CELLS]))

    assert (bill.account_no, bill.amount_fen) == ("1000000001", 8_650)
    assert bill.due_on == date(2026, 11, 20)


class TestAHostileWorkbook:
    @staticmethod
    def with_sheet(data: bytes, sheet: bytes) -> bytes:
        stream = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(data)) as source,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for name in source.namelist():
                content = sheet if name.endswith("sheet1.xml") else source.read(name)
                target.writestr(name, content)
        return stream.getvalue()

    def test_with_a_cell_in_the_last_corner_is_refused_and_hurts_nobody(self):
        """The library makes room for 17 billion cells, and its process ends."""
        sheet = (
            b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            b'<sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
            b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
        )

        assert "too large" in refusal(self.with_sheet(xlsx([NAMES, CELLS]), sheet))

    def test_that_unpacks_into_too_much_is_refused_by_its_directory(self, monkeypatch):
        monkeypatch.setattr(workbook, "UNPACKED_LIMIT", 2 * 1024 * 1024)
        data = self.with_sheet(xlsx([NAMES, CELLS]), b" " * 3 * 1024 * 1024)

        assert "the workbook holds 3 MB when unpacked" in refusal(data)

    def test_that_is_too_large_as_it_is_is_refused(self, monkeypatch):
        monkeypatch.setattr(workbook, "PACKED_LIMIT", 1_000)

        assert "as a CSV file instead" in refusal(xlsx([NAMES, CELLS]))

    def test_under_a_password_is_refused_by_name(self):
        compound = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1_000)

        assert "password" in refusal(compound + "EncryptedPackage".encode("utf-16-le"))

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b"", "the file is empty"),
            (b"  \n<HTML><table>", "the file is a web page"),
            ("户号,金额\n1,2".encode(), "is not a workbook (xlsx, xls or ods)"),
            (b"PK\x03\x04" + struct.pack("<200x"), "damaged"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "damaged"),
        ],
    )
    def test_that_is_none_is_told_what_it_is(self, data, told):
        assert told in refusal(data)

    @pytest.mark.parametrize("make", [lambda: xlsx([NAMES, CELLS]), lambda: xls([NAMES, CELLS])])
    @SEVERAL
    @given(at=st.floats(0, 1, exclude_max=True), put=st.binary(min_size=1, max_size=6))
    def test_that_is_damaged_anywhere_raises_nothing_but_a_bill_file_error(self, make, at, put):
        data = make()
        place = int(at * len(data))
        try:
            read(data[:place] + put + data[place + len(put) :])
        except BillFileError as refused:
            told = refused.message
            assert told


@pytest.mark.parametrize("make", [lambda rows: xlsx(rows), xls], ids=["xlsx", "xls"])
@SEVERAL
@given(
    fens=st.lists(st.integers(-99_999_999, 999_999_999), min_size=1, max_size=20),
    used=st.integers(0, 999_999_999),
    holder=st.text(st.sampled_from("张珅瑋䶮𠮷AZ09-"), min_size=1, max_size=10),
)
def test_every_fen_and_character_comes_back(make, fens, used, holder):
    quantity = Decimal(used).scaleb(-3)
    rows = [row_of(金额=float(yuan_text(fen)), 水量=float(quantity), 户名=holder) for fen in fens]

    bills = read(make([NAMES, *rows]))

    assert [bill.amount_fen for bill in bills] == fens
    assert {(bill.usage, bill.holder_name) for bill in bills} == {(quantity, holder)}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[header]\nkind = "record"\nfields = [{ name = "a" }]', "a spreadsheet has kind"),
        ('[trailer]\nfields = [{ name = "a", holds = "row_count" }]', "needs a must_be"),
    ],
)
def test_a_profile_that_no_sheet_can_keep_is_told(more, told):
    with pytest.raises(Invalid, match=told):
        reader_from(sheet_profile(more))
