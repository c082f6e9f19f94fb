"""A company's papers sent by hand: many files at once, each matched to its bill and told of.

A file is kept by the rules and in the place of the API's (``billing.papers``), in a transaction of
its own together with the row that says what became of it: an upload broken off is sent again whole.
"""

import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    delete,
)
from sqlmodel import Field, Session, SQLModel, col, func, select

from billing.models import Bill
from billing.paper_names import INDEX, Named, media_type_of, read_index, read_name
from billing.papers import MOST_BYTES, BillPaper, Paper, PaperKind, billed, put_paper, stated
from core.db import HotStatement, UtcDateTime, text_enum, transaction
from core.errors import CityBillError, Conflict, Invalid, NotFound
from core.keys import month_range, named_key

MOST_FILES: Final = 500
MOST_SENT_BYTES: Final = 64 << 20
_MOST_UNPACKED: Final = 256 << 20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_KEPT: Final = timedelta(days=400)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError,
    ValueError,
)  # fmt: skip


class Outcome(StrEnum):
    KEPT = "kept"
    REPLACED = "replaced"  # a newer photo
    THERE = "there"  # these very bytes were kept before
    REFUSED = "refused"


class PaperUpload(SQLModel, table=True):
    """One sending of files; ``month`` is that of the bills whose month nothing else says."""

    __tablename__ = "paper_upload"
    __table_args__ = (
        CheckConstraint("extract(day FROM month) = 1", name="month_begins"),
        Index("ix_paper_upload_of_company", "provider_code", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    month: date
    sent_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    sent_at: datetime = Field(sa_type=UtcDateTime)


class PaperUploadFile(SQLModel, table=True):
    """What became of one file; of a refused one why, as a code and in words."""

    __tablename__ = "paper_upload_file"
    __table_args__ = (
        CheckConstraint("(outcome = 'refused') = (code <> '')", name="refusal_says"),
        Index("ix_paper_upload_file_bill_no", "bill_no", "upload_id"),
    )

    upload_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("paper_upload.id", ondelete="CASCADE"), primary_key=True
        )
    )
    no: int = Field(primary_key=True)
    file_name: str
    bill_no: str
    outcome: Outcome = Field(sa_column=Column(text_enum(Outcome), nullable=False))
    code: str = ""
    reason: str = ""


class _Entry(NamedTuple):
    """One file, read only when its turn comes."""

    name: str
    read: Callable[[], bytes]


def take_in(
    provider_code: str, files: Sequence[tuple[str, BinaryIO]], month: date, *, by: int,
    now: datetime,
) -> int:  # fmt: skip
    """Keep what was sent and write down what became of each file; returns the upload's number.

    Args:
        files: names and bytes; a zip stands for the files in it.

    Raises:
        Invalid: nothing was taken, because there is too much of it, or a zip or index is broken.
    """
    with ExitStack() as opened:
        entries = [one for name, stream in files for one in _entries(name, stream, opened)]
        papers = [one for one in entries if PurePosixPath(one.name).name.lower() != INDEX]
        index: dict[str, Named] = {}
        for one in entries:
            if one not in papers:
                index |= read_index(one.read(), month)
        if not 0 < len(papers) <= MOST_FILES:
            raise Invalid(f"send 1 to {MOST_FILES} files at once", code="papers.too_many")
        with transaction() as session:
            upload = PaperUpload(provider_code=provider_code, month=month, sent_by=by, sent_at=now)
            session.add(upload)
            session.flush()
        assert upload.id is not None
        named = [(one, _named(one.name, index, month)) for one in papers]
        accounts = _accounts_of(provider_code, [said for _, said in named])
        for no, (entry, said) in enumerate(named, start=1):
            row = PaperUploadFile(
                upload_id=upload.id, no=no, file_name=PurePosixPath(entry.name).name[:200],
                bill_no=said.bill_no if isinstance(said, Named) else "", outcome=Outcome.REFUSED,
            )  # fmt: skip
            _take(row, provider_code, entry, said, accounts, now)
    return upload.id


