"""Numbers as people and old systems write them, brought to plain digits: 1.234,50- is -1234.50.

The profile says how a company writes; nothing is guessed from a cell. What comes out goes through
``core.money`` like any other amount.
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, Protocol

from core.errors import Invalid
from core.money import parse_fen, parse_yuan

AmountUnit = Literal["yuan", "jiao", "fen", "li"]
# How many decimals of a yuan an amount in this unit hides.
_DECIMALS: Final[dict[AmountUnit, int]] = {"yuan": 0, "jiao": 1, "fen": 2, "li": 3}
_SPACES: Final = "[ \u00a0\u2007\u2009\u202f]"
# Full-width figures, signs and brackets, and every dash that is set as a minus.
WIDE: Final = str.maketrans(
    "０１２３４５６７８９．，＋－（）\u2212\u2010\u2011\u2013", "0123456789.,+-()----"
)
_NOISE: Final = Decimal("1e-8")  # a double of any bill's size is right to here
_LONG_FRACTION: Final = 8
_PLAIN = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,12})?")


def json_number(text: str) -> Decimal:
    """Read a number of JSON exactly: the ``parse_float`` of those who read money.

    Raises:
        ValueError: its exponent has so many digits that `Decimal` fails, and not as it should.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the number {text[:32]} is beyond all bounds") from None


class Written(Protocol):
    """How numbers are written: the ``[numbers]`` table of a profile."""

    @property
    def decimal(self) -> str: ...
    @property
    def thousands(self) -> str: ...
    @property
    def signs(self) -> tuple[str, ...]: ...
    @property
    def marks(self) -> tuple[str, ...]: ...
    @property
    def leading_zeros(self) -> bool: ...
    @property
    def nulls(self) -> tuple[str, ...]: ...
    @property
    def wide(self) -> bool: ...
    @property
    def bare_point(self) -> bool: ...
    @property
    def binary_noise(self) -> bool: ...


def plain_number(written: Written) -> Callable[[str], str]:
    """Return what rewrites a number as ``-1234.50``; raises `Invalid` for what is no number."""
    longest = 24 if written.binary_noise else 12
    body = re.compile(f"{_grouped(written)}(?:{re.escape(written.decimal)}[0-9]{{1,{longest}}})?")
    thousands = re.compile(_thousands(written)) if written.thousands else None

    def rewrite(text: str) -> str:
        plain = text.translate(WIDE) if written.wide else text
        bare = _without_marks(plain.strip(), written.marks)
        negative, digits = _without_sign(bare, frozenset(written.signs))
        digits = _without_marks(digits, written.marks)
        if written.bare_point and digits.startswith(written.decimal):
            digits = f"0{digits}"
        if body.fullmatch(digits) is None:
            raise Invalid(_complaint(text, written), code="money.malformed")
        if thousands is not None:
            digits = thousands.sub("", digits)
        whole, _, fraction = digits.partition(written.decimal)
        if written.leading_zeros:
            whole = whole.lstrip("0") or "0"
        fraction = fraction.rstrip("0")
        if len(fraction) > _LONG_FRACTION and written.binary_noise:
            whole, fraction = _without_noise(whole, fraction)
        number = f"{whole}.{fraction}" if fraction else whole
        return f"-{number}" if negative and number.strip("0.") else number

    return rewrite


def _without_noise(whole: str, fraction: str) -> tuple[str, str]:
    """Round away what only a binary number put behind the eighth decimal."""
    exact = Decimal(f"{whole}.{fraction}")
    if exact.adjusted() > _LONG_FRACTION:
        return whole, fraction
    whole, _, fraction = f"{exact.quantize(_NOISE):f}".partition(".")
    return whole, fraction.rstrip("0")


def _thousands(written: Written) -> str:
    alike = {" ": _SPACES, "'": "['\u2019]"}
    return alike.get(written.thousands) or re.escape(written.thousands)


