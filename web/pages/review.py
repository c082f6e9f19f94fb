"""The review before paying: what was ticked, what may be chosen of each bill, what it comes to.

The form names its fields by bill: ``shown:<ref>``, ``option:<ref>`` (a code, or empty for the open
amount) and ``amount:<ref>:<code>``, what was typed beside that option.
"""

import secrets
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from fastapi.responses import Response

from billing import bills
from billing.views import BillState
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from core.money import format_yuan
from payments import reviews
from payments.checkout import MAX_BILLS
from payments.reviews import Asked, LeftOut, Line, Review
from web import look
from web.access import Caller
from web.errors import status_of
from web.inputs import MAX_FEN
from web.pages.page import go, locale_of, page

CHANNEL = "web"
_TYPED_LENGTH = 40


class Choice(NamedTuple):
    """The bills that were ticked, and everything that was typed, by field."""

    bills: list[Asked]
    typed: dict[str, str]


async def _ticked(request: Request) -> Choice:
    form = await request.form()
    sent = {name: value for name, value in form.items() if isinstance(value, str)}
    refs = [ref for ref in form.getlist("bill") if isinstance(ref, str)]
    if len(refs) > MAX_BILLS:
        raise Invalid(f"choose at most {MAX_BILLS} bills to pay", code="payment.no_bills")
    typed = {n: v[:_TYPED_LENGTH] for n, v in sent.items() if v and n.startswith("amount:")}
    return Choice([_asked(ref, sent) for ref in dict.fromkeys(refs)], typed)


Ticked = Annotated[Choice, Depends(_ticked)]


def _asked(ref: str, sent: Mapping[str, str]) -> Asked:
    code = sent.get(f"option:{ref}", "")
    typed = sent.get(f"amount:{ref}:{code}", "")
    return Asked(
        bills.parse_ref(ref), _shown_fen(sent.get(f"shown:{ref}", "")), code or None,
        typed[:_TYPED_LENGTH],
    )  # fmt: skip


def _shown_fen(text: str) -> int | None:
    fen = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_FEN)) else 0
    return fen if text else None


def review_page(
    request: Request,
    caller: Caller,
    choice: Choice,
    *,
    gateway: str,
    refused: CityBillError | None = None,
) -> Response:
    """Show what was ticked as it stands now; what can no longer be paid is left out and said."""
    now, locale = utc_now(), locale_of(request)
    gateways = request.app.state.gateways
    chosen = gateways.get(gateway) or next(iter(gateways.values()), None)
    with transaction() as session:
        mode = chosen.capabilities.modes[0] if chosen else ""
        found = reviews.review(
            session, caller.id, choice.bills, mode=mode, channel=CHANNEL, now=now
        )
    changed = _changed(locale, found, refused)
    if not found.lines and not changed:
        return go("/")
    wrong = {line.bill.ref: _why_not(locale, line) for line in found.lines if line.refused}
    return page(
        request,
        "pay.html",
        status_code=_status(found, changed, refused),
        review=found,
        days=sorted({line.counts_on for line in found.lines}),
        wrong=wrong,
        typed=choice.typed,
        blocked=_words(locale, found.refused) if found.refused else None,
        quoted_at=now.isoformat(),
        gateways=list(gateways.values()),
        gateway=chosen.code if chosen else "",
        idempotency_key=secrets.token_urlsafe(16),
        changed=changed,
    )


def _status(found: Review, changed: list[str], refused: CityBillError | None) -> int:
    if refused is not None:
        return status_of(refused)
    if found.refused or any(line.refused for line in found.lines):
        return 422
    return 409 if changed else 200


def _changed(locale: str, found: Review, refused: CityBillError | None) -> list[str]:
    """Say, sentence by sentence, what is otherwise than somebody saw it."""
    told = [_left_out(locale, one) for one in found.left_out]
    for line in found.lines:
        told += _moved(locale, line)
    if refused is None or found.refused or any(line.refused for line in found.lines):
        return told  # what is wrong with a bill or the choice is said in its place
    if not told or refused.code in {"quote.expired", "quote.changed"}:
        told.append(_words(locale, refused))
    return told


