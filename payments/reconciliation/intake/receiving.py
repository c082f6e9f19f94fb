"""Files of gateways, companies and banks as they come in, whichever way: kept, read, matched.

The row is the job. A file is matched in one transaction with its row's last word, so a kill at any
moment leaves it undone, and the next attempt begins anew. docs/books-in.md.
"""

import hashlib
import zlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import BinaryIO, NamedTuple, Self

from sqlalchemy import text
from sqlmodel import Session, col, select

from core import outbox
from core.errors import Invalid, NotFound
from payments.reconciliation.intake.models import OVER, BookFile, BookFilePart, BookState, CameBy
from payments.reconciliation.models import Leg
from payments.statements.base import clean

MAX_FILE_BYTES = 512 << 20
PART_BYTES = 1 << 20
BANK = "bank"  # the source of every statement: whose account it is stands inside


class Given(NamedTuple):
    """What is said of a file when it comes; what is not is found out from the file."""

    leg: Leg | None = None
    source: str = ""
    day: date | None = None
    profile: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing has to be found out: a bank's file tells its days and accounts itself."""
        if self.leg is Leg.BANK:
            return bool(self.profile)
        return self.leg is not None and bool(self.source) and self.day is not None

    def __str__(self) -> str:
        parts = (self.leg.value if self.leg else "", self.source, self.day or "", self.profile)
        return "/".join(map(str, parts)).strip("/")

    def named(self) -> Self:
        """Return it with the source of what has none of its own: a bank's."""
        return self._replace(source=BANK) if self.leg is Leg.BANK else self

    @classmethod
    def of(cls, row: BookFile) -> Self:
        return cls(row.leg, row.source, row.day, row.profile)


class Way(NamedTuple):
    """How a file came, and by whom."""

    came_by: CameBy
    person_id: int | None = None
    sender: str = ""


class Content(NamedTuple):
    """A file's bytes, and what they are known by."""

    raw: bytes
    sha256: str

    @classmethod
    def read(cls, stream: BinaryIO) -> Self:
        """Read a file whole.

        Raises:
            Invalid: it is larger than we take.
        """
        raw = stream.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise Invalid(
                f"the file is larger than {MAX_FILE_BYTES >> 20} MiB: send it in parts",
                code="book_file.too_large",
            )
        return cls(raw, hashlib.sha256(raw).hexdigest())


_ENTER = text("""
    INSERT INTO book_file (sha256, given_as, file_name, size_bytes, leg, source, day, profile,
        came_by, brought_by, sender, received_at, state, state_at, rows_done, rows_of, told)
    VALUES (:sha256, :given_as, :name, :size, :leg, :source, :day, :profile,
            :came_by, :person_id, :sender, :now, 'waiting', :now, 0, 0, '{}')
    ON CONFLICT (sha256, given_as) DO NOTHING
    RETURNING id
""")


def receive(
    session: Session, stream: BinaryIO, given: Given, way: Way, *, file_name: str, now: datetime
) -> BookFile:
    """Keep a file and have it read; the same bytes again are the same row, and nothing more.

    One that was refused is read again when it comes again: the fault may have been ours.

    Raises:
        Invalid: it is empty, or larger than we take.
    """
    content = Content.read(stream)
    if not content.raw:
        raise Invalid("the file is empty: nothing was sent", code="book_file.empty")
    row, is_new = enter(session, content, given, way, file_name=file_name, now=now)
    if is_new or row.state is BookState.REFUSED:
        have_read(session, row, now=now)
    return row


def enter(
    session: Session, content: Content, given: Given, way: Way, *, file_name: str, now: datetime
) -> tuple[BookFile, bool]:
    """Enter a file with its bytes, or find its row; the second value tells whether it is new."""
    given = given.named()
    known = _known(session, content.sha256) if given == Given() else None
    entered = None
    if known is None:
        values = {
            "sha256": content.sha256, "given_as": str(given), "name": plain_name(file_name),
            "size": len(content.raw), "leg": given.leg and given.leg.value,
            "source": given.source, "day": given.day, "profile": given.profile,
            "came_by": way.came_by.value, "person_id": way.person_id, "sender": way.sender,
            "now": now,
        }  # fmt: skip
        entered = session.execute(_ENTER, values).scalar()
    wanted = select(BookFile).where(BookFile.sha256 == content.sha256).with_for_update()
    if known is not None:
        wanted = wanted.where(BookFile.id == known)
    else:
        wanted = wanted.where(BookFile.given_as == str(given))
    row = session.exec(wanted).one()
    assert row.id is not None
    if not is_kept(session, row.id):
        _keep_bytes(session, row.id, content.raw)
    return row, entered is not None


