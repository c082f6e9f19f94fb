"""One drawing of what was billed month by month: SVG on pages, vectors in the PDF.

Rows rather than columns: an amount then has the width it needs however many months there are, and
can be read on a phone. A credit is an outline, so that its meaning does not hang on a colour.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final
from xml.dom.minidom import Document, Element

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib.colors import HexColor

from billing.documents.fonts import MAIN, require_fonts
from core.money import format_yuan

BAR: Final = HexColor(0x3B8EA5)  # at least 3:1 against white and against near-black
_TEXT: Final = HexColor(0x1B2A33)
_PAGE_DECIDES: Final = frozenset({"font-family"})  # the page's own type


def month_text(month: date) -> str:
    """Return a month as a resident writes it: 2026年11月."""
    return f"{month.year}年{month.month}月"


def usage_drawing(
    points: Sequence[tuple[date, int]], *, width: int, row: int, size: int
) -> Drawing:
    """Draw one row a month, in the order given: month, bar, amount; all measures in points."""
    drawing = Drawing(width, row * len(points), initialFontName=MAIN)
    texts = [format_yuan(amount_fen) for _, amount_fen in points]
    left = size * 6
    room = width - left - max((len(text) for text in texts), default=0) * (size * 2 // 3) - 8
    most_fen = max((abs(amount_fen) for _, amount_fen in points), default=0) or 1
    for at, ((month, amount_fen), text) in enumerate(zip(points, texts, strict=True), start=1):
        y = drawing.height - at * row
        baseline = y + (row - size) // 2 + size // 6
        length = max(abs(amount_fen) * room // most_fen, 1)
        drawing.add(String(0, baseline, month_text(month), **_lettering(size)))
        drawing.add(_bar(left, y + row // 4, length, row // 2, credit=amount_fen < 0))
        drawing.add(String(left + length + 6, baseline, text, **_lettering(size)))
    return drawing


def _lettering(size: int) -> dict[str, object]:
    return {"fontName": MAIN, "fontSize": size, "fillColor": _TEXT}


def _bar(x: int, y: int, width: int, height: int, *, credit: bool) -> Rect:
    fill = None if credit else BAR
    return Rect(
        x, y, width, height, fillColor=fill, strokeColor=BAR, strokeWidth=1 if credit else 0
    )


def usage_chart_svg(points: Sequence[tuple[date, int]], *, label: str) -> str:
    """Return an ``<svg>`` element to stand in a page: a bar a month, with its amount as text.

    It carries no style attribute, no id and no declaration, so that a strict content security
    policy lets it through and two charts can share a page. Text takes the colour around it, and
    the font. ``label`` names the chart; the figures are its description, for those who listen.
    """
    require_fonts()
    drawing = usage_drawing(points, width=360, row=28, size=13)
    canvas = renderSVG.SVGCanvas((drawing.width, max(drawing.height, 1)))
    renderSVG.draw(drawing, canvas)
    root = canvas.svg
    for clip in root.getElementsByTagName("clipPath"):
        root.removeChild(clip)
    for element in root.getElementsByTagName("*"):
        _style_to_attributes(element)
    _introduce(canvas.doc, root, label=label, figures=_figures(points))
    return str(root.toxml())


def _style_to_attributes(element: Element) -> None:
    """Move what renderSVG puts in ``style`` to attributes, which every policy allows."""
    style = element.getAttribute("style")
    for name in ("style", "id"):
        if element.hasAttribute(name):
            element.removeAttribute(name)
    if not style or element.tagName == "g":  # a group's only style is the clip we dropped
        return
    drawn = dict(_declarations(style))
    if drawn.get("stroke-width") == "0" or element.tagName == "text":
        drawn = {name: value for name, value in drawn.items() if not name.startswith("stroke")}
    if element.tagName == "text":
        drawn["fill"] = "currentColor"
    for name, value in drawn.items():
        element.setAttribute(name, value)


def _declarations(style: str) -> list[tuple[str, str]]:
    pairs = (declaration.partition(":") for declaration in style.split(";") if ":" in declaration)
    parts = ((name.strip(), value.strip()) for name, _, value in pairs)
    return [(name, value.removesuffix("px")) for name, value in parts if name not in _PAGE_DECIDES]


def _introduce(document: Document, root: Element, *, label: str, figures: str) -> None:
    """Say what the picture is: a role, a name and a description."""
    for name in ("version", "xmlns:xlink", "fill-rule", "preserveAspectRatio"):
        root.removeAttribute(name)
    root.setAttribute("class", "usage-chart")
    root.setAttribute("role", "img")
    root.setAttribute("aria-label", label)
    for tag, text in (("title", label), ("desc", figures)):
        (element,) = root.getElementsByTagName(tag)
        element.replaceChild(document.createTextNode(text), element.childNodes[0])


def _figures(points: Sequence[tuple[date, int]]) -> str:
    return "；".join(f"{month_text(month)} {format_yuan(fen)}" for month, fen in points)
