"""Bills written over lines of several kinds: the bill's own, its items, its subtotals, notes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from core.errors import Invalid
from core.money import yuan_text
from providers.base import BillRecord, LineItem, Reject
from providers.formats.converters import converters_of
from providers.formats.intake import ROWS_OF_A_BILL, Found, Intake, Line, closed, refused
from providers.formats.judging import items_complaint
from providers.formats.rows import RowFault, reject
from providers.formats.totals import Totals
from providers.profile_tables import Role, Segment
from providers.profiles import Profile


@dataclass
class _Open:
    """The bill that is being read."""

    lines: list[Line]
    record: BillRecord | None
    items: list[LineItem] = field(default_factory=list)
    faults: dict[int, Reject] = field(default_factory=dict)
    since_fen: int = 0  # of the items after the last subtotal


class _Kind:
    """One kind of line below a bill."""

    def __init__(self, profile: Profile, segment: Segment) -> None:
        self.is_a = segment.is_a
        self.width = len(segment.columns)
        items = profile.model_copy(update={"columns": segment.columns})
        self._read: list[tuple[Role, str, int, Callable[[str], Any]]] = []
        converters = converters_of(items, fills=True).by_name
        for at, column in enumerate(segment.columns):
            if column.name in converters and column.holds != "row_type":
                self._read.append((column.holds, column.name, at, converters[column.name]))

    def read(self, cells: list[str]) -> dict[Role, Any]:
        """Read the cells of such a line.

        Raises:
            RowFault: one is wrong, or one is missing.
        """
        if len(cells) != self.width:
            raise RowFault(
                "", f"the line has {len(cells)} cells instead of {self.width}: add or remove cells"
            )
        found: dict[Role, Any] = {}
        for role, name, at, convert in self._read:
            try:
                found[role] = convert(cells[at])
            except Invalid as wrong:
                raise RowFault(name, wrong.message) from None
        return found


class Segmented(Intake):
    """Makes one bill of a bill's line and the lines below it."""

    def __init__(self, profile: Profile, totals: Totals, found: Found) -> None:
        super().__init__(profile, totals, found)
        charges = {column.name for column in profile.columns if column.holds == "charge"}
        own = tuple(item for item in profile.items if item.amount in charges)
        self.rows = self.rows_of(profile.model_copy(update={"items": own}), adds_up=False)
        self._kinds: Final = {segment.mark: _Kind(profile, segment) for segment in profile.segments}
        self._open: _Open | None = None

    def take(self, line_no: int, cells: list[str], raw: str) -> Iterator[BillRecord | Reject]:
        kind = self._kinds.get(cells[0].strip())
        if kind is None:
            yield from super().take(line_no, cells, raw)
            return
        self.totals.lines += 1
        if kind.is_a == "note":
            return
        line = Line(line_no, cells, raw)
        if self._open is None:
            yield reject(line_no, "", "no bill's line stands before this one: put it below its"
                         " bill", raw)  # fmt: skip
        elif len(self._open.lines) >= ROWS_OF_A_BILL:
            self._open.faults[line_no] = reject(
                line_no, "", f"a bill has at most {ROWS_OF_A_BILL} lines: send it in parts", raw
            )
            yield from self.finish()
        else:
            self._open.lines.append(line)
            self._below(self._open, kind, line)

    def line(self, line: Line) -> Iterator[BillRecord | Reject]:
        yield from self.finish()
        self._open = _Open([line], None)
        try:
            record = self.rows.build(line.line_no, line.cells)
        except Invalid:
            fault = self.rows.explain(line.line_no, line.cells, line.raw)
            self._open.faults[line.line_no] = fault
        else:
            self._open.record = record
            self._open.items.extend(record.items)

    def broken(self, fault: Reject) -> Iterator[BillRecord | Reject]:
        yield from self.finish()
        yield from super().broken(fault)

    def _below(self, bill: _Open, kind: _Kind, line: Line) -> None:
        """Add an item to the open bill, or hold its items against a subtotal."""
        try:
            found = kind.read(line.cells)
        except RowFault as wrong:
            bill.faults[line.line_no] = reject(line.line_no, wrong.column, wrong.reason, line.raw)
            return
        if kind.is_a == "item":
            fen = found.get("charge") or 0
            name = found.get("item_name") or self.profile.name
            quantity = found.get("quantity")
            unit = "" if quantity is None else self.profile.usage_unit
            bill.items.append(LineItem(name, quantity, unit, fen))
            bill.since_fen += fen
            return
        all_fen = sum(item.amount_fen for item in bill.items)
        if found["amount"] not in (bill.since_fen, all_fen):
            told = (
                f"the subtotal is {yuan_text(found['amount'])} yuan but the lines above it come to"
                f" {yuan_text(bill.since_fen)}: correct the one or the other"
            )
            bill.faults[line.line_no] = reject(line.line_no, "", told, line.raw)
        bill.since_fen = 0

    def finish(self) -> Iterator[BillRecord | Reject]:
        bill, self._open = self._open, None
        if bill is None:
            return
        record = None if bill.faults else self._closed(bill)
        if record is not None:
            self.totals.count += 1
            self.totals.sum_fen += record.amount_fen
            yield record
            return
        first = bill.lines[0]
        if self.rows.amount_column:
            amount = self.rows.amount_cell(first.cells)
            self.totals.add(first.line_no, self.rows.amount_column, amount, self.rows.read_amount)
        else:
            self.totals.add_unread(bill.faults[min(bill.faults)])
        yield from refused(bill.lines, bill.faults)

    def _closed(self, bill: _Open) -> BillRecord | None:
        assert bill.record is not None
        items_fen = sum(item.amount_fen for item in bill.items)
        amount_fen = bill.record.amount_fen if self.rows.amount_column else items_fen
        whole = closed(self.profile, bill.items, amount_fen)
        if whole is None:
            first = bill.lines[0]
            bill.faults[first.line_no] = reject(
                first.line_no, self.rows.amount_column, items_complaint(items_fen, amount_fen),
                first.raw,
            )  # fmt: skip
            return None
        return bill.record._replace(amount_fen=amount_fen, items=whole)
