"""Reports and advices on A4: heading, facts, tables and drawings one below the other, paged.

Written in one language, Chinese or English. Where a page ends is decided here: a table goes on
under its head again, everything else stays whole.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

from reportlab.graphics import renderPDF
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import Color

from billing.documents.barcodes import QrCode, draw_code_128
from billing.documents.fonts import TYPESETTING
from billing.documents.paper import CHINESE, HEIGHT, WIDTH, Paper, Properties
from billing.documents.tagging import HEAD_OF_COLUMN, alt
from billing.documents.typesetting import ACCENT, INK, MUTED, Fitted, Term, fitted

LEFT, RIGHT = 48, 547
ACROSS: Final = RIGHT - LEFT
_TOP, _FLOOR = 752, 62
_ROW, _SIZE = 16, 9
_TILE = 54
_WHICH_PAGE = "%which page"  # a comment of PDF's, replaced when all pages are there


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a document says of itself, on each page and in its properties."""

    title: Term
    of: str  # beside the title: whose, of which day
    note: Term  # at the foot
    made_at: datetime
    locale: str

    def say(self, term: Term) -> str:
        return term.en if self.locale == "en" else term.zh

    def properties(self) -> Properties:
        """Return what the document says of itself to whoever lists it."""
        return Properties(
            title=f"{self.say(self.title)} {self.of}", author="CityBill",
            subject=self.say(self.title), made_at=self.made_at,
            lang="en" if self.locale == "en" else CHINESE,
        )  # fmt: skip


class Column(NamedTuple):
    """A column of a table; widths are shares of what the page has."""

    name: Term
    width: int
    right: bool = False


class Tile(NamedTuple):
    """One figure, large."""

    name: Term
    text: str
    hint: str = ""


def sheets_pdf(draw: Callable[["Sheets"], None], about: About) -> bytes:
    """Return what ``draw`` writes as a PDF; the same gives the same bytes."""
    with TYPESETTING:
        sheets = Sheets(about, Paper(about.properties()))
        draw(sheets)
        sheets.end()
        return sheets.paper.save()


def sheets_volume(
    documents: Iterable[tuple[str, About, Callable[["Sheets"], None]]], about: Properties
) -> bytes:
    """Return many documents one after another in one PDF, the outline naming each.

    Others may draw in between: what is drawn is kept by document.
    """
    paper = Paper(about, volume=True)
    for name, of, draw in documents:
        with TYPESETTING, paper.tags.group("Part"):
            sheets = Sheets(of, paper, name=name)
            draw(sheets)
            sheets.end()
    with TYPESETTING:
        return paper.save()


