"""Writers of the four companies' bill files, to any size: nothing is held but a block of lines.

Source: docs/wire/bill-files.md.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import cache
from itertools import islice
from typing import IO, NamedTuple, TypeVar
from xml.sax.saxutils import escape, quoteattr

from core.errors import Invalid
from core.money import yuan_text
from simulator.bills import EARLY_DAYS, Bill, GasBill, PowerBill, TelecomBill, WaterBill

_BLOCK = 10_000
_POWER_HEADER = (
    "户号",
    "户名",
    "用电地址",
    "电费年月",
    "账单编号",
    "版本号",
    "冲销标志",
    "抄表起",
    "抄表止",
    "峰电量",
    "谷电量",
    "峰电费",
    "谷电费",
    "应收电费",
    "发行日期",
    "缴费截止日期",
)
AnyBill = TypeVar("AnyBill", bound=Bill)


class Totals(NamedTuple):
    """What a file holds: its bills, and the sum of their amounts, cancellations included."""

    bill_count: int
    amount_fen: int


def write_water(
    stream: IO[bytes], bills: Iterable[WaterBill], sequence: int, file_on: date
) -> Totals:
    """Write City Water's file: GB18030, cells between bars.

    Raises:
        Invalid: a bar or a line end inside a cell, which the format cannot carry.
    """
    stream.write(f"H|WATER|{sequence}|{_compact(file_on)}\n".encode("gb18030"))
    count = amount_fen = 0
    for block in _blocks(bills):
        lines = [_water_line(bill) for bill in block]
        text = "".join(lines)
        bars = 15 * len(lines) + sum(bool(bill.original_no) for bill in block)
        if text.count("|") != bars or len(text.splitlines()) != len(lines):
            raise Invalid("a cell holds a bar or a line end: the water file cannot carry it")
        stream.write(text.encode("gb18030"))
        count += len(lines)
        amount_fen += sum(bill.amount_fen for bill in block)
    stream.write(f"T|{count}|{yuan_text(amount_fen)}\n".encode("gb18030"))
    return Totals(count, amount_fen)


def _water_line(bill: WaterBill) -> str:
    flag = "C" if bill.is_cancellation else "R" if bill.original_no else "N"
    return (
        f"D|{bill.account_no}|{bill.holder}|{bill.address}|{_compact_month(bill.billing_month)}"
        f"|{bill.bill_no}|{bill.version}|{flag}"
        f"|{_compact(bill.from_on)}|{_compact(bill.to_on)}|{bill.usage_m3}"
        f"|{yuan_text(bill.supply_fen)}|{yuan_text(bill.drainage_fen)}"
        f"|{yuan_text(bill.amount_fen)}|{_compact(bill.issued_on)}|{_compact(bill.due_on)}"
        f"{'|' if bill.original_no else ''}{bill.original_no}\n"
    )


def write_power(
    stream: IO[bytes], bills: Iterable[PowerBill], sequence: int, file_on: date
) -> Totals:
    """Write City Power's file: CSV with a byte order mark; sequence and day are not in it."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    writer = csv.writer(text)
    writer.writerow(_POWER_HEADER)
    count = amount_fen = 0
    for block in _blocks(bills):
        writer.writerows(_power_row(bill) for bill in block)
        count += len(block)
        amount_fen += sum(bill.amount_fen for bill in block)
    text.detach()
    return Totals(count, amount_fen)


def _power_row(bill: PowerBill) -> tuple[object, ...]:
    return (
        bill.account_no,
        bill.holder,
        bill.address,
        f"{bill.billing_month:%Y-%m}",
        bill.bill_no,
        bill.version,
        "1" if bill.is_cancellation else "0",
        bill.from_on.isoformat(),
        bill.to_on.isoformat(),
        bill.peak_kwh,
        bill.valley_kwh,
        yuan_text(bill.peak_fen),
        yuan_text(bill.valley_fen),
        yuan_text(bill.amount_fen),
        bill.issued_on.isoformat(),
        bill.due_on.isoformat(),
    )


def write_gas(stream: IO[bytes], bills: Iterable[GasBill], sequence: int, file_on: date) -> Totals:
    """Write City Gas's file: GB18030, widths in bytes, money in whole fen.

    Raises:
        Invalid: a value is wider than its field; nothing is ever cut.
    """
    header = b"1" + _text("CITYGAS ", 8) + _digits(sequence, 8) + _compact(file_on).encode()
    stream.write(header + b"\n")
    count = amount_fen = 0
    for block in _blocks(bills):
        stream.write(b"".join([_gas_line(bill) for bill in block]))
        count += len(block)
        amount_fen += sum(bill.amount_fen for bill in block)
    stream.write(b"9" + _digits(count, 8) + _digits(amount_fen, 14) + b"\n")
    return Totals(count, amount_fen)


