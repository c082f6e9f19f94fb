"""A bank's CSV, as a profile describes it.

Source: docs/wire/bank-statements.md, CSV.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Final

from core.errors import Invalid
from core.money import yuan_text
from payments.statements.base import (
    Entry,
    Statement,
    StatementFileError,
    clean,
    is_reference,
    read_currency,
    references_of,
)
from payments.statements.profiles import BankProfile, Role
from payments.statements.totals import check_balance, check_told
from providers.formats.dates import date_reader
from providers.formats.numerals import amount_reader
from providers.formats.sources import plain_name
from providers.formats.splitting import splitter, whole_rows
from providers.formats.text import numbered_lines

_FORMULA: Final = re.compile(r'="(.*)"')  # how an export keeps Excel from reading a number


@dataclass(slots=True)
class _Row:
    """An entry and the balance after it, where there is one."""

    entry: Entry
    balance_fen: int | None


@dataclass(slots=True)
class _Told:
    """What the lines beside the entries say, each with its line."""

    texts: dict[str, tuple[str, int]] = field(default_factory=dict)

    def keep(self, name: str, text: str, line_no: int) -> None:
        known = self.texts.setdefault(name, (text, line_no))
        if known[0] != text:
            raise StatementFileError(
                f"{name} is told twice, in line {known[1]} too, and differs: which one holds?",
                line_no=line_no,
                column=name,
            )


def read_sheet(content: bytes, profile: BankProfile) -> Iterator[Statement]:
    """Read a CSV by a bank's profile: one statement.

    Raises:
        BillFileError: not text, or not in the profile's encoding.
        StatementFileError: malformed, of another currency, or its totals do not agree.
    """
    yield _Sheet(profile).read(content)


class _Sheet:
    def __init__(self, profile: BankProfile) -> None:
        self._profile = profile
        self._notes = [(note, re.compile(note.pattern)) for note in profile.notes]
        self._seen: set[int] = set()
        self._told = _Told()
        self._amount = amount_reader(profile.amount_unit, profile.numbers)
        self._at: dict[str, int] = {}
        self._width = 0
        self._rows: list[_Row] = []
        self._last_no = 1

    def read(self, content: bytes) -> Statement:
        shape = self._profile.file.shape
        split = splitter(shape)
        lines = numbered_lines(io.BytesIO(content), shape.codec)
        for line_no, line in whole_rows(lines, shape, split) if shape.multiline else lines:
            self._last_no = line_no
            cells = split(line)
            row = None if cells is None else [_bare(cell) for cell in cells]
            if (row is None or not self._is_dated(row)) and self._is_noted(line_no, line):
                continue
            if row is None:
                raise StatementFileError("the quotation marks do not match", line_no=line_no)
            self._take(line_no, row)
        if not self._at:
            raise self._no_header()
        for at, note in enumerate(self._profile.notes):
            if note.required and at not in self._seen:
                raise StatementFileError(
                    f"no line reads like {note.pattern!r}: the file was cut short, or it is not"
                    f" one of {self._profile.name}",
                    line_no=self._last_no,
                )
        return self._statement()

    def _is_dated(self, cells: Sequence[str]) -> bool:
        """Tell whether a line is surely an entry, whatever its words look like."""
        if not self._at or len(cells) < self._width:
            return False
        try:
            return _Cells(self._profile, self._at, cells, 0).day("booked_on") is not None
        except StatementFileError:
            return False

    def _is_noted(self, line_no: int, line: str) -> bool:
        """Tell whether a line is one of the notes, and keep what it says."""
        found = False
        for at, (_, pattern) in enumerate(self._notes):
            match = pattern.search(line)
            if match is not None:
                self._seen.add(at)
                found = True
                for name, text in match.groupdict().items():
                    if text is not None:
                        self._told.keep(name, text.strip(), line_no)
        return found

    def _take(self, line_no: int, cells: list[str]) -> None:
        if not any(cells):
            return
        if not self._at:
            if self._find_columns(cells) or line_no < self._profile.file.header_within:
                return
            raise self._no_header()
        if len(cells) > self._width and not any(cells[self._width :]):
            cells = cells[: self._width]
        if len(cells) != self._width:
            raise StatementFileError(
                f"the row has {len(cells)} cells, the header {self._width}: was the file cut short,"
                " or is it a line for [[notes]]?",
                line_no=line_no,
            )
        self._rows.append(self._row(line_no, cells))

    def _find_columns(self, cells: Sequence[str]) -> bool:
        """Note where the columns stand, if this is the header row."""
        names = [plain_name(cell) for cell in cells]
        at: dict[str, int] = {}
        for column in self._profile.columns:
            own = {plain_name(name) for name in (column.name, *column.also)}
            places = [place for place, name in enumerate(names) if name in own]
            if len(places) != 1:
                return False
            at[column.name] = places[0]
        self._at, self._width = at, len(cells)
        return True

    def _no_header(self) -> StatementFileError:
        wanted = ", ".join(column.name for column in self._profile.columns)
        return StatementFileError(
            f"there is no row with each of the columns {wanted} once: is it an export of"
            f" {self._profile.name}?",
            line_no=self._last_no,
        )

    def _row(self, line_no: int, cells: Sequence[str]) -> _Row:
        text = _Cells(self._profile, self._at, cells, line_no)
        currency = text.one("currency")
        if currency:
            read_currency(currency, line_no=line_no, place=text.name("currency"))
        if self._profile.column("account_no") is not None:
            self._told.keep("account_no", text.one("account_no"), line_no)
        booked_on = text.day("booked_on")
        if booked_on is None:
            raise text.wrong("booked_on", "the day is blank: ask the bank for the file again")
        fen, is_reversal = self._moved(text)
        number = clean(text.one("entry_no"))
        entry = Entry(
            entry_no=number if is_reference(number) else "",
            line_no=line_no,
            booked_on=booked_on,
            value_on=text.day("value_on"),
            amount_fen=fen,
            is_reversal=is_reversal,
            references=references_of(*text.every("reference"), number),
            other_name=clean(text.one("other_name")),
            other_account_no="".join(text.one("other_account_no").split()),
            words=clean(" ".join(text.every("words"))),
            bank_code=clean(text.one("bank_code")),
        )
        has_balance = self._profile.column("balance") is not None
        return _Row(entry, text.fen("balance", self._amount) if has_balance else None)

    def _moved(self, text: "_Cells") -> tuple[int, bool]:
        """Return what moved, and whether it was written below zero, as what goes back is."""
        if self._profile.column("amount") is None:
            nothing = ("", *self._profile.numbers.nulls)
            debit, credit = text.one("debit") not in nothing, text.one("credit") not in nothing
            out_fen = text.fen("debit", self._amount) if debit else 0
            in_fen = text.fen("credit", self._amount) if credit else 0
            if (out_fen and in_fen) or not (debit or credit):
                raise text.wrong("debit", "one of debit and credit must hold the amount, not both")
            return in_fen - out_fen, min(in_fen, out_fen) < 0
        fen = text.fen("amount", self._amount)
        if self._profile.column("direction") is None:
            return fen, False
        word = text.one("direction")
        way = self._profile.directions.get(word)
        if way is None:
            known = ", ".join(self._profile.directions)
            raise text.wrong("direction", f"{word[:16]!r} is no direction; the words are {known}")
        return (fen if way == "in" else -fen), fen < 0

    def _statement(self) -> Statement:
        rows = self._rows
        if self._profile.file.order == "newest_first":
            rows = rows[::-1]
        _check_running(rows)
        opening_fen, closing_fen = self._fen("opening"), self._fen("closing")
        if rows and rows[0].balance_fen is not None:
            first_fen = rows[0].balance_fen - rows[0].entry.amount_fen
            opening_fen = self._agreed("opening", opening_fen, first_fen)
        if rows and rows[-1].balance_fen is not None:
            closing_fen = self._agreed("closing", closing_fen, rows[-1].balance_fen)
        entries = _numbered([row.entry for row in rows])
        days = [entry.booked_on for entry in entries]
        account, line_no = self._told.texts.get("account_no", (self._profile.account_no, 1))
        if "currency" in self._told.texts:
            currency, at = self._told.texts["currency"]
            read_currency(currency, line_no=at, place="currency")
        from_on, to_on = (self._day(name) for name in ("from_on", "to_on"))
        from_on, to_on = from_on or min(days, default=None), to_on or max(days, default=None)
        if not account.strip():
            raise StatementFileError("the account is blank", line_no=line_no, column="account_no")
        statement = Statement(
            account_no="".join(account.split()),
            statement_no="-".join(f"{day:%Y%m%d}" for day in (from_on, to_on) if day),
            source_format=f"csv:{self._profile.code}",
            line_no=1,
            from_on=from_on,
            to_on=to_on,
            opening_fen=opening_fen,
            closing_fen=closing_fen,
            entries=entries,
        )
        self._check_sums(entries)
        return check_balance(statement)

    def _agreed(self, name: str, told_fen: int | None, ours_fen: int) -> int:
        """Return a balance by the rows, which is also the one a note tells."""
        if told_fen is not None:
            line_no = self._told.texts[name][1]
            check_told("fen", told_fen, ours_fen, line_no=line_no, place=name)
        return ours_fen

    def _check_sums(self, entries: Sequence[Entry]) -> None:
        came = [entry.amount_fen for entry in entries if entry.amount_fen > 0]
        went = [-entry.amount_fen for entry in entries if entry.amount_fen < 0]
        ours = {
            "count": len(entries), "sum": sum(entry.amount_fen for entry in entries),
            "credit_count": len(came), "credit_sum": sum(came),
            "debit_count": len(went), "debit_sum": sum(went),
        }  # fmt: skip
        for name, wanted in ours.items():
            if name not in self._told.texts:
                continue
            text, line_no = self._told.texts[name]
            if name.endswith("sum"):
                told = self._fen(name)
                assert told is not None
                check_told("fen", told, wanted, line_no=line_no, place=name)
            elif not (text.isascii() and text.isdigit() and len(text) <= 15):
                raise StatementFileError(
                    f"{text[:32]!r} is no number of entries", line_no=line_no, column=name
                )
            else:
                check_told("entries", int(text), wanted, line_no=line_no, place=name)

    def _fen(self, name: str) -> int | None:
        if name not in self._told.texts:
            return None
        text, line_no = self._told.texts[name]
        try:
            return self._amount(text)
        except Invalid as wrong:
            raise StatementFileError(wrong.message, line_no=line_no, column=name) from wrong

    def _day(self, name: str) -> date | None:
        if name not in self._told.texts:
            return None
        text, line_no = self._told.texts[name]
        layout = next(note.format for note, pattern in self._notes if name in pattern.groupindex)
        try:
            return date_reader(layout or self._profile.dates.day)(text)
        except Invalid as wrong:
            raise StatementFileError(wrong.message, line_no=line_no, column=name) from wrong


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row's cells by what they hold."""

    profile: BankProfile
    at: dict[str, int]
    cells: Sequence[str]
    line_no: int

    def one(self, role: Role) -> str:
        column = self.profile.column(role)
        return "" if column is None else self.cells[self.at[column.name]]

    def every(self, role: Role) -> list[str]:
        return [self.cells[self.at[column.name]] for column in self.profile.all_of(role)]

    def name(self, role: Role) -> str:
        column = self.profile.column(role)
        return role if column is None else column.name

    def day(self, role: Role) -> date | None:
        column, text = self.profile.column(role), self.one(role)
        if column is None or not text:
            return None
        try:
            return date_reader(self.profile.day_format(column))(text)
        except Invalid as wrong:
            raise self.wrong(role, wrong.message) from wrong

    def fen(self, role: Role, read: Callable[[str], int]) -> int:
        try:
            return read(self.one(role))
        except Invalid as wrong:
            raise self.wrong(role, wrong.message) from wrong

    def wrong(self, role: Role, message: str) -> StatementFileError:
        return StatementFileError(message, line_no=self.line_no, column=self.name(role))


def _bare(cell: str) -> str:
    match = _FORMULA.fullmatch(cell)
    return (match.group(1) if match else cell).strip(" \t\u00a0\u3000")


def _check_running(rows: Sequence[_Row]) -> None:
    """Each balance is the one before it and what moved."""
    for before, row in pairwise(rows):
        if before.balance_fen is None or row.balance_fen is None:
            continue
        wanted_fen = before.balance_fen + row.entry.amount_fen
        if wanted_fen != row.balance_fen:
            raise StatementFileError(
                f"the balance {yuan_text(before.balance_fen)} in line {before.entry.line_no} and"
                f" {yuan_text(row.entry.amount_fen)} make {yuan_text(wanted_fen)}, not"
                f" {yuan_text(row.balance_fen)}: a row is missing or changed, or the profile's"
                " order is the other one",
                line_no=row.entry.line_no,
            )


def _numbered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Number what has no number by its day and its place in it: an export must hold whole days."""
    times: dict[date, int] = {}
    done = []
    for entry in entries:
        times[entry.booked_on] = at = times.get(entry.booked_on, 0) + 1
        number = entry.entry_no or f"{entry.booked_on:%Y%m%d}-{at}"
        done.append(replace(entry, entry_no=number))
    return tuple(done)
