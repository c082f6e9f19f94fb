"""People, how they sign in, and the keys of companies."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    text,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class Role(StrEnum):
    RESIDENT = "resident"
    STAFF = "staff"  # customer service and finance
    OPERATOR = "operator"  # a utility's own people
    GUEST = "guest"  # somebody who only pays: no sign-in, an hour at most


class Person(SQLModel, table=True):
    """Somebody who can sign in, or a guest who only pays.

    One-time codes go to ``contact``, a phone or e-mail; a guest has none and cannot sign in.
    """

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint(
            "(role = 'operator') = (provider_code IS NOT NULL)", name="operator_of_company"
        ),
        CheckConstraint("(role = 'guest') = (contact IS NULL)", name="guest_without_contact"),
        # Customer service finds people by them.
        Index("ix_person_email", "email", postgresql_where=text("email IS NOT NULL")),
        Index("ix_person_name", "name", postgresql_ops={"name": "text_pattern_ops"}),
        Index(
            "ix_person_colleagues", "name", "id",
            postgresql_where=text("role IN ('staff', 'operator')"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    role: Role = Field(sa_column=Column(text_enum(Role), nullable=False))
    name: str
    contact: str | None = Field(default=None, unique=True)
    email: str | None = None  # where receipts go
    provider_code: str | None = None
    locale: str = "zh_CN"
    created_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # since: no sign-in


class SignInCode(SQLModel, table=True):
    """A one-time code, stored as a keyed hash; five tries, five minutes, one use."""

    __tablename__ = "sign_in_code"
    __table_args__ = (
        CheckConstraint("tries BETWEEN 0 AND 5", name="five_tries"),
        Index("ix_sign_in_code_person_id_issued_at", "person_id", "issued_at"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    code_hash: str
    tries: int = 0
    issued_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class WebSession(SQLModel, table=True):
    """A signed-in browser. Only the SHA-256 of its cookie is here."""

    __tablename__ = "web_session"

    token_hash: str = Field(primary_key=True)
    person_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False, index=True)
    )
    csrf: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ApiKey(SQLModel, table=True):
    """A company's key to our API. Only its SHA-256 is here; ``hint`` is its first characters."""

    __tablename__ = "api_key"
    __table_args__ = (
        Index("ix_api_key_live", "provider_code", postgresql_where=text("revoked_at IS NULL")),
    )

    key_hash: str = Field(primary_key=True)
    provider_code: str
    hint: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Holder(StrEnum):
    """Who signs with a key: a code may be a company's and an agent's, and they are two."""

    COMPANY = "company"  # a utility
    AGENT = "agent"  # a shop or bank that takes cash for us


class CompanyKey(SQLModel, table=True):
    """A key a company signs its requests with; its secret is here sealed (``core.crypto``).

    ``slot`` holds a company to two live keys: the one in use and the next. Of an agent,
    ``provider_code`` is the agent's code.
    """

    __tablename__ = "company_key"
    __table_args__ = (
        CheckConstraint("slot BETWEEN 1 AND 2", name="two_at_most"),
        Index(
            "ix_company_key_live", "holder", "provider_code", "slot", unique=True,
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    holder: Holder = Field(
        default=Holder.COMPANY,
        sa_column=Column(text_enum(Holder), nullable=False, server_default="company"),
    )
    provider_code: str
    slot: int = Field(sa_type=SmallInteger)
    secret_sealed: bytes = Field(sa_type=LargeBinary)
    issued_by: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class UsedNonce(SQLModel, table=True):
    """A signed request that came: the same again is a replay. Kept until its time is out."""

    __tablename__ = "used_nonce"

    key_id: str = Field(
        sa_column=Column(ForeignKey("company_key.id", ondelete="CASCADE"), primary_key=True)
    )
    nonce: str = Field(primary_key=True)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)
