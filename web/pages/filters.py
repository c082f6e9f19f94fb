"""What an address asks of a list: choices, days and amounts as people type them."""

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Path, Query

from core.errors import Invalid
from core.money import parse_yuan
from web.exports import Kind
from web.inputs import PLAIN

Word = Annotated[str, Query(max_length=100, pattern=PLAIN)]
After = Annotated[int | None, Query(ge=1, lt=1 << 63)]
FileKind = Annotated[Kind, Path()]
E = TypeVar("E", bound=StrEnum)
_YEARS = range(2000, 2100)  # as ``web.inputs.Day``
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_AMOUNT = re.compile(r"¥[0-9]+|[0-9]+\.[0-9]{1,2}")
_LONGEST_AMOUNT = 14
_NUMBER = re.compile(r"[0-9]{1,18}")


def one_of(kind: type[E], word: str) -> E | None:
    """Return a choice; nothing chosen is none.

    Raises:
        Invalid: there is no such choice.
    """
    if word and word not in {*kind}:
        raise Invalid("there is no such choice", code="request.malformed")
    return kind(word) if word else None


def day_of(word: str) -> date | None:
    """Return a day as a browser sends it; nothing typed is none.

    Raises:
        Invalid: it is no day, or none of this century: its hours could not be reckoned with.
    """
    try:
        day = date.fromisoformat(word) if word else None
    except ValueError:
        raise Invalid("this is no day", code="request.malformed") from None
    if day is not None and day.year not in _YEARS:
        raise Invalid("this is no day", code="request.malformed")
    return day


def month_of(word: str) -> date | None:
    """Return the first day of a month written as 2026-10; nothing chosen is none.

    Raises:
        Invalid: it is no month, or none of this century.
    """
    if word and not _MONTH.fullmatch(word):
        raise Invalid("this is no month", code="request.malformed")
    return day_of(f"{word}-01" if word else "")


def number_of(word: str) -> int | None:
    """Return a number of ours; what is none, or longer than any, is none."""
    return int(word) if _NUMBER.fullmatch(word) else None


def fen_of(word: str) -> int | None:
    """Return an amount somebody typed in yuan; nothing typed is none.

    Raises:
        Invalid: it is no amount.
    """
    plain = word.strip().lstrip("¥").replace(",", "")
    return parse_yuan(plain) if plain else None


def fen_if_amount(word: str) -> int | None:
    """Return what somebody typed among other things, if it can only be an amount: 86.50, ¥86."""
    plain = word.strip().replace(",", "").replace("￥", "¥")
    fits = _AMOUNT.fullmatch(plain) is not None and len(plain) <= _LONGEST_AMOUNT
    return fen_of(plain) if fits and not plain.lstrip("¥").startswith("00") else None


def query_of(typed: Mapping[str, object], **changes: object) -> str:
    """Return an address's query with some of it changed; what is empty is left out."""
    asked = {**typed, **changes}
    return urlencode({key: value for key, value in asked.items() if value not in {"", None}})
