"""Workbooks (xlsx, xls, ods): one bill a row, below a row of column names.

How to describe one: docs/mapped-formats.md.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.mapped import MappedBills, MappedRow
from providers.formats.sources import plain_name
from providers.formats.totals import checked, prove_statements, statement_of
from providers.formats.typed_cells import IDENTIFIERS, TypedCells, decimal_text
from providers.formats.workbook import CellValue, Sheet, Workbook
from providers.profiles import Column, Profile

_SEARCHED: Final = 50  # rows in which the column names are looked for, at least
_REMEDY: Final = "format the column as text and write it again"
_MERGED: Final = ("account_no", "holder_name", "address")  # what one cell may say for many rows


class SpreadsheetReader:
    """Reads a workbook; see `BillFileReader`. Its lines are the rows of the sheet."""

    def __init__(self, profile: Profile) -> None:
        if profile.header.kind == "record":
            raise Invalid("header: a spreadsheet has kind = 'names' or kind = 'none'")
        trailer = profile.trailer
        if trailer is not None and trailer.fields[0].must_be is None:
            raise Invalid("trailer: its first field needs a must_be, such as '合计'")
        self._profile = profile
        self._mark = trailer.fields[0].must_be if trailer is not None else None
        self._typed = TypedCells(profile, _REMEDY)
        self._names = [column.name for column in profile.columns]
        self._known = frozenset(
            name for column in profile.columns for name in (column.name, *column.also)
        )
        self._searched = max(_SEARCHED, profile.header.search_lines)

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        with Workbook(stream) as book:
            sheet, header_no, places = self._find(book)
            yield from self._rows(book, sheet, header_no, places)

    def _rows(
        self, book: Workbook, sheet: Sheet, header_no: int, places: dict[str, int]
    ) -> Iterator[BillRecord | Reject]:
        bills = MappedBills(self._profile)
        trailer: tuple[int, list[str]] | None = None
        row_no = header_no
        spread = {places[c.name] for c in self._profile.columns
                  if c.holds in _MERGED and c.name in places}  # fmt: skip
        for row_no, values in book.rows(sheet, spread=spread):
            first = _first_text(values)
            if row_no <= header_no or first is None:
                continue
            if self._mark is not None and first == self._mark:
                trailer = row_no, self._trailer_cells(values)
            elif first.startswith(self._profile.file.skip) or (
                first in self._known and self._is_repeated(values, places)
            ):
                continue
            elif trailer is not None:
                raise BillFileError(
                    "there is a row after the trailer: one file, one trailer, at its end",
                    line_no=row_no,
                )
            else:
                yield from self._bills(bills, row_no, values, places)
        yield from bills.finish()
        yield from self._prove(bills, trailer, row_no)

    def _is_repeated(self, values: Sequence[CellValue], places: dict[str, int]) -> bool:
        """Tell whether a row says the column names once more, as sheets printed by the page do."""
        return self._places([plain_name(_shown(value)) for value in values]) == places

    def _bills(
        self, bills: MappedBills, row_no: int, values: Sequence[CellValue], places: dict[str, int]
    ) -> Iterator[BillRecord | Reject]:
        cells, faults = [], {}
        for name in self._names:
            at = places.get(name, len(values))
            text = ""
            if at < len(values):
                try:
                    text = self._typed.text(name, values[at])
                except Invalid as wrong:
                    faults[name] = wrong.message
            cells.append(text)
        row = MappedRow(line_no=row_no, cells=cells, faults=faults, raw=lambda: _raw(values))
        for bill in bills.take(row):
            if isinstance(bill, Reject) and bill.line_no == row_no:
                yield self._amended(bill, values, places)
            else:
                yield bill

    def _amended(
        self, rejected: Reject, values: Sequence[CellValue], places: dict[str, int]
    ) -> Reject:
        """Add what a cell's type explains: the zeros a number lost, the value a formula has not."""
        column = next((c for c in self._profile.columns if c.name == rejected.column), None)
        at = places.get(rejected.column, len(values))
        if column is None or at >= len(values):
            return rejected
        if column.holds in IDENTIFIERS and not isinstance(values[at], str):
            if _REMEDY not in rejected.reason:
                more = f"; the cell is a number, which keeps no zeros at its front: {_REMEDY}"
                return rejected._replace(reason=rejected.reason + more)
        elif values[at] == "" and "blank" in rejected.reason:
            more = "; a formula that failed, or was never worked out, is blank too"
            return rejected._replace(reason=rejected.reason + more)
        return rejected

    def _trailer_cells(self, values: Sequence[CellValue]) -> list[str]:
        """Return the trailer's cells, without the blank ones between them."""
        trailer = self._profile.trailer
        assert trailer is not None
        cells = [_shown(value) for value in values if value != ""]
        return cells[: max(len(trailer.fields), 1)]

    def _prove(
        self, bills: MappedBills, trailer: tuple[int, list[str]] | None, last_no: int
    ) -> Iterator[Reject]:
        layout, statements = self._profile.trailer, []
        if layout is not None and trailer is not None:
            row_no, cells = trailer
            checked(self._profile, cells, layout.fields, "trailer", row_no)
            statements.append(statement_of(row_no, layout.fields, cells, " | ".join(cells)))
        yield from prove_statements(self._profile, statements, bills.totals, last_no)
        if layout is not None and trailer is None and not layout.optional:
            raise BillFileError(
                f"the sheet ends without its trailer row ({self._mark}): it was cut short;"
                " send it again",
                line_no=last_no,
            )

    def _find(self, book: Workbook) -> tuple[Sheet, int, dict[str, int]]:
        """Return the sheet of the bills, the row of its column names and where they stand.

        Raises:
            BillFileError: there is no such sheet, or there are two.
        """
        sheets = self._candidates(book)
        if self._profile.header.kind == "none":
            return sheets[0], 0, {name: at for at, name in enumerate(self._names)}
        found: list[tuple[Sheet, int, dict[str, int]]] = []
        nearest: tuple[int, int, list[str]] = (0, 1, [])  # columns found, row, its names
        for sheet in sheets:
            for row_no, values in list(book.rows(sheet, self._searched)):
                names = [plain_name(_shown(value)) for value in values]
                places = self._places(names)
                wanted = [column.name for column in self._wanted(places)]
                if all(name in places for name in wanted):
                    self._check_header(row_no, values, places)
                    found.append((sheet, row_no, places))
                    break
                if len(places) > nearest[0]:
                    lacking = [name for name in wanted if name not in places]
                    nearest = (len(places), row_no, lacking)
        if not found:
            raise self._no_header(nearest)
        if len(found) > 1:
            raise BillFileError(
                f"the sheets {found[0][0].name!r} and {found[1][0].name!r} both hold bills:"
                " send one of them a file, or name the sheet in the profile"
            )
        return found[0]

    def _candidates(self, book: Workbook) -> list[Sheet]:
        """Return the sheets to look at: the one the profile names, or all that can be seen."""
        wanted = self._profile.file.sheet
        if wanted is None:
            sheets = [sheet for sheet in book.sheets if sheet.visible]
        elif isinstance(wanted, int):
            sheets = book.sheets[wanted - 1 : wanted] if wanted > 0 else []
        else:
            sheets = [
                sheet for sheet in book.sheets if plain_name(sheet.name) == plain_name(wanted)
            ]
        if not sheets:
            there = ", ".join(repr(sheet.name) for sheet in book.sheets[:20]) or "none"
            which = "no sheet that can be seen" if wanted is None else f"no sheet {wanted!r}"
            raise BillFileError(f"the workbook has {which}: its sheets are {there}")
        return sheets

    def _wanted(self, places: dict[str, int]) -> list[Column]:
        return [c for c in self._profile.columns if c.name in places or not c.optional]

    def _places(self, names: list[str]) -> dict[str, int]:
        """Return where each column stands in a row of plain names."""
        places = {}
        for column in self._profile.columns:
            for name in (column.name, *column.also):
                if plain_name(name) in names:
                    places[column.name] = names.index(plain_name(name))
                    break
        return places

    def _check_header(
        self, row_no: int, values: Sequence[CellValue], places: dict[str, int]
    ) -> None:
        """Refuse a column that is there twice, and one nobody agreed where that matters."""
        taken = set(places.values())
        names = [plain_name(_shown(value)) for value in values]
        for at, name in enumerate(names):
            if not name or at in taken:
                continue
            twice = any(names[place] == name for place in taken)
            if twice or self._profile.header.extra == "refuse":
                what = "is there twice" if twice else "is not in the interface note"
                raise BillFileError(
                    f"column {at + 1} of the header, {name[:32]!r}, {what}: take it out",
                    line_no=row_no,
                )

    def _no_header(self, nearest: tuple[int, int, list[str]]) -> BillFileError:
        count, row_no, lacking = nearest
        columns = ", ".join(self._names)
        if not count:
            return BillFileError(
                f"no row of the first {self._searched} has the column names: they are {columns}",
                line_no=1,
            )
        return BillFileError(
            f"the header has no column {lacking[0]}: the columns are {columns}",
            line_no=row_no,
            column=lacking[0],
        )


def _first_text(values: Sequence[CellValue]) -> str | None:
    """Return a row's first cell that is not blank, or None when all are."""
    for value in values:
        text = _shown(value)
        if text and not text.isspace():
            return text.strip()
    return None


def _shown(value: CellValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return value.get("d") or value.get("t") or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return decimal_text(value, 2)


def _raw(values: Sequence[CellValue]) -> str:
    return " | ".join(_shown(value) for value in values)
