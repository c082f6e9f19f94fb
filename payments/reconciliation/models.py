"""Rows of the reconciliation room. Amounts are integer fen."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class SettlementFile(SQLModel, table=True):
    """A gateway's own account of one of its days."""

    __tablename__ = "settlement_file"
    __table_args__ = (UniqueConstraint("source", "day", "sha256"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    source: str
    day: date
    sha256: str
    file_name: str
    received_at: datetime = Field(sa_type=UtcDateTime)


class SettlementRow(SQLModel, table=True):
    """One row of a settlement file, in our units: refunds are negative."""

    __tablename__ = "settlement_row"
    __table_args__ = (
        Index("ix_settlement_row_reference", "settlement_file_id", "kind", "reference"),
    )

    settlement_file_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("settlement_file.id", ondelete="CASCADE"), primary_key=True
        )
    )
    line_no: int = Field(primary_key=True)
    kind: str  # payment | refund
    reference: str  # our order_no or refund_no
    gateway_ref: str
    amount_fen: int = Field(sa_type=BigInteger)
    fee_fen: int = Field(sa_type=BigInteger)
    happened_at: datetime = Field(sa_type=UtcDateTime)


class ArrivalState(StrEnum):
    WAITING = "waiting"
    ARRIVED = "arrived"
    NO_DATA = "no_data"  # its gateway says that nothing happened


class SettlementArrival(SQLModel, table=True):
    """A day's file that should come, or has; ``answer`` is what its gateway said last."""

    __tablename__ = "settlement_arrival"
    __table_args__ = (
        CheckConstraint(
            "(state = 'waiting') = (settlement_file_id IS NULL)", name="waits_without_file"
        ),
        Index("ix_settlement_arrival_due_at", "due_at", postgresql_where=text("state = 'waiting'")),
    )

    source: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    state: ArrivalState = Field(
        default=ArrivalState.WAITING, sa_column=Column(text_enum(ArrivalState), nullable=False)
    )
    due_at: datetime = Field(sa_type=UtcDateTime)
    asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    answer: str | None = None
    settlement_file_id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, ForeignKey("settlement_file.id"), nullable=True),
    )


class Reconciliation(SQLModel, table=True):
    """The last run of one source's day; repeating it replaces it."""

    __tablename__ = "reconciliation"

    source: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    settlement_file_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("settlement_file.id"), nullable=False)
    )
    matched: int
    our_count: int
    their_count: int
    our_total_fen: int = Field(sa_type=BigInteger)
    their_total_fen: int = Field(sa_type=BigInteger)
    fee_total_fen: int = Field(sa_type=BigInteger)
    run_at: datetime = Field(sa_type=UtcDateTime)


class BreakKind(StrEnum):
    MISSING_HERE = "missing_here"
    MISSING_AT_GATEWAY = "missing_at_gateway"
    AMOUNT_DIFFERS = "amount_differs"
    DUPLICATE = "duplicate"
    LEDGER_DIFFERS = "ledger_differs"


class ReconciliationBreak(SQLModel, table=True):
    """One difference that a run found and nobody has explained yet."""

    __tablename__ = "reconciliation_break"

    source: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    kind: BreakKind = Field(sa_column=Column(text_enum(BreakKind), primary_key=True))
    row_kind: str = Field(primary_key=True)  # payment | refund
    reference: str = Field(primary_key=True)
    gateway_ref: str | None = None
    ours_fen: int | None = Field(default=None, sa_type=BigInteger)
    theirs_fen: int | None = Field(default=None, sa_type=BigInteger)
    happened_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    found_at: datetime = Field(sa_type=UtcDateTime)
