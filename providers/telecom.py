"""City Telecom's monthly bill file: XML, one ``Bill`` element a bill.

Source: docs/wire/bill-files.md, telecom.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, BinaryIO, ClassVar, Final, TypeVar, cast

from lxml import etree

from core.errors import BillFileError, Invalid
from core.money import parse_fen, parse_yuan
from providers.base import BillRecord, Heading, LineItem, RecordKind, Reject
from providers.formats import stated
from providers.formats.cells import (
    Remembered,
    date_reader,
    number_reader,
    read_text,
    read_version,
    shown,
)
from providers.formats.rows import (
    RowFault,
    Window,
    due_complaint,
    items_complaint,
    period_complaint,
    reject,
)
from providers.formats.text import GuardedStream
from providers.formats.totals import Totals, plain_number
from providers.profile_confirmation import ConfirmationTable
from providers.profiles import Service
from providers.telecom_confirmations import LISTS
from providers.telecom_terms import read_terms

_NS: Final = "{urn:citytelecom:bill:1}"
_ROOT, _BILL, _SUMMARY = f"{_NS}BillFile", f"{_NS}Bill", f"{_NS}Summary"
_BUDGET: Final = 1024 * 1024  # bytes within which one whole bill must pass: bounds memory
_KINDS: Final = {
    "issue": RecordKind.BILL, "cancel": RecordKind.CANCEL, "remind": RecordKind.REMIND,
}  # fmt: skip
_WINDOW: Final = Window(date(2000, 1, 1), 13)
_REQUIRED: Final = (
    "AccountNo", "Holder", "Address", "BillNo", "Period", "Issued", "Due", "Items", "Total",
)  # fmt: skip
_KNOWN: Final = frozenset((*_REQUIRED, "Version", "OriginalNo", "PayRule", "Options"))

_read_account_no = number_reader("account number", "[0-9]{8}", "8 digits")
_read_bill_no = number_reader(
    "bill number", "[0-9A-Z-]{1,20}", "up to 20 of the digits 0-9, the capitals A-Z and -"
)

Element = etree._Element
V = TypeVar("V")


class CityTelecom:
    """Reads City Telecom's bill file; see `BillFileReader`."""

    code: ClassVar[str] = "telecom"
    name: ClassVar[str] = "城市电信"
    name_en: ClassVar[str] = "City Telecom"
    service: ClassVar[Service] = "telecom"
    phone: ClassVar[str] = "000-0000-0004"  # an invented number
    biller_no: ClassVar[str] = "9004"
    confirmation: ClassVar[ConfirmationTable] = LISTS

    def __init__(self) -> None:
        self._day = Remembered(date_reader("yyyy-mm-dd")).__getitem__
        self._month = Remembered(date_reader("yyyy-mm")).__getitem__

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        guarded = GuardedStream(stream, budget=_BUDGET)
        try:
            yield from self._read(guarded)
        except etree.XMLSyntaxError as wrong:
            raise BillFileError(
                f"the XML is broken ({wrong.msg}): send the file again as its system wrote it",
                line_no=wrong.lineno,
            ) from None

    def _read(self, guarded: GuardedStream) -> Iterator[Heading | BillRecord | Reject]:
        totals, depth, summed = Totals(), 0, False
        for event, element in _events(guarded):
            if event == "start":
                depth += 1
                if depth == 1:
                    yield self._heading(element)
                elif depth == 2:
                    _check_child(element, after_summary=summed)
                continue
            depth -= 1
            if depth != 1:
                continue
            if element.tag == _SUMMARY:
                summed = True
                _prove(element, totals)
                continue
            yield self._bill(element, totals)
            guarded.allow()
            _forget(element)
        if not summed:
            totals.prove(1)
            raise BillFileError(
                "the file ends without its Summary: it was cut short; send it again"
            )

    def _heading(self, root: Element) -> Heading:
        """Refuse a document type, another encoding, and what is not a file of this company."""
        line_no = _line(root)
        about = root.getroottree().docinfo
        if about.internalDTD is not None or about.doctype:
            raise BillFileError("the file declares a DTD or entities: take it out", line_no=line_no)
        if root.tag != _ROOT:
            raise BillFileError(
                f"the file begins with {shown(str(root.tag))}, not with BillFile of"
                " urn:citytelecom:bill:1: check that this is City Telecom's bill file",
                line_no=line_no,
            )
        sequence = root.get("sequence", "")
        if not (sequence.isascii() and sequence.isdigit()):
            raise BillFileError(
                "BillFile has no sequence in digits: add it", line_no=line_no, column="sequence"
            )
        try:
            self._day(root.get("created", ""))
        except Invalid as wrong:
            raise BillFileError(wrong.message, line_no=line_no, column="created") from None
        return Heading(plain_number(sequence))

    def _bill(self, bill: Element, totals: Totals) -> BillRecord | Reject:
        """Read one ``Bill`` and count it."""
        line_no = _line(bill)
        totals.add(line_no, "Total", bill.findtext(f"{_NS}Total", ""), parse_yuan)
        try:
            return self._record(bill, line_no)
        except RowFault as fault:
            raw = etree.tostring(bill, encoding="unicode", with_tail=False)
            return reject(line_no, fault.column, fault.reason, raw)

    def _record(self, bill: Element, line_no: int) -> BillRecord:
        """Read one ``Bill``.

        Raises:
            RowFault: it is not one.
        """
        parts = _parts(bill)
        period = parts["Period"]
        issued_on, due_on = _text(parts, "Issued", self._day), _text(parts, "Due", self._day)
        month = _cell("month", period.get("month", ""), self._month)
        from_on = _cell("from", period.get("from", ""), self._day)
        to_on = _cell("to", period.get("to", ""), self._day)
        amount_fen = _text(parts, "Total", parse_yuan)
        kind = _cell("action", bill.get("action", ""), _read_action)
        original_no = _text(parts, "OriginalNo", _read_bill_no) if "OriginalNo" in parts else ""
        items = tuple(_item(item) for item in parts["Items"])
        items_fen = sum(item.amount_fen for item in items)
        for column, complaint in (
            ("month", _WINDOW.complaint(month, issued_on)),
            ("to", period_complaint(from_on, to_on)),
            ("Due", due_complaint(issued_on, due_on)),
            ("Total", items_complaint(items_fen, amount_fen) if items_fen != amount_fen else None),
            ("OriginalNo", stated.original_complaint(kind, original_no)),
        ):
            if complaint is not None:
                raise RowFault(column, complaint)
        return BillRecord(
            line_no=line_no,
            kind=kind,
            account_no=_text(parts, "AccountNo", _read_account_no),
            holder_name=_text(parts, "Holder", read_text),
            address=_text(parts, "Address", read_text),
            billing_month=month,
            bill_no=_text(parts, "BillNo", _read_bill_no),
            version=_text(parts, "Version", read_version) if "Version" in parts else 1,
            period_from_on=from_on,
            period_to_on=to_on,
            issued_on=issued_on,
            due_on=due_on,
            usage=None,
            usage_unit="",
            amount_fen=amount_fen,
            items=items,
            original_no=original_no,
            pay_terms=read_terms(parts.get("PayRule"), parts.get("Options"), self._day),
        )


