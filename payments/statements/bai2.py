"""BAI2, the cash management file of the Bank Administration Institute, version 2.

Source: docs/wire/bank-statements.md, BAI2.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NoReturn

from core.errors import Invalid
from payments.statements.bai2_records import Record, records
from payments.statements.base import (
    Entry,
    Statement,
    clean,
    is_reference,
    read_currency,
    references_of,
)
from payments.statements.totals import check_balance, check_told
from providers.formats.dates import date_reader
from providers.formats.text import numbered_lines

_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,18}")
_LABELLED: Final = re.compile(r"^(?:EREF|CREF): ?(.+)$", re.MULTILINE)
_OPENING, _CLOSING = "010", "015"
_NO_MONEY: Final = "890"  # a detail that says something and moves nothing
_INTERIM: Final = ("1", "3")  # as-of-date modifiers: the day is not over
_LONGEST: Final = 2_048  # fields of one balance or total, with 999 availabilities
_MORE_FIELDS: Final = {"S": 3, "V": 2}  # how many a funds type brings with it

_yymmdd = date_reader("yymmdd")


@dataclass(slots=True)
class _Account:
    """An account as far as its records were read; ``total_fen`` adds up whatever it states."""

    first: Record
    account_no: str
    currency: str
    opening_fen: int | None = None
    closing_fen: int | None = None
    total_fen: int = 0
    lines: int = 0
    details: list[tuple[Record, str, int, list[str]]] = field(default_factory=list)


@dataclass(slots=True)
class _Group:
    as_of: date
    as_of_time: str
    is_interim: bool
    currency: str
    total_fen: int = 0
    accounts: int = 0
    lines: int = 0


@dataclass(slots=True)
class _File:
    total_fen: int = 0
    groups: int = 0
    lines: int = 0


def read_bai2(content: bytes) -> Iterator[Statement]:
    """Read the accounts of a file, each a statement of its group's day.

    Raises:
        StatementFileError: malformed, cut short, of another currency, or its totals do not agree.
    """
    return _Reader().read(records(numbered_lines(io.BytesIO(content), "detect")))


class _Reader:
    """Holds the file, the group and the account that are open; each is closed by its trailer."""

    def __init__(self) -> None:
        self._file: _File | None = None
        self._group: _Group | None = None
        self._account: _Account | None = None
        self._last: Record | None = None

    def read(self, found: Iterator[Record]) -> Iterator[Statement]:
        for record in found:
            self._last = record
            for part in (self._file, self._group, self._account):
                if part is not None:
                    part.lines += record.lines
            if record.code == "49":
                yield self._close_account(record)
            else:
                self._take(record)
        if self._file is not None and self._last is not None:
            self._misplaced(self._last, "the file ends without its trailer, record 99")

    def _take(self, record: Record) -> None:
        match record.code:
            case "01":
                self._open_file(record)
            case "02":
                self._open_group(record)
            case "03":
                self._open_account(record)
            case "16":
                self._take_detail(record)
            case "98":
                self._close_group(record)
            case "99":
                self._close_file(record)
            case _:
                self._misplaced(record, f"there is no record {record.code[:8]!r}")

    @staticmethod
    def _misplaced(record: Record, what: str) -> NoReturn:
        raise record.wrong(f"{what}: the file was cut short or changed; ask the bank for it again")

    def _open_file(self, record: Record) -> None:
        if self._file is not None:
            self._misplaced(record, "a file begins within another")
        if record.cell(7) not in ("2", ""):
            raise record.wrong(f"the version is {record.cell(7)[:8]!r}: send version 2 of BAI")
        self._file = _File(lines=record.lines)

    def _open_group(self, record: Record) -> None:
        if self._file is None or self._group is not None:
            self._misplaced(record, "a group begins outside of a file, or within another group")
        if record.cell(2) not in ("1", ""):
            raise record.wrong(
                f"the group's status is {record.cell(2)[:8]!r}, not 1: a deletion, a correction or"
                " a test is no statement; ask the bank for the account's day as it is now"
            )
        as_of_time = record.cell(4) if record.cell(4).isalnum() else ""
        self._group = _Group(
            _day(record, record.cell(3)), as_of_time, record.cell(6) in _INTERIM, record.cell(5),
            lines=record.lines,
        )  # fmt: skip

    def _open_account(self, record: Record) -> None:
        if self._group is None or self._account is not None:
            self._misplaced(record, "an account begins outside of a group, or within another")
        currency = record.cell(1) or self._group.currency
        if not currency:
            raise record.wrong("no currency is told, which means USD: this account is in CNY")
        read_currency(currency, line_no=record.line_no, place="record 03")
        if not record.cell(0):
            raise record.wrong("the account has no number: ask the bank for the file again")
        account = _Account(record, record.cell(0), currency, lines=record.lines)
        for code, fen in _summaries(record):
            account.total_fen += fen
            if code == _OPENING:
                account.opening_fen = fen
            elif code == _CLOSING:
                account.closing_fen = fen
        self._account = account

    def _take_detail(self, record: Record) -> None:
        if self._account is None:
            self._misplaced(record, "an entry stands in no account")
        code = record.cell(0)
        fen = _amount(record, record.cell(1)) if record.cell(1) else 0
        if fen < 0:
            raise record.wrong("the amount has a minus: the type code says which way money went")
        if fen == 0 and code != _NO_MONEY and not record.cell(1):
            raise record.wrong("the amount is missing: ask the bank for the file again")
        self._account.total_fen += fen
        self._account.details.append((record, code, fen, record.after(_past_funds(record, 2))))

    def _close_account(self, record: Record) -> Statement:
        account, group = self._account, self._group
        if account is None or group is None:
            self._misplaced(record, "an account's trailer stands in no account")
        _check(record, account.total_fen, {"lines": account.lines})
        self._account = None
        group.total_fen += account.total_fen
        group.accounts += 1
        return _statement(account, group)

    def _close_group(self, record: Record) -> None:
        group = self._group
        if group is None or self._file is None or self._account is not None:
            self._misplaced(record, "a group's trailer stands within an account, or in no group")
        _check(record, group.total_fen, {"accounts": group.accounts, "lines": group.lines})
        self._group = None
        self._file.total_fen += group.total_fen
        self._file.groups += 1

    def _close_file(self, record: Record) -> None:
        file = self._file
        if file is None or self._group is not None:
            self._misplaced(record, "a file's trailer stands within a group, or in no file")
        _check(record, file.total_fen, {"groups": file.groups, "lines": file.lines})
        self._file = None


def _statement(account: _Account, group: _Group) -> Statement:
    number = f"{group.as_of:%Y%m%d}"
    if group.is_interim and group.as_of_time:
        number += f"-{group.as_of_time}"
    entries = tuple(
        _entry(record, code, fen, rest, number=f"{number}-{at}", day=group.as_of)
        for at, (record, code, fen, rest) in enumerate(account.details, start=1)
    )
    return check_balance(
        Statement(
            account_no=account.account_no,
            statement_no=number,
            source_format="bai2",
            line_no=account.first.line_no,
            from_on=group.as_of,
            to_on=group.as_of,
            opening_fen=account.opening_fen,
            closing_fen=account.closing_fen,
            entries=entries,
            is_interim=group.is_interim,
        )
    )


def _entry(
    record: Record, code: str, fen: int, rest: list[str], *, number: str, day: date
) -> Entry:
    theirs, ours, *words = [*rest, "", ""][: max(len(rest), 2)]
    theirs = clean(theirs)
    value_on = None
    if record.cell(2).upper() == "V" and record.cell(3):
        value_on = _day(record, record.cell(3))
    return Entry(
        entry_no=theirs if is_reference(theirs) else number,
        line_no=record.line_no,
        booked_on=day,
        value_on=value_on,
        amount_fen=_sign(record, code) * fen,
        is_booked=code != _NO_MONEY,
        references=references_of(ours, theirs, *_LABELLED.findall(record.text)),
        words=clean(",".join(words)),
        bank_code=code,
    )


def _sign(record: Record, code: str) -> int:
    """Return which way a type code moves money: its range says so, the customs' ranges too."""
    if code == _NO_MONEY:
        return 1
    if len(code) == 3 and code.isascii() and code.isdigit():
        if "100" <= code <= "399" or "920" <= code <= "959":
            return 1
        if "400" <= code <= "699" or "960" <= code <= "999":
            return -1
    raise record.wrong(
        f"the type code {code[:8]!r} says neither credit (100-399, 920-959) nor debit (400-699,"
        " 960-999): ask the bank what it means"
    )


