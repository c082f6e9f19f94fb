"""The posting *bill issued* of a whole chunk, as COPY reads it in binary.

One transfer a bill makes this the second largest thing an import writes. Written as text it costs
the database a third more, and us the writing. Rows alike in length are laid out from one template,
and what differs is put in column by column. Source of the layout: PostgreSQL's manual, COPY.
"""

import struct
from array import array
from datetime import UTC, date, datetime
from itertools import product
from typing import Final

import polars as pl

from billing.corrections import Chunk
from core.clock import billing_date

COPY_TRANSFERS: Final = b"""
    COPY ledger_transfer (account_id, subject_id, entry_key, debit_account_id, credit_account_id,
                          amount_fen, posted_on, posted_at) FROM STDIN (FORMAT BINARY)
"""
_START: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_END: Final = struct.pack(">h", -1)
_KEY: Final = b"issued."
_EPOCH_ON: Final = date(2000, 1, 1)
_EPOCH_AT: Final = datetime(2000, 1, 1, tzinfo=UTC)


def binary_transfers(bills: pl.DataFrame, chunk: Chunk) -> bytes:
    """Return the transfers of bills (``account_id``, ``id``, ``version``, ``amount_fen``).

    A bill of zero has none; a credit (negative) is posted the other way round.
    """
    parts = [_START]
    for sign, digits in product((1, -1), (1, 2)):
        alike = bills.filter(
            pl.col("amount_fen") * sign > 0,
            (pl.col("version") < 10) == (digits == 1),
        )
        if alike.height:
            parts.append(bytes(_rows(alike, chunk, owed=sign > 0, digits=digits)))
    return b"".join([*parts, _END])


def _rows(bills: pl.DataFrame, chunk: Chunk, *, owed: bool, digits: int) -> bytearray:
    receivable, uncollected = chunk.receivable_id, chunk.uncollected_id
    debit_id, credit_id = (receivable, uncollected) if owed else (uncollected, receivable)
    posted_at = (chunk.now - _EPOCH_AT) // datetime.resolution
    key = _KEY + b"0" * digits
    row = struct.pack(
        f">h iq iq i{len(key)}s ii ii iq ii iq",
        8, 8, 0, 8, 0, len(key), key, 4, debit_id, 4, credit_id, 8, 0,
        4, (billing_date(chunk.now) - _EPOCH_ON).days, 8, posted_at,
    )  # fmt: skip
    rows = bytearray(row * bills.height)
    _fill(rows, len(row), 6, bills["account_id"])
    _fill(rows, len(row), 18, bills["id"])
    _fill(rows, len(row), 30 + len(key) + 20, bills["amount_fen"].abs())
    version = bills["version"].cast(pl.Int64)
    for place in range(digits):
        digit = version // 10 ** (digits - 1 - place) % 10 + ord("0")
        rows[30 + len(_KEY) + place :: len(row)] = bytes(digit.to_list())
    return rows


def _fill(rows: bytearray, row_bytes: int, at: int, values: pl.Series) -> None:
    """Put an eight-byte column in its place, most significant byte first."""
    column = array("q", values.to_list())
    if struct.pack("=h", 1) != struct.pack(">h", 1):
        column.byteswap()
    told = column.tobytes()
    for place in range(8):
        rows[at + place :: row_bytes] = told[place::8]
