"""Drawings of usage: month by month, this year beside the last, and a home among others like it.

Rows rather than columns, as in ``charts``. Two series differ by fill and outline, and each bar has
its figure as text, so that nothing hangs on a colour. SVG on pages, vectors in a PDF.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from reportlab.graphics.shapes import Drawing, Polygon, Rect, String
from reportlab.graphics.shapes import Line as Stroke
from reportlab.lib.colors import HexColor

from billing.documents.charts import BAR, Line, lettering
from billing.documents.fonts import require_fonts, width_of
from billing.documents.svg import as_svg

_OTHERS: Final = HexColor(0x5C7A85)  # 4.5:1 against white; what is not one's own
_OWN: Final = HexColor(0xA45A12)  # 5:1; and a shape of its own
_GAP: Final = 6


class Measures(NamedTuple):
    """Of a drawing, in points: its width and the size of its letters."""

    width: int = 330
    size: int = 15


PAGE: Final = Measures()
ELDER: Final = Measures(330, 20)


class YearRow(NamedTuple):
    """A month of two years: values and how they are said; None: there was no bill."""

    name: str
    value: int | None
    text: str
    before: int | None
    before_text: str


class Among(NamedTuple):
    """Where a home stands among others: the middle half of them, and the one in the middle."""

    p25: int
    p50: int
    p75: int
    own: int
    band_text: str  # what the middle half uses
    own_text: str


def months_drawing(rows: Sequence[Line], measures: Measures = PAGE) -> Drawing:
    """Draw a bar a month, in the order given; a credit is an outline."""
    width, size = measures
    drawing = Drawing(width, size * 2 * len(rows))
    left = max((_room(one.name, size) for one in rows), default=0)
    room = width - left - max((_room(one.text, size) for one in rows), default=0) - _GAP
    most = max((abs(one.amount_fen) for one in rows), default=0) or 1
    for at, one in enumerate(rows, start=1):
        y = size * 2 * (len(rows) - at) + size // 2
        length = max(abs(one.amount_fen) * room // most, 1)
        drawing.add(String(0, y + size // 6, one.name, **lettering(size)))
        drawing.add(_bar(left, y, length, size, filled=one.amount_fen >= 0))
        drawing.add(String(left + length + _GAP, y + size // 6, one.text, **lettering(size)))
    return drawing


def years_drawing(
    rows: Sequence[YearRow], names: tuple[str, str], measures: Measures = PAGE
) -> Drawing:
    """Draw two bars a month, this year's filled and the last one's an outline, below their key."""
    width, size = measures
    step, group = size * 5 // 3, size * 4
    drawing = Drawing(width, group * len(rows) + step * 2 + size // 2)
    for at, name in enumerate(names):
        y = int(drawing.height) - (at + 1) * step
        drawing.add(_bar(0, y, size * 2, size, filled=at == 0))
        drawing.add(String(size * 2 + size // 2, y + size // 6, name, **lettering(size)))
    left = max((_room(one.name, size) for one in rows), default=0)
    texts = [text for one in rows for text in (one.text, one.before_text)]
    room = width - left - max((_room(one, size) for one in texts), default=0) - _GAP
    values = [abs(value) for one in rows for value in (one.value, one.before) if value is not None]
    most = max(values, default=0) or 1
    for at, one in enumerate(rows, start=1):
        top = int(drawing.height) - step * 2 - size // 2 - (at - 1) * group
        drawing.add(String(0, top - step - size // 3, one.name, **lettering(size)))
        pairs = ((one.value, one.text), (one.before, one.before_text))
        for row, (value, text) in enumerate(pairs, start=1):
            if value is None:
                continue
            y = top - row * step
            length = max(abs(value) * room // most, 1)
            drawing.add(_bar(left, y, length, size, filled=row == 1))
            drawing.add(String(left + length + _GAP, y + size // 6, text, **lettering(size)))
    return drawing


def among_drawing(one: Among, measures: Measures = PAGE) -> Drawing:
    """Draw the middle half of all homes as a band, its middle as a stroke, and one's own mark."""
    width, size = measures
    drawing = Drawing(width, size * 6)
    room, top = width - size * 2, max(one.p75, one.own, 1) * 5 // 4

    def across(value: int) -> int:
        return size + value * room // top

    low, high, middle, own = (across(value) for value in (one.p25, one.p75, one.p50, one.own))
    line = size * 5 // 2
    drawing.add(Stroke(size, line, width - size, line, strokeColor=_OTHERS, strokeWidth=1))
    drawing.add(Rect(low, line - size // 2, max(high - low, 2), size, fillColor=BAR, strokeWidth=0))
    drawing.add(
        Stroke(middle, line - size, middle, line + size, strokeColor=_OTHERS, strokeWidth=3)
    )
    tip = line + size // 2
    corners = [own, tip, own - size // 2, tip + size, own + size // 2, tip + size]
    drawing.add(Polygon(corners, fillColor=_OWN, strokeColor=_OWN, strokeWidth=0))
    for x, y, text in (
        ((low + high) // 2, size // 4, one.band_text), (own, tip + size * 4 // 3, one.own_text),
    ):  # fmt: skip
        wide = _room(text, size)
        drawing.add(String(min(max(x - wide // 2, 0), width - wide), y, text, **lettering(size)))
    return drawing


def drawing_svg(drawing: Drawing, *, label: str, figures: Sequence[str]) -> str:
    """Return a drawing as an ``<svg>`` element; the figures are its description."""
    require_fonts()
    return as_svg(drawing, label=label, figures="；".join(figures))


def _room(text: str, size: int) -> int:
    """Return the points a text takes, with the gap after it, in whichever font a page has."""
    return width_of(text) * size // 1000 * 11 // 10 + size // 2


def _bar(x: int, y: int, width: int, height: int, *, filled: bool) -> Rect:
    fill = BAR if filled else None
    return Rect(
        x,
        y,
        width,
        height * 4 // 5,
        fillColor=fill,
        strokeColor=BAR,
        strokeWidth=0 if filled else 2,
    )
