"""Papers by the hundred thousand: a company's bills of a month, or every household's statement.

A batch is cut into shares of a thousand; each is one job and becomes one volume, a PDF of its own.
A worker that is killed leaves its share as it was, and the next one draws it anew: a volume is put
in its place whole, in the transaction that says so, so none is there twice and none is missing.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from shutil import rmtree
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    text,
    update,
)
from sqlmodel import Field, Session, SQLModel, col, func, select

from billing.models import BillFile
from core import outbox
from core.db import HotStatement, UtcDateTime, text_enum, transaction
from core.errors import Conflict, Invalid, NotFound
from core.keys import month_range

SHARE: Final = 1_000  # documents in a volume


class BatchKind(StrEnum):
    BILLS = "bills"  # of one company
    STATEMENTS = "statements"  # of every household


class BatchState(StrEnum):
    ORDERED = "ordered"
    MAKING = "making"
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # its volumes are gone


LIVE: Final = (BatchState.ORDERED, BatchState.MAKING)


class DocumentBatch(SQLModel, table=True):
    """What somebody wants printed, and how far it is."""

    __tablename__ = "document_batch"
    __table_args__ = (
        CheckConstraint("(kind = 'bills') = (provider_code IS NOT NULL)", name="bills_of_company"),
        CheckConstraint("bill_file_id IS NULL OR kind = 'bills'", name="file_of_bills"),
        CheckConstraint("extract(day FROM month) = 1", name="month_begins"),
        CheckConstraint(
            "(state IN ('ordered', 'making')) = (ended_at IS NULL)", name="end_says_when"
        ),
        Index("ix_document_batch_provider_code_id", "provider_code", "id"),
        # Pressed twice, it is made once.
        Index(
            "uq_document_batch_live", "kind", "provider_code", "month", "bill_file_id", unique=True,
            postgresql_where=text("state IN ('ordered', 'making')"),
            postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    kind: BatchKind = Field(sa_column=Column(text_enum(BatchKind), nullable=False))
    provider_code: str | None = None
    month: date
    bill_file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("bill_file.id"))
    )
    state: BatchState = Field(
        default=BatchState.ORDERED, sa_column=Column(text_enum(BatchState), nullable=False)
    )
    ordered_by: int | None = Field(  # nobody: the command line
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    ordered_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DocumentShare(SQLModel, table=True):
    """One volume: the subjects from one key to another, both included.

    A subject is a bill (account, bill) or a household (household, 0).
    """

    __tablename__ = "document_share"
    __table_args__ = (
        CheckConstraint("looked_at BETWEEN 0 AND subjects", name="looked_within"),
        CheckConstraint("documents BETWEEN 0 AND subjects", name="documents_within"),
        CheckConstraint(
            "(made_at IS NULL) = (sha256 IS NULL) AND (made_at IS NULL OR looked_at = subjects)",
            name="made_whole",
        ),
    )

    batch_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("document_batch.id"), primary_key=True)
    )
    no: int = Field(primary_key=True)
    first_id: int = Field(sa_type=BigInteger)
    first_bill_id: int = Field(default=0, sa_type=BigInteger)
    last_id: int = Field(sa_type=BigInteger)
    last_bill_id: int = Field(default=0, sa_type=BigInteger)
    subjects: int
    looked_at: int = 0  # how many of them its worker is through with
    documents: int = 0  # a household to which nothing happened has none
    file_bytes: int = Field(default=0, sa_type=BigInteger)
    sha256: str | None = None
    made_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Progress(NamedTuple):
    """How far a batch is."""

    subjects: int
    looked_at: int
    documents: int
    volumes: int
    made: int
    file_bytes: int

    @property
    def percent(self) -> int:
        return 100 * self.looked_at // self.subjects if self.subjects else 0


def order(
    session: Session, kind: BatchKind, *, provider_code: str | None, month: date, by: int | None,
    bill_file_id: int | None = None, now: datetime,
) -> DocumentBatch:  # fmt: skip
    """Have a month's papers made.

    Args:
        by: None: from the command line.
        bill_file_id: only those bills whose present version came in this file.

    Raises:
        Conflict: the same is being made already.
        Invalid: the company has no such file, or it brought no bill of this month.
    """
    if bill_file_id is not None:
        _check_file(session, bill_file_id, provider_code or "", month)
    live = select(DocumentBatch.id).where(
        DocumentBatch.kind == kind, DocumentBatch.month == month,
        col(DocumentBatch.provider_code).is_not_distinct_from(provider_code),
        col(DocumentBatch.bill_file_id).is_not_distinct_from(bill_file_id),
        col(DocumentBatch.state).in_(LIVE),
    )  # fmt: skip
    if session.exec(live).first() is not None:
        raise Conflict("these papers are being made already", code="documents.being_made")
    batch = DocumentBatch(
        kind=kind, provider_code=provider_code, month=month, bill_file_id=bill_file_id,
        ordered_by=by, ordered_at=now,
    )  # fmt: skip
    session.add(batch)
    session.flush()
    outbox.emit(session, "document_batch.ordered", batch.id, now=now)
    return batch


_MONTHS_OF_FILE = HotStatement(
    "SELECT DISTINCT billing_month FROM bill WHERE bill_file_id = :bill_file_id ORDER BY 1"
)


def _check_file(session: Session, bill_file_id: int, provider_code: str, month: date) -> None:
    file = session.get(BillFile, bill_file_id)
    if file is None or file.provider_code != provider_code:
        raise Invalid(
            f"{provider_code} sent no file No. {bill_file_id}: its number is in the list of files",
            code="documents.no_file",
        )
    found = _MONTHS_OF_FILE.rows(session, {"bill_file_id": bill_file_id})
    if (month,) not in found:
        brought = ", ".join(f"{one:%Y-%m}" for (one,) in found) or "–"
        raise Invalid(
            f"file No. {bill_file_id} brought no bill of {month:%Y-%m}, but of {brought}",
            code="documents.other_month", months=brought,
        )  # fmt: skip


_BILLS = """
    SELECT b.account_id AS a, b.id AS b FROM bill b
    JOIN utility_account u ON u.id = b.account_id AND u.provider_code = :provider_code
    WHERE b.id >= :first_id AND b.id < :after_id AND b.cancelled_at IS NULL
      AND (CAST(:bill_file_id AS bigint) IS NULL OR b.bill_file_id = :bill_file_id)