def _left_out(locale: str, one: LeftOut) -> str:
    company = look.company_name(locale, one.bill.account)
    if one.free_at is not None:
        return look.say(
            locale,
            "The bill of %(company)s is being paid already. If that payment does not go through,"
            " it can be paid again from %(moment)s on.",
            company=company, moment=look.moment_text(locale, one.free_at),
        )  # fmt: skip
    match one.bill.state:
        case BillState.CANCELLED:
            told = look.say(
                locale, "%(company)s has cancelled its bill: do not pay it.",
                company=company,
            )  # fmt: skip
        case state if state.payable:
            told = look.say(
                locale, "The bill of %(company)s cannot be paid here now: please ask the company.",
                company=company,
            )  # fmt: skip
        case BillState.IN_PAYMENT | BillState.PAID | BillState.CONFIRMED:
            told = look.say(
                locale, "The bill of %(company)s is paid or being paid, so it is left out.",
                company=company,
            )  # fmt: skip
        case _:
            told = look.say(
                locale, "Nothing is due on the bill of %(company)s, so it is left out.",
                company=company,
            )  # fmt: skip
    return told


def _moved(locale: str, line: Line) -> list[str]:
    """Say what became of a bill since it was shown."""
    company, told = look.company_name(locale, line.bill.account), []
    if line.was_fen is not None:
        told.append(
            look.say(
                locale,
                "The bill of %(company)s has changed since you saw it: it was %(before)s and is"
                " now %(after)s.",
                company=company,
                before=format_yuan(line.was_fen),
                after=format_yuan(max(line.bill.open_fen, 0)),
            )
        )
    if line.lost_option:
        told.append(
            look.say(
                locale,
                "What was chosen for the bill of %(company)s can no longer be chosen: look at"
                " what there is now.",
                company=company,
            )
        )
    return told


def _why_not(locale: str, line: Line) -> str:
    """Say what is wrong with the amount somebody typed for a bill."""
    assert line.refused is not None
    offer = line.offer
    match line.refused.code:
        case "amount.below":
            least = format_yuan(offer.minimum_fen)
            return look.say(locale, "That is too little: pay at least %(least)s.", least=least)
        case "amount.above" if offer.maximum_fen is not None:
            most = format_yuan(offer.maximum_fen)
            return look.say(locale, "That is too much: pay at most %(most)s.", most=most)
        case "amount.not_multiple" if offer.multiple_fen is not None:
            step = format_yuan(offer.multiple_fen)
            return look.say(locale, "Only multiples of %(step)s can be paid.", step=step)
    return _words(locale, line.refused)


def _words(locale: str, refused: CityBillError) -> str:
    """Say a refusal of the domain in the reader's language."""
    facts = refused.facts
    before, after = facts.get("shown_fen"), facts.get("open_fen")
    if refused.code == "quote.changed" and isinstance(before, int) and isinstance(after, int):
        return look.say(
            locale,
            "The total was %(before)s and is now %(after)s. Please look and confirm it.",
            before=format_yuan(before), after=format_yuan(after),
        )  # fmt: skip
    most = facts.get("maximum_fen")
    if refused.code == "limit.amount" and isinstance(most, int):
        return look.say(
            locale,
            "A company takes at most %(most)s at once this way: pay less or choose another way.",
            most=format_yuan(most),
        )
    return {
        "money.malformed": look.say(
            locale, "Write the amount in yuan, with two decimals at most, such as 86.50."
        ),
        "quote.expired": look.say(
            locale, "These amounts were shown too long ago. They are fresh now: please look again."
        ),
        "limit.mode": look.say(
            locale, "One of the companies is not paid this way: choose another way to pay."
        ),
        "limit.channel": look.say(
            locale, "One of the companies is not paid this way on these pages: choose another."
        ),
        "bill.no_due": look.say(
            locale, "A bill with nothing to pay cannot be confirmed together with others: do it on"
            " the bill's own page.",
        ),
    }.get(
        refused.code, look.say(locale, "Something changed in the meantime. Please look again.")
    )  # fmt: skip
