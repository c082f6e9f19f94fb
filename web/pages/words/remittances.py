"""Why something about a remittance was not done, in the reader's language."""

from core.errors import CityBillError
from web import look


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    return {
        "remittance.released": look.say(
            locale, "This remittance is released already, or nothing of it is paid."
        ),
        "remittance.no_account": look.say(
            locale, "The company’s terms name no account: propose terms that do."
        ),
        "remittance.changed": look.say(
            locale, "The company’s accounts have changed since: look at them again."
        ),
        "remittance.not_released": look.say(
            locale, "A colleague was faster: this remittance waits for no decision."
        ),
        "remittance.same_person": look.say(
            locale, "Who releases a remittance cannot approve it: ask a colleague."
        ),
        "remittance.reason": look.say(locale, "Say why: whoever looks later has only this."),
        "remittance.no_debtor": look.say(
            locale,
            "Our own account is not set up: CITYBILL_REMITTANCE_ACCOUNT and"
            " CITYBILL_REMITTANCE_BANK.",
        ),
        "remittance.none_approved": look.say(
            locale, "No remittance is approved: release one, and have it approved."
        ),
        "remittance.not_sent": look.say(locale, "This payment was never sent."),
        "remittance.was_debited": look.say(
            locale, "The bank’s statement has this payment: it left our account."
        ),
        "remittance.state": look.say(
            locale, "A colleague was faster: look at the remittance again."
        ),
    }.get(refused.code, str(refused))
