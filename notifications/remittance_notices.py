"""Telling a company's people that money was sent to it, and that its bank brought some back."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session, col, select

from core.clock import billing_date
from core.money import format_yuan
from identity.models import Person, Role
from notifications.telling import Telling, tell_all
from notifications.wording.rendering import Facts
from notifications.words import day_words, language, short_day
from payments.remittance.models import (
    Remittance,
    RemittanceFile,
    RemittancePayment,
    get_remittance,
    live_payments,
)
from providers.registry import get_provider


def tell_sent(session: Session, remittance_id: int, *, public_url: str, now: datetime) -> None:
    """Tell what went to our bank last of a remittance, once; not what has come back since."""
    one = get_remittance(session, remittance_id)
    sent = [payment for payment in live_payments(session, one.id) if payment.file_id is not None]
    file_id = max((payment.file_id or 0 for payment in sent), default=0)
    file = session.get(RemittanceFile, file_id)
    if file is None:
        return
    fen = sum(payment.amount_fen for payment in sent if payment.file_id == file_id)
    _tell(
        session, "remittance.sent", one, f"{one.id}.{file_id}", fen,
        {
            locale: {"day": day_words(file.pays_on, locale), "period": _period(one, locale)}
            for locale in ("zh_CN", "en")
        },
        public_url=public_url, now=now,
    )  # fmt: skip


def tell_returned(session: Session, payment_id: int, *, public_url: str, now: datetime) -> None:
    """Tell that a payment came back, with what the bank says, once."""
    payment = session.get_one(RemittancePayment, payment_id)
    assert payment.returned_at is not None
    one = get_remittance(session, payment.remittance_id)
    on = billing_date(payment.returned_at)
    _tell(
        session, "remittance.returned", one, payment.end_to_end_id, payment.amount_fen,
        {
            locale: {"day": day_words(on, locale), "why": payment.return_reason or ""}
            for locale in ("zh_CN", "en")
        },
        public_url=public_url, now=now,
    )  # fmt: skip


def _tell(
    session: Session, event: str, one: Remittance, subject_ref: str, fen: int,
    words: Mapping[str, Mapping[str, str]], *, public_url: str, now: datetime,
) -> None:  # fmt: skip
    """Tell all who sign in for a company, each in their language."""
    company = get_provider(one.provider_code)
    names = {"zh_CN": company.name, "en": company.name_en}
    tellings = []
    for person in _people_of(session, one.provider_code):
        spoken = language(person.locale)
        said = {"company": names[spoken], "number": one.number, "amount": format_yuan(fen)}
        facts = Facts(
            {**said, **words[spoken]}, link=f"{public_url}/company/remittances/{one.id}"
        )  # fmt: skip
        tellings.append(Telling(event=event, person=person, subject_ref=subject_ref, facts=facts))
    tell_all(session, tellings, now=now)


def _people_of(session: Session, provider_code: str) -> list[Person]:
    """Return those who sign in for a company; nobody who has gone."""
    found = select(Person).where(
        Person.role == Role.OPERATOR, Person.provider_code == provider_code,
        col(Person.ended_at).is_(None),
    )  # fmt: skip
    return list(session.exec(found.order_by(col(Person.id))))


def _period(one: Remittance, locale: str) -> str:
    """Return the days a remittance is about."""
    first, last = short_day(one.from_on, locale), short_day(one.to_on, locale)
    if one.from_on == one.to_on:
        return last
    return f"{first} to {last}" if locale == "en" else f"{first}至{last}"
