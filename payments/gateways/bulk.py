"""Settlement rows as COPY takes them, a block of lines at a time: a city's day has a million."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Protocol, runtime_checkable

from payments.gateways.base import SettlementRecord

COLUMNS = ("settlement_file_id", *SettlementRecord._fields)
_BLOCK_ROWS = 10_000
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Unusual(Exception):
    """A file, or something in it, that is not read by columns: row by row, it may be right."""


@runtime_checkable
class Bulk(Protocol):
    """A gateway that can read its settlement files by columns instead of row by row."""

    def read_bulk(self, content: bytes, *, day: date, file_id: int) -> Iterator[bytes]:
        """Yield what ``read_settlement`` does, as ``blocks``; trust none of them before the last.

        Raises:
            Unusual: at any moment; ``read_settlement`` says what is wrong, if anything is.
        """
        ...


def blocks(rows: Iterable[SettlementRecord], *, file_id: int) -> Iterator[bytes]:
    """Yield lines of COPY's text format, many at a time, of ``COLUMNS``."""
    lines: list[str] = []
    for row in rows:
        line_no, kind, reference, gateway_ref, amount_fen, fee_fen, happened_at, payer = row
        lines.append(
            f"{file_id}\t{line_no}\t{kind}\t{reference.translate(_ESCAPED)}\t"
            f"{gateway_ref.translate(_ESCAPED)}\t{amount_fen}\t{fee_fen}\t"
            f"{happened_at.isoformat()}\t{payer.translate(_ESCAPED)}\n"
        )
        if len(lines) == _BLOCK_ROWS:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()
