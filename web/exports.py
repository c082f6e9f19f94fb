"""What a list of the console shows, as a file: CSV, or a spreadsheet that needs no importing.

Neither is ever whole in memory. What the rows need is read in a transaction of their own
(``read_rows``): the request's is over before the first byte leaves.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import chain, count, islice
from tempfile import TemporaryFile
from typing import BinaryIO, Final, Literal
from unicodedata import east_asian_width
from urllib.parse import quote

import xlsxwriter  # type: ignore[import-untyped]
from fastapi.responses import StreamingResponse
from sqlmodel import Session
from xlsxwriter.format import Format  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

from core.clock import BILLING_ZONE
from core.db import transaction
from core.formulas import as_plain
from core.money import yuan_text

Kind = Literal["csv", "xlsx"]
_MEDIA_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
SHEET_ROWS: Final = 1_048_576  # what a sheet holds, the head included
_ROWS_A_CHUNK: Final = 500
_CHUNK_BYTES: Final = 256 * 1024
_EXACT: Final = 10**15  # spreadsheets keep fifteen digits of a number and make the rest zeros
_WIDEST, _NARROWEST, _MEASURED = 50, 8, 200  # characters; rows looked at
_FORMATS: Final = {
    "head": {"bold": True, "bottom": 1},
    "yuan": {"num_format": "#,##0.00"},
    "day": {"num_format": "yyyy-mm-dd"},
    "moment": {"num_format": "yyyy-mm-dd hh:mm:ss"},
}


@dataclass(frozen=True, slots=True)
class Yuan:
    """An amount, shown in yuan with two decimals."""

    fen: int


Cell = str | int | date | datetime | Yuan | None


def export(
    kind: Kind, *, name: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]
) -> StreamingResponse:
    """Answer with ``rows`` as a file called ``name``.

    Moments are the city's time. A spreadsheet goes on in another sheet where one is full. In CSV a
    text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    chunks = _csv(head, rows) if kind == "csv" else _xlsx(name, head, rows)
    return StreamingResponse(
        chunks,
        media_type=_MEDIA_TYPES[kind],
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{name}.{kind}')}",
            "X-Accel-Buffering": "no",  # a proxy passes it on as it comes
        },
    )


def read_rows(read: Callable[[Session], Iterable[Sequence[Cell]]]) -> Iterator[Sequence[Cell]]:
    """Yield what ``read`` finds, in a transaction that lives as long as it is read from."""
    with transaction() as session:
        yield from read(session)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    lines = chain([head], rows)
    mark = "\ufeff"  # without it Excel in China reads GBK
    while batch := list(islice(lines, _ROWS_A_CHUNK)):
        buffer = io.StringIO()
        csv.writer(buffer).writerows([_plain(cell) for cell in row] for row in batch)
        yield (mark + buffer.getvalue()).encode()
        mark = ""


def _plain(cell: Cell) -> str:
    """Return a cell as text."""
    match cell:
        case None:
            return ""
        case str():
            return as_plain(cell)
        case Yuan():
            return yuan_text(cell.fen)
        case datetime():
            return cell.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(cell)


def _xlsx(name: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    with TemporaryFile() as file:
        _write_book(file, name, head, iter(rows))
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _write_book(
    file: BinaryIO, name: str, head: Sequence[str], rows: Iterator[Sequence[Cell]]
) -> None:
    first = list(islice(rows, _MEASURED))
    widths = [_width(column) for column in zip(head, *first, strict=True)]
    rows = chain(first, rows)
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        formats = {key: book.add_format(values) for key, values in _FORMATS.items()}
        for number in count(1):
            sheet = book.add_worksheet(_sheet_name(name, number))
            sheet.freeze_panes(1, 0)
            for at, (words, width) in enumerate(zip(head, widths, strict=True)):
                sheet.set_column(at, at, width)
                sheet.write_string(0, at, words, formats["head"])
            for at, row in enumerate(islice(rows, SHEET_ROWS - 1), start=1):
                for column, cell in enumerate(row):
                    _write_cell(sheet, formats, (at, column), cell)
            following = next(rows, None)
            if following is None:
                break
            rows = chain([following], rows)


def _write_cell(
    sheet: Worksheet, formats: dict[str, Format], place: tuple[int, int], cell: Cell
) -> None:
    """Write a cell as what it is; never as a formula or a link, whatever it says."""
    match cell:
        case None | "":
            pass
        case str():
            sheet.write_string(*place, cell)
        case Yuan() if abs(cell.fen) < _EXACT:
            sheet.write_number(*place, Fraction(cell.fen, 100), formats["yuan"])
        case datetime():
            local = cell.astimezone(BILLING_ZONE).replace(tzinfo=None)  # a sheet knows no zones
            sheet.write_datetime(*place, local, formats["moment"])
        case date():
            sheet.write_datetime(*place, cell, formats["day"])
        case int() if abs(cell) < _EXACT:
            sheet.write_number(*place, cell)
        case _:
            sheet.write_string(*place, _plain(cell))


def _width(column: Sequence[Cell]) -> int:
    """Return how wide a column must be; what is Chinese is twice as wide."""
    widest = max(sum(1 + (east_asian_width(one) in "WF") for one in _plain(c)) for c in column)
    return min(max(widest + 2, _NARROWEST), _WIDEST)


def _sheet_name(name: str, number: int) -> str:
    plain = re.sub(r"[\[\]:*?/\\']", " ", name)[:25]
    return plain if number == 1 else f"{plain} {number}"
