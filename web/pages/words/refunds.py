"""Why money cannot go back that way, in the reader's language."""

from core.errors import CityBillError
from core.money import format_yuan
from web import look


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    said = _about_refunds(locale, refused) | _about_transfers(locale)
    return said.get(refused.code, str(refused))


def _about_refunds(locale: str, refused: CityBillError) -> dict[str, str]:
    left_fen = refused.facts.get("refundable_fen")
    left = format_yuan(left_fen) if isinstance(left_fen, int) else ""
    return {
        "refund.amount": look.say(locale, "Write the amount in yuan, as 86.50."),
        "refund.no_reason": look.say(locale, "Choose a reason."),
        "refund.reason": look.say(locale, "Say why: the second person decides by it."),
        "refund.not_confirmed": look.say(
            locale,
            "The company has not said yet whether it takes this payment. If it refuses, the money"
            " goes back by itself.",
        ),
        "refund.not_paid": look.say(locale, "This bill was not paid by that payment."),
        "refund.disputed": look.say(
            locale, "The payer’s bank disputes this payment: wait for the decision."
        ),
        "refund.refundable_changed": look.say(
            locale, "Somebody was faster: %(left)s of this bill can still go back.", left=left
        ),
        "refund.too_much": look.say(
            locale, "That is too much: %(left)s of this bill can still go back.", left=left
        ),
        "refund.same_person": look.say(
            locale, "Who proposes a refund cannot approve it: ask a colleague."
        ),
        "refund.own_payment": look.say(
            locale, "This is your own payment: ask a colleague to approve its refund."
        ),
        "refund.decided": look.say(locale, "This refund is decided already: it is on its way."),
        "refund.declined": look.say(
            locale, "This refund was declined or withdrawn: propose it anew."
        ),
        "idempotency.other_request": look.say(
            locale, "This form was sent before with other figures: reload the page."
        ),
    }


def _about_transfers(locale: str) -> dict[str, str]:
    return {
        "transfer.payee": look.say(locale, "Say whose account it is, and at which bank."),
        "transfer.account": look.say(
            locale, "An account has 6 to 34 digits or letters: compare it with the payer’s words."
        ),
        "transfer.bank_ref": look.say(locale, "Copy the bank’s reference as it stands there."),
        "transfer.has_payee": look.say(
            locale, "Another account is entered for this transfer: ask who entered it."
        ),
        "refund.not_known": look.say(locale, "Say how you know that it was not sent."),
        "refund.not_stuck": look.say(
            locale, "This does not wait for a gateway that is gone: reload the page."
        ),
        "transfer.no_payee": look.say(locale, "Enter first to whom the money goes."),
        "transfer.same_person": look.say(
            locale, "Who entered the account cannot confirm this amount: ask a colleague."
        ),
        "transfer.ref_taken": look.say(
            locale, "This reference belongs to another transfer: look at the bank’s list again."
        ),
        "transfer.sent": look.say(locale, "This transfer was sent already."),
        "transfer.dropped": look.say(locale, "This money went back another way: send nothing."),
    }
