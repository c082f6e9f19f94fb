"""What is known of carriers: how much goes to each, how they did, and what they called us with."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum
from notifications.channels.base import Fate


class CarrierState(SQLModel, table=True):
    """How much of a channel goes to one of its carriers, and how fast.

    ``weight`` moves by itself away from a carrier that fails, and back to ``resting_weight``.
    ``paced_until`` is all there is of the rate limit: when what was let through will have drained.
    Many ``misses`` in a row take it out until ``paused_until``; then one message tries it.
    """

    __tablename__ = "carrier_state"
    __table_args__ = (
        CheckConstraint("weight BETWEEN 0 AND 100", name="weight"),
        CheckConstraint("resting_weight BETWEEN 0 AND 100", name="resting_weight"),
        CheckConstraint("per_minute > 0", name="per_minute"),
        CheckConstraint("(stopped_at IS NULL) = (stopped_by IS NULL)", name="stopped_by_somebody"),
    )

    code: str = Field(primary_key=True)
    channel: str
    weight: int = Field(sa_type=SmallInteger)
    resting_weight: int = Field(sa_type=SmallInteger)
    shifted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    eased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # back, the last time
    misses: int = Field(default=0, sa_type=Integer)  # in a row: not now, or silent
    down_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    paused_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    stop_reason: str | None = None
    per_minute: int | None = None  # none: as fast as we can
    paced_until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class CarrierMinute(SQLModel, table=True):
    """How a carrier did in one minute: kept so that nobody ever counts notices to find it out.

    Of receipts, the minute is the one the message was taken in: they say how that minute went.
    """

    __tablename__ = "carrier_minute"
    __table_args__ = (Index("ix_carrier_minute_minute_at", "minute_at"),)

    code: str = Field(primary_key=True)
    minute_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    channel: str
    taken: int = Field(default=0, sa_type=Integer)
    not_now: int = Field(default=0, sa_type=Integer)  # away, or too many at once
    silent: int = Field(default=0, sa_type=Integer)
    refused: int = Field(default=0, sa_type=Integer)
    delivered: int = Field(default=0, sa_type=Integer)
    failed: int = Field(default=0, sa_type=Integer)
    slow: int = Field(default=0, sa_type=Integer)  # delivered more than five minutes after
    wait_ms: int = Field(default=0, sa_type=BigInteger)  # from made to taken, of all taken
    # How many of those taken waited for how long: ``notifications.sending.carriers.WAITS``.
    waits: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))


class CarrierCall(SQLModel, table=True):
    """What a carrier called us with, as it came; read after it was kept."""

    __tablename__ = "carrier_call"
    __table_args__ = (UniqueConstraint("carrier", "body_hash"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    carrier: str
    headers: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False))
    body: bytes = Field(sa_type=LargeBinary)
    body_hash: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class CarrierReceipt(SQLModel, table=True):
    """One receipt, once; it may come before we know that the carrier took the message."""

    __tablename__ = "carrier_receipt"
    __table_args__ = (
        UniqueConstraint("carrier", "ref", "fate"),
        Index("ix_carrier_receipt_waiting", "id", postgresql_where=text("applied_at IS NULL")),
        Index("ix_carrier_receipt_call_id", "call_id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    # None: it was heard on a connection, not by a call.
    call_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("carrier_call.id"))
    )
    carrier: str
    ref: str
    fate: Fate = Field(sa_column=Column(text_enum(Fate), nullable=False))
    happened_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reason: str = ""
    received_at: datetime = Field(sa_type=UtcDateTime)
    applied_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ReplyMeaning(StrEnum):
    """What an answer to a text was taken for."""

    REFUSED = "refused"  # offers by text are stopped
    REFUSED_BEFORE = "refused_before"  # they were stopped already
    OUTDATED = "outdated"  # they agreed to offers after they wrote it
    WORDS = "words"  # something else; they were told where somebody reads it
    STRANGER = "stranger"  # a number nobody of ours has


class ReaderReply(SQLModel, table=True):
    """What somebody answered to a text, once; ``notice_id`` is the offer they had last."""

    __tablename__ = "reader_reply"
    __table_args__ = (
        UniqueConstraint("carrier", "ref"),
        CheckConstraint("(read_at IS NULL) = (meaning IS NULL)", name="read_is_meant"),
        Index("ix_reader_reply_waiting", "id", postgresql_where=text("read_at IS NULL")),
        Index("ix_reader_reply_call_id", "call_id"),
        Index("ix_reader_reply_meaning", "meaning", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    # None: it was heard on a connection, not by a call.
    call_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("carrier_call.id"))
    )
    carrier: str
    ref: str
    phone: str
    words: str
    said_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    meaning: ReplyMeaning | None = Field(default=None, sa_column=Column(text_enum(ReplyMeaning)))
    person_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    notice_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("notice.id"))
    )
