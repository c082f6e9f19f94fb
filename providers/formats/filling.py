"""Rows that do not say everything: what the profile's ``[defaults]`` and ``[corrections]`` add.

The slower way from cells to a `BillRecord`, for profiles that need it; `Rows` has the fast one.
"""

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from core.clock import add_months, month_start
from core.errors import Invalid
from providers.base import BillRecord, LineItem, RecordKind
from providers.formats import stated
from providers.formats.judging import Window, due_complaint, items_complaint, period_complaint
from providers.profile_tables import Corrections, Defaults
from providers.profiles import Profile, Role

_WORDS: Final[dict[Role, str]] = {
    "billing_month": "billing month", "period_from": "first day of the period",
    "period_to": "last day of the period", "issued": "issue date", "due": "due date",
    "bill_no": "bill number", "amount": "amount", "account_no": "account number",
}  # fmt: skip
_DATES: Final[tuple[Role, ...]] = ("billing_month", "period_from", "period_to", "issued", "due")


class OddRow(Invalid):
    """A row whose cells, each sound by itself, make no bill together."""

    def __init__(self, role: Role | None, message: str) -> None:
        super().__init__(message)
        self.role = role


def needs_filling(profile: Profile) -> bool:
    """Whether a row may leave to the profile what a bill must have."""
    return (
        profile.defaults != Defaults()
        or profile.corrections != Corrections()
        or bool(profile.numbers.nulls)
        or profile.rows is not None
        or bool(profile.segments)
        or "credit" in profile.status.values()
        or profile.column("billing_year") is not None
        or any(
            (column.optional and column.holds in ("charge", "quantity", "status"))
            or column.is_constant
            for column in profile.columns
        )
    )


def credit_teller(profile: Profile, at: Mapping[str, int]) -> Callable[[Sequence[str]], bool]:
    """Return what tells whether a row's flag makes its amounts count against."""
    flags = {flag for flag, kind in profile.status.items() if kind == "credit"}
    column = profile.column("status")
    if not flags or column is None or at[column.name] < 0:
        return lambda cells: False
    place = at[column.name]
    return lambda cells: place < len(cells) and cells[place] in flags


