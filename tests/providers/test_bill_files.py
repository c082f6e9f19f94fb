"""The one contract every bill file reader keeps."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import BillFileError
from providers.base import BillRecord, Heading, RecordKind, Reject
from providers.registry import reader_for
from tests.providers.files import FIRST_ROW, GAS, MAKERS, POWER, TELECOM, WATER, Maker

DATA = Path(__file__).parents[1] / "data" / "providers"
EACH = pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.code)


def read(maker: Maker, data: bytes) -> list[BillRecord | Reject]:
    rows = list(reader_for(maker.code).read(io.BytesIO(data)))
    return [row for row in rows if not isinstance(row, Heading)]


def refusal(maker: Maker, data: bytes) -> BillFileError:
    with pytest.raises(BillFileError) as refused:
        read(maker, data)
    return refused.value


def read_on(maker: Maker, data: bytes) -> tuple[list[BillRecord | Reject], BillFileError | None]:
    """Read what comes before a refusal, too."""
    rows: list[BillRecord | Reject] = []
    try:
        for row in reader_for(maker.code).read(io.BytesIO(data)):
            if not isinstance(row, Heading):
                rows.append(row)
    except BillFileError as refused:
        return rows, refused
    return rows, None


def plain(record: BillRecord | Reject) -> object:
    return json.loads(json.dumps(record._asdict(), default=str, ensure_ascii=False))


class Drip(io.RawIOBase):
    """A stream that gives one byte at a time and counts what it gave."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        chunk = next(self._chunks, b"")
        self.given += len(chunk)
        return chunk


@EACH
class TestAGoodFile:
    def test_the_sample_reads_as_expected(self, maker):
        sample = (DATA / maker.code / f"sample.{maker.suffix}").read_bytes()
        expected = json.loads((DATA / maker.code / "expected.json").read_text("utf-8"))

        assert [plain(record) for record in read(maker, sample)] == expected

    def test_the_same_bytes_twice_give_the_same_records(self, maker):
        data = maker.file({}, {})

        assert read(maker, data) == read(maker, data)

    def test_a_stream_may_give_its_bytes_one_by_one(self, maker):
        data = maker.file({}, {})
        drip = Drip(data[at : at + 1] for at in range(len(data)))

        found = [row for row in reader_for(maker.code).read(drip) if not isinstance(row, Heading)]
        assert found == read(maker, data)

    def test_lines_may_end_in_crlf(self, maker):
        data = maker.file({}, {})

        assert read(maker, data.replace(b"\n", b"\r\n")) == read(maker, data)

    def test_the_last_line_end_may_be_missing(self, maker):
        data = maker.file({}, {})

        assert read(maker, data.rstrip(b"\n")) == read(maker, data)

    def test_a_cancellation_and_a_higher_version_are_told(self, maker):
        flag = {"water": "C", "power": "1", "gas": "9", "telecom": "cancel"}[maker.code]

        first, second = read(
            maker, maker.file({}, {maker.names["status"]: flag, maker.names["version"]: "12"})
        )

        assert (first.kind, first.version) == (RecordKind.BILL, 1)
        assert (second.kind, second.version) == (RecordKind.CANCEL, 12)

    @pytest.mark.parametrize("fen", [0, -4_321])
    def test_nothing_due_and_credits_are_bills(self, maker, fen):
        amount = f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"
        change = {maker.names["amount"]: amount}
        if maker is TELECOM:
            change["amount_fen"] = str(fen)
        if maker is GAS:
            change["应缴"] = f"{fen:010d}"

        (record,) = read(maker, maker.file(change))

        assert record.amount_fen == fen
        assert sum(item.amount_fen for item in record.items) == fen

    def test_rare_characters_survive(self, maker):
        (record,) = read(maker, maker.file({maker.names["holder"]: "珅弢瑋東億䶮𠮷"}))

        assert record.holder_name == "珅弢瑋東億䶮𠮷"

    def test_line_numbers_are_those_of_the_file(self, maker):
        records = read(maker, maker.file({}, {}, {}))

        assert [record.line_no for record in records] == [
            FIRST_ROW[maker.code] + n for n in range(3)
        ]


