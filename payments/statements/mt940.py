"""SWIFT MT940, the customer statement message, bare or in its envelope, and banks' dialects of it.

Source: docs/wire/bank-statements.md, MT940.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from core.errors import Invalid
from payments.statements.base import (
    Statement,
    StatementFileError,
    read_amount,
    read_currency,
)
from payments.statements.mt940_lines import AMOUNT, decimal_of, read_line
from payments.statements.totals import check_balance, check_told
from providers.formats.dates import date_reader
from providers.formats.text import numbered_lines

_TAG: Final = re.compile(r":([0-9]{2}[A-Za-z]?|NS|[0-9]{3}):(.*)")
_MESSAGE: Final = re.compile(r"\{2:[IO]([0-9]{3})")
_TEXT: Final = "{4:"
_BALANCE: Final = re.compile(
    r"([CD])([0-9]{6})([A-Z]{3})([0-9][0-9.]{0,21}(?:,[0-9]*)?)", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"([0-9]{1,9})(?:/([0-9]{1,9}))?")
_SUM: Final = re.compile(rf"([0-9]{{1,9}})([A-Z]{{3}})({AMOUNT})", re.IGNORECASE)
_FRAME: Final = "\x01\x02\x03\x04"  # what a line of SWIFT's may send envelopes between
_ENVELOPE: Final = re.compile(r"\{[1-5S]:|-\}|-$")
_OPENS: Final = ("20", "25", "25P", "28", "28C", "60", "60F", "60M")
_ENDED: Final = "end"
_NO_DAY: Final = "000000"

_yymmdd = date_reader("yymmdd")


@dataclass(slots=True)
class Field:
    """A tag and its text, in the lines it came in."""

    line_no: int
    tag: str
    lines: list[str]

    def wrong(self, message: str) -> StatementFileError:
        return StatementFileError(message, line_no=self.line_no, column=f"tag {self.tag}")


class Balance(NamedTuple):
    day: date | None  # of an opening balance that is none yet, 000000
    amount_fen: int
    is_whole: bool  # of the whole statement, and not of a page


@dataclass(slots=True)
class _Open:
    """A statement as far as its tags were read."""

    first: Field
    reference: str = ""
    account_no: str = ""
    number: str = ""
    opening: Balance | None = None
    closing: Balance | None = None
    lines: list[tuple[Field, list[Field]]] = field(default_factory=list)
    sums: list[Field] = field(default_factory=list)

    def take(self, one: Field) -> None:
        tag = one.tag.upper()
        if tag == "20":
            self.reference = one.lines[0].strip()
        elif tag in ("25", "25P"):
            self.account_no = _account_no(one)
        elif tag in ("28", "28C"):
            self.number = one.lines[0].strip()
        elif tag in ("60", "60F", "60M"):
            self.opening = self._once(self.opening, one)
        elif tag in ("62", "62F", "62M"):
            self.closing = self._once(self.closing, one)
        elif tag == "61":
            if self.opening is None or self.closing is not None:
                raise one.wrong(
                    "an entry must stand between the balances 60F and 62F: is it an MT940 (an MT942"
                    " has no balances), and whole?"
                )
            self.lines.append((one, []))
        elif tag == "86" and self.lines and self.closing is None:
            self.lines[-1][1].append(one)
        elif tag in ("90C", "90D"):
            self.sums.append(one)

    @staticmethod
    def _once(known: Balance | None, one: Field) -> Balance:
        if known is not None:
            raise one.wrong("the balance stands there twice: is the file damaged?")
        return _read_balance(one)

    def close(self) -> Statement:
        if not self.account_no:
            raise self.first.wrong("the statement has no tag 25, its account: is the file whole?")
        if self.opening is None:
            raise self.first.wrong(
                "the statement has no tag 60F, its opening balance: is the file whole, and an MT940"
                " (an MT942 has no balances)?"
            )
        if self.closing is None:
            raise self.first.wrong(
                "the statement has no tag 62F, its closing balance: the file was cut short; ask the"
                " bank for it again"
            )
        number = _NUMBER.fullmatch(self.number)
        assert self.closing.day is not None
        name = f"{self.closing.day:%Y%m%d}-{self.number or self.reference}"
        entries = tuple(
            read_line(line, [text for one in details for text in one.lines], f"{name}-{at}")
            for at, (line, details) in enumerate(self.lines, start=1)
        )
        statement = Statement(
            account_no=self.account_no,
            statement_no=self.number or self.reference,
            source_format="mt940",
            line_no=self.first.line_no,
            sequence_no=int(number.group(1)) if number else None,
            page_no=int(number.group(2)) if number and number.group(2) else None,
            is_last_page=self.closing.is_whole,
            from_on=self.opening.day,
            to_on=self.closing.day,
            opening_fen=self.opening.amount_fen,
            closing_fen=self.closing.amount_fen,
            entries=entries,
        )
        for one in self.sums:
            _check_sum(one, statement)
        return check_balance(statement)


def read_mt940(content: bytes) -> Iterator[Statement]:
    """Read the statements of a file.

    Raises:
        StatementFileError: malformed, cut short, of another currency, or its balances do not agree.
    """
    statement: _Open | None = None
    found = False
    for one in _fields(content):
        if one.tag == _ENDED or _begins(statement, one):
            if statement is not None:
                yield statement.close()
            statement = None
        if one.tag == _ENDED:
            continue
        if statement is None:
            if one.tag.upper() not in _OPENS:
                _refuse_stray(one)
                continue
            statement, found = _Open(one), True
        statement.take(one)
    if statement is not None:
        yield statement.close()
    if not found:
        raise StatementFileError("there is no tag 20, and so no statement: is it an MT940?")


def _begins(statement: _Open | None, one: Field) -> bool:
    """Tell whether a tag belongs to the next statement."""
    if statement is None:
        return False
    tag = one.tag.upper()
    if tag == "20":
        return statement.first is not one
    return statement.closing is not None and tag in _OPENS


def _refuse_stray(one: Field) -> None:
    if one.tag[:2] in ("61", "62"):
        raise one.wrong("it stands in no statement: tags 20, 25, 28C and 60F come first")


def _fields(content: bytes) -> Iterator[Field]:
    """Yield tags with their lines; between messages, one whose tag says that one has ended."""
    current: Field | None = None
    for line_no, raw in numbered_lines(io.BytesIO(content), "detect"):
        line = raw.strip(_FRAME)
        if _ENVELOPE.match(line.strip()):
            if current is not None:
                yield current
            yield Field(line_no, _ENDED, [])
            current = None
            line = _text_block(line_no, line.strip())
        tag = _TAG.fullmatch(line.lstrip())
        if tag is not None:
            if current is not None:
                yield current
            current = Field(line_no, tag.group(1), [tag.group(2)])
        elif current is not None:
            current.lines.append(line)
    if current is not None:
        yield current


def _text_block(line_no: int, line: str) -> str:
    """Return what an envelope's line holds of the message itself."""
    kind = _MESSAGE.search(line)
    if kind is not None and kind.group(1) != "940":
        raise StatementFileError(
            f"the message is an MT{kind.group(1)}: send the MT940, which has the day's balances",
            line_no=line_no,
        )
    return line[line.index(_TEXT) + len(_TEXT) :].strip() if _TEXT in line else ""


