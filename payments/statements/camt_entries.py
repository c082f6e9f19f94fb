"""One entry of a camt statement: what moved, and what is told of each transaction in it.

Source: docs/wire/bank-statements.md, camt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from core.errors import Invalid
from payments.statements.base import (
    Entry,
    StatementFileError,
    clean,
    is_reference,
    read_amount,
    read_currency,
    references_of,
)
from providers.formats.dates import date_reader
from providers.standards.xml_guard import Element, every, first, read_day, text

_SIGNS: Final = {"CRDT": 1, "DBIT": -1}
_BOOKED: Final = {"BOOK": True, "PDNG": False, "INFO": False, "FUTR": False}
_TRUE: Final = ("true", "1")
_FULL: Final = 140  # of an Ustrd: one that is full goes on in the next without a blank
_NUMBERED: Final = ("CdtrRefInf/Ref", "CdtrRefInf/CdtrRef", "RfrdDocInf/Nb", "RfrdDocInf/RfrdDocNb")
_WHOLE: Final = ("AcctSvcrRef", "NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId", "Btch/PmtInfId")
_moment = date_reader("datetime")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """What an entry says for all of its transactions."""

    line_no: int
    number: str
    amount_fen: int
    is_reversal: bool
    is_booked: bool
    booked_on: date
    value_on: date | None
    references: tuple[str, ...]
    words: str
    bank_code: str


def read_entry(
    element: Element, line_no: int, *, number: str, source: str, made_on: date | None
) -> list[Entry]:
    """Read an entry: one, or one for each of its transactions where their amounts make it up.

    Args:
        element: Ntry.
        line_no: where it stands.
        number: its own, where the bank gives none.
        source: the format, such as camt.053.
        made_on: the statement's day, for an entry that has none.

    Raises:
        StatementFileError: malformed, or of another currency.
    """
    whole = _read_whole(element, line_no, number, source, made_on)
    details = every(element, "NtryDtls/TxDtls") or every(element, "TxDtls")
    if len(details) < 2:
        return [_entry(whole, details, whole.number, whole.amount_fen)]
    amounts = [_detail_amount(detail, whole) for detail in details]
    if None in amounts or sum(fen for fen in amounts if fen is not None) != whole.amount_fen:
        return [_entry(whole, details, whole.number, whole.amount_fen)]
    numbers = [clean(text(detail, "Refs/AcctSvcrRef")) for detail in details]
    if len({*numbers, whole.number}) <= len(numbers) or not all(map(is_reference, numbers)):
        numbers = [f"{whole.number}.{at}" for at in range(1, len(details) + 1)]
    return [
        _entry(whole, [detail], number, fen, batch_no=whole.number)
        for detail, number, fen in zip(details, numbers, amounts, strict=True)
        if fen is not None
    ]


def _read_whole(
    element: Element, line_no: int, number: str, source: str, made_on: date | None
) -> _Whole:
    amount = first(element, "Amt")
    if amount is None:
        raise StatementFileError(
            "the entry has no Amt: ask the bank for the file again", line_no=line_no, column="Ntry"
        )
    read_currency(amount.get("Ccy", ""), line_no=line_no, place="Ntry/Amt@Ccy")
    fen = read_amount((amount.text or "").strip(), line_no=line_no, place="Ntry/Amt")
    # Which way the money went, of a reversal as well: RvslInd only says that it went back.
    sign = read_sign(text(element, "CdtDbtInd"), line_no, "Ntry/CdtDbtInd")
    value_on = read_day_of(first(element, "ValDt/Dt", "ValDt/DtTm", "ValDt"), line_no, "ValDt")
    booked_on = read_day_of(first(element, "BookgDt/Dt", "BookgDt/DtTm"), line_no, "BookgDt")
    booked_on = booked_on or value_on or made_on
    if booked_on is None:
        raise StatementFileError(
            "the entry has no day: ask the bank for the file again",
            line_no=line_no, column="Ntry/BookgDt",
        )  # fmt: skip
    theirs = clean(text(element, "AcctSvcrRef"))
    return _Whole(
        line_no=line_no,
        number=theirs if is_reference(theirs) else number,
        amount_fen=sign * fen,
        is_reversal=text(element, "RvslInd").lower() in _TRUE,
        is_booked=_is_booked(element, line_no, source),
        booked_on=booked_on,
        value_on=value_on,
        references=tuple(_texts(element, _WHOLE)),
        words=text(element, "AddtlNtryInf"),
        bank_code=_code(element),
    )


def _entry(
    whole: _Whole, details: Sequence[Element], number: str, fen: int, batch_no: str = ""
) -> Entry:
    """Make an entry of a whole and what is told of it; of several parties none is the other one."""
    names, accounts = set(), set()
    for detail in details:
        name, account = _other(detail, into=(fen >= 0) is not whole.is_reversal)
        names.add(name)
        accounts.add(account)
    return Entry(
        entry_no=number,
        line_no=whole.line_no,
        booked_on=whole.booked_on,
        value_on=whole.value_on,
        amount_fen=fen,
        is_reversal=whole.is_reversal,
        is_booked=whole.is_booked,
        batch_no=batch_no,
        references=references_of(
            *(one for detail in details for one in _references(detail)), *whole.references
        ),
        other_name=names.pop() if len(names) == 1 else "",
        other_account_no=accounts.pop() if len(accounts) == 1 else "",
        words=clean(" ".join([*map(_words, details), whole.words])),
        bank_code=next(filter(None, map(_code, details)), whole.bank_code),
    )


def read_sign(mark: str, line_no: int, place: str) -> int:
    """Return 1 for a credit, -1 for a debit.

    Raises:
        StatementFileError: neither.
    """
    sign = _SIGNS.get(mark.upper())
    if sign is None:
        raise StatementFileError(
            f"{mark[:16]!r} is neither CRDT nor DBIT: ask the bank for the file again",
            line_no=line_no, column=place,
        )  # fmt: skip
    return sign


def read_day_of(element: Element | None, line_no: int, place: str) -> date | None:
    """Read a date or a moment, which counts on its day in Shanghai; None where there is none.

    Raises:
        StatementFileError: it is neither.
    """
    words = "" if element is None else (element.text or "").strip()
    try:
        return _moment(words) if "T" in words else read_day(words)
    except Invalid as wrong:
        raise StatementFileError(wrong.message, line_no=line_no, column=place) from wrong


def _is_booked(element: Element, line_no: int, source: str) -> bool:
    """Read Sts, a plain code or a choice of codes; only a statement may be silent: it is booked."""
    code = text(element, "Sts/Cd", "Sts/Prtry", "Sts").upper()
    if not code and source == "camt.053":
        return True
    if code not in _BOOKED:
        raise StatementFileError(
            f"the status {code[:16]!r} is none of {', '.join(_BOOKED)}: is it booked?",
            line_no=line_no, column="Ntry/Sts",
        )  # fmt: skip
    return _BOOKED[code]


def _detail_amount(detail: Element, whole: _Whole) -> int | None:
    """Return what one transaction moved, or None where it is not told in yuan."""
    amount = first(detail, "Amt", "AmtDtls/TxAmt/Amt")
    if amount is None:
        return None
    try:
        read_currency(amount.get("Ccy", ""), line_no=whole.line_no, place="TxDtls/Amt@Ccy")
    except StatementFileError:
        return None  # the order's currency, not the account's
    words = (amount.text or "").strip()
    fen = read_amount(words, line_no=whole.line_no, place="TxDtls/Amt")
    mark = text(detail, "CdtDbtInd")
    sign = read_sign(mark, whole.line_no, "TxDtls/CdtDbtInd") if mark else 0
    return fen * (sign or (1 if whole.amount_fen >= 0 else -1))


def _other(detail: Element, *, into: bool) -> tuple[str, str]:
    """Return the name and the account of who paid us, or whom we paid."""
    role, last = ("Dbtr", "UltmtDbtr") if into else ("Cdtr", "UltmtCdtr")
    parties = first(detail, "RltdPties")
    name = text(parties, f"{role}/Nm", f"{role}/Pty/Nm", f"{last}/Nm", f"{last}/Pty/Nm")
    account = text(parties, f"{role}Acct/Id/IBAN", f"{role}Acct/Id/Othr/Id")
    return clean(name), "".join(account.split())


def _words(detail: Element) -> str:
    pieces = [one.text or "" for one in every(detail, "RmtInf/Ustrd")]
    told = "".join(piece if len(piece) >= _FULL else f"{piece} " for piece in pieces)
    return f"{told} {text(detail, 'AddtlTxInf')}"


def _references(detail: Element) -> list[str]:
    """Return all that Refs holds, and the numbers of what was paid."""
    found = []
    for refs in every(detail, "Refs"):
        for one in refs.iterchildren("{*}*"):
            found.append(text(one, "Ref") if len(one) else one.text or "")
    for paid in every(detail, "RmtInf/Strd"):
        found += _texts(paid, _NUMBERED)
    return found


def _texts(element: Element, paths: Sequence[str]) -> list[str]:
    return [one.text or "" for path in paths for one in every(element, path)]


def _code(element: Element) -> str:
    family = (
        text(element, "BkTxCd/Domn/Cd"),
        text(element, "BkTxCd/Domn/Fmly/Cd"),
        text(element, "BkTxCd/Domn/Fmly/SubFmlyCd"),
    )
    return "-".join(filter(None, family)) or text(element, "BkTxCd/Prtry/Cd")
