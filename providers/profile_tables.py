"""The tables of a profile: what each may say, by itself.

Whether they agree with one another is asked in ``providers/profile_checks.py``.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from core.errors import Invalid
from providers.formats.cells import AmountUnit, DateFormat, date_reader
from providers.formats.digits import CheckDigit
from providers.formats.mainframe import NumberStyle

Service = Literal["water", "power", "gas", "telecom"]
Format = Literal[
    "delimited", "fixed_width", "spreadsheet", "json", "json_lines", "xml",
    "ubl", "cii", "espi", "pain_013", "x12_810",
]  # fmt: skip
Encoding = Literal[
    "utf-8", "gb18030", "gbk", "gb2312", "big5", "utf-16", "latin-1", "cp1252", "ascii", "detect",
    "cp037", "cp273", "cp500", "cp1140",
]  # fmt: skip
Role = Literal[
    "row_type", "account_no", "holder_name", "address", "billing_year", "billing_month", "bill_no",
    "version", "status", "period_from", "period_to", "issued", "due", "amount", "charge",
    "quantity", "item_name", "original_no", "early_amount", "early_until", "late_amount",
    "minimum_amount", "reading_before", "reading_after", "read_on", "reading_kind", "meter_no",
    "unused",
]  # fmt: skip
Kind = Literal["bill", "cancel", "remind", "credit"]  # a credit's amounts count against
ReadBy = Literal["read", "remote", "own", "estimated"]
REQUIRED: Final[tuple[Role, ...]] = (
    "account_no", "billing_month", "bill_no", "period_from", "period_to", "issued", "due", "amount",
)  # fmt: skip
# What a row may say beside its bill; a blank cell says nothing.
STATED: Final[tuple[Role, ...]] = (
    "original_no", "early_amount", "early_until", "late_amount", "minimum_amount",
)  # fmt: skip
# What a row may say of the meter; blank says nothing, too.
METERED: Final[tuple[Role, ...]] = (
    "reading_before", "reading_after", "read_on", "reading_kind", "meter_no",
)  # fmt: skip
# What one cell may say for the rows below it: never money, and a bill's number only of its rows.
FILLED_DOWN: Final[tuple[Role, ...]] = (
    "account_no", "holder_name", "address", "billing_year", "billing_month", "bill_no",
    "period_from", "period_to", "issued", "due", "meter_no",
)  # fmt: skip
# Formats that are standards: their fields are known, so a profile lists no columns.
STANDARDS: Final = ("ubl", "cii", "espi", "pain_013", "x12_810")
# Formats whose cells are found by a path or by a name, not by a place in a line of text.
_CODECS: Final[dict[str, str]] = {"gbk": "gb18030", "gb2312": "gb18030"}


def compiles(pattern: str) -> str:
    try:
        re.compile(pattern, re.ASCII)
    except re.error as wrong:
        raise ValueError(f"is not a regular expression ({wrong}): such as [0-9]{{10}}") from None
    except (OverflowError, RecursionError):
        raise ValueError("repeats or nests too much: write it simpler") from None
    return pattern


Pattern = Annotated[str, AfterValidator(compiles)]
Name = Annotated[str, Field(min_length=1)]
Mark = Annotated[str, Field(min_length=1, max_length=8)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Shape(Table):
    """``[file]``: how the bytes are cut into cells."""

    format: Format
    encoding: Encoding = "utf-8"
    delimiter: Mark | None = None
    quoted: bool = False
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    escape: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    multiline: bool = False
    trailing_delimiter: bool = False
    trim: bool = False
    excel_text: bool = False  # ="0310", '0310 and `0310 are 0310
    skip: tuple[Name, ...] = Field(default=(), strict=False)
    skip_endings: tuple[Name, ...] = Field(default=(), strict=False)
    row_bytes: int | None = Field(default=None, gt=0)
    widths: Literal["bytes", "characters"] = "bytes"
    short_rows: bool = False
    line_breaks: bool = True
    rows: str | None = None  # where the rows are in JSON or XML: "data.bills", "BillFile/Bill"
    inner: Name | None = None  # the path of a JSON string that holds the real JSON
    relaxed: bool = False  # JSON may have comments, and a comma before a closing bracket
    listed: bool = False  # each row of JSON is a list of cells, not an object
    names: Name | None = None  # where the names of such cells stand; else in the first list
    sheet: str | int | None = None
    namespaces: dict[str, str] = Field(default_factory=dict)

    @property
    def codec(self) -> str:
        """The encoding to read with: GB18030 holds all that GBK and GB2312 hold."""
        return _CODECS.get(self.encoding, self.encoding)


class Place(Table):
    """Where a field stands.

    ``at`` and ``bytes`` (or characters, as ``widths`` says) count from 0 in a fixed-width file;
    ``path`` leads there in JSON and XML. All are absent in a delimited file.
    """

    name: Name
    at: int | None = Field(default=None, ge=0)
    bytes: int | None = Field(default=None, gt=0)
    path: Name | None = None
    must_be: Name | None = None
    style: NumberStyle | None = None  # of a number as mainframes keep it

    @property
    def span(self) -> slice:
        """The bytes of a fixed-width field."""
        assert self.at is not None
        assert self.bytes is not None
        return slice(self.at, self.at + self.bytes)

    @property
    def where(self) -> str:
        """The path of a field in JSON or XML: its name, where nothing else is said."""
        return self.path or self.name


class Cell(Place):
    """A field of the header or the trailer line."""

    holds: Literal[
        "text", "digits", "sequence", "day", "row_count", "line_count", "amount_sum"
    ] = "text"  # fmt: skip
    of: Name | None = None  # the column an amount_sum adds up; the amount, where nothing is said
    unit: AmountUnit | None = None
    format: DateFormat | None = None


class Column(Place):
    """A field of every bill row; an ``optional`` one, at the row's end, may be left out."""

    holds: Role
    format: DateFormat | None = None
    optional: bool = False
    also: tuple[Name, ...] = Field(default=(), strict=False)  # other names in a header row
    unit: AmountUnit | None = None  # where it differs from the profile's amount_unit
    scale: int | None = Field(default=None, ge=0, le=9)  # decimals implied: 8650 with 2 is 86.50
    fill_down: bool = False  # a cell stands for the rows below it, where theirs is blank

    @property
    def is_constant(self) -> bool:
        """Whether a column of no other use must say the same in every row, as a currency does."""
        return self.holds == "unused" and self.must_be is not None


