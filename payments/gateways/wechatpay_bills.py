"""WeChat Pay's bill files: what a trade bill and a fund bill have in common, and the trade bill.

Source: docs/wire/wechatpay.md, "Bills".
"""

import io
import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from core.clock import BILLING_ZONE, billing_date
from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan, price, yuan_text
from payments.gateways.base import SettlementRecord

_FILE_LIMIT = 512 << 20
_FEN = Decimal("0.01")
# What older editions of the file call a column.
_OLD_NAMES = {
    "总金额": "应结订单金额",
    "子商户号": "特约商户号",
    "总交易额": "应结订单总金额",
    "总退款金额": "退款总金额",
}
_REQUIRED = ("交易时间", "商户号", "微信订单号", "商户订单号", "交易状态", "应结订单金额", "手续费")
_OF_REFUNDS = ("微信退款单号", "商户退款单号", "退款金额")
_TIMES = ("交易时间", "退款申请时间", "退款成功时间")
# A total and the column it is of; the first is always there.
_TOTALS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "充值券退款总金额": "充值券退款金额",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}
_COUNT, _FEE_TOTAL = "总交易单数", "手续费总金额"


class Line(NamedTuple):
    """A line's values by the names of the columns."""

    line_no: int
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        return self.values.get(column, "")

    def number(self, column: str) -> str:
        """Return an order's or refund's number. Raises SettlementFileError."""
        text = self.values[column]
        if not text.isprintable() or not 0 < len(text) <= 64:
            raise SettlementFileError(
                f"{text[:32]!r} is not a number of an order or refund",
                line_no=self.line_no, column=column,
            )  # fmt: skip
        return text

    def yuan(self, column: str) -> int:
        """Return an amount in fen. Raises SettlementFileError."""
        try:
            return parse_yuan(self.values[column])
        except Invalid as wrong:
            raise SettlementFileError(wrong.message, line_no=self.line_no, column=column) from wrong

    def exact(self, column: str) -> Decimal:
        """Return an amount in yuan with up to five decimals. Raises SettlementFileError."""
        text = self.values[column]
        if re.fullmatch(r"-?[0-9]{1,13}(\.[0-9]{1,5})?", text) is None:
            raise SettlementFileError(
                f"{text[:32]!r} is not an amount with up to five decimals",
                line_no=self.line_no, column=column,
            )  # fmt: skip
        return Decimal(text)

    def count(self, column: str) -> int:
        """Return a number of lines, which may be written ``45.0``. Raises SettlementFileError."""
        match = re.fullmatch(r"([0-9]{1,12})(\.0+)?", self.values[column])
        if match is None:
            raise SettlementFileError(
                f"{self.values[column][:32]!r} is not a number of lines",
                line_no=self.line_no, column=column,
            )  # fmt: skip
        return int(match[1])

    def moment(self, column: str) -> datetime:
        """Return a time of theirs, which is Beijing's, in UTC. Raises SettlementFileError."""
        text = self.values[column]
        try:
            if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", text) is None:
                raise ValueError(text)
            local = datetime.fromisoformat(text).replace(tzinfo=BILLING_ZONE)
            return local.astimezone(UTC)
        except (ValueError, OverflowError) as wrong:
            raise SettlementFileError(
                f"{text[:32]!r} is not a time such as 2026-11-20 12:00:03",
                line_no=self.line_no, column=column,
            ) from wrong  # fmt: skip


class Bill(NamedTuple):
    """A bill file. ``lines`` are read as they are asked for, once; trust none before the totals."""

    columns: frozenset[str]
    lines: Iterator[Line]
    totals: Line