def _events(guarded: GuardedStream) -> Iterator[tuple[str, Element]]:
    """Parse without entities, DTDs, network or depth, and without comments to pile up."""
    return cast(
        "Iterator[tuple[str, Element]]",
        etree.iterparse(
            cast(Any, guarded),
            events=("start", "end"),
            remove_comments=True,
            remove_pis=True,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        ),
    )


def _line(element: Element) -> int:
    """Return the line an element begins in."""
    return cast(int, element.sourceline)


def _forget(element: Element) -> None:
    """Free an element that was read, and everything before it: memory stays flat."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _check_child(element: Element, *, after_summary: bool) -> None:
    line_no = _line(element)
    if after_summary:
        raise BillFileError(
            "there is an element after Summary: one file, one Summary, at its end", line_no=line_no
        )
    if element.tag not in (_BILL, _SUMMARY):
        raise BillFileError(
            f"{shown(str(element.tag))} is no part of a bill file: only Bill and Summary are",
            line_no=line_no,
        )


def _prove(summary: Element, totals: Totals) -> None:
    """Hold the ``Summary`` against what was read."""
    line_no = _line(summary)
    count = summary.get("count", "")
    if not (count.isascii() and count.isdigit()) or len(count) > 15:
        raise BillFileError(
            f"{shown(count)} is not a number of bills: write digits 0-9",
            line_no=line_no, column="count",
        )  # fmt: skip
    try:
        sum_fen = parse_yuan(summary.get("total", ""))
    except Invalid as wrong:
        raise BillFileError(wrong.message, line_no=line_no, column="total") from None
    totals.prove(line_no, count=int(count), sum_fen=sum_fen, column="total")


def _parts(bill: Element) -> dict[str, Element]:
    """Return a bill's children by name, each once."""
    parts: dict[str, Element] = {}
    for child in bill:
        name = str(child.tag).removeprefix(_NS)
        if name not in _KNOWN:
            raise RowFault("", f"the bill has an element {shown(name)} that nobody agreed: drop it")
        if name in parts:
            raise RowFault(name, f"the bill has {name} twice: which one holds?")
        parts[name] = child
    for name in _REQUIRED:
        if name not in parts:
            raise RowFault(name, f"the bill has no {name}: add it")
    return parts


def _cell(column: str, text: str, convert: Callable[[str], V]) -> V:
    try:
        return convert(text)
    except Invalid as wrong:
        raise RowFault(column, wrong.message) from None


def _text(parts: dict[str, Element], name: str, convert: Callable[[str], V]) -> V:
    element = parts[name]
    if len(element):
        raise RowFault(name, f"{name} holds further elements: it must be plain text")
    return _cell(name, element.text or "", convert)


def _item(item: Element) -> LineItem:
    if item.tag != f"{_NS}Item":
        raise RowFault("Items", f"{shown(str(item.tag))} is no item: Items holds Item elements")
    name = _cell("name", item.get("name", ""), read_text)
    return LineItem(name, None, "", _cell("amount_fen", item.get("amount_fen", ""), parse_fen))


def _read_action(text: str) -> RecordKind:
    kind = _KINDS.get(text)
    if kind is None:
        raise Invalid(f"the action {shown(text)} is unknown: write issue, cancel or remind")
    return kind
