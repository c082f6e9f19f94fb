"""A day's money as drawings: columns by day, columns by hour beside another day's curve.

On pages as SVG, in reports as vectors. The figures stand beside them as text, so no amount hangs on
measuring a column.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from reportlab.graphics.shapes import Drawing, Line, PolyLine, Rect, String
from reportlab.lib.colors import HexColor

from billing.documents.charts import BAR, lettering
from billing.documents.fonts import MAIN
from core.money import format_yuan

_STRONG: Final = HexColor(0x11566B)  # the column it is about
_GRID: Final = HexColor(0xC9D3D8)
_CURVE: Final = HexColor(0xA45A12)  # tells itself from the columns by shape and by colour
_TICK_EVERY = 6  # hours


class Point(NamedTuple):
    """A column: what stands below it, and how much."""

    name: str
    amount_fen: int


class _Field(NamedTuple):
    """Where columns stand: between two heights, the highest for ``most_fen``."""

    bottom: int
    top: int
    most_fen: int

    def at(self, amount_fen: int) -> int:
        return self.bottom + max(amount_fen, 0) * (self.top - self.bottom) // self.most_fen


def columns_drawing(
    points: Sequence[Point], say: Callable[[int], str] = format_yuan, /, *, width: int,
    height: int, size: int, strong: int = -1,
) -> Drawing:  # fmt: skip
    """Draw a column a point, the one at ``strong`` darker; the highest amount as text above."""
    most = [one.amount_fen for one in points]
    drawing, field = _frame(points, most, width, height, size, say=say)
    slot = width // max(len(points), 1)
    last = len(points) - 1
    every = max(1, -(-size * 4 // max(slot, 1)))  # columns to a name, so that names do not touch
    for at, one in enumerate(points):
        colour = _STRONG if at == strong % len(points) else BAR
        _column(drawing, field, one.amount_fen, at * slot + slot // 6, slot * 2 // 3, colour)
        if (last - at) % every == 0:
            _name(drawing, at * slot + slot // 2, one.name, size)
    return drawing


def hours_drawing(
    hours_fen: Sequence[int], before_fen: Sequence[int], *, width: int, height: int, size: int
) -> Drawing:
    """Draw a column for each hour of a day, and another day as a curve before them."""
    drawing, field = _frame(hours_fen, [*hours_fen, *before_fen], width, height, size)
    slot = width // max(len(hours_fen), 1)
    for at, amount_fen in enumerate(hours_fen):
        _column(drawing, field, amount_fen, at * slot + 1, max(slot - 2, 1), BAR)
        if at % _TICK_EVERY == 0:
            drawing.add(String(at * slot, size // 2, f"{at}:00", **lettering(size)))
    middles = [at * slot + slot // 2 for at in range(len(before_fen))]
    path = [
        value
        for x, fen in zip(middles, before_fen, strict=True)
        for value in (x, field.at(fen))
    ]  # fmt: skip
    if any(before_fen):
        drawing.add(PolyLine(path, strokeColor=_CURVE, strokeWidth=2))
    return drawing


def _frame(
    columns: Sequence[object],
    amounts_fen: Sequence[int],
    width: int,
    height: int,
    size: int,
    *,
    say: Callable[[int], str] = format_yuan,
) -> tuple[Drawing, _Field]:
    """Make a drawing with a line to stand on, and one at the highest amount."""
    drawing = Drawing(width, height, initialFontName=MAIN)
    field = _Field(size * 2, height - size * 2, max(amounts_fen, default=0) or 1)
    for y in (field.bottom, field.top):
        drawing.add(Line(0, y, width, y, strokeColor=_GRID, strokeWidth=1))
    if columns and max(amounts_fen) > 0:
        words = say(field.most_fen)
        drawing.add(String(0, field.top + size // 2, words, **lettering(size)))
    return drawing, field


def _column(
    drawing: Drawing, field: _Field, amount_fen: int, x: int, width: int, colour: HexColor
) -> None:
    if amount_fen > 0:
        height = max(field.at(amount_fen) - field.bottom, 1)
        drawing.add(Rect(x, field.bottom, width, height, fillColor=colour, strokeColor=None))


def _name(drawing: Drawing, x: int, name: str, size: int) -> None:
    drawing.add(String(x, size // 2, name, textAnchor="middle", **lettering(size)))
