"""A notice is a row first; sending it comes second."""

from datetime import date, datetime
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
from notifications.channels.base import Kind


class NoticeState(StrEnum):
    """How far a notice has come. Its order is its rank: a notice never goes back."""

    CREATED = "created"
    ACCEPTED = "accepted"  # a carrier took it; that is not yet "delivered"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"  # ``reason`` says by what; the next channel's turn comes
    DROPPED = "dropped"  # nobody was to be told any more; ``reason`` says why


class Lane(StrEnum):
    """Which queue a notice waits in: what somebody waits for never stands behind a city's bills."""

    NOW = "now"
    BULK = "bulk"


class Held(StrEnum):
    """Why a notice that was made waits."""

    CHAIN = "chain"  # for the channel before it to fail or fall silent
    QUIET = "quiet"  # for the end of somebody's quiet hours
    AGAIN = "again"  # for its next try


class Notice(SQLModel, table=True):
    """One message to one person over one channel, its words frozen when it was made.

    Unique for ever by event, person, subject and channel: told once, whatever is repeated. The row
    is the job: who claims it moves ``due_at`` to the end of a lease and counts ``attempts``, which
    fences. Without ``due_at`` it waits for the notice it comes ``after_id``.
    """

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("event", "person_id", "subject_ref", "channel"),
        CheckConstraint(
            "state <> 'created' OR (due_at IS NULL) = (held IS NOT DISTINCT FROM 'chain')",
            name="due_or_behind_another",
        ),
        Index("ix_notice_person_id_created_at", "person_id", "created_at"),
        Index(
            "ix_notice_due", "lane", "due_at", "id",
            postgresql_where=text("state = 'created' AND due_at IS NOT NULL"),
        ),
        Index(
            "ix_notice_answer_by", "answer_by_at",
            postgresql_where=text("state = 'accepted' AND answer_by_at IS NOT NULL"),
        ),
        Index("ix_notice_after", "after_id", postgresql_where=text("after_id IS NOT NULL")),
        Index(
            "ix_notice_carrier", "carrier", "carrier_ref",
            postgresql_where=text("carrier_ref IS NOT NULL"),
        ),
        Index("ix_notice_created_at", "created_at", "id"),
        Index(
            "ix_notice_unread", "person_id",
            postgresql_where=text("channel = 'inbox' AND read_at IS NULL"),
        ),
        Index("ix_notice_permit", "id", postgresql_where=text("permit IS NOT NULL")),
        Index(
            "ix_notice_on_television", "person_id", "created_at", "id",
            postgresql_where=text("channel = 'tv' AND read_at IS NULL"),
        ),
        Index("ix_notice_failed", "state_at", postgresql_where=text("state = 'failed'")),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    event: str  # "sign_in.code", "payment.receipt": notifications.catalogue has them all
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    subject_ref: str  # what it is about: a payment's id …
    channel: str
    address: str
    kind: Kind = Field(
        default=Kind.SERVICE,
        sa_column=Column(text_enum(Kind), nullable=False, server_default="service"),
    )
    lane: Lane = Field(
        default=Lane.NOW, sa_column=Column(text_enum(Lane), nullable=False, server_default="now")
    )
    locale: str = Field(default="zh_CN", sa_column_kwargs={"server_default": "zh_CN"})
    title: str
    body: str
    body_html: str | None = None
    link: str = Field(default="", sa_column_kwargs={"server_default": ""})
    attachment_ref: str | None = None  # made when it is sent: "statement:<household>:<month>"
    template_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("notice_template.id"))
    )
    template_values: dict[str, str] | None = Field(default=None, sa_column=Column(JSONB))
    state: NoticeState = Field(
        default=NoticeState.CREATED, sa_column=Column(text_enum(NoticeState), nullable=False)
    )
    state_at: datetime = Field(sa_type=UtcDateTime)
    reason: str | None = None  # why it failed or was dropped
    created_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    held: Held | None = Field(default=None, sa_column=Column(text_enum(Held)))
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # of no use after
    attempts: int = Field(
        default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0")
    )
    after_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("notice.id"))
    )
    wait_seconds: int | None = None  # for a sign of life, before the next channel's turn
    answer_by_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    carrier: str | None = None  # who took it
    carrier_ref: str | None = None  # its number there
    accepted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    permit: str | None = None  # WeChat's template, of which it has one in a worker's hands


