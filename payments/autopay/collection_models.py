"""Rows of batch collection (代收). Amounts are integer fen."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    text,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class BatchState(StrEnum):
    OPEN = "open"  # it takes orders
    CUT = "cut"  # its file is written, and will never be another
    TAKEN = "taken"  # the bank has it
    REFUSED = "refused"  # the bank refused the file whole, or never had it: nothing is collected
    CLOSED = "closed"  # the silence is over: what did not come back is collected


class EntryState(StrEnum):
    WAITING = "waiting"
    DROPPED = "dropped"  # its payment ended before the batch was cut
    RETURNED = "returned"  # the bank could not collect it
    COLLECTED = "collected"  # nothing was heard of it in time (rule 34)
    BOUNCED = "bounced"  # it came back after that (rule 35)


class CollectionBatch(SQLModel, table=True):
    """Orders that one file asks a bank to collect. ``batch_no`` is never used again."""

    __tablename__ = "collection_batch"
    __table_args__ = (
        CheckConstraint(
            "(state = 'open') = (batch_no IS NULL) AND num_nulls(batch_no, content, collect_on,"
            " silent_until, cut_at) IN (0, 5)",
            name="cut_whole",
        ),
        CheckConstraint(
            "state <> 'refused' OR complaint IS NOT NULL", name="refusal_says_why"
        ),
        Index(
            "ix_collection_batch_open", "gateway", unique=True,
            postgresql_where=text("state = 'open'"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    gateway: str
    state: BatchState = Field(
        default=BatchState.OPEN, sa_column=Column(text_enum(BatchState), nullable=False)
    )
    opened_at: datetime = Field(sa_type=UtcDateTime)
    batch_no: str | None = Field(default=None, unique=True)
    collect_on: date | None = None
    silent_until: date | None = None  # the last day on which silence is not yet a yes
    cut_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    entries: int = 0
    total_fen: int = Field(default=0, sa_type=BigInteger)
    content: bytes | None = Field(default=None, sa_type=LargeBinary)
    offered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # it may have it since
    complaint: str | None = None  # the bank's, of a batch it does not take
    state_at: datetime = Field(sa_type=UtcDateTime)


class CollectionEntry(SQLModel, table=True):
    """One order in a batch: a payment is collected once, whoever asks for it how often."""

    __tablename__ = "collection_entry"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint(
            "(state IN ('returned', 'bounced')) = (return_code IS NOT NULL)",
            name="return_says_why",
        ),
        # Half a million wait at once, and are ended in the order of their numbers.
        Index(
            "ix_collection_entry_waiting", "batch_id", "order_no",
            postgresql_where=text("state = 'waiting'"),
        ),
    )  # fmt: skip

    order_no: str = Field(primary_key=True)
    batch_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("collection_batch.id"), nullable=False)
    )
    payment_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("payment.id"), nullable=False, unique=True)
    )
    debtor_ref: str  # the bank's name of the account: never its number
    amount_fen: int = Field(sa_type=BigInteger)
    state: EntryState = Field(
        default=EntryState.WAITING, sa_column=Column(text_enum(EntryState), nullable=False)
    )
    entered_at: datetime = Field(sa_type=UtcDateTime)
    state_at: datetime = Field(sa_type=UtcDateTime)
    return_code: str | None = None
    return_file_no: str | None = None


class CollectionReturnFile(SQLModel, table=True):
    """A bank's file of what it could not collect, taken in once (rule 40)."""

    __tablename__ = "collection_return_file"

    gateway: str = Field(primary_key=True)
    file_no: str = Field(primary_key=True)
    sha256: str
    rows: int
    total_fen: int = Field(sa_type=BigInteger)
    received_at: datetime = Field(sa_type=UtcDateTime)
