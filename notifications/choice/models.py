"""What people chose: where they are reached, about what, when, and what they agreed to."""

from datetime import datetime, time
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class ContactPoint(SQLModel, table=True):
    """An address of somebody beside their phone and e-mail: a browser, WeChat, a television.

    ``address_hash`` is its SHA-256: a browser's address is longer than an index takes.
    """

    __tablename__ = "contact_point"
    __table_args__ = (
        Index(
            "ix_contact_point_live", "channel", "address_hash", unique=True,
            postgresql_where=text("gone_at IS NULL"),
        ),
        Index("ix_contact_point_person_id", "person_id", "channel"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    channel: str  # "push", "wechat", "tv"
    address: str
    address_hash: str
    label: str = ""  # "Chrome on Android": so that they know which it is
    made_at: datetime = Field(sa_type=UtcDateTime)
    gone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    gone_reason: str | None = None


class NoticeChoice(SQLModel, table=True):
    """Over which channels, in this order, somebody wants to hear about a subject; none: not at all.

    Without a household it holds for all of theirs.
    """

    __tablename__ = "notice_choice"
    __table_args__ = (
        UniqueConstraint(
            "person_id", "household_id", "subject", postgresql_nulls_not_distinct=True
        ),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    household_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("household.id"))
    )
    subject: str  # notifications.catalogue.Subject
    channels: list[str] = Field(sa_column=Column(ARRAY(String), nullable=False))
    chosen_at: datetime = Field(sa_type=UtcDateTime)


class NoticeSettings(SQLModel, table=True):
    """How somebody wants to be told; who has no row has what the fields say here."""

    __tablename__ = "notice_settings"
    __table_args__ = (
        CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name="quiet_is_whole"),
        CheckConstraint("quiet_from <> quiet_until", name="quiet_ends"),
        CheckConstraint("texts_per_day BETWEEN 1 AND 20", name="texts_per_day"),
    )

    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True))
    quiet_from: time | None = time(22)  # of their own clock; past midnight as it may be
    quiet_until: time | None = time(7)
    zone: str = "Asia/Shanghai"
    digest: bool = True  # several companies' bills in one notice
    elder: bool = False  # large print, plain words
    texts_per_day: int = Field(default=3, sa_type=SmallInteger)
    changed_at: datetime = Field(sa_type=UtcDateTime)


class ConsentSource(StrEnum):
    PAGE = "page"
    ONE_CLICK = "one_click"  # RFC 8058, from the mail program
    TEXT_REPLY = "text_reply"
    STAFF = "staff"


class Consent(SQLModel, table=True):
    """That somebody agreed to be told of offers, or no longer does. Never changed: the last holds.

    ``proof`` is what shows it: the sentence they agreed to, the message they refused.
    """

    __tablename__ = "consent"
    __table_args__ = (Index("ix_consent_person_id", "person_id", "id"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    channel: str | None = None  # none: every one
    given: bool
    source: ConsentSource = Field(sa_column=Column(text_enum(ConsentSource), nullable=False))
    proof: str
    said_at: datetime = Field(sa_type=UtcDateTime)


class Digest(SQLModel, table=True):
    """What one household's people are told at once, when it is time."""

    __tablename__ = "digest"
    __table_args__ = (
        Index(
            "ix_digest_open", "person_id", "household_id", "event", unique=True,
            postgresql_where=text("flushed_at IS NULL"), postgresql_nulls_not_distinct=True,
        ),
        Index("ix_digest_flush_at", "flush_at", postgresql_where=text("flushed_at IS NULL")),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    household_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("household.id"))
    )
    event: str
    flush_at: datetime = Field(sa_type=UtcDateTime)
    flushed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DigestEntry(SQLModel, table=True):
    """One thing a digest will tell of, unless it is no longer so by then."""

    __tablename__ = "digest_entry"

    digest_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("digest.id"), nullable=False, index=True)
    )
    event: str = Field(primary_key=True)
    person_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    subject_ref: str = Field(primary_key=True)
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    entered_at: datetime = Field(sa_type=UtcDateTime)
    left_reason: str | None = None
