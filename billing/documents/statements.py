"""What a printed bill says of how it stands: its state, what came to it, and how it may be paid."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from billing.documents.typesetting import Term
from billing.rules.payable import Offer
from billing.views import BillState, BillView
from providers.base import OptionKind

STATES: Final = {
    BillState.OPEN: Term("待缴费", "To pay"),
    BillState.DUE_SOON: Term("即将到期", "Due soon"),
    BillState.OVERDUE: Term("已逾期", "Overdue"),
    BillState.IN_PAYMENT: Term("缴费处理中", "In progress"),
    BillState.PAID: Term("已缴费", "Paid"),
    BillState.CONFIRMED: Term("已缴费并销账", "Settled"),
    BillState.COVERED: Term("已由结余抵扣", "Covered by credits"),
    BillState.CREDIT: Term("有余额，无需缴费", "In credit"),
    BillState.CREDIT_USED: Term("结余已用完", "Credit used up"),
    BillState.NOTHING_DUE: Term("无需缴费", "Nothing to pay"),
    BillState.CANCELLED: Term("已作废", "Cancelled"),
    BillState.PAID_ELSEWHERE: Term("已由其他渠道缴清", "Paid another way"),
}
NOT_PAYABLE: Final = {
    BillState.IN_PAYMENT: Term(
        "缴费处理中，请勿重复缴费", "A payment is under way: do not pay again"
    ),
    BillState.CANCELLED: Term("本账单已作废，请勿缴费", "This bill is void: do not pay it"),
    BillState.PAID_ELSEWHERE: Term(
        "本账单已由其他渠道缴清，无需缴费", "This bill was paid another way: do not pay it again"
    ),
}
NOTHING_TO_PAY: Final = Term("本账单现在无需缴费", "There is nothing to pay on this bill now")
_KINDS: Final = {
    OptionKind.EARLY: "Early",
    OptionKind.LATE: "Late",
    OptionKind.MINIMUM: "At least",
    OptionKind.INSTALMENT: "Instalment",
}


class SumLine(NamedTuple):
    """A figure under the company's total."""

    term: Term
    amount_fen: int


def sum_lines(bill: BillView, offers: Sequence[Offer]) -> list[SumLine]:
    """Return what lies between a bill's total and what is to pay, then its other ways to be paid.

    Nothing, where the total is what is to pay and that is the only way.
    """
    credit = bill.amount_fen < 0
    used = Term("抵扣其他账单", "Used for other bills") if credit else Term("结余抵扣", "Credits")
    moved = [
        SumLine(Term("滞纳金及附加费", "Late fees, surcharges"), max(bill.adjusted_fen, 0)),
        SumLine(Term("减免", "Taken off"), min(bill.adjusted_fen, 0)),
        SumLine(used, -bill.credited_fen),
        SumLine(Term("已缴", "Paid so far"), -bill.paid_fen),
    ]
    lines = [line for line in moved if line.amount_fen]
    if lines:
        left = Term("剩余结余", "Credit left") if credit else Term("尚需缴纳", "Still to pay")
        lines.append(SumLine(left, bill.open_fen))
    return lines + [_offer(offer) for offer in offers if offer.kind is not None]


def _offer(offer: Offer) -> SumLine:
    assert offer.kind is not None
    name = offer.name if len(offer.name) <= 20 else f"{offer.name[:19]}…"
    english = _KINDS[offer.kind]
    if offer.until_on is None:
        return SumLine(Term(f"可选：{name}", english), offer.amount_fen)
    day = offer.until_on
    chinese = f"可选：{name}（至{day.year}年{day.month}月{day.day}日）"
    return SumLine(Term(chinese, f"{english}, until {day}"), offer.amount_fen)
