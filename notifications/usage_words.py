"""How an unusual usage is said: how much, against what, and what to look at first."""

from decimal import Decimal

from billing.usage.unusual import Unusual
from notifications.words import language
from providers.profiles import Service

_MOST_PERCENT = 1000
_BASIS = {
    ("zh_CN", True): "去年同期", ("zh_CN", False): "最近四期",
    ("en", True): "this time last year", ("en", False): "the last four bills",
}  # fmt: skip
_LEAK = {
    "zh_CN": "近半年来最低用水量也在逐期升高，很像漏水：请关紧所有龙头后看水表是否还在走，"
    "并检查马桶水箱和暗管。",
    "en": "Even the lowest usage has kept rising for half a year, which looks like a leak: turn all"
    " taps off, see whether the meter still runs, and check cisterns and hidden pipes.",
}
_HINTS = {
    ("water", "zh_CN"): "请先核对水表读数，再看看龙头和马桶水箱是否漏水。",
    ("water", "en"): "Check the reading on your meter first, then taps and cisterns.",
    ("power", "zh_CN"): "请先核对电表读数，再想想本期是否多用了空调、电暖气等大功率电器。",
    ("power", "en"): "Check the reading on your meter first, then think of heaters and air"
    " conditioning.",
    ("gas", "zh_CN"): "请先核对燃气表读数。如闻到燃气味，请立即关阀、开窗，"
    "到室外拨打燃气公司抢修电话。",
    ("gas", "en"): "Check the reading on your meter first. If you smell gas, close the valve,"
    " open the windows, go outside and call the company.",
}


def usage_values(odd: Unusual, service: Service, locale: str) -> dict[str, str]:
    """Return the places of ``usage.unusual`` that are about usage, in the reader's language."""
    spoken = language(locale)
    leaks = odd.rising and service == "water"
    basis = _BASIS[spoken, odd.seasonal]
    usual = f"{_number(odd.usual)} {odd.unit}"
    return {
        "usage": f"{_number(odd.usage)} {odd.unit}",
        "usual": f"{usual} ({basis})" if spoken == "en" else f"{usual}（{basis}）",
        "percent": _percent_above(odd),
        "hint": _LEAK[spoken] if leaks else _HINTS.get((service, spoken), ""),
    }


def _number(value: Decimal) -> str:
    """Return a number without the noughts that say nothing: ``"8"`` for 8.000."""
    return f"{value.normalize():f}"


def _percent_above(odd: Unusual) -> str:
    if odd.usual <= 0 or odd.usage >= odd.usual * (_MOST_PERCENT // 100 + 1):
        return f">{_MOST_PERCENT}%"
    return f"{int((odd.usage - odd.usual) * 100 / odd.usual)}%"
