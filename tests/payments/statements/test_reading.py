"""Which format a file is, and what every refusal names."""

import io

import pytest

from core.errors import BillFileError, SettlementFileError
from payments.statements import base, reading
from payments.statements.base import StatementFileError, references_of
from payments.statements.reading import read_statements
from tests.payments.statements.samples import DATA, changed, profile, read, sample

FORMATS = {
    "camt053.xml": "camt.053", "camt053-v2.xml": "camt.053", "camt054.xml": "camt.054",
    "camt052.xml": "camt.052", "mt940-swift.txt": "mt940", "mt940-subfields.sta": "mt940",
    "mt940-slashes.txt": "mt940", "mt940-gbk.txt": "mt940", "bai2.txt": "bai2",
}  # fmt: skip


@pytest.mark.parametrize(("name", "source"), FORMATS.items())
def test_a_format_is_known_by_its_content(name, source):
    assert {one.source_format for one in read(sample(name))} == {source}


@pytest.mark.parametrize(("name", "source"), FORMATS.items())
def test_and_also_where_a_profile_is_at_hand(name, source):
    assert {one.source_format for one in read(sample(name), profile("direction"))} == {source}


def test_every_sample_is_read_by_some_test():
    sheets = {"two_columns.csv", "direction.csv"}

    assert {path.name for path in DATA.iterdir()} == {*FORMATS, *sheets, "README.md"}


@pytest.mark.parametrize("name", ["mt940-slashes.txt", "camt054.xml", "bai2.txt"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_content(name, encoding):
    text = sample(name).decode()

    assert [one.entries for one in read(text.encode(encoding))] == [
        one.entries for one in read(text.encode())
    ]


def test_blank_lines_before_anything_are_no_content():
    for name in ("mt940-gbk.txt", "bai2.txt", "camt053.xml"):
        assert read(b"\r\n \r\n" + sample(name))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b" \r\n\t ", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"hello", "it is neither camt.052"),
        ("交易日期,金额\n20261120,1.00\n".encode("gb18030"), "choose the bank's profile"),
        (b"\x1f\x8b\x08\x00abc", "the gzip file is cut short"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04abc", "the ZIP cannot be unpacked"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
        (b"<html><body>Please sign in</body></html>", "there is no Stmt"),
        (b"<Document", "the XML is broken"),
        (b":20:X", "has no tag 25"),
        (b"01,A,B,261120,", "without its trailer"),
    ],
)
def test_anything_else_is_refused_with_a_remedy(content, says):
    with pytest.raises(StatementFileError, match=says):
        read(content)


def test_a_refusal_names_file_line_place_and_remedy():
    content = changed(sample("camt053.xml"), (">863.50<", ">863,5o<"))

    with pytest.raises(StatementFileError) as refused:
        read_statements(io.BytesIO(content), name="中行\n20261120.xml")

    assert str(refused.value) == (
        "中行 20261120.xml, line 37, Ntry/Amt: the amount '863,5o' has a thousands separator: write"
        " 1234.50; ask the bank for the file again"
    )
    assert refused.value.facts == {
        "file_name": "中行 20261120.xml", "line_no": 37, "column": "Ntry/Amt",
    }  # fmt: skip
    assert isinstance(refused.value, SettlementFileError | BillFileError)
    assert refused.value.code == "bank_statement.refused"


def test_no_message_holds_a_whole_account_number():
    for old, new in (("10773.45", "10773.46"), ("<Ccy>CNY", "<Ccy>USD"), (">863.50<", "><")):
        with pytest.raises(StatementFileError) as refused:
            read(changed(sample("camt053.xml"), (old, new)))
        assert "6200000000000000001" not in str(refused.value)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 2 << 20)
    endless = _Endless()

    with pytest.raises(StatementFileError, match="larger than 2 MB"):
        read_statements(endless, name="x")
    assert endless.given <= (2 << 20) + 1


class _Endless(io.RawIOBase):
    """A stream that never ends, and gives little at a time."""

    given = 0

    def readable(self):
        return True

    def read(self, size=-1):
        assert size > 0
        part = b":20:X\n" * 700
        self.given += min(size, len(part))
        return part[:size]


class TestReferences:
    def test_each_once_in_order_and_no_fillers(self):
        assert references_of("CB2", "NONREF", "", "CB1", "cb2", "CB2", "000000", "notprovided") == (
            "CB2", "CB1", "cb2",
        )  # fmt: skip

    def test_one_with_a_remark_or_a_break_in_it_is_there_whole(self):
        assert references_of("CB26 11 water") == ("CB26 11 water", "CB26", "CB2611water")
        assert references_of("no number here") == ("no number here",)


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "fen"),
        [("1", 100), ("1.", 100), ("1.5", 150), ("0001.05", 105), ("1.50000", 150), ("0.0", 0)],
    )
    def test_zeros_around_an_amount_are_no_money(self, text, fen):
        assert base.read_amount(text, line_no=1, place="x") == fen

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "-1",
            "+1",
            "1.005",
            "1,001",
            "1.2.3",
            "1 000",
            ".5",
            "1e3",
            "１",
            "10000000000000000",
        ],
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(StatementFileError):
            base.read_amount(text, line_no=1, place="x")
