"""How a bank writes the CSV of its online banking, described in TOML.

How to write one: docs/wire/bank-statements.md, CSV. Formats that are standards need none.
"""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from core.errors import Invalid
from providers.formats.cells import AmountUnit, DateFormat
from providers.formats.dates import MONTHLY
from providers.profile_checks import Fault
from providers.profile_lines import LineFinder
from providers.profile_tables import Encoding, Mark, Name, Numbers, Shape, Table

_HERE: Final = Path(__file__).parent / "profiles"
Role = Literal[
    "entry_no", "booked_on", "value_on", "amount", "direction", "debit", "credit", "balance",
    "other_name", "other_account_no", "reference", "words", "bank_code", "currency", "account_no",
]  # fmt: skip
_MANY: Final = ("reference", "words")
_AMOUNTS: Final[tuple[Role, ...]] = ("amount", "debit", "credit")
NOTED: Final = frozenset({
    "account_no", "currency", "from_on", "to_on", "opening", "closing", "count", "sum",
    "debit_count", "debit_sum", "credit_count", "credit_sum",
})  # fmt: skip


class SheetFile(Table):
    """``[file]``: how the bytes are cut into cells, and in which order the entries stand."""

    encoding: Encoding = "detect"
    delimiter: Mark = ","
    quoted: bool = True
    multiline: bool = False
    trailing_delimiter: bool = False
    header_within: int = Field(default=30, ge=1, le=1000)
    order: Literal["oldest_first", "newest_first"] = "oldest_first"

    @property
    def shape(self) -> Shape:
        return Shape(
            format="delimited",
            encoding=self.encoding,
            delimiter=self.delimiter,
            quoted=self.quoted,
            multiline=self.multiline,
            trailing_delimiter=self.trailing_delimiter,
            trim=True,
        )


class SheetColumn(Table):
    """A column by its name in the header row; those that are not listed are not read."""

    name: Name
    holds: Role
    also: tuple[Name, ...] = Field(default=(), strict=False)
    format: DateFormat | None = None


class Note(Table):
    """``[[notes]]``: a line that is no entry; what its named groups hold is checked or kept."""

    pattern: Name
    required: bool = False
    format: DateFormat | None = None

    @field_validator("pattern")
    @classmethod
    def _reads(cls, pattern: str) -> str:
        try:
            names = set(re.compile(pattern).groupindex)
        except re.error as wrong:
            raise ValueError(f"is not a regular expression: {wrong}") from None
        if not names <= NOTED:
            unknown, known = sorted(names - NOTED)[0], ", ".join(sorted(NOTED))
            raise ValueError(f"there is no group (?P<{unknown}>…); there are {known}")
        return pattern


class SheetDates(Table):
    """``[dates]``: how days are written where a column does not say otherwise."""

    day: DateFormat = "yyyymmdd"


