"""Alipay's bills of a day: the business bill, which is settled by, and the fund bill.

Source: docs/wire/alipay.md, "The business bill" and "The fund bill".
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import BinaryIO, NamedTuple

from core.clock import BILLING_ZONE
from core.errors import Invalid, SettlementFileError
from payments.gateways.alipay_frames import MAX_BYTES, Frame, choose, read_frame, unpack
from payments.gateways.alipay_replies import refund_ref
from payments.gateways.as_written import moment, yuan
from payments.gateways.base import SettlementRecord

_KINDS = {"交易": "payment", "退款": "refund"}
_AMOUNT = r"(-?¥?-?[0-9][0-9,]*(?:\.[0-9]+)?)"
_PAID = rf"#交易合计:([0-9,]+)笔,商家实收共{_AMOUNT}元"
_BACK = rf"#退款合计:([0-9,]+)笔,商家实收退款共{_AMOUNT}元"
_CAME = rf"#收入合计:([0-9,]+)笔,共{_AMOUNT}元"
_WENT = rf"#支出合计:([0-9,]+)笔,共{_AMOUNT}元"


class _Row(NamedTuple):
    """A row of the business bill; ``fee_fen`` and ``split_fen`` with the sign they have there."""

    line_no: int
    kind: str
    order_no: str
    trade_no: str
    refund_no: str
    amount_fen: int
    fee_fen: int
    split_fen: int
    happened_at: datetime

    def settled(self, cost: int) -> SettlementRecord:
        """Return the row in our words; ``cost`` is the sign a fee that costs something has."""
        is_refund = self.kind == "refund"
        return SettlementRecord(
            line_no=self.line_no,
            kind=self.kind,
            reference=self.refund_no if is_refund else self.order_no,
            gateway_ref=refund_ref(self.trade_no, self.refund_no if is_refund else ""),
            amount_fen=self.amount_fen,
            fee_fen=cost * self.fee_fen,
            happened_at=self.happened_at,
        )


class FundRow(NamedTuple):
    """One movement of our account at Alipay; ``amount_fen`` is below zero for what went."""

    line_no: int
    flow_no: str
    trade_no: str
    order_no: str
    kind: str  # Alipay's word: 在线支付, 收费, 退款 …
    amount_fen: int
    balance_fen: int
    happened_at: datetime


def read_trade_bill(stream: BinaryIO, *, day: date, seller_id: str) -> list[SettlementRecord]:
    """Read a day's business bill, a ZIP or the list alone; its totals are checked first.

    Raises:
        SettlementFileError: not our bill of this day, malformed, or its totals do not add up.
    """
    texts = unpack(_whole(stream))
    text = choose(texts, "支付宝业务明细查询")
    if text is None:
        raise SettlementFileError(
            "the first line must be #支付宝业务明细查询: is it a business bill of Alipay's?",
            line_no=1,
        )
    frame = read_frame(text, "业务明细", day=day, seller_id=seller_id)
    rows = [_read_row(frame, cells, line_no) for line_no, cells in frame.rows]
    _check(frame, _PAID, [row.amount_fen for row in rows if row.kind == "payment"])
    _check(frame, _BACK, [row.amount_fen for row in rows if row.kind == "refund"])
    summary = choose(texts, "支付宝业务汇总查询")
    net_fen = None
    if summary is not None:
        net_fen = _net(read_frame(summary, "业务汇总", day=day, seller_id=seller_id), rows)
    cost = _cost_sign(rows, net_fen)
    return [row.settled(cost) for row in rows]


def read_fund_bill(stream: BinaryIO, *, day: date, seller_id: str) -> list[FundRow]:
    """Read a day's fund bill, a ZIP or the list alone; counts and totals are checked first.

    Raises:
        SettlementFileError: not our bill of this day, malformed, or its totals do not add up.
    """
    text = choose(unpack(_whole(stream)), "支付宝账务明细查询")
    if text is None:
        raise SettlementFileError(
            "the first line must be #支付宝账务明细查询: is it a fund bill of Alipay's?",
            line_no=1,
        )
    frame = read_frame(text, "账务明细", day=day, seller_id=seller_id)
    rows = [_read_fund_row(frame, cells, line_no) for line_no, cells in frame.rows]
    _check(frame, _CAME, [row.amount_fen for row in rows if row.amount_fen > 0])
    _check(frame, _WENT, [-row.amount_fen for row in rows if row.amount_fen < 0], signed=False)
    return rows


def _whole(stream: BinaryIO) -> bytes:
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SettlementFileError(f"the file is larger than {MAX_BYTES >> 20} MB")
    return content


def _read_row(frame: Frame, cells: Sequence[str], line_no: int) -> _Row:
    try:
        kind = _KINDS.get(frame.cell(cells, "业务类型"), "other")
        row = _Row(
            line_no=line_no,
            kind=kind,
            order_no=frame.cell(cells, "商户订单号"),
            trade_no=frame.cell(cells, "支付宝交易号"),
            refund_no=frame.cell(cells, "退款批次号/请求号", "退款批次号"),
            amount_fen=yuan(frame.cell(cells, "商家实收(元)")),
            fee_fen=yuan(frame.cell(cells, "服务费(元)")),
            split_fen=yuan(frame.cell(cells, "分润(元)", default="0")),
            happened_at=moment(frame.cell(cells, "完成时间"), BILLING_ZONE),
        )
    except (Invalid, ValueError) as wrong:
        raise SettlementFileError(f"unreadable row: {wrong}", line_no=line_no) from wrong
    except KeyError as missing:
        column = str(missing.args[0])
        raise SettlementFileError("there is no such column", column=column) from missing
    if not "".join((row.order_no, row.trade_no, row.refund_no)).isprintable():
        raise SettlementFileError("a control character in a number", line_no=line_no)
    if (kind == "payment" and row.amount_fen < 0) or (kind == "refund" and row.amount_fen > 0):
        raise SettlementFileError(
            "a payment below zero, or a refund above it", line_no=line_no, column="商家实收(元)"
        )
    return row


def _read_fund_row(frame: Frame, cells: Sequence[str], line_no: int) -> FundRow:
    try:
        came_fen = yuan(frame.cell(cells, "收入金额(+元)") or "0")
        went_fen = abs(yuan(frame.cell(cells, "支出金额(-元)") or "0"))
        row = FundRow(
            line_no=line_no,
            flow_no=frame.cell(cells, "账务流水号"),
            trade_no=frame.cell(cells, "业务流水号"),
            order_no=frame.cell(cells, "商户订单号"),
            kind=frame.cell(cells, "业务类型"),
            amount_fen=came_fen - went_fen,
            balance_fen=yuan(frame.cell(cells, "账户余额(元)")),
            happened_at=moment(frame.cell(cells, "发生时间"), BILLING_ZONE),
        )
    except (Invalid, ValueError) as wrong:
        raise SettlementFileError(f"unreadable row: {wrong}", line_no=line_no) from wrong
    except KeyError as missing:
        column = str(missing.args[0])
        raise SettlementFileError("there is no such column", column=column) from missing
    if came_fen < 0 or bool(came_fen) is bool(went_fen):
        raise SettlementFileError(
            "a movement must either come or go", line_no=line_no, column="收入金额(+元)"
        )
    return row


def _check(frame: Frame, pattern: str, amounts: Sequence[int], *, signed: bool = True) -> None:
    if not amounts and not frame.tells(pattern):
        return  # some exports leave out what would be zero; the list's end has proved it whole
    line_no, count, told_fen = frame.total(pattern)
    total_fen = sum(amounts)
    if count != len(amounts) or (told_fen if signed else abs(told_fen)) != total_fen:
        raise SettlementFileError(
            f"the total says {count} and {told_fen} fen, the rows are {len(amounts)} and "
            f"{total_fen} fen: ask for the file again",
            line_no=line_no,
        )


def _net(frame: Frame, rows: Sequence[_Row]) -> int:
    """Return what the summary says is ours after fees; its counts must be those of the rows."""
    sums = [(at, cells) for at, cells in frame.rows if cells[0].strip() == "合计"]
    if len(sums) != 1:
        raise SettlementFileError("the summary has no row 合计, or more", line_no=frame.last_line)
    line_no, cells = sums[0]
    kinds = [row.kind for row in rows]
    wanted = kinds.count("payment"), kinds.count("refund")
    try:
        told = tuple(int(frame.cell(cells, n)) for n in ("交易订单总笔数", "退款订单总笔数"))
        net_fen = yuan(frame.cell(cells, "实收净额(元)"))
    except (Invalid, ValueError, KeyError) as wrong:
        raise SettlementFileError(f"unreadable summary: {wrong}", line_no=line_no) from wrong
    if told != wanted:
        raise SettlementFileError(
            f"the summary counts {told[0]} payments and {told[1]} refunds, the list has "
            f"{wanted[0]} and {wanted[1]}",
            line_no=line_no,
        )
    return net_fen


def _cost_sign(rows: Sequence[_Row], net_fen: int | None) -> int:
    """Find out which sign a fee that costs something has; it is not the same for every merchant.

    Raises:
        SettlementFileError: neither sign agrees with the summary, or with all rows.
    """
    signs = [-1, 1]
    if net_fen is not None:
        received_fen = sum(row.amount_fen for row in rows)
        less_fen = sum(row.fee_fen + row.split_fen for row in rows)
        signs = [sign for sign in signs if net_fen == received_fen - sign * less_fen]
        if not signs:
            raise SettlementFileError(
                f"the summary says {net_fen} fen are ours after fees, the rows add up to "
                f"{received_fen} fen and {less_fen} fen of fees: ask for the file again"
            )
    if len(signs) == 1:
        return signs[0]
    # On a payment a fee costs; on a refund it comes back.
    way = {"payment": 1, "refund": -1}
    fees = [way[row.kind] * row.fee_fen for row in rows if row.kind in way]
    for sign in signs:
        if all(sign * fee_fen >= 0 for fee_fen in fees):
            return sign
    raise SettlementFileError(
        "some fees are above zero and some below, and no summary says which cost something"
    )
