"""Where a bill begins: its own row, and the posting *bill issued*, both as COPY reads them."""

from typing import Final

import polars as pl

from billing.binary_rows import BinaryRows
from billing.corrections import Chunk
from core.clock import billing_date

COPY_BILLS: Final = b"""
    COPY bill (account_id, id, bill_file_id, amount_fen, recorded_at, billing_month, period_from_on,
               period_to_on, issued_on, due_on, file_line_no, version, usage, usage_unit, pay_terms,
               bill_no, items) FROM STDIN (FORMAT BINARY)
"""
COPY_TRANSFERS: Final = b"""
    COPY ledger_transfer (account_id, subject_id, debit_account_id, credit_account_id, amount_fen,
                          posted_on, posted_at, entry_key) FROM STDIN (FORMAT BINARY)
"""
_DAYS: Final = ("billing_month", "period_from_on", "period_to_on", "issued_on", "due_on")


def binary_bills(bills: pl.DataFrame, chunk: Chunk) -> bytes:
    """Return a chunk's rows, of accounts that are known, as `COPY_BILLS` takes them."""
    rows = BinaryRows(bills.height, 17)
    rows.number(8, bills["account_id"])
    rows.number(8, bills["id"])
    rows.number(8, chunk.bill_file_id)
    rows.number(8, bills["amount_fen"])
    rows.moment(chunk.now)
    for name in _DAYS:
        rows.day(bills[name])
    rows.number(4, bills["line_no"])
    rows.number(2, bills["version"])
    rows.thousandths(bills["usage"])
    for name in ("usage_unit", "pay_terms", "bill_no", "items"):
        rows.text(bills[name])
    return rows.written()


def binary_transfers(bills: pl.DataFrame, chunk: Chunk) -> bytes:
    """Return the transfers of bills (``account_id``, ``id``, ``version``, ``amount_fen``).

    A bill of zero has none; a credit (negative) is posted the other way round.
    """
    posted = bills.filter(pl.col("amount_fen") != 0)
    owed = posted["amount_fen"] > 0
    rows = BinaryRows(posted.height, 8)
    rows.number(8, posted["account_id"])
    rows.number(8, posted["id"])
    rows.number(4, _either(owed, chunk.receivable_id, chunk.uncollected_id))
    rows.number(4, _either(owed, chunk.uncollected_id, chunk.receivable_id))
    rows.number(8, posted["amount_fen"].abs())
    rows.day(billing_date(chunk.now))
    rows.moment(chunk.now)
    rows.text("issued." + posted["version"].cast(pl.String))
    return rows.written()


def _either(owed: pl.Series, where_so: int, otherwise: int) -> pl.Series:
    return pl.select(pl.when(owed).then(where_so).otherwise(otherwise).alias("id"))["id"]
