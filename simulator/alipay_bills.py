"""Alipay's bills of a day, from the far side's own state alone.

Source: docs/wire/alipay.md, "The business bill" and "The fund bill".
"""

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from core.clock import day_bounds
from core.money import yuan_text
from simulator.alipay_books import AlipayBooks
from simulator.alipay_records import SELLER_ID, Fault, beijing_text

_ACCOUNT = f"{SELLER_ID}0156"
_COLUMNS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,"
    "商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_SUMMARY_COLUMNS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,"
    "卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)
_FUND_COLUMNS = (
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,"
    "交易渠道,业务类型,备注"
)
_OPENING_FEN = 1_000_000
_BUYER = "*演示(138****0001)"


class Row(NamedTuple):
    trade_no: str
    out_trade_no: str
    kind: str
    subject: str
    created_at: datetime
    happened_at: datetime
    amount_fen: int
    request_no: str
    fee_fen: int


def bill_rows(books: AlipayBooks, day: date) -> list[Row]:
    """Return the payments and refunds of a Shanghai day in the order they happened."""
    rows = [
        Row(
            t.trade_no or "", t.out_trade_no, "交易", t.subject, t.created_at or t.opened_at,
            t.paid_at, t.taken_fen, "", t.fee_fen,
        )
        for t in books.paid_on(day) if t.paid_at
    ]  # fmt: skip
    rows += [
        Row(
            t.trade_no or "", t.out_trade_no, "退款", t.subject, t.created_at or t.opened_at,
            r.refunded_at, -r.amount_fen, r.out_request_no, 0,
        )
        for r, t in books.refunded_on(day)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.happened_at)


def spoil(rows: Sequence[Row], fault: Fault | None, day: date) -> list[Row]:
    """Make one row wrong, always the same one; the totals are those of what is left."""
    if fault is Fault.MISSING:
        return list(rows[:-1])
    if fault is Fault.AMOUNT:
        return [row._replace(amount_fen=row.amount_fen + 1) for row in rows[:1]] + list(rows[1:])
    if fault is Fault.EXTRA:
        noon = day_bounds(day)[0] + timedelta(hours=12)
        name = f"{day:%Y%m%d}"
        unknown = Row(
            f"{name}22001400000000000000",
            f"unknown{name}",
            "交易",
            "无名",
            noon,
            noon,
            1_234,
            "",
            7,
        )
        return [*rows, unknown]
    return list(rows)


def trade_zip(books: AlipayBooks, day: date, fault: Fault | None, *, now: datetime) -> bytes:
    """Write the business bill: the list and its summary."""
    rows = spoil(bill_rows(books, day), fault, day)
    cost = 1 if fault is Fault.FEE_SIGN else -1
    name = f"{_ACCOUNT}_{day:%Y%m%d}_业务明细"
    return _zip(
        {
            f"{name}.csv": _list(rows, day, cost, bad=fault is Fault.TRAILER, now=now),
            f"{name}(汇总).csv": _summary(rows, day, cost, now=now),
        }
    )


def fund_zip(books: AlipayBooks, day: date, *, now: datetime) -> bytes:
    """Write the fund bill: a payment is what came and the fee that went."""
    balance_fen, came, went = _OPENING_FEN, [0, 0], [0, 0]
    lines: list[str] = []
    for row in bill_rows(books, day):
        kind = "在线支付" if row.kind == "交易" else "退款"
        moves = [(row.amount_fen, kind)] + ([(-row.fee_fen, "收费")] if row.fee_fen else [])
        for amount_fen, kind in moves:
            balance_fen += amount_fen
            total = came if amount_fen > 0 else went
            total[0], total[1] = total[0] + 1, total[1] + amount_fen
            lines.append(
                f"{row.trade_no[:8]}{len(lines):08d}\t,{row.trade_no}\t,"
                f"{row.request_no or row.out_trade_no}\t,{row.subject}\t,"
                f"{beijing_text(row.happened_at)},{_BUYER}\t,{yuan_text(max(amount_fen, 0))},"
                f"{yuan_text(min(amount_fen, 0))},{yuan_text(balance_fen)},支付宝,{kind},"
            )
    text = _framed("账务明细", _FUND_COLUMNS, lines, day)
    text += f"#支出合计：{went[0]}笔，共{yuan_text(went[1])}元\n"
    text += f"#收入合计：{came[0]}笔，共{yuan_text(came[1])}元\n"
    return _zip({f"{_ACCOUNT}_{day:%Y%m%d}_账务明细.csv": text + _exported(now)})


def _list(rows: Sequence[Row], day: date, cost: int, *, bad: bool, now: datetime) -> str:
    lines = [
        f"{row.trade_no}\t,{row.out_trade_no}\t,{row.kind}\t,{row.subject},"
        f"{beijing_text(row.created_at)},{beijing_text(row.happened_at)},\t,\t,\t,\t,{_BUYER}\t,"
        f"{yuan_text(row.amount_fen)},{yuan_text(row.amount_fen)},0.00,0.00,0.00,0.00,0.00,,0.00\t,"
        f"0.00,{row.request_no}\t,{yuan_text(cost * row.fee_fen)},0.00,"
        for row in rows
    ]
    paid, back = _of("交易", rows), _of("退款", rows)
    paid_text, back_text = yuan_text(sum(paid) + int(bad)), yuan_text(sum(back))
    text = _framed("业务明细", _COLUMNS, lines, day)
    text += f"#交易合计：{len(paid)}笔，商家实收共{paid_text}元，商家优惠共0.00元\n"
    text += f"#退款合计：{len(back)}笔，商家实收退款共{back_text}元，商家优惠退款共0.00元\n"
    return text + _exported(now)


def _summary(rows: Sequence[Row], day: date, cost: int, *, now: datetime) -> str:
    total_fen, fee_fen = sum(row.amount_fen for row in rows), sum(row.fee_fen for row in rows)
    counts = f"{len(_of('交易', rows))},{len(_of('退款', rows))}"
    figures = ",".join(
        yuan_text(fen)
        for fen in (total_fen, total_fen, 0, 0, 0, cost * fee_fen, 0, total_fen - fee_fen)
    )
    lines = [f"\t,\t,{counts},{figures}", f"合计\t,\t,{counts},{figures}"]
    return _framed("业务汇总", _SUMMARY_COLUMNS, lines, day) + _exported(now)


def _of(kind: str, rows: Sequence[Row]) -> list[int]:
    return [row.amount_fen for row in rows if row.kind == kind]


def _framed(name: str, columns: str, lines: Sequence[str], day: date) -> str:
    first, last = (f"{one:%Y}年{one:%m}月{one:%d}日" for one in (day, day + timedelta(days=1)))
    bar = "-" * 41
    head = [
        f"#支付宝{name}查询",
        f"#账号：[{_ACCOUNT}]",
        f"#起始日期：[{first} 00:00:00]   终止日期：[{last} 00:00:00]",
        f"#{bar}{name}列表{bar}",
        columns,
    ]
    return "\n".join([*head, *lines, f"#{bar}{name}列表结束{bar}"]) + "\n"


def _exported(now: datetime) -> str:
    moment = beijing_text(now)
    day = f"{moment[:4]}年{moment[5:7]}月{moment[8:10]}日"
    return f"#导出时间：[{day} {moment[11:]}]\n"


class _GbkName(zipfile.ZipInfo):
    """A member whose name is GBK and does not say so, as Alipay's tool writes it."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("gbk"), self.flag_bits


def _zip(members: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            info = _GbkName(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text.encode("gb18030"))
    return packed.getvalue()
