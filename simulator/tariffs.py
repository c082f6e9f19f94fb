"""What the companies charge, and how a year's usage falls on its months.

Source: Shanghai's published household tariffs: power 0.617/0.307, 0.677/0.337, 0.977/0.487 yuan
per kWh (peak 06-22/valley) up to 3,120 and 4,800 kWh a year; gas 3.00, 3.30, 4.20 yuan per m³ up
to 310 and 520 m³; water as on bills of 2023-24, supply 2.25 and drainage 2.00 on 0.9 of the
volume, up to 220 and 300 m³. The water prices of tiers two and three (4.00, 6.99) are a guess.
How much households use is a log-normal fit to the share of households the tiers were set to cover.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from core.money import price

_ONE = Decimal(1)


class Meter(NamedTuple):
    """One company's year.

    Args:
        limits: where the second and third tier begin, in units a year.
        large_extra: how much further for a household of five or more.
        shares: the thousandths of a year's usage in each billing period of it.
        curve: a year's usage over the households: points (of ten thousand, units).
    """

    limits: tuple[int, int]
    large_extra: int
    shares: tuple[int, ...]
    curve: tuple[tuple[int, int], ...]


WATER = Meter(
    (220, 300),
    100,
    (150, 145, 160, 185, 195, 165),
    (
        (0, 25),
        (500, 56),
        (2_500, 92),
        (5_000, 130),
        (7_500, 183),
        (8_500, 220),
        (9_500, 300),
        (9_900, 425),
        (10_000, 700),
    ),
)
POWER = Meter(
    (3_120, 4_800),
    1_200,
    (100, 85, 70, 60, 62, 80, 125, 130, 90, 62, 60, 76),
    (
        (0, 300),
        (500, 823),
        (2_500, 1_384),
        (5_000, 1_987),
        (8_000, 3_120),
        (9_500, 4_800),
        (9_900, 6_914),
        (10_000, 11_000),
    ),
)
GAS = Meter(
    (310, 520),
    150,
    (230, 220, 160, 115, 110, 165),
    (
        (0, 25),
        (500, 63),
        (2_500, 117),
        (5_000, 180),
        (8_000, 310),
        (9_500, 520),
        (9_900, 807),
        (10_000, 1_300),
    ),
)

_WATER_SUPPLY_YUAN = (Decimal("2.25"), Decimal("4.00"), Decimal("6.99"))
_WATER_DRAINAGE_YUAN = Decimal("2.00")
_DRAINED_PART = Decimal("0.9")
_POWER_PEAK_YUAN = (Decimal("0.617"), Decimal("0.677"), Decimal("0.977"))
_POWER_VALLEY_YUAN = (Decimal("0.307"), Decimal("0.337"), Decimal("0.487"))
_GAS_YUAN = (Decimal("3.00"), Decimal("3.30"), Decimal("4.20"))


def water_charges(before_l: int, usage_l: int, *, is_large: bool) -> tuple[int, int]:
    """Price water, in litres of this year before and now: supply and drainage in fen."""
    parts = [Decimal(part).scaleb(-3) for part in _tiers(WATER, before_l, usage_l, is_large, 1_000)]
    drained = Decimal(usage_l).scaleb(-3) * _DRAINED_PART
    return _charge(parts, _WATER_SUPPLY_YUAN), price(drained, _WATER_DRAINAGE_YUAN)


def power_charges(
    before_kwh: int, *, peak_kwh: int, valley_kwh: int, is_large: bool
) -> tuple[int, int]:
    """Price power: peak and valley in fen. A tier takes of both as the whole bill does."""
    usage = peak_kwh + valley_kwh
    parts = _tiers(POWER, before_kwh, usage, is_large, 1)
    upper_peaks = [part * peak_kwh // (usage or 1) for part in parts[1:]]
    peaks = [peak_kwh - sum(upper_peaks), *upper_peaks]
    valleys = [part - peak for part, peak in zip(parts, peaks, strict=True)]
    return (
        _charge([Decimal(peak) for peak in peaks], _POWER_PEAK_YUAN),
        _charge([Decimal(valley) for valley in valleys], _POWER_VALLEY_YUAN),
    )


def gas_charge(before_m3: int, usage_m3: int, *, is_large: bool) -> int:
    """Price gas, in fen."""
    parts = _tiers(GAS, before_m3, usage_m3, is_large, 1)
    return _charge([Decimal(part) for part in parts], _GAS_YUAN)


def _charge(parts: Sequence[Decimal], prices_yuan: Sequence[Decimal]) -> int:
    """Add the tiers up exactly and round once."""
    if not any(parts[1:]):
        return price(parts[0], prices_yuan[0])
    return price(sum(map(Decimal.__mul__, parts, prices_yuan), start=Decimal()), _ONE)


def _tiers(meter: Meter, before: int, usage: int, is_large: bool, scale: int) -> list[int]:
    """Divide a usage over the three tiers, which count from the beginning of the year."""
    extra = meter.large_extra if is_large else 0
    first_end, second_end = ((limit + extra) * scale for limit in meter.limits)
    after = before + usage
    if after <= first_end:
        return [usage, 0, 0]
    above_first = after - max(before, first_end)
    above_second = max(0, after - max(before, second_end))
    return [usage - above_first, above_first - above_second, above_second]
