"""Bills in bulk: many rows of a file at once, as columns, for files too large to go row by row.

A reader that can judge a stretch of its file column by column says so with ``read_bulk``; every
other one is read row by row. The importer takes both and cannot tell them apart by what lands.
"""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import BinaryIO, Final, NamedTuple, Protocol, runtime_checkable

import polars as pl

from providers.base import BillFileReader, BillRecord, Heading, LineItem, Reject

BULK_ROWS: Final = 5_000  # of a reader that goes row by row

# One sound bill a row, in the units of `BillRecord`; ``usage`` in digits with three decimals at
# most, null where there is none, ``items`` as `items_text` writes them.
FRAME: Final = pl.Schema(
    {
        "line_no": pl.Int64,
        "account_no": pl.String,
        "holder_name": pl.String,
        "address": pl.String,
        "billing_month": pl.Date,
        "bill_no": pl.String,
        "version": pl.Int16,
        "period_from_on": pl.Date,
        "period_to_on": pl.Date,
        "issued_on": pl.Date,
        "due_on": pl.Date,
        "usage": pl.String,
        "usage_unit": pl.String,
        "amount_fen": pl.Int64,
        "items": pl.String,
    }
)
NO_BILLS: Final = FRAME.to_frame()


class Bulk(NamedTuple):
    """A stretch of a file: ``frame`` has its plain bills (see ``FRAME``), ``others`` the rest.

    Between the two ``line_no`` says what came first.
    """

    frame: pl.DataFrame
    others: list[BillRecord | Reject]


@runtime_checkable
class BulkReader(Protocol):
    """A reader that may hand over whole stretches of its file."""

    def read_bulk(self, stream: BinaryIO) -> Iterator[Heading | Bulk]:
        """Yield the heading, if there is one, then the file's stretches in file order.

        What it reads is what `BillFileReader.read` reads of the same bytes, to the letter, and it
        refuses what that refuses.

        Raises:
            BillFileError: as `BillFileReader.read`.
        """
        ...


def read_bulk(reader: BillFileReader, stream: BinaryIO) -> Iterator[Heading | Bulk]:
    """Read a file by stretches, whatever its reader can.

    Raises:
        BillFileError: the reader refuses the file.
    """
    if isinstance(reader, BulkReader):
        yield from reader.read_bulk(stream)
        return
    rows = reader.read(stream)
    while piece := list(islice(rows, BULK_ROWS)):
        yield from (row for row in piece if isinstance(row, Heading))
        yield Bulk(NO_BILLS, [row for row in piece if not isinstance(row, Heading)])


def items_text(items: Iterable[LineItem]) -> str:
    """Write a bill's lines as a JSON array of ``[name, quantity, unit, fen]``."""
    return f"[{','.join([item_text(*item) for item in items])}]"


def item_text(name: str, quantity: Decimal | None, unit: str, amount_fen: int) -> str:
    """Write one line; the quantity stays text, so that no reader makes a float of it."""
    metered = "null" if quantity is None else f'"{quantity}"'
    return f"[{quoted(name)},{metered},{quoted(unit)},{amount_fen}]"


# The lines of a file share a few names and units, so writing them out is remembered.
@lru_cache(maxsize=4096)
def quoted(text: str) -> str:
    """Write a text as JSON."""
    return json.dumps(text, ensure_ascii=False)
