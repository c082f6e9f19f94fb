"""Rows of the billing room. Amounts are integer fen; a bill's key is (account_id, id).

``bill``, ``bill_version`` and ``ledger_transfer`` are partitioned by month through the key itself:
see ``core.keys`` and ``docs/adr/0001-keys-that-know-their-month.md``.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, json_text, text_enum

# The month of a key, in SQL: the same rule as core.keys.month_of.
_MONTH_OF_ID = (
    "id >> 51 = (extract(year FROM billing_month) - 2000) * 12"
    " + extract(month FROM billing_month) - 1"
)


class UtilityAccount(SQLModel, table=True):
    """A 户号: one meter or line at one company, as the company last described it."""

    __tablename__ = "utility_account"
    __table_args__ = (UniqueConstraint("provider_code", "account_no"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    account_no: str
    holder_name: str
    address: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class Household(SQLModel, table=True):
    """People and utility accounts that belong together."""

    __tablename__ = "household"

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    name: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class MemberRole(StrEnum):
    SEE = "see"
    PAY = "pay"
    MANAGE = "manage"


class HouseholdMember(SQLModel, table=True):
    __tablename__ = "household_member"

    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), primary_key=True)
    )
    person_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True, index=True)
    )
    role: MemberRole = Field(sa_column=Column(text_enum(MemberRole), nullable=False))


class HouseholdAccount(SQLModel, table=True):
    __tablename__ = "household_account"

    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), primary_key=True)
    )
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True, index=True)
    )
    bound_at: datetime = Field(sa_type=UtcDateTime)


class BillFileStatus(StrEnum):
    RECEIVED = "received"
    IMPORTING = "importing"
    IMPORTED = "imported"
    REFUSED = "refused"


class BillFile(SQLModel, table=True):
    """One bill file of one company, known by its bytes, and how far its import is."""

    __tablename__ = "bill_file"
    __table_args__ = (
        UniqueConstraint("provider_code", "sha256"),
        CheckConstraint(
            "status <> 'imported' OR rows = "
            "created + unchanged + superseded + cancelled + rejected",
            name="every_row_accounted_for",
        ),
        CheckConstraint("(status = 'refused') = (complaint IS NOT NULL)", name="refusal_says_why"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    sha256: str
    file_name: str
    size_bytes: int = Field(sa_type=BigInteger)
    received_via: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    status: BillFileStatus = Field(
        default=BillFileStatus.RECEIVED, sa_column=Column(text_enum(BillFileStatus), nullable=False)
    )
    status_at: datetime = Field(sa_type=UtcDateTime)
    rows: int = 0
    rows_done: int = 0
    created: int = 0
    unchanged: int = 0
    superseded: int = 0
    cancelled: int = 0
    rejected: int = 0
    total_fen: int = Field(default=0, sa_type=BigInteger)
    complaint: str | None = None


class BillFilePart(SQLModel, table=True):
    """A piece of an uploaded file, kept until it is imported, so that any worker can read it."""

    __tablename__ = "bill_file_part"

    bill_file_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("bill_file.id", ondelete="CASCADE"), primary_key=True
        )
    )
    part_no: int = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)


class BillFileReject(SQLModel, table=True):
    """A row that did not become a bill, for the company to mend."""

    __tablename__ = "bill_file_reject"

    bill_file_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("bill_file.id", ondelete="CASCADE"), primary_key=True
        )
    )
    reject_no: int = Field(primary_key=True)
    line_no: int
    column_name: str
    reason: str
    raw: str


class Bill(SQLModel, table=True):
    """A company's bill in its current version, and what was paid of it.

    Known by (account, billing month, bill no): ``id`` is the name-based key of the bill no in its
    month, so the primary key is also the guard against doubles. ``held_by`` is the payment under
    way that holds the bill: while it is set, no other payment may start and no correction lands.
    """

    __tablename__ = "bill"
    __table_args__ = (
        CheckConstraint(_MONTH_OF_ID, name="id_knows_month"),
        CheckConstraint("version BETWEEN 1 AND 99", name="version_range"),
        CheckConstraint("period_from_on <= period_to_on", name="period_forward"),
        CheckConstraint("issued_on <= due_on", name="due_after_issue"),
        CheckConstraint("paid_fen BETWEEN 0 AND greatest(amount_fen, 0)", name="paid_within"),
        CheckConstraint("written_off_fen BETWEEN 0 AND paid_fen", name="written_off_within"),
        CheckConstraint("cancelled_at IS NULL OR paid_fen = 0", name="cancelled_unpaid"),
        Index("ix_bill_bill_file_id", "bill_file_id", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True)
    )
    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_file_id: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    paid_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    written_off_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    held_by: int | None = Field(default=None, sa_type=BigInteger)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    billing_month: date
    period_from_on: date
    period_to_on: date
    issued_on: date
    due_on: date
    file_line_no: int
    version: int = Field(sa_type=SmallInteger)
    usage: Decimal | None = Field(default=None, sa_type=Numeric(12, 3))
    bill_no: str
    usage_unit: str
    items: list[Any] = Field(sa_column=Column(json_text(), nullable=False))


class BillVersion(SQLModel, table=True):
    """What a bill said before a correction replaced it; never changed."""

    __tablename__ = "bill_version"
    __table_args__ = ({"postgresql_partition_by": "RANGE (id)"},)

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    version: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    bill_file_id: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    due_on: date
    usage: Decimal | None = Field(default=None, sa_type=Numeric(12, 3))
    items: list[Any] = Field(sa_column=Column(json_text(), nullable=False))
    replaced_at: datetime = Field(sa_type=UtcDateTime)


class LedgerAccount(SQLModel, table=True):
    """One account of the books; ``docs/ledger.md`` is the chart."""

    __tablename__ = "ledger_account"

    id: int | None = Field(
        default=None, sa_column=Column(Integer, Identity(always=True), primary_key=True)
    )
    code: str = Field(unique=True)


class Transfer(SQLModel, table=True):
    """One movement of money between two accounts; never updated, never deleted.

    Balanced by construction: one positive amount, debited to one account and credited to another,
    so no set of rows can fail to sum to zero. ``(account_id, subject_id)`` is the bill it is about;
    ``entry_key`` says why it moved, once.
    """

    __tablename__ = "ledger_transfer"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
        Index("ix_ledger_transfer_posted_at", "posted_at", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (subject_id)"},
    )

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    subject_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    entry_key: str = Field(primary_key=True)
    debit_account_id: int  # both are checked per statement, by a trigger: see the migration
    credit_account_id: int
    amount_fen: int = Field(sa_type=BigInteger)
    posted_on: date
    posted_at: datetime = Field(sa_type=UtcDateTime)


PARTITIONED = (Bill.__tablename__, BillVersion.__tablename__, Transfer.__tablename__)
