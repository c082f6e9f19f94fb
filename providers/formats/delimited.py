"""Files of one bill a line, cells between delimiters, as a profile describes them.

Source: docs/wire/bill-files.md, water and power.
"""

import csv
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import BinaryIO

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.headers import Columns, columns_of, is_repeated, plain_names
from providers.formats.rows import Rows, reject
from providers.formats.sources import plain_name
from providers.formats.splitting import NOTHING, is_tool_line
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
Line = tuple[int, str]
Ending = tuple[int, list[str]]  # the trailer's line number and its cells


class DelimitedReader:
    """Reads a delimited bill file; see `BillFileReader`.

    A bill is one line: quoting, where the profile allows it, does not reach over a line break.
    """

    def __init__(self, profile: Profile) -> None:
        assert profile.file.delimiter is not None
        self._profile = profile
        self._delimiter = profile.file.delimiter
        self._names = plain_names(profile)
        self._detail = profile.columns[0].must_be if profile.column("row_type") else None

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        lines = numbered_lines(stream, self._profile.file.codec)
        line_no, line = next(lines, _NO_LINES)
        rows, heading = self._header(line_no, line)
        if heading is not None:
            yield heading
        yield from self._rows(lines, line_no, rows)

    def _rows(
        self, lines: Iterator[Line], line_no: int, rows: Rows
    ) -> Iterator[BillRecord | Reject]:
        totals, seen = Totals(), _Watched(lines, line_no)
        ending = yield from self._judge(seen, rows, totals)
        self._finish(ending, seen, totals, seen.line_no)

    def _judge(
        self, lines: Iterator[Line], rows: Rows, totals: Totals
    ) -> Generator[BillRecord | Reject, None, Ending | None]:
        """Yield what lines are, up to the trailer; returns that, cut into cells, if it came."""
        split, build, padding = self._splitter(), rows.build, rows.padding
        detail, mark = self._detail, self._mark
        for line_no, line in lines:
            cells = split(line)
            blanks = None if cells is None else padding.get(len(cells))
            if cells is not None and blanks is not None and detail in (None, cells[0]):
                try:
                    record = build(line_no, cells + blanks if blanks else cells)
                except Invalid:
                    if self._says_nothing(rows, totals, line_no, cells, line):
                        continue
                    yield self._explained(rows, totals, line_no, cells, line)
                    continue
                totals.count += 1
                totals.sum_fen += record.amount_fen
                yield record
            elif cells is not None and mark is not None and cells[0] == mark:
                return line_no, cells
            elif not self._says_nothing(rows, totals, line_no, cells or [line], line):
                yield self._malformed(rows, totals, line_no, cells, line)
        return None

    def _says_nothing(
        self, rows: Rows, totals: Totals, line_no: int, cells: list[str], line: str
    ) -> bool:
        """Tell whether a line that is no bill is blank, a tool's, or the column names once more."""
        if is_tool_line(line):
            totals.note_tool_line(line_no, line)
            return True
        if not any(cell.strip(NOTHING) for cell in cells):
            return True
        if self._profile.header.kind != "names" or plain_name(cells[0]) not in self._names:
            return False
        return is_repeated(self._profile, cells, rows.places, line_no)

    @property
    def _mark(self) -> str | None:
        trailer = self._profile.trailer
        return trailer.fields[0].must_be if trailer is not None else None

    def _finish(
        self, ending: Ending | None, more: Iterable[Line], totals: Totals, last_no: int
    ) -> None:
        """Prove the totals; ``more`` is what follows the trailer, and nothing may."""
        trailer = self._profile.trailer
        if trailer is None or ending is None:
            prove_without_trailer(self._profile, totals, last_no)
        else:
            line_no, cells = ending
            totals.passed += 1
            prove_trailer(self._profile, trailer, cells, totals, line_no)
            refuse_more(more, totals)
        totals.prove_printed()

    def _header(self, line_no: int, line: str) -> tuple[Rows, Heading | None]:
        """Read the header line: the file's number, or in what order the columns stand."""
        header = self._profile.header
        cells = self._splitter()(line)
        if cells is None:
            raise BillFileError("the header's quotation marks do not match", line_no=line_no)
        if header.kind == "record":
            checked(self._profile, cells, header.fields, "header", line_no)
            return Rows(self._profile), read_heading(cells, header.fields)
        columns = columns_of(self._profile, cells)
        if columns is None:
            raise Columns.refusal(self._profile, cells, line_no)
        return Rows(self._profile, columns.order), None

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


class _Watched(Iterator[Line]):
    """Lines as they go by; ``line_no`` is that of the last."""

    def __init__(self, lines: Iterator[Line], line_no: int) -> None:
        self._lines, self.line_no = lines, line_no

    def __next__(self) -> Line:
        line = next(self._lines)
        self.line_no = line[0]
        return line
