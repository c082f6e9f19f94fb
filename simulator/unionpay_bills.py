"""UnionPay's files of a day of its own, from the far side's own state alone.

Source: docs/wire/unionpay.md, "Files".
"""

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import NamedTuple

from core.clock import BILLING_ZONE
from core.money import yuan_text
from simulator.unionpay_books import UnionPayBooks
from simulator.unionpay_records import MER_ID, Fault, stamp

_WIDTHS = (
    "3 11 11 6 10 19 12 4 2 21 2 32 2 6 10 13 13 4 15 2 2 6 2 4 32 1 21 15 1 15 32 13 13 8 32 13 "
    "13 12 2 1 32 98"
)
_CARD = "621700*********0001"
_UTILITIES = "4900"  # 商户类别


class Row(NamedTuple):
    """``amount_fen`` is below zero of a refund, ``fee_fen`` what the merchant pays."""

    order_id: str
    query_id: str
    of_query_id: str
    amount_fen: int
    fee_fen: int
    moved_at: datetime
    biz_type: str
    of_moved_at: datetime | None = None


def file_rows(books: UnionPayBooks, day: date) -> list[Row]:
    """Return the payments and refunds of one of UnionPay's days in the order they happened."""
    orders, refunds = books.cleared(day)
    rows = [
        Row(
            one.order_id, one.query_id, "", one.taken_fen, one.fee_fen, one.paid_at, one.biz_type
        )
        for one in orders if one.paid_at
    ]  # fmt: skip
    rows += [
        Row(
            made.order_id, made.query_id, of.query_id, -made.amount_fen, 0, made.refunded_at,
            of.biz_type, of.paid_at,
        )
        for made, of in refunds
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.moved_at)


def day_zip(books: UnionPayBooks, day: date, fault: Fault | None) -> bytes:
    """Write a day's files: the rows, none put right, and the totals."""
    rows = _spoil(file_rows(books, day), fault, day)
    off_fen = 1 if fault is Fault.TRAILER else 0
    head = f"{day:%y%m%d}88"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        text = "".join(f"{_line(row)}\r\n" for row in rows)
        archive.writestr(f"INN{head}ZM_{MER_ID}", text.encode("gbk"))
        archive.writestr(f"INN{head}ZME_{MER_ID}", b"")
        archive.writestr(f"RD{head}_{MER_ID}", _summary(rows, day, off_fen).encode("gbk"))
    return made.getvalue()


def _spoil(rows: Sequence[Row], fault: Fault | None, day: date) -> list[Row]:
    """Make one row wrong, always the same one; the totals are those of what is left."""
    if fault is Fault.MISSING:
        return list(rows[:-1])
    if fault is Fault.AMOUNT:
        return [row._replace(amount_fen=row.amount_fen + 1) for row in rows[:1]] + list(rows[1:])
    if fault is Fault.EXTRA:
        noon = datetime.combine(day, time(12), tzinfo=BILLING_ZONE)
        number = f"{day:%Y%m%d}"
        unknown = Row(
            f"unknown{number}", f"{number}1200000000001", "", 1_234, 7, noon, "000201"
        )  # fmt: skip
        return [*rows, unknown]
    return list(rows)


def _line(row: Row) -> str:
    """Write a row; what it has nothing for is blanks."""
    is_refund = row.amount_fen < 0
    filled = {
        1: "S22", 2: "48261000", 3: "48260000", 4: row.query_id[-6:], 5: stamp(row.moved_at)[4:],
        6: _CARD, 7: f"{abs(row.amount_fen):012d}", 8: _UTILITIES, 9: "07", 10: row.query_id,
        12: row.order_id, 13: "01", 14: row.of_query_id[-6:],
        15: stamp(row.of_moved_at)[4:] if row.of_moved_at else "", 16: _signed(-row.fee_fen),
        17: _signed(row.amount_fen - row.fee_fen), 20: "04" if is_refund else "01",
        21: "00" if is_refund else "01", 22: row.biz_type, 23: "01", 27: row.of_query_id,
        28: MER_ID, 33: _signed(row.amount_fen - row.fee_fen), 34: "01080209",
    }  # fmt: skip
    widths = [int(one) for one in _WIDTHS.split()]
    return " ".join(filled.get(at, "").ljust(width) for at, width in enumerate(widths, start=1))


def _signed(fen: int) -> str:
    return f"{'D' if fen < 0 else 'C'}{abs(fen):012d}"


def _summary(rows: Sequence[Row], day: date, off_fen: int) -> str:
    amount_fen = sum(row.amount_fen for row in rows) + off_fen
    fee_fen = -sum(row.fee_fen for row in rows)
    figures = "  ".join(map(_yuan, (amount_fen, fee_fen, amount_fen + fee_fen)))
    return (
        f"商户清算汇总  {MER_ID}  清算日期 {day}\r\n"
        "        交易金额  手续费  结算金额\r\n"
        f"合计  {len(rows)}  {figures}\r\n"
    )


def _yuan(fen: int) -> str:
    """Render fen with separators, as a person reads them."""
    whole, _, cents = yuan_text(abs(fen)).partition(".")
    return f"{'-' if fen < 0 else ''}{int(whole):,}.{cents}"
