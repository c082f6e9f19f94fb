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


class Leg(StrEnum):
    """Whom our books are compared with."""

    GATEWAY = "gateway"
    COMPANY = "company"  # what it says it has written off
    BANK = "bank"


class BreakKind(StrEnum):
    """What differs; ``breaks.REMEDIES`` says what is done about each."""

    MISSING_HERE = "missing_here"
    MISSING_AT_GATEWAY = "missing_at_gateway"
    AMOUNT_DIFFERS = "amount_differs"
    DUPLICATE = "duplicate"
    LEDGER_DIFFERS = "ledger_differs"
    WRITTEN_OFF_UNPAID = "written_off_unpaid"  # by a company, and we have no money for it
    PAID_NOT_WRITTEN_OFF = "paid_not_written_off"
    UNKNOWN_CREDIT = "unknown_credit"  # money in the bank that nobody announced
    UNKNOWN_DEBIT = "unknown_debit"  # money that left it, and nobody here sent
    NOT_SETTLED = "not_settled"  # it should be in the bank's statement by now


class BreakState(StrEnum):
    OPEN = "open"
    EXPLAINED = "explained"  # a later run no longer found it
    RESOLVED = "resolved"  # by a person's act


class ReconciliationBreak(SQLModel, table=True):
    """One difference, from the run that first found it on: its age and its owner outlive runs."""

    __tablename__ = "reconciliation_break"
    __table_args__ = (
        UniqueConstraint("leg", "source", "day", "row_kind", "reference"),
        CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="closed_says_when"),
        Index(
            "ix_reconciliation_break_open", "due_at", "id", postgresql_where=text("state = 'open'")
        ),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    leg: Leg = Field(sa_column=Column(text_enum(Leg), nullable=False))
    source: str  # a gateway, a company, an account at a bank
    day: date
    kind: BreakKind = Field(sa_column=Column(text_enum(BreakKind), nullable=False))
    row_kind: str  # payment, refund; write_off; entry
    reference: str
    their_ref: str | None = None
    ours_fen: int | None = Field(default=None, sa_type=BigInteger)
    theirs_fen: int | None = Field(default=None, sa_type=BigInteger)
    happened_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    found_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    owner_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True)
    )
    state: BreakState = Field(
        default=BreakState.OPEN, sa_column=Column(text_enum(BreakState), nullable=False)
    )
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
