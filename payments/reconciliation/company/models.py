"""Rows of what companies say they wrote off. Amounts are integer fen; a reversal's is negative."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel, col

from core.db import UtcDateTime, text_enum
from payments.models import PaymentItem
from payments.reconciliation.models import ArrivalState
from providers.base import ConfirmationKind

# What a day's run reads of ours; without it a day would cost a walk through all items ever.
Index(
    "ix_payment_item_told", col(PaymentItem.outcome_at),
    postgresql_where=text("outcome IN ('paid', 'written_off')"),
)  # fmt: skip


class ConfirmationFile(SQLModel, table=True):
    """A company's own list of what it wrote off on one of its days; blank where it says: nothing.

    ``is_proven``: the file states its totals. One that does not may have been cut unseen.
    """

    __tablename__ = "confirmation_file"
    __table_args__ = (
        UniqueConstraint("provider_code", "day", "sha256"),
        CheckConstraint("rows >= 0 AND rejected >= 0", name="counts_not_negative"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    day: date
    sha256: str
    file_name: str
    rows: int
    rejected: int  # rows that cannot be read, or are of another day
    sum_fen: int = Field(sa_type=BigInteger)  # written off less reversed
    is_proven: bool
    received_at: datetime = Field(sa_type=UtcDateTime)


class ConfirmationRow(SQLModel, table=True):
    """One row of a confirmation file; ``write_off_no`` is blank where the company names none."""

    __tablename__ = "confirmation_row"
    __table_args__ = (
        CheckConstraint("(kind = 'reversed') = (amount_fen < 0) OR amount_fen = 0", name="signed"),
        Index("ix_confirmation_row_name", "write_off_no", "account_no", "bill_no"),
    )

    # Of a file that is here: looked at once a file (trigger ``known_files``), not once a row.
    confirmation_file_id: int = Field(
        sa_column=Column(BigInteger, primary_key=True, autoincrement=False)
    )
    row_no: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    line_no: int
    kind: ConfirmationKind = Field(sa_column=Column(text_enum(ConfirmationKind), nullable=False))
    write_off_no: str
    account_no: str
    bill_no: str
    receipt_no: str
    amount_fen: int = Field(sa_type=BigInteger)
    written_off_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reason: str


class ConfirmationReject(SQLModel, table=True):
    """A row of a confirmation file that could not be read, or is of another day; the first 1,000.

    ``raw`` is the company's line as it came, account numbers included.
    """

    __tablename__ = "confirmation_reject"

    confirmation_file_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("confirmation_file.id", ondelete="CASCADE"), primary_key=True
        )
    )
    place: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    line_no: int
    column_name: str
    reason: str
    raw: str


class ConfirmationArrival(SQLModel, table=True):
    """A day's list that should come, or has; ``answer`` is what its company said last.

    The file it names is the one in force: the last that was taken in. So are the figures of its
    last run.
    """

    __tablename__ = "confirmation_arrival"
    __table_args__ = (
        CheckConstraint(
            "(state = 'waiting') = (confirmation_file_id IS NULL)", name="waits_without_file"
        ),
        CheckConstraint(
            "num_nonnulls(confirmation_file_id, run_at, matched, awaited, our_count, our_total_fen)"
            " IN (0, 6)",
            name="run_whole",
        ),
        Index(
            "ix_confirmation_arrival_due_at", "due_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_confirmation_arrival_day", "day", "provider_code"),
    )  # fmt: skip

    provider_code: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    state: ArrivalState = Field(
        default=ArrivalState.WAITING, sa_column=Column(text_enum(ArrivalState), nullable=False)
    )
    due_at: datetime = Field(sa_type=UtcDateTime)
    asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    answer: str | None = None
    confirmation_file_id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, ForeignKey("confirmation_file.id"), nullable=True),
    )
    run_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    matched: int | None = None
    awaited: int | None = None  # ours that may stand in the next day's list
    our_count: int | None = None
    our_total_fen: int | None = Field(default=None, sa_type=BigInteger)
