"""From a row's cells to a `BillRecord`, or to the `Reject` that says why not.

The way in is written for speed: it converts a whole row and, at the first fault of any kind, gives
up without saying which. `Rows.explain` then walks the row again, slowly, to find the words.
"""

from collections.abc import Callable, Sequence
from datetime import MAXYEAR, date
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

from core.clock import add_months
from core.errors import Invalid
from providers.base import BillRecord, LineItem, RecordKind, Reject
from providers.formats import stated
from providers.formats.cells import (
    Remembered,
    amount_reader,
    date_reader,
    number_reader,
    read_quantity,
    read_text,
    read_version,
    shown,
)
from providers.profiles import REQUIRED, Profile, Role

RAW_LIMIT: Final = 500
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
_NO_CELL: Final = -1  # of a role the company's rows lack: the blank that ends every padded row


class RowFault(Exception):
    """A row that did not become a bill; caught where it is raised from, never seen outside."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


class Window:
    """The months a bill may be for: not before ``earliest``, not too long after it was issued."""

    def __init__(self, earliest: date, months_after_issue: int) -> None:
        self.earliest = earliest
        self._months = months_after_issue

    def latest(self, issued_on: date) -> date:
        if issued_on.year >= MAXYEAR - self._months // 12 - 1:
            return date.max
        return add_months(issued_on, self._months)

    def complaint(self, month: date, issued_on: date) -> str | None:
        if month < self.earliest:
            return f"the billing month {month:%Y-%m} lies before {self.earliest:%Y-%m}: correct it"
        if month > self.latest(issued_on):
            return (
                f"the billing month {month:%Y-%m} lies more than {self._months} months"
                f" after the issue date {issued_on}: correct the one or the other"
            )
        return None


def period_complaint(from_on: date, to_on: date) -> str | None:
    if to_on < from_on:
        return f"the period ends {to_on}, before it begins {from_on}: correct one of the dates"
    return None


def due_complaint(issued_on: date, due_on: date) -> str | None:
    if due_on < issued_on:
        return (
            f"the bill is due {due_on}, before it is issued {issued_on}: correct one of the dates"
        )
    if due_on == issued_on:
        return f"the bill is due on {due_on}, the day it is issued: leave at least a day to pay"
    return None


def items_complaint(items_fen: int, amount_fen: int) -> str:
    return (
        f"the lines add up to {items_fen} fen but the amount is {amount_fen} fen: correct the row"
    )


def reject(line_no: int, column: str, reason: str, raw: str) -> Reject:
    return Reject(line_no, column, reason, raw[:RAW_LIMIT])


class Rows:
    """What a profile makes of a row, wherever its columns stand in this very file.

    Args:
        profile: the company's.
        order: the index of each column's cell by column name, when a header row says so;
            by default the profile's own order.
    """

    def __init__(self, profile: Profile, order: dict[str, int] | None = None) -> None:
        names = [column.name for column in profile.columns]
        self._at = dict.fromkeys(names, _NO_CELL)
        self._at |= order or {name: at for at, name in enumerate(names)}
        self._profile = profile
        self._amount = Remembered(amount_reader(profile.amount_unit))
        self._quantity: Remembered[Decimal] = Remembered(read_quantity)
        self._window = Window(
            date_reader("yyyy-mm")(profile.billing_months.earliest),
            profile.billing_months.months_after_issue,
        )
        self._dates: dict[str, Remembered[date]] = {}
        self._converters = self._by_column()
        self.padding = self._paddings(has_optional=order is None)
        self.build: Build = self._compile()

    def _paddings(self, *, has_optional: bool) -> dict[int, list[str]]:
        """Return what to append to a row by the number of its cells; no other number is right."""
        profile = self._profile
        lacks = -1 in self._at.values() or any(profile.column(role) is None for role in _PICKED)
        full = sum(at != _NO_CELL for at in self._at.values())
        optional = sum(column.optional for column in profile.columns) if has_optional else 0
        return {count: [""] * (full - count + lacks) for count in range(full - optional, full + 1)}

    def _by_column(self) -> dict[str, Callable[[str], object]]:
        """Return the converter of every column, by its name, in the row's order."""
        profile = self._profile
        account, bill = profile.account_no, profile.bill_no
        flags = {flag: RecordKind(kind) for flag, kind in profile.status.items()}
        by_role: dict[Role, Callable[[str], object]] = {
            "account_no": number_reader("account number", account.pattern, account.words),
            "bill_no": number_reader("bill number", bill.pattern, bill.words),
            "holder_name": read_text,
            "address": read_text,
            "version": Remembered(read_version).__getitem__,
            "status": Remembered(_flag_reader(flags)).__getitem__,
            "amount": self._amount.__getitem__,
            "charge": self._amount.__getitem__,
            "quantity": self._quantity.__getitem__,
            "original_no": stated.or_blank(
                number_reader("original bill number", bill.pattern, bill.words), ""
            ),
        }
        for role in ("early_amount", "late_amount", "minimum_amount"):
            by_role[role] = stated.or_blank(self._amount.__getitem__, 0)
        found: dict[str, Callable[[str], object]] = {}
        for column in profile.columns:
            if column.holds == "row_type":
                found[column.name] = _constant_reader(column.must_be or "")
            elif column.holds in ("billing_month", *_DAYS, "early_until"):
                layout = profile.date_format(column)
                if layout not in self._dates:
                    self._dates[layout] = Remembered(date_reader(layout))
                found[column.name] = self._dates[layout].__getitem__
                if column.holds == "early_until":
                    found[column.name] = stated.or_blank(found[column.name], None)
            elif column.holds != "unused":
                found[column.name] = by_role[column.holds]
        return found

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
        amounts, printed, used = self._amount, self._printed(), self._used()
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
                self._at.get(item.quantity or "", _NO_CELL),
                item.unit,
            )
            for item in self._profile.items
        ]
        amounts, quantities, rounding = self._amount, self._quantity, self._profile.rounding_item
        new = tuple.__new__

        def printed(cells: Sequence[str], amount_fen: int) -> tuple[LineItem, ...]:
            items: list[LineItem] = []
            left_fen = amount_fen
            for name, at, quantity_at, unit in lines:
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
        quantities, places = self._quantity, [self._at[name] for name in self._profile.usage]
        if not places:
            return lambda cells: None
        first, *others = places

        def used(cells: Sequence[str]) -> Decimal:
            usage = quantities[cells[first]]
            for at in others:
                usage += quantities[cells[at]]
            return usage

        return used

    def explain(self, line_no: int, cells: Sequence[str], raw: str) -> Reject:
        """Say why `build` would not take this row."""
        fault = self._column_fault(cells) or self._row_fault(cells)
        assert fault is not None, "a row that was refused has a fault"
        return reject(line_no, fault.column, fault.reason, raw)

    def amount_cell(self, cells: Sequence[str]) -> str:
        """Return the amount's cell: it counts for the control sum whatever else is wrong."""
        return cells[self._position("amount")]

    def read_amount(self, text: str) -> int:
        return self._amount[text]

    @property
    def amount_column(self) -> str:
        column = self._profile.column("amount")
        assert column is not None
        return column.name

    def _column_fault(self, cells: Sequence[str]) -> RowFault | None:
        for name, convert in self._converters.items():
            try:
                convert(cells[self._at[name]])
            except Invalid as wrong:
                return RowFault(name, wrong.message)
        return None

    def _row_fault(self, cells: Sequence[str]) -> RowFault | None:
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
        items_fen = sum(self._amount[cells[self._at[item.amount]]] for item in self._profile.items)
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


def _flag_reader(flags: dict[str, RecordKind]) -> Callable[[str], RecordKind]:
    known = ", ".join(repr(flag) for flag in flags)

    def read(text: str) -> RecordKind:
        kind = flags.get(text)
        if kind is None:
            raise Invalid(f"the status {shown(text)} is unknown: write one of {known}")
        return kind

    return read


def _constant_reader(wanted: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text != wanted:
            raise Invalid(f"{shown(text)} is no kind of row: write {wanted}")
        return text

    return read
