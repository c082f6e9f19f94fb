"""Words in the inbox of what waits for a second person."""

from datetime import date
from typing import Final

from sqlmodel import Session

from identity.duties import Duty
from notifications.wording import versions
from payments.desk.approvals import Answer, Room, Waiting

KIND: Final = "words"


def _waiting(session: Session, _today: date) -> list[Waiting]:
    return [
        Waiting(KIND, str(one.id), one.proposed_at, one.made_by, one.event, why=one.why)
        for one in versions.list_proposed(session) if one.proposed_at is not None
    ]  # fmt: skip


def _approve(session: Session, answer: Answer) -> None:
    versions.approve(session, int(answer.key), by=answer.by, now=answer.now)


def _decline(session: Session, answer: Answer) -> None:
    versions.decline(session, int(answer.key), because=answer.words, by=answer.by, now=answer.now)


ROOM: Final = Room(Duty.SETUP, _waiting, _approve, _decline, no_needs_words=True)
