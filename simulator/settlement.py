"""The sandbox gateway's settlement file, from its own state alone.

Source: docs/wire/sandbox-gateway.md, "Settlement file".
"""

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from core.clock import day_bounds
from core.money import yuan_text
from simulator.sandbox_books import SandboxBooks
from simulator.wire import utc_text

COLUMNS = (
    "kind",
    "order_no",
    "gateway_ref",
    "refund_no",
    "refund_ref",
    "amount",
    "fee",
    "happened_at",
)


class FileFault(StrEnum):
    """How the file is made wrong, in one row, for training."""

    MISSING = "missing"
    EXTRA = "extra"
    AMOUNT = "amount"


class Row(NamedTuple):
    kind: str
    order_no: str
    gateway_ref: str
    refund_no: str
    refund_ref: str
    amount_fen: int
    fee_fen: int
    happened_at: str


def settlement_rows(books: SandboxBooks, day: date) -> list[Row]:
    """Return the payments and refunds of a Shanghai day in the order they happened."""
    rows = [
        Row(
            "payment",
            order.order_no,
            order.gateway_ref,
            "",
            "",
            order.taken_fen,
            order.fee_fen or 0,
            utc_text(order.paid_at),
        )
        for order in books.paid_on(day)
        if order.paid_at is not None
    ]
    rows += [
        Row(
            "refund",
            refund.order_no,
            order.gateway_ref,
            refund.refund_no,
            refund.refund_ref,
            -refund.amount_fen,
            0,
            utc_text(refund.refunded_at),
        )
        for refund, order in books.refunded_on(day)
    ]
    return sorted(rows, key=lambda row: row.happened_at)


def spoil(rows: Sequence[Row], fault: FileFault, day: date) -> list[Row]:
    """Make one row wrong, always the same one: leave out the last, add one, or shift the first."""
    if fault is FileFault.MISSING:
        return list(rows[:-1])
    if fault is FileFault.EXTRA:
        noon = day_bounds(day)[0] + timedelta(hours=12)
        name = f"{day:%Y%m%d}"
        unknown = Row(
            "payment", f"unknown-{name}", f"sbx_unknown_{name}", "", "", 1_234, 5, utc_text(noon)
        )
        return [*rows, unknown]
    return [row._replace(amount_fen=row.amount_fen + 1) for row in rows[:1]] + list(rows[1:])


def settlement_file(rows: Sequence[Row], day: date) -> bytes:
    """Write the file; its totals are those of the rows in it, wrong ones included."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # CRLF, RFC 4180
    writer.writerow(["#SANDBOX SETTLEMENT", day.isoformat()])
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([*row[:5], yuan_text(row.amount_fen), yuan_text(row.fee_fen), row[7]])
    total_fen = sum(row.amount_fen for row in rows)
    fee_fen = sum(row.fee_fen for row in rows)
    writer.writerow(["#TOTAL", len(rows), yuan_text(total_fen), yuan_text(fee_fen)])
    return text.getvalue().encode()
