"""Reports on A4: what is written is there, whole, on pages that say how many there are."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdfium2 import PdfDocument
from reportlab.lib.pagesizes import A4

from billing.documents.charts import Line, rows_drawing
from billing.documents.day_charts import Point, columns_drawing, hours_drawing
from billing.documents.fonts import require_fonts
from billing.documents.sheets import About, Column, Sheets, Tile, sheets_pdf
from billing.documents.svg import as_svg
from billing.documents.typesetting import Term

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
TITLE, NOTE = Term("日结报表", "Report of the day"), Term("说明", "A note")


def about(locale: str = "zh_CN") -> About:
    return About(title=TITLE, of="2026-11-20", note=NOTE, made_at=AT, locale=locale)


def texts(content: bytes) -> list[str]:
    pages = PdfDocument(content)
    return [page.get_textpage().get_text_range() for page in pages]


def a_table(rows: int) -> bytes:
    def draw(sheets: Sheets) -> None:
        sheets.heading(Term("明细", "Items"))
        sheets.table(
            (Column(Term("项目", "What"), 3), Column(Term("金额", "Amount"), 1, True)),
            [(f"row-{at:04d}", "¥1.00") for at in range(rows)],
            total=(sheets.say(Term("合计", "Sum")), f"¥{rows}.00"),
        )

    return sheets_pdf(draw, about("en"))


class TestPages:
    def test_a_document_says_what_it_is_in_its_language(self):
        for locale, language, title in (("zh_CN", "zh-CN", TITLE.zh), ("en", "en", TITLE.en)):
            content = sheets_pdf(lambda sheets: sheets.line("x"), about(locale))

            assert PdfDocument(content).get_metadata_dict()["Title"] == f"{title} 2026-11-20"
            assert f"/Lang ({language})".encode() in content
            assert PdfDocument(content)[0].get_size() == pytest.approx(A4, abs=1)

    @settings(max_examples=20)
    @given(st.integers(0, 180))
    def test_a_table_goes_on_over_pages_and_loses_no_row(self, rows):
        pages = texts(a_table(rows))

        told = "".join(pages)
        assert [f"row-{at:04d}" in told for at in range(rows)] == [True] * rows
        assert f"¥{rows}.00" in told
        assert all("What" in page for page in pages)
        assert [f"{at} of {len(pages)}" in page for at, page in enumerate(pages, 1)] == [
            True
        ] * len(pages)

    def test_the_same_gives_the_same_bytes(self):
        assert a_table(30) == a_table(30)

    def test_a_heading_is_not_left_alone_at_the_foot(self):
        def draw(sheets: Sheets) -> None:
            while sheets.y > 150:
                sheets.line("so much")
            sheets.heading(Term("末", "The last"))
            sheets.line("follows")

        first, second = texts(sheets_pdf(draw, about("en")))

        assert "The last" not in first
        assert "The last" in second

    def test_figures_facts_drawings_and_lines_to_sign_stand_below_each_other(self):
        def draw(sheets: Sheets) -> None:
            drawn = hours_drawing([1], [2], width=9, height=60, size=8)
            heights = [sheets.y]
            for part in (
                lambda: sheets.tiles([Tile(TITLE, "¥1.00", "more"), Tile(NOTE, "2")]),
                lambda: sheets.facts([(NOTE, "so"), (TITLE, "long " * 60)]),
                lambda: sheets.drawings([(NOTE, drawn)]),
                lambda: sheets.signatures([NOTE, TITLE]),
            ):  # fmt: skip
                part()
                heights.append(sheets.y)
            assert heights == sorted(heights, reverse=True)

        (page,) = texts(sheets_pdf(draw, about("en")))
        assert "A note" in page


class TestDrawings:
    def test_no_column_leaves_the_drawing_and_each_amount_above_zero_is_seen(self):
        require_fonts()
        drawn = columns_drawing(
            [Point("a", 0), Point("b", 1), Point("c", 10**12)], width=300, height=100, size=9
        )
        bars = [one for one in drawn.contents if type(one).__name__ == "Rect"]

        assert len(bars) == 2
        assert all(bar.height >= 1 and bar.y + bar.height <= 100 for bar in bars)

    @given(st.lists(st.integers(0, 10**13), min_size=1, max_size=24))
    def test_a_curve_stays_within_the_drawing(self, amounts):
        require_fonts()
        drawn = hours_drawing(amounts, list(reversed(amounts)), width=240, height=80, size=8)
        lines = [one.points for one in drawn.contents if type(one).__name__ == "PolyLine"]

        assert all(0 <= y <= 80 for points in lines for y in points[1::2])

    def test_nothing_at_all_can_be_drawn(self):
        require_fonts()

        for drawn in (
            columns_drawing([], width=10, height=40, size=8),
            hours_drawing([0] * 24, [0] * 24, width=10, height=40, size=8),
            rows_drawing([], width=10, row=9, size=8, left=5),
        ):
            assert as_svg(drawn, label="nothing", figures="").startswith("<svg")

    def test_rows_are_named_and_told(self):
        require_fonts()
        drawn = rows_drawing([Line("微信支付", 8_650, "62%")], width=300, row=14, size=9, left=90)

        assert {one.text for one in drawn.contents if hasattr(one, "text")} == {"微信支付", "62%"}
