"""Whole columns of keys at once: what ``core.keys`` makes one by one, and nothing else."""

import hashlib
import sys
from array import array
from datetime import date

import polars as pl

from core.keys import LOW_MASK, month_key


def named_keys(month: date, names: pl.Series) -> pl.Series:
    """Return the `named_key` in ``month`` of every name; ``names`` is binary, in UTF-8."""
    digest_of = hashlib.blake2b
    digests = [digest_of(name, digest_size=8).digest() for name in names.to_list()]
    keys = array("Q", b"".join(digests))
    if sys.byteorder == "little":
        keys.byteswap()
    return (pl.Series(keys, dtype=pl.UInt64) & LOW_MASK).cast(pl.Int64) | month_key(month, 0)