def _account_no(one: Field) -> str:
    text = "".join(one.lines[0].split())
    return re.sub(r"(?<=[0-9])(CNY|RMB)$", "", text)


def _read_balance(one: Field) -> Balance:
    match = _BALANCE.fullmatch(one.lines[0].strip())
    if match is None:
        raise one.wrong(
            "the balance must read like C261120CNY1234,56: ask the bank for the file again"
        )
    mark, day, currency, amount = match.groups()
    place = f"tag {one.tag}"
    read_currency(currency, line_no=one.line_no, place=place)
    fen = read_amount(decimal_of(amount), line_no=one.line_no, place=place)
    try:
        on = None if day == _NO_DAY and one.tag.startswith("60") else _yymmdd(day)
    except Invalid as wrong:
        raise one.wrong(wrong.message) from wrong
    return Balance(on, fen if mark.upper() == "C" else -fen, not one.tag.upper().endswith("M"))


def _check_sum(one: Field, statement: Statement) -> None:
    """Hold tag 90C or 90D, the number and the sum of the credits or debits, against the entries."""
    match = _SUM.fullmatch(one.lines[0].strip())
    if match is None:
        raise one.wrong("the sum must read like 12CNY1234,56: ask the bank for the file again")
    count, currency, amount = match.groups()
    place = f"tag {one.tag}"
    read_currency(currency, line_no=one.line_no, place=place)
    sign = 1 if one.tag.upper().endswith("C") else -1
    amounts = [sign * entry.amount_fen for entry in statement.entries]
    amounts = [fen for fen in amounts if fen > 0]
    told_fen = read_amount(decimal_of(amount), line_no=one.line_no, place=place)
    check_told("entries", int(count), len(amounts), line_no=one.line_no, place=place)
    check_told("fen", told_fen, sum(amounts), line_no=one.line_no, place=place)