class Filler:
    """Builds records of rows that need filling.

    Args:
        profile: the company's.
        at: the index of each column's cell, by the column's name.
        converters: what reads it.
        window: the months a bill may be for.
        file_day: the day the file's header names.
        adds_up: whether the lines of each row must make its amount.
    """

    def __init__(
        self,
        profile: Profile,
        at: Mapping[str, int],
        converters: Mapping[str, Callable[[str], Any]],
        window: Window,
        *,
        file_day: date | None,
        adds_up: bool,
    ) -> None:
        self._profile = profile
        self._window = window
        self._file_day = file_day
        self._adds_up = adds_up
        self._converters = converters
        self._at = at
        self._roles: list[tuple[Role, int, Callable[[str], Any]]] = [
            (column.holds, at[column.name], converters[column.name])
            for column in profile.columns
            if column.name in converters and column.holds not in ("charge", "quantity", "row_type")
        ]
        self._say = stated.sayer(profile, at, converters)
        self._is_credit = credit_teller(profile, at)

    def build(self, line_no: int, cells: Sequence[str]) -> BillRecord:
        """Return the bill of a row.

        Raises:
            Invalid: a cell is wrong; `OddRow` when it takes several to see it.
        """
        found: dict[Role, Any] = {role: convert(cells[at]) for role, at, convert in self._roles}
        self._fill(found)
        self._judge(found)
        is_credit = self._is_credit(cells)
        amount_fen = self._signed(found["amount"], is_credit=is_credit)
        kind = found.get("status") or RecordKind.BILL
        negative = self._profile.corrections.negative
        if negative == "cancel" and amount_fen < 0 and kind is RecordKind.BILL:
            kind = RecordKind.CANCEL
        try:
            said = stated.NOTHING if self._say is None else self._say(cells, kind)
        except Invalid as wrong:
            raise OddRow("original_no", wrong.message) from None
        defaults = self._profile.defaults
        return BillRecord(
            line_no, kind, found["account_no"],
            found.get("holder_name") or defaults.holder_name,
            found.get("address") or defaults.address,
            found["billing_month"], found["bill_no"], found.get("version") or 1,
            found["period_from"], found["period_to"], found["issued"], found["due"],
            self._usage(cells), self._profile.usage_unit, amount_fen,
            self._items(cells, found.get("item_name"), amount_fen, is_credit=is_credit), *said,
        )  # fmt: skip

    def _signed(self, amount_fen: int, *, is_credit: bool) -> int:
        if is_credit and amount_fen < 0:
            raise OddRow(
                "amount",
                "the row is flagged a credit and its amount is negative: only one of the two may"
                " take it off; ask which",
            )
        return -amount_fen if is_credit else amount_fen

    def _fill(self, found: dict[Role, Any]) -> None:
        year = found.get("billing_year")
        if year is not None and found.get("billing_month") is not None:
            found["billing_month"] = found["billing_month"].replace(year=year.year)
        for _ in range(2):  # the issue date may follow from the month, or the month from it
            self._fill_dates(found)
        defaults = self._profile.defaults
        issued_on = found.get("issued")
        if found.get("due") is None and defaults.due_days is not None and issued_on is not None:
            found["due"] = issued_on + timedelta(days=defaults.due_days)
        month = found.get("billing_month")
        if not found.get("bill_no") and defaults.bill_no is not None and month is not None:
            found["bill_no"] = f"{found['account_no']}-{month:%Y%m}"
        if self._profile.segments:
            found.setdefault("amount", 0)
        for role, words in _WORDS.items():
            if found.get(role) is None:
                raise OddRow(role, f"nothing says the {words} of this bill: write it")

    def _fill_dates(self, found: dict[Role, Any]) -> None:
        rule = self._profile.defaults
        if found.get("issued") is None and rule.issued == "file_day":
            found["issued"] = self._file_day
        issued_on, to_on = found.get("issued"), found.get("period_to")
        if found.get("billing_month") is None:
            if rule.billing_month == "period_end" and to_on is not None:
                found["billing_month"] = month_start(to_on)
            elif rule.billing_month == "issued" and issued_on is not None:
                found["billing_month"] = month_start(issued_on)
            elif rule.billing_month == "previous_of_issued" and issued_on is not None:
                found["billing_month"] = add_months(month_start(issued_on), -1)
        month = found.get("billing_month")
        if month is not None and rule.period is not None:
            first = month if rule.period == "billing_month" else add_months(month, -1)
            if found.get("period_from") is None:
                found["period_from"] = first
            if found.get("period_to") is None:
                found["period_to"] = first.replace(day=monthrange(first.year, first.month)[1])
        if found.get("issued") is None and rule.issued == "period_end":
            found["issued"] = found.get("period_to")

    def _judge(self, found: Mapping[Role, Any]) -> None:
        """Hold the dates of a row against one another."""
        complaints: tuple[tuple[Role, str | None], ...] = (
            ("billing_month", self._window.complaint(found["billing_month"], found["issued"])),
            ("period_to", period_complaint(found["period_from"], found["period_to"])),
            ("due", due_complaint(found["issued"], found["due"])),
        )
        for role, complaint in complaints:
            if complaint is not None:
                raise OddRow(role, complaint)

    def _items(
        self, cells: Sequence[str], item_name: str | None, amount_fen: int, *, is_credit: bool
    ) -> tuple[LineItem, ...]:
        """Return a row's lines; those whose charge says nothing are not printed."""
        items, left_fen = [], amount_fen
        for item in self._profile.items:
            fen = self._converters[item.amount](cells[self._at[item.amount]])
            if fen is None:
                continue
            fen = -fen if is_credit else fen
            left_fen -= fen
            quantity = None
            if item.quantity is not None:
                quantity = self._converters[item.quantity](cells[self._at[item.quantity]])
            items.append(LineItem(item_name or item.name, quantity, item.unit, fen))
        if left_fen and self._adds_up:
            rounding = self._profile.rounding_item
            if rounding is None:
                raise OddRow("amount", items_complaint(amount_fen - left_fen, amount_fen))
            items.append(LineItem(rounding, None, "", left_fen))
        return tuple(items)

    def _usage(self, cells: Sequence[str]) -> Decimal | None:
        metered = [self._converters[name](cells[self._at[name]]) for name in self._profile.usage]
        said = [quantity for quantity in metered if quantity is not None]
        return sum(said, Decimal(0)) if said else None
