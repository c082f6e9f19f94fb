"""Text on a PDF page in our fonts: measured, wrapped, fitted and drawn, in whole points."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from reportlab.lib.colors import Color, HexColor
from reportlab.pdfbase.pdfmetrics import getFont
from reportlab.pdfgen.canvas import Canvas

from billing.documents.fonts import runs, width_of
from billing.documents.tagging import Tags

INK: Final = HexColor(0x1B2A33)
MUTED: Final = HexColor(0x55646D)
ACCENT: Final = HexColor(0x11566B)
ALERT: Final = HexColor(0x9A3412)
HAIRLINE: Final = HexColor(0xC9D3D8)
TINT: Final = HexColor(0xEEF4F6)

# Chinese breaks anywhere, a Latin word at its hyphens, and 1266号 not at all.
_WORDS = re.compile(r"[!-,.-~]*[0-9][^ -~]|[!-,.-~]+-? ?|.")
_NOT_FIRST = frozenset("，。、；：？！）》」』】〉”’…·,.;:?!)]}%")


class Term(NamedTuple):
    """A label in both languages."""

    zh: str
    en: str


class Fitted(NamedTuple):
    size: int
    lines: list[str]

    @property
    def leading(self) -> int:
        return self.size + self.size // 3 + 1

    @property
    def height(self) -> int:
        return self.leading * len(self.lines)


def text_width(text: str, size: int) -> int:
    """Return the width in points, rounded up."""
    return -(-_millipoints(text, size) // 1000)


def _millipoints(text: str, size: int) -> int:
    return width_of(text) * size


class _Unit(NamedTuple):
    """What goes over to the next line whole, and how wide it is with and without its blank."""

    text: str
    wide: int
    bare: int


def wrap(text: str, *, size: int, width: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` points, of about the same length.

    No line starts with a closing mark.
    """
    units = _units(text, size=size, width=width)
    lines = _fill(units, width)
    while len(lines) > 1 and width > size * 2:
        width -= size
        narrower = _fill(units, width)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _fill(units: Sequence[_Unit], width: int) -> list[str]:
    """Put as many units on each line as go."""
    lines: list[list[_Unit]] = [[]]
    used = 0
    for unit in units:
        line = lines[-1]
        if line and used + unit.bare > width * 1000:
            hangs = unit.text[0] in _NOT_FIRST and len(line) > 1
            lines.append([line.pop()] if hangs else [])
            used = sum(moved.wide for moved in lines[-1])
        lines[-1].append(unit)
        used += unit.wide
    return ["".join(unit.text for unit in line).rstrip() for line in lines]


def _units(text: str, *, size: int, width: int) -> list[_Unit]:
    """Cut ``text`` where a line may break; a word wider than a line may break anywhere."""
    units: list[_Unit] = []
    for word in _WORDS.findall(" ".join(text.split())):
        fits = _millipoints(word.rstrip(), size) <= width * 1000
        for part in (word,) if fits else tuple(word):
            bare = _millipoints(part.rstrip(), size)
            units.append(_Unit(part, _millipoints(part, size), bare))
    return units


def fitted(text: str, *, width: int, sizes: Sequence[int], lines: int = 1) -> Fitted:
    """Set ``text`` in the first of ``sizes`` that needs at most ``lines``, else cut it with …."""
    for size in sizes:
        broken = wrap(text, size=size, width=width)
        if len(broken) <= lines:
            return Fitted(size, broken)
    broken = _fill(_units(text, size=size, width=width), width)
    last = broken[lines - 1]
    while last and text_width(last + "…", size) > width:
        last = last[:-1]
    return Fitted(size, [*broken[: lines - 1], last + "…"])


class Pen:
    """Draws on one canvas; ``x`` and ``y`` are points from the lower left corner."""

    def __init__(self, canvas: Canvas, tags: Tags) -> None:
        self.canvas, self.tags = canvas, tags

    def text(
        self, x: int, y: int, text: str, size: int, *, colour: Color = INK, right: bool = False
    ) -> None:
        """Write one line with its baseline at ``y``, from ``x`` or, if ``right``, up to ``x``."""
        self.canvas.addLiteral(self.operators(x, y, text, size, colour=colour, right=right))

    def operators(
        self, x: int, y: int, text: str, size: int, *, colour: Color = INK, right: bool = False
    ) -> str:
        """Return what ``text`` writes on the page, as PDF; reportlab takes twice as long."""
        start = _points(x * 1000 - _millipoints(text, size)) if right else str(x)
        document, shown = self.canvas._doc, []
        for name, piece in runs(text):
            font = getFont(name)
            for subset, codes in font.splitString(piece, document):
                inner = font.getSubsetInternalName(subset, document)
                shown.append(f"{inner} {size} Tf <{codes.hex()}> Tj")
        return f"BT {_ink(colour)} 1 0 0 1 {start} {y} Tm {' '.join(shown)} ET"

    def block(
        self, x: int, y: int, block: Fitted, *, colour: Color = INK, right: bool = False
    ) -> int:
        """Write lines downward from a first baseline at ``y``; return the baseline after them."""
        for text in block.lines:
            self.text(x, y, text, block.size, colour=colour, right=right)
            y -= block.leading
        return y

    def label(self, x: int, y: int, term: Term, *, right: bool = False) -> None:
        """Write a label, Chinese first and English beside it."""
        english = x if right else x + _label_width(term.zh, 9) + 5
        chinese = x - _label_width(term.en, 8) - 5 if right else x
        self.text(chinese, y, term.zh, 9, colour=MUTED, right=right)
        self.english(english, y, term.en, 8, right=right)

    def english(
        self, x: int, y: int, text: str, size: int, *, colour: Color = MUTED, right: bool = False
    ) -> None:
        """Write English within a Chinese document, so that it is read as English."""
        self.canvas.addLiteral("/Span<</Lang(en)>>BDC")
        self.text(x, y, text, size, colour=colour, right=right)
        self.canvas.addLiteral("EMC")

    def rule(self, x: int, y: int, width: int, *, colour: Color = HAIRLINE) -> None:
        with self.tags.artifact():
            self.canvas.addLiteral(f"{_ink(colour)} {x} {y} {width} 1 re f")

    def dashes(self, x: int, y: int, width: int) -> None:
        """Draw the line along which a counter clerk tears."""
        with self.tags.artifact():
            self.canvas.saveState()
            self.canvas.setStrokeColor(MUTED)
            self.canvas.setLineWidth(1)
            self.canvas.setDash(1, 4)
            self.canvas.setLineCap(1)
            self.canvas.line(x, y, x + width, y)
            self.canvas.restoreState()

    def fill(self, x: int, y: int, width: int, height: int, *, colour: Color = TINT) -> None:
        with self.tags.artifact():
            self.canvas.addLiteral(f"{_ink(colour)} {x} {y} {width} {height} re f")

    def panel(self, x: int, y: int, width: int, height: int) -> None:
        with self.tags.artifact():
            self.canvas.setFillColor(TINT)
            self.canvas.roundRect(x, y, width, height, 6, stroke=0, fill=1)


@lru_cache(maxsize=1_024)
def _label_width(text: str, size: int) -> int:
    return text_width(text, size)


def _points(millipoints: int) -> str:
    whole, rest = divmod(millipoints, 1000)
    return f"{whole}.{rest:03d}"


@lru_cache(maxsize=64)
def _ink(colour: Color) -> str:
    return f"{colour.red:.4g} {colour.green:.4g} {colour.blue:.4g} rg"
