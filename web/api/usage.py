"""A resident's usage: the figures of the page, for programs."""

from datetime import date
from decimal import Decimal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from billing.usage.forecast import Forecast
from billing.usage.hints import Hint
from billing.usage.history import UsageMonth
from billing.usage.models import PlaceReach
from billing.usage.reports import AccountUsage, Compared, Emission
from web.access import Db, Resident
from web.pages.usage import usage_of_person

router = APIRouter(tags=["usage"])


class MonthOut(BaseModel):
    billing_month: date
    days: int
    amount_fen: int
    usage: Decimal | None
    estimated: bool


class AmountOut(BaseModel):
    """The next bill, most likely between ``low_fen`` and ``high_fen``."""

    billing_month: date
    low_fen: int
    likely_fen: int
    high_fen: int
    bills: int


class UsageRangeOut(BaseModel):
    billing_month: date
    low: Decimal
    likely: Decimal
    high: Decimal
    bills: int


class ComparedOut(BaseModel):
    """Usage in thirty days: one's own, and that of at least twenty homes near by."""

    billing_month: date
    own: Decimal
    reach: PlaceReach
    place: str
    homes_at_least: int
    p25: Decimal
    p50: Decimal
    p75: Decimal


class EmissionOut(BaseModel):
    month_grams: int
    year_grams: int
    kg_per_unit: Decimal
    year: int
    source: str
    url: str | None


class LikenessOut(BaseModel):
    name: str
    name_en: str
    count: int


class HintOut(BaseModel):
    bill_id: str
    usage: Decimal
    usual: Decimal
    seasonal: bool
    looks_like_a_leak: bool
    known: bool


class AccountUsageOut(BaseModel):
    account_id: int
    provider: str
    account_no_masked: str
    usage_unit: str
    months: list[MonthOut]
    next_amount: AmountOut | None
    next_usage: UsageRangeOut | None
    compared: ComparedOut | None
    emission: EmissionOut | None
    likenesses: list[LikenessOut]
    hint: HintOut | None


class UsageOut(BaseModel):
    accounts: list[AccountUsageOut]


@router.get("/usage")
def read_usage(
    db: Db,
    caller: Resident,
    account: int | None = Query(default=None, ge=1, lt=1 << 63),
    household: int | None = Query(default=None, ge=1, lt=1 << 63),
) -> UsageOut:
    """Return the usage of all of the caller's accounts; of one, also how it compares near by.

    `household` is one of the caller's own; of anybody else's there are no accounts.
    """
    usage = usage_of_person(db, caller.id, account_id=account, household_id=household)
    return UsageOut(accounts=[_account(one) for one in usage.accounts])


def _account(one: AccountUsage) -> AccountUsageOut:
    history = one.history
    return AccountUsageOut(
        account_id=history.account.account_id,
        provider=history.account.provider_code,
        account_no_masked=history.account.account_no_masked,
        usage_unit=history.unit,
        months=[_month(row) for row in history.months],
        next_amount=_amount(one.next_fen) if one.next_fen else None,
        next_usage=_range(one.next_milli) if one.next_milli else None,
        compared=_compared(one.compared) if one.compared else None,
        emission=_emission(one.emission) if one.emission else None,
        likenesses=[
            LikenessOut(name=like.name_zh, name_en=like.name_en, count=count)
            for like, count in one.likenesses
        ],
        hint=_hint(one.hint) if one.hint else None,
    )


def _milli(value: int) -> Decimal:
    return Decimal(value).scaleb(-3)


def _month(row: UsageMonth) -> MonthOut:
    return MonthOut(
        billing_month=row.month, days=row.days, amount_fen=row.amount_fen,
        usage=None if row.milli is None else _milli(row.milli), estimated=row.estimated,
    )  # fmt: skip


def _amount(told: Forecast) -> AmountOut:
    return AmountOut(
        billing_month=told.month, low_fen=told.low, likely_fen=told.likely, high_fen=told.high,
        bills=told.bills,
    )  # fmt: skip


def _range(told: Forecast) -> UsageRangeOut:
    return UsageRangeOut(
        billing_month=told.month, low=_milli(told.low), likely=_milli(told.likely),
        high=_milli(told.high), bills=told.bills,
    )  # fmt: skip


def _compared(told: Compared) -> ComparedOut:
    level = told.level
    return ComparedOut(
        billing_month=level.month, own=_milli(told.own_milli), reach=level.reach,
        place=level.place, homes_at_least=level.homes // 10 * 10,
        p25=level.p25, p50=level.p50, p75=level.p75,
    )  # fmt: skip


def _emission(told: Emission) -> EmissionOut:
    carbon = told.carbon
    return EmissionOut(
        month_grams=told.month_grams, year_grams=told.year_grams, kg_per_unit=carbon.kg,
        year=carbon.year, source=carbon.source_zh, url=carbon.url,
    )  # fmt: skip


def _hint(told: Hint) -> HintOut:
    return HintOut(
        bill_id=told.bill.ref, usage=told.odd.usage, usual=told.odd.usual,
        seasonal=told.odd.seasonal, looks_like_a_leak=told.leaks, known=told.known,
    )  # fmt: skip
