"""How files came: by our SFTP server, or fetched from a company's."""

from datetime import datetime

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

from core.db import UtcDateTime


class DeliveryArrival(SQLModel, table=True):
    """One file that came by SFTP under one name, and whether the company was answered.

    The same bytes may come twice: two arrivals of one bill file, and two answers. ``claim`` is the
    name a server gave the file when it took it, so that a kill at any moment makes no second row.
    """

    __tablename__ = "delivery_arrival"
    __table_args__ = (
        UniqueConstraint("provider_code", "claim"),
        CheckConstraint(
            "(bill_file_id IS NULL) = (complaint IS NOT NULL)", name="no_bill_file_says_why"
        ),
        Index(
            "ix_delivery_arrival_unanswered", "provider_code", "bill_file_id",
            postgresql_where=text("answered_at IS NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    claim: str
    file_name: str
    bill_file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("bill_file.id"))
    )
    complaint: str | None = None
    arrived_at: datetime = Field(sa_type=UtcDateTime)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DeliveryPoll(SQLModel, table=True):
    """When we look next at a company that lets us fetch, and how the last look went."""

    __tablename__ = "delivery_poll"
    __table_args__ = (
        CheckConstraint("(failures = 0) = (complaint IS NULL)", name="failure_says_why"),
    )

    provider_code: str = Field(primary_key=True)
    due_at: datetime = Field(sa_type=UtcDateTime)
    polled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    succeeded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failures: int = 0  # since it last went well
    complaint: str | None = None


class DeliveryFile(SQLModel, table=True):
    """What we know of one file at a company that lets us fetch.

    ``mark`` is how it looked last: its size, and its time or entity tag. It is fetched when it has
    looked the same twice, and not again until it looks other than ``fetched_mark``.
    """

    __tablename__ = "delivery_file"
    __table_args__ = (
        UniqueConstraint("provider_code", "remote_name"),
        CheckConstraint(
            "(fetched_mark IS NULL) = (fetched_at IS NULL)"
            " AND (fetched_mark IS NULL) = (sha256 IS NULL)",
            name="fetched_says_what",
        ),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    remote_name: str
    mark: str
    size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    seen_at: datetime = Field(sa_type=UtcDateTime)  # when it first looked like this
    fetched_mark: str | None = None
    fetched_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sha256: str | None = None
    bill_file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("bill_file.id"))
    )
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    complaint: str | None = None
