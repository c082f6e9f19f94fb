"""The middle of a bill on paper: its lines, its total and what follows from it, its chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from reportlab.graphics import renderPDF

from billing.documents.bill_sheet import ACROSS, LEFT, RIGHT, SUM_ROW, TOTAL_ROW, Sheet
from billing.documents.charts import month_text, usage_drawing
from billing.documents.tagging import HEAD_OF_COLUMN, Element
from billing.documents.typesetting import MUTED, Fitted, Term, fitted
from core.money import format_yuan
from providers.base import LineItem

_NAME_WIDTH, _QUANTITY, _UNIT = 232, 372, 384
_ROW = 21
_CHART_MONTHS, _CHART_ROW = 13, 14
_HEAD_OF_ROW = "/A<</O/Table/Scope/Row/ColSpan 3>>"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the bill, broken as it is printed."""

    item: LineItem
    name: Fitted

    @classmethod
    def of(cls, item: LineItem) -> "Row":
        return cls(item, fitted(item.name, width=_NAME_WIDTH, sizes=(10,), lines=3))

    @property
    def height(self) -> int:
        return _ROW + self.name.height - self.name.leading


def paginate(rows: Sequence[Row], *, first: int, later: int, foot: int) -> list[list[Row]]:
    """Share the rows out over pages, with room for the heading and the total on each."""
    pages: list[list[Row]] = [[]]
    room = first - _ROW - foot
    for row in rows:
        if row.height > room:
            pages.append([])
            room = later - _ROW - foot
        pages[-1].append(row)
        room -= row.height
    return pages


def draw_rows(sheet: Sheet, table: Element, rows: Sequence[Row], top: int, *, again: bool) -> int:
    """Write lines from ``top`` down; return the lowest point.

    Args:
        again: the table goes on, so that its head has been read.
    """
    pen = sheet.pen
    if not rows:
        pen.rule(LEFT, top - 1, ACROSS)
        return top - 1
    with sheet.tags.within(table):
        _head(sheet, top - 14, again=again)
        y = top - _ROW
        pen.rule(LEFT, y, ACROSS, colour=MUTED)
        for row in rows:
            with sheet.tags.group("TR"):
                _row(sheet, row, y - 14)
            y -= row.height
            pen.rule(LEFT, y, ACROSS)
    return y


def _head(sheet: Sheet, y: int, *, again: bool) -> None:
    columns = (
        (LEFT, Term("项目", "Item"), False),
        (_QUANTITY, Term("数量", "Quantity"), True),
        (_UNIT, Term("单位", "Unit"), False),
        (RIGHT, Term("金额", "Amount"), True),
    )
    tags = sheet.tags
    if again:
        with tags.artifact("Pagination"):
            for x, term, right in columns:
                sheet.pen.label(x, y, term, right=right)
        return
    with tags.group("TR"):
        for x, term, right in columns:
            with tags.content("TH", HEAD_OF_COLUMN):
                sheet.pen.label(x, y, term, right=right)


def _row(sheet: Sheet, row: Row, baseline: int) -> None:
    item, amount = row.item, format_yuan(row.item.amount_fen)
    quantity = "" if item.quantity is None else number_text(item.quantity)
    cells = (
        (LEFT, row.name, False),
        (_QUANTITY, fitted(quantity, width=80, sizes=(10, 9, 8)), True),
        (_UNIT, fitted(item.unit, width=50, sizes=(10, 9, 8)), False),
        (RIGHT, fitted(amount, width=104, sizes=(10, 9, 8)), True),
    )
    for x, block, right in cells:
        if not any(block.lines):
            sheet.tags.empty("TD")
            continue
        with sheet.tags.content("TD"):
            sheet.pen.block(x, baseline, block, right=right)


def draw_total(sheet: Sheet, table: Element, y: int) -> int:
    """Write the company's own total, never recomputed from the lines, and what follows from it."""
    pen, tags = sheet.pen, sheet.tags
    with tags.within(table):
        with tags.group("TR"):
            with tags.content("TH", _HEAD_OF_ROW):
                pen.text(LEFT, y - 19, "合计", 11)
                pen.english(LEFT + 27, y - 19, "Total", 8)
            with tags.content("TD"):
                pen.text(RIGHT, y - 19, format_yuan(sheet.bill.amount_fen), 13, right=True)
        y -= TOTAL_ROW
        for line in sheet.sums:
            with tags.group("TR"):
                with tags.content("TH", _HEAD_OF_ROW):
                    pen.label(LEFT, y - 6, line.term)
                with tags.content("TD"):
                    pen.text(RIGHT, y - 6, format_yuan(line.amount_fen), 10, right=True)
            y -= SUM_ROW
    return y


def number_text(number: Decimal) -> str:
    """Return a quantity as it was measured, with its thousands apart."""
    return f"{number:,f}"


def draw_chart(sheet: Sheet, *, top: int, floor: int) -> None:
    """Draw the latest months that fit between the total and what is below; fewer than two, none."""
    history = sheet.printed.history
    count = min(len(history), _CHART_MONTHS, (top - floor - 34) // _CHART_ROW)
    if count < 2:
        return
    shown = history[-count:]
    with sheet.tags.content("H2"):
        sheet.pen.label(LEFT, top - 14, Term("近期账单", "Recent bills"))
    drawing = usage_drawing(shown, width=ACROSS, row=_CHART_ROW, size=9)
    alt = "近期账单金额：" + "；".join(f"{month_text(m)} {format_yuan(fen)}" for m, fen in shown)
    with sheet.tags.figure(alt):
        renderPDF.draw(drawing, sheet.pen.canvas, LEFT, top - 22 - drawing.height)
