"""WeChat Pay's bill files: what a trade bill and a fund bill have in common, and the trade bill.

Source: docs/wire/wechatpay.md, "Bills".
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from core.clock import BILLING_ZONE, billing_date
from core.errors import Invalid, SettlementFileError
from core.money import price, yuan_text
from core.progress import tell
from payments.gateways.as_written import (
    Header,
    as_lines,
    moment,
    plain_header,
    table,
    without_thousands,
    yuan,
)
from payments.gateways.base import SettlementRecord
from payments.packed import unpacked

_FILE_LIMIT = 512 << 20
_HEADER_WITHIN = 10  # lines: a title may stand above it
_BEGINS = ("交易时间", "记账时间", "微信订单号", "资金流水单号")  # one of them is in every header
_NOTHING = b'\r\n\t ,"'  # all there is on a line with nothing on it
_FEN = Decimal("0.01")
# What older editions of the file call a column.
_OLD_NAMES = {
    "总金额": "应结订单金额",
    "子商户号": "特约商户号",
    "总交易额": "应结订单总金额",
    "总退款金额": "退款总金额",
    "微信支付订单号": "微信订单号",
    "商家订单号": "商户订单号",
    "微信支付退款单号": "微信退款单号",
    "商家退款单号": "商户退款单号",
    "手续费金额": "手续费",
    "订单结算金额": "应结订单金额",
    "总交易笔数": "总交易单数",
    "交易总笔数": "总交易单数",
    "应结算订单总金额": "应结订单总金额",
    "手续费总额": "手续费总金额",
}
# How people's exports say it.
_STATES = {
    "支付成功": "SUCCESS", "已支付": "SUCCESS", "买家已支付": "SUCCESS", "转入退款": "REFUND",
    "已退款": "REFUND", "退款": "REFUND", "已撤销": "REVOKED",
}  # fmt: skip
_REFUND_STATES = {"退款成功": "SUCCESS", "成功": "SUCCESS", "处理中": "PROCESSING",
                  "退款处理中": "PROCESSING"}  # fmt: skip
_CURRENCIES = ("CNY", "RMB", "人民币")
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
_OF_TOTALS = frozenset({_COUNT, _FEE_TOTAL, *_TOTALS, "资金流水总笔数", "收入笔数", "支出笔数"})


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
            return yuan(self.values[column])
        except Invalid as wrong:
            raise SettlementFileError(wrong.message, line_no=self.line_no, column=column) from wrong

    def exact(self, column: str) -> Decimal:
        """Return an amount in yuan with up to five decimals. Raises SettlementFileError."""
        text = without_thousands(self.values[column])
        if re.fullmatch(r"-?[0-9]{1,13}(\.[0-9]{1,5})?", text) is None:
            raise SettlementFileError(
                f"{text[:32]!r} is not an amount with up to five decimals",
                line_no=self.line_no, column=column,
            )  # fmt: skip
        return Decimal(text)

    def count(self, column: str) -> int:
        """Return a number of lines, which may be written ``45.0``. Raises SettlementFileError."""
        match = re.fullmatch(r"([0-9]{1,12})(\.0+)?", without_thousands(self.values[column]))
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
            return moment(text, BILLING_ZONE)
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


def read_bill(content: bytes) -> Bill:
    """Split a bill file into its lines and its totals, by the names in its two headers.

    It may be gzipped or in a ZIP, opened and saved again by a spreadsheet, with or without the
    backticks.

    Raises:
        SettlementFileError: it is not laid out as a bill file is.
    """
    raw, encoding = _bill_in(content)
    head = list(islice(_filled(raw, encoding, _HEADER_WITHIN), _HEADER_WITHIN))
    first = next((line for line in head if _is_header(line.text)), None)
    below = list(_last_filled(raw, encoding))
    at = next((at for at, line in enumerate(below) if _is_totals(line.text)), None)
    if first is None or at is None or len(below) < at + 2:
        raise SettlementFileError(
            "the file does not end with the line of totals and its header: it is cut short, or no"
            " bill file of WeChat Pay",
            line_no=raw.count(b"\n") + 1,
        )
    if len(below) > at + 2:
        raise SettlementFileError("there is more behind the line of totals: is it two files?",
                                  line_no=below[at + 2].line_no)  # fmt: skip
    header, totals = _header(first), below[at + 1]
    body = raw[first.ends : below[at].begins]
    rows = _rows(body, encoding, header, first.line_no + 1)
    told = _line(totals.line_no, totals.text, _header(below[at]))
    return Bill(frozenset(header.at), rows, told)


class _Place(NamedTuple):
    """A line with something on it, and where it stands."""

    line_no: int
    begins: int
    ends: int
    text: str


def _bill_in(content: bytes) -> tuple[bytes, str]:
    """Return the one bill in what was handed in, and its encoding."""
    found = []
    for member in unpacked(content, limit_bytes=_FILE_LIMIT):
        raw, encoding = as_lines(member.raw)
        if any(_is_header(line.text) for line in _filled(raw, encoding, _HEADER_WITHIN)):
            found.append((raw, encoding))
    if len(found) != 1:
        raise SettlementFileError(
            f"there are {len(found)} bill files of WeChat Pay in it, and must be one: it begins"
            " with a header that names 交易时间 or 记账时间",
            line_no=1,
        )
    return found[0]


def _filled(raw: bytes, encoding: str, most: int) -> Iterator[_Place]:
    """Yield the first lines that have something on them."""
    ends = 0
    for line_no in range(1, most + 1):
        begins, ends = ends, raw.find(b"\n", ends) + 1
        line = raw[begins : ends or None]
        if line.strip(_NOTHING):
            yield _Place(line_no, begins, ends, _text(line, line_no, encoding))
        if not ends:
            return


def _last_filled(raw: bytes, encoding: str) -> Iterator[_Place]:
    """Yield the last lines that have something on them: as many as can be totals, and one."""
    ends = len(raw.rstrip())
    places: list[tuple[int, int]] = []
    while ends > 0 and len(places) < 4:
        begins = raw.rfind(b"\n", 0, ends) + 1
        if raw[begins:ends].strip(_NOTHING):
            places.append((begins, ends))
        ends = begins - 1
    for begins, ends in reversed(places):
        line_no = raw.count(b"\n", 0, begins) + 1
        yield _Place(line_no, begins, ends, _text(raw[begins:ends], line_no, encoding))


def _rows(body: bytes, encoding: str, header: Header, first_no: int) -> Iterator[Line]:
    of = body.count(b"\n")
    for at, line in enumerate(io.BytesIO(body)):
        if line.strip(_NOTHING):
            yield _line(first_no + at, _text(line, first_no + at, encoding), header)
        tell(at + 1, of)


def _is_header(text: str) -> bool:
    names = re.split("[,\t]", text)
    return not text.lstrip('"').startswith("`") and any(
        plain_header(name) in _BEGINS for name in names
    )


def _is_totals(text: str) -> bool:
    if text.startswith("`"):
        return False
    names = [plain_header(name) for name in re.split("[,\t]", text)]
    return any(_OLD_NAMES.get(name, name) in _OF_TOTALS for name in names)


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


def _header(line: _Place) -> Header:
    return Header(re.split("[,\t]", line.text), line_no=line.line_no, named=_OLD_NAMES)


def _line(line_no: int, text: str, header: Header) -> Line:
    """Split a line, whose every value begins with a backtick and may hold a comma, or none does."""
    if text.startswith("`"):
        values = text[1:].split(",`")
        if len(values) == len(header.names):
            values[-1] = values[-1].rstrip(",")  # a spreadsheet's
    else:
        cells = next(table(text, first_line=line_no), (line_no, []))[1]
        values = [cell.removeprefix("`") for cell in cells]
    bare = (value.strip() for value in header.fit(values, line_no))
    return Line(line_no, dict(zip(header.names, bare, strict=True)))


def _text(raw: bytes, line_no: int, encoding: str) -> str:
    try:
        return raw.decode(encoding).strip("\r\n")
    except UnicodeDecodeError as wrong:
        raise SettlementFileError(f"the line is not {encoding}", line_no=line_no) from wrong


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
    if line.values.get("货币种类", "CNY").upper() not in _CURRENCIES:
        raise SettlementFileError("only CNY is known", line_no=line.line_no, column="货币种类")
    days = {billing_date(line.moment(name)) for name in _TIMES if line.text(name)}
    if day not in days:
        raise SettlementFileError(
            f"the line is not of {day}: is it another day's file?",
            line_no=line.line_no, column="交易时间",
        )  # fmt: skip


def _record(line: Line, columns: frozenset[str]) -> tuple[SettlementRecord, bool]:
    """Return a line as we know it, and whether it is of a refund that is still under way."""
    state = _STATES.get(line.text("交易状态"), line.text("交易状态").upper())
    fee_fen = price(Decimal(1), line.exact("手续费"))
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
    status = _REFUND_STATES.get(line.text("退款状态"), line.text("退款状态").upper())
    kind = "refund" if status in {"", "SUCCESS", "PROCESSING"} else "other"
    happened = next(name for name in ("退款申请时间", "交易时间") if line.text(name))
    record = SettlementRecord(
        line.line_no, kind, line.number("商户退款单号"), line.number("微信退款单号"),
        -amount_fen, fee_fen, line.moment(happened),
    )  # fmt: skip
    return record, status == "PROCESSING"
