"""What a difference is, what helps, and why something was not done, in the reader's language."""

from collections.abc import Callable, Sequence
from datetime import date

from core.errors import CityBillError
from payments.reconciliation.breaks import REMEDIES
from payments.reconciliation.models import BreakKind, BreakState, FoundBy, ReconciliationBreak
from payments.reconciliation.repair.models import Act
from web import look


def kind_name(locale: str, kind: BreakKind) -> str:
    """Name a kind of difference."""
    return {
        BreakKind.MISSING_HERE: look.say(locale, "Theirs, not ours"),
        BreakKind.MISSING_AT_GATEWAY: look.say(locale, "Ours, not theirs"),
        BreakKind.AMOUNT_DIFFERS: look.say(locale, "Amounts differ"),
        BreakKind.DUPLICATE: look.say(locale, "Listed twice"),
        BreakKind.LEDGER_DIFFERS: look.say(locale, "Ledger differs"),
        BreakKind.WRITTEN_OFF_UNPAID: look.say(locale, "Written off, not paid"),
        BreakKind.PAID_NOT_WRITTEN_OFF: look.say(locale, "Paid, not written off"),
        BreakKind.UNKNOWN_CREDIT: look.say(locale, "Unknown credit"),
        BreakKind.UNKNOWN_DEBIT: look.say(locale, "Unknown debit"),
        BreakKind.NOT_SETTLED: look.say(locale, "Not settled"),
        BreakKind.FEE_DIFFERS: look.say(locale, "Fees differ"),
        BreakKind.LATE: look.say(locale, "Not yet"),
        BreakKind.OTHER_ROUTE: look.say(locale, "Came another way"),
        BreakKind.REFUND_UNMATCHED: look.say(locale, "Refund without a pair"),
    }[kind]


def found_by(locale: str, how: FoundBy) -> str:
    """Name how rows were known without our number of the same day."""
    return {
        FoundBy.OTHER_DAY: look.say(locale, "Another day’s file"),
        FoundBy.THEIR_NUMBER: look.say(locale, "The gateway’s number"),
        FoundBy.AMOUNT: look.say(locale, "Sum and time"),
        FoundBy.PARTS: look.say(locale, "One sum in parts"),
        FoundBy.CANCELS: look.say(locale, "It went there and came back"),
    }[how]


def state_name(locale: str, state: BreakState) -> str:
    """Name where a difference stands."""
    return {
        BreakState.OPEN: look.say(locale, "To explain"),
        BreakState.EXPLAINED: look.say(locale, "Explained"),
        BreakState.RESOLVED: look.say(locale, "Resolved"),
    }[state]


def columns(locale: str) -> list[str]:
    """Name the columns of the list as a file."""
    return [
        look.say(locale, "Number"), look.say(locale, "What"), look.say(locale, "Whose books"),
        look.say(locale, "Day"), look.say(locale, "Row"), look.say(locale, "Reference"),
        look.say(locale, "Their reference"), look.say(locale, "Ours"), look.say(locale, "Theirs"),
        look.say(locale, "Happened"), look.say(locale, "Found"), look.say(locale, "Explain by"),
        look.say(locale, "State"), look.say(locale, "Closed"),
        look.say(locale, "Looked after by"),
    ]  # fmt: skip


def advice(
    locale: str, found: ReconciliationBreak, acts: Sequence[Act], *, after_all: bool = False
) -> str:
    """Say what to do about this very difference, where more is known than its kind.

    Args:
        after_all: its gateway lists it, though it was matched with something else.
    """
    if after_all:
        return look.say(
            locale,
            "Its gateway lists it after all, and it is matched with something else: undo that"
            " match, and find out whose money the other is.",
        )
    first = acts[0] if acts else None
    if found.kind is BreakKind.AMOUNT_DIFFERS and first is Act.WRITE_OFF_DIFFERENCE:
        return look.say(
            locale, "So little may be written off, if nobody can say where it comes from."
        )
    if found.kind is BreakKind.REFUND_UNMATCHED and found.ours_fen is not None:
        return look.say(
            locale, "We sent it, and their files do not have it: ask whether the payer has it."
        )
    if found.kind is BreakKind.OTHER_ROUTE and found.ours_fen is not None:
        return look.say(locale, "Its money came another way: say by which row, and both close.")
    return remedy(locale, found.kind)


def remedy(locale: str, kind: BreakKind) -> str:
    """Say what to do about a difference."""
    return look.say_known(locale, REMEDIES[kind])


def row_words(locale: str, row: str, name: Callable[[str], str]) -> str:
    """Say which row ``source day reference`` is.

    Args:
        name: names a gateway, or an account of ours at a bank.
    """
    source, day, reference = row.split(" ", 2)
    return f"{name(source)} · {look.day_text(locale, date.fromisoformat(day))} · {reference}"


def company_answer(locale: str, answer: str) -> str:
    """Say what a company answered to being asked to take a write-off back."""
    word, _, why = answer.partition(" ")
    said = {
        "reversed": look.say(locale, "It has taken it back."),
        "kept": look.say(locale, "It does not take it back."),
        "held": look.say(locale, "Nobody was asked: it is paid here by now."),
    }[word]
    return f"{said} {look.say_known(locale, why)}" if why else said


def refusal(locale: str, refused: CityBillError | None) -> str | None:
    """Say a refusal, with what to do about it; one we have no words for is said as it came."""
    if refused is None:
        return None
    said = _refusals(locale) | _refusals_of_companies(locale)
    return said.get(refused.code, str(refused))


def _refusals(locale: str) -> dict[str, str]:
    return {
        "break.reason": look.say(locale, "Say why: whoever looks later knows it by this alone."),
        "break.no_act": look.say(locale, "Choose what to do."),
        "break.none_chosen": look.say(locale, "Tick what this is about."),
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
        "break.same_person": look.say(locale, "You proposed this: a colleague approves it."),
        "break.decided": look.say(locale, "This is decided already: look again."),
        "break.nothing_to_undo": look.say(locale, "There is nothing to undo here any more."),
        "break.taken": look.say(locale, "A colleague looks after this: ask them."),
        "break.no_owner": look.say(locale, "Choose a colleague who keeps the books."),
        "break.no_target": look.say(
            locale, "Nothing of ours under this number waits here: look at the number again."
        ),
        "break.no_way": look.say(
            locale, "No row of the same sum waits under this name: choose one of those shown."
        ),
        "break.other_sum": look.say(locale, "The two sums are not the same: this is other money."),
        "break.money_gone": look.say(
            locale, "The money has gone back, or may have: it cannot be taken back here."
        ),
        "gateway_match.reason": look.say(
            locale, "Say why: whoever looks later knows it by this alone."
        ),
        "gateway_match.undone": look.say(locale, "A colleague was faster: this is undone already."),
        "break.listed_after_all": look.say(
            locale, "Its gateway lists it after all: undo what it was matched with first."
        ),
        "break.pending": look.say(
            locale, "This payment is under way: ask the gateway again instead."
        ),
        "break.paid_by_it": look.say(
            locale, "By this money the payment is paid: accept this, or refund one of its bills."
        ),
    }


def _refusals_of_companies(locale: str) -> dict[str, str]:
    return {
        "break.answered": look.say(
            locale,
            "The company has confirmed this already: ask it why its list says otherwise.",
        ),
        "break.held": look.say(
            locale, "It is paid here, or about to be: ask the company which bill it means."
        ),
        "break.no_number": look.say(
            locale, "The company’s list names it by no number: write to the company."
        ),
        "break.asked": look.say(locale, "The company is being asked already: wait for its answer."),
    }
