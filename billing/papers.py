"""What a company sends to a bill beside it: its own e-invoice (OFD, PDF, XML), a meter's photo.

We store and show them and index the number; we never issue an invoice. The bytes are judged by
what they are, not by what they are called, and are the company's: nothing of them is changed.
"""

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from lxml import etree
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import defer
from sqlmodel import Field, Session, SQLModel, col, select

from billing.bills import BillRef
from billing.models import Bill, UtilityAccount
from core.db import UtcDateTime, text_enum
from core.errors import Conflict, Invalid, NotFound
from core.keys import named_key

MOST_BYTES: Final = 2 << 20
_MOST_UNPACKED: Final = 20 << 20
_MOST_MEMBERS: Final = 500
_PACKED: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # GB/T 33190 knows no other
_NUMBER: Final = re.compile(r"[0-9]{8,20}")
# What the three carriers call the number in their machine-readable part.
_NUMBER_NAMES: Final = frozenset({"发票号码", "EIid", "InvoiceNo", "InvoiceNumber"})

_DAY_NAMES: Final = frozenset({"开票日期", "IssueTime", "IssueDate"})
_DAY: Final = re.compile(r"(20[0-9]{2})[-年]?([0-9]{2})[-月]?([0-9]{2})")


class PaperKind(StrEnum):
    INVOICE_PDF = "invoice_pdf"
    INVOICE_OFD = "invoice_ofd"  # GB/T 33190, a zip archive of XML
    INVOICE_XML = "invoice_xml"
    METER_PHOTO = "meter_photo"

    @property
    def is_invoice(self) -> bool:
        return self is not PaperKind.METER_PHOTO


KINDS: Final = {
    "application/pdf": PaperKind.INVOICE_PDF,
    "application/ofd": PaperKind.INVOICE_OFD,
    "application/xml": PaperKind.INVOICE_XML,
    "image/jpeg": PaperKind.METER_PHOTO,
    "image/png": PaperKind.METER_PHOTO,
}
_ENDS: Final = {
    "application/pdf": "pdf", "application/ofd": "ofd", "application/xml": "xml",
    "image/jpeg": "jpg", "image/png": "png",
}  # fmt: skip
_MARKS: Final = {
    "application/pdf": b"%PDF-", "application/ofd": b"PK\x03\x04",
    "image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n",
}  # fmt: skip


class BillPaper(SQLModel, table=True):
    """One of a company's papers, known by its bytes; an invoice's number once of each kind."""

    __tablename__ = "bill_paper"
    __table_args__ = (
        CheckConstraint(
            f"size_bytes = octet_length(content) AND size_bytes BETWEEN 1 AND {MOST_BYTES}",
            name="size",
        ),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_whole"),
        CheckConstraint(
            "CASE WHEN kind = 'meter_photo' THEN invoice_no = ''"
            " ELSE invoice_no ~ '^[0-9]{8,20}$' AND issued_on IS NOT NULL END",
            name="invoice_has_number",
        ),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
        UniqueConstraint("account_id", "bill_id", "kind", "invoice_no"),
        Index(
            "ix_bill_paper_invoice_no", "invoice_no", "account_id",
            postgresql_where=text("invoice_no <> ''"),
        ),
    )  # fmt: skip

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    sha256: str = Field(primary_key=True)
    kind: PaperKind = Field(sa_column=Column(text_enum(PaperKind), nullable=False))
    invoice_no: str = ""
    issued_on: date | None = None
    media_type: str
    size_bytes: int
    content: bytes = Field(sa_type=LargeBinary)
    recorded_at: datetime = Field(sa_type=UtcDateTime)

    @property
    def end(self) -> str:
        """How its file's name ends: ``"ofd"``."""
        return _ENDS[self.media_type]


class Paper(NamedTuple):
    """A paper as it is brought; of a photo, number and day are blank."""

    media_type: str
    content: bytes
    invoice_no: str = ""
    issued_on: date | None = None


