"""ISO 20022 camt.052, camt.053 and camt.054, of any version: a bank's report, statement, notice.

Elements are known by their names: namespaces and their order differ from version to version.
Source: docs/wire/bank-statements.md, camt.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from payments.statements.base import (
    MAX_BYTES,
    Entry,
    Statement,
    StatementFileError,
    clean,
    read_amount,
    read_currency,
)
from payments.statements.camt_entries import read_day_of, read_entry, read_sign
from payments.statements.totals import check_balance, check_told
from providers.standards.local_names import LocalNames
from providers.standards.xml_guard import Element, documents, every, first, text

_FORMATS: Final = {"Stmt": "camt.053", "Rpt": "camt.052", "Ntfctn": "camt.054"}
_PAGES: Final = ("StmtPgntn", "RptPgntn", "NtfctnPgntn")
_PARTS: Final = LocalNames({
    "GrpHdr", "Id", "ElctrncSeqNb", "LglSeqNb", "CreDtTm", "FrToDt", "Acct", "Bal", "TxsSummry",
    "Ntry", *_PAGES,
})  # fmt: skip
_OPENING: Final = ("OPBD", "PRCD")
_CLOSING: Final = ("CLBD",)
_BETWEEN_PAGES: Final = "ITBD"


class _Balance(NamedTuple):
    line_no: int
    code: str
    day: date
    amount_fen: int


class _Moved(NamedTuple):
    is_credit: bool  # of nothing at all, too
    fen: int


@dataclass(slots=True)
class _Open:
    """A statement as far as its parts were read."""

    element: Element
    source_format: str
    line_no: int
    statement_no: str = ""
    account_no: str = ""
    made_on: date | None = None
    days: tuple[date | None, date | None] = (None, None)
    sequence_no: int | None = None
    page_no: int | None = None
    is_last_page: bool | None = None
    balances: list[_Balance] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    booked: list[_Moved] = field(default_factory=list)  # each element Ntry, in parts or not
    listed: list[_Moved] = field(default_factory=list)  # all of them, announced ones too
    sums: list[tuple[str, int, int]] = field(default_factory=list)  # what, told, line

    def take(self, name: str, line_no: int, element: Element) -> None:
        if name == "Id":
            self.statement_no = clean(element.text or "")
        elif name in ("ElctrncSeqNb", "LglSeqNb"):
            number = (element.text or "").strip()
            if number.isascii() and number.isdigit() and len(number) <= 18:
                self.sequence_no = int(number) if self.sequence_no is None else self.sequence_no
        elif name == "CreDtTm":
            self.made_on = read_day_of(element, line_no, name)
        elif name == "FrToDt":
            self.days = (
                read_day_of(first(element, "FrDtTm", "FrDt"), line_no, name),
                read_day_of(first(element, "ToDtTm", "ToDt"), line_no, name),
            )
        elif name in _PAGES:
            self.page_no, self.is_last_page = _page(element, line_no)
        elif name == "Acct":
            self._take_account(element, line_no)
        elif name == "Bal":
            self._take_balance(element, line_no)
        elif name == "TxsSummry":
            self._take_sums(element, line_no)
        else:
            self._take_entry(element, line_no)

    def _take_account(self, element: Element, line_no: int) -> None:
        self.account_no = _account_no(element)
        currency = text(element, "Ccy")
        if currency:
            read_currency(currency, line_no=line_no, place="Acct/Ccy")

    def _take_balance(self, element: Element, line_no: int) -> None:
        code = text(element, "Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry", "Tp/Cd").upper()
        if code not in (*_OPENING, *_CLOSING, _BETWEEN_PAGES):
            return
        day = read_day_of(first(element, "Dt/Dt", "Dt/DtTm", "Dt"), line_no, "Bal/Dt")
        if day is None:
            raise StatementFileError(
                "the balance has no day: ask the bank for the file again",
                line_no=line_no, column="Bal/Dt",
            )  # fmt: skip
        fen = _amount(first(element, "Amt"), line_no, "Bal/Amt")
        sign = read_sign(text(element, "CdtDbtInd"), line_no, "Bal/CdtDbtInd")
        self.balances.append(_Balance(line_no, code, day, sign * fen))

    def _take_sums(self, element: Element, line_no: int) -> None:
        """Note what the summary says; it stands before the entries."""
        for part, count, amount in (
            ("TtlNtries", "entries", "fen in all"),
            ("TtlCdtNtries", "credits", "fen of credits"),
            ("TtlDbtNtries", "debits", "fen of debits"),
        ):
            for one in every(element, part):
                self._note_count(text(one, "NbOfNtries"), count, line_no)
                self._note_amount(first(one, "Sum"), amount, 1, line_no)
        net = first(element, "TtlNtries/TtlNetNtry/Amt", "TtlNtries/TtlNetNtryAmt")
        mark = text(element, "TtlNtries/TtlNetNtry/CdtDbtInd", "TtlNtries/CdtDbtInd")
        if net is not None and mark:
            sign = read_sign(mark, line_no, "TxsSummry/CdtDbtInd")
            self._note_amount(net, "fen net", sign, line_no)

    def _note_count(self, number: str, what: str, line_no: int) -> None:
        if number:
            if not (number.isascii() and number.isdigit() and len(number) <= 15):
                raise StatementFileError(
                    f"{number[:32]!r} is no number of entries: ask the bank for the file again",
                    line_no=line_no, column="TxsSummry/NbOfNtries",
                )  # fmt: skip
            self.sums.append((what, int(number), line_no))

    def _note_amount(self, element: Element | None, what: str, sign: int, line_no: int) -> None:
        if element is not None and (element.text or "").strip():
            fen = read_amount((element.text or "").strip(), line_no=line_no, place="TxsSummry/Sum")
            self.sums.append((what, sign * fen, line_no))

    def _take_entry(self, element: Element, line_no: int) -> None:
        page = f"/{self.page_no}" if self.page_no else ""
        number = f"{self.statement_no}{page}-{len(self.listed) + 1}"
        entries = read_entry(
            element, line_no, number=number, source=self.source_format, made_on=self.made_on
        )
        self.entries += entries
        is_credit = text(element, "CdtDbtInd").upper() == "CRDT"
        moved = _Moved(is_credit, sum(entry.amount_fen for entry in entries))
        self.listed.append(moved)
        if entries[0].is_booked:
            self.booked.append(moved)

    def close(self) -> Statement:
        if not self.account_no:
            raise StatementFileError(
                "the statement names no account in Acct/Id: ask the bank for the file again",
                line_no=self.line_no, column="Acct",
            )  # fmt: skip
        if not self.statement_no:
            raise StatementFileError(
                "the statement has no number in Id: ask the bank for the file again",
                line_no=self.line_no, column="Id",
            )  # fmt: skip
        opening, closing = self._opening(), self._closing()
        statement = Statement(
            account_no=self.account_no,
            statement_no=self.statement_no,
            source_format=self.source_format,
            line_no=self.line_no,
            sequence_no=self.sequence_no,
            page_no=self.page_no,
            is_last_page=True if self._of(_CLOSING) else self.is_last_page,
            from_on=self.days[0] or (opening.day if opening else None),
            to_on=self.days[1] or (closing.day if closing else None),
            opening_fen=opening.amount_fen if opening else None,
            closing_fen=closing.amount_fen if closing else None,
            entries=tuple(self.entries),
        )
        for what, told, line_no in self.sums:
            self._check(what, told, line_no)
        return check_balance(statement)

    def _opening(self) -> _Balance | None:
        found = self._of(_OPENING[:1]) or self._of(_OPENING[1:])
        if not found and (self.page_no or 1) > 1:
            found = self._of((_BETWEEN_PAGES,))[:1]
        return _one(found, min((one.day for one in found), default=None))

    def _closing(self) -> _Balance | None:
        found = self._of(_CLOSING)
        if not found and self.is_last_page is False:  # a page, and another follows
            found = self._of((_BETWEEN_PAGES,))[-1:]
        return _one(found, max((one.day for one in found), default=None))

    def _of(self, codes: tuple[str, ...]) -> list[_Balance]:
        return [one for one in self.balances if one.code in codes]

    def _check(self, what: str, told: int, line_no: int) -> None:
        """Hold one total against all entries, or against the booked ones: banks mean either."""
        ours = {_total(what, self.listed), _total(what, self.booked)}
        if told not in ours:
            check_told(what, told, max(ours), line_no=line_no, place="TxsSummry")


def _total(what: str, moved: list[_Moved]) -> int:
    credits = [one.fen for one in moved if one.is_credit]
    debits = [-one.fen for one in moved if not one.is_credit]
    return {
        "entries": len(moved), "fen in all": sum(credits) + sum(debits),
        "fen net": sum(credits) - sum(debits),
        "credits": len(credits), "fen of credits": sum(credits),
        "debits": len(debits), "fen of debits": sum(debits),
    }[what]  # fmt: skip


def _one(found: list[_Balance], day: date | None) -> _Balance | None:
    """Return the balance of a day: a statement of several days may have one of each."""
    of_day = [one for one in found if one.day == day]
    if len({one.amount_fen for one in of_day}) > 1:
        raise StatementFileError(
            f"the balance {of_day[0].code} of {day} stands there twice and differs: ask the bank"
            " for the file again",
            line_no=of_day[-1].line_no, column="Bal",
        )  # fmt: skip
    return of_day[0] if of_day else None


def read_camt(content: bytes) -> Iterator[Statement]:
    """Read the statements of a file.

    Raises:
        BillFileError: not XML, cut short, or built to do harm.
        StatementFileError: malformed, of another currency, or its totals do not agree.
    """
    statement: _Open | None = None
    header: tuple[int | None, bool | None] = (None, None)
    found = False
    for line_no, element in documents(io.BytesIO(content), _PARTS, budget=MAX_BYTES + 1):
        name, parent = _name(element), element.getparent()
        if name == "GrpHdr":
            header = _page(first(element, "MsgPgntn"), line_no)
            continue
        if parent is None or _name(parent) not in _FORMATS:
            continue
        if statement is None or statement.element is not parent:
            if statement is not None:
                yield statement.close()
            statement = _begin(parent, line_no, header)
            found = True
        statement.take(name, line_no, element)
    if statement is not None:
        yield statement.close()
    if not found:
        raise StatementFileError(
            "there is no Stmt, Rpt or Ntfctn: is it a camt.052, camt.053 or camt.054?", line_no=1
        )


def _begin(element: Element, line_no: int, page: tuple[int | None, bool | None]) -> _Open:
    source = _FORMATS[_name(element)]
    namespace = str(element.tag).rpartition("}")[0].removeprefix("{")
    if namespace and source not in namespace.lower():
        raise StatementFileError(
            f"the namespace is {namespace[:80]!r}, not one of {source}: is it a bank's statement?",
            line_no=line_no,
        )
    return _Open(element, source, line_no, page_no=page[0], is_last_page=page[1])


def _page(element: Element | None, line_no: int) -> tuple[int | None, bool | None]:
    number = text(element, "PgNb")
    if not number:
        return None, None
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise StatementFileError(
            f"{number[:32]!r} is no page: ask the bank for the file again",
            line_no=line_no, column="PgNb",
        )  # fmt: skip
    last = text(element, "LastPgInd").lower()
    return int(number), {"true": True, "1": True, "false": False, "0": False}.get(last)


def _amount(element: Element | None, line_no: int, place: str) -> int:
    if element is None:
        raise StatementFileError(
            "the amount is missing: ask the bank for the file again", line_no=line_no, column=place
        )
    read_currency(element.get("Ccy", ""), line_no=line_no, place=f"{place}@Ccy")
    return read_amount((element.text or "").strip(), line_no=line_no, place=place)


def _account_no(element: Element) -> str:
    return "".join(text(element, "Id/IBAN", "Id/Othr/Id", "Id/PrtryAcct/Id", "Id/BBAN").split())


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
