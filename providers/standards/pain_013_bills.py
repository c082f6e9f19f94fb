"""One transaction of a pain.013 message, and what it shares with the others of its block."""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from core.errors import Invalid
from providers.base import AmountRule, Exactness, LineItem, PayTerms
from providers.formats.cells import shown
from providers.formats.rows import RowFault
from providers.profiles import Profile
from providers.standards.drafts import Draft, flat, line_item, read_decimal
from providers.standards.xml_guard import Element, every, first, read_day, text

_PLACES: Final = {
    "account_no": "Dbtr", "bill_no": "RfrdDocInf/Nb", "amount": "InstdAmt", "currency": "Ccy",
    "issued": "CreDtTm", "due": "ReqdExctnDt", "holder_name": "Dbtr/Nm", "items": "RmtInf",
}  # fmt: skip
_NOT_PROVIDED: Final = frozenset({"NOTPROVIDED", "NOT PROVIDED", "NONREF", "NA", "N/A"})
_CUSTOMER: Final = "CUST"  # the scheme of an identification that is a customer's number
_TOKENS: Final = 20  # words of a remittance text that are looked at
_ADDRESS: Final = (
    "Dept", "SubDept", "StrtNm", "BldgNb", "BldgNm", "Flr", "Room", "PstBx", "TwnLctnNm",
    "DstrctNm", "PstCd", "TwnNm", "CtrySubDvsn", "Ctry",
)  # fmt: skip
# What a document of a remittance adds to the payment, and what it takes from it.
_ADDS: Final = ("DuePyblAmt", "RmtdAmt")
_TAKES: Final = ("CdtNoteAmt", "DscntApldAmt/Amt", "DscntApldAmt")
_ISO_11649 = re.compile(r"RF[0-9]{2}[0-9A-Z]{1,21}")

Candidates = list[tuple[str, str]]


@dataclass(slots=True)
class Header:
    """``GrpHdr``."""

    message_id: str = ""
    created_on: date | None = None
    count: str = ""
    control_sum: str = ""


@dataclass(slots=True)
class Shared:
    """What stands in ``PmtInf`` and holds for every payment of it."""

    due_on: date | None = None
    expires_on: date | None = None
    may_be_changed: bool | None = None
    holder_name: str = ""
    address: str = ""
    accounts: Candidates = field(default_factory=list)
    fault: RowFault | None = None  # of something unreadable: of every payment then


SHARED: Final = (
    "PmtInfId", "ReqdExctnDt", "XpryDt", "PmtCond", "Dbtr", "DbtrAcct", "UltmtDbtr",
)  # fmt: skip


def read_header(element: Element, line_no: int) -> Header:
    """Read a ``GrpHdr``; a moment that is no date is as good as none."""
    try:
        created_on = read_day(text(element, "CreDtTm"))
    except Invalid:
        created_on = None
    return Header(
        flat(text(element, "MsgId")), created_on, text(element, "NbOfTxs"), text(element, "CtrlSum")
    )


def read_shared(shared: Shared, element: Element, name: str) -> None:
    """Take note of one element of a ``PmtInf``."""
    try:
        if name == "ReqdExctnDt":
            shared.due_on = _day_of(element)
        elif name == "XpryDt":
            shared.expires_on = _day_of(element)
    except Invalid as wrong:
        shared.fault = RowFault(name, wrong.message)
    if name == "PmtCond":
        shared.may_be_changed = _may_be_changed(element)
    elif name in ("Dbtr", "UltmtDbtr"):
        shared.accounts += _of_party(element, name)
        if name == "UltmtDbtr" or not shared.holder_name:
            shared.holder_name = flat(text(element, "Nm")) or shared.holder_name
            shared.address = _address(element) or shared.address
    elif name == "DbtrAcct":
        shared.accounts += _of_account(element)
    elif name == "PmtInfId":
        shared.accounts.append((flat(element.text), "PmtInfId"))


def _day_of(element: Element | None) -> date | None:
    """Read a date that is a choice of ``Dt`` and ``DtTm``, or plain as in the older versions.

    A moment's day is the one that is written: the writer's own, wherever we are.
    """
    if element is None:
        return None
    return read_day(text(element, "Dt", "DtTm") or (element.text or "").strip())


def _may_be_changed(condition: Element | None) -> bool | None:
    words = text(condition, "AmtModAllwd").lower()
    return {"true": True, "1": True, "false": False, "0": False}.get(words)


def _of_party(party: Element | None, name: str) -> Candidates:
    """Return a party's numbers, those that are called a customer's first."""
    found: Candidates = []
    for form in ("Id/PrvtId/Othr", "Id/OrgId/Othr"):
        for other in every(party, form):
            scheme = text(other, "SchmeNm/Cd", "SchmeNm/Prtry")
            number = (flat(text(other, "Id")), f"{name}/{form}/Id")
            found.insert(0, number) if scheme == _CUSTOMER else found.append(number)
    return found


