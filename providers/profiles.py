"""A company's file described in TOML: reading a profile, and what is said of one that is wrong.

How to write one: docs/adding-a-provider.md.
"""

import re
import tomllib
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from core.errors import Invalid
from providers.confirmation_checks import check_confirmation
from providers.delivery import Delivery
from providers.profile_checks import Fault, check_profile
from providers.profile_confirmation import ConfirmationTable
from providers.profile_facts import Facts
from providers.profile_lines import LineFinder
from providers.profile_tables import (
    METERED,
    REQUIRED,
    STANDARDS,
    STATED,
    Cell,
    Column,
    Control,
    Corrections,
    Dates,
    Defaults,
    Grouping,
    Header,
    Item,
    ItemsFrom,
    Months,
    Numbers,
    Repeat,
    Role,
    Rule,
    Segment,
    Service,
    Shape,
    Trailer,
)

__all__ = [
    "METERED", "REQUIRED", "STANDARDS", "STATED", "Cell", "Column", "Control", "Corrections",
    "Dates", "Defaults", "Grouping", "Header", "Item", "Months", "Numbers", "Profile", "Repeat",
    "Role", "Rule", "Segment", "Service", "Shape", "Trailer", "load_profile", "parse_profile",
]  # fmt: skip


class Profile(Facts):
    """One company's bill file and how the company is shown. Source: the company's wire note."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_profile(self)
        if self.confirmation is not None:
            check_confirmation(self.confirmation)
        return self


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
    "items_from": ItemsFrom,
    "numbers": Numbers,
    "defaults": Defaults,
    "rows": Grouping,
    "segments": Segment,
    "repeat": Repeat,
    "totals": Control,
    "corrections": Corrections,
    "delivery": Delivery,
    "confirmation": ConfirmationTable,
}


def parse_profile(text: str, name: str) -> Profile:
    """Check a profile's text; ``name`` is what to call it.

    Raises:
        Invalid: the message names the profile, line, table and key, and what would be right; of
            what is nested too deeply, and of a number without end, the profile alone.
    """
    try:
        return _parsed(text, name)
    except RecursionError:
        raise Invalid(
            f"{name}: lists or tables lie too deep in one another: a profile has few levels",
            code="profile.invalid",
        ) from None


def _parsed(text: str, name: str) -> Profile:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        line_no, told = _syntax(wrong, text)
        raise Invalid(
            f"{name} line {line_no}: is not TOML: {told}", code="profile.invalid"
        ) from None
    except ValueError:  # an integer of more digits than Python reads
        raise Invalid(
            f"{name}: a number has thousands of digits: correct it", code="profile.invalid"
        ) from None
    try:
        return Profile.model_validate(tables)
    except ValidationError as wrong:
        lines = LineFinder(text)
        told = "; ".join(
            f"line {lines.line(_path(error))}: " + _told(error["loc"], error["type"], error["msg"])
            for error in wrong.errors()
        )
        raise Invalid(f"{name} {told}", code="profile.invalid") from None


def load_profile(path: Path) -> Profile:
    """Read and check a profile.

    Raises:
        Invalid: the message names the file, line, table and key, and what would be right.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as wrong:
        raise Invalid(f"{path.name}: cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError as wrong:
        line_no = wrong.object.count(b"\n", 0, wrong.start) + 1
        raise Invalid(
            f"{path.name} line {line_no}: is not UTF-8: save the profile as UTF-8",
            code="profile.invalid",
        ) from None
    return parse_profile(text, path.name)


def _syntax(wrong: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Return the line of a syntax error and what is said of it."""
    place = re.search(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$", str(wrong))
    if place is None:
        return 1, str(wrong)
    told = str(wrong)[: place.start()]
    if place.group(1) is None:
        return text.count("\n") + 1, f"{told} at the end of the file"
    return int(place.group(1)), f"{told} at column {place.group(2)}"


def _path(error: ErrorDetails) -> tuple[int | str, ...]:
    """Return the way to what a complaint is about."""
    fault = error.get("ctx", {}).get("error")
    return fault.path if isinstance(fault, Fault) else error["loc"]


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
