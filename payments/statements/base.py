"""What a bank says of our account, in our words, whatever the format. No database, no clock.

Source: docs/wire/bank-statements.md.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan

CURRENCY: Final = "CNY"
MAX_BYTES: Final = 64 * 1024 * 1024
_YUAN: Final = frozenset({"CNY", "RMB", "156", "人民币", "人民币元"})
_NO_REFERENCE: Final = frozenset({
    "NONREF", "NOREF", "NONE", "NOTPROVIDED", "NOT PROVIDED", "NOTAVAILABLE", "N/A",
    "EREF", "KREF", "PREF", "MARF",  # see the words
})  # fmt: skip
_DIGIT: Final = re.compile(r"[0-9]")
_DECIMAL: Final = re.compile(r"0*([0-9]+)(?:\.([0-9]*))?")


class StatementFileError(SettlementFileError):
    """A file of bank statements refused whole: nothing of it counts.

    ``column`` is the place within the line in the format's own words: a tag, a record, an element,
    a column.
    """

    code = "bank_statement.refused"

    def __init__(
        self,
        message: str,
        *,
        file_name: str = "",
        line_no: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(message, line_no=line_no, column=column)
        self.file_name = file_name
        self.facts["file_name"] = file_name

    def __str__(self) -> str:
        line = f"line {self.line_no}" if self.line_no is not None else ""
        where = ", ".join(part for part in (self.file_name, line, self.column) if part)
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One movement of the account, or one transaction of a batched one.

    ``entry_no`` is the bank's reference, or one made of the statement and the place in it, so that
    the same statement sent again has the same numbers; no two entries of an account in a file share
    one.
    """

    entry_no: str
    line_no: int  # where it begins in the file
    booked_on: date
    value_on: date | None = None
    amount_fen: int  # into our account above zero, out of it below; of a reversal, too
    is_reversal: bool = False
    is_booked: bool = True  # False: announced or for information, and no money yet
    batch_no: str = ""  # the number of the booked sum that this transaction is a part of
    references: tuple[str, ...] = ()  # where one of our own numbers may stand
    other_name: str = ""
    other_account_no: str = ""
    words: str = ""
    bank_code: str = ""  # what kind of movement, in the bank's code


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of one account, or one page of it."""

    account_no: str
    statement_no: str
    source_format: str  # camt.053, mt940, bai2; csv:<profile>
    line_no: int
    sequence_no: int | None = None  # a gap in them is a statement that did not come
    page_no: int | None = None
    is_last_page: bool | None = None  # None: not told
    currency: str = CURRENCY
    from_on: date | None = None
    to_on: date | None = None
    opening_fen: int | None = None
    closing_fen: int | None = None
    entries: tuple[Entry, ...] = ()
    # The day is not over: another file tells all of it again. In no ``repr``, by which those kept
    # before are known again.
    is_interim: bool = field(default=False, repr=False)

    @property
    def booked_fen(self) -> int:
        """The sum of what is booked."""
        return sum(entry.amount_fen for entry in self.entries if entry.is_booked)


def read_currency(text: str, *, line_no: int, place: str) -> str:
    """Return CNY for any of its names.

    Raises:
        StatementFileError: another currency, or none.
    """
    if text.strip().upper() not in _YUAN:
        raise StatementFileError(
            f"the currency is {text.strip()[:8]!r}, and this account is in CNY: is it another"
            " account's statement?",
            line_no=line_no,
            column=place,
        )
    return CURRENCY


def read_amount(text: str, *, line_no: int, place: str) -> int:
    """Read an amount in yuan without a sign; zeros may stand before it and after its fen.

    Raises:
        StatementFileError: anything else.
    """
    try:
        if text.startswith(("-", "+")):
            raise Invalid(f"the amount {text[:32]!r} has a sign: the mark beside it says which way")
        match = _DECIMAL.fullmatch(text)
        if match is None:
            return parse_yuan(text)
        whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
        return parse_yuan(f"{whole}.{fraction}" if fraction else whole)
    except Invalid as wrong:
        raise StatementFileError(
            f"{wrong.message}; ask the bank for the file again", line_no=line_no, column=place
        ) from wrong


def clean(text: str) -> str:
    """Return a text in one line, without what nobody sees."""
    if not text.isprintable():
        text = "".join(mark if mark.isprintable() else " " for mark in text)
    return " ".join(text.split())


def is_reference(text: str) -> bool:
    """Tell a reference from a filler such as NONREF or zeros."""
    return text.upper() not in _NO_REFERENCE and bool(text.strip("0-/. "))


def references_of(*texts: str) -> tuple[str, ...]:
    """Return what may hold a number of ours: each once, in order, without fillers.

    Of a text of several words also the first word, and all of it without the blanks: a reference
    may have a remark behind it, or a line break in it.
    """
    found: dict[str, None] = {}
    for text in map(clean, texts):
        words = text.split(" ")
        parts = (words[0], "".join(words)) if len(words) > 1 else ()
        for one in (text, *filter(_DIGIT.search, parts)):
            if is_reference(one):
                found[one] = None
    return tuple(found)
