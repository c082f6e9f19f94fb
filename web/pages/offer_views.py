"""A company's offer as pages show it, and why one cannot be kept or told."""

from typing import Any

from core.errors import CityBillError
from notifications.models import Offer
from notifications.offers import state_of
from web.look import say, say_known
from web.pages.file_views import provider_name


def offer_facts(locale: str, offer: Offer) -> dict[str, Any]:
    """Return what a list and a page show of an offer."""
    return {
        "id": offer.id,
        "provider_code": offer.provider_code,
        "provider_name": provider_name(locale, offer.provider_code),
        "words": offer.words_en if locale == "en" else offer.words_zh,
        "words_zh": offer.words_zh,
        "words_en": offer.words_en,
        "ends_on": offer.ends_on,
        "reach": offer.reach.value,
        "address_prefix": offer.address_prefix,
        "accounts": len(offer.account_nos or ()),
        "made_at": offer.made_at,
        "proposed_at": offer.proposed_at,
        "decided_at": offer.decided_at,
        "declined_because": offer.declined_because,
        "state": state_of(offer).value,
    }


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal in the reader's language."""
    if refused is None:
        return None
    return {
        "offer.words": say(
            locale, "Write the offer in Chinese and in English, each in at most 100 characters."
        ),
        "offer.ends": say(
            locale, "Say until when it holds: today at the earliest, in 90 days at the latest."
        ),
        "offer.gone": say(locale, "This offer was withdrawn: write another."),
        "offer.past": say(locale, "The offer is over: write another."),
        "offer.not_proposed": say(locale, "This offer does not wait to be decided any more."),
        "offer.same_person": say(locale, "Who wrote an offer cannot decide it: ask a colleague."),
        "offer.no_reason": say(locale, "Say why not: the company learns by it."),
    }.get(refused.code) or say_known(locale, refused.message)
