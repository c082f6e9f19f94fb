"""What files say beside plain bills: their number, reminders, other amounts to pay."""

import io
from datetime import date
from pathlib import Path

import pytest

from core.errors import BillFileError, Invalid
from providers.base import (
    AmountRule,
    BillFileReader,
    BillRecord,
    Exactness,
    Heading,
    OptionKind,
    PayOption,
    PayTerms,
    RecordKind,
    Reject,
)
from providers.profiles import load_profile
from providers.registry import PROFILES, reader_for, reader_from
from tests.providers.files import GAS, POWER, TELECOM, WATER, Maker

WATER_TOML = (PROFILES / "water.toml").read_text("utf-8")
POWER_TOML = (PROFILES / "power.toml").read_text("utf-8")
GAS_TOML = (PROFILES / "gas.toml").read_text("utf-8")
OPTIONS = """    { name = "提前金额", holds = "early_amount", optional = true },
    { name = "提前截止", holds = "early_until", optional = true },
    { name = "逾期金额", holds = "late_amount", optional = true },
    { name = "最低金额", holds = "minimum_amount", optional = true },
]
"""


def everything(reader: BillFileReader, data: bytes) -> list[Heading | BillRecord | Reject]:
    return list(reader.read(io.BytesIO(data)))


def rows(reader: BillFileReader, data: bytes) -> list[BillRecord | Reject]:
    return [row for row in everything(reader, data) if not isinstance(row, Heading)]


def profiled(tmp_path: Path, text: str) -> BillFileReader:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return reader_from(load_profile(path))


class TestTheFilesNumber:
    """Rule 40: a file is known by its bytes and by the number in its header."""

    @pytest.mark.parametrize("maker", [WATER, GAS, TELECOM], ids=lambda maker: maker.code)
    def test_comes_first_without_its_leading_zeros(self, maker: Maker):
        first, *others = everything(reader_for(maker.code), maker.file({}, {}))

        assert first == Heading("42")
        assert [type(row) for row in others] == [BillRecord, BillRecord]

    def test_is_not_there_in_a_file_without_one(self):
        assert [type(row) for row in everything(reader_for("power"), POWER.file({}))] == [
            BillRecord
        ]

    @pytest.mark.parametrize("number", ["", "4x", "４２", "-1"])
    def test_is_digits(self, number):
        data = WATER.file({}).replace(b"|42|", f"|{number}|".encode("gb18030"))

        with pytest.raises(BillFileError) as refused:
            everything(reader_for("water"), data)

        assert (refused.value.line_no, refused.value.column) == (1, "文件序号")


REMINDER = {
    "账单号": "W-202610-1-R", "状态": "R", "用水量": "0", "供水费": "0.00", "排水费": "0.00",
    "应缴金额": "5.00", "原账单号": "W-202610-1",
}  # fmt: skip


class TestAReminder:
    """Rule 11: another paper for a bill, with a number of its own."""

    def test_of_water_names_its_bill_in_the_last_cell(self):
        plain, reminder = rows(reader_for("water"), WATER.file({}, REMINDER))

        assert (plain.kind, plain.original_no) == (RecordKind.BILL, "")
        assert (reminder.kind, reminder.original_no) == (RecordKind.REMIND, "W-202610-1")
        assert (reminder.bill_no, reminder.amount_fen) == ("W-202610-1-R", 500)

    def test_of_telecom_names_its_bill_in_an_element(self):
        data = TELECOM.file({"action": "remind"}).replace(
            b"</Version>", b"</Version><OriginalNo>T-1</OriginalNo>"
        )

        (reminder,) = rows(reader_for("telecom"), data)

        assert (reminder.kind, reminder.original_no) == (RecordKind.REMIND, "T-1")

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            (REMINDER | {"原账单号": ""}, "a reminder names the bill it reminds of"),
            ({"原账单号": "W-1"}, "only a reminder names another bill"),
            (REMINDER | {"原账单号": "w_1"}, "the original bill number"),
        ],
    )
    def test_and_nothing_else_names_another_bill(self, changes, told):
        (bad,) = rows(reader_for("water"), WATER.file(changes))

        assert isinstance(bad, Reject)
        assert bad.column == "原账单号"
        assert told in bad.reason

    def test_without_the_last_cell_is_told_the_same(self):
        changes = {name: cell for name, cell in REMINDER.items() if name != "原账单号"}

        (bad,) = rows(reader_for("water"), WATER.file(changes))

        assert (bad.column, "names the bill" in bad.reason) == ("原账单号", True)

    def test_of_telecom_without_its_bill_is_rejected(self):
        (bad,) = rows(reader_for("telecom"), TELECOM.file({"action": "remind"}))

        assert bad.column == "OriginalNo"