@EACH
class TestAWholeFileRefused:
    @pytest.mark.parametrize("data", [b"", b"\n\n", b"\r\n", b" "])
    def test_empty(self, maker, data):
        assert "empty" in refusal(maker, data).message

    def test_header_only(self, maker):
        closing = b"</BillFile>" if maker is TELECOM else b""

        assert "no bill" in refusal(maker, maker.header + b"\n" + closing).message

    def test_no_bill_between_header_and_trailer(self, maker):
        assert "no bill" in refusal(maker, maker.file(total=0)).message

    def test_a_nul_byte_is_named_by_line(self, maker):
        data = maker.file({}, {}).replace(b"-202610-1", b"-2026\x0010-1", 1)

        refused = refusal(maker, data)

        assert "NUL" in refused.message
        assert refused.line_no == FIRST_ROW[maker.code]

    @pytest.mark.parametrize(
        ("magic", "named"),
        [
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"%PDF-1.7", "PDF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
            (b"\xff\xfeH\x00", "UTF-16"),
        ],
    )
    def test_something_else_is_named(self, maker, magic, named):
        assert named in refusal(maker, magic + maker.file({})).message

    def test_a_workbook_is_named(self, maker):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("xl/workbook.xml", maker.file({}))

        assert "xlsx" in refusal(maker, packed.getvalue()).message

    def test_a_line_of_ten_megabytes_is_refused_without_reading_it(self, maker):
        start = maker.file({}).split(maker.row[maker.names["holder"]].encode(maker.encoding))[0]
        drip = Drip(iter([start, *[b"x" * 10_000] * 1_000]))
        reader = reader_for(maker.code)

        tracemalloc.start()
        with pytest.raises(BillFileError, match="bytes") as refused:
            list(reader.read(drip))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert refused.value.line_no == FIRST_ROW[maker.code]
        assert drip.given < 2_000_000
        assert peak < 6_000_000

    def test_the_other_encoding_is_named(self, maker):
        other, looks = ("utf-8", "UTF-8") if maker.encoding == "gb18030" else ("gb18030", "GB18030")
        data = maker.file({}, {}).removeprefix(b"\xef\xbb\xbf").decode(maker.encoding).encode(other)

        refused = refusal(maker, data)

        assert f"looks like {looks}" in refused.message
        assert refused.line_no is not None

    def test_an_undecodable_byte_is_named_by_line_and_place(self, maker):
        good = maker.file({}, {maker.names["holder"]: "QQQQQQ"})
        before, after = good.split(b"QQQQQQ")

        refused = refusal(maker, before + b"QQ\xff\xffQQ" + after)

        offset = len(before) - before.rfind(b"\n") - 1 + 2
        assert refused.line_no == FIRST_ROW[maker.code] + 1
        assert f"byte {offset + 1} of the line (0xFF)" in refused.message

    def test_the_header_of_another_company(self, maker):
        other = MAKERS[(MAKERS.index(maker) + 1) % len(MAKERS)]

        assert refusal(maker, other.file({})).line_no is not None


WITH_TOTALS = pytest.mark.parametrize(
    "maker", [maker for maker in MAKERS if maker.has_totals], ids=lambda maker: maker.code
)


@WITH_TOTALS
class TestControlTotals:
    @pytest.mark.parametrize("count", [1, 3])
    def test_another_count_is_refused_with_both_figures(self, maker, count):
        refused = refusal(maker, maker.file({}, {}, count=count))

        assert f"holds {count} bills but 2 were read" in refused.message

    @pytest.mark.parametrize("off_fen", [-1, 1])
    def test_one_fen_off_is_refused_with_both_figures(self, maker, off_fen):
        fen = 17_300 + off_fen
        total = str(fen) if maker is GAS else f"{fen // 100}.{fen % 100:02d}"

        refused = refusal(maker, maker.file({}, {}, total=total))

        assert f"{fen // 100}.{fen % 100:02d}" in refused.message
        assert "173.00" in refused.message

    def test_rejected_rows_count(self, maker):
        bad, good = read(maker, maker.file({maker.names["account"]: "x" * 8}, {}))

        assert isinstance(bad, Reject)
        assert isinstance(good, BillRecord)

    def test_an_unreadable_amount_makes_the_sum_unprovable(self, maker):
        amount = maker.names["amount"]
        data = maker.file({}, {amount: "8x.50"}, {amount: "y"}, total=maker.total([maker.row]))

        refused = refusal(maker, data)

        assert refused.line_no == FIRST_ROW[maker.code] + 1
        assert refused.column == amount
        assert "8x.50" in refused.message

    def test_a_missing_trailer_is_refused(self, maker):
        cut = b"".join(maker.file({}, {}).splitlines(keepends=True)[:-1])

        assert refusal(maker, cut).message

    def test_anything_after_the_trailer_is_refused(self, maker):
        more = maker.line(maker.row) + b"\n"
        data = maker.file({}, {})
        data = (
            data.replace(b"</BillFile>", more + b"</BillFile>") if maker is TELECOM else data + more
        )

        refused = refusal(maker, data)

        assert "after" in refused.message
        assert refused.line_no is not None


