"""Why a bill is more or less than another of its account: parts that add up to the difference.

Pure: no database, no clock, no words. A part is claimed only where the figures tell it; what
nothing tells is a change of price. All amounts are fen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from billing.rules.tiers import TierStand
from core.clock import add_months

LONGER_DAYS: Final = 3  # fewer make no difference: months have 28 to 31 days
_TOLD_TENTHS: Final = 1  # a part below this of all that moved is not told


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of an account for a month, in one bill or several.

    ``tiers``: where the bill stands in its tier year, where its company has steps.
    """

    month: date
    days: int
    charge_fen: int
    late_fee_fen: int = 0
    credited_fen: int = 0
    usage: Decimal | None = None
    unit: str = ""
    items: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    tiers: TierStand | None = None

    @property
    def total_fen(self) -> int:
        return self.charge_fen + self.late_fee_fen - self.credited_fen


class Reason(StrEnum):
    USAGE = "usage"  # ``amount`` more or less was used
    DAYS = "days"  # the bill covers ``amount`` more or fewer days
    A_DAY = "a_day"  # of bills of different length: more or less was used a day
    TIER = "tier"  # ``amount`` fell in step ``step``
    CHEAPER_TIER = "cheaper_tier"  # nothing of it fell in the other's higher step
    PRICE = "price"
    ITEM = "item"  # the line ``name`` changed
    LATE_FEE = "late_fee"
    CREDIT = "credit"  # less (or more, if below zero) was covered by credits


class Part(NamedTuple):
    """A part of a difference; above zero it made the bill larger."""

    reason: Reason
    fen: int
    amount: Decimal | None = None
    name: str = ""
    step: int = 0


class Change(NamedTuple):
    """How a bill differs from ``before``; the parts add up to ``diff_fen``, largest first."""

    before: Asked
    diff_fen: int
    parts: tuple[Part, ...]
    next_to: bool  # the months are neighbours

    @property
    def told(self) -> tuple[Part, ...]:
        """The parts worth a word: exact ones, and those that moved the amount."""
        if self.diff_fen == 0:
            return ()
        moved = sum(abs(part.fen) for part in self.parts)
        exact = (Reason.LATE_FEE, Reason.CREDIT)
        return tuple(
            part
            for part in self.parts
            if part.reason in exact or abs(part.fen) * 10 >= moved * _TOLD_TENTHS
        )


def compare(now: Asked, before: Asked) -> Change:
    """Tell how a bill differs from an earlier one, and by what."""
    charge_fen = now.charge_fen - before.charge_fen
    parts = [
        *_charge_parts(now, before, charge_fen),
        Part(Reason.LATE_FEE, now.late_fee_fen - before.late_fee_fen),
        Part(Reason.CREDIT, before.credited_fen - now.credited_fen),
    ]
    moved = sorted((one for one in parts if one.fen), key=lambda one: -abs(one.fen))
    return Change(
        before,
        now.total_fen - before.total_fen,
        tuple(moved),
        add_months(before.month, 1) == now.month,
    )


def _charge_parts(now: Asked, before: Asked, charge_fen: int) -> Sequence[Part]:
    """Divide the difference of two charges; what is left over is a price."""
    if now.usage is None or before.usage is None or now.unit != before.unit:
        return _item_parts(now, before, charge_fen)
    more = now.usage - before.usage
    if before.usage <= 0 or before.charge_fen <= 0:
        return [Part(Reason.USAGE if more * charge_fen > 0 else Reason.PRICE, charge_fen, more)]
    used_fen = _fen(more * before.charge_fen, before.usage)
    if min(now.days, before.days) > 0 and abs(now.days - before.days) >= LONGER_DAYS:
        # What the earlier usage a day would have come to over the days of this bill.
        days_fen = _fen(Decimal(before.charge_fen * (now.days - before.days)), Decimal(before.days))
        by_use = [
            Part(Reason.DAYS, days_fen, Decimal(now.days - before.days)),
            Part(Reason.A_DAY, used_fen - days_fen),
        ]
    else:
        by_use = [Part(Reason.USAGE, used_fen, more)]
    return [*by_use, _price_part(now, before, charge_fen - used_fen)]


def _price_part(now: Asked, before: Asked, fen: int) -> Part:
    """Name what usage does not explain: a step, where it accounts for most of it."""
    if now.tiers is not None and before.tiers is not None:
        dearer_fen = now.tiers.dearer_fen - before.tiers.dearer_fen
        high, was = now.tiers.highest, before.tiers.highest
        if dearer_fen > 0 and fen * 2 >= dearer_fen and high.no > 1:
            return Part(Reason.TIER, fen, high.now, step=high.no)
        if dearer_fen < 0 and fen * 2 <= dearer_fen and was.no > high.no:
            return Part(Reason.CHEAPER_TIER, fen, step=was.no)
    return Part(Reason.PRICE, fen)


def _item_parts(now: Asked, before: Asked, charge_fen: int) -> Sequence[Part]:
    """Compare bills line by line: of the companies without a meter."""
    names = dict.fromkeys([*now.items, *before.items])
    parts = [
        Part(Reason.ITEM, now.items.get(name, 0) - before.items.get(name, 0), name=name)
        for name in names
    ]
    return [*parts, Part(Reason.PRICE, charge_fen - sum(part.fen for part in parts))]


def _fen(amount: Decimal, over: Decimal) -> int:
    whole, rest = divmod(abs(amount), over)
    fen = int(whole) + (rest * 2 >= over)  # half up
    return fen if amount >= 0 else -fen
