"""Facts of what somebody was really told lately, so that staff see words as they will read.

Nothing of anybody is in them: an account is its last digits, and a name stays the example's.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final, NamedTuple

from sqlmodel import Session

from billing.rules.calendars import pay_by
from billing.terms import terms_of
from core.db import HotStatement
from core.keys import month_of
from core.money import format_yuan
from notifications.bill_notices import account_words
from notifications.catalogue import EVENTS
from notifications.models import Notice, Offer, ServiceMessage
from notifications.offers import offer_values
from notifications.outage_notices import message_values
from notifications.wording.rendering import Facts
from notifications.wording.samples import sample
from notifications.words import bill_words, company_words, day_words, month_words

MANY: Final = 8
_OF_A_BILL: Final = frozenset({
    "bill.ready", "bill.due_soon", "bill.due_today", "bill.overdue", "usage.unusual",
})  # fmt: skip
_OF_A_MESSAGE: Final = frozenset({"outage.announced", "outage.over"})


class Told(NamedTuple):
    """A notice that was made, by its number, and what it is about without whose it is."""

    notice_id: int
    about: str


# Of the newest only, whatever the table holds.
_NEWEST = HotStatement("""
    SELECT max(id), subject_ref FROM (
        SELECT id, event, channel, subject_ref FROM notice ORDER BY created_at DESC, id DESC
        LIMIT 5000) newest
    WHERE event = ANY(:events) AND channel = 'inbox'
    GROUP BY subject_ref ORDER BY 1 DESC LIMIT :many
""")
_BILL = HotStatement("""
    SELECT a.id, a.provider_code, a.account_no, b.due_on,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen, b.amount_fen
    FROM bill b JOIN utility_account a ON a.id = b.account_id
    WHERE b.account_id = :account_id AND b.id = :bill_id
""")


def list_told(session: Session, event: str, locale: str, *, today: date) -> list[Told]:
    """Return what was told lately that the words of an event can be looked at with."""
    rows = _NEWEST.rows(session, {"events": sorted(_alike(event)), "many": MANY})
    found = ((told, _values(session, event, ref, locale, today=today)) for told, ref in rows)
    return [Told(told, _about(values)) for told, values in found if values]


def facts_told(session: Session, event: str, notice_id: int, locale: str, *, today: date) -> Facts:
    """Return an event's facts with those of a notice where it has any; else the example's."""
    example, notice = sample(event, locale), session.get(Notice, notice_id)
    if notice is None or notice.event not in _alike(event):
        return example
    values = _values(session, event, notice.subject_ref, locale, today=today)
    if not values:
        return example
    places = EVENTS[event].places
    own = {place: said for place, said in values.items() if place in places}
    lines = [(values["bill"], values["amount"])] if "bill" in values else example.lines
    return Facts({**example.values, **own}, lines, example.link)


def _alike(event: str) -> Iterable[str]:
    """Return the events whose notices are about the same."""
    for group in (_OF_A_BILL, _OF_A_MESSAGE):
        if event in group:
            return group
    return {event} if event == "offer.made" else set()


def _values(
    session: Session, event: str, subject_ref: str, locale: str, *, today: date
) -> Mapping[str, str]:
    if event in _OF_A_BILL:
        return _of_bill(session, subject_ref, locale, today=today)
    if event in _OF_A_MESSAGE:
        message = session.get(ServiceMessage, int(subject_ref))
        return message_values(message, locale) if message is not None else {}
    offer = session.get(Offer, int(subject_ref))
    return offer_values(offer, locale) if offer is not None else {}


def _of_bill(
    session: Session, subject_ref: str, locale: str, *, today: date
) -> dict[str, str]:  # fmt: skip
    account_id, bill_id = (int(part) for part in subject_ref.split(".")[:2])
    rows = _BILL.rows(session, {"account_id": account_id, "bill_id": bill_id})
    if not rows:
        return {}
    [(number, provider_code, account_no, due_on, open_fen, amount_fen)] = rows
    account, month = account_words(number, provider_code, account_no), month_of(bill_id)
    pay_by_on = pay_by(due_on, terms_of(session, {provider_code}, today)[provider_code].due)
    return {
        "company": company_words(account, locale), "bill": bill_words(account, month, locale),
        "month": month_words(month, locale), "amount": format_yuan(open_fen or amount_fen),
        "due_on": day_words(pay_by_on, locale), "days": str(abs((pay_by_on - today).days)),
    }  # fmt: skip


def _about(values: Mapping[str, str]) -> str:
    if "bill" in values:
        return f"{values['bill']} · {values['amount']}"
    return f"{values['company']} · {values.get('what') or values['text']}"
