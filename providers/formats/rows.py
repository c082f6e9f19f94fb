"""From a row's cells to a `BillRecord`, or to the `Reject` that says why not.

The way in is written for speed: it converts a whole row and, at the first fault of any kind, gives
up without saying which. `Rows.explain` then walks the row again, slowly, to find the words.
"""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

from core.errors import Invalid
from providers.base import BillRecord, LineItem, RecordKind, Reject
from providers.formats import stated
from providers.formats.cells import Remembered, date_reader, read_text, read_version
from providers.formats.converters import converters_of
from providers.formats.filling import Filler, OddRow, credit_teller, needs_filling
from providers.formats.judging import (
    RAW_LIMIT,
    Window,
    due_complaint,
    items_complaint,
    period_complaint,
    reject,
)
from providers.profiles import REQUIRED, Profile, Role

__all__ = [
    "RAW_LIMIT", "RowFault", "Rows", "Window", "due_complaint", "items_complaint",
    "period_complaint", "reject",
]  # fmt: skip

Build = Callable[[int, Sequence[str]], BillRecord]

# The order in which `itemgetter` hands the cells to the hot path.
_PICKED: Final[tuple[Role, ...]] = (
    "account_no",
    "holder_name",
    "address",
    "billing_month",
    "bill_no",
    "version",
    "status",
    "period_from",
    "period_to",
    "issued",
    "due",
    "amount",
)
_NUMBERS: Final[tuple[Role, ...]] = (
    "account_no", "billing_month", "bill_no", "version", "status",
)  # fmt: skip
_DAYS: Final[tuple[Role, ...]] = ("period_from", "period_to", "issued", "due")
_NO_QUANTITIES: Final[Remembered[Decimal]] = Remembered(Decimal)
_NO_CELL: Final = -1  # of a role the company's rows lack: the blank that ends every padded row


