"""A notice is a row first; sending it comes second."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class NoticeState(StrEnum):
    CREATED = "created"
    ACCEPTED = "accepted"  # the channel took it; that is not yet "delivered"
    FAILED = "failed"


class Notice(SQLModel, table=True):
    """One message to one person over one channel, its words frozen when it was made.

    Unique for ever by event, person, subject and channel: told once, whatever is repeated.
    """

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("event", "person_id", "subject_ref", "channel"),
        Index("ix_notice_person_id_created_at", "person_id", "created_at"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    event: str  # "sign_in.code", "payment.receipt" …
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    subject_ref: str  # what it is about: a payment's id …
    channel: str
    address: str
    title: str
    body: str
    body_html: str | None = None
    state: NoticeState = Field(
        default=NoticeState.CREATED, sa_column=Column(text_enum(NoticeState), nullable=False)
    )
    created_at: datetime = Field(sa_type=UtcDateTime)
    state_at: datetime = Field(sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
