"""One entry of an MT940: the statement line, tag 61, and what tag 86 says of it.

Source: docs/wire/bank-statements.md, MT940.
"""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final, Protocol

from core.clock import add_months
from core.errors import Invalid
from payments.statements.base import (
    Entry,
    StatementFileError,
    clean,
    is_reference,
    read_amount,
    references_of,
)
from payments.statements.mt940_words import read_words
from providers.formats.dates import date_reader

# SWIFT writes a comma; some banks part thousands with points besides, or write a point for it.
AMOUNT: Final = (
    r"[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{2}|[0-9]{1,18}\.[0-9]{2}(?![0-9])|[0-9]{1,18}(?:,[0-9]*)?"
)
_LINE: Final = re.compile(
    r"(?P<value>[0-9]{6})(?P<entry>[0-9]{4}| {4})?(?P<mark>R?[CD])(?P<funds>[A-Z])? ?"
    rf"(?P<amount>{AMOUNT})(?P<kind>[NFS][A-Z0-9 ]{{3}})(?P<references>.*)",
    re.IGNORECASE,
)
_INTO: Final = frozenset({"C", "RD"})
_yymmdd = date_reader("yymmdd")


class Line(Protocol):
    """A tag 61 in its lines."""

    @property
    def line_no(self) -> int: ...
    @property
    def lines(self) -> list[str]: ...
    def wrong(self, message: str) -> StatementFileError: ...


def read_line(line: Line, details: Sequence[str], number: str) -> Entry:
    """Read an entry; ``number`` is its own where the bank gives none.

    Raises:
        StatementFileError: malformed.
    """
    match = _LINE.fullmatch(line.lines[0])
    if match is None:
        raise line.wrong(
            "the entry must read like 2611201120C86,50NTRF, its reference after it: ask the bank"
            " for the file again"
        )
    mark = match["mark"].upper()
    fen = read_amount(decimal_of(match["amount"]), line_no=line.line_no, place="tag 61")
    ours, _, theirs = match["references"].partition("//")
    more = clean(" ".join(line.lines[1:]))
    told = read_words(details)
    try:
        value_on = _value_date(match["value"])
        booked_on = _entry_date(match["entry"], value_on)
    except (Invalid, ValueError) as wrong:
        raise line.wrong(f"there is no such day: {wrong}") from wrong
    theirs = clean(theirs)
    return Entry(
        entry_no=theirs if is_reference(theirs) else number,
        line_no=line.line_no,
        booked_on=booked_on,
        value_on=value_on,
        amount_fen=fen if mark in _INTO else -fen,
        is_reversal=mark.startswith("R"),
        references=references_of(ours, theirs, *told.references, more),
        other_name=told.other_name,
        other_account_no=told.other_account_no,
        words=clean(f"{more} {told.words}"),
        bank_code=match["kind"].upper() + (f"-{told.code}" if told.code else ""),
    )


def decimal_of(amount: str) -> str:
    """Return what `AMOUNT` found with a point before its fen."""
    return amount.replace(".", "").replace(",", ".") if "," in amount else amount


def _value_date(text: str) -> date:
    """Read the value date; banks that count thirty days a month write 30 February: its last day."""
    day = int(text[4:])
    if day > 28:
        last = add_months(_yymmdd(f"{text[:4]}01"), 1) - timedelta(days=1)
        return last if last.day < day <= 31 else _yymmdd(text)
    return _yymmdd(text)


def _entry_date(text: str | None, value_on: date) -> date:
    """Read the day of booking, which has no year: the one nearest to the value date."""
    if text is None or not text.strip():
        return value_on
    days = []
    for year in (value_on.year - 1, value_on.year, value_on.year + 1):
        try:
            days.append(date.fromisoformat(f"{year:04d}-{text[:2]}-{text[2:]}"))
        except ValueError:
            continue  # 29 February of another year
    if not days:
        raise ValueError(f"{text} is no day")
    return min(days, key=lambda day: abs(day - value_on))
