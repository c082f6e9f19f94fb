"""The paper of a payment: who paid which bills, what each company says of it, what went back.

A proof of payment (缴费凭证) and never a tax invoice (发票), and says so.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.documents.charts import month_text
from billing.documents.sheets import About, Column, Sheets, Tile, sheets_pdf
from billing.documents.typesetting import MUTED, Term
from core.clock import BILLING_ZONE
from core.masking import mask_no
from core.money import capital_yuan, format_yuan
from payments.returns.views import RefundStep, RefundView
from payments.views import PaymentItemView, PaymentView, PublicStatus

_TITLE: Final = Term("缴费凭证", "Payment receipt")
_NOTE: Final = Term(
    "本凭证证明款项已支付，不是税务发票", "Proof that money was paid; it is not a tax invoice"
)
_ASK: Final = Term(
    "如需发票，请向出账公司索取。各公司是否已销账以本凭证出具时为准，最新情况请扫描二维码查看。",
    "For a tax invoice, please ask the company that sent the bill. What the companies have"
    " confirmed is as of when this receipt was made; scan the code for how it stands now.",
)
_STATUS: Final = {
    PublicStatus.PAID: Term("已缴费", "Paid"),
    PublicStatus.RETURNED: Term("已退款", "Returned"),
    PublicStatus.PARTLY_RETURNED: Term("部分已退款", "Partly returned"),
}
_OUTCOMES: Final = {
    "paid": Term("已收款，待公司销账", "Paid; the company confirms next"),
    "confirmed": Term("已销账", "Confirmed by the company"),
    "returning": Term("退款中", "On its way back"),
    "returned": Term("已退款", "Returned"),
    "not_paid": Term("未缴纳", "Not paid"),
}
_STEPS: Final = {
    RefundStep.REQUESTED: Term("已申请", "Asked for"),
    RefundStep.APPROVED: Term("处理中", "On its way"),
    RefundStep.SENT: Term("已退回", "Sent back"),
    RefundStep.DECLINED: Term("未批准", "Not granted"),
    RefundStep.CHARGED_BACK: Term("已由银行退回", "Returned by the bank"),
}
_BILLS: Final = (
    Column(Term("公司和户号", "Company and account"), 34),
    Column(Term("账期", "Month"), 16),
    Column(Term("销账情况", "At the company"), 24),
    Column(Term("公司收据号", "Company's receipt"), 24),
    Column(Term("金额", "Amount"), 16, right=True),
)
_REFUNDS: Final = (
    Column(Term("退款单号", "Refund no."), 30),
    Column(Term("情况", "State"), 20),
    Column(Term("时间", "When"), 26),
    Column(Term("金额", "Amount"), 16, right=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A payment that was made, as its payer sees it, and by which names it is known.

    Args:
        page_url: the payment's own page; the QR code leads there.
        now: aware; the paper says what was true then.
    """

    shown: PaymentView
    paid_at: datetime
    payer_name: str
    order_no: str
    gateway_ref: str | None
    page_url: str
    now: datetime


def receipt_pdf(paid: Paid, *, locale: str) -> bytes:
    """Return a payment's paper in one language; the same arguments give the same bytes."""
    about = About(
        title=_TITLE, of=paid.order_no, note=_NOTE, made_at=paid.now, locale=locale
    )  # fmt: skip
    return sheets_pdf(lambda sheets: _draw(sheets, paid), about)


def masked_ref(gateway_ref: str) -> str:
    """Show the end of a gateway's number: enough to find it in a wallet, not to use it."""
    return f"…{gateway_ref[-8:]}" if len(gateway_ref) >= 16 else mask_no(gateway_ref)


def _draw(sheets: Sheets, paid: Paid) -> None:
    shown = paid.shown
    sheets.tiles([
        Tile(Term("缴费金额", "Amount paid"), format_yuan(shown.amount_fen)),
        Tile(Term("缴费时间", "Paid at"), _moment(paid.paid_at)),
        Tile(Term("状态", "Status"), sheets.say(_STATUS[shown.public_status])),
    ])  # fmt: skip
    sheets.heading(Term("付款信息", "The payment"))
    sheets.facts([
        (Term("付款人", "Paid by"), paid.payer_name or "—"),
        (Term("金额大写", "In capitals"), capital_yuan(shown.amount_fen)),
        (Term("付款方式", "Paid with"), shown.gateway_name),
        (Term("支付渠道流水号", "Gateway's number"),
         masked_ref(paid.gateway_ref) if paid.gateway_ref else "—"),
        (Term("订单号", "Order no."), paid.order_no),
        (Term("缴费编号", "Payment no."), shown.ref),
        (Term("凭证出具时间", "Receipt made"), _moment(paid.now)),
    ])  # fmt: skip
    sheets.heading(Term("缴纳的账单", "Bills paid"))
    sheets.table(
        _BILLS,
        [_bill_row(sheets, item) for item in shown.items] + _fee_rows(sheets, shown),
        total=[sheets.say(Term("合计", "Total")), "", "", "", format_yuan(shown.amount_fen)],
    )
    if shown.refunds:
        sheets.heading(Term("退款", "Refunds"))
        sheets.table(_REFUNDS, [_refund_row(sheets, one) for one in shown.refunds])
    sheets.codes(
        url=paid.page_url, scan=Term("扫码查看最新情况", "Scan for how it stands"),
        number=paid.order_no, name=Term("订单号，供客服扫描", "Order no., for the service desk"),
    )  # fmt: skip
    sheets.line(sheets.say(_ASK), size=8, colour=MUTED)


def _bill_row(sheets: Sheets, item: PaymentItemView) -> list[str]:
    account, month = item.bill.account, item.bill.billing_month
    company = sheets.say(Term(account.provider_name, account.provider_name_en))
    return [
        f"{company} {account.account_no_masked}",
        sheets.say(Term(month_text(month), f"{month:%B %Y}")),
        sheets.say(_OUTCOMES[item.outcome]),
        item.utility_ref or "",
        format_yuan(item.amount_fen),
    ]


def _fee_rows(sheets: Sheets, shown: PaymentView) -> list[list[str]]:
    rows = (
        (Term("手续费", "Fee for paying here"), shown.fee_fen),
        (Term("手续费税额", "Tax on the fee"), shown.fee_tax_fen),
    )
    return [[sheets.say(name), "", "", "", format_yuan(fen)] for name, fen in rows if fen]


def _refund_row(sheets: Sheets, one: RefundView) -> list[str]:
    at = one.sent_at or one.declined_at or one.approved_at or one.requested_at
    return [
        one.refund_no, sheets.say(_STEPS[one.step]), _moment(at), format_yuan(one.amount_fen)
    ]  # fmt: skip


def _moment(at: datetime) -> str:
    return f"{at.astimezone(BILLING_ZONE):%Y-%m-%d %H:%M:%S}"
