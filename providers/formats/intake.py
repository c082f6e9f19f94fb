"""From rows to bills where the two are not one to one, and where they are.

A row source (text, a sheet, JSON) hands every row to an `Intake` and finishes it at the end. What
is kept is at most one bill's rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from core.errors import Invalid
from providers.base import BillRecord, LineItem, Reject
from providers.formats.judging import items_complaint
from providers.formats.rows import Rows, reject
from providers.formats.totals import Totals
from providers.profiles import Profile

ROWS_OF_A_BILL: Final = 1_000
# What all rows of one bill say alike.
_ALIKE: Final = (
    "kind", "account_no", "billing_month", "bill_no", "version", "issued_on", "due_on",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it stands in the file; its cells are padded to the profile's columns."""

    line_no: int
    cells: list[str]
    raw: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a file's head says of its rows: see `Rows`."""

    order: dict[str, int] | None = None
    width: int | None = None
    file_day: date | None = None
    names: frozenset[str] = frozenset()  # of the columns, as they stand in the file


class Intake:
    """Makes one bill of each row."""

    def __init__(self, profile: Profile, totals: Totals, found: Found) -> None:
        self.profile = profile
        self.totals = totals
        self._found, self.names = found, found.names
        self.rows = self.rows_of(profile)

    def rows_of(self, profile: Profile, *, adds_up: bool = True) -> Rows:
        found = self._found
        return Rows(
            profile, found.order, width=found.width, file_day=found.file_day, adds_up=adds_up
        )

    def take(self, line_no: int, cells: list[str], raw: str) -> Iterator[BillRecord | Reject]:
        """Yield what is known after a row."""
        self.totals.lines += 1
        blanks = self.rows.padding.get(len(cells))
        if blanks is None:
            wanted = " or ".join(str(count) for count in sorted(self.rows.padding))
            fault = reject(
                line_no, "",
                f"the row has {len(cells)} cells instead of {wanted}: add or remove cells", raw,
            )  # fmt: skip
            yield from self.broken(fault)
        else:
            yield from self.line(Line(line_no, cells + blanks, raw))

    def broken(self, fault: Reject) -> Iterator[BillRecord | Reject]:
        """Take a row that cannot even be cut into cells."""
        self.totals.add_unread(fault)
        yield fault

    def line(self, line: Line) -> Iterator[BillRecord | Reject]:
        yield self.judged(self.rows, line)

    def judged(self, rows: Rows, line: Line) -> BillRecord | Reject:
        """Build one row's bill and count it."""
        try:
            record = rows.build(line.line_no, line.cells)
        except Invalid:
            fault = rows.explain(line.line_no, line.cells, line.raw)
            amount = rows.amount_cell(line.cells)
            read = rows.amount_reader_of(line.cells)
            self.totals.add(line.line_no, rows.amount_column, amount, read)
            return fault
        self.totals.count += 1
        self.totals.sum_fen += record.amount_fen
        return record

    def finish(self) -> Iterator[BillRecord | Reject]:
        """Yield what was still to come when the rows ended."""
        yield from ()


class SeveralInARow(Intake):
    """Makes a bill of each group of columns of a row; a blank group is none."""

    def __init__(self, profile: Profile, totals: Totals, found: Found) -> None:
        super().__init__(_one_of(profile, 0), totals, found)
        places = self.rows.places
        self._groups = [
            ([places[name] for name in group.columns], self.rows_of(_one_of(profile, at)))
            for at, group in enumerate(profile.repeat)
        ]

    def line(self, line: Line) -> Iterator[BillRecord | Reject]:
        nothing = {"", *self.profile.numbers.nulls}
        said = [
            rows
            for places, rows in self._groups
            if any(line.cells[at].strip() not in nothing for at in places)
        ]
        if not said:
            yield reject(line.line_no, "", "the row names no bill: fill in one or leave it out",
                         line.raw)  # fmt: skip
        for rows in said:
            yield self.judged(rows, line)


def _one_of(profile: Profile, chosen: int) -> Profile:
    """Return the profile of one of several bills of a row: the others' columns are of no use."""
    others = {
        name
        for at, group in enumerate(profile.repeat)
        for name in group.columns
        if at != chosen
    } - set(profile.repeat[chosen].columns)  # fmt: skip
    columns = tuple(
        column.model_copy(update={"holds": "unused"}) if column.name in others else column
        for column in profile.columns
    )
    items = tuple(item for item in profile.items if item.amount not in others)
    usage = tuple(name for name in profile.usage if name not in others)
    amount = next((column.name for column in columns if column.holds == "amount"), None)
    if not items and amount is not None:
        items = (profile.items[0].model_copy(update={"name": amount, "amount": amount}),)
    return profile.model_copy(update={"columns": columns, "items": items, "usage": usage})


