"""What a row of a company's list of write-offs means, and what the list's totals must be.

The readers of bill files find the cells and hand on what is made of them here.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple, cast

from core.errors import BillFileError, Invalid
from core.money import yuan_text
from providers.base import BillRecord, Confirmation, ConfirmationKind, Reject
from providers.confirmation_layout import ConfirmationLayout
from providers.formats.cells import Remembered, number_reader, read_text, shown
from providers.formats.converters import rule_reader
from providers.formats.dates import date_reader, moment_reader
from providers.formats.intake import Found, Intake, Line
from providers.formats.rows import RowFault, Rows, reject
from providers.formats.stated import or_blank
from providers.formats.totals import Totals
from providers.profile_confirmation import OUR_NUMBER, ConfirmationColumn, ConfirmationRole

_RECEIPT_LIMIT: Final = 64
_REASON_LIMIT: Final = 200


class Confirmed(NamedTuple):
    """A row, and its amount as it is written: that is what control totals add up."""

    row: Confirmation
    written_fen: int


class ConfirmationTotals(Totals):
    """Counts and sums rows; a list of nothing is a list, and it is of one day."""

    def __init__(self, layout: ConfirmationLayout) -> None:
        super().__init__()
        self._day = layout.day

    def prove(
        self,
        line_no: int,
        *,
        count: int | None = None,
        sum_fen: int | None = None,
        column: str = "",
    ) -> None:
        if count is not None and count != self.count:
            raise BillFileError(
                f"the file says it holds {count} rows but {self.count} were read:"
                " it was cut or changed on the way; fetch it again",
                line_no=line_no,
            )
        if self.count:
            super().prove(line_no, sum_fen=sum_fen, column=column)
        elif sum_fen:
            raise BillFileError(
                f"the file says its amounts add up to {yuan_text(sum_fen)} yuan but it holds no"
                " row: it was changed on the way; fetch it again",
                line_no=line_no,
                column=column,
            )

    def prove_day(self, line_no: int, column: str, day: date) -> None:
        if self._day is not None and day != self._day:
            raise BillFileError(
                f"the file is of {day}, not of {self._day}: fetch that of the right day",
                line_no=line_no,
                column=column,
            )


class ConfirmationRows(Rows):
    """What a layout makes of a row."""

    def __init__(self, layout: ConfirmationLayout, found: Found) -> None:
        super().__init__(layout, found.order, width=found.width)
        self._day = layout.day or found.file_day
        self._has_kind = layout.table.column("kind") is not None
        self._named = {column.holds: column.name for column in layout.table.columns}
        self._cells: list[tuple[ConfirmationRole, str, int, Callable[[str], Any]]] = [
            (column.holds, column.name, self._at[column.name], self._reader(layout, column))
            for column in layout.table.columns
            if column.holds != "unused"
        ]

    def _reader(
        self, layout: ConfirmationLayout, column: ConfirmationColumn
    ) -> Callable[[str], Any]:
        match column.holds:
            case "row_type" | "company":
                return Remembered(_constant(column.must_be or "", column.holds)).__getitem__
            case "write_off_no":
                ours = number_reader("write-off number", OUR_NUMBER.pattern, OUR_NUMBER.words)
                return or_blank(ours, "")
            case "account_no":
                return or_blank(rule_reader("account number", layout.account_no), "")
            case "bill_no":
                return or_blank(rule_reader("bill number", layout.bill_no), "")
            case "kind":
                return Remembered(_kind_reader(layout.table.kinds)).__getitem__
            case "amount":
                return self._amounts[column.name].__getitem__
            case "day":
                read = date_reader(column.format or layout.dates.day)
                return or_blank(Remembered(read).__getitem__, None)
            case "written_off":
                nothing: tuple[date | None, datetime | None] = (None, None)
                return or_blank(moment_reader(column.format or layout.dates.day), nothing)
            case "receipt_no":
                return _text("receipt number", _RECEIPT_LIMIT)
        return _text("reason", _REASON_LIMIT)

    def confirmed(self, row_no: int, line_no: int, cells: Sequence[str]) -> Confirmed:
        """Return what a row says.

        Raises:
            RowFault: it cannot be read, says nothing of a write-off, or is of another day.
        """
        said: dict[ConfirmationRole, Any] = {}
        for role, name, at, read in self._cells:
            try:
                said[role] = read(cells[at])
            except Invalid as wrong:
                raise RowFault(name, wrong.message) from None
        number, account_no, bill_no = (
            said.get("write_off_no", ""), said.get("account_no", ""), said.get("bill_no", ""),
        )  # fmt: skip
        if not number and not (account_no and bill_no):
            raise RowFault(
                self._named.get("write_off_no", ""),
                "the row names no write-off: neither our number, nor account and bill",
            )
        written_fen: int = said["amount"]
        kind = self._kind(said.get("kind"), written_fen)
        moment_on, at = said.get("written_off", (None, None))
        row = Confirmation(
            row_no, line_no, kind, number, account_no, bill_no, said.get("receipt_no", ""),
            -abs(written_fen) if kind is ConfirmationKind.REVERSED else written_fen,
            self._on(kind, said.get("day"), moment_on), at, said.get("reason", ""),
            is_repeated=False,
        )  # fmt: skip
        return Confirmed(row, written_fen)

    def _kind(self, flagged: ConfirmationKind | None, written_fen: int) -> ConfirmationKind:
        """Return what a row is: as it is flagged, or as its amount's sign tells where none is."""
        if not self._has_kind and written_fen < 0:
            return ConfirmationKind.REVERSED
        kind = flagged or ConfirmationKind.WRITTEN_OFF
        if written_fen < 0 and kind is not ConfirmationKind.REVERSED:
            raise RowFault(
                self.amount_column,
                "the amount is negative but the row is flagged as no reversal: which one holds?",
            )
        return kind

    def _on(self, kind: ConfirmationKind, day: date | None, moment_on: date | None) -> date:
        """Return the day of a row: as a column of its own says, or as its moment falls."""
        name = self._named.get("written_off", "")
        if day is not None or not name:
            name = self._named.get("day", "")
        on = day or moment_on
        if on is None:
            if name and kind is ConfirmationKind.WRITTEN_OFF:
                raise RowFault(name, "the date is blank: write the day of the write-off")
            on = self._day
        assert on is not None, "a table without any day is refused"
        if self._day is not None and on != self._day:
            raise RowFault(name, f"the row is of {on}, not of {self._day}: it belongs to that day")
        return on


