"""The words of notices, in Chinese and English, rendered once when the notice is made.

Those of autopay are in ``notifications.autopay_words``.
"""

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import NamedTuple

from babel.dates import format_date

from billing.views import AccountView
from core.money import format_yuan
from payments.views import PaymentItemView, PaymentView

_DAY = {"zh_CN": "y年M月d日（EEEE）", "en": "EEEE d MMMM y"}
_SHORT_DAY = {"zh_CN": "M月d日", "en": "d MMMM"}


class Words(NamedTuple):
    title: str
    body: str
    body_html: str | None = None


def language(locale: str) -> str:
    """Return the language we write to somebody in: Chinese unless they asked for English."""
    return "en" if locale == "en" else "zh_CN"


def day_words(day: date, locale: str) -> str:
    """Return a day with its weekday: ``"Tuesday 24 November 2026"``."""
    spoken = language(locale)
    return format_date(day, _DAY[spoken], locale=spoken)


def short_day(day: date, locale: str) -> str:
    """Return a day for a title: ``"24 November"``."""
    spoken = language(locale)
    return format_date(day, _SHORT_DAY[spoken], locale=spoken)


def company_words(account: AccountView, locale: str) -> str:
    """Return a company's name."""
    return account.provider_name_en if locale == "en" else account.provider_name


def bill_words(account: AccountView, month: date, locale: str) -> str:
    """Return a bill's name, the account number masked."""
    period = f"{month:%B %Y}" if locale == "en" else f"{month.year}年{month.month}月"
    return f"{company_words(account, locale)} · {period} · {account.account_no_masked}"


def letter(
    title: str,
    head: str,
    tail: str,
    link: str,
    *,
    locale: str,
    lines: Sequence[tuple[str, str]] = (),
) -> Words:
    """Return a notice: what happened, the bills it is about with amounts, and where to go."""
    listed = "".join(f"  {what}  {amount}\n" for what, amount in lines)
    body = "\n".join(part for part in (f"{head}\n", listed, f"{tail}\n{link}\n") if part)
    return Words(title, body, _page(title, head, lines, tail, link, locale))


def sign_in_code(code: str, *, minutes: int, locale: str) -> Words:
    """Return the message that carries a one-time code."""
    if locale == "en":
        return Words(
            "CityBill sign-in code",
            f"[CityBill] {code} is your sign-in code. It works once, for {minutes} minutes. "
            "We never ask for it by phone.",
        )
    return Words(
        "城市账单登录验证码",
        f"【城市账单】验证码 {code}，{minutes} 分钟内有效，仅可使用一次。我们不会来电索取验证码。",
    )


def receipt(
    payment: PaymentView, *, name: str, link: str, locale: str, by_autopay: bool = False
) -> Words:
    """Return the receipt of a payment: every bill by name, so that nobody has to guess."""
    total = format_yuan(payment.amount_fen)
    lines = [
        (
            bill_words(item.bill.account, item.bill.billing_month, locale),
            format_yuan(item.amount_fen),
        )
        for item in payment.items
    ]
    if locale == "en":
        title = f"Receipt: {total} paid"
        head = f"Dear {name}, we" if name else "We"
        head += f" have received your payment of {total}"
        head += ", made by autopay." if by_autopay else "."
        tail = "We will show here when each company has confirmed it:"
    else:
        title = f"缴费回执：已收到 {total}"
        head = f"{name}，您好！" if name else "您好！"
        head += f"我们已收到您的{'自动' if by_autopay else ''}缴费 {total}。"
        tail = "各公司确认销账的进度可在此查看："
    return letter(title, head, tail, link, locale=locale, lines=lines)


def returned(
    amount_fen: int, reason: str, *, link: str, locale: str, by_bank: bool = False
) -> Words:
    """Return the message that money was sent back; ``by_bank``: to an account of the payer's."""
    amount = format_yuan(amount_fen)
    if locale == "en":
        title = f"{amount} has been sent back to you"
        way = "was transferred to your bank account" if by_bank else "went back the way it came"
        head = f"{amount} {way}. Why: {reason}."
        tail = "Details:"
    else:
        title = f"{amount} 已退至您的银行账户" if by_bank else f"{amount} 已原路退回"
        way = "已转入您提供的银行账户" if by_bank else "已按原支付方式退回"
        head = f"{amount} {way}。原因：{reason}。"
        tail = "查看详情："
    return letter(title, head, tail, link, locale=locale)


def not_taken(item: PaymentItemView, *, link: str, locale: str) -> Words:
    """Return the message that a company did not take a bill's payment, and the money comes back."""
    bill, amount = item.bill, format_yuan(item.amount_fen)
    company = company_words(bill.account, locale)
    pay = day_words(bill.pay_by_on, locale)
    if locale == "en":
        title = f"{amount} is coming back to you"
        head = (
            f"{company} did not take your payment of {amount} for this bill. The money comes back"
            " to you by itself, and we write again once it is sent."
        )
        head += f" The bill is to pay again; its last day is {pay}." if bill.state.payable else ""
        tail = "Details:"
    else:
        title = f"{amount} 将退还给您"
        head = (
            f"{company}没有接受您为下面这份账单缴的 {amount}。这笔钱会自动退还给您，"
            "退出后我们会再通知您。"
        )
        head += f"这份账单需要重新缴费，最后缴费日是{pay}。" if bill.state.payable else ""
        tail = "查看详情："
    lines = [(bill_words(bill.account, bill.billing_month, locale), amount)]
    return letter(title, head, tail, link, locale=locale, lines=lines)


def not_granted(item: PaymentItemView, amount_fen: int, *, link: str, locale: str) -> Words:
    """Return the message that a refund somebody of staff had proposed was declined."""
    amount = format_yuan(amount_fen)
    if locale == "en":
        title = f"A refund of {amount} was not granted"
        head = f"The refund of {amount} for this bill was not granted. The payment stays as it is."
        tail = "If you do not agree, please ask customer service. Details:"
    else:
        title = f"{amount} 的退款未获批准"
        head = f"下面这份账单 {amount} 的退款未获批准，原缴费不变。"
        tail = "如有异议，请联系客服。查看详情："
    bill = item.bill
    lines = [(bill_words(bill.account, bill.billing_month, locale), format_yuan(item.amount_fen))]
    return letter(title, head, tail, link, locale=locale, lines=lines)


def _page(
    title: str, head: str, lines: Sequence[tuple[str, str]], tail: str, link: str, locale: str
) -> str:
    """Return a plain, accessible HTML mail: no images, no tracking, readable without styles."""
    rows = "".join(
        f'<tr><td style="padding:8px 16px 8px 0">{escape(what)}</td>'
        f'<td style="padding:8px 0;text-align:right;white-space:nowrap">{escape(amount)}</td></tr>'
        for what, amount in lines
    )
    table = f'<table style="border-collapse:collapse;font-size:16px">{rows}</table>' if rows else ""
    return (
        f'<!doctype html><html lang="{"en" if locale == "en" else "zh-CN"}"><head>'
        f'<meta charset="utf-8"><title>{escape(title)}</title></head>'
        '<body style="margin:0;padding:24px;font:17px/1.6 sans-serif;color:#1b2733;'
        f'background:#ffffff"><h1 style="font-size:22px">{escape(title)}</h1>'
        f"<p>{escape(head)}</p>{table}<p>{escape(tail)}<br>"
        f'<a href="{escape(link)}" style="color:#0b5c8c">{escape(link)}</a></p></body></html>'
    )