def billed(
    session: Session, provider_code: str, account_no: str, month: date, bill_no: str
) -> Bill:
    """Return a company's bill by its own names.

    Raises:
        NotFound: we hold no such bill of theirs.
    """
    account = session.exec(
        select(UtilityAccount).where(
            UtilityAccount.provider_code == provider_code, UtilityAccount.account_no == account_no
        )
    ).first()
    key = named_key(month, bill_no)
    bill = None if account is None else session.get(Bill, (account.id, key))
    if bill is None or bill.bill_no != bill_no:
        raise NotFound(
            "we hold no such bill of yours: check account_no, billing_month and bill_no, and send"
            " the bill before its papers",
            code="paper.no_bill",
        )
    return bill


def put_paper(
    session: Session, bill: Bill, paper: Paper, *, now: datetime
) -> tuple[BillPaper, bool]:
    """Keep a paper of a bill; returns it and whether it is new. A newer photo replaces the old.

    Raises:
        Invalid: it is not what it is said to be, too large, or its number does not fit.
        Conflict: other bytes are kept under this invoice number, or these under another.
    """
    kind = check_paper(paper)
    mark = hashlib.sha256(paper.content).hexdigest()
    session.get_one(Bill, (bill.account_id, bill.id), with_for_update=True)
    kept = session.get(BillPaper, (bill.account_id, bill.id, mark))
    if kept is not None:
        if kept.invoice_no != paper.invoice_no:
            raise Conflict(
                f"these bytes are kept as invoice {kept.invoice_no}: a file has one number",
                code="paper.number_taken",
            )
        return kept, False
    same = select(BillPaper).where(
        BillPaper.account_id == bill.account_id, BillPaper.bill_id == bill.id,
        BillPaper.kind == kind, BillPaper.invoice_no == paper.invoice_no,
    )  # fmt: skip
    row = session.exec(same).first()
    if row is not None and kind.is_invoice:
        raise Conflict(
            f"other bytes are kept as invoice {paper.invoice_no}: an issued invoice stays as it is;"
            " send what replaces it under its own number",
            code="paper.other_bytes",
        )
    if row is None:
        row = BillPaper(
            account_id=bill.account_id, bill_id=bill.id, sha256=mark, kind=kind,
            invoice_no=paper.invoice_no, issued_on=paper.issued_on, media_type=paper.media_type,
            size_bytes=len(paper.content), content=paper.content, recorded_at=now,
        )  # fmt: skip
    else:
        row.sha256, row.media_type, row.issued_on = mark, paper.media_type, paper.issued_on
        row.content, row.size_bytes, row.recorded_at = paper.content, len(paper.content), now
    session.add(row)
    session.flush()
    return row, True


def check_paper(paper: Paper) -> PaperKind:
    """Tell what kind of paper it is, once it is known to be one.

    Raises:
        Invalid: it is not.
    """
    kind = KINDS.get(paper.media_type)
    if kind is None:
        raise Invalid(f"declare it as one of {', '.join(KINDS)} in Content-Type", code="paper.type")
    if not 0 < len(paper.content) <= MOST_BYTES:
        raise Invalid(
            f"it has {len(paper.content):,} bytes: send 1 to {MOST_BYTES:,}", code="paper.size"
        )
    mark = _MARKS.get(paper.media_type, b"")
    if not paper.content.startswith(mark):
        raise _other(paper.media_type)
    if kind.is_invoice:
        _check_number(paper, kind)
    elif paper.invoice_no or paper.issued_on:
        raise Invalid("a photo has no invoice number and no day", code="paper.number")
    return kind


def _other(media_type: str) -> Invalid:
    return Invalid(
        f"the bytes are not {media_type}: declare what they are, or send the file whole",
        code="paper.other_type",
    )


def _check_number(paper: Paper, kind: PaperKind) -> None:
    if _NUMBER.fullmatch(paper.invoice_no) is None or paper.issued_on is None:
        raise Invalid(
            "name the invoice: invoice_no of 8 to 20 digits (数电发票: 20) and issued_on,"
            " such as 2026-11-01",
            code="paper.number",
        )
    found = set[str]()
    if kind is PaperKind.INVOICE_OFD:
        found = _numbers(_ofd_root(paper.content))
    elif kind is PaperKind.INVOICE_XML:
        found = _numbers(_xml_root(paper.content, "application/xml"))
    if found and paper.invoice_no not in found:
        raise Invalid(
            f"the file itself says invoice {min(found)}: send it under its own number",
            code="paper.number_differs",
        )