class RowFault(Exception):
    """A row that did not become a bill; caught where it is raised from, never seen outside."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


class Rows:
    """What a profile makes of a row, wherever its columns stand in this very file.

    Args:
        profile: the company's.
        order: the index of each column's cell by column name, when a header row says so;
            by default the profile's own order.
        width: how many cells the header row has, when some of them are of no use to us.
        file_day: the day the file's header names, where one does.
        adds_up: whether the lines of a row must make its amount; not so where several rows
            are one bill.
    """

    def __init__(
        self,
        profile: Profile,
        order: dict[str, int] | None = None,
        *,
        width: int | None = None,
        file_day: date | None = None,
        adds_up: bool = True,
    ) -> None:
        names = [column.name for column in profile.columns]
        self._at = dict.fromkeys(names, _NO_CELL)
        self._at |= order or {name: at for at, name in enumerate(names)}
        self._profile = profile
        fills = needs_filling(profile) or not adds_up
        read = converters_of(profile, fills=fills)
        self._converters, self._amounts, self._quantities = (
            read.by_name, read.amounts, read.quantities,
        )  # fmt: skip
        self._window = Window(
            date_reader("yyyy-mm")(profile.billing_months.earliest),
            profile.billing_months.months_after_issue,
        )
        self.padding = self._paddings(width, has_optional=order is None)
        self._filler = (
            Filler(
                profile, self._at, self._converters, self._window,
                file_day=file_day, adds_up=adds_up,
            )
            if fills
            else None
        )  # fmt: skip
        self._is_credit = credit_teller(profile, self._at)
        self.build: Build = self._compile() if self._filler is None else self._filler.build

    def figure(self, name: str, cells: Sequence[str]) -> Decimal:
        """Read one column of a row as a figure to be summed: fen, or a quantity.

        Raises:
            Invalid: it cannot be read.
        """
        at = self._at[name]
        text = cells[at] if at < len(cells) else ""
        if text in ("", *self._profile.numbers.nulls):
            return Decimal(0)
        if name in self._quantities:
            return self._quantities[name][text]
        fen = self._amounts[name][text]
        return Decimal(-fen if self._is_credit(cells) else fen)

    @property
    def places(self) -> dict[str, int]:
        """The index of each column's cell, by the column's name; -1 where the file lacks it."""
        return dict(self._at)

    def _paddings(self, width: int | None, *, has_optional: bool) -> dict[int, list[str]]:
        """Return what to append to a row by the number of its cells; no other number is right."""
        profile = self._profile
        lacks = -1 in self._at.values() or any(profile.column(role) is None for role in _PICKED)
        full = sum(at != _NO_CELL for at in self._at.values()) if width is None else width
        optional = sum(column.optional for column in profile.columns) if has_optional else 0
        return {count: [""] * (full - count + lacks) for count in range(full - optional, full + 1)}

    def _converter(self, role: Role) -> Any:
        column = self._profile.column(role)
        if column is not None:
            return self._converters[column.name]
        return {"version": read_version, "status": lambda _: RecordKind.BILL}.get(role, read_text)

    def _position(self, role: Role) -> int:
        column = self._profile.column(role)
        return _NO_CELL if column is None else self._at[column.name]

    def _compile(self) -> Build:
        """Return the hot path: everything it touches is a local of its closure."""
        pick = itemgetter(*(self._position(role) for role in _PICKED))
        account_of, month_of, bill_no_of, version_of, kind_of = map(self._converter, _NUMBERS)
        from_of, to_of, issued_of, due_of = map(self._converter, _DAYS)
        amounts = self._amounts[self.amount_column]
        printed, used = self._printed(), self._used()
        earliest, usage_unit = self._window.earliest, self._profile.usage_unit
        latest = _Latest(self._window)
        say = stated.sayer(self._profile, self._at, self._converters)
        new = tuple.__new__  # skips NamedTuple's own __new__, which costs as much again

        def build(line_no: int, cells: Sequence[str]) -> BillRecord:
            (
                account, holder, address, month, bill, version, flag, start, end, issued, due,
                amount,
            ) = pick(cells)  # fmt: skip
            amount_fen = amounts[amount]
            billing_month, issued_on, due_on = month_of(month), issued_of(issued), due_of(due)
            from_on, to_on = from_of(start), to_of(end)
            if to_on < from_on or due_on <= issued_on:
                raise _Odd
            if billing_month < earliest or billing_month > latest[issued_on]:
                raise _Odd
            if not (holder.isprintable() and address.isprintable()):
                read_text(holder)
                read_text(address)
            kind = kind_of(flag)
            known = (line_no, kind, account_of(account), holder, address, billing_month)
            named = (bill_no_of(bill), version_of(version), from_on, to_on, issued_on, due_on)
            metered = (used(cells), usage_unit, amount_fen, printed(cells, amount_fen))
            said = stated.NOTHING if say is None else say(cells, kind)
            return new(BillRecord, known + named + metered + said)

        return build

    def _printed(self) -> Callable[[Sequence[str], int], tuple[LineItem, ...]]:
        """Return what makes a bill's lines, with the rounding line where they do not add up."""
        lines = [
            (
                item.name,
                self._at[item.amount],
                self._amounts[item.amount],
                self._at.get(item.quantity or "", _NO_CELL),
                self._quantities.get(item.quantity or "", _NO_QUANTITIES),
                item.unit,
            )
            for item in self._profile.items
        ]
        rounding = self._profile.rounding_item
        new = tuple.__new__

        def printed(cells: Sequence[str], amount_fen: int) -> tuple[LineItem, ...]:
            items: list[LineItem] = []
            left_fen = amount_fen
            for name, at, amounts, quantity_at, quantities, unit in lines:
                fen = amounts[cells[at]]
                left_fen -= fen
                quantity = quantities[cells[quantity_at]] if quantity_at >= 0 else None
                items.append(new(LineItem, (name, quantity, unit, fen)))
            if left_fen:
                if rounding is None:
                    raise _Odd
                items.append(LineItem(rounding, None, "", left_fen))
            return tuple(items)

        return printed

    def _used(self) -> Callable[[Sequence[str]], Decimal | None]:
        """Return what sums the usage columns."""
        places = [(self._quantities[name], self._at[name]) for name in self._profile.usage]
        if not places:
            return lambda cells: None
        (quantities, first), *others = places

        def used(cells: Sequence[str]) -> Decimal:
            usage = quantities[cells[first]]
            for more, at in others:
                usage += more[cells[at]]
            return usage

        return used

    def explain(self, line_no: int, cells: Sequence[str], raw: str) -> Reject:
        """Say why `build` would not take this row."""
        fault = self._column_fault(cells)
        if fault is None and self._filler is not None:
            fault = self._filled_fault(self._filler, line_no, cells)
        elif fault is None:
            fault = self._row_fault(cells)
        return reject(line_no, fault.column, fault.reason, raw)

    def amount_cell(self, cells: Sequence[str]) -> str:
        """Return the amount's cell: it counts for the control sum whatever else is wrong."""
        place = self._position("amount")
        return "0" if place == _NO_CELL else cells[place]

    def read_amount(self, text: str) -> int:
        column = self._profile.column("amount")
        return 0 if column is None else self._amounts[column.name][text]

    def amount_reader_of(self, cells: Sequence[str]) -> Callable[[str], int]:
        """Return what reads the amount of one row: a credit's counts against."""
        if not self._is_credit(cells):
            return self.read_amount
        return lambda text: -self.read_amount(text)

    @property
    def amount_column(self) -> str:
        """The name of the amount's column; "" when the amount is the sum of other lines."""
        column = self._profile.column("amount")
        return "" if column is None else column.name

    def _column_fault(self, cells: Sequence[str]) -> RowFault | None:
        for name, convert in self._converters.items():
            try:
                convert(cells[self._at[name]])
            except Invalid as wrong:
                return RowFault(name, wrong.message)
        return None

    def _filled_fault(self, filler: Filler, line_no: int, cells: Sequence[str]) -> RowFault:
        try:
            filler.build(line_no, cells)
        except OddRow as wrong:
            column = None if wrong.role is None else self._profile.column(wrong.role)
            return RowFault("" if column is None else column.name, wrong.message)
        except Invalid as wrong:
            return RowFault("", wrong.message)
        raise AssertionError("a row that was refused has a fault")

    def _row_fault(self, cells: Sequence[str]) -> RowFault:
        """Judge what takes two cells to see; every cell by itself is sound."""
        read = {role: self._converter(role)(cells[self._position(role)]) for role in REQUIRED}
        issued_on, due_on = read["issued"], read["due"]
        complaints: tuple[tuple[Role, str | None], ...] = (
            ("billing_month", self._window.complaint(read["billing_month"], issued_on)),
            ("period_to", period_complaint(read["period_from"], read["period_to"])),
            ("due", due_complaint(issued_on, due_on)),
            ("original_no", self._original_complaint(cells)),
        )
        for role, complaint in complaints:
            column = self._profile.column(role)
            if complaint is not None and column is not None:
                return RowFault(column.name, complaint)
        items_fen = sum(
            self._amounts[item.amount][cells[self._at[item.amount]]] for item in self._profile.items
        )
        return RowFault(self.amount_column, items_complaint(items_fen, read["amount"]))

    def _original_complaint(self, cells: Sequence[str]) -> str | None:
        if self._profile.column("original_no") is None:
            return None
        kind = self._converter("status")(cells[self._position("status")])
        return stated.original_complaint(kind, cells[self._position("original_no")])


class _Latest(dict[date, date]):
    """The last billing month a bill issued on a day may be for, remembered."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self._window = window

    def __missing__(self, issued_on: date) -> date:
        if len(self) > 10_000:
            self.clear()
        self[issued_on] = latest = self._window.latest(issued_on)
        return latest


class _Odd(Invalid):
    """Two cells of a row do not agree; the words for it come from `Rows.explain`."""

    def __init__(self) -> None:
        super().__init__("two cells of the row do not agree")
