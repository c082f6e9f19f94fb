"""A company's message about its service as pages show it, for its own people and for staff."""

from typing import Any

from notifications.models import ServiceMessage
from notifications.outage_notices import what_words
from web.pages.file_views import provider_name


def message_facts(locale: str, message: ServiceMessage) -> dict[str, Any]:
    """Return what a list and a page show of a message."""
    return {
        "id": message.id,
        "provider_code": message.provider_code,
        "provider_name": provider_name(locale, message.provider_code),
        "what": what_words(message, "en" if locale == "en" else "zh_CN"),
        "words": message.words_en if locale == "en" else message.words_zh,
        "from_at": message.from_at,
        "until_at": message.until_at,
        "reach": message.reach.value,
        "address_prefix": message.address_prefix,
        "accounts": len(message.account_nos or ()),
        "made_at": message.made_at,
        "sent_at": message.sent_at,
        "over_at": message.over_at,
        "state": state_of(message),
    }


def state_of(message: ServiceMessage) -> str:
    """Return how far a message is: written, sent, over, or withdrawn."""
    if message.withdrawn_at is not None:
        return "withdrawn"
    if message.sent_at is None:
        return "written"
    return "over" if message.over_at is not None else "sent"
