"""One drawing of what was billed month by month: SVG on pages, vectors in the PDF.

Rows rather than columns: an amount then has the width it needs however many months there are, and
can be read on a phone. A credit is an outline, so that its meaning does not hang on a colour.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Final, NamedTuple

from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib.colors import HexColor

from billing.documents.fonts import MAIN, require_fonts
from billing.documents.svg import as_svg
from core.money import format_yuan

BAR: Final = HexColor(0x3B8EA5)  # at least 3:1 against white and against near-black
_TEXT: Final = HexColor(0x1B2A33)


def month_text(month: date) -> str:
    """Return a month as a resident writes it: 2026年11月."""
    return f"{month.year}年{month.month}月"


class Line(NamedTuple):
    """A row of a chart of rows; ``text`` says the amount."""

    name: str
    amount_fen: int
    text: str


def usage_drawing(
    points: Sequence[tuple[date, int]], *, width: int, row: int, size: int
) -> Drawing:
    """Draw one row a month, in the order given: month, bar, amount; all measures in points."""
    lines = [Line(month_text(month), fen, format_yuan(fen)) for month, fen in points]
    return rows_drawing(lines, width=width, row=row, size=size, left=size * 6)


def rows_drawing(lines: Sequence[Line], *, width: int, row: int, size: int, left: int) -> Drawing:
    """Draw one row a line: its name in ``left`` points, a bar, its text."""
    drawing = Drawing(width, row * len(lines), initialFontName=MAIN)
    room = width - left - max((len(one.text) for one in lines), default=0) * (size * 2 // 3) - 8
    most_fen = max((abs(one.amount_fen) for one in lines), default=0) or 1
    for at, (name, amount_fen, text) in enumerate(lines, start=1):
        y = drawing.height - at * row
        baseline = y + (row - size) // 2 + size // 6
        length = max(abs(amount_fen) * room // most_fen, 1)
        drawing.add(String(0, baseline, name, **lettering(size)))
        drawing.add(_bar(left, y + row // 4, length, row // 2, credit=amount_fen < 0))
        drawing.add(String(left + length + 6, baseline, text, **lettering(size)))
    return drawing


def lettering(size: int) -> dict[str, object]:
    """Return how text of a chart is set."""
    return {"fontName": MAIN, "fontSize": size, "fillColor": _TEXT}


def _bar(x: int, y: int, width: int, height: int, *, credit: bool) -> Rect:
    fill = None if credit else BAR
    return Rect(
        x, y, width, height, fillColor=fill, strokeColor=BAR, strokeWidth=1 if credit else 0
    )


def usage_chart_svg(
    points: Sequence[tuple[date, int]],
    *,
    label: str,
    month: Callable[[date], str] = month_text,
    measures: tuple[int, int, int] = (330, 28, 15),
) -> str:
    """Return an ``<svg>`` element to stand in a page: a bar a month, with its amount as text.

    Args:
        label: names the chart; the figures are its description, for those who listen.
        month: says a month in the reader's language.
        measures: the width of it, the height of a row and the size of its letters, in points.
    """
    require_fonts()
    width, row, size = measures
    lines = [Line(month(one), fen, format_yuan(fen)) for one, fen in points]
    drawing = rows_drawing(lines, width=width, row=row, size=size, left=size * 6)
    said = "；".join(f"{one.name} {one.text}" for one in lines)
    return as_svg(drawing, label=label, figures=said)
