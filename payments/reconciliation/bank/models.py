"""Rows of the bank leg: statements as the bank wrote them, and what should have come or gone.

Amounts are integer fen, into our account above zero, out of it below.
"""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum

TRANSFERS = "transfers"  # the source of what staff sent from our own account
REMITTANCES = "remittances"  # of what we paid to companies
SAID_BEFORE = frozenset({TRANSFERS, REMITTANCES})  # in the books already: a match posts nothing
CLAIMS = "claims-"  # and a company's code: of what it owes us back


class BankAccount(SQLModel, table=True):
    """An account of ours, known from its first statement on."""

    __tablename__ = "bank_account"

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    account_no: str = Field(unique=True)  # shown masked
    label: str = Field(default="", sa_column_kwargs={"server_default": ""})  # what staff call it


class BankStatement(SQLModel, table=True):
    """A statement, or a page of one, once; ``digest`` is of all it says, whatever file it is in."""

    __tablename__ = "bank_statement"
    __table_args__ = (
        UniqueConstraint("account_id", "digest"),
        Index("ix_bank_statement_covers_to", "account_id", "covers_to"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("bank_account.id"), nullable=False)
    )
    digest: str
    statement_no: str
    sequence_no: int | None = Field(default=None, sa_type=BigInteger)
    page_no: int | None = Field(default=None, sa_type=BigInteger)
    source_format: str
    from_on: date | None = None
    covers_to: date | None = None  # the last day it tells of
    opening_fen: int | None = Field(default=None, sa_type=BigInteger)
    closing_fen: int | None = Field(default=None, sa_type=BigInteger)
    entries: int
    file_name: str
    taken_at: datetime = Field(sa_type=UtcDateTime)


class MatchedBy(StrEnum):
    REFERENCE = "reference"
    AMOUNT = "amount"  # one sum, or a chain of them, and nothing else that it could be
    RULE = "rule"  # the same, of what this counterparty has paid for before
    PERSON = "person"


class BankMatch(SQLModel, table=True):
    """Entries that are money we waited for. An undone one stays: what it posted was countered.

    ``parts`` names both sides, as ``"e3,4 d7"``. Its id is a key that knows its month, because it
    is the subject of its transfers.
    """

    __tablename__ = "bank_match"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(made_by, reason) = CASE WHEN matched_by = 'person' THEN 0 ELSE 2 END",
            name="person_says_why",
        ),
        CheckConstraint(
            "num_nulls(undone_by, undo_reason) IN (0, 2) AND (undone_by IS NULL OR"
            " undone_at IS NOT NULL)", name="undone_whole",
        ),
        Index(
            "ix_bank_match_parts", "parts", unique=True, postgresql_where=text("undone_at IS NULL")
        ),
        Index("ix_bank_match_first_on", "first_on"),
    )  # fmt: skip

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    parts: str = Field(sa_type=Text)
    source: str  # a gateway, or transfers
    matched_by: MatchedBy = Field(sa_column=Column(text_enum(MatchedBy), nullable=False))
    first_on: date  # the day of its first entry
    amount_fen: int = Field(sa_type=BigInteger)  # what the bank moved
    fee_fen: int = Field(sa_type=BigInteger)  # what the gateway kept of it; below zero: gave back
    # By a person, of what it should have been: what came less; below zero: more.
    written_off_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    made_at: datetime = Field(sa_type=UtcDateTime)
    made_by: int | None = Field(default=None, sa_column=Column(BigInteger, ForeignKey("person.id")))
    reason: str | None = None
    undone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    undone_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    undo_reason: str | None = None


class BankEntry(SQLModel, table=True):
    """A booked movement of an account of ours, once; ``entry_no`` is the bank's."""

    __tablename__ = "bank_entry"
    __table_args__ = (
        UniqueConstraint("account_id", "entry_no"),
        CheckConstraint("amount_fen <> 0", name="moves_something"),
        Index("ix_bank_entry_booked_on", "booked_on"),
        Index("ix_bank_entry_match_id", "match_id"),
        Index("ix_bank_entry_open", "booked_on", "id", postgresql_where=text("match_id IS NULL")),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("bank_account.id"), nullable=False)
    )
    entry_no: str
    statement_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("bank_statement.id"), nullable=False)
    )
    booked_on: date
    amount_fen: int = Field(sa_type=BigInteger)
    refs: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    other_name: str
    other_account_no: str  # shown masked
    words: str
    bank_code: str
    match_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("bank_match.id"))
    )


class DueKind(StrEnum):
    NET = "net"  # of a gateway's day: payments less refunds, chargebacks and fees
    PAYOUT = "payout"  # of a gateway that says itself what it pays out: its days are no sums then
    TRANSFER = "transfer"
    REMITTANCE = "remittance"  # to a company, in a file of ours
    CLAIM = "claim"  # of a company: what it owes us back, on a gross basis


class BankDue(SQLModel, table=True):
    """Money that should come into our account, or go out of it; zero: nothing after all."""

    __tablename__ = "bank_due"
    __table_args__ = (
        UniqueConstraint("source", "kind", "day", "reference"),
        Index("ix_bank_due_day", "day"),
        Index("ix_bank_due_match_id", "match_id"),
        Index("ix_bank_due_open", "day", "id", postgresql_where=text("match_id IS NULL")),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    source: str
    kind: DueKind = Field(sa_column=Column(text_enum(DueKind), nullable=False))
    day: date
    reference: str  # of a day its gateway and date; theirs of a payout; else our number
    refs: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))  # as the bank may say it
    amount_fen: int = Field(sa_type=BigInteger)
    fee_fen: int = Field(sa_type=BigInteger)
    settlement_file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("settlement_file.id"))
    )
    match_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("bank_match.id"))
    )


class BankRule(SQLModel, table=True):
    """Whose money a counterparty's account brings, as a person's match taught."""

    __tablename__ = "bank_rule"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(ended_by, end_reason) IN (0, 2) AND (ended_by IS NULL OR"
            " ended_at IS NOT NULL)", name="ended_whole",
        ),
        Index(
            "ix_bank_rule_fingerprint", "fingerprint", unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    fingerprint: str  # of the account number
    source: str
    learnt_from: int = Field(
        sa_column=Column(BigInteger, ForeignKey("bank_match.id"), nullable=False)
    )
    learnt_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    end_reason: str | None = None
