"""What pages about residents say in the reader's language: companies' names, and why not."""

from collections.abc import Callable

from fastapi import Request

from core.errors import CityBillError
from providers.registry import PROVIDERS
from web import look
from web.pages.file_views import provider_name
from web.pages.page import locale_of


def company_of(request: Request) -> Callable[[str], str]:
    """Return what names a company by its code; one that is gone keeps its code."""
    locale = locale_of(request)
    return lambda code: provider_name(locale, code) if code in PROVIDERS else code


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    return {
        "notice.not_again": look.say(
            locale, "This notice cannot be sent again: a code works once, and the inbox keeps all."
        ),
        "notice.under_way": look.say(locale, "This notice is still on its way: wait a minute."),
        "notice.three_times": look.say(
            locale, "This notice was sent again three times. Ask for another contact."
        ),
        "resident.no_reason": look.say(locale, "Say why: the resident may ask."),
        "mandate.state": look.say(locale, "This autopay is not on: look again."),
    }.get(refused.code, str(refused))
