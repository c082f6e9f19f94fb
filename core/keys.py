"""Keys that know their month.

A key is a positive 63-bit integer: twelve bits of month (counted from January 2000), then 51 bits
that tell rows of that month apart. Tables partitioned by month are partitioned by *ranges of the
key itself*, so one column is primary key, foreign key and partition key at once, and a look-up by
key goes straight to its month. See ``docs/adr/0001-keys-that-know-their-month.md``.
"""

import hashlib
from datetime import date
from functools import lru_cache

_LOW_BITS = 51
LOW_MASK = (1 << _LOW_BITS) - 1
_EPOCH_MONTH = 2000 * 12


def month_key(month: date, low: int) -> int:
    """Return the key of ``month`` (any day in it) whose 51 low bits are ``low``."""
    index = month.year * 12 + month.month - 1 - _EPOCH_MONTH
    assert 0 <= index < 1 << 12, month
    assert 0 <= low <= LOW_MASK, low
    return index << _LOW_BITS | low


def month_of(key: int) -> date:
    """Return the first day of the month a key belongs to."""
    index = (key >> _LOW_BITS) + _EPOCH_MONTH
    return date(index // 12, index % 12 + 1, 1)


def month_range(month: date) -> tuple[int, int]:
    """Return the first key of ``month`` and the first key after it."""
    first = month_key(month, 0)
    return first, first + (1 << _LOW_BITS)


def named_key(month: date, name: str) -> int:
    """Return the key ``name`` has in ``month``: the same name, the same key, on any machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return _first_key(month) | int.from_bytes(digest) & LOW_MASK


@lru_cache(maxsize=64)
def _first_key(month: date) -> int:
    return month_key(month, 0)