def _of_account(account: Element | None) -> Candidates:
    paths = ("Id/Othr/Id", "Id/IBAN", "Prxy/Id")
    return [(flat(text(account, path)), f"DbtrAcct/{path}") for path in paths]


def _address(party: Element | None) -> str:
    address = first(party, "PstlAdr")
    lines = [flat(line.text) for line in every(address, "AdrLine")]
    parts = [flat(text(address, name)) for name in _ADDRESS]
    return ", ".join(part for part in (*lines, *parts) if part)


def read_amount(transaction: Element) -> tuple[Decimal, str]:
    """Return what a transaction asks for, and the currency.

    Raises:
        RowFault: nothing, nothing readable, or so much in another currency.
    """
    instructed = first(transaction, "Amt/InstdAmt", "InstdAmt")
    if instructed is None:
        if first(transaction, "Amt/EqvtAmt") is not None:
            raise RowFault(
                "EqvtAmt",
                "the amount is the equivalent of another currency and known only when it is paid:"
                " write InstdAmt, in the currency of the bill",
            )
        raise RowFault("InstdAmt", "the transaction states no amount: write Amt/InstdAmt")
    try:
        return read_decimal(instructed.text or ""), (instructed.get("Ccy") or "").strip()
    except Invalid as wrong:
        raise RowFault("InstdAmt", wrong.message) from None


def terms_of(transaction: Element, shared: Shared) -> PayTerms | None:
    """Return how a bill may be paid, where its conditions say so."""
    allowed = _may_be_changed(first(transaction, "PmtCond"))
    allowed = shared.may_be_changed if allowed is None else allowed
    if allowed is None:
        return None
    return PayTerms(AmountRule(Exactness.ANY if allowed else Exactness.EXACT))


def draft_of(
    line_no: int,
    transaction: Element,
    header: Header,
    shared: Shared,
    amount: tuple[Decimal, str],
    profile: Profile,
) -> Draft:
    """Make the draft of one transaction.

    Raises:
        RowFault: something in it cannot be read.
    """
    if shared.fault is not None:
        raise shared.fault
    documents = every(transaction, "RmtInf/Strd/RfrdDocInf")
    references = _references(transaction)
    numbers = list(dict.fromkeys(number for d in documents if (number := flat(text(d, "Nb")))))
    issued_on = _document_day(documents) or header.created_on
    ends = [first(transaction, "UltmtDbtr"), first(transaction, "Dbtr")]
    return Draft(
        line_no=line_no,
        raw="",
        accounts=_accounts(transaction, shared, references, numbers),
        bill_no=_bill_no(transaction, references, numbers, header, profile),
        holder_name=next((n for end in ends if (n := flat(text(end, "Nm")))), shared.holder_name),
        address=next((a for end in ends if (a := _address(end))), shared.address),
        issued_on=issued_on,
        due_on=_due_on(shared, issued_on),
        currency=amount[1],
        amount=amount[0],
        items=_items(transaction, amount[0]),
        places=_PLACES,
    )


def _document_day(documents: list[Element]) -> date | None:
    for document in documents:
        try:
            day = _day_of(first(document, "RltdDt"))
        except Invalid as wrong:
            raise RowFault("RltdDt", wrong.message) from None
        if day is not None:
            return day
    return None


def _due_on(shared: Shared, issued_on: date | None) -> date | None:
    """Return the day of execution, or the day of expiry where the former leaves none to pay in."""
    due_on, expires_on = shared.due_on, shared.expires_on
    leaves_none = due_on is None or (issued_on is not None and due_on <= issued_on)
    if leaves_none and expires_on is not None and (issued_on is None or expires_on > issued_on):
        return expires_on
    return due_on


def _references(transaction: Element) -> list[str]:
    """Return the creditor's references, each with its check digits right.

    Raises:
        RowFault: those of an ISO 11649 reference are wrong.
    """
    found = []
    for held in every(transaction, "RmtInf/Strd/CdtrRefInf"):
        reference = flat(text(held, "Ref"))
        compact = reference.replace(" ", "").upper()
        is_iso = text(held, "Tp/CdOrPrtry/Cd") == "SCOR" or text(held, "Tp/Issr") == "ISO"
        if is_iso and compact.startswith("RF"):
            if _ISO_11649.fullmatch(compact) is None or _remainder(compact) != 1:
                raise RowFault(
                    "CdtrRefInf/Ref",
                    f"the check digits of the reference {shown(reference)} are wrong (ISO 11649):"
                    " a digit was mistyped; correct it",
                )
            reference = compact
        if reference:
            found.append(reference)
    return list(dict.fromkeys(found))


