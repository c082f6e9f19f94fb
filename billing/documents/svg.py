"""A drawing as an ``<svg>`` element that may stand in a page under a strict content policy.

It carries no style attribute, no id and no declaration, so two drawings can share a page. Text
takes the colour around it, and the font. Written by hand: reportlab's own writer builds a document
tree and sets what the policy forbids, and took a third of the time of a bill's page.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from markupsafe import escape
from reportlab.graphics.shapes import (
    Circle,
    Drawing,
    Group,
    Line,
    Polygon,
    PolyLine,
    Rect,
    Shape,
    String,
)
from reportlab.lib.colors import Color


def as_svg(drawing: Drawing, *, label: str, figures: str) -> str:
    """Return a drawing as an ``<svg>`` element.

    Args:
        label: names it.
        figures: what it shows, for those who listen.
    """
    width, height = drawing.width, max(drawing.height, 1)
    shapes = "".join(_element(shape, height) for shape in drawing.contents)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_number(width)}"'
        f' height="{_number(height)}" viewBox="0 0 {_number(width)} {_number(height)}"'
        f' class="usage-chart" role="img" aria-label="{escape(label)}"><title>{escape(label)}'
        f"</title><desc>{escape(figures)}</desc>{shapes}</svg>"
    )


def _element(shape: Shape, height: int) -> str:
    """Return one shape; a drawing counts upwards, a page downwards from ``height``."""
    return _WRITERS[type(shape)](shape, height)


def _rect(shape: Any, height: int) -> str:
    place = {
        "x": shape.x, "y": height - shape.y - shape.height, "width": shape.width,
        "height": shape.height,
    }  # fmt: skip
    round_ = {"rx": shape.rx, "ry": shape.ry} if shape.rx else {}
    return f"<rect{_numbers(place | round_)}{_filled(shape)}{_drawn(shape)}/>"


def _circle(shape: Any, height: int) -> str:
    place = {"cx": shape.cx, "cy": height - shape.cy, "r": shape.r}
    return f"<circle{_numbers(place)}{_filled(shape)}{_drawn(shape)}/>"


def _line(shape: Any, height: int) -> str:
    place = {"x1": shape.x1, "y1": height - shape.y1, "x2": shape.x2, "y2": height - shape.y2}
    return f"<line{_numbers(place)}{_drawn(shape)}/>"


def _polyline(shape: Any, height: int) -> str:
    return f'<polyline points="{_points(shape.points, height)}" fill="none"{_drawn(shape)}/>'


def _polygon(shape: Any, height: int) -> str:
    points = _points(shape.points, height)
    return f'<polygon points="{points}"{_filled(shape)}{_drawn(shape)}/>'


def _string(shape: Any, height: int) -> str:
    place = _numbers({"x": shape.x, "y": height - shape.y, "font-size": shape.fontSize})
    anchor = "" if shape.textAnchor == "start" else f' text-anchor="{shape.textAnchor}"'
    return f'<text{place}{anchor} fill="currentColor">{escape(shape.text)}</text>'


def _group(shape: Any, height: int) -> str:
    return "<g>" + "".join(_element(one, height) for one in shape.contents) + "</g>"


_WRITERS: Final[Mapping[type[Shape], Callable[[Any, int], str]]] = {
    Rect: _rect, Circle: _circle, Line: _line, PolyLine: _polyline, Polygon: _polygon,
    String: _string, Group: _group,
}  # fmt: skip


def _filled(shape: Any) -> str:
    return f' fill="{_colour(shape.fillColor) if shape.fillColor else "none"}"'


def _drawn(shape: Any) -> str:
    """Return how a shape's line is drawn, if it is."""
    if not shape.strokeColor or not shape.strokeWidth:
        return ""
    dashes = " ".join(map(_number, shape.strokeDashArray or ()))
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    width = _number(shape.strokeWidth)
    return f' stroke="{_colour(shape.strokeColor)}" stroke-width="{width}"{dashed}'


def _colour(colour: Color) -> str:
    return f"#{colour.hexval()[2:]}"


def _points(points: Sequence[Any], height: int) -> str:
    pairs = zip(points[::2], points[1::2], strict=True)
    return " ".join(f"{_number(x)},{_number(height - y)}" for x, y in pairs)


def _numbers(values: Mapping[str, Any]) -> str:
    return "".join(f' {name}="{_number(value)}"' for name, value in values.items())


def _number(value: Any) -> str:
    """Write a length to the hundredth of a pixel, without zeros that say nothing."""
    return str(value) if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")
