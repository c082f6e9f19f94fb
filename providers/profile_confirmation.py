"""``[confirmation]`` of a profile: a company's list of a day's write-offs (销账对账文件).

Whether it agrees with itself is asked in ``providers/confirmation_checks.py``.
"""

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from providers.formats.cells import AmountUnit, DateFormat
from providers.profile_tables import (
    Column,
    Dates,
    Header,
    Name,
    Numbers,
    Place,
    Role,
    Rule,
    Shape,
    Table,
    Trailer,
)

ConfirmationRole = Literal[
    "row_type", "company", "day", "kind", "write_off_no", "account_no", "bill_no", "receipt_no",
    "amount", "written_off", "reason", "unused",
]  # fmt: skip
Meaning = Literal["written_off", "reversed", "refused"]
OUR_NUMBER: Final = Rule(
    pattern="[0-9A-Za-z](?:[0-9A-Za-z._/-]{0,62}[0-9A-Za-z])?",
    words="it as it was sent: up to 64 letters A-Z, digits 0-9 and . _ / - between them",
)
# What kind of cell each is, in the words that the readers of bill files know.
_LIKE: Final[dict[ConfirmationRole, Role]] = {
    "row_type": "row_type", "company": "unused", "day": "due", "kind": "unused",
    "write_off_no": "original_no", "account_no": "account_no", "bill_no": "bill_no",
    "receipt_no": "original_no", "amount": "amount", "written_off": "issued", "reason": "unused",
    "unused": "unused",
}  # fmt: skip


class ConfirmationColumn(Place):
    """A field of every row; an ``optional`` one, at the row's end, may be left out."""

    holds: ConfirmationRole
    format: DateFormat | None = None
    optional: bool = False
    also: tuple[Name, ...] = Field(default=(), strict=False)
    unit: AmountUnit | None = None
    scale: int | None = Field(default=None, ge=0, le=9)

    def like_a_bills(self) -> Column:
        """Return the column a bill file would have in its place."""
        return Column.model_construct(**self.model_dump() | {"holds": _LIKE[self.holds]})


class ConfirmationTable(Table):
    """``[confirmation]``: a file of its own kind, described with the tables of a bill file's.

    ``account_no`` and ``bill_no`` are the profile's where nothing is said. Control totals add up
    every row's amount as it is written, reversals and refusals among them.
    """

    file: Shape
    columns: tuple[ConfirmationColumn, ...] = Field(min_length=1, strict=False)
    header: Header = Header(kind="none")
    trailer: Trailer | None = None
    kinds: dict[str, Meaning] = Field(default_factory=dict)
    amount_unit: AmountUnit = "yuan"
    dates: Dates = Dates()
    numbers: Numbers = Numbers()
    account_no: Rule | None = None
    bill_no: Rule | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, tables: Any) -> Any:
        """Add what goes without saying: a sheet's row of names."""
        shape = tables.get("file") if isinstance(tables, dict) else None
        if isinstance(shape, dict) and shape.get("format") == "spreadsheet":
            return {"header": {"kind": "names"}} | tables
        return tables

    def column(self, holds: ConfirmationRole) -> ConfirmationColumn | None:
        """Return the column of a role, or None."""
        return next((column for column in self.columns if column.holds == holds), None)

    def like_a_bills(self) -> dict[str, Any]:
        """Return what a bill file that looks alike would say of itself: fields of ``Facts``."""
        return {
            "file": self.file, "header": self.header, "trailer": self.trailer,
            "columns": tuple(column.like_a_bills() for column in self.columns),
            "amount_unit": self.amount_unit, "dates": self.dates, "numbers": self.numbers,
        }  # fmt: skip
