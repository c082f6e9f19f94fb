"""ISO 20022 pain.013, the creditor payment activation request: every transaction is a bill.

Source: docs/standards.md, ISO 20022. The order of the elements and the name of the namespace differ
from version to version (01 to 11) and from market to market; the names of the elements do not.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import BinaryIO, Final

from lxml import etree

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.cells import shown
from providers.formats.rows import RowFault, reject
from providers.profiles import Profile
from providers.standards.drafts import Judge, read_decimal
from providers.standards.local_names import LocalNames
from providers.standards.pain_013_bills import (
    SHARED,
    Header,
    Shared,
    draft_of,
    read_amount,
    read_header,
    read_shared,
    terms_of,
)
from providers.standards.xml_guard import Element, documents

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.013.001."
_DIGITS: Final = 15  # of a number of transactions
_REQUEST: Final = "CdtrPmtActvtnReq"
_TRANSACTIONS: Final = ("CdtTrfTx", "CdtTrfTxInf")
_PARTS: Final = LocalNames({"GrpHdr", *_TRANSACTIONS, *SHARED})


class Pain013Reader:
    """Reads a company's requests to pay; see `BillFileReader`."""

    def __init__(self, profile: Profile, judge: Judge | None = None) -> None:
        self._profile = profile
        self._judge = judge or Judge(profile)

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        message: _Message | None = None
        bills = 0
        for line_no, element in documents(stream, _PARTS):
            request = _request_of(element, line_no)
            if message is None or message.request is not request:
                if message is not None:
                    message.prove()
                message = _Message(request, line_no)
            name = _name(element)
            if name == "GrpHdr":
                first = not message.header.message_id and not bills
                message.header, message.line_no = read_header(element, line_no), line_no
                if first and message.header.message_id:
                    yield Heading(message.header.message_id)
            elif name in _TRANSACTIONS:
                bills += 1
                yield self._bill(message, line_no, element)
            else:
                message.share(element, name)
        if message is not None:
            message.prove()
        if not bills:
            raise BillFileError(
                "there is no CdtTrfTx, and so no bill: check that this is a pain.013 message",
                line_no=1,
            )

    def _bill(self, message: "_Message", line_no: int, element: Element) -> BillRecord | Reject:
        try:
            amount = read_amount(element)
            message.count(line_no, amount[0])
        except RowFault as fault:
            message.count_unread(line_no, fault)
            return reject(line_no, fault.column, fault.reason, _raw(element))
        shared = message.shared_by(element)
        try:
            draft = draft_of(line_no, element, message.header, shared, amount, self._profile)
            draft.raw = _raw(element)
            record = self._judge(draft)
        except RowFault as fault:
            return reject(line_no, fault.column, fault.reason, _raw(element))
        except Invalid as wrong:
            return reject(line_no, "", wrong.message, _raw(element))
        if isinstance(record, Reject):
            return record
        return record._replace(pay_terms=terms_of(element, shared))


class _Message:
    """One request: its header, what its payments share, and the control totals."""

    def __init__(self, request: Element, line_no: int) -> None:
        self.request = request
        self.line_no = line_no
        self.header = Header()
        self._block: Element | None = None
        self._shared = Shared()
        self._count = 0
        self._sum = Decimal(0)
        self._unread: tuple[int, RowFault] | None = None

    def shared_by(self, element: Element) -> Shared:
        """Return what the payments of an element's block share."""
        block = element.getparent()
        if block is not self._block:
            self._block, self._shared = block, Shared()
        return self._shared

    def share(self, element: Element, name: str) -> None:
        read_shared(self.shared_by(element), element, name)

    def count(self, line_no: int, amount: Decimal) -> None:
        self._count += 1
        self._sum += amount

    def count_unread(self, line_no: int, fault: RowFault) -> None:
        self._count += 1
        self._unread = self._unread or (line_no, fault)

    def prove(self) -> None:
        """Hold the header's totals against what was read.

        Raises:
            BillFileError: they differ, or a transaction without an amount forbids to tell.
        """
        stated = self.header.count
        if stated and not _is_number(stated, self._count):
            raise BillFileError(
                f"the header says {shown(stated)} transactions but {self._count} were read: it was"
                " cut or changed on the way; send it again",
                line_no=self.line_no,
                column="NbOfTxs",
            )
        if not self.header.control_sum:
            return
        if self._unread is not None:
            line_no, fault = self._unread
            raise BillFileError(
                "the control sum cannot be proven, because the amount of this transaction cannot be"
                f" read: {fault.reason}",
                line_no=line_no,
                column=fault.column,
            )
        try:
            total = read_decimal(self.header.control_sum)
        except Invalid as wrong:
            raise BillFileError(wrong.message, line_no=self.line_no, column="CtrlSum") from None
        if total != self._sum:
            raise BillFileError(
                f"the header says its amounts add up to {total:f} but they come to {self._sum:f}:"
                " it was changed on the way; send it again",
                line_no=self.line_no,
                column="CtrlSum",
            )


def _is_number(words: str, counted: int) -> bool:
    return words.isascii() and words.isdigit() and len(words) <= _DIGITS and int(words) == counted


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _request_of(element: Element, line_no: int) -> Element:
    """Return the request an element is a part of.

    Raises:
        BillFileError: it is part of another message.
    """
    message = element
    for holder in element.iterancestors():
        message = holder if _name(holder) != "Document" else message
        if _name(holder) == _REQUEST:
            _check_namespace(holder, line_no)
            return holder
    raise BillFileError(
        f"the message is {shown(_name(message))}, not a {_REQUEST}: check that this is a request to"
        " pay (pain.013)",
        line_no=line_no,
    )


def _check_namespace(request: Element, line_no: int) -> None:
    tag = str(request.tag)
    namespace = tag[1:].rpartition("}")[0] if tag.startswith("{") else ""
    if namespace and not namespace.startswith(_NAMESPACE):
        raise BillFileError(
            f"the namespace is {namespace[:80]!r}, not one of pain.013 ({_NAMESPACE}07)",
            line_no=line_no,
        )


def _raw(element: Element) -> str:
    return etree.tostring(element, encoding="unicode", with_tail=False)
