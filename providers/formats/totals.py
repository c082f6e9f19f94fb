"""Control totals: what a file says of itself, held against what was read."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

from core.errors import BillFileError, Invalid
from core.money import yuan_text
from providers.base import Heading, Reject
from providers.formats.cells import amount_reader, date_reader, shown
from providers.formats.judging import reject
from providers.formats.mainframe import plain_reader
from providers.formats.numerals import AmountUnit, quantity_reader
from providers.formats.splitting import NOTHING, count_of_tool, is_tool_line
from providers.profiles import Cell, Numbers, Profile, Trailer


class SumsColumns(Protocol):
    """Reads one column of a row as a figure that can be summed."""

    def figure(self, name: str, cells: list[str]) -> Decimal: ...


class Totals:
    """Counts every bill row of a file and sums its amounts, rejected rows included."""

    def __init__(self, summed: Iterable[str] = ()) -> None:
        self.count = 0
        self.sum_fen = 0
        self.lines = 0  # where a bill stands in several, or several in one
        self.more = dict.fromkeys(
            summed, Decimal(0)
        )  # sums of other columns a trailer states, as written
        self.passed = 0  # lines that the profile has passed over
        self._printed: dict[int, int] = {}  # by line, the rows that a tool says it printed
        self._unread: Reject | None = None
        self._unread_more: dict[str, Reject] = {}

    def add(self, line_no: int, column: str, text: str, convert: Callable[[str], int]) -> None:
        """Count a rejected row, and its amount where ``text`` can be read."""
        try:
            self.sum_fen += convert(text)
        except Invalid as wrong:
            self.add_unread(Reject(line_no, column, wrong.message, ""))
        else:
            self.count += 1

    def add_unread(self, rejected: Reject) -> None:
        """Count a row whose amount cannot be read; the first one is kept, to be named."""
        self.count += 1
        if self._unread is None:
            self._unread = rejected

    def add_more(self, line_no: int, cells: list[str], rows: SumsColumns) -> None:
        """Add a row's cells of the other columns that are summed."""
        for name in self.more:
            try:
                self.more[name] += rows.figure(name, cells)
            except Invalid as wrong:
                self._unread_more.setdefault(name, Reject(line_no, name, wrong.message, ""))

    def prove(
        self,
        line_no: int,
        *,
        count: int | None = None,
        sum_fen: int | None = None,
        column: str = "",
    ) -> None:
        """Hold the stated totals against what was read; None is a total the file does not state.

        Raises:
            BillFileError: they disagree, or an amount that could not be read forbids to tell.
        """
        if self.count == 0:
            raise BillFileError(
                "the file holds no bill: send it again with its bills in it", line_no=line_no
            )
        if count is not None and count != self.count:
            raise BillFileError(
                f"the file says it holds {count} bills but {self.count} were read:"
                " it was cut or changed on the way; send it again",
                line_no=line_no,
            )
        if sum_fen is None:
            return
        if self._unread is not None:
            raise BillFileError(
                "the control sum cannot be proven, because the amount of this row cannot be read:"
                f" {self._unread.reason}",
                line_no=self._unread.line_no,
                column=self._unread.column or None,
            )
        if sum_fen != self.sum_fen:
            raise BillFileError(
                f"the file says its amounts add up to {yuan_text(sum_fen)} yuan but they come to"
                f" {yuan_text(self.sum_fen)}: it was changed on the way; send it again",
                line_no=line_no,
                column=column or None,
            )

    def prove_day(self, line_no: int, column: str, day: date) -> None:
        """Hold the day a file says it is of against the day it should be of: bills have none."""

    def prove_lines(self, line_no: int, count: int, column: str) -> None:
        """Hold the stated number of rows, of which several may be one bill, against those read.

        Raises:
            BillFileError: they disagree.
        """
        if count != self.lines:
            raise BillFileError(
                f"the file says it holds {count} rows but {self.lines} were read:"
                " it was cut or changed on the way; send it again",
                line_no=line_no,
                column=column,
            )

    def note_tool_line(self, line_no: int, line: str) -> None:
        """Keep what a tool says below its table: 6 rows selected."""
        count = count_of_tool(line)
        if count is not None:
            self._printed[line_no] = count

    def prove_printed(self) -> None:
        """Hold the rows that a tool says it printed, in all, against those read.

        What the profile passes over may be rows of the query, such as its sums, or none of them.

        Raises:
            BillFileError: they disagree.
        """
        if not self._printed:
            return
        stated, rows = sum(self._printed.values()), self.lines or self.count
        if stated not in (rows, rows + self.passed):
            raise BillFileError(
                f"the file says that {stated} rows were printed but {rows} were read:"
                " it was cut or changed on the way; send it again",
                line_no=max(self._printed),
            )

    def prove_more(self, line_no: int, field: Cell, stated: Decimal) -> None:
        """Hold the stated sum of another column against what was read.

        Raises:
            BillFileError: they disagree, or a cell that could not be read forbids to tell.
        """
        assert field.of is not None
        unread = self._unread_more.get(field.of)
        if unread is not None:
            raise BillFileError(
                f"the control sum {field.name} cannot be proven, because this row's {field.of}"
                f" cannot be read: {unread.reason}",
                line_no=unread.line_no,
                column=field.of,
            )
        read = self.more[field.of]
        if stated != read:
            raise BillFileError(
                f"the file says its {field.of} adds up to {stated} but it comes to {read}:"
                " it was changed on the way; send it again",
                line_no=line_no,
                column=field.name,
            )


