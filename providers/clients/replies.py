"""What every client concludes alike, however its company speaks."""

from collections.abc import Sequence
from typing import Final

import httpx

from core.errors import UpstreamUnavailable
from providers.base import (
    ConfirmationFetch,
    ConfirmationState,
    FetchOutcome,
    FetchReply,
    OpenBill,
    ValidateOutcome,
    ValidateReply,
    WriteOffOutcome,
    WriteOffReply,
)
from providers.clients.http import Answered, Unanswered

NO_LISTS: Final = "the company gives no list of its write-offs over its API: ask it for the file"
TAKES_NONE_BACK: Final = "the company takes no write-off back over its API: write to it"
_LISTS: Final = {"not_yet": ConfirmationState.NOT_YET, "no_data": ConfirmationState.NO_DATA}


def fetched(bills: Sequence[OpenBill] | None) -> FetchReply:
    """Return the reply that tells these bills, each once.

    A bill that comes twice is told once, in its higher version.

    Raises:
        UpstreamUnavailable: None, or one version of a bill has two contents.
    """
    if bills is None:
        raise unavailable("the company's list of bills cannot be read", company_down=False)
    told: dict[tuple[object, str], OpenBill] = {}
    for bill in bills:
        key = (bill.billing_month, bill.bill_no)
        known = told.get(key)
        if known is not None and known.version == bill.version and known != bill:
            raise unavailable("the company says two things about one bill", company_down=False)
        if known is None or known.version < bill.version:
            told[key] = bill
    if not told:
        return FetchReply(outcome=FetchOutcome.NONE)
    outcome = FetchOutcome.SINGLE if len(told) == 1 else FetchOutcome.MULTIPLE
    return FetchReply(outcome=outcome, bills=tuple(told.values()))


def validated_by(reply: FetchReply) -> ValidateReply:
    """Return what the bills of an account say about the account."""
    match reply.outcome:
        case FetchOutcome.UNKNOWN_ACCOUNT:
            return ValidateReply(outcome=ValidateOutcome.UNKNOWN_ACCOUNT)
        case FetchOutcome.SEVERAL_ACCOUNTS:
            return ValidateReply(outcome=ValidateOutcome.SEVERAL_ACCOUNTS)
    return ValidateReply(outcome=ValidateOutcome.KNOWN)


def unknown(reason: str, *, company_down: bool = False) -> WriteOffReply:
    """Return the reply of not knowing, with what is known about why."""
    return WriteOffReply(outcome=WriteOffOutcome.UNKNOWN, reason=reason, company_down=company_down)


def no_word(heard: Unanswered) -> WriteOffReply:
    """Return the reply to a question that went out and was not answered."""
    return unknown(heard.reason, company_down=heard.company_down)


def of_the_same_amount(reply: WriteOffReply, amount_fen: int) -> WriteOffReply:
    """Return a reply, or not knowing if the company says another amount than it was told."""
    if reply.amount_fen in (None, amount_fen):
        return reply
    return unknown(f"the company says it took {reply.amount_fen} fen, which nobody paid")


def unavailable(reason: str, *, company_down: bool) -> UpstreamUnavailable:
    """Return the error of a question that may be asked again, for the caller to raise."""
    code = None if company_down else "upstream.unreadable"
    return UpstreamUnavailable(f"{reason}: try again later", code=code)


def confirmation_of(
    heard: Answered | Unanswered, means: str = "", reason: str = ""
) -> ConfirmationFetch:
    """Return what a company said of a day's list.

    Args:
        heard: its answer.
        means: ``ready``, ``not_yet``, ``no_data``, ``down``; blank is anything else.
        reason: what it says about it.
    """
    unknown_state = ConfirmationState.UNKNOWN
    if isinstance(heard, Unanswered):
        return ConfirmationFetch(
            state=unknown_state, reason=heard.reason, company_down=heard.company_down
        )
    if means == "ready":
        return ConfirmationFetch(state=ConfirmationState.READY, content=heard.body)
    if means in _LISTS:
        return ConfirmationFetch(state=_LISTS[means])
    is_down = means == "down" or heard.status >= httpx.codes.INTERNAL_SERVER_ERROR
    told = reason or f"the company's answer is no list (HTTP status {heard.status})"
    return ConfirmationFetch(state=unknown_state, reason=told, company_down=is_down)
