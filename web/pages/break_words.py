"""What a difference is, what helps, and why something was not done, in the reader's language."""

from core.errors import CityBillError
from payments.reconciliation.models import BreakKind
from web import look


def remedy(locale: str, kind: BreakKind) -> str:
    """Say what to do about a difference."""
    return {
        BreakKind.MISSING_HERE: look.say(
            locale, "The gateway took money we do not know of: find the payer."
        ),
        BreakKind.MISSING_AT_GATEWAY: look.say(
            locale, "Query the order; it may stand in the next day's file."
        ),
        BreakKind.AMOUNT_DIFFERS: look.say(
            locale, "Query the order: one of the two amounts is wrong."
        ),
        BreakKind.DUPLICATE: look.say(
            locale, "Ask the gateway whether the payer was charged twice."
        ),
        BreakKind.LEDGER_DIFFERS: look.say(
            locale, "Run the ledger's verification and call an engineer."
        ),
        BreakKind.WRITTEN_OFF_UNPAID: look.say(
            locale, "Ask the company to open the bill again: nobody paid it here."
        ),
        BreakKind.PAID_NOT_WRITTEN_OFF: look.say(
            locale, "Send the write-off again under its number, or ask for it."
        ),
        BreakKind.UNKNOWN_CREDIT: look.say(
            locale, "Find who sent it: move it to suspense until it is known."
        ),
        BreakKind.UNKNOWN_DEBIT: look.say(
            locale, "Ask the bank what it was for: nobody here sent it."
        ),
        BreakKind.NOT_SETTLED: look.say(
            locale, "Ask who owes it when it was sent: our bank's statement lacks it."
        ),
    }[kind]


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    said = {
        "break.reason": look.say(locale, "Say why: whoever looks later knows it by this alone."),
        "break.no_act": look.say(locale, "Choose what to do."),
        "break.none_chosen": look.say(locale, "Tick what you want to accept."),
        "break.wrong_act": look.say(locale, "This does not help here: choose something else."),
        "break.above_tolerance": look.say(
            locale, "This is too much to be written off: find out where it comes from."
        ),
        "break.resolved": look.say(locale, "A colleague was faster: this is resolved already."),
        "break.explained": look.say(locale, "A later file has explained this by itself."),
        "break.changed": look.say(
            locale, "This has changed since you saw it: look at the amounts again."
        ),
        "break.proposed": look.say(
            locale, "Something waits for approval here: that is decided first."
        ),
        "break.not_ours": look.say(locale, "This number is none of ours: find out whose it is."),
        "break.answered": look.say(
            locale,
            "The company has confirmed this already: ask it why its list says otherwise.",
        ),
        "break.same_person": look.say(locale, "You proposed this: a colleague approves it."),
        "break.decided": look.say(locale, "This is decided already: look again."),
        "break.nothing_to_undo": look.say(locale, "There is nothing to undo here any more."),
        "break.taken": look.say(locale, "A colleague looks after this: ask them."),
    }
    return said.get(refused.code, str(refused))