def plain_name(file_name: str) -> str:
    """Return what a file is called, as the database can hold it: anybody may name a file."""
    return clean(file_name)[:200] or "file"


def _known(session: Session, sha256: str) -> int | None:
    """Return the row these bytes have, whatever was said of them when they came."""
    newest = text("SELECT id FROM book_file WHERE sha256 = :sha256 ORDER BY id DESC LIMIT 1")
    found: int | None = session.execute(newest, {"sha256": sha256}).scalar()
    return found


def _keep_bytes(session: Session, book_file_id: int, raw: bytes) -> None:
    for part_no, start in enumerate(range(0, len(raw), PART_BYTES)):
        packed = zlib.compress(raw[start : start + PART_BYTES], 1)
        session.add(BookFilePart(book_file_id=book_file_id, part_no=part_no, packed=packed))
        session.flush()
        session.expire_all()


def have_read(session: Session, row: BookFile, *, now: datetime) -> None:
    """Have a file read, from its beginning."""
    row.state, row.state_at, row.complaint, row.line_no = BookState.WAITING, now, None, None
    row.rows_done = row.rows_of = 0
    session.flush()
    outbox.emit(session, "book_file.received", row.id, now=now)


def read_again(session: Session, book_file_id: int, *, now: datetime) -> BookFile:
    """Have a file read and matched once more; one that is being read goes on.

    Raises:
        NotFound: there is no such file.
        Invalid: its bytes are not kept any more.
    """
    row = get_book_file(session, book_file_id, lock=True)
    if row.state in OVER:
        if not is_kept(session, book_file_id):
            raise Invalid(
                "the file itself is not kept any more: bring it in again", code="book_file.gone"
            )
        have_read(session, row, now=now)
    return row


def say_whose(session: Session, book_file_id: int, given: Given, *, now: datetime) -> BookFile:
    """Say what a file is that nobody could tell, and have it read.

    Raises:
        NotFound: there is no such file.
    """
    row = get_book_file(session, book_file_id, lock=True)
    if row.state in (BookState.UNCLEAR, BookState.REFUSED):
        row.leg, row.source, row.day, row.profile = given.named()
        have_read(session, row, now=now)
    return row


def get_book_file(session: Session, book_file_id: int, *, lock: bool = False) -> BookFile:
    """Return a file's row.

    Raises:
        NotFound: there is no such file.
    """
    row = session.get(BookFile, book_file_id, with_for_update=lock or None)
    if row is None:
        raise NotFound("there is no such file", code="book_file.unknown")
    return row


def bytes_of(session: Session, book_file_id: int) -> bytes:
    """Return a file's bytes; none: they are not kept any more."""
    parts = session.exec(
        select(BookFilePart.packed)
        .where(BookFilePart.book_file_id == book_file_id)
        .order_by(col(BookFilePart.part_no))
    )
    return b"".join(map(zlib.decompress, parts))


def is_kept(session: Session, book_file_id: int) -> bool:
    """Tell whether a file's bytes are kept still."""
    return session.get(BookFilePart, (book_file_id, 0)) is not None


_FORGET = text("""
    DELETE FROM book_file_part p USING book_file f
    WHERE f.id = p.book_file_id AND f.state IN ('done', 'refused', 'unclear')
      AND f.state_at < :before
""")


def forget_bytes(session: Session, *, before: datetime) -> None:
    """Forget the bytes of what was done with before a moment; what was made of them stays."""
    session.execute(_FORGET, {"before": before})


def whose(given: Mapping[str, str], day: date | None) -> Given:
    """Return what a person chose of a list of ``leg/source`` and a day; nothing: find out.

    Raises:
        Invalid: no such choice.
    """
    leg, _, source = given.get("whose", "").partition("/")
    if not leg:
        return Given(day=day)
    if leg not in set(Leg):
        raise Invalid(f"{leg!r} is neither gateway, company nor bank", code="book_file.whose")
    if leg == Leg.BANK:
        return Given(Leg.BANK, BANK, None, source)
    return Given(Leg(leg), source, day)
