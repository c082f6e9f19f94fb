"""Text files whose profile asks for more than one row, one bill, each cell as it stands.

Plain profiles are read by ``delimited.py`` and ``fixed_width.py``, which are faster. Source:
docs/adding-a-provider.md.
"""

from collections.abc import Generator, Iterator, Sequence
from datetime import date
from typing import Any, BinaryIO, Final

from core.errors import BillFileError
from providers.base import BillRecord, Heading, Reject
from providers.confirmation_layout import ConfirmationLayout
from providers.formats.confirming import ConfirmationTotals, Confirming
from providers.formats.dates import date_reader
from providers.formats.filling_down import FillingDown
from providers.formats.headers import Columns, columns_of, is_repeated
from providers.formats.headings import joined
from providers.formats.intake import Found, Intake, SeveralInARow, SeveralRows
from providers.formats.rows import RowFault, reject
from providers.formats.segments import Segmented
from providers.formats.sources import ByteSource, CharacterSource, DelimitedSource, Source
from providers.formats.splitting import NOTHING, is_tool_line
from providers.formats.totals import (
    Statement,
    Totals,
    checked,
    prove_statements,
    read_heading,
    refuse_more,
    statement_of,
    summed,
)
from providers.profiles import Profile, Shape

_END_OF_FILE: Final = "\x1a"
Lines = Iterator[tuple[int, Any]]


class TabularReader:
    """Reads any text file of rows; see `BillFileReader`."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._source: Source[Any]
        if profile.file.format == "delimited":
            self._source = DelimitedSource(profile)
        elif profile.file.widths == "characters":
            self._source = CharacterSource(profile)
        else:
            self._source = ByteSource(profile)
        row_type = profile.column("row_type")
        self._marks = tuple(segment.mark for segment in profile.segments)
        if row_type is not None and row_type.must_be is not None:
            self._marks = (row_type.must_be, *self._marks)

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        profile, totals = self._profile, totals_of(self._profile)
        lines: Lines = self._source.lines(stream)
        statements: list[Statement] = []
        columns, file_day = Columns(), None
        if profile.header.kind == "names":
            columns, lines = self._named(lines)
        elif profile.header.kind == "record":
            line_no, line = next(lines, (1, None))
            cells = self._header(line_no, line)
            file_day = self._day(cells)
            statements.append(
                statement_of(line_no, profile.header.fields, cells, self._source.text(line))
            )
            heading = read_heading(cells, profile.header.fields)
            if heading is not None:
                yield heading
        intake = intake_of(
            profile, totals, Found(columns.order, columns.width, file_day, columns.names)
        )
        last_no = yield from self._rows(lines, intake, statements)
        yield from prove_statements(profile, statements, totals, last_no)

    def _rows(
        self, lines: Lines, intake: Intake, statements: list[Statement]
    ) -> Generator[BillRecord | Reject, None, int]:
        """Yield the bills of all rows up to the trailer; returns the last line's number."""
        profile, source, last_no = self._profile, self._source, 1
        trailer = profile.trailer
        filling = FillingDown.of(profile, intake.rows.places)
        ending = trailer.fields[0].must_be if trailer is not None else None
        for line_no, line in lines:
            last_no = line_no
            mark = source.mark(line)
            if ending is not None and _begins(mark, ending, profile):
                yield from intake.finish()
                assert trailer is not None
                intake.totals.passed += 1
                cells = self._cut(line_no, line, trailer.fields, "trailer")
                checked(profile, cells, trailer.fields, "trailer", line_no)
                statements.append(statement_of(line_no, trailer.fields, cells, source.text(line)))
                refuse_more(((no, source.text(more)) for no, more in lines), intake.totals)
                return last_no
            said = mark if mark.strip(NOTHING) else self._first_said(line, line_no)
            if not said or _is_no_bill(said.strip(), profile.file):
                intake.totals.passed += bool(said)
                filling.stop()
                continue
            yield from self._row(intake, filling, line_no, line, mark)
        yield from intake.finish()
        if trailer is not None and not trailer.optional:
            intake.totals.prove(last_no)
            raise BillFileError(
                f"the file ends without its trailer line ({ending}): it was cut short;"
                " send it again",
                line_no=last_no,
            )
        return last_no

    def _first_said(self, line: Any, line_no: int) -> str:
        """Return the first cell that says something, "" where none does."""
        text = self._source.text(line)
        if not text.strip(NOTHING) or self._profile.file.format != "delimited":
            return text.strip(NOTHING)
        try:
            cells = self._source.cells(line, (), line_no)
        except RowFault:
            return text
        return next((cell for cell in cells if cell.strip(NOTHING)), "")

    def _row(
        self, intake: Intake, filling: FillingDown, line_no: int, line: Any, mark: str
    ) -> Iterator[BillRecord | Reject]:
        profile, raw = self._profile, self._source.text(line)
        if is_tool_line(raw):
            intake.totals.note_tool_line(line_no, raw)
            return
        if self._marks and not any(_begins(mark, own, profile) for own in self._marks):
            wanted = " or ".join(self._marks)
            told = f"{mark[:32]!r} is no kind of line: bill rows begin with {wanted}"
            yield reject(line_no, profile.columns[0].name, told, raw)
            return
        try:
            cells = self._source.cells(line, profile.columns, line_no)
        except RowFault as fault:
            intake.totals.lines += 1
            filling.stop()
            yield from intake.broken(reject(line_no, fault.column, fault.reason, raw))
            return
        if not any(cells):
            filling.stop()
            return  # delimiters only, as spreadsheets leave them below their last row
        if cells[0] in intake.names and is_repeated(profile, cells, intake.rows.places, line_no):
            filling.stop()
            return
        filling.fill(line_no, cells)
        intake.totals.add_more(line_no, cells, intake.rows)
        yield from intake.take(line_no, cells, raw)

    def _header(self, line_no: int, line: Any) -> list[str]:
        fields = self._profile.header.fields
        cells = self._cut(line_no, line, fields, "header")
        checked(self._profile, cells, fields, "header", line_no)
        return cells

    def _cut(self, line_no: int, line: Any, fields: Sequence[Any], what: str) -> list[str]:
        try:
            return self._source.cells(line, fields, line_no)
        except RowFault as fault:
            told = fault.reason.replace("the row", f"the {what}", 1)
            raise BillFileError(
                f"{told}; check that this is the bill file of {self._profile.name}"
                f" ({self._profile.code})",
                line_no=line_no,
                column=fault.column or None,
            ) from None

    def _day(self, cells: list[str]) -> date | None:
        for field, text in zip(self._profile.header.fields, cells, strict=True):
            if field.holds == "day":
                return date_reader(field.format or self._profile.dates.day)(text)
        return None

    def _named(self, lines: Lines) -> tuple[Columns, Lines]:
        """Find the heading among the first lines; what stands above it is preamble."""
        seen: list[tuple[int, list[str]]] = []
        heading: list[list[str]] = []
        header = self._profile.header
        for line_no, line in lines:
            try:
                cells = self._source.cells(line, (), line_no)
            except RowFault:
                cells = [self._source.text(line)]
            heading = [*heading, cells][-header.rows :]
            if len(heading) < header.rows:
                continue
            seen.append((line_no, joined(heading)))
            columns = columns_of(self._profile, seen[-1][1])
            if columns is not None:
                return columns, lines
            if len(seen) >= header.search_lines:
                break
        raise _no_header(self._profile, seen)


