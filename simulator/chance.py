"""Chance that can be asked again: the same question always has the same answer, in any order.

Whole numbers only, so that no platform's rounding can change a city.
"""

from bisect import bisect_right
from collections.abc import Sequence

_MASK = (1 << 64) - 1


def mix(number: int) -> int:
    """Scatter a number over 64 bits (the finaliser of SplitMix64: Steele, Lea, Flood 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def at_quantile(curve: Sequence[tuple[int, int]], roll: int) -> int:
    """Read a distribution given as points (of ten thousand, value), straight between them.

    ``roll`` is 0…9,999; the first point stands at 0 and the last at 10,000.
    """
    at = bisect_right(curve, (roll, _MASK)) - 1
    (low_roll, low), (high_roll, high) = curve[at], curve[at + 1]
    return low + (high - low) * (roll - low_roll) // (high_roll - low_roll)