def _grouped(written: Written) -> str:
    if not written.thousands:
        return "[0-9]{1,30}"
    mark = _thousands(written)
    return (
        f"(?:[0-9]{{1,30}}|[0-9]{{1,3}}(?:{mark}[0-9]{{3}}){{1,4}}"
        f"|[0-9]{{1,2}}(?:{mark}[0-9]{{2}}){{1,5}}{mark}[0-9]{{3}})"  # of India: 12,34,567
    )


def _without_marks(text: str, marks: tuple[str, ...]) -> str:
    for mark in marks:
        if text.startswith(mark):
            text = text[len(mark) :].lstrip()
        elif text.endswith(mark):
            text = text[: -len(mark)].rstrip()
    return text


def _without_sign(text: str, signs: frozenset[str]) -> tuple[bool, str]:
    """Return whether a number is negative, and the number without its sign."""
    if "leading" in signs and text.startswith(("-", "\u2212")):
        return True, text[1:].lstrip()
    if "plus" in signs and text.startswith("+"):
        return False, text[1:].lstrip()
    if "trailing" in signs and text.endswith(("-", "\u2212")):
        return True, text[:-1].rstrip()
    if "trailing" in signs and text.endswith("+"):
        return False, text[:-1].rstrip()
    if "parentheses" in signs and text.startswith("(") and text.endswith(")"):
        return True, text[1:-1].strip()
    ending = text[-2:].upper()
    if ending in ("CR", "DR") and signs & {"cr_is_minus", "dr_is_minus"}:
        minus = "CR" if "cr_is_minus" in signs else "DR"
        return ending == minus, text[:-2].rstrip()
    return False, text


def _complaint(text: str, written: Written) -> str:
    shown = repr(text if len(text) <= 32 else text[:32] + "…")
    if not text.strip():
        return "the number is blank: write 0 when there is nothing"
    right = f"1{written.thousands}234{written.decimal}50"
    return f"{shown} is not a number as the profile says they are written: write {right}"


def shifted(text: str, places: int) -> str:
    """Move the decimal point of a plain number to the left, in its text: nothing is rounded.

    Raises:
        Invalid: not a plain number.
    """
    if _PLAIN.fullmatch(text) is None:
        shown = repr(text if len(text) <= 32 else text[:32] + "…")
        raise Invalid(f"{shown} is not a number: write digits only", code="money.malformed")
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    whole = whole.rjust(places + 1, "0")
    cut = len(whole) - places
    fraction = (whole[cut:] + fraction).rstrip("0")
    whole = whole[:cut].lstrip("0") or "0"
    number = f"{whole}.{fraction}" if fraction else whole
    return f"{sign}{number}" if number != "0" else number


def amount_reader(
    unit: AmountUnit, written: Written | None = None, scale: int | None = None
) -> Callable[[str], int]:
    """Return the converter of amounts written in ``unit``, to fen.

    Args:
        unit: what one is worth.
        written: how numbers are written, where not plainly.
        scale: how many decimals of a yuan the digits hide, where ``unit`` does not say.
    """
    places = _DECIMALS[unit] if scale is None else scale
    if written is None and scale is None and unit in ("yuan", "fen"):
        return parse_yuan if unit == "yuan" else parse_fen
    rewrite = (lambda text: text) if written is None else plain_number(written)
    if not places:
        return lambda text: parse_yuan(rewrite(text))
    return lambda text: parse_yuan(shifted(rewrite(text), places))


def quantity_reader(
    read: Callable[[str], Decimal], written: Written | None, scale: int | None
) -> Callable[[str], Decimal]:
    """Return the converter of quantities: ``read`` for what is plain by then."""
    if written is None and not scale:
        return read
    rewrite = (lambda text: text) if written is None else plain_number(written)
    if not scale:
        return lambda text: read(rewrite(text))
    return lambda text: read(shifted(rewrite(text), scale))