def _no_header(profile: Profile, seen: list[tuple[int, list[str]]]) -> BillFileError:
    """Say what is wrong with the line that looks most like the row of names."""
    line_no, cells = max(seen or [(1, [])], key=lambda line: len(Columns.known(profile, line[1])))
    return Columns.refusal(profile, cells, line_no)


def _is_no_bill(said: str, shape: Shape) -> bool:
    """Tell what the profile passes over, or the mark that DOS ends a file with, from a bill."""
    return said.startswith(shape.skip or (_END_OF_FILE,)) or said.endswith(shape.skip_endings)


def _begins(mark: str, wanted: str, profile: Profile) -> bool:
    if profile.file.format == "delimited":
        return mark.strip() == wanted
    return mark.startswith(wanted)


def totals_of(profile: Profile) -> Totals:
    """Return what counts and sums a profile's rows, wherever the rows come from."""
    if isinstance(profile, ConfirmationLayout):
        return ConfirmationTotals(profile)
    return Totals(summed(profile))


def intake_of(profile: Profile, totals: Totals, found: Found) -> Intake:
    """Return what makes bills of a profile's rows, wherever the rows come from."""
    if isinstance(profile, ConfirmationLayout):
        return Confirming(profile, totals, found)
    kind = Intake
    if profile.rows is not None:
        kind = SeveralRows
    elif profile.segments:
        kind = Segmented
    elif profile.repeat:
        kind = SeveralInARow
    return kind(profile, totals, found)
