"""What fills the words of autopay: a bill, and the reasons why it is not paid by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from billing.views import AccountView
from core.money import format_yuan
from notifications.wording.rendering import Facts
from notifications.words import bill_words, company_words, day_words, language, short_day
from payments.autopay.rules import NotPaid

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

# Said of a bill that autopay left alone because it was paid, and that is owed after all.
_PAID_NO_MORE = {
    "zh_CN": "它曾经缴清，后来款项退回，又需要缴纳。",
    "en": "It had been paid, but the money went back and it is owed again.",
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
class Run:
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


def run_facts(run: Run, *, still_open: bool, link: str, locale: str) -> Facts:
    """Return what is told of one bill; ``still_open``: with what is left of it, not its debit."""
    spoken = language(locale)
    values = {
        "amount": format_yuan(run.amount_fen), "open": format_yuan(run.open_fen),
        "day": day_words(run.debit_on, spoken), "short_day": short_day(run.debit_on, spoken),
        "last": day_words(run.last_on, spoken), "pay": day_words(run.pay_by_on, spoken),
        "gateway": run.gateway, "company": company_words(run.account, spoken),
        "bill": bill_words(run.account, run.billing_month, spoken),
    }  # fmt: skip
    values["please"] = _PLEASE[spoken][run.today > run.pay_by_on].format(**values)
    values["why"] = _WHY[run.reason][spoken].format(**values) if run.reason else ""
    if still_open and run.reason is NotPaid.PAID:
        values["why"] = _PAID_NO_MORE[spoken]
    amount = values["open" if still_open else "amount"]
    return Facts(values, [(values["bill"], amount)], link)


def mandate_facts(
    *,
    reason: str | None,
    account: AccountView | None,
    gateway: str,
    bills: Sequence[OpenBill],
    link: str,
    locale: str,
) -> Facts:
    """Return what is told of autopay itself; ``account`` None: it is for the whole household."""
    spoken = language(locale)
    covers = _HOUSEHOLD[spoken]
    if account is not None:
        covers = f"{company_words(account, spoken)} {account.account_no_masked}"
    why = _ENDED_WHY.get(reason, {}).get(spoken, "").format(covers=covers, gateway=gateway)
    values = {
        "covers": covers, "gateway": gateway, "why": why, "bills": _BILLS[spoken] if bills else "",
    }  # fmt: skip
    lines = []
    for one in bills:
        by = _BY[spoken].format(pay=short_day(one.pay_by_on, spoken))
        name = bill_words(one.account, one.billing_month, spoken)
        lines.append((f"{name} · {by}", format_yuan(one.open_fen)))
    return Facts(values, lines, link)