class TestOtherAmountsInColumns:
    """Rules 2 and 3: what may be paid instead of the bill's own amount."""

    @pytest.fixture
    def reader(self, tmp_path):
        return profiled(tmp_path, WATER_TOML.replace("]\n", OPTIONS, 1))

    def test_are_the_bills_own_terms_under_the_columns_names(self, reader):
        stated = {"原": "", "a": "80.00", "b": "20261110", "c": "90.00", "d": "20.00"}

        (record,) = rows(reader, WATER.file(stated))

        assert record.pay_terms == PayTerms(
            options=(
                PayOption(
                    "early", OptionKind.EARLY, "提前金额", 8_000, until_on=date(2026, 11, 10)
                ),
                PayOption("late", OptionKind.LATE, "逾期金额", 9_000),
                PayOption("minimum", OptionKind.MINIMUM, "最低金额", 2_000),
            )
        )

    @pytest.mark.parametrize("cells", [{}, {"原": ""}, {"原": "", "a": "", "b": "", "c": "0.00"}])
    def test_blank_nought_and_left_out_say_nothing(self, reader, cells):
        (record,) = rows(reader, WATER.file(cells))

        assert (record.pay_terms, record.original_no) == (None, "")

    def test_an_early_amount_without_its_day_is_kept_and_never_offered(self, reader):
        (record,) = rows(reader, WATER.file({"原": "", "a": "80.00", "b": ""}))

        assert record.pay_terms.options[0].until_on is None

    @pytest.mark.parametrize(
        ("cells", "column"),
        [({"a": "8x", "b": ""}, "提前金额"), ({"a": "8.00", "b": "20261131"}, "提前截止")],
    )
    def test_a_wrong_cell_is_rejected_by_its_column(self, reader, cells, column):
        (bad,) = rows(reader, WATER.file({"原": ""} | cells))

        assert (bad.line_no, bad.column) == (2, column)

    def test_too_many_cells_are_told(self, reader):
        data = WATER.file({}).replace(b"\nT|", b"|||||||\nT|")

        with pytest.raises(BillFileError, match="instead of 16 or 17 or 18 or 19 or 20 or 21"):
            rows(reader, data)

    def test_columns_with_names_may_be_left_out_by_name(self, tmp_path):
        reader = profiled(tmp_path, POWER_TOML.replace("\n]\n", "\n" + OPTIONS, 1))
        data = POWER.file({"用电地址": "路"}).replace(
            "缴费截止日期\n".encode(), "缴费截止日期,逾期金额\n".encode()
        )

        (record,) = rows(reader, data.rstrip(b"\n") + b",99.00\n")
        (plain,) = rows(reader, POWER.file({"用电地址": "路"}))

        assert [option.code for option in record.pay_terms.options] == ["late"]
        assert plain.pay_terms is None

    def test_of_a_fixed_width_are_blank_or_nought_where_there_is_none(self, tmp_path):
        column = '    { name = "最低", holds = "minimum_amount", at = 201, bytes = 10 },\n]\n'
        text = GAS_TOML.replace("\n]\n", "\n" + column, 1).replace(
            "row_bytes = 201", "row_bytes = 211"
        )
        reader = profiled(tmp_path, text)

        def read(cell: bytes) -> BillRecord:
            (record,) = rows(reader, GAS.file({}).replace(b"2026324\n", b"2026324" + cell + b"\n"))
            return record

        assert read(b" " * 10).pay_terms is None
        assert read(b"0" * 10).pay_terms is None
        assert read(b"0000002000").pay_terms.options[0].amount_fen == 2_000