class Confirming(Intake):
    """Makes a confirmation of each row."""

    def __init__(self, layout: ConfirmationLayout, totals: Totals, found: Found) -> None:
        self._confirming = ConfirmationRows(layout, found)
        super().__init__(layout, totals, found)

    def rows_of(self, _profile: Any, *, adds_up: bool = True) -> Rows:
        return self._confirming

    def judged(self, _rows: Rows, line: Line) -> BillRecord | Reject:
        rows = self._confirming
        try:
            confirmed = rows.confirmed(self.totals.lines, line.line_no, line.cells)
        except RowFault as fault:
            amount = rows.amount_cell(line.cells)
            self.totals.add(line.line_no, rows.amount_column, amount, rows.read_amount)
            return reject(line.line_no, fault.column, fault.reason, line.raw)
        self.totals.count += 1
        self.totals.sum_fen += confirmed.written_fen
        # The readers hand on what an intake makes and look at nothing in it but rejects.
        return cast(BillRecord, confirmed.row)


def _constant(wanted: str, what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text != wanted:
            told = "is no kind of row" if what == "row_type" else "is another company's row"
            raise Invalid(f"{shown(text)} {told}: {wanted} stands in ours")
        return text

    return read


def _kind_reader(flags: dict[str, Any]) -> Callable[[str], ConfirmationKind]:
    known = ", ".join(repr(flag) for flag in flags)

    def read(text: str) -> ConfirmationKind:
        if text not in flags:
            raise Invalid(f"the kind {shown(text)} is unknown: it is one of {known}")
        return ConfirmationKind(flags[text])

    return read


def _text(what: str, limit: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > limit:
            raise Invalid(f"the {what} is longer than {limit} characters: send it shorter")
        return read_text(text)

    return read
