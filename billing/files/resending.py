"""A company's own files: found again, and a refused one sent again, as it was or corrected."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from billing.models import BillFile, BillFilePart, BillFileStatus
from core import outbox
from core.db import UtcDateTime, count_changed
from core.errors import Conflict, NotFound


class BillFileReplacement(SQLModel, table=True):
    """A corrected file that was sent in place of a refused one."""

    __tablename__ = "bill_file_replacement"
    __table_args__ = (CheckConstraint("bill_file_id <> replaced_id", name="another_file"),)

    bill_file_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("bill_file.id", ondelete="CASCADE"), primary_key=True
        )
    )
    replaced_id: int = Field(
        sa_column=Column(
            BigInteger,
            ForeignKey("bill_file.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        )
    )
    replaced_at: datetime = Field(sa_type=UtcDateTime)


class Replacements(NamedTuple):
    """The files a file stands in place of, and those that stand in its place."""

    of: list[BillFile]
    by: list[BillFile]


def company_file(session: Session, bill_file_id: int, provider_code: str) -> BillFile:
    """Return a file of a company.

    Raises:
        NotFound: there is none, or it is another company's: the two are told apart by nobody.
    """
    bill_file = session.get(BillFile, bill_file_id)
    if bill_file is None or bill_file.provider_code != provider_code:
        raise NotFound("there is no such bill file")
    return bill_file


def company_files(
    session: Session,
    provider_code: str,
    *,
    status: BillFileStatus | None = None,
    name: str = "",
    before_id: int | None = None,
    limit: int,
) -> tuple[list[BillFile], bool]:
    """Return a company's files, the newest first; the second value tells whether there are more.

    Args:
        name: a piece of the file's name.
        before_id: begin after this one.
    """
    wanted = select(BillFile).where(BillFile.provider_code == provider_code)
    if status is not None:
        wanted = wanted.where(BillFile.status == status)
    if name:
        wanted = wanted.where(col(BillFile.file_name).icontains(name, autoescape=True))
    if before_id is not None:
        wanted = wanted.where(col(BillFile.id) < before_id)
    found = session.exec(wanted.order_by(col(BillFile.id).desc()).limit(limit + 1)).all()
    return list(found[:limit]), len(found) > limit


def bytes_are_kept(session: Session, bill_file_id: int) -> bool:
    """Tell whether a file can be read again as it came."""
    kept = select(BillFilePart.part_no).where(BillFilePart.bill_file_id == bill_file_id).limit(1)
    return session.exec(kept).first() is not None


def read_again(session: Session, bill_file_id: int, *, now: datetime) -> None:
    """Have a refused file read once more as it came: its profile may have been mended since.

    Raises:
        Conflict: it was not refused, or its bytes are no longer kept.
    """
    bill_file = session.get_one(BillFile, bill_file_id, with_for_update=True)
    if bill_file.status is not BillFileStatus.REFUSED:
        raise Conflict("this file was not refused: there is nothing to do again")
    if not bytes_are_kept(session, bill_file_id):
        raise Conflict("the file's bytes are no longer kept: upload it again")
    bill_file.status, bill_file.status_at = BillFileStatus.RECEIVED, now
    bill_file.complaint = None
    bill_file.sequence_no = None  # its number may be another file's by now
    outbox.emit(session, "bill_file.received", bill_file_id, now=now)


def replace(session: Session, bill_file: BillFile, *, replaced_id: int, now: datetime) -> None:
    """Note that a file was sent in place of a refused one; the same bytes are the same file.

    Raises:
        Conflict: the other file was not refused.
    """
    if bill_file.id != replaced_id:
        if session.get_one(BillFile, replaced_id).status is not BillFileStatus.REFUSED:
            raise Conflict("this file was not refused: send the new one as a file of its own")
        session.execute(
            insert(BillFileReplacement)
            .values(bill_file_id=bill_file.id, replaced_id=replaced_id, replaced_at=now)
            .on_conflict_do_nothing()
        )


def replacements(session: Session, bill_file_id: int) -> Replacements:
    """Return how a file is bound to those sent before and after it."""
    link = BillFileReplacement
    of = select(BillFile).join(link, col(link.replaced_id) == BillFile.id)
    by = select(BillFile).join(link, col(link.bill_file_id) == BillFile.id)
    return Replacements(
        list(session.exec(of.where(link.bill_file_id == bill_file_id))),
        list(session.exec(by.where(link.replaced_id == bill_file_id).order_by(col(BillFile.id)))),
    )


# What was wrong with it is told for ever; its bytes go.
_FORGET = text("""
    DELETE FROM bill_file_part p USING bill_file f
    WHERE f.id = p.bill_file_id AND f.status = 'refused'
      AND f.status_at < CAST(:now AS timestamptz) - make_interval(days => :days)
""")


def forget_refused(session: Session, *, days: int, now: datetime) -> int:
    """Delete the bytes of files refused longer ago than that; returns how many pieces."""
    done = session.execute(_FORGET, {"days": days, "now": now})
    return count_changed(done)
