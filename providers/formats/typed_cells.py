"""Cells that come with a type of their own, as text that a profile's converters read.

A spreadsheet and JSON know numbers, days and yes or no; our converters know text. No digit is
invented on the way and none is lost unseen: what a number cannot have kept is refused.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Final

from core.errors import Invalid
from providers.formats.converters import DATED
from providers.formats.dates import DateFormat
from providers.formats.numerals import AmountUnit
from providers.formats.splitting import PADDING, undressed
from providers.profile_tables import Numbers
from providers.profiles import Column, Profile, Role

Value = str | int | Decimal | bool | dict[str, str] | None

IDENTIFIERS: Final[tuple[Role, ...]] = ("account_no", "bill_no", "original_no", "meter_no")
_MONEY: Final[tuple[Role, ...]] = (
    "amount", "charge", "early_amount", "late_amount", "minimum_amount",
)  # fmt: skip
_EXACT: Final = 2**53  # from here on a binary number skips whole numbers
_LONGEST: Final = 40  # digits; a number beyond is left as it came, for a converter to refuse
_NOISE: Final = 6  # decimals beyond the last that counts, in which binary noise may show
_QUANTITY_DECIMALS: Final = 3
_DECIMALS: Final[dict[AmountUnit, int]] = {"yuan": 2, "jiao": 1, "fen": 0, "li": 0}
_ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_EXCEL_EPOCH: Final = date(1899, 12, 30)
_EPOCH: Final = date(1970, 1, 1)
_DAY_SECONDS: Final = 86_400
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def amount_decimals(unit: AmountUnit, scale: int | None) -> int:
    """Return how many decimals an amount in this unit has when it is exact to the fen."""
    return _DECIMALS[unit] if scale is None else max(0, 2 - scale)


def decimal_text(number: int | Decimal, decimals: int) -> str:
    """Write a number plainly, with binary noise far beyond its last decimal taken off.

    86.49999999999999 with two decimals is 86.5; 86.499 keeps its third, for somebody to refuse.
    """
    exact = Decimal(number)
    if not exact.is_finite() or abs(exact.adjusted()) > _LONGEST:
        return str(number)
    nearest = exact.quantize(Decimal(1).scaleb(-decimals)) if _fits(exact) else exact
    if abs(exact - nearest) <= Decimal(1).scaleb(-decimals - _NOISE):
        exact = nearest
    text = f"{exact:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _fits(number: Decimal) -> bool:
    """Tell whether `Decimal.quantize` has room for a number and some decimals."""
    return number.adjusted() < 20


class TypedCells:
    """Writes the typed cells of a profile's columns as text.

    Args:
        profile: the company's.
        remedy: what to do about an identifier that came as a number.
    """

    def __init__(self, profile: Profile, remedy: str) -> None:
        self._remedy = remedy
        self._numbers = None if profile.numbers == Numbers() else profile.numbers
        self._trim, self._undress = profile.file.trim, profile.file.excel_text
        self._writers = {column.name: self._writer(profile, column) for column in profile.columns}
        self._layouts = {
            column.name: profile.date_format(column)
            for column in profile.columns
            if column.holds in DATED
        }

    def text(self, column: str, value: Value) -> str:
        """Return a cell of a column as text; nothing at all is "".

        Raises:
            Invalid: the cell is of a type that its column has no use for.
        """
        if isinstance(value, str):
            return self._words(column, value)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, dict):
            return self._day(column, value)
        return self._writers[column](value)

    def _words(self, column: str, text: str) -> str:
        if self._trim:
            text = text.strip(PADDING)
        if self._undress:
            text = undressed(text)
        layout = self._layouts.get(column)
        if layout not in (None, "yyyy-mm-dd", "yyyy-mm", "datetime") and _ISO_DAY.fullmatch(text):
            return self._day(column, {"d": text})
        return text

    def _day(self, column: str, cell: dict[str, str]) -> str:
        iso = cell.get("d")
        if iso is None:
            raise Invalid(f"the cell is a time or a duration ({cell.get('t', '')}): write a day")
        layout = self._layouts.get(column)
        if layout is None:
            return iso
        try:
            return day_text(date.fromisoformat(iso), layout)
        except ValueError:
            return iso

    def _writer(self, profile: Profile, column: Column) -> Callable[[int | Decimal], str]:
        """Return what writes the numbers of a column."""
        if column.holds in IDENTIFIERS:
            return self._identifier
        if column.holds in _MONEY:
            decimals = amount_decimals(profile.unit_of(column), column.scale)
            return lambda number: written(decimal_text(number, decimals), self._numbers)
        if column.holds in ("quantity", "reading_before", "reading_after"):
            hidden = max(0, _QUANTITY_DECIMALS - (column.scale or 0))
            return lambda number: written(decimal_text(number, hidden), self._numbers)
        if column.holds in DATED and profile.date_format(column) != "excel":
            return _dated
        return lambda number: decimal_text(number, 0)

    def _identifier(self, number: int | Decimal) -> str:
        if isinstance(number, int):
            return str(number)
        if not number.is_finite() or number.adjusted() > _LONGEST or number != int(number):
            raise Invalid(f"{number} is no identifier: {self._remedy}")
        if abs(number) >= _EXACT:
            raise Invalid(
                f"the number {number} is longer than a number keeps exactly, so that its last"
                f" digits are lost: {self._remedy}"
            )
        return str(int(number))


def _dated(number: int | Decimal) -> str:
    """Write a number such as 20261101 where a date should be.

    Raises:
        Invalid: it has decimals; 2026.1 may be January or October.
    """
    text = decimal_text(number, 0)
    if "." in text:
        raise Invalid(
            f"the date is the number {text}, which may have lost a 0 at its end: write it as text"
        )
    return text


def written(text: str, numbers: Numbers | None) -> str:
    """Write a plain number as ``[numbers]``, where a profile has it, says they are written."""
    if numbers is None:
        return text
    negative, digits = text.startswith("-"), text.removeprefix("-").replace(".", numbers.decimal)
    if not negative or "leading" in numbers.signs:
        return f"-{digits}" if negative else digits
    for sign, shape in (
        ("trailing", "{}-"),
        ("parentheses", "({})"),
        ("cr_is_minus", "{} CR"),
        ("dr_is_minus", "{} DR"),
    ):
        if sign in numbers.signs:
            return shape.format(digits)
    return f"-{digits}"


def day_text(day: date, layout: DateFormat) -> str:
    """Write a day in a layout, as `date_reader` reads it."""
    if layout == "datetime":
        return day.isoformat()
    if layout == "yyyyddd":
        return f"{day:%Y%j}"
    if layout == "excel":
        return str((day - _EXCEL_EPOCH).days)
    if layout in ("epoch_seconds", "epoch_milliseconds"):
        seconds = (day - _EPOCH).days * _DAY_SECONDS
        return str(seconds if layout == "epoch_seconds" else seconds * 1000)
    text: str = layout.replace("mon", _MONTHS[3 * day.month - 3 : 3 * day.month])
    for word, figures in (
        ("yyyy", f"{day.year:04d}"), ("yy", f"{day.year % 100:02d}"), ("mm", f"{day.month:02d}"),
        ("dd", f"{day.day:02d}"), ("m", f"{day.month:02d}"),
    ):  # fmt: skip
        text = text.replace(word, figures)
    return text
