"""Lists as files: what a spreadsheet opens is what the page shows, and runs nothing."""

import asyncio
import csv
import io
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, date, datetime

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from core.money import parse_yuan
from web import exports
from web.exports import Cell, Yuan, export, read_rows

HEAD = ("What", "Amount", "Day", "At", "Number")
ROW: Sequence[Cell] = ("水费", Yuan(-123_456), date(2026, 11, 20),
                       datetime(2026, 11, 20, 16, 30, tzinfo=UTC), 7)  # fmt: skip


def body_of(answer: StreamingResponse) -> bytes:
    return TestClient(answer).get("/").content


def as_csv(*rows: Sequence[Cell], head: Sequence[str] = HEAD) -> list[list[str]]:
    text = body_of(export("csv", name="list", head=head, rows=rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def as_book(*rows: Sequence[Cell], head: Sequence[str] = HEAD) -> openpyxl.Workbook:
    answer = export("xlsx", name="list", head=head, rows=rows)
    return openpyxl.load_workbook(io.BytesIO(body_of(answer)))


async def _drain(answer: StreamingResponse) -> None:
    async for _ in answer.body_iterator:
        pass


class TestCsv:
    def test_excel_in_china_reads_it_as_utf_8(self):
        assert body_of(export("csv", name="list", head=HEAD, rows=[ROW])).startswith(
            b"\xef\xbb\xbf"
        )

    def test_amounts_are_yuan_and_moments_the_citys(self):
        assert as_csv(ROW)[1] == ["水费", "-1234.56", "2026-11-20", "2026-11-21 00:30:00", "7"]

    def test_without_rows_there_is_still_the_head(self):
        assert as_csv() == [list(HEAD)]

    @pytest.mark.parametrize(
        "text",
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "＝1+1", "－1", "＠x", "\r=1", "\n=1"],
    )
    def test_a_text_that_would_run_as_a_formula_is_quoted(self, text):
        """ASVS 1.2.10 (CWE-1236)."""
        assert as_csv((text,), head=("a",))[1] == [f"'{text}"]

    def test_a_negative_amount_is_no_formula(self):
        assert as_csv((Yuan(-5), -5), head=("a", "b"))[1] == ["-0.05", "-5"]

    @given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
    def test_what_was_written_is_read_back(self, texts):
        read = as_csv(texts, head=["x"] * len(texts))[1]

        assert [one.removeprefix("'") for one in read] == [one.removeprefix("'") for one in texts]

    @given(st.integers(-(10**15) + 1, 10**15 - 1))
    def test_an_amount_is_exact(self, fen):
        assert parse_yuan(as_csv((Yuan(fen),), head=("a",))[1][0]) == fen


class TestSpreadsheet:
    def test_cells_are_numbers_days_and_moments(self):
        sheet = as_book(ROW).active

        assert [cell.value for cell in sheet[1]] == list(HEAD)
        assert [str(cell.value) for cell in sheet[2]] == [
            "水费", "-1234.56", "2026-11-20 00:00:00", "2026-11-21 00:30:00", "7",
        ]  # fmt: skip
        assert [cell.data_type for cell in sheet[2]] == [*"snddn"]
        assert sheet["B2"].number_format == "#,##0.00"
        assert sheet["C2"].number_format == "yyyy-mm-dd"
        assert sheet["D2"].number_format == "yyyy-mm-dd hh:mm:ss"

    def test_the_head_stays_in_sight_and_columns_fit(self):
        sheet = as_book(("汉口路一百二十三弄四十五号六楼七室", 1), head=("Address", "n")).active

        assert sheet.freeze_panes == "A2"
        assert sheet["A1"].font.bold
        assert sheet.column_dimensions["A"].width > 34
        assert sheet.column_dimensions["B"].width < 10

    @pytest.mark.parametrize("text", ["=1+1", '=HYPERLINK("http://evil")', "http://evil", "007"])
    def test_a_text_is_a_text(self, text):
        """Nothing is run, nothing is a link, and an account number keeps its noughts."""
        cell = as_book((text,), head=("a",)).active["A2"]

        assert (cell.value, cell.data_type, cell.hyperlink) == (text, "s", None)

    def test_what_a_spreadsheet_would_round_is_a_text(self):
        sheet = as_book((10**17 + 1, Yuan(10**17 + 1)), head=("a", "b")).active

        assert [cell.value for cell in sheet[2]] == ["100000000000000001", "1000000000000000.01"]

    def test_a_full_sheet_is_followed_by_another(self, monkeypatch):
        monkeypatch.setattr(exports, "SHEET_ROWS", 4)

        for rows, sizes in ((3, [4]), (4, [4, 2]), (6, [4, 4]), (7, [4, 4, 2]), (0, [1])):
            book = as_book(*[(n,) for n in range(rows)], head=("n",))
            assert [sheet.max_row for sheet in book] == sizes
            assert [row[0] for sheet in book for row in sheet.iter_rows(2, values_only=True)] == [
                *range(rows)
            ]
            assert all(sheet["A1"].value == "n" for sheet in book)

    @given(st.integers(-(10**15) + 1, 10**15 - 1))
    def test_an_amount_is_exact(self, fen):
        value = as_book((Yuan(fen),), head=("a",)).active["A2"].value

        assert round(value * 100) == fen


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
class TestAnyFile:
    def test_its_name_may_be_chinese(self, kind):
        answer = export(kind, name="差异 1", head=HEAD, rows=[])

        assert answer.headers["content-disposition"] == (
            f"attachment; filename*=UTF-8''%E5%B7%AE%E5%BC%82%201.{kind}"
        )

    def test_memory_does_not_grow_with_the_rows(self, kind):
        peaks = []
        for rows in (2_000, 40_000):
            tracemalloc.start()
            body = export(kind, name="list", head=HEAD, rows=(ROW for _ in range(rows)))
            asyncio.run(_drain(body))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

        assert peaks[1] < 2 * peaks[0]

    def test_rows_are_read_in_a_transaction_of_their_own(self, kind, city):
        seen = []

        def read(session):
            seen.append(session.connection().closed)
            yield ("x",)
            seen.append(session.connection().closed)

        body_of(export(kind, name="list", head=("a",), rows=read_rows(read)))

        assert seen == [False, False]
