"""The words of autopay's notices: one table of kinds, one of reasons, in Chinese and English.

Each says what, how much, when, and what its reader can do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from billing.views import AccountView
from core.money import format_yuan
from notifications.words import Words, bill_words, company_words, day_words, language, letter
from notifications.words import short_day as short
from payments.autopay.rules import NotPaid


class Kind(StrEnum):
    """What a payer is told about one bill, or about autopay itself."""

    ANNOUNCED = "announced"
    PAY = "pay"  # autopay does not pay it: please do
    OFF = "off"  # what was announced need not be paid after all
    AGAIN = "again"
    LEFT = "left"  # a part was paid
    FROZEN = "frozen"
    ENDED = "ended"
    NOT_BEGUN = "not_begun"


class _Text(NamedTuple):
    title: str
    head: str
    tail: str


_TEXTS: dict[tuple[Kind, str], _Text] = {
    (Kind.ANNOUNCED, "zh_CN"): _Text(
        "自动缴费预告：{short_day}扣款 {amount}",
        "下面这份账单将于{day}自动缴纳，届时通过 {gateway} 扣款 {amount}（如有手续费，已包括在内）"
        "，只会少、不会多。您不用做什么，备足余额即可。",
        "不想自动扣款？扣款日之前可在这里一键暂停或终止，也可以自己先缴：",
    ),
    (Kind.ANNOUNCED, "en"): _Text(
        "Autopay takes {amount} on {short_day}",
        "This bill is paid by itself on {day}: {amount} is taken through {gateway}, any fee"
        " included, and never more. You need do nothing but keep enough money there.",
        "If you do not want that, pause or end autopay here with one tap before that day, or pay"
        " the bill yourself:",
    ),
    (Kind.PAY, "zh_CN"): _Text(
        "请您自己缴费：{open}（不会自动缴纳）",
        "{why}因此这份账单不会自动缴纳。{please}",
        "现在去缴费：",
    ),
    (Kind.PAY, "en"): _Text(
        "Please pay {open} yourself: not paid by autopay",
        "{why} So this bill is not paid by itself. {please}",
        "To pay it now:",
    ),
    (Kind.OFF, "zh_CN"): _Text(
        "{short_day}的自动扣款已取消",
        "我们曾告诉您，下面这份账单将于{day}自动扣款 {amount}。现在不扣了：{why}",
        "您的自动缴费：",
    ),
    (Kind.OFF, "en"): _Text(
        "Nothing is taken on {short_day}",
        "We had told you that {amount} would be taken for this bill on {day}. Nothing is taken"
        " now: {why}",
        "Your autopay:",
    ),
    (Kind.AGAIN, "zh_CN"): _Text(
        "自动缴费没有扣成 {amount}，{short_day}再试",
        "下面这份账单没有扣成，多半是余额不足。我们将在{day}再试，之后每天一次，最晚到{last}。"
        "请备足余额，或者自己缴费。最后缴费日：{pay}。",
        "自己缴费：",
    ),
    (Kind.AGAIN, "en"): _Text(
        "Autopay could not take {amount}: again on {short_day}",
        "This bill could not be paid: most often there is not enough money. We try again on {day},"
        " then once a day until {last}. Please see that there is enough, or pay the bill yourself."
        " Its last day to pay: {pay}.",
        "To pay it yourself:",
    ),
    (Kind.LEFT, "zh_CN"): _Text(
        "这份账单还有 {open} 要缴",
        "余额不够缴清，自动缴费只缴了下面这份账单的一部分，还剩 {open}。{please}",
        "现在去缴费：",
    ),
    (Kind.LEFT, "en"): _Text(
        "{open} of this bill is still to pay",
        "There was not enough money for all of this bill: autopay has paid a part of it, and"
        " {open} is left. {please}",
        "To pay it now:",
    ),
    (Kind.FROZEN, "zh_CN"): _Text(
        "自动缴费已停止",
        "银行退回了一笔自动扣款，{covers} 的自动缴费因此停止。请先看看您的账户，再来恢复；"
        "恢复之前不会再扣款。{bills}",
        "查看、恢复或终止：",
    ),
    (Kind.FROZEN, "en"): _Text(
        "Autopay has been stopped",
        "A payment made by autopay came back from your bank, so autopay of {covers} was stopped."
        " Look at your account first, then resume it; until then nothing is taken. {bills}",
        "To look, resume or end it:",
    ),
    (Kind.ENDED, "zh_CN"): _Text(
        "自动缴费已终止", "{why}以后不会再自动扣款。{bills}", "您的自动缴费："
    ),
    (Kind.ENDED, "en"): _Text(
        "Autopay has ended", "{why} Nothing new is taken from now on. {bills}", "Your autopay:"
    ),
    (Kind.NOT_BEGUN, "zh_CN"): _Text(
        "自动缴费没有开通",
        "您在 {gateway} 的授权没有完成，{covers} 没有开通自动缴费，不会扣款。",
        "想开通的话，可以重新办理：",
    ),
    (Kind.NOT_BEGUN, "en"): _Text(
        "Autopay was not set up",
        "Your consent at {gateway} was not completed, so autopay of {covers} was not set up and"
        " nothing is taken.",
        "To set it up after all:",
    ),
}

_WHY: dict[NotPaid, dict[str, str]] = {
    NotPaid.OVER_CAP: {
        "zh_CN": "这份账单要扣 {amount}，超过您设定的上限。",
        "en": "This bill comes to {amount}, more than you have allowed.",
    },
    NotPaid.NOT_FIXED: {
        "zh_CN": "这份账单要扣 {amount}，与您设定的固定金额不同。",
        "en": "This bill comes to {amount}, which is not the amount you have allowed.",
    },
    NotPaid.FIRST_BILL: {
        "zh_CN": "按您的选择，户号的首张账单只通知。",
        "en": "As you chose, the first bill of an account is only told of.",
    },
    NotPaid.TOO_LATE: {
        "zh_CN": "这份账单来得太晚，来不及提前三天告诉您。",
        "en": "It came too late to tell you three days before.",
    },
    NotPaid.ENROLLED_LATE: {
        "zh_CN": "自动缴费开通得太晚，距最后缴费日不到两个工作日。",
        "en": "Autopay was set up less than two working days before its last day to pay.",
    },
    NotPaid.NOT_TAKEN: {
        "zh_CN": "这家公司的这份账单不能自动缴费。",
        "en": "The company does not take autopay for it.",
    },
    NotPaid.PAID: {"zh_CN": "账单已经缴清。", "en": "the bill is paid already."},
    NotPaid.CANCELLED: {
        "zh_CN": "账单已被公司撤销。",
        "en": "the company has cancelled the bill.",
    },
    NotPaid.SUPERSEDED: {
        "zh_CN": "账单已被公司更正。更正后如需缴费，会再告诉您。",
        "en": "the company has corrected the bill. If there is something to pay, we tell you of"
        " it.",
    },
    NotPaid.CHANGED: {
        "zh_CN": "扣款金额变得比告诉您的多。",
        "en": "It became more than we had told you.",
    },
    NotPaid.PAUSED: {
        "zh_CN": "到了扣款日，自动缴费处于暂停状态。",
        "en": "Autopay was paused on its day.",
    },
    NotPaid.ENDED: {"zh_CN": "自动缴费已经终止。", "en": "Autopay had ended."},
    NotPaid.NOT_ALLOWED: {
        "zh_CN": "您已不能再缴这个户号的账单。",
        "en": "you may no longer pay the bills of this account.",
    },
    NotPaid.SHORT: {
        "zh_CN": "试了几天都没有扣成，多半是余额不足。",
        "en": "It could not be taken though we tried for days: most often there is not enough"
        " money.",
    },
    NotPaid.NO_ANSWER: {
        "zh_CN": "支付服务一直没有告知扣款结果（如果其实已经扣了款，会自动入账或退还给您）。",
        "en": "The payment service never said what became of it. If it took money after all, that"
        " is booked or comes back to you.",
    },
    NotPaid.RETURNED: {
        "zh_CN": "扣到的款项无法入账，将退还给您。",
        "en": "What was taken could not be kept and goes back to you.",
    },
}

_ENDED_WHY: dict[str | None, dict[str, str]] = {
    "by_payer": {
        "zh_CN": "您终止了 {covers} 的自动缴费。",
        "en": "You have ended autopay of {covers}.",
    },
    "by_gateway": {
        "zh_CN": "{covers} 的自动缴费已在 {gateway} 终止。",
        "en": "Autopay of {covers} was ended at {gateway}.",
    },
    "not_allowed": {
        "zh_CN": "您已不能再缴 {covers} 的账单，自动缴费随之终止。",
        "en": "You may no longer pay the bills of {covers}, so autopay of them has ended.",
    },
}

_PLEASE = {
    "zh_CN": ("请最晚在{pay}自己缴费。", "最后缴费日是{pay}，已经过了：请尽快自己缴费。"),
    "en": (
        "Please pay it yourself by {pay}.",
        "Its last day to pay was {pay}: please pay it yourself soon.",
    ),
}
_BILLS = {"zh_CN": "下面的账单请您自己缴：", "en": "Please pay these bills yourself:"}
_BY = {"zh_CN": "最晚{pay}", "en": "by {pay}"}
_HOUSEHOLD = {"zh_CN": "本户全部户号", "en": "all accounts of your household"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One bill under autopay, as its payer is told of it.

    ``amount_fen`` is what was announced; ``last_on`` the last day of trying again.
    """

    account: AccountView
    billing_month: date
    amount_fen: int
    open_fen: int
    debit_on: date
    last_on: date
    pay_by_on: date
    today: date
    gateway: str  # its name
    reason: NotPaid | None