class SeveralRows(Intake):
    """Makes one bill of the rows that follow one another and say the same in ``group_by``."""

    def __init__(self, profile: Profile, totals: Totals, found: Found) -> None:
        super().__init__(profile, totals, found)
        assert profile.rows is not None
        self._rule = profile.rows.amount
        self.rows = self.rows_of(profile, adds_up=False)
        self._key_at = [self.rows.places[name] for name in profile.rows.group_by]
        self._lines: list[Line] = []

    def line(self, line: Line) -> Iterator[BillRecord | Reject]:
        if self._lines and (
            self._key(line) != self._key(self._lines[0]) or len(self._lines) >= ROWS_OF_A_BILL
        ):
            yield from self.finish()
        self._lines.append(line)

    def _key(self, line: Line) -> list[str]:
        return [line.cells[at] for at in self._key_at]

    def broken(self, fault: Reject) -> Iterator[BillRecord | Reject]:
        yield from self.finish()
        yield from super().broken(fault)

    def finish(self) -> Iterator[BillRecord | Reject]:
        lines, self._lines = self._lines, []
        if not lines:
            return
        self._say_amount(lines)
        records: list[BillRecord] = []
        faults: dict[int, Reject] = {}
        for line in lines:
            try:
                records.append(self.rows.build(line.line_no, line.cells))
            except Invalid:
                faults[line.line_no] = self.rows.explain(line.line_no, line.cells, line.raw)
        bill = None if faults else self._merged(lines, records, faults)
        if bill is not None:
            self.totals.count += 1
            self.totals.sum_fen += bill.amount_fen
            yield bill
            return
        self._count_refused(lines)
        yield from refused(lines, faults)

    def _say_amount(self, lines: Sequence[Line]) -> None:
        """Let rows say the amount of their bill where one row does and they are blank."""
        if self._rule == "sum" or not self.rows.amount_column:
            return
        at = self.rows.places[self.rows.amount_column]
        chosen = lines[0 if self._rule == "first" else -1].cells[at]
        for line in lines:
            if not line.cells[at].strip():
                line.cells[at] = chosen  # it is read once, for the bill

    def _merged(
        self, lines: Sequence[Line], records: Sequence[BillRecord], faults: dict[int, Reject]
    ) -> BillRecord | None:
        first = records[0]
        for line, record in zip(lines, records, strict=True):
            for name in _ALIKE:
                if getattr(record, name) != getattr(first, name):
                    faults[line.line_no] = reject(
                        line.line_no, "",
                        f"the {name.removesuffix('_on')} differs from that of line"
                        f" {first.line_no}, another row of this bill: make them agree", line.raw,
                    )  # fmt: skip
                    return None
        amounts = [record.amount_fen for record in records]
        amount_fen = {"sum": sum(amounts), "first": amounts[0], "last": amounts[-1]}[self._rule]
        said = [record.usage for record in records if record.usage is not None]
        items = [item for record in records for item in record.items]
        whole = closed(self.profile, items, amount_fen)
        if whole is None:
            told = items_complaint(sum(item.amount_fen for item in items), amount_fen)
            faults[first.line_no] = reject(
                first.line_no, self.rows.amount_column, told, lines[0].raw
            )
            return None
        return first._replace(
            amount_fen=amount_fen, items=whole, usage=sum(said[1:], said[0]) if said else None
        )

    def _count_refused(self, lines: Sequence[Line]) -> None:
        """Count a refused bill for the control totals as far as its amounts can be read."""
        chosen = {"sum": lines, "first": lines[:1], "last": lines[-1:]}[self._rule]
        sum_fen = 0
        for line in chosen:
            try:
                read = self.rows.amount_reader_of(line.cells)
                sum_fen += read(self.rows.amount_cell(line.cells))
            except Invalid as wrong:
                self.totals.add_unread(
                    Reject(line.line_no, self.rows.amount_column, wrong.message, "")
                )
                return
        self.totals.count += 1
        self.totals.sum_fen += sum_fen


def refused(lines: Sequence[Line], faults: dict[int, Reject]) -> Iterator[Reject]:
    """Yield a reject for every row of a bill that has a fault, the sound rows among them."""
    blamed = min(faults)
    for line in lines:
        yield faults.get(line.line_no) or reject(
            line.line_no, "",
            f"line {blamed}, another row of this bill, is wrong: mend it and send all its rows",
            line.raw,
        )  # fmt: skip


def closed(
    profile: Profile, items: Sequence[LineItem], amount_fen: int
) -> tuple[LineItem, ...] | None:
    """Return a bill's lines with the rounding line they need, or None if there is no such line."""
    left_fen = amount_fen - sum(item.amount_fen for item in items)
    if not left_fen:
        return tuple(items)
    if profile.rounding_item is None:
        return None
    return (*items, LineItem(profile.rounding_item, None, "", left_fen))