def unpacked(content: bytes) -> bytes:
    """Return a bill file's text, which may come gzipped. Raises SettlementFileError."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(content, _FILE_LIMIT)
    except zlib.error as wrong:
        raise SettlementFileError("the gzip file is damaged: fetch it again") from wrong
    if not unpack.eof:
        raise SettlementFileError("the gzip file is cut short or too long: fetch it again")
    return text


def read_bill(content: bytes) -> Bill:
    """Split a bill file into its lines and its totals, by the names in its two headers.

    Raises:
        SettlementFileError: it is not laid out as a bill file is.
    """
    rows = unpacked(content).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").rsplit(b"\n", 2)
    last_no = sum(row.count(b"\n") + 1 for row in rows)
    if len(rows) < 3 or rows[1].startswith(b"`") or not rows[2].startswith(b"`"):
        raise SettlementFileError(
            "the file does not end with the line of totals and its header: it is cut short, or no"
            " bill file of WeChat Pay",
            line_no=last_no,
        )
    first, _, body = rows[0].partition(b"\n")
    columns, names = _header(first, 1), _header(rows[1], last_no - 1)
    lines = (_line(row, at, columns) for at, row in enumerate(io.BytesIO(body), start=2))
    return Bill(frozenset(columns), lines, _line(rows[2], last_no, names))


def require(present: Mapping[str, str] | frozenset[str], names: Sequence[str], at: int) -> None:
    """Raise SettlementFileError unless a header has these names."""
    missing = [name for name in names if name not in present]
    if missing:
        raise SettlementFileError(f"there is no column {', '.join(missing)}", line_no=at)


def check_total(totals: Line, name: str, ours: object, theirs: object) -> None:
    """Raise SettlementFileError unless a total is what the lines add up to."""
    if ours != theirs:
        raise SettlementFileError(
            f"the total is {theirs}, the lines add up to {ours}: the file is incomplete or changed,"
            " fetch it again",
            line_no=totals.line_no, column=name,
        )  # fmt: skip


def trade_rows(content: bytes, *, day: date, mchid: str) -> list[SettlementRecord]:
    """Read a trade bill whole: of all trades, of payments only or of refunds only, new or old.

    Raises:
        SettlementFileError: not this day's or this merchant's, malformed, or its totals are wrong.
    """
    bill = read_bill(content)
    require(bill.columns, _REQUIRED, 1)
    sums = dict.fromkeys((one for one in _TOTALS.values() if one in bill.columns), 0)
    found: dict[tuple[str, str, int], SettlementRecord] = {}
    count, fees = 0, Decimal()
    for line in bill.lines:
        _check_line(line, day=day, mchid=mchid)
        record, pending = _record(line, bill.columns)
        if not pending:
            found.pop((record.gateway_ref, record.reference, 0), None)
        # A refund still under way may stand again below: the later line is the true one. What
        # stands twice otherwise was twice done, and is told twice.
        key = (record.gateway_ref, record.reference, 0 if pending else record.line_no)
        found[key] = record
        count, fees = count + 1, fees + line.exact("手续费")
        for column in sums:
            sums[column] += line.yuan(column)
    _check_totals(bill.totals, count, fees, sums)
    return list(found.values())


def _header(row: bytes, line_no: int) -> list[str]:
    """Return the names of columns, full-width brackets and colons made plain, as they are today."""
    text = _text(row, line_no)
    names = [unicodedata.normalize("NFKC", name).strip().rstrip(":") for name in text.split(",")]
    names = [_OLD_NAMES.get(name, name) for name in names]
    if text.startswith("`") or len(set(names)) != len(names):
        raise SettlementFileError("this is no header: names without a backtick, each once",
                                  line_no=line_no)  # fmt: skip
    return names


def _line(row: bytes, line_no: int, names: list[str]) -> Line:
    """Split a line, whose every value begins with a backtick and may hold a comma."""
    text = _text(row, line_no)
    values = text.removeprefix("`").split(",`")
    if not text.startswith("`") or len(values) != len(names):
        raise SettlementFileError(
            f"the line has {len(values)} values, the header names {len(names)}", line_no=line_no
        )
    return Line(line_no, dict(zip(names, (value.strip() for value in values), strict=True)))


def _text(row: bytes, line_no: int) -> str:
    try:
        return row.rstrip(b"\r\n").decode()
    except UnicodeDecodeError as wrong:
        raise SettlementFileError("the line is not UTF-8", line_no=line_no) from wrong


def _check_totals(totals: Line, count: int, fees: Decimal, sums: Mapping[str, int]) -> None:
    names = [name for name, column in _TOTALS.items() if column in sums]
    always = [name for name in names if name in ("应结订单总金额", "退款总金额")]
    require(totals.values, (_COUNT, _FEE_TOTAL, *always), totals.line_no)
    check_total(totals, _COUNT, count, totals.count(_COUNT))
    for name in names:
        if name in totals.values:
            told_fen = totals.yuan(name)
            check_total(totals, name, yuan_text(sums[_TOTALS[name]]), yuan_text(told_fen))
    told = totals.exact(_FEE_TOTAL)
    # Fees are written with five decimals, their total often with two: rounded or cut off.
    if told != told.quantize(_FEN) or abs(fees - told) >= _FEN:
        check_total(totals, _FEE_TOTAL, fees, told)


def _check_line(line: Line, *, day: date, mchid: str) -> None:
    if line.text("商户号") != mchid:
        raise SettlementFileError(
            f"the line is of merchant {line.text('商户号')[:32]!r}, we are {mchid}",
            line_no=line.line_no, column="商户号",
        )  # fmt: skip
    if line.values.get("货币种类", "CNY") != "CNY":
        raise SettlementFileError("only CNY is known", line_no=line.line_no, column="货币种类")
    days = {billing_date(line.moment(name)) for name in _TIMES if line.text(name)}
    if day not in days:
        raise SettlementFileError(
            f"the line is not of {day}: is it another day's file?",
            line_no=line.line_no, column="交易时间",
        )  # fmt: skip


def _record(line: Line, columns: frozenset[str]) -> tuple[SettlementRecord, bool]:
    """Return a line as we know it, and whether it is of a refund that is still under way."""
    state, fee_fen = line.text("交易状态"), price(Decimal(1), line.exact("手续费"))
    if state == "SUCCESS":
        record = SettlementRecord(
            line.line_no, "payment", line.number("商户订单号"), line.number("微信订单号"),
            line.yuan("应结订单金额"), fee_fen, line.moment("交易时间"),
        )  # fmt: skip
        return record, False
    if state not in {"REFUND", "REVOKED"}:
        raise SettlementFileError(
            f"{state[:32]!r} is no state we know: SUCCESS, REFUND or REVOKED",
            line_no=line.line_no, column="交易状态",
        )  # fmt: skip
    require(columns, _OF_REFUNDS, 1)
    amount_fen = line.yuan("退款金额")
    if amount_fen < 0:
        raise SettlementFileError("a refund's amount is positive in the file",
                                  line_no=line.line_no, column="退款金额")  # fmt: skip
    status = line.text("退款状态")
    kind = "refund" if status in {"", "SUCCESS", "PROCESSING"} else "other"
    happened = next(name for name in ("退款申请时间", "交易时间") if line.text(name))
    record = SettlementRecord(
        line.line_no, kind, line.number("商户退款单号"), line.number("微信退款单号"),
        -amount_fen, fee_fen, line.moment(happened),
    )  # fmt: skip
    return record, status == "PROCESSING"
