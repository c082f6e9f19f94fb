"""Bill files as they arrive: known by their bytes, kept until imported, told about afterwards."""

import hashlib
import io
from collections.abc import Iterator
from datetime import date, datetime
from itertools import count
from typing import BinaryIO, NamedTuple

from sqlalchemy import text, tuple_
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from billing.models import BillFile, BillFilePart, BillFileReject, BillFileStatus
from core import outbox
from core.clock import billing_date, day_bounds
from core.db import count_changed, transaction
from core.errors import BillFileError, Conflict, Invalid, NotFound

PART_BYTES = 1 << 20
MAX_FILE_BYTES = 4 << 30
PAGE = 50


def fingerprint(stream: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256 and the size of a stream, read to its end."""
    digest, size_bytes = hashlib.sha256(), 0
    while part := stream.read(PART_BYTES):
        digest.update(part)
        size_bytes += len(part)
    return digest.hexdigest(), size_bytes


def register(
    session: Session,
    provider_code: str,
    *,
    sha256: str,
    size_bytes: int,
    file_name: str,
    received_via: str,
    now: datetime,
) -> tuple[BillFile, bool]:
    """Enter a file, or find the one with the same bytes; the second value tells whether it is new.

    A file that was refused is tried again when it comes again: the fault may have been ours.
    """
    inserted = session.execute(
        text("""
            INSERT INTO bill_file (provider_code, sha256, file_name, size_bytes, received_via,
                received_at, status, status_at, rows, rows_done, created, unchanged, superseded,
                cancelled, rejected, total_fen)
            VALUES (:provider, :sha256, :name, :size, :via, :now, 'received', :now,
                    0, 0, 0, 0, 0, 0, 0, 0)
            ON CONFLICT (provider_code, sha256) DO NOTHING
        """),
        {
            "provider": provider_code, "sha256": sha256, "name": _storable(file_name),
            "size": size_bytes, "via": received_via, "now": now,
        },
    )  # fmt: skip
    known = select(BillFile).where(
        BillFile.provider_code == provider_code, BillFile.sha256 == sha256
    )
    bill_file = session.exec(known.with_for_update()).one()
    is_new = count_changed(inserted) == 1
    if bill_file.status is BillFileStatus.REFUSED:
        bill_file.status, bill_file.status_at = BillFileStatus.RECEIVED, now
        bill_file.complaint = None
        bill_file.sequence_no = None  # its number may be another file's by now
        is_new = True
    return bill_file, is_new


def _storable(file_name: str) -> str:
    """Return a file's name as the database can hold it, whatever bytes a disk or a form has."""
    return file_name.encode(errors="replace").decode().replace("\0", "?")[:200]


_TAKE_NUMBER = text("""
    UPDATE bill_file SET sequence_no = :sequence_no
    WHERE id = :id AND sequence_no IS DISTINCT FROM :sequence_no
""")


def take_number(session: Session, bill_file_id: int, sequence_no: str) -> None:
    """Note the company's own number of a file; it stands for one file, for ever (rule 40).

    The number of a file that was refused may be used again.

    Raises:
        BillFileError: another file of the company has landed, or is landing, under this number.
        Conflict: it was another's a moment ago, and is no more: try again.
    """
    try:
        with session.begin_nested():
            session.execute(_TAKE_NUMBER, {"id": bill_file_id, "sequence_no": sequence_no})
    except IntegrityError as taken:
        own = session.get_one(BillFile, bill_file_id)
        earlier = session.exec(
            select(BillFile).where(
                BillFile.provider_code == own.provider_code,
                BillFile.sequence_no == sequence_no,
                BillFile.status != BillFileStatus.REFUSED,
            )
        ).first()
        if earlier is None:
            raise Conflict("this file's number has just become free") from taken
        raise BillFileError(
            f"the file number {sequence_no} was used before, by {earlier.file_name!r} received on"
            f" {billing_date(earlier.received_at)}: send this file under a new number, or nothing"
            " if it is the same file"
        ) from None


def receive(
    session: Session,
    provider_code: str,
    stream: BinaryIO,
    *,
    file_name: str,
    received_via: str,
    now: datetime,
) -> BillFile:
    """Take in an uploaded file: keep its bytes and announce it. Same bytes, same row, no more.

    Raises:
        Invalid: the file is empty, or larger than we take.
    """
    sha256, size_bytes = fingerprint(stream)
    if size_bytes == 0:
        raise Invalid("the file is empty: nothing was sent", code="bill_file.empty")
    if size_bytes > MAX_FILE_BYTES:
        raise Invalid("the file is larger than 4 GiB: send it in parts", code="bill_file.too_large")
    bill_file, is_new = register(
        session, provider_code, sha256=sha256, size_bytes=size_bytes,
        file_name=file_name, received_via=received_via, now=now,
    )  # fmt: skip
    if is_new or _lacks_bytes(session, bill_file):
        assert bill_file.id is not None
        stream.seek(0)
        session.execute(
            text("DELETE FROM bill_file_part WHERE bill_file_id = :id"), {"id": bill_file.id}
        )
        part_no = 0
        while content := stream.read(PART_BYTES):
            session.add(BillFilePart(bill_file_id=bill_file.id, part_no=part_no, content=content))
            session.flush()
            session.expunge_all()
            part_no += 1
        outbox.emit(session, "bill_file.received", bill_file.id, now=now)
    return bill_file


def _lacks_bytes(session: Session, bill_file: BillFile) -> bool:
    """Tell whether an import has to be gone on with whose bytes we have not kept.

    The command line begins them from a disk of its own, and may be killed.
    """
    if bill_file.status is BillFileStatus.IMPORTED:
        return False
    kept = select(BillFilePart.part_no).where(BillFilePart.bill_file_id == bill_file.id).limit(1)
    return session.exec(kept).first() is None


class StoredFile(io.RawIOBase):
    """The bytes of an uploaded file, read part by part, each in a short transaction of its own."""

    def __init__(self, bill_file_id: int) -> None:
        super().__init__()
        self._parts = self._read_parts(bill_file_id)
        self._rest = b""

    @staticmethod
    def _read_parts(bill_file_id: int) -> Iterator[bytes]:
        for part_no in count():
            with transaction() as session:
                part = session.get(BillFilePart, (bill_file_id, part_no))
            if part is None:
                return
            yield part.content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = next(self._parts, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def get_bill_file(session: Session, bill_file_id: int) -> BillFile:
    """Return a bill file.

    Raises:
        NotFound: no such file.
    """
    bill_file = session.get(BillFile, bill_file_id)
    if bill_file is None:
        raise NotFound("there is no such bill file")
    return bill_file


class FileFilter(NamedTuple):
    """Which files; what is None does not matter."""

    provider_code: str | None = None
    status: BillFileStatus | None = None
    first_on: date | None = None  # the days they came
    last_on: date | None = None


def list_bill_files(
    session: Session, wanted: FileFilter, *, after: int | None = None, limit: int = PAGE
) -> list[BillFile]:
    """Return the newest files first.

    Args:
        after: the id of the last file of the page before.

    Raises:
        NotFound: there is no such file.
    """
    files = _matching(wanted)
    if after is not None:
        last = get_bill_file(session, after).received_at, after
        files = files.where(tuple_(col(BillFile.received_at), col(BillFile.id)) < last)
    return list(session.exec(files.limit(limit)))


def every_bill_file(session: Session, wanted: FileFilter) -> Iterator[BillFile]:
    """Yield all of them, the newest first."""
    yield from session.exec(_matching(wanted).execution_options(yield_per=1_000))


def _matching(wanted: FileFilter) -> SelectOfScalar[BillFile]:
    received_at = col(BillFile.received_at)
    files = select(BillFile).order_by(received_at.desc(), col(BillFile.id).desc())
    if wanted.provider_code is not None:
        files = files.where(BillFile.provider_code == wanted.provider_code)
    if wanted.status is not None:
        files = files.where(BillFile.status == wanted.status)
    if wanted.first_on is not None:
        files = files.where(received_at >= day_bounds(wanted.first_on)[0])
    if wanted.last_on is not None:
        files = files.where(received_at < day_bounds(wanted.last_on)[1])
    return files


def iter_rejects(
    session: Session, bill_file_id: int, *, limit: int | None = None
) -> Iterator[BillFileReject]:
    """Yield a file's rejects in file order."""
    wanted = (
        select(BillFileReject)
        .where(BillFileReject.bill_file_id == bill_file_id)
        .order_by(col(BillFileReject.line_no), col(BillFileReject.reject_no))
        .limit(limit)
    )
    yield from session.exec(wanted.execution_options(yield_per=1000))
