"""A workbook into rows of cells: the sheet with the most rows that can be seen."""

from typing import BinaryIO

from core.errors import BillFileError
from providers.formats.typed_cells import decimal_text
from providers.formats.unwrapping import unwrapped
from providers.formats.workbook import CellValue, Workbook
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Row, Said
from providers.proposing.rows_of_tables import arrange


def cut_sheet(stream: BinaryIO) -> Grid:
    """Cut the fullest sheet into rows.

    Raises:
        BillFileError: no workbook that can be read, or nothing in it.
    """
    best: tuple[int, str, list[Row]] = (0, "", [])
    with unwrapped(stream, takes_zip=True) as plain, Workbook(plain) as book:
        sheets = [sheet for sheet in book.sheets if sheet.visible][:10]
        for sheet in sheets:
            rows = [
                Row(row_no, [shown(cell) for cell in cells[:COLUMNS_LIMIT]])
                for row_no, cells in list(book.rows(sheet, ROWS_LIMIT))
            ]
            filled = sum(bool(cell) for row in rows for cell in row.cells)
            if filled > best[0]:
                best = filled, sheet.name, rows
    if not best[0]:
        raise BillFileError("the workbook holds nothing: send a sample with some bills in it")
    grid = Grid(format="spreadsheet", whole=len(best[2]) < ROWS_LIMIT)
    if len(sheets) > 1:
        grid.shape["sheet"] = Said(best[1], "the fullest of the sheets")
        grid.questions.append("do the bills always stand on the sheet of this name?")
    arrange(grid, best[2])
    return grid


def shown(value: CellValue) -> str:
    """Write a cell down, a day as 2026-11-01."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return value.get("d") or value.get("t") or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return decimal_text(value, 2)
