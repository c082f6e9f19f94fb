"""All that is told of usage: of one account, and of all that somebody sees, as plain figures.

The page and the API both show these, so that they say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing.rows import AnyAccount
from billing.usage.factors import Carbon, Factors, Likeness
from billing.usage.forecast import Forecast, Point, forecast
from billing.usage.hints import Hint, hints_of
from billing.usage.history import History, UsageMonth, histories
from billing.usage.levels import STEPS, Level, levels_near
from core.clock import add_months

_SAME_LENGTH_DAYS = 5  # bills that differ by more are not compared as they stand
_YEAR = 12


class Change(NamedTuple):
    """A month's usage (or amount, of what has no meter), and that of a year before."""

    month: date
    value: int
    before: int | None  # none: no such bill, or one of another length


class Compared(NamedTuple):
    """One's own usage in thirty days, in thousandths, and what homes near by used."""

    own_milli: int
    level: Level


class Emission(NamedTuple):
    """Grams of CO₂e of the newest month, and of the last twelve."""

    carbon: Carbon
    month_grams: int
    year_grams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUsage:
    """What an account's page tells."""

    history: History
    change: Change | None
    next_fen: Forecast | None
    next_milli: Forecast | None
    compared: Compared | None
    emission: Emission | None
    likenesses: tuple[tuple[Likeness, int], ...]
    hint: Hint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeUsage:
    """What the page of all accounts tells; the months are oldest first."""

    accounts: tuple[AccountUsage, ...]
    months_fen: tuple[tuple[date, int], ...]
    months_grams: tuple[tuple[date, int], ...]

    @property
    def hints(self) -> list[Hint]:
        return [one.hint for one in self.accounts if one.hint is not None]


def usage_of(
    session: Session,
    accounts: Mapping[int, AnyAccount],
    *,
    person_id: int,
    factors: Factors,
    today: date,
    among_others: bool = False,
) -> HomeUsage:
    """Return what is told of some accounts.

    Args:
        among_others: also how they compare with homes near by: a query an account.
    """
    known = histories(session, accounts, today=today)
    shown = [bill for history in known for bill in history.bills]
    hints = {
        hint.bill.account.account_id: hint
        for hint in hints_of(session, shown, person_id=person_id, today=today)
    }
    told = tuple(
        _account_usage(
            history, hints.get(history.account.account_id), factors,
            _compared(session, history) if among_others else None,
        )
        for history in known
    )  # fmt: skip
    return HomeUsage(
        accounts=told,
        months_fen=_add_up([_amounts(one) for one in known]),
        months_grams=_add_up([_grams(one, factors) for one in known]),
    )


def _account_usage(
    history: History, hint: Hint | None, factors: Factors, compared: Compared | None
) -> AccountUsage:
    newest = history.metered[-1] if history.metered else None
    milli = newest.milli or 0 if newest else 0
    likenesses = factors.likenesses_of(history.service, history.unit)
    used = [Point(one.month, one.milli or 0, one.days) for one in history.metered]
    billed = [Point(one.month, one.amount_fen, one.days) for one in history.months]
    return AccountUsage(
        history=history,
        change=_change(history),
        next_fen=forecast(billed),
        next_milli=forecast(used),
        compared=compared,
        emission=_emission(history, factors),
        likenesses=tuple((one, one.count(milli)) for one in likenesses if milli),
        hint=hint,
    )


def _change(history: History) -> Change | None:
    """Return the newest month beside the one a year before, where both bills are as long."""
    rows = history.metered or history.months
    if not rows:
        return None
    newest = rows[-1]
    before = next((one for one in rows if one.month == add_months(newest.month, -_YEAR)), None)
    if before is not None and abs(before.days - newest.days) > _SAME_LENGTH_DAYS:
        before = None

    def value(one: UsageMonth) -> int:
        return one.amount_fen if one.milli is None else one.milli

    return Change(newest.month, value(newest), None if before is None else value(before))


def _compared(session: Session, history: History) -> Compared | None:
    """Compare the newest month that was counted with homes near by; nothing for an empty home."""
    if history.unit not in STEPS:
        return None
    used = {one.month: one.milli_in_30_days for one in history.metered if one.milli}
    account = history.account
    levels = levels_near(session, account.provider_code, account.address, history.unit, list(used))
    if not levels:
        return None
    newest = max(levels)
    return Compared(used[newest] or 0, levels[newest])


def _emission(history: History, factors: Factors) -> Emission | None:
    carbon = factors.carbon_of(history.service, history.unit)
    if carbon is None or not history.metered:
        return None
    newest = history.metered[-1]
    since = add_months(newest.month, -_YEAR)
    year = sum(one.milli or 0 for one in history.metered if one.month > since)
    return Emission(carbon, carbon.grams(newest.milli or 0), carbon.grams(year))


def _amounts(history: History) -> Sequence[tuple[date, int]]:
    return [(one.month, one.amount_fen) for one in history.months]


def _grams(history: History, factors: Factors) -> Sequence[tuple[date, int]]:
    carbon = factors.carbon_of(history.service, history.unit)
    if carbon is None:
        return []
    return [(one.month, carbon.grams(one.milli or 0)) for one in history.metered]


def _add_up(rows: Sequence[Sequence[tuple[date, int]]]) -> tuple[tuple[date, int], ...]:
    sums: dict[date, int] = {}
    for own in rows:
        for month, value in own:
            sums[month] = sums.get(month, 0) + value
    return tuple(sorted(sums.items()))
