"""Rows about usage: what homes of a place use, and hints that somebody has put aside."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Numeric,
)
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class PlaceReach(StrEnum):
    """How far around a home: from the nearest to all that a company serves."""

    COMPOUND = "compound"  # 小区
    STREET = "street"
    DISTRICT = "district"
    CITY = "city"


class UsageLevel(SQLModel, table=True):
    """What homes of a place used in thirty days of a billing month, in coarse steps.

    Nobody is told apart: a place with fewer than twenty homes has no row.
    """

    __tablename__ = "usage_level"
    __table_args__ = (
        CheckConstraint("homes >= 20", name="nobody_alone"),
        CheckConstraint("0 <= p25 AND p25 <= p50 AND p50 <= p75", name="in_order"),
        CheckConstraint("(reach = 'city') = (place = '')", name="city_is_nowhere_else"),
    )

    provider_code: str = Field(primary_key=True)
    billing_month: date = Field(primary_key=True)
    reach: PlaceReach = Field(sa_column=Column(text_enum(PlaceReach), primary_key=True))
    place: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    homes: int
    p25: Decimal = Field(sa_type=Numeric(12, 3))
    p50: Decimal = Field(sa_type=Numeric(12, 3))
    p75: Decimal = Field(sa_type=Numeric(12, 3))


class UsageCount(SQLModel, table=True):
    """When a company's month was counted, and how many homes there were."""

    __tablename__ = "usage_count"

    provider_code: str = Field(primary_key=True)
    billing_month: date = Field(primary_key=True)
    homes: int
    counted_at: datetime = Field(sa_type=UtcDateTime)


class UsageKnown(SQLModel, table=True):
    """Somebody knows why a bill's usage was unusual: they are not shown the hint again."""

    __tablename__ = "usage_known"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
    )

    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    person_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("person.id"), primary_key=True, autoincrement=False, index=True
        )
    )
    known_at: datetime = Field(sa_type=UtcDateTime)