class Sheets:
    """Writes downward from the top of the first page; ``y`` is where the next thing begins."""

    def __init__(self, about: About, paper: Paper, *, name: str = "") -> None:
        self.about, self.paper = about, paper
        self.pen, self.tags = paper.pen, paper.tags
        self._pages: list[Any] = []
        paper.bookmark(name or f"{self.say(about.title)} {about.of}")
        self._begin()

    def say(self, term: Term) -> str:
        """Return a term in the document's language."""
        return self.about.say(term)

    def _begin(self) -> None:
        first = not self._pages
        self.y = _TOP
        self.pen.fill(0, HEIGHT - 6, WIDTH, 6, colour=ACCENT)
        size, beside = 20 if first else 13, fitted(self.about.of, width=320, sizes=(12, 10, 9))
        with self.tags.content("H1") if first else self.tags.artifact("Pagination"):
            self.pen.text(LEFT, 784, self.say(self.about.title), size, colour=ACCENT)
        with self.tags.content("P") if first else self.tags.artifact("Pagination"):
            self.pen.block(RIGHT, 784, beside, right=True)
        self.pen.rule(LEFT, 770, ACROSS)

    def _finish(self) -> None:
        self.pen.rule(LEFT, 46, ACROSS)
        note = fitted(self.say(self.about.note), width=ACROSS - 110, sizes=(8,))
        first = not self._pages
        with self.tags.content("Note") if first else self.tags.artifact("Pagination"):
            self.pen.block(LEFT, 33, note, colour=MUTED)
        with self.tags.artifact("Pagination"):
            self.paper.canvas.addLiteral(_WHICH_PAGE)
        self._pages.append(self.paper.end_page())

    def end(self) -> None:
        """Finish the last page, and write on each how many there are: only now is it known."""
        self._finish()
        count = len(self._pages)
        for number, page in enumerate(self._pages, start=1):
            words = self.say(Term(f"第{number}页，共{count}页", f"{number} of {count}"))
            written = self.pen.operators(RIGHT, 33, words, 8, colour=MUTED, right=True)
            page.stream = page.stream.replace(_WHICH_PAGE, written)

    def need(self, height: int) -> None:
        """Go to the next page unless so much room is left on this one."""
        if self.y - height < _FLOOR:
            self._finish()
            self._begin()

    def heading(self, term: Term, *, with_room: int = 60) -> None:
        """Write a heading, on the page where what follows it begins."""
        self.need(with_room + 30)
        self.paper.bookmark(self.say(term), self.y, level=1)
        self.y -= 26
        with self.tags.content("H2"):
            self.pen.text(LEFT, self.y, self.say(term), 13, colour=ACCENT)
        self.y -= 8

    def line(self, text: str, *, size: int = _SIZE, colour: Color = INK) -> None:
        """Write a paragraph of at most four lines."""
        block = fitted(text, width=ACROSS, sizes=(size,), lines=4)
        self.need(block.height + 4)
        with self.tags.content("P"):
            self.y = self.pen.block(LEFT, self.y - size - 3, block, colour=colour) + size

    def tiles(self, tiles: Sequence[Tile]) -> None:
        """Write up to four figures beside each other."""
        self.need(_TILE + 10)
        gap = 8
        wide = (ACROSS - gap * (len(tiles) - 1)) // len(tiles)
        bottom = self.y - _TILE
        for at, tile in enumerate(tiles):
            x = LEFT + at * (wide + gap)
            self.pen.panel(x, bottom, wide, _TILE)
            figure = fitted(tile.text, width=wide - 20, sizes=(16, 14, 12, 10))
            hint = fitted(tile.hint, width=wide - 20, sizes=(8, 7))
            with self.tags.content("P"):
                self.pen.text(x + 10, bottom + 38, self.say(tile.name), 8, colour=MUTED)
                self.pen.block(x + 10, bottom + 20, figure)
                self.pen.block(x + 10, bottom + 7, hint, colour=MUTED)
        self.y = bottom - 4

    def facts(self, facts: Sequence[tuple[Term, str]]) -> None:
        """Write names and values below each other."""
        for name, text in facts:
            block = fitted(text, width=ACROSS - 150, sizes=(10, 9, 8), lines=3)
            self.need(block.height + 6)
            with self.tags.content("P"):
                self.pen.text(LEFT, self.y - 13, self.say(name), _SIZE, colour=MUTED)
                self.y = self.pen.block(LEFT + 150, self.y - 13, block) + block.leading - 7

    def table(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[str]],
        *,
        total: Sequence[str] | None = None,
    ) -> None:
        """Write a table; it goes on over as many pages as it needs, each with its head."""
        edges = _edges(columns)
        self.need(2 * _ROW)
        with self.tags.group("Table"):
            self._head(columns, edges)
            for row in rows:
                self._go_on(columns, edges)
                self._row(columns, edges, row)
                self.pen.rule(LEFT, self.y, ACROSS)
            if total is not None:
                self._go_on(columns, edges)
                self.pen.fill(LEFT, self.y - _ROW, ACROSS, _ROW)
                self._row(columns, edges, total)
        self.y -= 4

    def _go_on(self, columns: Sequence[Column], edges: Sequence[tuple[int, int]]) -> None:
        """Begin another page with the table's head if no row fits on this one any more."""
        if self.y - _ROW < _FLOOR:
            self._finish()
            self._begin()
            self._head(columns, edges, again=True)

    def _head(
        self,
        columns: Sequence[Column],
        edges: Sequence[tuple[int, int]],
        *,
        again: bool = False,
    ) -> None:
        names = [self.say(column.name) for column in columns]
        if again:  # it has been read
            with self.tags.artifact("Pagination"):
                for column, place, name in zip(columns, edges, names, strict=True):
                    self._cell(column, place, _cell_text(place, name), colour=MUTED)
            self.y -= _ROW
        else:
            self._row(columns, edges, names, colour=MUTED, role="TH", more=HEAD_OF_COLUMN)
        self.pen.rule(LEFT, self.y, ACROSS, colour=MUTED)

    def _row(
        self,
        columns: Sequence[Column],
        edges: Sequence[tuple[int, int]],
        cells: Sequence[str],
        *,
        colour: Color = INK,
        role: str = "TD",
        more: str = "",
    ) -> None:
        with self.tags.group("TR"):
            for column, place, cell in zip(columns, edges, cells, strict=True):
                text = _cell_text(place, cell)
                if not any(text.lines):
                    self.tags.empty(role)
                    continue
                with self.tags.content(role, more):
                    self._cell(column, place, text, colour=colour)
        self.y -= _ROW

    def _cell(self, column: Column, place: tuple[int, int], text: Fitted, *, colour: Color) -> None:
        x = place[1] if column.right else place[0]
        self.pen.block(x, self.y - 12, text, colour=colour, right=column.right)

    def drawings(self, drawn: Sequence[tuple[Term, Drawing]], words: Sequence[str] = ()) -> None:
        """Draw charts beside each other, each under its name; ``words`` say what each shows."""
        high = max(int(drawing.height) for _, drawing in drawn) + 20
        self.need(high)
        wide = ACROSS // len(drawn)
        for at, (name, drawing) in enumerate(drawn):
            x, said = LEFT + at * wide, self.say(name)
            with self.tags.content("P"):
                self.pen.text(x, self.y - 12, said, _SIZE, colour=MUTED)
            with self.tags.figure(words[at] if words else said):
                renderPDF.draw(drawing, self.paper.canvas, x, self.y - 18 - int(drawing.height))
        self.y -= high

    def codes(self, *, url: str, scan: Term, number: str, name: Term) -> None:
        """Draw a number as a barcode, for a desk, and beside it where a phone is led to."""
        code = QrCode.of(url)
        self.need(code.side + 40)
        top = self.y - 14
        with self.tags.figure(f"{self.say(name)}: {number}"):
            draw_code_128(self.paper.canvas, number, x=LEFT + 10, y=top - 36, height=36)
        with self.tags.content("P"):
            self.pen.text(LEFT + 10, top - 50, number, 9)
            self.pen.text(LEFT + 10, top - 64, self.say(name), 8, colour=MUTED)
        left, bottom, words = RIGHT - code.side, top - code.side, self.say(scan)
        with self.tags.content("Link", alt(f"{words}: {url}")):
            code.draw(self.paper.canvas, x=left, top=top)
            self.tags.link(url, (left, bottom, RIGHT, top), words)
        with self.tags.content("P"):
            self.pen.text(RIGHT, bottom - 14, words, 8, colour=MUTED, right=True)
        self.y = bottom - 20

    def signatures(self, names: Sequence[Term]) -> None:
        """Leave lines to sign on, each with a place for the day."""
        self.need(70)
        wide = ACROSS // len(names)
        bottom = self.y - 52
        for at, name in enumerate(names):
            x = LEFT + at * wide
            self.pen.rule(x, bottom, wide - 16, colour=MUTED)
            with self.tags.content("P"):
                self.pen.text(x, bottom - 12, self.say(name), 8, colour=MUTED)
        self.y = bottom - 18


def _cell_text(place: tuple[int, int], text: str) -> Fitted:
    return fitted(text, width=place[1] - place[0] - 6, sizes=(_SIZE, 8, 7))


def _edges(columns: Sequence[Column]) -> list[tuple[int, int]]:
    """Return where each column begins and ends, in points."""
    whole = sum(column.width for column in columns)
    ends = [ACROSS * width // whole for width in accumulate(one.width for one in columns)]
    return [(LEFT + start, LEFT + end) for start, end in pairwise([0, *ends])]
