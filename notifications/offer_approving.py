"""Offers in the inbox of what waits for a second person: the company's first, then staff's."""

from datetime import date
from typing import Final

from sqlmodel import Session

from identity.duties import Duty
from notifications import offers
from payments.desk.approvals import Answer, Room, Waiting

KIND: Final = "offer"


def _waiting(session: Session, _today: date) -> list[Waiting]:
    return [
        Waiting(
            KIND, str(one.id), one.proposed_at, one.made_by, one.provider_code, why=one.words_zh
        )
        for one in offers.list_proposed(session) if one.proposed_at is not None
    ]  # fmt: skip


def _approve(session: Session, answer: Answer) -> None:
    offers.approve(session, int(answer.key), by=answer.by, now=answer.now)


def _decline(session: Session, answer: Answer) -> None:
    offers.decline(session, int(answer.key), answer.words, by=answer.by, now=answer.now)


ROOM: Final = Room(Duty.SETUP, _waiting, _approve, _decline, no_needs_words=True)
