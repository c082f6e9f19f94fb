"""Column names that stand in several rows: a group above its parts, units, a second language."""

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import openpyxl
import pytest

from core.errors import BillFileError, Invalid
from providers.base import BillRecord
from providers.formats.headings import joined
from providers.profiles import Profile, parse_profile
from providers.proposing.proposal import Company, Proposal, propose
from providers.registry import reader_from
from tests.providers.samples_mapped import json_profile, sheet_profile

COMPANY = Company("spring", "春镇", "Spring", "water", "000-0000-0107", "9107")
UPPER = (
    "户号",
    "户名",
    "账单号",
    "账期",
    None,
    None,
    "出账日",
    "最后缴费日",
    "金额(元)",
    None,
    None,
)
LOWER = (None, None, None, "月份", "起", "止", None, None, "水费", "污水费", "合计")
MERGED = ("A1:A2", "B1:B2", "C1:C2", "D1:F1", "G1:G2", "H1:H2", "I1:K1")
BILLS = [
    (f"{1_000_000_001 + at}", "张珅", f"B-{at}", "202610", date(2026, 10, 1), date(2026, 10, 31),
     date(2026, 11, 1), date(2026, 11, 20), 60.25 + at, 26.25, 86.5 + at)
    for at in range(8)
]  # fmt: skip
AMOUNTS = [8_650 + 100 * at for at in range(8)]


def book(rows: Sequence[Sequence[Any]], merged: Sequence[str] = ()) -> bytes:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(list(row))
    for cells in merged:
        workbook.active.merge_cells(cells)
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()


def found_in(data: bytes) -> Proposal:
    return propose(io.BytesIO(data), COMPANY)


def read(data: bytes, profile: Profile | None = None) -> list:
    profile = profile or parse_profile(found_in(data).text, "the proposal")
    return list(reader_from(profile).read(io.BytesIO(data)))


def amounts(rows: list) -> list[int]:
    assert all(isinstance(row, BillRecord) for row in rows), rows
    return [row.amount_fen for row in rows]


class TestNamesAreJoined:
    @pytest.mark.parametrize(
        "rows",
        [
            (("户号", "金额", "", "备注"), ("", "电费", "合计", "")),
            (("户号", "金额", "金额", "备注"), ("户号", "电费", "合计", "备注")),
        ],
        ids=["as merged cells", "as repeated ones"],
    )
    def test_from_the_top_down(self, rows):
        assert joined(rows) == ["户号", "金额 电费", "金额 合计", "备注"]

    def test_through_three_rows(self):
        rows = [("费用", "", ""), ("分项", "", "合计"), ("水费", "污水费", "")]

        assert joined(rows) == ["费用 分项 水费", "费用 分项 污水费", "费用 合计"]

    def test_and_a_name_without_parts_is_no_group(self):
        assert joined([("户号", ""), ("", "户名")]) == ["户号", "户名"]

    def test_and_one_row_stays_as_it_is(self):
        assert joined([("户号 ", "", "金额")]) == ["户号 ", "", "金额"]


class TestAHeadingOfTwoRows:
    def test_is_proposed_and_read(self):
        data = book([UPPER, LOWER, *BILLS], MERGED)

        text = found_in(data).text

        assert "rows = 2" in text
        assert '{ name = "金额(元) 合计", holds = "amount" }' in text
        assert '{ name = "账期 起", holds = "period_from" }' in text
        assert amounts(read(data)) == AMOUNTS

    def test_is_found_below_titles_and_passed_over_where_a_page_repeats_it(self):
        title = ["水费账单"]
        data = book([title, [], UPPER, LOWER, *BILLS[:4], UPPER, LOWER, *BILLS[4:]])

        assert amounts(read(data)) == AMOUNTS

    def test_in_another_order_is_another_table(self):
        data = book([UPPER, LOWER, *BILLS])
        profile = parse_profile(found_in(data).text, "the proposal")
        swapped = [*LOWER[:8], "合计", "污水费", "水费"]

        with pytest.raises(BillFileError, match="line 11: the column names stand here again"):
            read(book([UPPER, LOWER, *BILLS, UPPER[::-1]]), profile)
        with pytest.raises(BillFileError, match="line 12: the column names stand here again"):
            read(book([UPPER, LOWER, *BILLS, UPPER, swapped, *BILLS]), profile)

    def test_without_a_column_is_told_by_its_last_row(self):
        profile = parse_profile(found_in(book([UPPER, LOWER, *BILLS])).text, "the proposal")

        with pytest.raises(BillFileError, match=r"^line 2, column 金额\(元\) 合计: the header has"):
            read(book([UPPER, (*LOWER[:-1], "总"), *BILLS]), profile)

    def test_of_text_is_read_too(self):
        rows = [UPPER, LOWER, *BILLS]
        data = "".join(",".join(str(cell or "") for cell in row) + "\n" for row in rows)

        assert amounts(read(data.encode())) == AMOUNTS

    @pytest.mark.parametrize(
        "below",
        [
            [None] * 8 + ["元", "元", "元"],
            [str(at + 1) for at in range(11)],
            ["Account No", "Name", "Bill No", "Month", "From", "To", "Issued", "Due", "Water",
             "Sewage", "Total"],
        ],
        ids=["its units", "the columns' numbers", "another language"],
    )  # fmt: skip
    def test_may_have_a_third_of(self, below):
        assert amounts(read(book([UPPER, LOWER, below, *BILLS], MERGED))) == AMOUNTS

    def test_that_says_another_unit_is_asked_about(self):
        names = [name and name.replace("(元)", "(万元)") for name in UPPER]

        assert 'amount_unit = "?"' in found_in(book([names, LOWER, *BILLS])).text

    def test_takes_no_title_for_its_first(self):
        names = ("户号", "户名", "账单号", "账期", "起", "止", "出账日", "最后缴费日", "水费",
                 "特殊", "金额")  # fmt: skip
        data = book([("电费清单", None, None, "居民用户"), names, *BILLS])

        assert "rows = " not in found_in(data).text


@pytest.mark.parametrize("rows", [0, 4])
def test_a_heading_has_one_to_three_rows(rows):
    with pytest.raises(Invalid, match=r"header\.rows: "):
        sheet_profile(f'[header]\nkind = "names"\nrows = {rows}')


def test_rows_of_names_belong_to_tables():
    with pytest.raises(Invalid, match="rows counts the rows of names of a workbook"):
        json_profile('format = "json"\nlisted = true', '[header]\nkind = "names"\nrows = 2')