def _entries(name: str, stream: BinaryIO, opened: ExitStack) -> Iterator[_Entry]:
    if not name.lower().endswith(".zip"):
        plain = name.replace("\0", "?")  # which no column holds
        yield _Entry(plain, partial(stream.read, MOST_BYTES + 1))
        return
    try:
        archive = opened.enter_context(zipfile.ZipFile(stream))
    except _BROKEN:
        raise Invalid(f"{name} is no zip archive that can be read", code="papers.zip") from None
    members = [one for one in archive.infolist() if not _is_litter(one.filename)]
    unpacked = sum(one.file_size for one in members)
    if len(members) > MOST_FILES + 1 or unpacked > _MOST_UNPACKED:
        raise Invalid(
            f"{name} unpacks to more than {MOST_FILES} files or {_MOST_UNPACKED >> 20} MB:"
            " send it in parts",
            code="papers.too_many",
        )
    for one in members:
        if one.flag_bits & 1 or one.compress_type not in _METHODS:
            raise Invalid(
                f"{name} is locked or packed in an odd way: pack it as an ordinary zip",
                code="papers.zip",
            )
        yield _Entry(one.filename, partial(_unpacked, archive, one))


def _is_litter(name: str) -> bool:
    path = PurePosixPath(name)
    left = path.name in (".DS_Store", "Thumbs.db", "desktop.ini") or path.name.startswith("._")
    return name.endswith("/") or "__MACOSX" in path.parts or left


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member, never more of it than a paper has: what an archive says may be a lie."""
    try:
        with archive.open(member) as stream:
            return stream.read(MOST_BYTES + 1)
    except _BROKEN:
        raise Invalid(
            "it is damaged in the zip: pack and send it again", code="papers.zip"
        ) from None


def _named(name: str, index: dict[str, Named], month: date) -> Named | Invalid:
    plain = PurePosixPath(name).name
    if plain in index:
        return index[plain]
    try:
        return read_name(plain, month)
    except Invalid as wrong:
        return wrong


# The whole month is looked through, once for all files: bills have no index by their number alone.
_BY_NUMBER = HotStatement("""
    SELECT b.id, b.bill_no, u.account_no FROM bill b
    JOIN utility_account u ON u.id = b.account_id AND u.provider_code = :provider_code
    WHERE b.id >= :first_id AND b.id < :after_id AND b.id = ANY(:keys)