OPTION = '<Option code="early" kind="early" name="提前" amount_fen="800" until="2026-11-10"/>'


def changed(old: str, new: str) -> str:
    return f"<Options>{OPTION.replace(old, new)}</Options>"


class TestOtherAmountsInElements:
    def read(self, elements: str) -> BillRecord | Reject:
        data = TELECOM.file({}).replace(b"</Bill>", elements.encode() + b"</Bill>")
        (row,) = rows(reader_for("telecom"), data)
        return row

    def test_are_the_bills_own_terms(self):
        record = self.read(
            '<PayRule mode="range" minimum_fen="100" maximum_fen="8650"/>'
            f'<Options>{OPTION}<Option code="late" kind="late" name="逾期" amount_fen="9000"'
            ' from="2026-11-25"><PayRule mode="exact_and_above"/></Option></Options>'
        )

        assert record.pay_terms == PayTerms(
            AmountRule(Exactness.RANGE, 100, 8_650),
            (
                PayOption("early", OptionKind.EARLY, "提前", 800, until_on=date(2026, 11, 10)),
                PayOption(
                    "late", OptionKind.LATE, "逾期", 9_000, from_on=date(2026, 11, 25),
                    rule=AmountRule(Exactness.EXACT_AND_ABOVE),
                ),
            ),
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("elements", "column", "told"),
        [
            ('<PayRule mode="some"/>', "mode", "write one of exact, exact_and_above"),
            ('<PayRule mode="range" minimum_fen="1.5"/>', "minimum_fen", ""),
            ("<Options><Other/></Options>", "Options", "Options holds Option elements"),
            (changed("800", "8.00"), "amount_fen", ""),
            (changed('kind="early"', 'kind="soon"'), "kind", "soon"),
            (changed("11-10", "11-31"), "until", "no date"),
            (changed("/>", "><A/></Option>"), "Options", "one PayRule"),
        ],
    )  # fmt: skip
    def test_a_wrong_one_is_rejected_by_its_name(self, elements, column, told):
        bad = self.read(elements)

        assert isinstance(bad, Reject)
        assert (bad.line_no, bad.column) == (3, column)
        assert told in bad.reason


class TestAWrongProfile:
    @pytest.mark.parametrize(
        ("source", "old", "new", "told"),
        [
            (WATER_TOML, '"R" = "remind"', "", "a flag that means 'remind' and a column"),
            (WATER_TOML, 'holds = "original_no"', 'holds = "unused"', "'remind' and a column"),
            (WATER_TOML, 'holds = "row_count"', 'holds = "sequence"', "stands in the header"),
            (WATER_TOML, 'holds = "day"', 'holds = "sequence"', "two fields hold 'sequence'"),
            (WATER_TOML, 'holds = "status" }', 'holds = "status", optional = true }',
             "optional columns stand at the row's end"),
            (WATER_TOML, 'holds = "due" }', 'holds = "due", optional = true }',
             "'最后缴费日' holds 'due': not optional"),
            (WATER_TOML, 'holds = "original_no"', 'holds = "early_amount"', "go together"),
            (GAS_TOML, "at = 194, bytes = 7,", "at = 194, bytes = 7, optional = true,",
             "leave optional out"),
        ],
    )  # fmt: skip
    def test_is_told(self, tmp_path, source, old, new, told):
        assert old in source

        with pytest.raises(Invalid, match=told):
            profiled(tmp_path, source.replace(old, new, 1))
