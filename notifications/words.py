"""The words of every notice, in Chinese and English, rendered once when the notice is made."""

from html import escape
from typing import NamedTuple

from core.money import format_yuan
from payments.views import PaymentView


class Words(NamedTuple):
    title: str
    body: str
    body_html: str | None = None


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


def receipt(payment: PaymentView, *, name: str, link: str, locale: str) -> Words:
    """Return the receipt of a payment: every bill by name, so that nobody has to guess."""
    english = locale == "en"
    total = format_yuan(payment.amount_fen)
    lines = []
    for item in payment.items:
        account, month = item.bill.account, item.bill.billing_month
        company = account.provider_name_en if english else account.provider_name
        period = f"{month:%B %Y}" if english else f"{month.year}年{month.month}月"
        lines.append(
            (f"{company} · {period} · {account.account_no_masked}", format_yuan(item.amount_fen))
        )
    if english:
        title = f"Receipt: {total} paid"
        head = f"Dear {name}, we" if name else "We"
        head += f" have received your payment of {total}."
        tail = "We will show here when each company has confirmed it:"
    else:
        title = f"缴费回执：已收到 {total}"
        head = f"{name}，您好！" if name else "您好！"
        head += f"我们已收到您的缴费 {total}。"
        tail = "各公司确认销账的进度可在此查看："
    listed = "\n".join(f"  {what}  {amount}" for what, amount in lines)
    body = f"{head}\n\n{listed}\n\n{tail}\n{link}\n"
    return Words(title, body, _page(title, head, lines, tail, link, locale))


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
    return Words(title, f"{head}\n\n{tail}\n{link}\n", _page(title, head, [], tail, link, locale))


def _page(
    title: str, head: str, lines: list[tuple[str, str]], tail: str, link: str, locale: str
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