""")
_Accounts = dict[tuple[date, str], list[str]]


def _accounts_of(provider_code: str, named: Sequence[Named | Invalid]) -> _Accounts:
    """Return whose bills those are that are named by their number alone."""
    wanted: dict[date, set[str]] = defaultdict(set)
    for one in named:
        if isinstance(one, Named) and not one.account_no:
            wanted[one.month].add(one.bill_no)
    found: _Accounts = defaultdict(list)
    for month, numbers in sorted(wanted.items()):
        first_id, after_id = month_range(month)
        values = {
            "provider_code": provider_code, "first_id": first_id, "after_id": after_id,
            "keys": [named_key(month, one) for one in numbers],
        }  # fmt: skip
        with transaction() as session:
            for _, bill_no, account_no in _BY_NUMBER.rows(session, values):
                found[month, bill_no].append(account_no)
    return found


def _take(
    row: PaperUploadFile, provider_code: str, entry: _Entry, said: Named | Invalid,
    accounts: _Accounts, now: datetime,
) -> None:  # fmt: skip
    """Keep one file, or write down why not."""
    try:
        if isinstance(said, Invalid):
            raise said
        paper = _paper(entry, said)
        with transaction() as session:
            bill = _bill(session, provider_code, said, accounts)
            row.outcome = _put(session, bill, paper, now)
            session.add(row)
    except (Invalid, NotFound, Conflict) as refused:
        _note_refusal(row, refused)


def _note_refusal(row: PaperUploadFile, refused: CityBillError) -> None:
    told = PaperUploadFile(**row.model_dump())
    told.outcome, told.code, told.reason = Outcome.REFUSED, refused.code, str(refused)
    with transaction() as session:
        session.add(told)


def _paper(entry: _Entry, said: Named) -> Paper:
    media_type = media_type_of(entry.name)
    if not media_type:
        raise Invalid("send PDF, OFD, XML, JPEG or PNG", code="paper.type")
    content = entry.read()
    if len(content) > MOST_BYTES:
        raise Invalid(f"it has more than {MOST_BYTES:,} bytes", code="paper.size")
    return stated(Paper(media_type, content, said.invoice_no, said.issued_on))


def _bill(session: Session, provider_code: str, said: Named, accounts: _Accounts) -> Bill:
    if said.account_no:
        return billed(session, provider_code, said.account_no, said.month, said.bill_no)
    found = accounts.get((said.month, said.bill_no), [])
    if len(found) > 1:
        raise Invalid(
            f"{len(found)} bills have this number: name the account in {INDEX}",
            code="paper.two_bills",
        )
    return billed(session, provider_code, found[0] if found else "", said.month, said.bill_no)


def _put(session: Session, bill: Bill, paper: Paper, now: datetime) -> Outcome:
    session.get_one(Bill, (bill.account_id, bill.id), with_for_update=True)
    photos = select(func.count()).where(
        BillPaper.account_id == bill.account_id, BillPaper.bill_id == bill.id,
        BillPaper.kind == PaperKind.METER_PHOTO,
    )  # fmt: skip
    had_photo = session.exec(photos).one() > 0
    kept, is_new = put_paper(session, bill, paper, now=now)
    if not is_new:
        return Outcome.THERE
    return Outcome.REPLACED if had_photo and not kept.kind.is_invoice else Outcome.KEPT


def get_upload(session: Session, upload_id: int, provider_code: str) -> PaperUpload:
    """Return a company's upload.

    Raises:
        NotFound: no such upload, or not one of theirs.
    """
    found = session.get(PaperUpload, upload_id)
    if found is None or found.provider_code != provider_code:
        raise NotFound("there is no such upload")
    return found


def list_files(
    session: Session, upload_id: int, *, refused_only: bool = False
) -> list[PaperUploadFile]:
    """Return the files of an upload, as they were sent."""
    files = select(PaperUploadFile).where(PaperUploadFile.upload_id == upload_id)
    if refused_only:
        files = files.where(PaperUploadFile.outcome == Outcome.REFUSED)
    return list(session.exec(files.order_by(col(PaperUploadFile.no))))


_COUNTS = HotStatement("""
    SELECT upload_id, count(*)::int, count(*) FILTER (WHERE outcome = 'refused')::int
    FROM paper_upload_file WHERE upload_id = ANY(:ids) GROUP BY 1
""")


class Listed(NamedTuple):
    """An upload in a list, with how many files it had."""

    upload: PaperUpload
    files: int
    refused: int


def list_uploads(
    session: Session, provider_code: str, *, bill_no: str = "", before_id: int | None = None,
    limit: int,
) -> tuple[list[Listed], bool]:  # fmt: skip
    """Return a company's uploads, the newest first; then whether there are more.

    Args:
        bill_no: only those that brought something for this bill.
    """
    wanted = select(PaperUpload).where(PaperUpload.provider_code == provider_code)
    if bill_no:
        of_bill = select(PaperUploadFile.upload_id).where(PaperUploadFile.bill_no == bill_no)
        wanted = wanted.where(col(PaperUpload.id).in_(of_bill))
    if before_id is not None:
        wanted = wanted.where(col(PaperUpload.id) < before_id)
    found = session.exec(wanted.order_by(col(PaperUpload.id).desc()).limit(limit + 1)).all()
    shown = found[:limit]
    counted = {
        upload_id: (files, refused)
        for upload_id, files, refused in _COUNTS.rows(session, {"ids": [one.id for one in shown]})
    }
    return [Listed(one, *counted.get(one.id, (0, 0))) for one in shown], len(found) > limit


def forget(session: Session, *, now: datetime) -> None:
    """Forget what became of files sent long ago; the papers themselves stay with their bills."""
    session.execute(delete(PaperUpload).where(col(PaperUpload.sent_at) < now - _KEPT))
