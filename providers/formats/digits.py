"""Check digits: the last characters of a number, worked out from the others."""

from collections.abc import Callable
from typing import Final, Literal

CheckDigit = Literal["none", "luhn", "mod10", "mod11_2", "mod97"]


def _luhn(number: str) -> bool:
    """Hold a number against ISO/IEC 7812: every second digit from the right doubles."""
    digits = [int(mark) for mark in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _mod10(number: str) -> bool:
    """Hold a number against the rule of GS1: weights 1 and 3 by turns, from the right."""
    digits = [int(mark) for mark in reversed(number)]
    return (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0


def _mod11_2(number: str) -> bool:
    """Hold a number against ISO/IEC 7064 MOD 11-2, whose check character may be X."""
    remainder = 0
    for mark in number[:-1]:
        remainder = (remainder + int(mark)) * 2 % 11
    check = (12 - remainder) % 11
    return number[-1].upper() == ("X" if check == 10 else str(check))


def _mod97(number: str) -> bool:
    """Hold a number against ISO/IEC 7064 MOD 97-10, whose check is two digits."""
    return int(number) % 97 == 1


_RULES: Final[dict[CheckDigit, Callable[[str], bool]]] = {
    "luhn": _luhn,
    "mod10": _mod10,
    "mod11_2": _mod11_2,
    "mod97": _mod97,
}


def check_digit_holds(rule: CheckDigit, number: str) -> bool:
    """Tell whether a number ends in the right check digit; punctuation does not count."""
    if rule == "none":
        return True
    bare = "".join(mark for mark in number if mark.isascii() and mark.isalnum())
    body = bare[:-1] if rule == "mod11_2" else bare
    if len(bare) < 2 or not body.isdigit():
        return False
    return _RULES[rule](bare)