def _summaries(record: Record) -> Iterator[tuple[str, int]]:
    """Yield the balances and totals of an account: type, amount, count, funds type and its more."""
    parted: list[str] = []  # a type at the end of a line whose amount is in the next
    for piece in record.pieces(2):
        cells, parted, at = parted + piece, [], 0
        while at < len(cells):
            part = record.of(cells[at : at + _LONGEST])
            if not cells[at]:
                at += 1
            elif at + 1 == len(cells):
                parted, at = cells[at:], len(cells)
            else:
                yield cells[at], _amount(record, part.cell(1)) if part.cell(1) else 0
                at += _past_funds(part, 3)
    if parted:
        raise record.wrong(f"the type {parted[0][:8]!r} has no amount: is the file whole?")


def _past_funds(record: Record, at: int) -> int:
    """Return where the fields go on after a funds type and what it brings with it."""
    kind = record.cell(at).upper()
    if kind == "D":
        count = record.cell(at + 1)
        if not (count.isascii() and count.isdigit() and len(count) <= 3):
            raise record.wrong(f"{count[:8]!r} is no number of availabilities")
        return at + 2 + 2 * int(count)
    return at + 1 + _MORE_FIELDS.get(kind, 0)


def _amount(record: Record, cell: str) -> int:
    """Read fen, as BAI2 writes them: without a point, with a sign where it is a total."""
    if _AMOUNT.fullmatch(cell) is None:
        raise record.wrong(
            f"{cell[:32]!r} is no amount in fen (digits, no point): ask the bank for the file again"
        )
    return int(cell)


def _day(record: Record, cell: str) -> date:
    try:
        return _yymmdd(cell)
    except Invalid as wrong:
        raise record.wrong(wrong.message) from wrong


def _check(record: Record, total_fen: int, counts: dict[str, int]) -> None:
    """Hold a trailer against what was read: its total first, then its counts in their order."""
    place = f"record {record.code}"
    check_told(
        "fen", _amount(record, record.cell(0)), total_fen, line_no=record.line_no, place=place
    )
    for at, (what, ours) in enumerate(counts.items(), start=1):
        told = record.cell(at)
        if not (told.isascii() and told.isdigit() and len(told) <= 15):
            raise record.wrong(f"{told[:32]!r} is no number of {what}: is the file whole?")
        check_told(what, int(told), ours, line_no=record.line_no, place=place)
