"""The review before paying: what was ticked, what may be chosen of each bill, what it comes to.

The form names its fields by bill: ``shown:<ref>``, ``parts:<ref>`` (what that was made of),
``option:<ref>`` (a code, or empty for the open amount) and ``amount:<ref>:<code>``, what was typed
beside that option.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid, NotFound
from core.money import format_yuan
from payments import reviews
from payments.attempts import gateways_down
from payments.checkout import MAX_BILLS, PAY_WITHIN
from payments.gateways.base import Gateway
from payments.reviews import Asked, Line, Parts, Review
from payments.routing import Way, WayToPay, read_way, ways_to_pay, where_paid
from web import look
from web.access import Caller
from web.errors import status_of
from web.inputs import MAX_FEN
from web.pages.changes import Change, changes_of
from web.pages.page import go, home_of, locale_of, page

CHANNEL = "web"
_TYPED_LENGTH = 40
_PARTS = re.compile(r"-?[0-9]{1,13}(,-?[0-9]{1,13}){3}")


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
        typed[:_TYPED_LENGTH], _parts(sent.get(f"parts:{ref}", "")),
    )  # fmt: skip


def _shown_fen(text: str) -> int | None:
    fen = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_FEN)) else 0
    return fen if text else None


def _parts(text: str) -> Parts | None:
    """Read what an amount was made of; it only decides with which words a change is explained."""
    return Parts(*map(int, text.split(","))) if _PARTS.fullmatch(text) else None


def review_page(
    request: Request,
    caller: Caller,
    choice: Choice,
    *,
    way: str,
    refused: CityBillError | None = None,
) -> Response:
    """Show what was ticked as it stands now; what can no longer be paid is left out and said."""
    now, locale, gateways = utc_now(), locale_of(request), request.app.state.gateways
    with transaction() as session:
        found, ways, chosen = _look(session, caller, choice, way, gateways, now=now)
    changes = changes_of(locale, found)
    told = _told(locale, found, changes, refused)
    if not found.lines and not changes:
        return go(home_of(caller))
    return page(
        request,
        "pay.html",
        status_code=_status(found, bool(changes or told), refused),
        review=found,
        days=sorted({line.counts_on for line in found.lines}),
        wrong={line.bill.ref: _why_not(locale, line) for line in found.lines if line.refused},
        typed=choice.typed,
        blocked=_words(locale, found.refused) if found.refused else None,
        quoted_at=now.isoformat(),
        ways=ways,
        way=chosen.text if chosen else "",
        idempotency_key=secrets.token_urlsafe(16),
        changes=changes,
        told=told,
        binding={code for code, one in gateways.items() if not one.capabilities.closes},
        pay_minutes=PAY_WITHIN // timedelta(minutes=1),
        home=home_of(caller),
    )


def _look(
    session: Session,
    caller: Caller,
    choice: Choice,
    text: str,
    gateways: Mapping[str, Gateway],
    *,
    now: datetime,
) -> tuple[Review, list[WayToPay], Way | None]:
    """Review a choice by the way that was chosen; else by the best there is."""

    def by(way: Way | None) -> Review:
        mode = way.mode if way else ""
        return reviews.review(
            session, caller.id, choice.bills, mode=mode, channel=where_paid(mode, CHANNEL), now=now
        )

    chosen = _chosen(text, gateways)
    first = chosen or _chosen(next(iter(gateways), ""), gateways)
    found = by(first)
    ways = ways_to_pay(
        gateways, found.terms, found.by_company, channel=CHANNEL,
        amount_fen=found.total_fen or sum(found.by_company.values()),
        down=gateways_down(session, gateways, now=now),
    )  # fmt: skip
    if chosen is None and ways and ways[0].way != first:
        first = ways[0].way
        found = by(first)
    return found, ways, first


def _chosen(text: str, gateways: Mapping[str, Gateway]) -> Way | None:
    try:
        return read_way(text, gateways)
    except NotFound:  # it is gone since, or never was: another one is offered
        return None


def _status(found: Review, changed: bool, refused: CityBillError | None) -> int:
    if refused is not None:
        return status_of(refused)
    if found.refused or any(line.refused for line in found.lines):
        return 422
    return 409 if changed else 200


def _told(
    locale: str, found: Review, changes: list[Change], refused: CityBillError | None
) -> list[str]:
    """Say why the whole was refused, where no change of a bill says it."""
    if refused is None or found.refused or any(line.refused for line in found.lines):
        return []  # what is wrong with a bill or the choice is said in its place
    if changes and refused.code not in {"quote.expired", "quote.changed", "quote.late_now"}:
        return []
    return [_words(locale, refused)]


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
        "quote.late_now": look.say(
            locale,
            "The last day to pay has ended since these amounts were shown: paid now, it counts as"
            " late. Please look again.",
        ),
        "limit.mode": look.say(
            locale, "One of the companies is not paid this way: choose another way to pay."
        ),
        "limit.channel": look.say(
            locale, "One of the companies is not paid this way on these pages: choose another."
        ),
        "gateway.none_fits": look.say(
            locale, "This amount cannot be paid this way: choose another way to pay."
        ),
        "bill.no_due": look.say(
            locale, "A bill with nothing to pay cannot be confirmed together with others: do it on"
            " the bill's own page.",
        ),
    }.get(
        refused.code, look.say(locale, "Something changed in the meantime. Please look again.")
    )  # fmt: skip
