"""Workbooks (xlsx, xls, ods): one bill a row, below a row of column names.

How to describe one: docs/mapped-formats.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.filling_down import FillingDown
from providers.formats.headings import joined
from providers.formats.mapped import MappedBills, MappedRow
from providers.formats.sources import plain_name
from providers.formats.totals import checked, prove_statements, statement_of
from providers.formats.typed_cells import IDENTIFIERS, TypedCells, decimal_text
from providers.formats.workbook import CellValue, Sheet, Workbook
from providers.profile_tables import FILLED_DOWN
from providers.profiles import Column, Profile

_SEARCHED: Final = 50  # rows in which the column names are looked for, at least
_TELLING: Final = 20  # bills that are all of nothing are none
_REMEDY: Final = "format the column as text and write it again"


class _Found(NamedTuple):
    """Where the bills are: below which row, and in which column what."""

    sheet: Sheet
    header_no: int  # the last row of the heading; 0 where there is none
    places: dict[str, int]
    heading: Sequence[Sequence[str]] = ()  # its rows of names, as they stand there
    names: frozenset[str] = frozenset()  # that one of them may begin with


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
            yield from self._rows(book, self._find(book))

    def _rows(self, book: Workbook, found: _Found) -> Iterator[BillRecord | Reject]:
        bills, shape = MappedBills(self._profile), self._profile.file
        trailer: tuple[int, list[str]] | None = None
        row_no, places = found.header_no, found.places
        rows = book.rows(found.sheet)
        below = [cells for cells in book.merged if cells[0] >= found.header_no]
        filling = FillingDown.of(self._profile, places, below)
        count, is_worth = 0, False
        for row_no, values in rows:
            first = _first_text(values)
            if row_no <= found.header_no:
                continue
            if first is None:
                filling.stop()
            elif self._mark is not None and first == self._mark:
                trailer = row_no, self._trailer_cells(values)
            elif (
                first.startswith(shape.skip)
                or first.endswith(shape.skip_endings)
                or (first in found.names and self._is_repeated(row_no, values, found))
            ):
                filling.stop()
            elif trailer is not None:
                raise BillFileError(
                    "there is a row after the trailer: one file, one trailer, at its end",
                    line_no=row_no,
                )
            else:
                filling.fill(row_no - 1, values)
                for bill in self._bills(bills, row_no, values, places):
                    count += 1
                    is_worth = is_worth or isinstance(bill, Reject) or bill.amount_fen != 0
                    yield bill
        yield from bills.finish()
        if count >= _TELLING and not is_worth:
            raise BillFileError(
                "all bills are of 0.00 yuan, as formulas are that were never worked out: open the"
                " workbook in the spreadsheet program, save it as xlsx and send it again"
            )
        yield from self._prove(bills, trailer, row_no)

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
        elif values[at] == "" and column.holds in FILLED_DOWN and "blank" in rejected.reason:
            more = "; a merged cell counts for its first row only, unless fill_down is said of it"
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

    def _find(self, book: Workbook) -> _Found:
        """Return the sheet of the bills, the heading's last row and where the columns stand.

        Raises:
            BillFileError: there is no such sheet, or there are two.
        """
        sheets = self._candidates(book)
        if self._profile.header.kind == "none":
            return _Found(sheets[0], 0, {name: at for at, name in enumerate(self._names)})
        found: list[_Found] = []
        nearest: tuple[int, int, list[str]] = (0, 1, [])  # columns found, row, its names
        for sheet in sheets:
            for row_no, heading in _headings(book.rows(sheet, self._searched), self._profile):
                names = [plain_name(name) for name in joined(heading)]
                places = self._places(names)
                wanted = [column.name for column in self._wanted(places)]
                if all(name in places for name in wanted):
                    self._check_header(row_no, names, places)
                    begin = frozenset(cell.strip() for row in heading for cell in row)
                    found.append(_Found(sheet, row_no, places, heading, begin | self._known))
                    break
                if len(places) > nearest[0]:
                    lacking = [name for name in wanted if name not in places]
                    nearest = (len(places), row_no, lacking)
        if not found:
            raise self._no_header(nearest)
        if len(found) > 1:
            raise BillFileError(
                f"the sheets {found[0].sheet.name!r} and {found[1].sheet.name!r} both hold bills:"
                " send one of them a file, or name the sheet in the profile"
            )
        return found[0]

    def _is_repeated(self, row_no: int, values: Sequence[CellValue], found: _Found) -> bool:
        """Tell whether a row says the column names once more, as sheets printed by the page do.

        Raises:
            BillFileError: it says them in another order: the rows below it are another table's.
        """
        names = _plain(map(_shown, values))
        for row in map(_plain, found.heading):
            if names == row:
                return True
            if sorted(filter(None, names)) == sorted(filter(None, row)):
                raise BillFileError(
                    "the column names stand here again, in another order: send each table by"
                    " itself", line_no=row_no,
                )  # fmt: skip
        return len(found.heading) == 1 and self._places(names) == found.places

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

    def _check_header(self, row_no: int, names: Sequence[str], places: dict[str, int]) -> None:
        """Refuse a column that is there twice, and one nobody agreed where that matters."""
        taken = set(places.values())
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


def _headings(
    rows: Iterator[tuple[int, list[CellValue]]], profile: Profile
) -> list[tuple[int, list[list[str]]]]:
    """Return every run of rows that may be the heading, with its last row; blank ones are none."""
    said = [(row_no, [_shown(value) for value in values]) for row_no, values in rows]
    said = [(row_no, cells) for row_no, cells in said if any(map(str.strip, cells))]
    size = profile.header.rows
    return [
        (said[end - 1][0], [cells for _, cells in said[end - size : end]])
        for end in range(size, len(said) + 1)
    ]


def _plain(cells: Iterable[str]) -> list[str]:
    """Return the names of a row as names are compared, without the blank ones at its end."""
    names = [plain_name(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


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