def stated(paper: Paper) -> Paper:
    """Return an invoice with the number and day it states itself, where nothing was said of them.

    Raises:
        Invalid: it is not what it is said to be.
    """
    if paper.media_type == "application/ofd":
        root = _ofd_root(paper.content)
    elif paper.media_type == "application/xml":
        root = _xml_root(paper.content, paper.media_type)
    else:
        return paper
    numbers, days = _numbers(root), _days(root)
    number = paper.invoice_no or (min(numbers) if len(numbers) == 1 else "")
    day = paper.issued_on or (min(days) if len(days) == 1 else None)
    return paper._replace(invoice_no=number, issued_on=day)


def _ofd_root(content: bytes) -> etree._Element:
    """Return ``OFD.xml`` of an OFD file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            unpacked = sum(one.file_size for one in members)
            if len(members) > _MOST_MEMBERS or unpacked > _MOST_UNPACKED:
                raise Invalid(
                    "the OFD file unpacks to more than an invoice has: send the invoice alone",
                    code="paper.size",
                )
            if archive.getinfo("OFD.xml").compress_type not in _PACKED:
                raise _other("application/ofd")
            # Never more than was counted: what an archive says of its members may be a lie.
            with archive.open("OFD.xml") as member:
                root = member.read(_MOST_UNPACKED)
    except (
        zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, EOFError,
        ValueError,
    ):  # fmt: skip
        raise _other("application/ofd") from None
    return _xml_root(root, "application/ofd")


def _xml_root(content: bytes, media_type: str) -> etree._Element:
    """Return the root of a document that has no DTD, so that nothing in it stands for more."""
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        raise _other(media_type) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Invalid("the XML declares a DTD: send it without", code="paper.other_type")
    return root


def _numbers(root: etree._Element) -> set[str]:
    """Return the invoice numbers an XML part states: several carriers, several names."""
    return {one for one in _said_under(root, _NUMBER_NAMES) if _NUMBER.fullmatch(one)}


def _days(root: etree._Element) -> set[date]:
    """Return the days of issue an XML part states; a day that is none is not stated."""
    found = (_DAY.match(one) for one in _said_under(root, _DAY_NAMES))
    days = set[date]()
    for one in filter(None, found):
        with suppress(ValueError):
            days.add(date(*map(int, one.groups())))
    return days


def _said_under(root: etree._Element, names: Collection[str]) -> Iterator[str]:
    for one in root.iter(etree.Element):
        if (one.get("Name") or etree.QName(one).localname) in names:
            yield (one.text or "").strip()


def list_papers(session: Session, ref: BillRef) -> list[BillPaper]:
    """Return a bill's papers without their bytes: photos last, invoices by number."""
    of_bill = (
        select(BillPaper)
        .where(BillPaper.account_id == ref[0], BillPaper.bill_id == ref[1])
        .order_by(col(BillPaper.invoice_no).desc(), col(BillPaper.kind), col(BillPaper.sha256))
    )
    return list(session.exec(of_bill.options(defer(BillPaper.content))))  # type: ignore[arg-type]


def get_paper(
    session: Session, ref: BillRef, sha256: str, accounts: Collection[int]
) -> BillPaper:  # fmt: skip
    """Return one paper of a bill of one of ``accounts``, with its bytes.

    Raises:
        NotFound: there is none, or it is not theirs: the two are not told apart.
    """
    found = session.get(BillPaper, (*ref, sha256)) if ref[0] in accounts else None
    if found is None:
        raise NotFound("there is no such paper")
    return found


def find_by_invoice_no(
    session: Session, accounts: Collection[int] | None, typed: str, *, limit: int = 20
) -> list[BillRef]:
    """Return the bills an invoice of this number was sent for, of some accounts or (None) of all.

    The whole number, as it is printed; blanks in it do not matter. What is no number finds nothing.
    """
    number = "".join(typed.split())
    if _NUMBER.fullmatch(number) is None or (accounts is not None and not accounts):
        return []
    key = (col(BillPaper.account_id), col(BillPaper.bill_id))
    wanted = select(*key).where(BillPaper.invoice_no == number)
    if accounts is not None:
        wanted = wanted.where(col(BillPaper.account_id).in_(list(accounts)))
    found = session.exec(wanted.distinct().order_by(*key).limit(limit))
    return [(account_id, bill_id) for account_id, bill_id in found]