"""
_HOUSEHOLDS = """
    SELECT h.id AS a, 0 AS b FROM household h
    WHERE EXISTS (SELECT FROM household_account o WHERE o.household_id = h.id)
"""
_CUT = """
    INSERT INTO document_share (batch_id, no, first_id, first_bill_id, last_id, last_bill_id,
                                subjects, looked_at, documents, file_bytes)
    SELECT :batch_id, no, (array_agg(a ORDER BY a, b))[1], (array_agg(b ORDER BY a, b))[1],
           (array_agg(a ORDER BY a DESC, b DESC))[1], (array_agg(b ORDER BY a DESC, b DESC))[1],
           count(*), 0, 0, 0
    FROM (SELECT a, b, 1 + (row_number() OVER (ORDER BY a, b) - 1) / :share AS no
          FROM ({subjects}) s) n
    GROUP BY no RETURNING no
"""
_CUTS = {
    BatchKind.BILLS: HotStatement(_CUT.format(subjects=_BILLS)),
    BatchKind.STATEMENTS: HotStatement(_CUT.format(subjects=_HOUSEHOLDS)),
}


def cut(session: Session, batch_id: int, *, share: int = SHARE, now: datetime) -> int:
    """Cut a batch into shares, each a job of its own; returns how many. Again does nothing."""
    batch = session.get_one(DocumentBatch, batch_id, with_for_update=True)
    if batch.state is not BatchState.ORDERED:
        return 0
    first_id, after_id = month_range(batch.month)
    values = {
        "batch_id": batch_id, "share": share, "provider_code": batch.provider_code,
        "first_id": first_id, "after_id": after_id, "bill_file_id": batch.bill_file_id,
    }  # fmt: skip
    numbers = sorted(no for (no,) in _CUTS[batch.kind].rows(session, values))
    batch.state = BatchState.MAKING
    for no in numbers:
        outbox.emit(session, "document_share.due", f"{batch_id}.{no}", now=now)
    if not numbers:
        batch.state, batch.ended_at = BatchState.DONE, now
    return len(numbers)


def share_to_make(
    session: Session, batch_id: int, no: int
) -> tuple[DocumentBatch, DocumentShare] | None:
    """Return a share that is still to be made; none: it was made, or nobody wants it any more."""
    batch = session.get_one(DocumentBatch, batch_id)
    share = session.get_one(DocumentShare, (batch_id, no))
    if batch.state is not BatchState.MAKING or share.made_at is not None:
        return None
    share.looked_at = 0  # another worker may have come some way and was lost
    return batch, share


def note_progress(batch_id: int, no: int, looked_at: int) -> bool:
    """Write down how far a share is; tells whether anybody still wants it."""
    with transaction() as session:
        session.execute(
            update(DocumentShare)
            .where(col(DocumentShare.batch_id) == batch_id, col(DocumentShare.no) == no)
            .where(col(DocumentShare.made_at).is_(None))
            .values(looked_at=looked_at)
        )
        return session.get_one(DocumentBatch, batch_id).state is BatchState.MAKING


class Volume(NamedTuple):
    """A drawn volume, in a file beside its place."""

    path: Path
    file_bytes: int
    sha256: str
    documents: int


def put(session: Session, batch_id: int, no: int, volume: Volume, place: Path, *, now: datetime,
) -> bool:  # fmt: skip
    """Put a volume in its place, once; tells whether it was. The last one ends its batch.

    Moved before the commit: should that fail, the share is drawn again and put over it.
    """
    batch = session.get_one(DocumentBatch, batch_id, with_for_update=True)
    share = session.get_one(DocumentShare, (batch_id, no), with_for_update=True)
    if batch.state is not BatchState.MAKING or share.made_at is not None:
        volume.path.unlink()
        return False
    volume.path.replace(place)
    # Bills may have come since it was cut, and are drawn: they are in its range.
    share.subjects = max(share.subjects, volume.documents)
    share.looked_at, share.documents = share.subjects, volume.documents
    share.file_bytes, share.sha256, share.made_at = volume.file_bytes, volume.sha256, now
    session.flush()
    if progress_of(session, [batch_id])[batch_id].made == _shares(session, batch_id):
        batch.state, batch.ended_at = BatchState.DONE, now
    return True


def _shares(session: Session, batch_id: int) -> int:
    return session.exec(
        select(func.count()).where(col(DocumentShare.batch_id) == batch_id)
    ).one()  # fmt: skip


def cancel(session: Session, batch_id: int, *, now: datetime) -> None:
    """Call a batch off; what was drawn is deleted.

    Raises:
        Conflict: it has ended.
    """
    batch = session.get_one(DocumentBatch, batch_id, with_for_update=True)
    if batch.state not in LIVE:
        raise Conflict("these papers are not being made any more", code="documents.ended")
    batch.state, batch.ended_at = BatchState.CANCELLED, now


def get_batch(session: Session, batch_id: int, provider_code: str | None = None) -> DocumentBatch:
    """Return a batch.

    Args:
        provider_code: of a company's people, who see their own and nobody else's.

    Raises:
        NotFound: no such batch, or not one of theirs.
    """
    batch = session.get(DocumentBatch, batch_id)
    if batch is None or (provider_code is not None and batch.provider_code != provider_code):
        raise NotFound("there are no such papers")
    return batch


def list_batches(
    session: Session, provider_code: str | None, *, before_id: int | None = None, limit: int
) -> tuple[list[DocumentBatch], bool]:
    """Return batches, the newest first, of a company or all; then whether there are more."""
    wanted = select(DocumentBatch)
    if provider_code is not None:
        wanted = wanted.where(DocumentBatch.provider_code == provider_code)
    if before_id is not None:
        wanted = wanted.where(col(DocumentBatch.id) < before_id)
    found = session.exec(wanted.order_by(col(DocumentBatch.id).desc()).limit(limit + 1)).all()
    return list(found[:limit]), len(found) > limit


def list_shares(session: Session, batch_id: int) -> list[DocumentShare]:
    """Return the volumes of a batch, in their order."""
    wanted = select(DocumentShare).where(DocumentShare.batch_id == batch_id)
    return list(session.exec(wanted.order_by(col(DocumentShare.no))))


_PROGRESS = HotStatement("""
    SELECT batch_id, sum(subjects)::int, sum(looked_at)::int, sum(documents)::int, count(*)::int,
           count(made_at)::int, sum(file_bytes)::bigint
    FROM document_share WHERE batch_id = ANY(:ids) GROUP BY batch_id