class Header(Table):
    """``[header]``: a row of column names, a line of its own layout, or none."""

    kind: Literal["names", "record", "none"]
    fields: tuple[Cell, ...] = Field(default=(), strict=False)
    rows: int = Field(default=1, ge=1, le=3)  # of names, one above the other
    search_lines: int = Field(default=1, ge=1, le=1000)
    extra: Literal["refuse", "ignore"] = "refuse"


class Trailer(Table):
    """``[trailer]``: the last line, with the control totals."""

    fields: tuple[Cell, ...] = Field(min_length=1, strict=False)
    optional: bool = False

    def find(self, holds: str) -> Cell | None:
        return next((cell for cell in self.fields if cell.holds == holds), None)


class Rule(Table):
    """``[account_no]``, ``[bill_no]``: what such a number looks like, twice over."""

    pattern: Pattern = r"[0-9A-Za-z](?:[0-9A-Za-z._/-]{0,30}[0-9A-Za-z])?"
    words: Name = "up to 32 letters A-Z, digits 0-9 and . _ / - between them"
    length: int | None = Field(default=None, gt=0, le=64)
    check: CheckDigit = "none"
    pad: bool = False
    strip: str = ""


class Dates(Table):
    """``[dates]``: how dates are written where a column does not say otherwise."""

    day: DateFormat = "yyyymmdd"
    month: DateFormat = "yyyymm"


class Months(Table):
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


class Item(Table):
    """``[[items]]``: one printed line of a bill, named after the columns it is read from."""

    name: Name
    amount: Name
    quantity: Name | None = None
    unit: str = ""


class Numbers(Table):
    """``[numbers]``: how amounts and quantities are written, where not as plain 1234.50."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    signs: tuple[
        Literal["leading", "trailing", "parentheses", "plus", "cr_is_minus", "dr_is_minus"], ...
    ] = Field(default=("leading",), strict=False)
    marks: tuple[Name, ...] = Field(default=(), strict=False)
    leading_zeros: bool = False
    nulls: tuple[str, ...] = Field(default=(), strict=False)
    wide: bool = False  # full-width figures and signs, and dashes that mean minus
    bare_point: bool = False  # .50 is 0.50
    binary_noise: bool = False  # 86.50000000000001 is 86.50


class Defaults(Table):
    """``[defaults]``: what is meant where the file does not say."""

    due_days: int | None = Field(default=None, ge=1, le=366)
    period: Literal["billing_month", "previous_month"] | None = None
    issued: Literal["file_day", "period_end"] | None = None
    billing_month: Literal["issued", "period_end", "previous_of_issued"] | None = None
    bill_no: Literal["account_month"] | None = None
    holder_name: str = ""
    address: str = ""

    @property
    def supplies(self) -> frozenset[Role]:
        """The roles that a column need not hold."""
        found: set[Role] = set()
        if self.due_days is not None:
            found.add("due")
        if self.period is not None:
            found |= {"period_from", "period_to"}
        if self.issued is not None:
            found.add("issued")
        if self.billing_month is not None:
            found.add("billing_month")
        if self.bill_no is not None:
            found.add("bill_no")
        return frozenset(found)


class Grouping(Table):
    """``[rows]``: one bill stands in several rows, one after another."""

    group_by: tuple[Name, ...] = Field(min_length=1, strict=False)
    amount: Literal["sum", "first", "last"] = "sum"


class Segment(Table):
    """``[[segments]]``: a kind of line below a bill's own, told by its first cell."""

    mark: Name
    is_a: Literal["item", "subtotal", "note"]
    columns: tuple[Column, ...] = Field(min_length=1, strict=False)


class Repeat(Table):
    """``[[repeat]]``: columns that make one of several bills of a row."""

    columns: tuple[Name, ...] = Field(min_length=1, strict=False)


class ItemsFrom(Table):
    """``[items_from]``: a list within a bill, of JSON or XML, whose members are its lines."""

    path: Name
    name: Name
    amount: Name
    quantity: Name | None = None
    unit: str = ""  # of the quantities
    amount_unit: AmountUnit | None = None  # where it differs from the profile's


class Control(Table):
    """``[totals]``: what becomes of a file whose control totals do not hold."""

    mismatch: Literal["refuse", "warn"] = "refuse"


class Corrections(Table):
    """``[corrections]``: what a negative amount means."""

    negative: Literal["credit", "cancel"] = "credit"