class BankProfile(Table):
    """A bank's CSV."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    name: Name
    account_no: str = ""  # where neither a column nor a note tells it
    amount_unit: AmountUnit = "yuan"
    file: SheetFile = SheetFile()
    dates: SheetDates = SheetDates()
    numbers: Numbers = Numbers(thousands=",")
    columns: tuple[SheetColumn, ...] = Field(min_length=1, strict=False)
    directions: dict[str, Literal["in", "out"]] = Field(default_factory=dict)
    notes: tuple[Note, ...] = Field(default=(), strict=False)

    def column(self, role: Role) -> SheetColumn | None:
        return next((column for column in self.columns if column.holds == role), None)

    def all_of(self, role: Role) -> list[SheetColumn]:
        return [column for column in self.columns if column.holds == role]

    def day_format(self, column: SheetColumn) -> DateFormat:
        return column.format or self.dates.day

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        self._check_roles()
        self._check_amounts()
        self._check_days()
        told = {group for note in self.notes for group in re.compile(note.pattern).groupindex}
        if not (self.account_no or self.column("account_no") or "account_no" in told):
            raise Fault(
                "account_no: nothing tells the account: say account_no = '…', a column that holds"
                " it, or a note with (?P<account_no>…)",
                "account_no",
            )
        return self

    def _check_roles(self) -> None:
        names: set[str] = set()
        for at, column in enumerate(self.columns):
            for name in (column.name, *column.also):
                if name in names:
                    raise Fault(f"columns: {name!r} is named twice", "columns", at)
                names.add(name)
            if column.holds not in _MANY and self.column(column.holds) is not column:
                raise Fault(f"columns: two hold {column.holds!r}; only one may", "columns", at)
        if self.column("booked_on") is None:
            raise Fault("columns: none holds 'booked_on', the day of booking; add it", "columns")

    def _check_amounts(self) -> None:
        one, out, into = map(self.column, _AMOUNTS)
        if (out is None) != (into is None) or (one is None) == (out is None):
            raise Fault(
                "columns: say either one that holds 'amount', or one that holds 'debit' (what went"
                " out of the account) and one that holds 'credit' (what came in)",
                "columns",
            )
        direction = self.column("direction")
        if direction is not None and one is None:
            raise Fault("columns: 'direction' goes with 'amount'; leave it out", "columns")
        if (direction is not None) != bool(self.directions):
            raise Fault(
                "directions: a column that holds 'direction' and a [directions] table of its words"
                ' go together, such as "借" = "out", "贷" = "in"',
                "directions",
            )

    def _check_days(self) -> None:
        for at, column in enumerate(self.columns):
            dated = column.holds in ("booked_on", "value_on")
            if column.format is not None and not dated:
                raise Fault(f"columns: {column.name!r} holds no day: no format", "columns", at)
            if dated and self.day_format(column) in (*MONTHLY, "yyyy"):
                raise Fault(
                    f"columns: {column.name!r} needs a format that names a day", "columns", at
                )


_TABLES: Final[dict[str, type[BaseModel]]] = {
    "": BankProfile, "file": SheetFile, "columns": SheetColumn, "notes": Note,
    "dates": SheetDates, "numbers": Numbers,
}  # fmt: skip


def parse_bank_profile(text: str, name: str) -> BankProfile:
    """Check a profile's text; ``name`` is what to call it.

    Raises:
        Invalid: the message names the profile, the line, the key, and what would be right.
    """
    try:
        return BankProfile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as wrong:
        raise Invalid(f"{name}: is not TOML: {wrong}", code="bank_profile.invalid") from None
    except ValidationError as wrong:
        lines = LineFinder(text)
        told = []
        for error in wrong.errors():
            fault = error.get("ctx", {}).get("error")
            path = fault.path if isinstance(fault, Fault) else error["loc"]
            said = _said(error["loc"], error["type"], error["msg"])
            told.append(f"line {lines.line(path)}: {said}")
        raise Invalid(f"{name} {'; '.join(told)}", code="bank_profile.invalid") from None


def load_bank_profile(path: Path) -> BankProfile:
    """Read and check a profile.

    Raises:
        Invalid: as `parse_bank_profile`, or it cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{path.name}: cannot be read as UTF-8: {wrong}") from None
    return parse_bank_profile(text, path.name)


@cache
def bank_profiles() -> dict[str, BankProfile]:
    """Return the profiles that are here, by code."""
    found = [load_bank_profile(path) for path in sorted(_HERE.glob("*.toml"))]
    return {one.code: one for one in found}


def _said(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    """Say one complaint of pydantic's in the operator's words: ``columns[3].holds: …``."""
    where = ""
    for part in loc:
        where += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if where else part
    if kind == "missing":
        return f"{where}: is missing; add it"
    if kind == "extra_forbidden":
        table = next((part for part in reversed(loc[:-1]) if isinstance(part, str)), "")
        keys = sorted(_TABLES[table].model_fields) if table in _TABLES else []
        return f"{where}: is no key of this table; the keys are {', '.join(keys)}"
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    return f"{where}: {message}" if where else message
