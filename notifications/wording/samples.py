"""Facts to look at words with: one resident's ordinary month, as the demo city has it."""

from typing import Final

from notifications.catalogue import EVENTS
from notifications.wording.rendering import Facts
from notifications.words import language

LINK: Final = "https://citybill.example/bills/1024.77"
_LINES: Final = {
    "zh_CN": (
        ("市自来水公司 · 2026年10月 · ****1234", "¥86.50"),
        ("市燃气公司 · 2026年10月 · ****5678", "¥142.00"),
    ),
    "en": (
        ("City Water · October 2026 · ****1234", "¥86.50"),
        ("City Gas · October 2026 · ****5678", "¥142.00"),
    ),
}
# What each place is filled with, in Chinese and English.
_PLACES: Final = {
    "about": ("市自来水公司的账单", "a bill of City Water"),
    "amount": ("¥86.50", "¥86.50"),
    "answer": ("已派人复核水表，读数无误。", "We have read the meter again: the bill is right."),
    "bill": ("市自来水公司 · 2026年10月 · ****1234", "City Water · October 2026 · ****1234"),
    "bills": ("下面的账单请您自己缴：", "Please pay these bills yourself:"),
    "by": ("王**", "W***"),
    "code": ("482913", "482913"),
    "companies": ("市自来水公司、市燃气公司", "City Water, City Gas"),
    "company": ("市自来水公司", "City Water"),
    "complaint_no": ("C20261121-000042", "C20261121-000042"),
    "count": ("2", "2"),
    "covers": ("市自来水公司 ****1234", "City Water ****1234"),
    "day": ("2026年11月24日（星期二）", "Tuesday 24 November 2026"),
    "days": ("3", "3"),
    "due_on": ("11月30日", "30 November"),
    "from": ("11月24日 8:00", "24 November 8:00"),
    "gateway": ("银行代扣", "Bank debit"),
    "greeting": ("王小明，您好！", "Dear Wang Xiaoming,"),
    "hint": ("请查看有无漏水。", "Please look for a leak."),
    "home": ("我家", "My home"),
    "how": ("自动", ", made by autopay"),
    "last": ("2026年11月29日（星期日）", "Sunday 29 November 2026"),
    "minutes": ("5", "5"),
    "month": ("2026年10月", "October 2026"),
    "name": ("王小明", "Wang Xiaoming"),
    "number": ("RM2611209001", "RM2611209001"),
    "open": ("¥86.50", "¥86.50"),
    "paid": ("¥228.50", "¥228.50"),
    "pay": ("2026年11月30日（星期一）", "Monday 30 November 2026"),
    "percent": ("80", "80"),
    "period": ("11月20日至11月22日", "20 November to 22 November"),
    "please": (
        "请最晚在2026年11月30日（星期一）自己缴费。",
        "Please pay it yourself by Monday 30 November 2026.",
    ),
    "role": ("看账单和缴费", "see and pay the bills"),
    "short_day": ("11月24日", "24 November"),
    "text": ("管网检修，请提前储水。", "The mains are mended: please keep some water."),
    "time": ("11月24日 8:00", "24 November 8:00"),
    "until": ("11月24日 17:00", "24 November 17:00"),
    "usage": ("27 m³", "27 m³"),
    "usual": ("15 m³", "15 m³"),
    "way": ("已原路退回", "went back the way it came"),
    "what": ("停水", "No water"),
    "where": ("汉口路 1 至 99 号", "Hankou Road 1 to 99"),
    "why": ("这份账单要扣 ¥200.01，超过您设定的上限。", "This bill comes to more than you allow."),
}  # fmt: skip
# Why money goes back is a clause; elsewhere "why" is a sentence.
_BACK: Final = {"why": ("公司未能入账", "the company did not take the payment")}
_OF_EVENT: Final = {"payment.returned": _BACK, "refund.requested": _BACK}


def sample(event: str, locale: str) -> Facts:
    """Return facts of an event, for somebody to look at its words."""
    spoken = language(locale)
    english = spoken == "en"
    places = EVENTS[event].places
    lines = _LINES[spoken] if "count" in places else _LINES[spoken][:1]
    said = _PLACES | _OF_EVENT.get(event, {})
    return Facts({place: said[place][english] for place in places}, lines, LINK)
