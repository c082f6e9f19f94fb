"""Numbers as mainframes keep them: signed in their last byte, or packed two figures to a byte.

Both are brought to plain digits with a sign in front, and then read like any other number: the
company says in which unit, and how many decimals the digits hide (``scale``).
"""

import re
from collections.abc import Callable
from typing import Final, Literal

from core.errors import Invalid

NumberStyle = Literal["overpunch", "packed"]
# IBM's encodings of one byte a character, as far as Python has them: US, German, international and
# US with €. What is signed is in all of them what it is in the first.
EBCDIC: Final = ("cp037", "cp273", "cp500", "cp1140")
SIGNED_IN: Final = "cp037"
BROKEN: Final = "0x"  # begins what stands for a packed number that is none
_PUNCHED = re.compile(r"([0-9]{0,17})([0-9{}A-Rp-y])")
_PACKED = re.compile(r"([0-9]{1,19})([cdf])")
_PLUS: Final = "{ABCDEFGHI"
_MINUS: Final = "}JKLMNOPQR"
_MINUS_IN_ASCII: Final = "pqrstuvwxy"  # as compilers on other machines write it


def unpunched(text: str) -> str:
    """Return a number signed in its last character as plain digits: ``0000865}`` is ``-8650``.

    Raises:
        Invalid: it is not so written.
    """
    found = _PUNCHED.fullmatch(text)
    if found is None:
        raise Invalid(
            f"{text[:32]!r} is no number signed in its last character: write digits, the last of"
            " them as { or A to I for plus, } or J to R for minus",
            code="money.malformed",
        )
    digits, last = found.groups()
    for marks, sign in ((_PLUS, ""), (_MINUS, "-"), (_MINUS_IN_ASCII, "-")):
        if last in marks:
            return _plain(sign, f"{digits}{marks.index(last)}")
    return _plain("", digits + last)


def unpacked(field: bytes) -> str:
    """Return a packed number as plain digits; of one that is broken, its bytes after `BROKEN`."""
    found = _PACKED.fullmatch(field.hex())
    if found is None:
        return BROKEN + field.hex().upper()
    return _plain("-" if found[2] == "d" else "", found[1])


def _plain(sign: str, digits: str) -> str:
    digits = digits.lstrip("0") or "0"
    return digits if digits == "0" else sign + digits


def read_packed(text: str) -> str:
    """Return what `unpacked` made of a packed number.

    Raises:
        Invalid: it was none.
    """
    if text.startswith(BROKEN):
        raise Invalid(
            f"the bytes {text[:34]} are no packed number: two figures a byte, and the last half"
            " byte C, D or F; is the place of the field right, and was the file sent in binary?",
            code="money.malformed",
        )
    return text


def plain_reader(style: NumberStyle | None) -> Callable[[str], str]:
    """Return what makes plain digits of a number in a style."""
    if style is None:
        return str
    return unpunched if style == "overpunch" else read_packed
