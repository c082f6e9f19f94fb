"""A company's file described in TOML: the models of a profile, and reading one.

How to write one: docs/adding-a-provider.md.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import Invalid
from providers.formats.cells import AmountUnit, DateFormat, date_reader

Service = Literal["water", "power", "gas", "telecom"]
Role = Literal[
    "row_type", "account_no", "holder_name", "address", "billing_month", "bill_no", "version",
    "status", "period_from", "period_to", "issued", "due", "amount", "charge", "quantity",
    "original_no", "early_amount", "early_until", "late_amount", "minimum_amount", "unused",
]  # fmt: skip
REQUIRED: Final[tuple[Role, ...]] = (
    "account_no", "billing_month", "bill_no", "period_from", "period_to", "issued", "due", "amount",
)  # fmt: skip
# What a row may say beside its bill; a blank cell says nothing.
STATED: Final[tuple[Role, ...]] = (
    "original_no", "early_amount", "early_until", "late_amount", "minimum_amount",
)  # fmt: skip
_MANY: Final = ("charge", "quantity", "unused")
_MAY_LACK: Final = ("holder_name", "address", "version", "unused", *STATED)


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern, re.ASCII)
    except re.error as wrong:
        raise ValueError(f"is not a regular expression ({wrong}): such as [0-9]{{10}}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
Name = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Shape(_Table):
    """``[file]``: how the bytes are cut into cells."""

    format: Literal["delimited", "fixed_width"]
    encoding: Literal["gb18030", "utf-8"]
    delimiter: str | None = None
    quoted: bool = False
    row_bytes: int | None = Field(default=None, gt=0)


class Place(_Table):
    """Where a fixed-width field stands, in bytes from 0; both absent in a delimited file."""

    name: Name
    at: int | None = Field(default=None, ge=0)
    bytes: int | None = Field(default=None, gt=0)
    must_be: Name | None = None

    @property
    def span(self) -> slice:
        """The bytes of a fixed-width field."""
        assert self.at is not None
        assert self.bytes is not None
        return slice(self.at, self.at + self.bytes)


class Cell(Place):
    """A field of the header or the trailer line."""

    holds: Literal["text", "digits", "sequence", "day", "row_count", "amount_sum"] = "text"


class Column(Place):
    """A field of every bill row; an ``optional`` one, at the row's end, may be left out."""

    holds: Role
    format: DateFormat | None = None
    optional: bool = False


class Header(_Table):
    """``[header]``: a row of column names, or a line of its own layout."""

    kind: Literal["names", "record"]
    fields: tuple[Cell, ...] = Field(default=(), strict=False)


class Trailer(_Table):
    """``[trailer]``: the last line, with the control totals."""

    fields: tuple[Cell, ...] = Field(min_length=1, strict=False)

    def find(self, holds: str) -> Cell | None:
        return next((cell for cell in self.fields if cell.holds == holds), None)


class Rule(_Table):
    """``[account_no]``, ``[bill_no]``: what such a number looks like, twice over."""

    pattern: Pattern
    words: Name


class Dates(_Table):
    """``[dates]``: how dates are written where a column does not say otherwise."""

    day: DateFormat = "yyyymmdd"
    month: DateFormat = "yyyymm"


class Months(_Table):
    """``[billing_months]``: the window a billing month must lie in."""

    earliest: str = "2000-01"
    months_after_issue: int = Field(default=13, ge=0, le=120)

    @field_validator("earliest")
    @classmethod
    def _a_month(cls, text: str) -> str:
        try:
            date_reader("yyyy-mm")(text)
        except Invalid as wrong:
            raise ValueError(wrong.message) from None
        return text


class Item(_Table):
    """``[[items]]``: one printed line of a bill, named after the columns it is read from."""

    name: Name
    amount: Name
    quantity: Name | None = None
    unit: str = ""


