"""Days, companies and bills as notices say them, in Chinese and English."""

from datetime import date

from babel.dates import format_date

from billing.views import AccountView

_DAY = {"zh_CN": "y年M月d日（EEEE）", "en": "EEEE d MMMM y"}
_SHORT_DAY = {"zh_CN": "M月d日", "en": "d MMMM"}


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


def month_words(month: date, locale: str) -> str:
    """Return a month: ``"October 2026"``."""
    return f"{month:%B %Y}" if locale == "en" else f"{month.year}年{month.month}月"


def bill_words(account: AccountView, month: date, locale: str) -> str:
    """Return a bill's name, the account number masked."""
    period = month_words(month, locale)
    return f"{company_words(account, locale)} · {period} · {account.account_no_masked}"
