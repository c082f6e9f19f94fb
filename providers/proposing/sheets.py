"""A workbook into rows of cells: the sheet with the most rows that can be seen."""

from decimal import Decimal
from typing import BinaryIO

from core.errors import BillFileError
from providers.formats.typed_cells import decimal_text
from providers.formats.unwrapping import unwrapped
from providers.formats.workbook import CellValue, Workbook
from providers.profile_tables import REQUIRED
from providers.proposing.delimited import note_dress
from providers.proposing.filled_down import note_filled_down
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Row, Said
from providers.proposing.headings import meaning_of
from providers.proposing.rows_of_tables import arrange


def cut_sheet(stream: BinaryIO) -> Grid:
    """Cut the fullest sheet into rows.

    Raises:
        BillFileError: no workbook that can be read, or nothing in it.
    """
    best: tuple[int, str, list[Row], set[int]] = (0, "", [], set())
    merged: list[list[int]] = []
    padded: dict[str, bool] = {}
    with unwrapped(stream, takes_zip=True) as plain, Workbook(plain) as book:
        sheets = [sheet for sheet in book.sheets if sheet.visible][:10]
        for sheet in sheets:
            typed = list(book.rows(sheet, ROWS_LIMIT))
            rows = [
                Row(row_no, [shown(cell) for cell in cells[:COLUMNS_LIMIT]])
                for row_no, cells in typed
            ]
            filled = sum(bool(cell) for row in rows for cell in row.cells)
            texts = [cell for _, cells in typed for cell in cells if isinstance(cell, str)]
            padded[sheet.name] = any(cell != cell.strip() and cell.strip() for cell in texts)
            if filled > best[0]:
                numeric = {
                    at for _, cells in typed for at, cell in enumerate(cells[:COLUMNS_LIMIT])
                    if isinstance(cell, int | Decimal) and not isinstance(cell, bool)
                }  # fmt: skip
                best, merged = (filled, sheet.name, rows, numeric), book.merged
    if not best[0]:
        raise BillFileError("the workbook holds nothing: send a sample with some bills in it")
    grid = Grid(format="spreadsheet", whole=len(best[2]) < ROWS_LIMIT)
    if padded.get(best[1]):
        grid.shape["trim"] = Said(True, "cells have blanks around them")
    note_dress(best[2], grid.shape)
    arrange(grid, best[2])
    note_filled_down(grid, merged)
    _ask_about_cells(grid, best[3])
    if len(sheets) > 1 and not grid.named:  # by its names a sheet is found; two are refused
        grid.shape["sheet"] = Said(best[1], "the fullest of the sheets")
        grid.questions.append("do the bills always stand on the sheet of this name?")
    return grid


def _ask_about_cells(grid: Grid, numeric: set[int]) -> None:
    """Ask about account numbers that are numbers, and about formulas that nobody worked out."""
    for at, name in enumerate(grid.names if grid.named else ()):
        said = meaning_of(grid.name_parts[at])
        if said is None or not said.exact:
            continue
        if said.role == "account_no" and at in numeric:
            grid.questions.append(
                f"the cells of {name} are numbers, which keep no zeros at their front: how many"
                " digits has one? Say length and pad"
            )
        elif said.role in REQUIRED and set(grid.column(at)) <= {"", "0"}:
            grid.questions.append(
                f"the cells of {name} say nothing, as formulas do that were never worked out: can"
                " the workbook be opened in a spreadsheet program and saved?"
            )


def shown(value: CellValue) -> str:
    """Write a cell down, a day as 2026-11-01."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return value.get("d") or value.get("t") or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return decimal_text(value, 2)