class Profile(_Table):
    """One company's bill file and how the company is shown. Source: the company's wire note."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
    name: Name
    name_en: Name
    service: Service
    phone: Name
    biller_no: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    amount_unit: AmountUnit
    usage: tuple[Name, ...] = Field(default=(), strict=False)
    usage_unit: str = ""
    rounding_item: Name | None = None
    columns: tuple[Column, ...] = Field(min_length=1, strict=False)
    file: Shape
    header: Header
    trailer: Trailer | None = None
    account_no: Rule
    bill_no: Rule
    dates: Dates = Dates()
    billing_months: Months = Months()
    status: dict[str, Literal["bill", "cancel", "remind"]] = Field(default_factory=dict)
    items: tuple[Item, ...] = Field(min_length=1, strict=False)

    def column(self, holds: Role) -> Column | None:
        """Return the column of a role that may stand once, or None."""
        return next((column for column in self.columns if column.holds == holds), None)

    def date_format(self, column: Column) -> DateFormat:
        if column.format is not None:
            return column.format
        return self.dates.month if column.holds == "billing_month" else self.dates.day

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        _check_columns(self)
        _check_items(self)
        _check_lines(self)
        if self.file.format == "delimited":
            _check_delimited(self)
        else:
            _check_fixed_width(self)
        return self


def _check_columns(profile: Profile) -> None:
    twice = _twice(column.name for column in profile.columns)
    if twice:
        raise ValueError(f"columns: {twice!r} is named twice; every column needs its own name")
    roles = Counter(column.holds for column in profile.columns)
    for role in REQUIRED:
        if not roles[role]:
            raise ValueError(
                f"columns: no column holds {role!r}; add {{ holds = {role!r} }} to one"
            )
    for role in sorted(roles.keys() - set(_MANY)):
        if roles[role] > 1:
            raise ValueError(f"columns: {roles[role]} columns hold {role!r}; only one may")
    if bool(roles["status"]) != bool(profile.status):
        raise ValueError(
            "status: a column that holds 'status' and a [status] table of its flags go together,"
            ' such as "N" = "bill", "C" = "cancel"'
        )
    if bool(roles["original_no"]) != ("remind" in profile.status.values()):
        raise ValueError(
            "status: a flag that means 'remind' and a column that holds 'original_no', the bill"
            " it reminds of, go together"
        )
    if roles["early_amount"] != roles["early_until"]:
        raise ValueError("columns: 'early_amount' and 'early_until', its last day, go together")


def _check_items(profile: Profile) -> None:
    money = {c.name for c in profile.columns if c.holds in ("charge", "amount")}
    metered = {c.name for c in profile.columns if c.holds == "quantity"}
    for item in profile.items:
        if item.amount not in money:
            raise ValueError(
                f"items: {item.name}: amount {item.amount!r} must be a column that holds"
                f" 'charge' or 'amount': {_listed(money)}"
            )
        if item.quantity is not None and item.quantity not in metered:
            raise ValueError(
                f"items: {item.name}: quantity {item.quantity!r} must be a column that holds"
                f" 'quantity': {_listed(metered)}"
            )
    for name in profile.usage:
        if name not in metered:
            raise ValueError(
                f"usage: {name!r} must be a column that holds 'quantity': {_listed(metered)}"
            )


def _check_lines(profile: Profile) -> None:
    """The header, the rows and the trailer must be told apart by their first field."""
    row_type = profile.column("row_type")
    if row_type is not None and (row_type.must_be is None or profile.columns[0] != row_type):
        raise ValueError("columns: the row_type column comes first and says its must_be")
    if profile.header.kind == "record" and not profile.header.fields:
        raise ValueError("header: kind = 'record' needs its fields listed")
    if profile.header.kind == "names" and profile.header.fields:
        raise ValueError("header: kind = 'names' takes its names from columns; leave fields out")
    if profile.trailer is not None:
        mark = profile.trailer.fields[0].must_be
        if mark is None or row_type is None or mark == row_type.must_be:
            raise ValueError(
                "trailer: its first field needs a must_be that differs from that of the"
                " row_type column, so that the two lines can be told apart"
            )
        if profile.trailer.find("sequence") is not None:
            raise ValueError("trailer: the file's sequence stands in the header")
    if sum(cell.holds == "sequence" for cell in profile.header.fields) > 1:
        raise ValueError("header: two fields hold 'sequence'; only one may")


def _check_delimited(profile: Profile) -> None:
    delimiter = profile.file.delimiter
    if delimiter is None or len(delimiter) != 1 or delimiter in '\r\n"':
        raise ValueError('file: delimited files need delimiter = one character, such as "|"')
    if profile.file.row_bytes is not None or any(
        place.at is not None or place.bytes is not None for place in _places(profile)
    ):
        raise ValueError(
            "file: row_bytes, at and bytes belong to format = 'fixed_width'; drop them"
        )
    ended = [column.name for column in profile.columns if column.optional]
    if profile.header.kind == "record" and ended != [
        column.name for column in profile.columns[len(profile.columns) - len(ended) :]
    ]:
        raise ValueError("columns: optional columns stand at the row's end")
    for column in profile.columns:
        if column.optional and column.holds not in _MAY_LACK:
            raise ValueError(f"columns: {column.name!r} holds {column.holds!r}: not optional")


def _check_fixed_width(profile: Profile) -> None:
    if profile.file.row_bytes is None:
        raise ValueError(
            "file: fixed_width files need row_bytes, the length of a bill row in bytes"
        )
    if profile.file.delimiter is not None or profile.file.quoted:
        raise ValueError("file: delimiter and quoted belong to format = 'delimited'; drop them")
    if profile.header.kind == "names":
        raise ValueError("header: a fixed_width file has kind = 'record'")
    if any(column.optional for column in profile.columns):
        raise ValueError("columns: a fixed_width row has all its fields; leave optional out")
    for place in _places(profile):
        if place.at is None or place.bytes is None:
            raise ValueError(f"{place.name}: say at (first byte, from 0) and bytes (how many)")
    end = 0
    for column in sorted(profile.columns, key=lambda column: column.span.start):
        if column.span.start < end:
            raise ValueError(f"columns: {column.name!r} overlaps the column before it")
        end = column.span.stop
    if end > profile.file.row_bytes:
        raise ValueError(f"columns: they reach byte {end}, past row_bytes {profile.file.row_bytes}")


def _places(profile: Profile) -> tuple[Place, ...]:
    trailer = profile.trailer.fields if profile.trailer is not None else ()
    return (*profile.columns, *profile.header.fields, *trailer)


def _twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "there is none"


_TABLES: Final[dict[str, type[BaseModel]]] = {
    "": Profile,
    "file": Shape,
    "columns": Column,
    "header": Header,
    "trailer": Trailer,
    "fields": Cell,
    "account_no": Rule,
    "bill_no": Rule,
    "dates": Dates,
    "billing_months": Months,
    "items": Item,
}


def load_profile(path: Path) -> Profile:
    """Read and check a profile.

    Raises:
        Invalid: the message names the file, the table and key, and what would be right.
    """
    try:
        with path.open("rb") as file:
            return Profile.model_validate(tomllib.load(file))
    except OSError as wrong:
        raise Invalid(f"{path.name}: cannot be read: {wrong.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(
            f"{path.name}: is not TOML in UTF-8: {wrong}", code="profile.invalid"
        ) from None
    except ValidationError as wrong:
        told = "; ".join(
            _told(error["loc"], error["type"], error["msg"]) for error in wrong.errors()
        )
        raise Invalid(f"{path.name}: {told}", code="profile.invalid") from None


def _told(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    """Say one complaint of pydantic's in the operator's words: ``columns[3].holds: …``."""
    where = ""
    for part in loc:
        where += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if where else part
    if kind == "missing":
        return f"{where}: is missing; add it"
    if kind == "extra_forbidden":
        table = next((part for part in reversed(loc[:-1]) if isinstance(part, str)), "")
        return f"{where}: is no key of this table; the keys are {', '.join(_keys(table))}"
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    return f"{where}: {message}" if where else message


def _keys(table: str) -> list[str]:
    return sorted(_TABLES[table].model_fields) if table in _TABLES else []
