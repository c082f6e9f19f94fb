"""Files of one bill a line, cells between delimiters, as a profile describes them.

Source: docs/wire/bill-files.md, water and power.
"""

import csv
import unicodedata
from collections.abc import Callable, Iterator
from typing import BinaryIO

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.rows import Rows, reject
from providers.formats.text import numbered_lines
from providers.formats.totals import (
    Totals,
    checked,
    prove_trailer,
    prove_without_trailer,
    read_heading,
    refuse_more,
)
from providers.profiles import Profile

_NO_LINES = (1, "")


class DelimitedReader:
    """Reads a delimited bill file; see `BillFileReader`.

    A bill is one line: quoting, where the profile allows it, does not reach over a line break.
    """

    def __init__(self, profile: Profile) -> None:
        assert profile.file.delimiter is not None
        self._profile = profile
        self._delimiter = profile.file.delimiter
        self._detail = profile.columns[0].must_be if profile.column("row_type") else None

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        lines = numbered_lines(stream, self._profile.file.encoding)
        line_no, line = next(lines, _NO_LINES)
        rows, heading = self._header(line_no, line)
        if heading is not None:
            yield heading
        yield from self._rows(lines, line_no, rows)

    def _rows(
        self, lines: Iterator[tuple[int, str]], line_no: int, rows: Rows
    ) -> Iterator[BillRecord | Reject]:
        totals = Totals()
        trailer, ended, sum_fen, built = self._profile.trailer, False, 0, 0
        mark = trailer.fields[0].must_be if trailer is not None else None
        split, build, padding = self._splitter(), rows.build, rows.padding
        detail = self._detail
        for line_no, line in lines:
            cells = split(line)
            blanks = None if cells is None else padding.get(len(cells))
            if cells is not None and blanks is not None and detail in (None, cells[0]):
                try:
                    record = build(line_no, cells + blanks if blanks else cells)
                except Invalid:
                    yield self._explained(rows, totals, line_no, cells, line)
                    continue
                built += 1
                sum_fen += record.amount_fen
                yield record
            elif cells is not None and trailer is not None and cells[0] == mark:
                ended = True
                break
            else:
                yield self._malformed(rows, totals, line_no, cells, line)
        totals.count += built
        totals.sum_fen += sum_fen
        if trailer is None or not ended:
            prove_without_trailer(self._profile, totals, line_no)
            return
        assert cells is not None
        prove_trailer(self._profile, trailer, cells, totals, line_no)
        refuse_more(lines)

    def _header(self, line_no: int, line: str) -> tuple[Rows, Heading | None]:
        """Read the header line: the file's number, or in what order the columns stand."""
        header = self._profile.header
        cells = self._splitter()(line)
        if cells is None:
            raise BillFileError("the header's quotation marks do not match", line_no=line_no)
        if header.kind == "record":
            checked(self._profile, cells, header.fields, "header", line_no)
            return Rows(self._profile), read_heading(cells, header.fields)
        names = [unicodedata.normalize("NFKC", cell).strip() for cell in cells]
        optional = {column.name for column in self._profile.columns if column.optional}
        wanted = [
            column.name
            for column in self._profile.columns
            if column.name in names or column.name not in optional
        ]
        _check_names(names, wanted, line_no)
        return Rows(self._profile, {name: at for at, name in enumerate(names)}), None

    def _splitter(self) -> Callable[[str], list[str] | None]:
        """Return what cuts a line into cells, or answers None when its quoting is broken."""
        delimiter = self._delimiter
        if not self._profile.file.quoted:
            return lambda line: line.split(delimiter)

        def split(line: str) -> list[str] | None:
            if '"' not in line:
                return line.split(delimiter)
            try:
                return next(csv.reader([line], delimiter=delimiter, strict=True))
            except csv.Error:
                return None

        return split

    def _explained(
        self, rows: Rows, totals: Totals, line_no: int, cells: list[str], line: str
    ) -> Reject:
        """Say what is wrong with a row of the right shape, and count it."""
        cells = cells + rows.padding[len(cells)]
        rejected = rows.explain(line_no, cells, line)
        totals.add(line_no, rows.amount_column, rows.amount_cell(cells), rows.read_amount)
        return rejected

    def _malformed(
        self, rows: Rows, totals: Totals, line_no: int, cells: list[str] | None, line: str
    ) -> Reject:
        """Say what is wrong with a line that is no row, and count it when it means to be one."""
        wanted = " or ".join(str(count) for count in sorted(rows.padding))
        if cells is None:
            fault = reject(
                line_no, "", "the quotation marks do not match: close each in its line", line
            )
        elif self._detail is not None and cells[0] != self._detail:
            type_column = self._profile.columns[0].name
            reason = f"{cells[0][:32]!r} is no kind of line: bill rows begin with {self._detail}"
            return reject(line_no, type_column, reason, line)
        else:
            reason = f"the row has {len(cells)} cells instead of {wanted}: add or remove cells"
            fault = reject(line_no, "", reason, line)
        totals.add_unread(fault)
        return fault


def _check_names(names: list[str], wanted: list[str], line_no: int) -> None:
    """Refuse a header row that lacks a column, names one twice or names one nobody agreed."""
    for name in wanted:
        if name not in names:
            raise BillFileError(
                f"the header has no column {name}: the columns are {', '.join(wanted)}",
                line_no=line_no,
                column=name,
            )
    for at, name in enumerate(names, 1):
        if name not in wanted or name in names[: at - 1]:
            what = "is there twice" if name in wanted else "is not in the interface note"
            raise BillFileError(
                f"column {at} of the header, {name[:32]!r}, {what}: take it out", line_no=line_no
            )