def check_record(profile: Profile, cells: list[str], fields: tuple[Cell, ...], what: str) -> None:
    """Hold the cells of a header or trailer against its layout; the caller knows the line.

    Raises:
        Invalid: with ``column`` among its facts.
    """
    if len(cells) != len(fields):
        names = ", ".join(field.name for field in fields)
        raise Invalid(
            f"the {what} has {len(cells)} fields instead of {len(fields)} ({names})", column=None
        )
    for field, text in zip(fields, cells, strict=True):
        try:
            _check_field(profile, field, text)
        except Invalid as wrong:
            raise Invalid(f"in the {what}, {wrong.message}", column=field.name) from None


def _check_field(profile: Profile, field: Cell, text: str) -> None:
    text = plain_reader(field.style)(text)
    if field.must_be is not None and text != field.must_be:
        raise Invalid(
            f"{shown(text)} stands where {field.must_be} must:"
            f" check that this is the bill file of {profile.name} ({profile.code})"
        )
    whole = field.holds in ("digits", "sequence", "row_count", "line_count")
    if whole and not (text.isascii() and text.isdigit()):
        raise Invalid(f"{shown(text)} is not a whole number: write digits 0-9")
    if field.holds in ("row_count", "line_count") and len(text) > 15:
        raise Invalid(f"{shown(text)} is too long for a number of rows")
    if field.holds == "day":
        date_reader(field.format or profile.dates.day)(text)
    if field.holds == "amount_sum":
        _read_sum(profile, field, text)


def prove_trailer(
    profile: Profile, trailer: Trailer, cells: list[str], totals: Totals, line_no: int
) -> None:
    """Hold a trailer line against its layout and the totals it states.

    Raises:
        BillFileError: either does not hold.
    """
    checked(profile, cells, trailer.fields, "trailer", line_no)
    stated = {field.holds: text for field, text in zip(trailer.fields, cells, strict=True)}
    count, total = stated.get("row_count"), stated.get("amount_sum")
    sum_field = trailer.find("amount_sum")
    totals.prove(
        line_no,
        count=None if count is None else int(count),
        sum_fen=None if total is None else amount_reader(profile.amount_unit)(_unpadded(total)),
        column="" if sum_field is None else sum_field.name,
    )


def checked(
    profile: Profile, cells: list[str], fields: tuple[Cell, ...], what: str, line_no: int
) -> None:
    """Run `check_record` and give its complaint the line.

    Raises:
        BillFileError: the record is not as its layout says.
    """
    try:
        check_record(profile, cells, fields, what)
    except Invalid as wrong:
        column = wrong.facts["column"]
        raise BillFileError(
            wrong.message, line_no=line_no, column=str(column) if column else None
        ) from None


def read_heading(cells: list[str], fields: tuple[Cell, ...]) -> Heading | None:
    """Return what a header that was checked says of its file, if it has a number."""
    for field, text in zip(fields, cells, strict=True):
        if field.holds == "sequence":
            return Heading(plain_number(text))
    return None


def plain_number(digits: str) -> str:
    """Return a number as everybody writes it: 00000042 and 42 are one."""
    return digits.lstrip("0") or "0"


