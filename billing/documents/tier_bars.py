"""A year's usage among a company's steps, drawn as one bar."""

from decimal import Decimal
from typing import Final

from reportlab.graphics.shapes import Drawing, Line, Rect, String

from billing.documents.charts import BAR, lettering
from billing.documents.fonts import MAIN, require_fonts
from billing.documents.svg import as_svg
from billing.rules.tiers import TierStand

_WIDTH: Final = 360
_HEIGHT: Final = 44
_BAR_Y: Final = 26
_BAR_HEIGHT: Final = 16
_SIZE: Final = 17


def tier_bar_svg(stand: TierStand, *, label: str, figures: str) -> str:
    """Return an ``<svg>`` element: the steps side by side, filled as far as the year has come.

    Args:
        label: names it; ``figures`` says it, for those who listen.
    """
    require_fonts()
    drawing = Drawing(_WIDTH, _HEIGHT, initialFontName=MAIN)
    end = _end(stand)
    for step in stand.steps:
        left, right = _at(Decimal(step.above), end), _at(Decimal(step.upto or end), end)
        drawing.add(
            Rect(left, _BAR_Y, right - left, _BAR_HEIGHT, fillColor=None, strokeColor=BAR,
                 strokeWidth=1)
        )  # fmt: skip
        if step.upto is not None:
            drawing.add(Line(right, _BAR_Y - 4, right, _BAR_Y + _BAR_HEIGHT, strokeColor=BAR))
            text = str(step.upto)
            drawing.add(String(right, 4, text, textAnchor="middle", **lettering(_SIZE)))
    filled = max(_at(min(stand.used, Decimal(end)), end), 2)
    drawing.add(Rect(0, _BAR_Y, filled, _BAR_HEIGHT, fillColor=BAR, strokeColor=BAR, strokeWidth=0))
    return as_svg(drawing, label=label, figures=figures)


def _end(stand: TierStand) -> int:
    """Return where the bar ends: the last step has no end, and gets a third of the others."""
    last = max(step.above for step in stand.steps)
    return max(last * 4 // 3, int(stand.used) + 1)


def _at(units: Decimal, end: int) -> int:
    return int(units * _WIDTH // end)
