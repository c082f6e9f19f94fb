"""Rows of what a home has: its accounts, who left which, and moving house."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import DATEMULTIRANGE, Range
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


def _earlier() -> Column[Any]:
    """Return the column of the stays before this one: of who left and came back."""
    return Column(DATEMULTIRANGE, nullable=False, server_default="{}")


class HouseholdAccount(SQLModel, table=True):
    """An account of a home, from ``since_on`` to ``left_on``; None: no such day.

    Of its bills the home sees those whose period begins by ``left_on`` and ends after ``since_on``,
    and those that fall into a stay before, ``earlier``: ``billing.homes.spans`` is where that is
    decided.
    """

    __tablename__ = "household_account"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 40", name="name_short"),
        Index(
            "ix_household_account_left_on", "left_on", postgresql_where=text("left_on IS NOT NULL")
        ),
    )  # fmt: skip

    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), primary_key=True)
    )
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True, index=True)
    )
    bound_at: datetime = Field(sa_type=UtcDateTime)
    bound_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    name: str | None = None  # what its people call it
    since_on: date | None = None
    left_on: date | None = None
    earlier: list[Range[date]] = Field(default_factory=list, sa_column=_earlier())


class RemovedAccount(SQLModel, table=True):
    """An account that was taken off a home, as it stood: for as long as it can be put back."""

    __tablename__ = "removed_account"

    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), primary_key=True)
    )
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True)
    )
    bound_at: datetime = Field(sa_type=UtcDateTime)
    bound_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    name: str | None = None
    since_on: date | None = None
    left_on: date | None = None
    earlier: list[Range[date]] = Field(default_factory=list, sa_column=_earlier())
    removed_at: datetime = Field(sa_type=UtcDateTime, index=True)
    removed_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))


class HomeAccountDeed(SQLModel, table=True):
    """What was done with an account of a home, and by whom. Added to, and never changed."""

    __tablename__ = "home_account_deed"
    __table_args__ = (Index("ix_home_account_deed_of_home", "household_id", "id"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), nullable=False)
    )
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), nullable=False)
    )
    deed: str  # plain text, so that a new one needs no migration
    by: int | None = Field(default=None, sa_column=Column(BigInteger, ForeignKey("person.id")))
    at: datetime = Field(sa_type=UtcDateTime)


class AccountDeparture(SQLModel, table=True):
    """That a home moved away from an account: what it knew of it until then proves nothing after.

    ``holder_mark`` is a keyed hash of the holder's name on that day: while the company has nobody
    else in its books, that name proves nothing either. The row outlives the account in the home,
    for when it comes back: ``since_on`` and ``earlier`` say what else it has seen.
    """

    __tablename__ = "account_departure"

    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True)
    )
    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), primary_key=True)
    )
    since_on: date | None = None
    left_on: date
    holder_mark: str
    earlier: list[Range[date]] = Field(default_factory=list, sa_column=_earlier())


class HouseMove(SQLModel, table=True):
    """A home's plan to move: one at a time."""

    __tablename__ = "house_move"
    __table_args__ = (
        CheckConstraint("cancelled_at IS NULL OR done_at IS NULL", name="not_both"),
        CheckConstraint("char_length(new_address) BETWEEN 1 AND 120", name="address_short"),
        CheckConstraint("char_length(phone) <= 30", name="phone_short"),
        Index(
            "ix_house_move_under_way", "household_id", unique=True,
            postgresql_where=text("cancelled_at IS NULL AND done_at IS NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), nullable=False)
    )
    made_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    made_at: datetime = Field(sa_type=UtcDateTime)
    leaves_on: date
    new_address: str
    phone: str
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Asked(StrEnum):
    """What a company is asked for."""

    CLOSE = "close"  # a last reading and a last bill, of an account
    OPEN = "open"  # an account at the new address


class MoveRequest(SQLModel, table=True):
    """One thing a company is asked to do for a move, and what it says to it."""

    __tablename__ = "move_request"
    __table_args__ = (
        CheckConstraint("(asks = 'close') = (account_id IS NOT NULL)", name="close_has_account"),
        CheckConstraint("(answered_at IS NULL) = (answered_by IS NULL)", name="answer_says_who"),
        CheckConstraint("char_length(answer) <= 500", name="answer_short"),
        Index(
            "ix_move_request_close", "move_id", "account_id", unique=True,
            postgresql_where=text("asks = 'close'"),
        ),
        Index(
            "ix_move_request_open", "move_id", "provider_code", unique=True,
            postgresql_where=text("asks = 'open'"),
        ),
        Index("ix_move_request_of_company", "provider_code", "id"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    move_id: int = Field(sa_column=Column(BigInteger, ForeignKey("house_move.id"), nullable=False))
    asks: Asked = Field(sa_column=Column(text_enum(Asked), nullable=False))
    provider_code: str
    account_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("utility_account.id"))
    )
    asked_at: datetime = Field(sa_type=UtcDateTime)
    answer: str = ""
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    answered_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
