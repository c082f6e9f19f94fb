"""Drawings of usage: every figure is there, and nothing runs over, however large."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.graphics.shapes import Drawing, Rect, String

from billing.documents.charts import Line
from billing.documents.fonts import width_of
from billing.documents.usage_charts import (
    ELDER,
    PAGE,
    Among,
    YearRow,
    among_drawing,
    drawing_svg,
    months_drawing,
    years_drawing,
)
from billing.usage.history import year_on_year
from core.clock import add_months
from core.money import format_yuan

BOTH = pytest.mark.parametrize("measures", [PAGE, ELDER], ids=["usual", "elder"])
NAMES = ("2025年11月 – 2026年10月", "2024年11月 – 2025年10月")
amounts = st.integers(-(10**9), 10**11)  # of thirty accounts, each of nine digits


def fits(drawing: Drawing) -> bool:
    """Whether every word and bar lies within the drawing."""
    words = [one for one in drawing.contents if isinstance(one, String)]
    bars = [one for one in drawing.contents if isinstance(one, Rect)]
    return all(
        one.x >= 0 and one.x * 1000 + width_of(one.text) * one.fontSize <= drawing.width * 1000
        for one in words
    ) and all(one.x >= 0 and one.x + one.width <= drawing.width for one in bars)


def words_of(drawing: Drawing) -> list[str]:
    return [one.text for one in drawing.contents if isinstance(one, String)]


@BOTH
@given(values=st.lists(amounts, min_size=1, max_size=24))
def test_two_years_of_months_fit_with_eleven_digits(measures, values):
    rows = [Line(f"2026年{at % 12 + 1}月", fen, format_yuan(fen)) for at, fen in enumerate(values)]

    drawing = months_drawing(rows, measures)

    assert fits(drawing)
    assert words_of(drawing) == [word for row in rows for word in (row.name, row.text)]


@BOTH
@given(values=st.lists(st.tuples(st.none() | amounts, st.none() | amounts), max_size=12))
def test_two_years_side_by_side_fit_too(measures, values):
    def said(fen: int | None) -> str:
        return "" if fen is None else format_yuan(fen)

    rows = [YearRow("12月", now, said(now), before, said(before)) for now, before in values]

    drawing = years_drawing(rows, NAMES, measures)

    assert fits(drawing)
    assert set(words_of(drawing)) >= {*NAMES, *(row.text for row in rows if row.text)}


@BOTH
@given(figures=st.lists(st.integers(0, 10**7), min_size=4, max_size=4))
def test_a_home_among_others_fits(measures, figures):
    low, middle, high = sorted(figures[:3])
    one = Among(low, middle, high, figures[3], f"{low}–{high} 立方米", f"你家 {figures[3]} 立方米")

    assert fits(among_drawing(one, measures))


def test_two_series_differ_by_more_than_a_colour():
    drawing = years_drawing([YearRow("10月", 10, "10", 8, "8")], NAMES)
    bars = [one for one in drawing.contents if isinstance(one, Rect)]

    assert [one.fillColor is None for one in bars] == [False, True, False, True]


def test_it_says_its_figures_to_those_who_listen_and_carries_no_style():
    drawing = months_drawing([Line("2026年10月", 8_650, "¥86.50")])

    svg = drawing_svg(drawing, label="逐月金额", figures=["2026年10月 ¥86.50"])

    assert 'role="img"' in svg
    assert 'aria-label="逐月金额"' in svg
    assert "<desc>2026年10月 ¥86.50</desc>" in svg
    assert "style=" not in svg


class TestYears:
    NEWEST = date(2026, 10, 1)

    def test_each_month_stands_beside_that_of_the_year_before(self):
        values = {add_months(self.NEWEST, -back): back for back in range(24)}

        rows = year_on_year(values, self.NEWEST)

        assert [row[0] for row in rows][-1] == self.NEWEST
        assert rows[-1][1:] == (0, 12)
        assert rows[0][1:] == (11, 23)
        assert len(rows) == 12

    def test_months_without_bills_are_left_out_and_a_gap_stays_one(self):
        values = {self.NEWEST: 5, add_months(self.NEWEST, -14): 7}

        assert year_on_year(values, self.NEWEST) == [
            (add_months(self.NEWEST, -2), None, 7), (self.NEWEST, 5, None),
        ]  # fmt: skip