# What a test means by a column, the text in it, and a word of the complaint.
FAULTS = [
    ("account", "1000 00001", "space"),
    ("account", "１０００", "full-width"),
    ("account", "1", "digits"),
    ("account", "", "account number"),
    ("amount", "12.345", "12.345"),
    ("amount", "-0", "minus zero"),
    ("amount", "1,234.50", "1,234.50"),
    ("amount", "1２", ""),
    ("amount", "1e3", "1e3"),
    ("amount", " ", ""),
    ("amount", "+1.00", "+1.00"),
    ("amount", "nan", "nan"),
    ("from", "impossible", "no date"),
    ("month", "month 13", "no date"),
    ("to", "august", "before it begins"),
    ("due", "october", "before it is issued"),
    ("month", "1999", "before 2000-01"),
    ("month", "2028", "more than 13 months"),
    ("status", "X", "unknown"),
    ("version", "0", "1 to 99"),
    ("version", "１", "1 to 99"),
    ("holder", "张\t三", "U+0009"),
    ("address", "路\u200b1号", "U+200B"),
    ("bill", "w_1", "bill number"),
]


class TestABadRow:
    @EACH
    @pytest.mark.parametrize(("what", "text", "told"), FAULTS, ids=lambda value: ascii(value))
    def test_is_rejected_by_line_and_column_and_the_rest_is_read(self, maker, what, text, told):
        column, text = maker.names[what], maker.dates.get(text, text)
        amount_is_bad = what == "amount" and maker.has_totals
        data = maker.file({}, {column: text}, {}, **({"total": "0"} if amount_is_bad else {}))
        line_no = FIRST_ROW[maker.code] + 1

        rows, refused = read_on(maker, data)

        assert [type(row) for row in rows] == [BillRecord, Reject, BillRecord]
        assert (rows[1].line_no, rows[1].column) == (line_no, column)
        assert (refused is not None) == amount_is_bad
        if refused is not None:
            assert (refused.line_no, refused.column) == (line_no, column)
        if maker is not GAS:  # its cells are padded to their width, so other words may come first
            assert told in rows[1].reason
        assert rows[1].raw

    @pytest.mark.parametrize("maker", [WATER, POWER], ids=lambda maker: maker.code)
    @pytest.mark.parametrize("text", ["-1", "1.2345", "1e2", "１２", "", ".5"])
    def test_a_quantity_is_digits_and_at_most_three_decimals(self, maker, text):
        change = {maker.names["quantity"]: text}

        (bad,) = read(maker, maker.file(change))

        assert bad.column == maker.names["quantity"]

    def test_the_raw_row_is_cut_to_500_characters(self):
        (bad,) = read(POWER, POWER.file({"用电地址": "长" * 2_000, "户号": "x"}))

        assert len(bad.raw) == 500


class TestDelimited:
    def test_power_reads_with_and_without_its_byte_order_mark(self):
        data = POWER.file({})

        assert read(POWER, data.removeprefix(b"\xef\xbb\xbf")) == read(POWER, data)

    def test_a_byte_order_mark_before_gb18030_is_refused(self):
        assert "byte order mark" in refusal(WATER, b"\xef\xbb\xbf" + WATER.file({})).message

    def test_the_lines_of_a_water_bill_add_up_with_a_rounding_line(self):
        (record,) = read(WATER, WATER.file({"应缴金额": "86.40"}))

        assert [(item.name, str(item.quantity), item.amount_fen) for item in record.items] == [
            ("供水费", "25", 4_825),
            ("排水费", "None", 3_825),
            ("尾差", "None", -10),
        ]

    def test_power_sums_peak_and_valley(self):
        (record,) = read(POWER, POWER.file({"峰电量": "0.1", "谷电量": "0.2"}))

        assert str(record.usage) == "0.3"
        assert [item.name for item in record.items] == ["峰电费", "谷电费"]

    @pytest.mark.parametrize("cells", ["D|1000000001", "D|" + "|" * 16])
    def test_a_wrong_number_of_cells_is_rejected_and_the_sum_unprovable(self, cells):
        data = WATER.file({}).replace(b"T|", cells.encode() + b"\nT|").replace(b"T|1", b"T|2")

        refused = refusal(WATER, data)

        assert "instead of 16 or 17" in refused.message
        assert refused.line_no == 3

    def test_power_keeps_the_rows_around_a_row_with_a_wrong_number_of_cells(self):
        rows = read(POWER, POWER.file({}) + b"3100000000001,x\n" + POWER.line(POWER.row))

        assert [type(row) for row in rows] == [BillRecord, Reject, BillRecord]
        assert (rows[1].line_no, rows[1].column) == (3, "")

    def test_a_quotation_mark_left_open_costs_its_own_line_only(self):
        rows = read(POWER, POWER.file({}) + b'310,"x,\n' + POWER.line(POWER.row))

        assert [type(row) for row in rows] == [BillRecord, Reject, BillRecord]
        assert "quotation" in rows[1].reason

    def test_the_columns_of_power_may_stand_in_another_order_and_with_odd_spaces(self):
        lines = POWER.file({}).decode("utf-8-sig").splitlines()
        turned = [",".join([line.split(",")[0], *line.split(",")[1:]]) for line in lines]
        header = turned[0].split(",")
        row = POWER.line(POWER.row | {"用电地址": "路"}).decode().split(",")
        data = "\u00a0" + ",\u00a0".join(reversed(header)) + "\n" + ",".join(reversed(row))

        assert read(POWER, data.encode()) == read(POWER, POWER.file({"用电地址": "路"}))

    def test_a_missing_column_is_named(self):
        data = POWER.file({}).replace("峰电量".encode(), "峰量".encode())

        refused = refusal(POWER, data)

        assert (refused.line_no, refused.column) == (1, "峰电量")

    def test_an_extra_column_is_named(self):
        refused = refusal(POWER, POWER.file({}).replace("户号,".encode(), "户号,备注,".encode()))

        assert "备注" in refused.message

    def test_an_unknown_kind_of_line_is_rejected(self):
        rows = read(WATER, WATER.file({}).replace(b"D|", b"X|1\nD|", 1))

        assert (rows[0].line_no, rows[0].column) == (2, "类型")


