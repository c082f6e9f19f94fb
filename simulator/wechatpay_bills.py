"""The bills of the far side of WeChat Pay, from its own state alone.

Source: docs/wire/wechatpay.md, "Bills" and "Fund bill".
"""

import gzip
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from core.clock import BILLING_ZONE, day_bounds
from core.money import yuan_text
from simulator.wechatpay_books import WechatpayBooks
from simulator.wechatpay_records import Order, Refund, RefundStatus

_COLUMNS = (
    "交易时间", "公众账号ID", "商户号", "特约商户号", "设备号", "微信订单号", "商户订单号",
    "用户标识", "交易类型", "交易状态", "付款银行", "货币种类", "应结订单金额", "代金券金额",
    "微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态",
    "商品名称", "商户数据包", "手续费", "费率", "订单金额", "申请退款金额", "费率备注",
)  # fmt: skip
_TOTALS = ("总交易单数", "应结订单总金额", "退款总金额", "充值券退款总金额", "手续费总金额",
           "订单总金额", "申请退款总金额")  # fmt: skip
_FUND_COLUMNS = (
    "记账时间", "微信支付业务单号", "资金流水单号", "业务名称", "业务类型", "收支类型",
    "收支金额（元）", "账户结余（元）", "资金变更提交申请人", "备注", "业务凭证号",
)  # fmt: skip
_FUND_TOTALS = ("资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额")
_OPENING_FEN = 100_000_000  # what the account held before the first payment


class BillFault(StrEnum):
    """How a bill is made wrong, for training; of a fund bill only the first and the last."""

    MISSING = "missing"
    EXTRA = "extra"
    AMOUNT = "amount"
    FEE = "fee"
    TRAILER = "trailer"


class Trade(NamedTuple):
    """A line of a trade bill: of an order, or of a refund of it."""

    happened_at: datetime
    order: Order
    refund: Refund | None
    amount_fen: int  # of either, without a sign
    fee_fen: int


class Move(NamedTuple):
    """A line of a fund bill; ``amount_fen`` is negative where money leaves."""

    happened_at: datetime
    business_ref: str
    flow_ref: str
    name: str
    kind: str
    amount_fen: int
    note: str
    voucher_no: str


def trade_bill(books: WechatpayBooks, day: date, fault: BillFault | None = None) -> bytes:
    """Write a day's bill of all trades; empty bytes where there were none."""
    trades = [
        Trade(order.paid_at, order, None, order.taken_fen, order.fee_fen)
        for order in books.paid_on(day)
        if order.paid_at is not None
    ] + [
        Trade(refund.asked_at, order, refund, refund.asked.amount.refund, -refund.fee_fen)
        for refund, order in books.refunded_on(day)
    ]
    trades.sort(key=lambda one: one.happened_at)
    if not trades:
        return b""
    trades = _spoil(trades, fault)
    lines = [_trade_line(one) for one in trades]
    if fault is BillFault.EXTRA:
        lines.append([*lines[0][:5], "4200000000000000", "unknown-order", *lines[0][7:]])
        trades.append(trades[0])
    paid_fen = sum(one.amount_fen for one in trades if one.refund is None)
    back_fen = sum(one.amount_fen for one in trades if one.refund is not None)
    if fault is BillFault.TRAILER:
        paid_fen += 1
    fees = _five(sum(one.fee_fen for one in trades))
    paid, back = yuan_text(paid_fen), yuan_text(back_fen)
    totals = [f"{len(lines)}.0", paid, back, "0.00", fees, paid, back]
    return _written(_COLUMNS, lines, _TOTALS, totals)


