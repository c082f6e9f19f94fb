"""Rows of the ledger. ``docs/ledger.md`` is the chart; none of these rows is ever changed."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime


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
        CheckConstraint(
            "posted_on = CAST(posted_at AT TIME ZONE 'Asia/Shanghai' AS date)", name="its_own_day"
        ),
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


class LedgerDay(SQLModel, table=True):
    """A closed Shanghai day. No transfer can be posted on it any more.

    ``sha256`` is a hash over the day's transfers and totals and over the day before: the *seal*.
    """

    __tablename__ = "ledger_day"
    __table_args__ = (
        CheckConstraint("transfers >= 0 AND amount_fen >= 0", name="counts_not_negative"),
        CheckConstraint("length(sha256) = 32", name="whole_hash"),
        CheckConstraint("(before_on IS NULL) = (before_sha256 IS NULL)", name="chained"),
        CheckConstraint("before_on = day - 1", name="no_gap"),
        CheckConstraint(
            "day < CAST(closed_at AT TIME ZONE 'Asia/Shanghai' AS date)", name="is_over"
        ),
    )

    day: date = Field(primary_key=True)
    transfers: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    before_on: date | None = Field(
        default=None,
        sa_column=Column(Date, ForeignKey("ledger_day.day"), unique=True, nullable=True),
    )
    before_sha256: bytes | None = Field(default=None, sa_type=LargeBinary)
    sha256: bytes = Field(sa_type=LargeBinary)
    closed_by: str
    closed_at: datetime = Field(sa_type=UtcDateTime)


class LedgerDayBalance(SQLModel, table=True):
    """The rollup: what one account moved on a closed day, and where it stood that evening."""

    __tablename__ = "ledger_day_balance"
    __table_args__ = (
        CheckConstraint("debit_fen >= 0 AND credit_fen >= 0", name="sums_not_negative"),
    )

    day: date = Field(sa_column=Column(Date, ForeignKey("ledger_day.day"), primary_key=True))
    ledger_account_id: int = Field(
        sa_column=Column(Integer, ForeignKey("ledger_account.id"), primary_key=True)
    )
    debit_fen: int = Field(sa_type=BigInteger)
    credit_fen: int = Field(sa_type=BigInteger)
    total_debit_fen: int = Field(sa_type=BigInteger)
    total_credit_fen: int = Field(sa_type=BigInteger)


class LedgerSealPart(SQLModel, table=True):
    """A share of a closed day's transfers, hashed: what names the row when a seal is broken.

    A transfer belongs to the part its key says (``billing.ledger.days``), so that one that is
    changed, taken out or put in touches one part. ``row_digests`` holds eight bytes a row, in key
    order.
    """

    __tablename__ = "ledger_seal_part"
    __table_args__ = (
        CheckConstraint("length(row_digests) = 8 * rows", name="a_digest_a_row"),
        CheckConstraint("length(sha256) = 32", name="whole_hash"),
    )

    day: date = Field(sa_column=Column(Date, ForeignKey("ledger_day.day"), primary_key=True))
    part_no: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    rows: int
    row_digests: bytes = Field(sa_type=LargeBinary)
    sha256: bytes = Field(sa_type=LargeBinary)