class OpenBill(NamedTuple):
    """A bill whose payer has to pay it, now that autopay does not."""

    account: AccountView
    billing_month: date
    open_fen: int
    pay_by_on: date


def about_bill(kind: Kind, run: RunFacts, *, link: str, locale: str) -> Words:
    """Return what is told of one bill."""
    spoken = language(locale)
    facts = {
        "amount": format_yuan(run.amount_fen), "open": format_yuan(run.open_fen),
        "day": day_words(run.debit_on, spoken), "short_day": short(run.debit_on, spoken),
        "last": day_words(run.last_on, spoken), "pay": day_words(run.pay_by_on, spoken),
        "gateway": run.gateway,
    }  # fmt: skip
    facts["please"] = _PLEASE[spoken][run.today > run.pay_by_on].format(**facts)
    facts["why"] = _WHY[run.reason][spoken].format(**facts) if run.reason else ""
    expected = kind in {Kind.PAY, Kind.LEFT}
    line = (
        bill_words(run.account, run.billing_month, spoken),
        facts["open"] if expected else facts["amount"],
    )
    return _letter(kind, facts, [line], link=link, spoken=spoken)


def about_autopay(
    kind: Kind,
    *,
    reason: str | None,
    account: AccountView | None,
    gateway: str,
    bills: Sequence[OpenBill],
    link: str,
    locale: str,
) -> Words:
    """Return what is told of autopay itself; ``account`` None: it is for the whole household."""
    spoken = language(locale)
    covers = _HOUSEHOLD[spoken]
    if account is not None:
        covers = f"{company_words(account, spoken)} {account.account_no_masked}"
    facts = {"covers": covers, "gateway": gateway, "bills": _BILLS[spoken] if bills else ""}
    why = _ENDED_WHY.get(reason, {}).get(spoken, "")
    facts["why"] = why.format(**facts)
    lines = []
    for one in bills:
        by = _BY[spoken].format(pay=short(one.pay_by_on, spoken))
        name = bill_words(one.account, one.billing_month, spoken)
        lines.append((f"{name} · {by}", format_yuan(one.open_fen)))
    return _letter(kind, facts, lines, link=link, spoken=spoken)


def _letter(
    kind: Kind,
    facts: dict[str, str],
    lines: Sequence[tuple[str, str]],
    *,
    link: str,
    spoken: str,
) -> Words:
    text = _TEXTS[kind, spoken]
    title, head, tail = (part.format(**facts).strip() for part in text)
    return letter(title, head, tail, link, locale=spoken, lines=lines)
