"""Why terms cannot be proposed or approved, in the reader's language."""

from core.errors import CityBillError
from web import look


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal; what is wrong with a key is said as it came."""
    if refused is None:
        return None
    return {
        "terms.too_late": look.say(
            locale, "Terms come into force tomorrow at the earliest: choose a later day."
        ),
        "terms.day": look.say(locale, "The first day is missing: write it as 2027-01-31."),
        "terms.reason": look.say(locale, "Say why: the second person decides by it."),
        "terms.same_person": look.say(
            locale, "Who proposes terms cannot approve them: ask a colleague."
        ),
        "terms.day_taken": look.say(
            locale, "The company has other approved terms from that day on: propose another day."
        ),
        "terms.approved": look.say(
            locale, "These terms are approved and stay: propose others from a later day."
        ),
        "terms.withdrawn": look.say(locale, "These terms were withdrawn: propose them anew."),
    }.get(refused.code, str(refused))