class TestFixedWidth:
    def test_a_width_that_cuts_a_character_in_two_is_rejected(self):
        good = GAS.file({"户名": "一" * 19 + "AA"})

        (bad,) = read(GAS, good.replace(b"AA", b"A" + "一".encode("gb18030")[:1]))

        assert (bad.line_no, bad.column) == (2, "户名")
        assert "middle of a character" in bad.reason

    def test_a_line_of_another_length_is_rejected(self):
        data = GAS.file({}, {}).replace(b"2026324\n", b"202632\n", 1)

        rows, refused = read_on(GAS, data)

        assert "200 bytes long instead of 201" in refused.message
        assert isinstance(rows[0], Reject)
        assert isinstance(rows[1], BillRecord)

    def test_a_replaced_meter_does_not_disturb_the_usage(self):
        (record,) = read(GAS, GAS.file({}))

        assert str(record.usage) == "24"
        assert record.due_on.isoformat() == "2026-11-20"

    @pytest.mark.parametrize("day", ["2026000", "2026366", "202630x"])
    def test_a_day_of_the_year_that_is_not_is_rejected(self, day):
        (bad,) = read(GAS, GAS.file({"出账": day}))

        assert bad.column == "出账"


class TestTelecom:
    def test_a_dtd_is_refused(self):
        declared = b'?>\n<!DOCTYPE BillFile [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        data = TELECOM.file({"Holder": "ENTITY"}).replace(b"?>", declared, 1)

        assert "DTD" in refusal(TELECOM, data.replace(b">ENTITY<", b">&b;<")).message

    def test_items_that_do_not_add_up_are_rejected(self):
        (bad,) = read(TELECOM, TELECOM.file({"amount_fen": "8649"}))

        assert (bad.line_no, bad.column) == (3, "Total")

    @pytest.mark.parametrize("tag", ["AccountNo", "Issued", "Holder"])
    def test_a_missing_element_is_named(self, tag):
        text = TELECOM.row[tag]
        data = TELECOM.file({}).replace(f"<{tag}>{text}</{tag}>".encode(), b"")

        (bad,) = read(TELECOM, data)

        assert bad.column == tag

    def test_a_version_left_out_is_the_first(self):
        data = TELECOM.file({}).replace(b"<Version>1</Version>", b"")

        assert read(TELECOM, data)[0].version == 1

    def test_broken_xml_is_refused_with_its_line(self):
        refused = refusal(TELECOM, TELECOM.file({}, {}).replace(b"</Holder>", b"", 1))

        assert refused.line_no == 3

    def test_a_file_without_line_breaks_is_read_in_flat_memory(self):
        bill = TELECOM.line(TELECOM.row)
        parts = [TELECOM.header, *[bill] * 6_000, TELECOM.trailer(6_000, "519000.00")]
        reader = reader_for("telecom")

        tracemalloc.start()
        count = sum(1 for _ in reader.read(Drip(iter(parts))))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert count == 1 + 6_000
        assert peak < 1_000_000

    def test_a_bad_byte_far_into_a_long_line_is_named_by_its_place(self):
        start = TELECOM.header + TELECOM.line(TELECOM.row) * 500

        refused = refusal(TELECOM, start + b"\xff")

        offset = len(start) - start.rfind(b"\n")
        assert (refused.line_no, f"byte {offset} of" in refused.message) == (2, True)