def fund_bill(books: WechatpayBooks, day: date, fault: BillFault | None = None) -> bytes:
    """Write a day's movements of the account; empty bytes where there were none."""
    moves = sorted(_moves(books, day), key=lambda one: one.happened_at)
    if not moves:
        return b""
    balance_fen, lines = _OPENING_FEN, []
    for move in moves:
        balance_fen += move.amount_fen
        lines.append([
            _time(move.happened_at), move.business_ref, move.flow_ref, move.name, move.kind,
            "收入" if move.amount_fen >= 0 else "支出", yuan_text(abs(move.amount_fen)),
            yuan_text(balance_fen), "system", move.note, move.voucher_no,
        ])  # fmt: skip
    came = [one.amount_fen for one in moves if one.amount_fen >= 0]
    went = [-one.amount_fen for one in moves if one.amount_fen < 0]
    if fault is BillFault.TRAILER:
        came.append(0)
    if fault is BillFault.MISSING:
        lines.pop()
    totals = [
        str(len(came) + len(went)), str(len(came)), yuan_text(sum(came)), str(len(went)),
        yuan_text(sum(went)),
    ]  # fmt: skip
    return _written(_FUND_COLUMNS, lines, _FUND_TOTALS, totals)


def gzipped(text: bytes) -> bytes:
    """Pack a bill; the same bill packs to the same bytes."""
    return gzip.compress(text, mtime=0)


def _spoil(trades: list[Trade], fault: BillFault | None) -> list[Trade]:
    """Leave the last line out, or move the first one's amount or fee by 0.01."""
    first = trades[0]
    match fault:
        case BillFault.MISSING:
            return trades[:-1]
        case BillFault.AMOUNT:
            return [first._replace(amount_fen=first.amount_fen + 1), *trades[1:]]
        case BillFault.FEE:
            return [first._replace(fee_fen=first.fee_fen + 1), *trades[1:]]
    return trades


def _trade_line(trade: Trade) -> list[str]:
    order, refund, amount = trade.order, trade.refund, yuan_text(trade.amount_fen)
    facts = [
        _time(trade.happened_at), order.asked.appid, order.asked.mchid, "0", "",
        order.transaction_id, order.number, order.openid, order.trade_type,
        "REFUND" if refund else "SUCCESS", "OTHERS", "CNY", "0.00" if refund else amount, "0.00",
    ]  # fmt: skip
    if refund is None:
        facts += ["0", "0", "0.00", "0.00", "", ""]
    else:
        status = "FAIL" if refund.status is RefundStatus.ABNORMAL else str(refund.status)
        facts += [refund.refund_id, refund.number, amount, "0.00", "ORIGINAL", status]
    facts += [order.asked.description, "", _five(trade.fee_fen), "0.60%"]
    return facts + (["0.00", amount, ""] if refund else [amount, "0.00", ""])


def _moves(books: WechatpayBooks, day: date) -> list[Move]:
    moves = []
    for order in books.paid_on(day):
        assert order.paid_at is not None
        flow = f"{order.transaction_id[::-1]}"
        common = (order.paid_at, order.transaction_id)
        moves.append(Move(*common, flow, "交易", "交易", order.taken_fen, "", order.number))
        if order.fee_fen:
            fee = Move(*common, f"{flow}1", "扣除交易手续费", "扣除交易手续费", -order.fee_fen, "",
                       order.number)  # fmt: skip
            moves.append(fee)
    for refund, order in books.refunded_on(day):
        if refund.status is not RefundStatus.CLOSED:
            back_fen = refund.asked.amount.refund
            note = f"退款总金额{yuan_text(back_fen)}元;含手续费{yuan_text(refund.fee_fen)}元"
            moves.append(Move(
                refund.asked_at, refund.refund_id, order.transaction_id, "退款", "退款",
                refund.fee_fen - back_fen, note, refund.number,
            ))  # fmt: skip
    return moves


def _written(
    columns: Sequence[str], lines: list[list[str]], names: Sequence[str], totals: list[str]
) -> bytes:
    """Write a file: nothing quoted, each value of a line with a backtick before it."""
    rows = [",".join(columns), *(_ticked(line) for line in lines), ",".join(names), _ticked(totals)]
    return ("\r\n".join(rows) + "\r\n").encode("utf-8-sig")


def _ticked(values: list[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _five(fee_fen: int) -> str:
    return f"{yuan_text(fee_fen)}000"


def _time(moment: datetime) -> str:
    return moment.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def day_is_over(day: date, now: datetime) -> bool:
    """Tell whether a day's bills are ready: at 10:00 of the next."""
    return now >= day_bounds(day)[1].astimezone(BILLING_ZONE).replace(hour=10)