def _gas_line(bill: GasBill) -> bytes:
    return b"".join(
        (
            b"2",
            _text(bill.account_no, 12),
            _text(bill.holder, 40),
            _text(bill.address, 60),
            _compact_month(bill.billing_month).encode(),
            _text(bill.bill_no, 16),
            _digits(bill.version, 2),
            b"9" if bill.is_cancellation else b"0",
            _compact(bill.from_on).encode(),
            _compact(bill.to_on).encode(),
            _digits(bill.last_reading_m3, 8),
            _digits(bill.this_reading_m3, 8),
            _digits(bill.usage_m3, 7),
            _digits(bill.amount_fen, 10),
            _ordinal(bill.issued_on),
            _ordinal(bill.due_on),
            b"\n",
        )
    )


def write_telecom(
    stream: IO[bytes], bills: Iterable[TelecomBill], sequence: int, file_on: date
) -> Totals:
    """Write City Telecom's file: XML, totals in yuan and items in fen."""
    stream.write(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<BillFile xmlns="urn:citytelecom:bill:1"'
        + f' sequence="{sequence}" created="{file_on.isoformat()}">\n'.encode()
    )
    count = amount_fen = 0
    for block in _blocks(bills):
        stream.write("".join([_telecom_element(bill) for bill in block]).encode())
        count += len(block)
        amount_fen += sum(bill.amount_fen for bill in block)
    summary = f'  <Summary count="{count}" total="{yuan_text(amount_fen)}"/>\n</BillFile>\n'
    stream.write(summary.encode())
    return Totals(count, amount_fen)


def _telecom_element(bill: TelecomBill) -> str:
    action = "cancel" if bill.is_cancellation else "remind" if bill.original_no else "issue"
    original = f"<OriginalNo>{escape(bill.original_no)}</OriginalNo>" if bill.original_no else ""
    items = "".join(
        f"      <Item code={quoteattr(item.code)} name={quoteattr(item.name)}"
        f' amount_fen="{item.amount_fen}"/>\n'
        for item in bill.items
    )
    return (
        f'  <Bill action="{action}">\n'
        f"    <AccountNo>{bill.account_no}</AccountNo>\n"
        f"    <Holder>{escape(bill.holder)}</Holder><Address>{escape(bill.address)}</Address>\n"
        f"    <BillNo>{escape(bill.bill_no)}</BillNo><Version>{bill.version}</Version>"
        f"{original}\n"
        f'    <Period month="{bill.billing_month:%Y-%m}" from="{bill.from_on.isoformat()}"'
        f' to="{bill.to_on.isoformat()}"/>\n'
        f"    <Issued>{bill.issued_on.isoformat()}</Issued>"
        f"<Due>{bill.due_on.isoformat()}</Due>\n"
        f"    <Items>\n{items}    </Items>\n"
        f"{_telecom_options(bill)}"
        f"    <Total>{yuan_text(bill.amount_fen)}</Total>\n"
        "  </Bill>\n"
    )


def _telecom_options(bill: TelecomBill) -> str:
    options = [
        f'code="instalment-{at}" kind="instalment" name="分期第{at}期" amount_fen="{fen}"'
        for at, fen in enumerate(bill.instalments_fen, start=1)
    ]
    if bill.early_fen:
        until_on = bill.issued_on + timedelta(days=EARLY_DAYS)
        options.append(
            f'code="early" kind="early" name="提前缴费优惠" amount_fen="{bill.early_fen}"'
            f' until="{until_on.isoformat()}"'
        )
    if not options:
        return ""
    lines = "".join(f"      <Option {option}/>\n" for option in options)
    return f"    <Options>\n{lines}    </Options>\n"


def _blocks(bills: Iterable[AnyBill]) -> Iterator[list[AnyBill]]:
    """Hand bills on by the block: one write and one encoding for ten thousand lines."""
    source = iter(bills)
    while block := list(islice(source, _BLOCK)):
        yield block


def _text(value: str, width: int) -> bytes:
    """Pad a text with spaces to its width in bytes."""
    encoded = value.encode("gb18030")
    if len(encoded) > width:
        raise Invalid(f"{value[:16]!r} is {len(encoded)} bytes: the field holds {width}")
    return encoded.ljust(width)


def _digits(value: int, width: int) -> bytes:
    """Pad a number with zeros to its width, sign included."""
    digits = b"%0*d" % (width, value)
    if len(digits) > width:
        raise Invalid(f"{value} does not fit a field of {width} digits")
    return digits


@cache
def _compact(day: date) -> str:
    return f"{day:%Y%m%d}"


@cache
def _compact_month(day: date) -> str:
    return f"{day:%Y%m}"


@cache
def _ordinal(day: date) -> bytes:
    return f"{day:%Y%j}".encode()
