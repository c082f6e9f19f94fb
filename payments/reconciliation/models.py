"""Rows of the reconciliation room. Amounts are integer fen."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType

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
    """One row of a settlement file, in our units: refunds are negative.

    Its one index says what a file tells of a reference. That rows are of a file that is here is
    looked at once a file (trigger ``known_files``), not once a row.
    """

    __tablename__ = "settlement_row"

    settlement_file_id: int = Field(
        sa_column=Column(BigInteger, primary_key=True, autoincrement=False)
    )
    kind: str = Field(primary_key=True)  # payment, refund, chargeback; fee, payout, other
    reference: str = Field(primary_key=True)  # our order_no or refund_no
    line_no: int = Field(primary_key=True)
    gateway_ref: str
    amount_fen: int = Field(sa_type=BigInteger)
    fee_fen: int = Field(sa_type=BigInteger)
    happened_at: datetime = Field(sa_type=UtcDateTime)
    payer: str = Field(default="", sa_column_kwargs={"server_default": ""})


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
        Index("ix_settlement_arrival_day", "day", "source"),
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
    __table_args__ = (Index("ix_reconciliation_day", "day", "source"),)

    source: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    settlement_file_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("settlement_file.id"), nullable=False)
    )
    matched: int
    matched_elsewhere: int = Field(
        default=0, sa_column_kwargs={"server_default": "0"}
    )  # in another day's file, or without a number: ``GatewayMatch``
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
    FEE_DIFFERS = "fee_differs"  # from what is agreed with the gateway
    LATE = "late"  # not yet a difference: a file that is still to come may have it
    OTHER_ROUTE = "other_route"  # the money came, by another gateway, order or the bank
    REFUND_UNMATCHED = "refund_unmatched"  # only one side knows of it


# What a run of each leg can find.
KINDS: Mapping[Leg, frozenset[BreakKind]] = MappingProxyType({
    Leg.GATEWAY: frozenset({
        BreakKind.MISSING_HERE, BreakKind.MISSING_AT_GATEWAY, BreakKind.AMOUNT_DIFFERS,
        BreakKind.DUPLICATE, BreakKind.LEDGER_DIFFERS, BreakKind.FEE_DIFFERS, BreakKind.LATE,
        BreakKind.OTHER_ROUTE, BreakKind.REFUND_UNMATCHED,
    }),
    Leg.COMPANY: frozenset({
        BreakKind.WRITTEN_OFF_UNPAID, BreakKind.PAID_NOT_WRITTEN_OFF, BreakKind.AMOUNT_DIFFERS,
        BreakKind.DUPLICATE,
    }),
    Leg.BANK: frozenset({
        BreakKind.UNKNOWN_CREDIT, BreakKind.UNKNOWN_DEBIT, BreakKind.NOT_SETTLED,
        BreakKind.AMOUNT_DIFFERS, BreakKind.DUPLICATE,
    }),
})  # fmt: skip


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
        Index(
            "ix_reconciliation_break_age", "kind", "found_at",
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_reconciliation_break_reference", "reference"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    leg: Leg = Field(sa_column=Column(text_enum(Leg), nullable=False))
    source: str  # a gateway, a company, an account at a bank
    day: date
    kind: BreakKind = Field(sa_column=Column(text_enum(BreakKind), nullable=False))
    row_kind: str  # payment, refund, chargeback; write_off; entry
    reference: str
    their_ref: str | None = None
    elsewhere: str | None = None  # of OTHER_ROUTE: ``source day reference`` of the other row
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


class SettlementLeft(SQLModel, table=True):
    """What a gateway's day leaves when its own file and our books are laid side by side.

    ``verdict`` is ``ours`` or ``theirs`` of what one side alone has, which other days and routes
    may explain; else the kind of difference it is. Made anew by each run of the day.
    """

    __tablename__ = "settlement_left"

    source: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    row_kind: str = Field(primary_key=True)
    reference: str = Field(primary_key=True)  # theirs, or of the line, where a row has none of ours
    verdict: str
    is_named: bool  # by a reference of ours
    payer: str
    their_ref: str | None = None
    times: int
    ours_fen: int | None = Field(default=None, sa_type=BigInteger)
    theirs_fen: int | None = Field(default=None, sa_type=BigInteger)
    happened_at: datetime = Field(sa_type=UtcDateTime)


class FoundBy(StrEnum):
    """How rows were known to be a payment or refund that their own day's file does not name."""

    OTHER_DAY = "other_day"  # our number, in a neighbouring day's file
    THEIR_NUMBER = "their_number"
    AMOUNT = "amount"  # and time, and payer where the file says; and nothing else it could be
    PARTS = "parts"  # all that is left of a day is one sum in parts
    CANCELS = "cancels"  # a refund we never heard was sent: it went from there and came back


class GatewayMatch(SQLModel, table=True):
    """A match not by our number of the same day; an undone one stays, and a person's bars it.

    ``parts`` names both sides: ``payment o{2026-11-20 CB1} t{2026-11-21 s1}`` of its source.
    """

    __tablename__ = "gateway_match"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(undone_by, undo_reason) IN (0, 2) AND (undone_by IS NULL OR"
            " undone_at IS NOT NULL)", name="undone_whole",
        ),
        Index(
            "ix_gateway_match_parts", "source", "parts", unique=True,
            postgresql_where=text("undone_at IS NULL"),
        ),
        Index("ix_gateway_match_first_on", "first_on"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    source: str
    parts: str
    found_by: FoundBy = Field(sa_column=Column(text_enum(FoundBy), nullable=False))
    first_on: date
    amount_fen: int = Field(sa_type=BigInteger)
    made_at: datetime = Field(sa_type=UtcDateTime)
    undone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    undone_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    undo_reason: str | None = None
