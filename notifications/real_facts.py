"""Facts of what somebody was really told lately, so that staff see words as they will read.

Nothing of anybody is in them: an account is its last digits, and the example's stand for a name, a
complaint's number, what it was answered, and a company's own words about somebody's money.
"""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Final, NamedTuple

from sqlmodel import Session, select

from billing.rules.calendars import pay_by
from billing.terms import terms_of
from core.db import HotStatement
from core.keys import month_of
from core.money import format_yuan
from notifications import payment_facts
from notifications.bill_notices import account_words
from notifications.catalogue import EVENTS, Subject
from notifications.complaint_notices import Step, about_words
from notifications.models import Notice, Offer, ServiceMessage
from notifications.offers import offer_values
from notifications.outage_notices import message_values
from notifications.refund_words import is_ours
from notifications.wording.rendering import Facts
from notifications.wording.samples import sample
from notifications.words import bill_words, company_words, day_words, month_words
from payments.models import Payment, PaymentItem, Receipt
from payments.returns.models import Refund

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
    SELECT max(id), max(event), subject_ref FROM (
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


FindStep = Callable[[Session, int], Step | None]  # of the room of complaints, by its entry


class Look(NamedTuple):
    """How something that was told is looked at: on a day, in a language."""

    session: Session
    locale: str
    today: date
    find_step: FindStep


def list_told(event: str, look: Look) -> list[Told]:
    """Return what was told lately that the words of an event can be looked at with."""
    rows = _NEWEST.rows(look.session, {"events": sorted(_alike(event)), "many": MANY})
    found = ((told, _read(told_as, ref, look)) for told, told_as, ref in rows)
    return [Told(told, _about(facts)) for told, facts in found if facts]


def facts_told(event: str, notice_id: int, look: Look) -> Facts:
    """Return an event's facts with those of a notice where it has any; else the example's."""
    example, notice = sample(event, look.locale), look.session.get(Notice, notice_id)
    if notice is None or notice.event not in _alike(event):
        return example
    facts = _read(notice.event, notice.subject_ref, look)
    if facts is None:
        return example
    places = EVENTS[event].places
    own = {place: said for place, said in facts.values.items() if place in places}
    return Facts({**example.values, **own}, facts.lines or example.lines, example.link)


def _alike(event: str) -> Iterable[str]:
    """Return the events whose notices are about the same."""
    for group in (_OF_A_BILL, _OF_A_MESSAGE):
        if event in group:
            return group
    known = EVENTS[event].subject in {Subject.PAYMENTS, Subject.COMPLAINTS}
    return {event} if known or event == "offer.made" else set()


def _read(event: str, subject_ref: str, look: Look) -> Facts | None:
    """Return the facts of what was told; None where it is not known any more."""
    session, locale = look.session, look.locale
    if event in _OF_A_BILL:
        return _of_bill(subject_ref, look)
    if event in _OF_A_MESSAGE:
        message = session.get(ServiceMessage, int(subject_ref))
        return Facts(message_values(message, locale)) if message is not None else None
    if EVENTS[event].subject is Subject.COMPLAINTS:
        return _of_complaint(int(subject_ref), look)
    if EVENTS[event].subject is Subject.PAYMENTS:
        return _of_payment(event, subject_ref, look)
    offer = session.get(Offer, int(subject_ref))
    return Facts(offer_values(offer, locale)) if offer is not None else None


def _of_payment(event: str, subject_ref: str, look: Look) -> Facts | None:
    """Return what a notice of a payment says, without its payer's name."""
    if event == "write_off.refused":
        item = look.session.exec(
            select(PaymentItem).where(PaymentItem.write_off_no == subject_ref)
        ).first()
        return payment_facts.not_taken(item, _seen(item.payment_id, look)) if item else None
    if event == "refund.came_back":
        receipt = look.session.get(Receipt, int(subject_ref))
        return (
            payment_facts.came_back(receipt, _seen(receipt.payment_id, look)) if receipt else None
        )
    if event not in {"payment.receipt", "write_off.accepted"}:
        return _of_refund(event, look.session.get(Refund, subject_ref), look)
    if look.session.get(Payment, int(subject_ref)) is None:
        return None
    seen = _seen(int(subject_ref), look)
    if event == "payment.receipt":
        return _without(payment_facts.paid(seen), {"greeting", "name"})
    return payment_facts.confirmed(seen) if payment_facts.confirmed_of(seen) else None


def _of_refund(event: str, refund: Refund | None, look: Look) -> Facts | None:
    if refund is None:
        return None
    seen = _seen(refund.payment_id, look)
    if event == "refund.declined":
        return payment_facts.declined(refund, seen)
    if event == "refund.requested":
        facts = payment_facts.on_its_way(refund, seen)
    else:
        facts = payment_facts.returned(look.session, refund, seen)
    return facts if is_ours(refund) else _without(facts, {"why"})


def _seen(payment_id: int, look: Look) -> payment_facts.Seen:
    payment = look.session.get_one(Payment, payment_id)
    return payment_facts.see(look.session, payment, look.locale, today=look.today)


def _without(facts: Facts, places: Iterable[str]) -> Facts:
    """Return facts but for places that may name somebody."""
    left = {place: said for place, said in facts.values.items() if place not in places}
    return Facts(left, facts.lines)


def _of_complaint(entry_id: int, look: Look) -> Facts | None:
    step = look.find_step(look.session, entry_id)
    if step is None:
        return None
    about, day = about_words(step, look.locale), day_words(step.day, look.locale)
    return Facts({"about": about, "day": day})


def _of_bill(subject_ref: str, look: Look) -> Facts | None:
    account_id, bill_id = (int(part) for part in subject_ref.split(".")[:2])
    rows = _BILL.rows(look.session, {"account_id": account_id, "bill_id": bill_id})
    if not rows:
        return None
    [(number, provider_code, account_no, due_on, open_fen, amount_fen)] = rows
    account, month = account_words(number, provider_code, account_no), month_of(bill_id)
    terms = terms_of(look.session, {provider_code}, look.today)[provider_code]
    pay_by_on, amount = pay_by(due_on, terms.due), format_yuan(open_fen or amount_fen)
    bill = bill_words(account, month, look.locale)
    values = {
        "company": company_words(account, look.locale), "bill": bill, "amount": amount,
        "month": month_words(month, look.locale), "due_on": day_words(pay_by_on, look.locale),
        "days": str(abs((pay_by_on - look.today).days)),
    }  # fmt: skip
    return Facts(values, [(bill, amount)])


def _about(facts: Facts) -> str:
    """Return what one of several is known by: the bill, money or message it is about."""
    said = facts.values
    if facts.lines:
        return f"{facts.lines[0][0]} · {said['amount']}"
    if "about" in said:
        return f"{said['about']} · {said['day']}"
    if "company" not in said:
        return " · ".join(said[place] for place in ("amount", "why") if place in said)
    return f"{said['company']} · {said.get('what') or said['text']}"
