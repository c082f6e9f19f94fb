"""What fills the words of payments: each says what became of whose money."""

from core.money import format_yuan
from notifications.wording.rendering import Facts
from notifications.words import bill_words, company_words, day_words, language
from payments.views import PaymentItemView, PaymentView

_GREETING = {"zh_CN": ("您好！", "{name}，您好！"), "en": ("", "Dear {name},")}
_HOW = {"zh_CN": ("", "自动"), "en": ("", ", made by autopay")}
_WAY = {
    "zh_CN": ("已原路退回", "已退至您的银行账户"),
    "en": ("went back the way it came", "was transferred to your bank account"),
}
_PAY_AGAIN = {
    "zh_CN": "这份账单需要重新缴费，最后缴费日是{day}。",
    "en": "The bill is to pay again; its last day is {day}.",
}


def receipt_facts(
    payment: PaymentView, *, name: str, link: str, locale: str, by_autopay: bool = False
) -> Facts:
    """Return what a receipt says: every bill by name, so that nobody has to guess."""
    spoken = language(locale)
    values = {
        "greeting": _GREETING[spoken][bool(name)].format(name=name), "name": name,
        "amount": format_yuan(payment.amount_fen), "count": str(len(payment.items)),
        "how": _HOW[spoken][by_autopay],
    }  # fmt: skip
    return Facts(values, [line(item, item.amount_fen, spoken) for item in payment.items], link)


def returned_facts(
    amount_fen: int, why: str, *, link: str, locale: str, by_bank: bool = False
) -> Facts:
    """Return what is told of money sent back; ``by_bank``: to an account of the payer's."""
    way = _WAY[language(locale)][by_bank]
    return Facts({"amount": format_yuan(amount_fen), "way": way, "why": why}, link=link)


def item_facts(item: PaymentItemView, amount_fen: int, *, link: str, locale: str) -> Facts:
    """Return what is told of one bill's part of a payment."""
    spoken, bill = language(locale), item.bill
    name, amount = line(item, item.amount_fen, spoken)
    again = _PAY_AGAIN[spoken].format(day=day_words(bill.pay_by_on, spoken))
    values = {
        "amount": format_yuan(amount_fen), "bill": name,
        "company": company_words(bill.account, spoken),
        "please": again if bill.state.payable else "",
    }  # fmt: skip
    return Facts(values, [(name, amount)], link)


def line(item: PaymentItemView, amount_fen: int, locale: str) -> tuple[str, str]:
    """Return a bill's line in the table of a letter."""
    bill = item.bill
    return bill_words(bill.account, bill.billing_month, locale), format_yuan(amount_fen)
