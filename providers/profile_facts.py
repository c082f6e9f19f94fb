"""All that a profile says, in one place; ``providers/profiles.py`` reads and judges it."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from providers.delivery import Delivery
from providers.formats.cells import AmountUnit, DateFormat
from providers.profile_confirmation import ConfirmationTable
from providers.profile_tables import (
    Column,
    Control,
    Corrections,
    Dates,
    Defaults,
    Grouping,
    Header,
    Item,
    ItemsFrom,
    Kind,
    Months,
    Name,
    Numbers,
    Place,
    ReadBy,
    Repeat,
    Role,
    Rule,
    Segment,
    Service,
    Shape,
    Table,
    Trailer,
)


class Facts(Table):
    """One company's bill file and how the company is shown."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
    name: Name
    name_en: Name
    service: Service
    phone: Name
    biller_no: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    amount_unit: AmountUnit = "yuan"
    usage: tuple[Name, ...] = Field(default=(), strict=False)
    usage_unit: str = ""
    rounding_item: Name | None = None
    columns: tuple[Column, ...] = Field(default=(), strict=False)
    file: Shape
    header: Header = Header(kind="none")
    trailer: Trailer | None = None
    account_no: Rule = Rule()
    bill_no: Rule = Rule()
    dates: Dates = Dates()
    numbers: Numbers = Numbers()
    billing_months: Months = Months()
    defaults: Defaults = Defaults()
    status: dict[str, Kind] = Field(default_factory=dict)
    reading_kinds: dict[str, ReadBy] = Field(default_factory=dict)
    items: tuple[Item, ...] = Field(default=(), strict=False)
    items_from: ItemsFrom | None = None
    rows: Grouping | None = None
    segments: tuple[Segment, ...] = Field(default=(), strict=False)
    repeat: tuple[Repeat, ...] = Field(default=(), strict=False)
    totals: Control = Control()
    corrections: Corrections = Corrections()
    delivery: Delivery | None = None
    confirmation: ConfirmationTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, tables: Any) -> Any:
        """Add what goes without saying: a sheet's row of names, and one line for the amount."""
        if not isinstance(tables, dict):
            return tables
        added: dict[str, Any] = {}
        shape = tables.get("file")
        if isinstance(shape, dict) and shape.get("format") == "spreadsheet":
            added["header"] = {"kind": "names"}
        item = _only_item(tables)
        if item is not None:
            added["items"] = [item]
        return added | tables

    def column(self, holds: Role) -> Column | None:
        """Return the column of a role that may stand once, or None."""
        return next((column for column in self.columns if column.holds == holds), None)

    def date_format(self, column: Column) -> DateFormat:
        if column.format is not None:
            return column.format
        return self.dates.month if column.holds == "billing_month" else self.dates.day

    def unit_of(self, column: Column) -> AmountUnit:
        return column.unit or self.amount_unit

    @property
    def places(self) -> tuple[Place, ...]:
        """Every field of every kind of line but the segments'."""
        trailer = self.trailer.fields if self.trailer is not None else ()
        return (*self.columns, *self.header.fields, *trailer)

    @property
    def is_plain(self) -> bool:
        """Whether each row is one bill whose cells stand there as they are meant.

        Nothing is composed, gathered, converted or skipped: `[defaults]`, `[numbers]`, `[rows]`,
        `[[segments]]`, `[[repeat]]`, `[corrections]` and the finer keys of `[file]` are unused.
        """
        shape, model = self.file, type(self).model_fields
        same = all(
            getattr(self, name) == model[name].get_default(call_default_factory=True)
            for name in ("defaults", "numbers", "rows", "segments", "repeat", "totals",
                         "corrections")
        )  # fmt: skip
        return (
            same
            and not (shape.multiline or shape.trim or shape.trailing_delimiter or shape.excel_text)
            and not (shape.skip or shape.skip_endings)
            and shape.escape is None
            and shape.quote == '"'
            and len(shape.delimiter or "|") == 1
            and shape.codec in ("utf-8", "gb18030")
            and (shape.widths, shape.short_rows, shape.line_breaks) == ("bytes", False, True)
            and (self.header.kind != "none" or shape.format not in ("delimited", "fixed_width"))
            and (self.header.rows, self.header.search_lines, self.header.extra) == (1, 1, "refuse")
            and (self.trailer is None or not self.trailer.optional)
            and (self.trailer is None or self.column("row_type") is not None)
            and not any(
                cell.of or cell.unit or cell.format or cell.style or cell.holds == "line_count"
                for cell in (*self.header.fields, *(self.trailer.fields if self.trailer else ()))
            )
            and not any(cell.holds in ("row_count", "amount_sum") for cell in self.header.fields)
            and not any(
                column.style
                or column.unit
                or column.scale
                or column.also
                or column.is_constant
                or column.fill_down
                for column in self.columns
            )
            and not any(
                rule.length or rule.check != "none" or rule.pad or rule.strip
                for rule in (self.account_no, self.bill_no)
            )
            and self.amount_unit in ("yuan", "fen")
        )


def _only_item(tables: dict[str, Any]) -> dict[str, Any] | None:
    """Return the line of a profile that lists none: the amount, with the usage where it is one."""
    columns = tables.get("columns")
    if "items" in tables or not isinstance(columns, list):
        return None
    named = {
        column.get("holds"): column.get("name")
        for column in columns
        if isinstance(column, dict) and isinstance(column.get("holds"), str)
    }
    amount = named.get("amount")
    if "item_name" in named:
        amount = named.get("charge", amount)
    if not isinstance(amount, str):
        return None
    item = {"name": amount, "amount": amount}
    usage = tables.get("usage")
    if isinstance(usage, list) and len(usage) == 1 and isinstance(usage[0], str):
        item |= {"quantity": usage[0], "unit": str(tables.get("usage_unit", ""))}
    return item
