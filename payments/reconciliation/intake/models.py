"""Rows of what comes in of gateways, companies and banks, whichever way it comes."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, json_text, text_enum
from payments.reconciliation.models import Leg


class CameBy(StrEnum):
    """The way a file came."""

    UPLOAD = "upload"  # a person, in the console
    API = "api"
    SFTP = "sftp"  # its sender brought it to our server
    POLLED = "polled"  # we fetched it from its sender's server
    ASKED = "asked"  # its gateway or company gave it over its API
    COMMAND = "command"


class BookState(StrEnum):
    WAITING = "waiting"
    READING = "reading"
    MATCHING = "matching"
    DONE = "done"
    UNCLEAR = "unclear"  # a person must say whose it is, or of which day
    REFUSED = "refused"


OVER = (BookState.DONE, BookState.UNCLEAR, BookState.REFUSED)


class BookFile(SQLModel, table=True):
    """One file of somebody else's books; the same bytes, given as the same, are the same row.

    ``given_as`` is what was said of it when it came; ``leg``, ``source`` and ``day`` what it is.
    Of a bank's they are found inside, and ``profile`` is how its CSV is written.
    """

    __tablename__ = "book_file"
    __table_args__ = (
        UniqueConstraint("sha256", "given_as"),
        CheckConstraint(
            "(complaint IS NOT NULL) = (state IN ('unclear', 'refused'))", name="complains"
        ),
        CheckConstraint("state <> 'done' OR (leg IS NOT NULL AND source <> '')", name="done_known"),
        Index("ix_book_file_state", "state", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    sha256: str
    given_as: str
    file_name: str
    size_bytes: int = Field(sa_type=BigInteger)
    leg: Leg | None = Field(default=None, sa_column=Column(text_enum(Leg), nullable=True))
    source: str = ""  # a gateway, a company; "bank"
    day: date | None = None
    profile: str = ""
    came_by: CameBy = Field(sa_column=Column(text_enum(CameBy), nullable=False))
    brought_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True)
    )
    sender: str = ""  # who sent it by SFTP, or where we fetched it
    received_at: datetime = Field(sa_type=UtcDateTime)
    state: BookState = Field(
        default=BookState.WAITING, sa_column=Column(text_enum(BookState), nullable=False)
    )
    state_at: datetime = Field(sa_type=UtcDateTime)
    rows_done: int = 0
    rows_of: int = 0  # 0: not known yet
    line_no: int | None = None  # of the complaint
    complaint: str | None = None
    told: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(json_text(), nullable=False)
    )


class BookFilePart(SQLModel, table=True):
    """A stretch of a file's bytes, each packed by itself."""

    __tablename__ = "book_file_part"

    book_file_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("book_file.id", ondelete="CASCADE"), primary_key=True
        )
    )
    part_no: int = Field(primary_key=True)
    packed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class BookArrival(SQLModel, table=True):
    """One file that came by SFTP under one name, and whether its sender was answered.

    ``claim`` is the name a server gave it when it took it: a kill makes no second row.
    """

    __tablename__ = "book_arrival"
    __table_args__ = (
        UniqueConstraint("sender", "claim"),
        CheckConstraint("(book_file_id IS NULL) = (complaint IS NOT NULL)", name="says_why"),
        Index(
            "ix_book_arrival_unanswered", "sender", postgresql_where=text("answered_at IS NULL")
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    sender: str
    claim: str
    file_name: str
    book_file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("book_file.id"), nullable=True)
    )
    complaint: str | None = None
    arrived_at: datetime = Field(sa_type=UtcDateTime)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
