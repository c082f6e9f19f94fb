"""Telling people how what they complained of, or asked, goes on."""

from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session

from identity.people import get_person
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from notifications.words import day_words, month_words
from providers.registry import get_provider


class Step(NamedTuple):
    """One step, as the room of complaints says it: ``support.steps``."""

    event: str
    subject_ref: str
    person_id: int
    number: str
    provider_code: str | None
    month: date | None
    paid_on: date | None
    answer: str
    day: date


def tell_step(session: Session, step: Step, *, public_url: str, now: datetime) -> None:
    """Tell the person of a complaint of one step of it, once."""
    person = get_person(session, step.person_id)
    facts = Facts(
        {
            "complaint_no": step.number,
            "about": about_words(step, person.locale),
            "answer": step.answer,
            "day": day_words(step.day, person.locale),
        },
        link=f"{public_url}/complaints/{step.number}",
    )
    told = Telling(event=step.event, person=person, subject_ref=step.subject_ref, facts=facts)
    tell(session, told, now=now)


def about_words(step: Step, locale: str) -> str:
    """Return what it is about, without anybody's account number."""
    english = locale == "en"
    if step.paid_on is not None:
        day = f"{step.paid_on:%-d %B %Y}" if english else f"{step.paid_on:%Y年%-m月%-d日}"
        return f"the payment of {day}" if english else f"{day}的缴费"
    if step.provider_code is None:
        return "CityBill" if english else "城市账单"
    provider = get_provider(step.provider_code)
    name = provider.name_en if english else provider.name
    return f"{name} · {month_words(step.month, locale)}" if step.month else name
