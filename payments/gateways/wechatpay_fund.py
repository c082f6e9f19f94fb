"""WeChat Pay's fund bill: every movement of the merchant's account there, and its balance.

Source: docs/wire/wechatpay.md, "Fund bill".
"""

from datetime import date, datetime
from typing import NamedTuple

from core.clock import billing_date
from core.errors import SettlementFileError
from core.money import yuan_text
from payments.gateways.wechatpay_bills import Line, check_total, read_bill, require

_IN, _OUT = "收入", "支出"
_REQUIRED = (
    "记账时间", "微信支付业务单号", "资金流水单号", "业务名称", "业务类型", "收支类型",
    "收支金额", "账户结余", "业务凭证号",
)  # fmt: skip
_TOTALS = ("资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额")


class FundRecord(NamedTuple):
    """One movement. ``amount_fen`` is negative where money left the account.

    One payment is two of them: what came in, and its fee. A refund's ``business_ref`` has the shape
    of a refund's number, and ``voucher_no`` is then ours.
    """

    line_no: int
    booked_at: datetime
    business_ref: str
    flow_ref: str
    name: str
    kind: str
    amount_fen: int
    balance_fen: int
    voucher_no: str


def fund_rows(content: bytes, *, day: date) -> list[FundRecord]:
    """Read a fund bill whole.

    Raises:
        SettlementFileError: not this day's, malformed, its totals do not add up, or a balance is
            not the one before it and the amount.
    """
    bill = read_bill(content)
    require(bill.columns, _REQUIRED, 1)
    require(bill.totals.values, _TOTALS, bill.totals.line_no)
    rows: list[FundRecord] = []
    came: list[int] = []
    went: list[int] = []
    for line in bill.lines:
        row = _record(line, day)
        if rows and rows[-1].balance_fen + row.amount_fen != row.balance_fen:
            raise SettlementFileError(
                "the balance is not the one of the line before and the amount: a line is missing"
                " or changed, fetch the file again",
                line_no=row.line_no, column="账户结余",
            )  # fmt: skip
        rows.append(row)
        (came if line.text("收支类型") == _IN else went).append(abs(row.amount_fen))
    _check_totals(bill.totals, came, went)
    return rows


def _record(line: Line, day: date) -> FundRecord:
    booked_at, amount_fen = line.moment("记账时间"), line.yuan("收支金额")
    if billing_date(booked_at) != day:
        raise SettlementFileError(
            f"the line is not of {day}: is it another day's file?",
            line_no=line.line_no, column="记账时间",
        )  # fmt: skip
    if line.text("收支类型") not in {_IN, _OUT} or amount_fen < 0:
        raise SettlementFileError(
            f"a line is {_IN} or {_OUT}, its amount without a sign",
            line_no=line.line_no, column="收支类型",
        )  # fmt: skip
    return FundRecord(
        line.line_no, booked_at, line.text("微信支付业务单号"), line.text("资金流水单号"),
        line.text("业务名称"), line.text("业务类型"),
        amount_fen if line.text("收支类型") == _IN else -amount_fen,
        line.yuan("账户结余"), line.text("业务凭证号"),
    )  # fmt: skip


def _check_totals(totals: Line, came: list[int], went: list[int]) -> None:
    counts = {"资金流水总笔数": len(came) + len(went), "收入笔数": len(came), "支出笔数": len(went)}
    for name, ours in counts.items():
        check_total(totals, name, ours, totals.count(name))
    for name, amounts in (("收入金额", came), ("支出金额", went)):
        told_fen = totals.yuan(name)
        check_total(totals, name, yuan_text(sum(amounts)), yuan_text(told_fen))