""")


def progress_of(session: Session, batch_ids: Sequence[int]) -> dict[int, Progress]:
    """Return how far batches are; of one that is not cut yet, nothing is known."""
    known = {
        batch_id: Progress(*figures)
        for batch_id, *figures in _PROGRESS.rows(session, {"ids": list(batch_ids)})
    }
    return {one: known.get(one, Progress(0, 0, 0, 0, 0, 0)) for one in batch_ids}


def volume_path(folder: Path | None, batch_id: int, no: int) -> Path:
    """Return where a volume lies.

    Raises:
        Invalid: no folder was set.
    """
    if folder is None:
        raise Invalid(
            "papers in volumes need a folder: set CITYBILL_DOCUMENTS_DIR",
            code="documents.no_folder",
        )
    return folder.joinpath(str(batch_id), f"{no:04d}.pdf")


_EXPIRE = HotStatement("""
    UPDATE document_batch SET state = 'expired'
    WHERE state = 'done' AND ended_at < CAST(:before AS timestamptz) RETURNING id
""")


def forget(folder: Path, *, days: int, now: datetime) -> int:
    """Delete the volumes of batches that are old or called off; returns of how many."""
    # Listed before the batches are: a batch that begins meanwhile is not taken for one of old. And
    # only what has a batch's name: whatever else lies there is not ours.
    lying = list(folder.iterdir()) if folder.is_dir() else []
    with transaction() as session:
        _EXPIRE.rows(session, {"before": now - timedelta(days=days)})
        kept = {
            str(one)
            for one in session.exec(
                select(DocumentBatch.id).where(
                    col(DocumentBatch.state).in_((*LIVE, BatchState.DONE))
                )
            )
        }
    gone = [one for one in lying if one.name.isdecimal() and one.name not in kept]
    for one in gone:
        rmtree(one)
    return len(gone)
