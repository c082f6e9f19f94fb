"""One cell's text into one value: dates, amounts, quantities, numbers of things.

Every converter raises `Invalid` with a sentence that says what is wrong and what would be right.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final, TypeVar

from core.errors import Invalid
from providers.formats.dates import DateFormat, date_reader
from providers.formats.numerals import AmountUnit, amount_reader
from providers.formats.text import unseen_character

__all__ = [
    "AmountUnit", "DateFormat", "Remembered", "amount_reader", "date_reader", "number_reader",
    "read_quantity", "read_text", "read_version", "shown",
]  # fmt: skip
V = TypeVar("V")

_REMEMBERED: Final = 32_768
_EXPONENT = re.compile(r"[0-9]\.[0-9]+[Ee]\+?[0-9]{1,3}")
_QUANTITY = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,3})?")


class Remembered(dict[str, V]):
    """A converter that remembers its answers: one dictionary look-up for what it has seen.

    A bill file says the same dates and much the same amounts a million times. Bounded, and what
    cannot be converted raises each time.
    """

    def __init__(self, convert: Callable[[str], V]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> V:
        value = self._convert(text)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = value
        return value


def shown(text: str) -> str:
    """Return ``text`` quoted and cut short, for a message."""
    return repr(text if len(text) <= 32 else text[:32] + "…")


def read_quantity(text: str) -> Decimal:
    """Read a metered quantity exactly: not negative, at most three decimals.

    Raises:
        Invalid: anything else; full-width digits, exponents and blanks among it.
    """
    if _QUANTITY.fullmatch(text) is None:
        if not text.strip():
            raise Invalid("the quantity is blank: write 0 when nothing was used")
        if text.startswith("-"):
            raise Invalid(f"the quantity {shown(text)} is negative: correct by a new version")
        raise Invalid(f"{shown(text)} is not a quantity: write digits, at most three decimals")
    return Decimal(text)


def read_version(text: str) -> int:
    """Read a bill's version, 1 to 99; 1 when nothing is said.

    Raises:
        Invalid: anything else.
    """
    if not text:
        return 1
    if len(text) <= 2 and text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise Invalid(f"the version {shown(text)} is not a number from 1 to 99")


def read_text(text: str) -> str:
    """Return a name or an address as it came.

    Raises:
        Invalid: it holds a control or invisible character.
    """
    fault = unseen_character(text)
    if fault is not None:
        raise Invalid(fault)
    return text


def number_reader(what: str, pattern: str, words: str) -> Callable[[str], str]:
    r"""Return the check of an identifier: the whole text must match ``pattern``.

    Args:
        what: what to call it in a message, such as "account number".
        pattern: a regular expression; its ``\d`` and ``\w`` are ASCII.
        words: the same rule in plain words.
    """
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check(text: str) -> str:
        if matches(text) is None:
            raise Invalid(_number_complaint(what, words, text))
        return text

    return check


def as_number_complaint(what: str, text: str) -> str | None:
    """Say that a spreadsheet wrote an identifier as 3.1E+11, or None."""
    if _EXPONENT.fullmatch(text) is None:
        return None
    return (
        f"the {what} {shown(text)} was written as a number, so that its digits are lost: format the"
        " column as text and write it again"
    )


def _number_complaint(what: str, words: str, text: str) -> str:
    lost = as_number_complaint(what, text)
    if lost is not None:
        return lost
    if not text.strip():
        return f"the {what} is blank: write {words}"
    if any(mark.isspace() for mark in text):
        return f"the {what} {shown(text)} has a space in it: write {words}, without spaces"
    if any(mark.isdigit() and not mark.isascii() for mark in text):
        return f"the {what} {shown(text)} has full-width digits: write {words}, in plain 0-9"
    return f"the {what} {shown(text)} of {len(text)} characters is not right: write {words}"