def _remainder(reference: str) -> int:
    turned = reference[4:] + reference[:4]
    return int("".join(str(int(mark, 36)) for mark in turned)) % 97


def _identifications(transaction: Element) -> list[tuple[str, str]]:
    found = [(flat(text(transaction, f"PmtId/{name}")), name)
             for name in ("EndToEndId", "InstrId", "UETR")]  # fmt: skip
    return [pair for pair in found if pair[0] and pair[0].upper() not in _NOT_PROVIDED]


def _bill_no(
    transaction: Element,
    references: list[str],
    numbers: list[str],
    header: Header,
    profile: Profile,
) -> str:
    """Return the invoice's number; of a payment for several, or none, what names the payment."""
    own = [number for number, _ in _identifications(transaction)]
    own += [header.message_id] if header.count == "1" else []
    made = [*numbers, *references, *own] if len(numbers) == 1 else [*references, *own, *numbers]
    fits = re.compile(profile.bill_no.pattern, re.ASCII).fullmatch
    return next((number for number in made if fits(number)), made[0] if made else "")


def _accounts(
    transaction: Element, shared: Shared, references: list[str], numbers: list[str]
) -> Candidates:
    found: Candidates = []
    for name in ("UltmtDbtr", "Dbtr"):
        found += _of_party(first(transaction, name), name)
    found += _of_account(first(transaction, "DbtrAcct"))
    found += sorted(shared.accounts, key=lambda pair: pair[1] == "PmtInfId")
    found += _of_party(first(transaction, "RmtInf/Strd/Invcee"), "Invcee")
    found += [(reference, "CdtrRefInf/Ref") for reference in references]
    found += [(number, "RfrdDocInf/Nb") for number in numbers]
    details = every(transaction, "RmtInf/Strd/RfrdDocInf/LineDtls")[:_TOKENS]
    found += [(flat(text(detail, "Id/Nb")), "LineDtls/Id/Nb") for detail in details]
    found += [pair for pair in _identifications(transaction) if pair[1] != "UETR"]
    words = " ".join(flat(note.text) for note in every(transaction, "RmtInf/Ustrd"))
    tokens = re.split(r"[\s:;,#()]+", words)[:_TOKENS]
    found += [(token.strip("."), "RmtInf/Ustrd") for token in tokens]
    return list(dict.fromkeys(pair for pair in found if pair[0]))


def _items(transaction: Element, amount: Decimal) -> list[LineItem]:
    """Return the documents' lines where they come to the amount; else one, by what is said of it.

    Raises:
        RowFault: an amount of theirs cannot be read.
    """
    said = flat(" ".join(note.text or "" for note in every(transaction, "RmtInf/Ustrd")))
    for lines in (_detail_lines(transaction), _document_lines(transaction)):
        if lines and sum(each for _, each in lines) == amount:
            return [line_item(name[:200], each) for name, each in lines]
    return [line_item(said[:200], amount)] if said else []


def _detail_lines(transaction: Element) -> list[tuple[str, Decimal]]:
    lines = []
    for detail in every(transaction, "RmtInf/Strd/RfrdDocInf/LineDtls"):
        name = flat(text(detail, "Desc")) or flat(text(detail, "Id/Nb")) or "line"
        lines += _amounts(first(detail, "Amt"), name)
    return lines


def _document_lines(transaction: Element) -> list[tuple[str, Decimal]]:
    lines = []
    for block in every(transaction, "RmtInf/Strd"):
        number = flat(text(block, "RfrdDocInf/Nb") or text(block, "CdtrRefInf/Ref"))
        note = flat(text(block, "AddtlRmtInf"))
        lines += _amounts(first(block, "RfrdDocAmt"), note or number or "document")
    return lines


def _amounts(held: Element | None, name: str) -> list[tuple[str, Decimal]]:
    """Return what a document comes to: its amount, less what is taken from it."""
    try:
        added = next((e for path in _ADDS for e in every(held, path)), None)
        lines = [] if added is None else [(name, read_decimal(added.text or ""))]
        taken = [e for path in _TAKES for e in every(held, path) if (e.text or "").strip()]
        lines += [(f"{name}: reduction", -read_decimal(each.text or "")) for each in taken]
        for change in every(held, "AdjstmntAmtAndRsn"):
            sign = -1 if text(change, "CdtDbtInd") == "CRDT" else 1
            reason = flat(text(change, "AddtlInf") or text(change, "Rsn")) or "adjustment"
            lines.append((reason, sign * read_decimal(text(change, "Amt"))))
    except Invalid as wrong:
        raise RowFault("RfrdDocAmt", wrong.message) from None
    return lines