class AgainState(StrEnum):
    CREATED = "created"
    ACCEPTED = "accepted"
    FAILED = "failed"


class NoticeAgain(SQLModel, table=True):
    """The same words once more, because staff asked for it; to the contact on file by then."""

    __tablename__ = "notice_again"
    __table_args__ = (CheckConstraint("time_no BETWEEN 1 AND 3", name="three_at_most"),)

    notice_id: int = Field(sa_column=Column(BigInteger, ForeignKey("notice.id"), primary_key=True))
    time_no: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    address: str
    asked_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    asked_at: datetime = Field(sa_type=UtcDateTime)
    state: AgainState = Field(
        default=AgainState.CREATED,
        sa_column=Column(text_enum(AgainState), nullable=False),
    )
    state_at: datetime = Field(sa_type=UtcDateTime)


class TemplateState(StrEnum):
    DRAFT = "draft"
    PROPOSED = "proposed"
    APPROVED = "approved"
    DECLINED = "declined"
    RETIRED = "retired"  # a newer version was approved


class NoticeTemplate(SQLModel, table=True):
    """A version of the words of one event in one form and language, written by staff.

    Where there is none approved, the built-in words hold. ``carrier_ids``: the number each carrier
    has approved these words under.
    """

    __tablename__ = "notice_template"
    __table_args__ = (
        UniqueConstraint("event", "form", "locale", "edition", "version"),
        CheckConstraint("form IN ('letter', 'short')", name="form"),
        CheckConstraint("edition IN ('plain', 'elder')", name="edition"),
        CheckConstraint("decided_by <> made_by", name="two_people"),
        CheckConstraint(
            "(state IN ('approved', 'declined', 'retired')) = (decided_by IS NOT NULL)",
            name="decided",
        ),
        Index(
            "ix_notice_template_approved", "event", "form", "locale", "edition", unique=True,
            postgresql_where=text("state = 'approved'"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    event: str
    form: str  # notifications.wording.template.Form
    locale: str
    edition: str
    version: int
    title: str
    body: str
    carrier_ids: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    state: TemplateState = Field(
        default=TemplateState.DRAFT, sa_column=Column(text_enum(TemplateState), nullable=False)
    )
    made_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    made_at: datetime = Field(sa_type=UtcDateTime)
    why: str  # what the second person decides by
    proposed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    decided_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    declined_because: str | None = None


class WechatPermit(SQLModel, table=True):
    """How many messages of a template somebody has said yes to; a long-term one has no end."""

    __tablename__ = "wechat_permit"
    __table_args__ = (CheckConstraint("left_count >= 0", name="never_over_used"),)

    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True))
    template_id: str = Field(primary_key=True)  # WeChat's
    left_count: int
    long_term: bool = False
    granted_at: datetime = Field(sa_type=UtcDateTime)


class News(StrEnum):
    """What there is to tell of a bill."""

    READY = "ready"
    SOON = "soon"  # its last day to pay is near
    TODAY = "today"
    LATE_1 = "late_1"  # so many days after its last day to pay
    LATE_7 = "late_7"
    LATE_30 = "late_30"


class BillNews(SQLModel, table=True):
    """What is to be told of a version of a bill; gone once it was told.

    The row is the work: found in one pass, and told batch by batch by whoever has time.
    """

    __tablename__ = "bill_news"

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    version: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    news: News = Field(sa_column=Column(text_enum(News), primary_key=True))
    found_at: datetime = Field(sa_type=UtcDateTime)


class ReminderDay(SQLModel, table=True):
    """A day whose bills to remind of were found, so that they are looked for once."""

    __tablename__ = "reminder_day"

    day: date = Field(primary_key=True)
    bills: int
    found_at: datetime = Field(sa_type=UtcDateTime)


class ServiceKind(StrEnum):
    OUTAGE = "outage"
    WORK = "work"  # planned
    OTHER = "other"


class Reach(StrEnum):
    """Which of a company's accounts a service message is for."""

    ALL = "all"
    ADDRESS = "address"  # whose address begins like this
    ACCOUNTS = "accounts"


class ServiceMessage(SQLModel, table=True):
    """What a company has to say about its service: written, sent, and later over.

    ``told_after`` is the last account whose people were told, ``over_told_after`` that it is over.
    """

    __tablename__ = "service_message"
    __table_args__ = (
        CheckConstraint("until_at > from_at", name="ends_after_it_begins"),
        CheckConstraint("(reach = 'address') = (address_prefix IS NOT NULL)", name="has_address"),
        CheckConstraint("(reach = 'accounts') = (account_nos IS NOT NULL)", name="has_accounts"),
        CheckConstraint("sent_at IS NULL OR withdrawn_at IS NULL", name="not_both"),
        CheckConstraint("over_at IS NULL OR sent_at IS NOT NULL", name="over_if_sent"),
        Index("ix_service_message_of_company", "provider_code", "made_at", "id"),
        Index("ix_service_message_made_at", "made_at", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    kind: ServiceKind = Field(sa_column=Column(text_enum(ServiceKind), nullable=False))
    words_zh: str
    words_en: str
    from_at: datetime = Field(sa_type=UtcDateTime)
    until_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # none: nobody knows
    reach: Reach = Field(sa_column=Column(text_enum(Reach), nullable=False))
    address_prefix: str | None = None
    account_nos: list[str] | None = Field(default=None, sa_column=Column(ARRAY(String)))
    made_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    made_at: datetime = Field(sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    over_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    withdrawn_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    told_after: int = Field(default=0, sa_type=BigInteger)
    over_told_after: int = Field(default=0, sa_type=BigInteger)


class Offer(SQLModel, table=True):
    """A company's commercial message: told to who agreed to offers, once staff have approved it.

    ``told_after`` is the last account whose people were told.
    """

    __tablename__ = "offer"
    __table_args__ = (
        CheckConstraint("(reach = 'address') = (address_prefix IS NOT NULL)", name="has_address"),
        CheckConstraint("(reach = 'accounts') = (account_nos IS NOT NULL)", name="has_accounts"),
        CheckConstraint("decided_by <> made_by", name="two_people"),
        CheckConstraint(
            "(decided_by IS NULL) = (decided_at IS NULL)", name="decision_says_when"
        ),
        CheckConstraint(
            "decided_at IS NULL OR proposed_at IS NOT NULL", name="decided_if_asked"
        ),
        CheckConstraint(
            "declined_because IS NULL OR decided_at IS NOT NULL", name="declined_by_somebody"
        ),
        Index("ix_offer_of_company", "provider_code", "id"),
        Index(
            "ix_offer_proposed", "proposed_at", "id",
            postgresql_where=text("proposed_at IS NOT NULL AND decided_at IS NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    words_zh: str
    words_en: str
    ends_on: date  # the last day it holds
    reach: Reach = Field(sa_column=Column(text_enum(Reach), nullable=False))
    address_prefix: str | None = None
    account_nos: list[str] | None = Field(default=None, sa_column=Column(ARRAY(String)))
    made_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    made_at: datetime = Field(sa_type=UtcDateTime)
    proposed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    decided_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    declined_because: str | None = None
    withdrawn_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    told_after: int = Field(default=0, sa_type=BigInteger)
