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
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    text,
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


class HomeKind(StrEnum):
    OWN = "own"
    PARENTS = "parents"
    LET = "let"  # to a tenant
    RENTED = "rented"


class Household(SQLModel, table=True):
    """People and utility accounts that belong together. One that was removed has no name left."""

    __tablename__ = "household"
    __table_args__ = (CheckConstraint("char_length(name) <= 40", name="name_short"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    name: str
    kind: HomeKind = Field(
        default=HomeKind.OWN,
        sa_column=Column(text_enum(HomeKind), nullable=False, server_default="own"),
    )
    created_at: datetime = Field(sa_type=UtcDateTime)


class MemberRole(StrEnum):
    SEE = "see"
    PAY = "pay"
    MANAGE = "manage"


class HouseholdMember(SQLModel, table=True):
    """Somebody of a household, from one day until another where days are set: a tenant.

    Without ``earlier_bills`` they see no bill whose period ends before their first day. A trigger
    refuses what would leave a household without anybody who manages it.
    """

    __tablename__ = "household_member"
    __table_args__ = (
        CheckConstraint("until_on >= from_on", name="ends_after_begin"),
        CheckConstraint(
            "role <> 'manage' OR (from_on IS NULL AND until_on IS NULL)", name="manages_for_good"
        ),
        CheckConstraint("earlier_bills OR from_on IS NOT NULL", name="earlier_until"),
    )

    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), primary_key=True)
    )
    person_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True, index=True)
    )
    role: MemberRole = Field(sa_column=Column(text_enum(MemberRole), nullable=False))
    from_on: date | None = None
    until_on: date | None = None  # the last day
    earlier_bills: bool = Field(default=True, sa_column_kwargs={"server_default": "true"})


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
            "created + unchanged + superseded + cancelled + reminded + waiting + rejected",
            name="every_row_accounted_for",
        ),
        CheckConstraint("(status = 'refused') = (complaint IS NOT NULL)", name="refusal_says_why"),
        # The company's own number of the file, once among the files that landed (rule 40).
        Index(
            "ix_bill_file_sequence",
            "provider_code",
            "sequence_no",
            unique=True,
            postgresql_where=text("status <> 'refused'"),
        ),
        # The console's list, whole and by what it is filtered by.
        Index("ix_bill_file_received_at", "received_at", "id"),
        Index("ix_bill_file_of_company", "provider_code", "received_at", "id"),
        Index("ix_bill_file_of_status", "status", "received_at", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    sha256: str
    file_name: str
    sequence_no: str | None = None
    size_bytes: int = Field(sa_type=BigInteger)
    received_via: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    status: BillFileStatus = Field(
        default=BillFileStatus.RECEIVED, sa_column=Column(text_enum(BillFileStatus), nullable=False)
    )
    status_at: datetime = Field(sa_type=UtcDateTime)
    # By which profile its rows were counted: another counts them otherwise.
    profile_sha256: str | None = None
    rows: int = 0
    rows_done: int = 0
    created: int = 0
    unchanged: int = 0
    superseded: int = 0
    cancelled: int = 0
    reminded: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    # Corrections of bills that were being paid: see BillCorrection.
    waiting: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
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

    What it owes is ``amount_fen + adjusted_fen - paid_fen - credited_fen``; of a credit (a negative
    bill) that is what is left of it.
    """

    __tablename__ = "bill"
    __table_args__ = (
        CheckConstraint(_MONTH_OF_ID, name="id_knows_month"),
        CheckConstraint("version BETWEEN 1 AND 99", name="version_range"),
        CheckConstraint("period_from_on <= period_to_on", name="period_forward"),
        CheckConstraint("issued_on < due_on", name="due_after_issue"),
        CheckConstraint(
            "credited_fen BETWEEN least(amount_fen + adjusted_fen, 0)"
            " AND greatest(amount_fen + adjusted_fen, 0)",
            name="credited_within",
        ),
        CheckConstraint(
            "paid_fen BETWEEN 0 AND greatest(amount_fen + adjusted_fen - credited_fen, 0)",
            name="paid_within",
        ),
        CheckConstraint("written_off_fen BETWEEN 0 AND paid_fen", name="written_off_within"),
        CheckConstraint(
            "cancelled_at IS NULL OR (paid_fen = 0 AND credited_fen = 0 AND adjusted_fen = 0)",
            name="cancelled_owes_nothing",
        ),
        CheckConstraint(
            "paid_elsewhere_at IS NULL OR cancelled_at IS NOT NULL", name="elsewhere_is_void_here"
        ),
        Index("ix_bill_bill_file_id", "bill_file_id", "due_on", postgresql_using="brin"),
        Index("ix_bill_credit", "account_id", postgresql_where=text("amount_fen < 0")),
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
    # Late fees and surcharges less discounts and waivers.
    adjusted_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    # Covered by credits; of a credit, what it gave away (negative, like the credit).
    credited_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    held_by: int | None = Field(default=None, sa_type=BigInteger)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # The company says that it has the money by another way; the bill is then void here (rule 37).
    paid_elsewhere_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
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
    # The bill's own way of being paid: billing.rules.payable reads it; none: the company's terms.
    pay_terms: dict[str, Any] | None = Field(default=None, sa_column=Column(json_text()))

    @property
    def open_fen(self) -> int:
        """What it still owes; below zero, what is left of a credit; of a cancelled bill, zero."""
        if self.cancelled_at is not None:
            return 0
        return self.amount_fen + self.adjusted_fen - self.paid_fen - self.credited_fen


class BillVersion(SQLModel, table=True):
    """What a bill said before a correction replaced it, or a cancellation; never changed."""

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


class BillReminder(SQLModel, table=True):
    """Another paper for a bill we hold: a name of its own, the same claim.

    So paying either closes both (rule 11). A fee the company asks for it stands in the bill's
    ``adjusted_fen``.
    """

    __tablename__ = "bill_reminder"
    __table_args__ = (
        CheckConstraint("fee_fen >= 0", name="fee_not_negative"),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
        Index("ix_bill_reminder_account_id_bill_id", "account_id", "bill_id"),
    )

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_type=BigInteger)
    reminder_no: str
    reminded_on: date
    due_on: date
    fee_fen: int = Field(sa_type=BigInteger)
    bill_file_id: int = Field(sa_type=BigInteger)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


class CorrectionState(StrEnum):
    WAITING = "waiting"
    APPLIED = "applied"
    REFUSED = "refused"  # the payment went through: a paid bill is frozen


class BillCorrection(SQLModel, table=True):
    """A correction or cancellation that came while the bill was being paid (rule 13).

    Decided in the transaction that ends the payment. ``row`` is the file's row, as it was read.
    """

    __tablename__ = "bill_correction"
    __table_args__ = (
        CheckConstraint("(state = 'waiting') = (decided_at IS NULL)", name="decided_says_when"),
        CheckConstraint("(state = 'refused') = (reason IS NOT NULL)", name="refusal_says_why"),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
        Index(
            "ix_bill_correction_waiting", "account_id", "bill_id",
            postgresql_where=text("state = 'waiting'"),
        ),
        UniqueConstraint("bill_file_id", "row_no"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    account_id: int = Field(sa_type=BigInteger)
    bill_id: int = Field(sa_type=BigInteger)
    bill_file_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("bill_file.id"), nullable=False)
    )
    row_no: int
    row: dict[str, Any] = Field(sa_column=Column(json_text(), nullable=False))
    state: CorrectionState = Field(
        default=CorrectionState.WAITING,
        sa_column=Column(text_enum(CorrectionState), nullable=False),
    )
    reason: str | None = None
    received_at: datetime = Field(sa_type=UtcDateTime)
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
