"""Money is an integer number of fen, held in a name that ends in ``_fen``.

The only place where yuan text becomes fen, fen become text, a tariff becomes an amount, or an
amount is divided.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from core.errors import Invalid

_YUAN = re.compile(r"(-?)(0|[1-9][0-9]{0,12})(?:\.([0-9]{1,2}))?")  # not \d: that admits １２


def parse_yuan(text: str) -> int:
    """Read a decimal yuan string exactly: ``parse_yuan("86.5") == 8_650``.

    Refused, because each has cost somebody money: blanks anywhere, full-width digits, exponents,
    thousands separators, a plus or currency sign, leading zeros, a third decimal, minus zero.

    Raises:
        Invalid: not a yuan amount; the message says what would be.
    """
    match = _YUAN.fullmatch(text)
    if match is None:
        raise Invalid(_complaint(text), code="money.malformed")
    sign, whole, fraction = match.groups()
    fen = int(whole) * 100 + int(((fraction or "") + "00")[:2])
    if sign and fen == 0:
        raise Invalid("minus zero is no amount: write 0.00", code="money.malformed")
    return -fen if sign else fen


def _complaint(text: str) -> str:
    """Say what is wrong with ``text`` and how to write it instead."""
    shown = text if len(text) <= 32 else text[:32] + "…"
    if not text.strip():
        return "the amount is blank: write yuan such as 86.50"
    if text != text.strip() or any(mark.isspace() for mark in text):
        return f"the amount {shown!r} has a space in it: write yuan such as 86.50"
    if not text.isascii():
        return f"the amount {shown!r} has characters other than 0-9: write yuan such as 86.50"
    if "," in text:
        return f"the amount {shown!r} has a thousands separator: write 1234.50"
    if re.fullmatch(r"-?[0-9]+\.[0-9]{3,}", text):
        return f"the amount {shown!r} is finer than a fen: at most two decimals"
    return f"{shown!r} is not an amount: write yuan such as 86.50"


def parse_fen(text: str) -> int:
    """Read an integer number of fen written in plain digits, as banks do: zero-padded is allowed.

    Raises:
        Invalid: not a whole number of fen, minus zero, or of more than fifteen digits.
    """
    if re.fullmatch(r"-?[0-9]{1,15}", text) is None or re.fullmatch(r"-0+", text):
        raise Invalid(f"{text[:32]!r} is not a whole number of fen", code="money.malformed")
    return int(text)


def yuan_text(amount_fen: int) -> str:
    """Render fen as plain yuan for files and wires: ``yuan_text(-5) == "-0.05"``."""
    whole, fraction = divmod(abs(amount_fen), 100)
    return f"{'-' if amount_fen < 0 else ''}{whole}.{fraction:02d}"


def format_yuan(amount_fen: int) -> str:
    """Render fen for people: ``format_yuan(123_456) == "¥1,234.56"``."""
    whole, fraction = divmod(abs(amount_fen), 100)
    return f"{'-' if amount_fen < 0 else ''}¥{whole:,}.{fraction:02d}"


_CAPITALS = "零壹贰叁肆伍陆柒捌玖"
_CAPITAL_UNITS = ((10**8, "亿"), (10**4, "万"), (1000, "仟"), (100, "佰"), (10, "拾"))


def capital_yuan(amount_fen: int) -> str:
    """Render fen as Chinese papers do, so that no digit can be added.

    ``capital_yuan(8_650) == "人民币捌拾陆元伍角整"``.

    Source: the People's Bank's rules for filling in instruments (正确填写票据和结算凭证的基本规定).
    """
    whole, rest = divmod(abs(amount_fen), 100)
    tenths, fen = divmod(rest, 10)
    yuan = f"{_capital(whole)}元" if whole or not rest else ""
    between = "零" if whole and fen and not tenths else ""
    jiao = f"{_CAPITALS[tenths]}角" if tenths else between
    end = f"{_CAPITALS[fen]}分" if fen else "整"
    return f"人民币{'负' if amount_fen < 0 else ''}{yuan}{jiao}{end}"


def _capital(number: int) -> str:
    for size, unit in _CAPITAL_UNITS:
        if number >= size:
            head, rest = divmod(number, size)
            skipped = "零" if 0 < rest < size // 10 else ""
            return f"{_capital(head)}{unit}{skipped}{_capital(rest) if rest else ''}"
    return _CAPITALS[number]


def price(usage: Decimal, price_yuan: Decimal) -> int:
    """Price a metered usage in fen; the one rounding in the system, half up, once."""
    return int((usage * price_yuan).scaleb(2).quantize(Decimal(1), ROUND_HALF_UP))


def divide(total_fen: int, weights: Sequence[int]) -> list[int]:
    """Divide ``total_fen`` by weight, by largest remainder: the parts sum to the total.

    Ties go to the earlier part, so the same question always has the same answer. A negative total
    divides as its opposite does.

    Raises:
        Invalid: no weight, a negative weight, or none above zero.
    """
    if not weights or min(weights) < 0 or sum(weights) == 0:
        raise Invalid("an amount needs at least one positive weight to be divided by")
    if total_fen < 0:
        return [-part for part in divide(-total_fen, weights)]
    whole = sum(weights)
    parts = [total_fen * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda at: (-(total_fen * weights[at] % whole), at)
    )
    for at in by_remainder[: total_fen - sum(parts)]:
        parts[at] += 1
    assert sum(parts) == total_fen
    return parts
