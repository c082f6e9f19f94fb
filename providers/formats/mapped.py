"""Rows found by name or by path, not by place in a line: what their readers have in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from core.errors import Invalid
from providers.base import BillRecord, LineItem, Reject
from providers.formats.cells import read_quantity, read_text
from providers.formats.intake import Found
from providers.formats.judging import items_complaint, shown_raw
from providers.formats.numerals import amount_reader, quantity_reader
from providers.formats.rows import RowFault, reject
from providers.formats.tabular import intake_of, totals_of
from providers.profile_tables import ItemsFrom, Numbers
from providers.profiles import Profile

_LINES_LIMIT: Final = 1_000  # printed lines of one bill


@dataclass(slots=True, kw_only=True)
class MappedRow:
    """One row, its cells in the profile's order.

    ``faults`` says by column what is wrong with a cell that could not even become text, ``lines``
    holds the texts (name, amount, quantity) of a bill's own list of lines, and ``raw`` writes the
    row down for its sender.
    """

    line_no: int
    cells: list[str]
    raw: Callable[[], str]
    faults: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[str, str, str]] = field(default_factory=list)


class _Lines:
    """A bill's own list of lines: ``[items_from]``."""

    def __init__(self, profile: Profile, listed: ItemsFrom) -> None:
        written = None if profile.numbers == Numbers() else profile.numbers
        self._listed = listed
        self._rounding = profile.rounding_item
        self._amount = amount_reader(listed.amount_unit or profile.amount_unit, written)
        self._quantity = quantity_reader(read_quantity, written, None)

    def read(self, lines: list[tuple[str, str, str]], amount_fen: int) -> tuple[LineItem, ...]:
        """Return the lines of a bill of ``amount_fen``.

        Raises:
            RowFault: one cannot be read, or they do not add up and nothing may make up for it.
        """
        if len(lines) > _LINES_LIMIT:
            raise RowFault(
                self._listed.path,
                f"the bill has {len(lines)} lines; {_LINES_LIMIT} are the limit: send a summary",
            )
        items = tuple(self._line(*line) for line in lines)
        items_fen = sum(item.amount_fen for item in items)
        if items_fen == amount_fen:
            return items
        if self._rounding is None:
            raise RowFault(self._listed.path, items_complaint(items_fen, amount_fen))
        return (*items, LineItem(self._rounding, None, "", amount_fen - items_fen))

    def _line(self, name: str, amount: str, quantity: str) -> LineItem:
        listed = self._listed
        try:
            fen = self._amount(amount)
            used: Decimal | None = self._quantity(quantity) if quantity else None
            return LineItem(read_text(name), used, listed.unit if quantity else "", fen)
        except Invalid as wrong:
            raise RowFault(listed.path, f"in the line {name[:32]!r}, {wrong.message}") from None


class MappedBills:
    """Makes bills of rows, and keeps the totals.

    Args:
        profile: the company's.
        file_day: the day the document says it is of.
    """

    def __init__(self, profile: Profile, file_day: date | None = None) -> None:
        listed = profile.items_from
        self.totals = totals_of(profile)
        self._intake = intake_of(profile, self.totals, Found(file_day=file_day))
        self._waits = profile.rows is not None  # a row is judged when its bill is whole
        self._lines = None if listed is None else _Lines(profile, listed)

    def take(self, row: MappedRow) -> Iterator[BillRecord | Reject]:
        """Yield what is known after a row; every row is counted."""
        if row.faults:
            yield from self._faulty(row)
            return
        if self.totals.more:
            self.totals.add_more(row.line_no, row.cells, self._intake.rows)
        raw = row.raw() if self._waits else ""
        for bill in self._intake.take(row.line_no, row.cells, raw):
            if isinstance(bill, Reject):
                yield bill if bill.raw else bill._replace(raw=shown_raw(row.raw()))
            elif row.lines and self._lines is not None:
                yield self._with_lines(self._lines, bill, row)
            else:
                yield bill

    def refuse(self, line_no: int, reason: str, raw: str) -> Iterator[BillRecord | Reject]:
        """Yield, and count, the reject of what means to be a row and has no cells at all."""
        yield from self._intake.broken(reject(line_no, "", reason, raw))

    def finish(self) -> Iterator[BillRecord | Reject]:
        """Yield what was still to come when the rows ended."""
        yield from self._intake.finish()

    def _with_lines(self, lines: _Lines, bill: BillRecord, row: MappedRow) -> BillRecord | Reject:
        """Give a bill the lines of its own list; it was counted already, whatever they are."""
        try:
            return bill._replace(items=lines.read(row.lines, bill.amount_fen))
        except RowFault as fault:
            return reject(row.line_no, fault.column, fault.reason, row.raw())

    def _faulty(self, row: MappedRow) -> Iterator[BillRecord | Reject]:
        column, reason = next(iter(row.faults.items()))
        rejected = reject(row.line_no, column, reason, row.raw())
        rows = self._intake.rows
        if self._waits or not rows.amount_column or rows.amount_column in row.faults:
            yield from self._intake.broken(rejected)
            return
        self.totals.lines += 1
        amount = row.cells[rows.places[rows.amount_column]]
        self.totals.add(row.line_no, rows.amount_column, amount, rows.amount_reader_of(row.cells))
        yield rejected
