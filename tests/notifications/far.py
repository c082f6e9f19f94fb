"""Notices to hand over, and carriers whose far side says what a test tells it to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from core.db import transaction
from identity.models import Person, Role
from identity.people import add_person
from notifications.channels.base import Carrier, Message, Taken, WithoutReceipts
from notifications.models import Held, Lane, Notice, NoticeState
from notifications.sending.carriers import ensure_known
from notifications.sending.handing import hand_over_due


@dataclass
class Far(WithoutReceipts):
    """A carrier that gives one ``answer``, or what ``says`` makes of a message."""

    code: str = "email"
    answer: Exception | Taken | None = None
    channel: str = ""
    repeats_safely: bool = False
    says: Callable[[Message], Taken | None] | None = None
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.channel = self.channel or self.code

    def send(self, message: Message) -> Taken:
        self.sent.append(message)
        answer = self.says(message) if self.says is not None else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer or Taken()


def a_person(now: datetime, contact: str = "19900000001", **others: Any) -> Person:
    with transaction() as session:
        return add_person(
            session, role=Role.RESIDENT, name="王小明", contact=contact, now=now, **others
        )


def a_notice(person: Person, now: datetime, **fields: Any) -> int:
    """A notice that is due; on the inbox's channel, one that lies there."""
    told = {
        "event": "payment.receipt", "subject_ref": "7", "channel": "email",
        "address": "wang@example.com", "title": "题", "body": "验证码 482913",
        "body_html": "<p>482913</p>", "due_at": now, "created_at": now, "state_at": now,
    } | fields  # fmt: skip
    if told["channel"] == "inbox":
        told |= {"state": NoticeState.DELIVERED, "due_at": None}
    notice = Notice(person_id=person.id, **told)
    with transaction() as session:
        session.add(notice)
        session.flush()
    assert notice.id is not None
    return notice.id


def a_chain(person: Person, now: datetime, *channels: str, **fields: Any) -> list[int]:
    """The steps of one telling: the first is due, each other waits for the one before it."""
    ids: list[int] = []
    for channel in channels:
        behind = {"after_id": ids[-1], "held": Held.CHAIN, "due_at": None} if ids else {}
        ids.append(a_notice(person, now, channel=channel, **(fields | behind)))
    return ids


def hand_over(*carriers: Carrier, now: datetime, **how: Any) -> int:
    """Hand over what is due in both lanes, until nothing is; returns how many were claimed."""
    know(*carriers)
    claimed = 0
    for lane in Lane:
        while some := hand_over_due(lane, by_channel(carriers), now=now, **how):
            claimed += some
    return claimed


def know(*carriers: Carrier) -> None:
    with transaction() as session:
        ensure_known(session, carriers, {})


def by_channel(carriers: Sequence[Carrier]) -> dict[str, list[Carrier]]:
    found: dict[str, list[Carrier]] = {}
    for one in carriers:
        found.setdefault(one.channel, []).append(one)
    return found


def the_notices() -> list[Notice]:
    with transaction() as session:
        return list(session.exec(select(Notice).order_by(col(Notice.id))))


def the_notice(notice_id: int) -> Notice:
    with transaction() as session:
        return session.get_one(Notice, notice_id)