def prove_without_trailer(profile: Profile, totals: Totals, line_no: int) -> None:
    """Finish a file whose last line, ``line_no``, was a bill.

    Raises:
        BillFileError: there was no bill, or a trailer should have come.
    """
    totals.prove(line_no)
    if profile.trailer is not None:
        raise BillFileError(
            f"the file ends without its trailer line ({profile.trailer.fields[0].must_be}):"
            " it was cut short; send it again",
            line_no=line_no,
        )


def refuse_more(lines: Iterable[tuple[int, str]], totals: Totals) -> None:
    """Refuse whatever follows the trailer but what says nothing, and a tool's count of rows.

    Raises:
        BillFileError: something does.
    """
    for line_no, line in lines:
        if is_tool_line(line):
            totals.note_tool_line(line_no, line)
            continue
        if not line.strip(NOTHING):
            continue
        raise BillFileError(
            "there is a line after the trailer: one file, one trailer, at its end", line_no=line_no
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """What one line of a file says of the whole: its header or its trailer."""

    line_no: int
    fields: tuple[Cell, ...]
    cells: list[str]
    raw: str


def statement_of(
    line_no: int, fields: tuple[Cell, ...], cells: list[str], raw: object
) -> Statement:
    return Statement(line_no, fields, cells, str(raw))


def prove_statements(
    profile: Profile, statements: Iterable[Statement], totals: Totals, last_no: int
) -> Iterator[Reject]:
    """Hold everything a file says of itself against what was read, at its end.

    Yields a complaint where the profile says that a mismatch is only to be told.

    Raises:
        BillFileError: a total does not hold, or there was no bill.
    """
    totals.prove(last_no)
    for statement in statements:
        for field, text in zip(statement.fields, statement.cells, strict=True):
            try:
                _prove_field(profile, field, text, totals, statement.line_no)
            except BillFileError as wrong:
                if profile.totals.mismatch == "refuse":
                    raise
                line_no = wrong.line_no or statement.line_no
                yield reject(line_no, wrong.column or field.name, wrong.message, statement.raw)
    try:
        totals.prove_printed()
    except BillFileError as wrong:
        if profile.totals.mismatch == "refuse":
            raise
        yield reject(wrong.line_no or last_no, "", wrong.message, "")


def _prove_field(profile: Profile, field: Cell, text: str, totals: Totals, line_no: int) -> None:
    text = plain_reader(field.style)(text)
    if field.holds == "row_count":
        totals.prove(line_no, count=int(text))
    elif field.holds == "line_count":
        totals.prove_lines(line_no, int(text), field.name)
    elif field.holds == "amount_sum" and field.of in (None, _amount_name(profile)):
        sum_fen = amount_reader(_unit(profile, field), _written(profile))(_unpadded(text))
        totals.prove(line_no, sum_fen=sum_fen, column=field.name)
    elif field.holds == "amount_sum":
        totals.prove_more(line_no, field, _read_sum(profile, field, text))
    elif field.holds == "day":
        day = date_reader(field.format or profile.dates.day)(text)
        totals.prove_day(line_no, field.name, day)


def _amount_name(profile: Profile) -> str | None:
    column = profile.column("amount")
    return None if column is None else column.name


def _written(profile: Profile) -> Numbers | None:
    return None if profile.numbers == Numbers() else profile.numbers


def _unit(profile: Profile, field: Cell) -> AmountUnit:
    if field.unit is not None:
        return field.unit
    amount = profile.column("amount")
    return profile.amount_unit if amount is None else profile.unit_of(amount)


def _unpadded(text: str) -> str:
    """Return whole digits without the zeros they are padded with: sums have wide fields."""
    return re.sub(r"^(-?)0+(?=[0-9]+$)", r"\1", text)


def _read_sum(profile: Profile, field: Cell, text: str) -> Decimal:
    """Read a stated sum: fen of amounts and charges, a plain figure of quantities."""
    column = next((column for column in profile.columns if column.name == field.of), None)
    if column is not None and column.holds == "quantity":
        return quantity_reader(Decimal, _written(profile) or Numbers(), column.scale)(text)
    unit = field.unit or (profile.unit_of(column) if column else _unit(profile, field))
    scale = column.scale if column is not None and field.unit is None else None
    return Decimal(amount_reader(unit, _written(profile), scale)(_unpadded(text)))


def summed(profile: Profile) -> set[str]:
    """Return the columns other than the amount whose sums a file states."""
    trailer = profile.trailer.fields if profile.trailer is not None else ()
    named = {field.of for field in (*profile.header.fields, *trailer)}
    return {name for name in named if name is not None and name != _amount_name(profile)}
