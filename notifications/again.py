"""Sending a notice once more, because a resident says that it never came.

The same words and the same file go to the contact on file by now, three times at most. Never sent
again: what carries a secret (a one-time code), an offer, and what was dropped because it is no
longer so. What lies in the inbox need not be.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from core import outbox
from core.db import transaction
from core.errors import Conflict, NotFound, TooMany, UpstreamUnavailable
from identity.models import Person
from notifications.attachments import attach
from notifications.channels.base import Carrier, Kind, Message
from notifications.models import AgainState, Notice, NoticeAgain, NoticeState, NoticeTemplate
from notifications.sending.asking import Answer, ask
from notifications.sending.carriers import choose
from notifications.sending.messages import message_of, template_of
from notifications.still_so import over

MOST = 3
SECRET = frozenset({"sign_in.code"})
_TO_A_PHONE = frozenset({"sms", "console"})
_chance = random.Random()  # noqa: S311  of carriers


class Sent(NamedTuple):
    """A notice with what became of it each time it was sent once more, oldest first."""

    notice: Notice
    again: list[NoticeAgain]
    may_go_again: bool


def list_notices(
    session: Session, person_id: int, *, until: datetime | None = None, limit: int
) -> list[Sent]:
    """Return what a person was told, newest first; ``until`` leaves out what came later."""
    found = select(Notice).where(Notice.person_id == person_id)
    if until is not None:
        found = found.where(col(Notice.created_at) <= until)
    newest = found.order_by(col(Notice.created_at).desc(), col(Notice.id).desc()).limit(limit)
    return sent_of(session, person_id, list(session.exec(newest)))


def sent_of(session: Session, person_id: int, notices: Sequence[Notice]) -> list[Sent]:
    """Return notices of one person with each time they were sent once more."""
    person = session.get_one(Person, person_id)
    again = _again(session, [one.id or 0 for one in notices])
    may_go = [one for one in notices if _may_go(one, person, len(again.get(one.id or 0, [])))]
    goes = {one.id for one in may_go} - over(session, may_go).keys()
    return [Sent(one, again.get(one.id or 0, []), one.id in goes) for one in notices]


def _again(session: Session, notice_ids: Sequence[int]) -> dict[int, list[NoticeAgain]]:
    rows = session.exec(
        select(NoticeAgain)
        .where(col(NoticeAgain.notice_id).in_(notice_ids))
        .order_by(col(NoticeAgain.notice_id), col(NoticeAgain.time_no))
    )
    found: dict[int, list[NoticeAgain]] = {}
    for row in rows:
        found.setdefault(row.notice_id, []).append(row)
    return found


def _address(notice: Notice, person: Person) -> str | None:
    """Return where a notice would go by now; None: there is no such contact, or it must not."""
    if notice.event in SECRET or notice.kind is Kind.COMMERCIAL or _is_over(notice):
        return None
    if notice.channel == "email":
        return person.email
    phone = person.contact if "@" not in (person.contact or "@") else None
    return phone if notice.channel in _TO_A_PHONE else None


def _is_over(notice: Notice) -> bool:
    """Tell whether it was dropped for what it says; not, because another channel was enough."""
    return notice.state is NoticeState.DROPPED and notice.reason != "reached"


def _may_go(notice: Notice, person: Person, times: int) -> bool:
    return (
        times < MOST
        and notice.state is not NoticeState.CREATED  # it is still on its way
        and _address(notice, person) is not None
    )


def send_again(
    session: Session, person_id: int, notice_id: int, *, by: int, now: datetime
) -> NoticeAgain:
    """Ask for a person's notice to be sent once more; it goes when the transaction has ended.

    Raises:
        NotFound: no such notice of theirs.
        Conflict: it carries a secret, is an offer or no longer so, lies in the inbox, has no
            contact to go to, or is still on its way.
        TooMany: three times already.
    """
    notice = session.get(Notice, notice_id, with_for_update=True, populate_existing=True)
    if notice is None or notice.person_id != person_id:
        raise NotFound("there is no such notice")
    address = _address(notice, session.get_one(Person, person_id))
    if address is None or over(session, [notice]):
        raise Conflict(
            "this notice cannot be sent again: codes, offers and what is over never are, and the"
            " inbox keeps what it has",
            code="notice.not_again",
        )
    earlier = _again(session, [notice_id]).get(notice_id, [])
    if notice.state is NoticeState.CREATED or AgainState.CREATED in {one.state for one in earlier}:
        raise Conflict("this notice is still on its way: wait a minute", code="notice.under_way")
    if len(earlier) >= MOST:
        raise TooMany(
            "this notice was sent again three times: ask for another contact",
            code="notice.three_times",
        )
    again = NoticeAgain(
        notice_id=notice_id, time_no=len(earlier) + 1, address=address, asked_by=by, asked_at=now,
        state_at=now,
    )  # fmt: skip
    session.add(again)
    session.flush()
    outbox.emit(session, "notice.again", f"{notice_id}.{again.time_no}", now=now)
    return again


def deliver_again(
    subject: str, carriers: Mapping[str, Sequence[Carrier]], *, now: datetime
) -> None:
    """Hand a notice to its channel once more; one that was, stays as it is.

    Args:
        subject: the notice and which time it is: ``"17.2"``.

    Raises:
        UpstreamUnavailable: not now; try again later.
    """
    notice_id, time_no = (int(part) for part in subject.split("."))
    with transaction() as session:
        again = session.get_one(NoticeAgain, (notice_id, time_no))
        notice = session.get_one(Notice, notice_id)
        template = session.get(NoticeTemplate, notice.template_id) if notice.template_id else None
        files = (attach(session, notice.attachment_ref),) if notice.attachment_ref else ()
        # It may be so no more since it was asked for.
        if again.state is AgainState.CREATED and over(session, [notice]):
            again.state, again.state_at = AgainState.FAILED, now
    if again.state is not AgainState.CREATED:
        return
    known_as = template.carrier_ids if template is not None else {}
    message = replace(
        message_of(notice, address=again.address, suffix=f"-again-{time_no}", attachments=files),
        expires_at=None,
    )
    state = _hand_over(notice, message, known_as, list(carriers.get(notice.channel, ())), now=now)
    with transaction() as session:
        row = session.get_one(NoticeAgain, (notice_id, time_no), with_for_update=True)
        if row.state is AgainState.CREATED:
            row.state, row.state_at = state, now


def _hand_over(
    notice: Notice,
    message: Message,
    known_as: Mapping[str, str],
    left: list[Carrier],
    *,
    now: datetime,
) -> AgainState:
    """Ask one carrier after the other, as long as the one before surely did not take it."""
    any_carrier = bool(left)
    while left:
        with transaction() as session:
            [carrier] = choose(session, left, count=1, now=now, draw=_chance)
        if carrier is None:
            break
        template = template_of(known_as.get(carrier.code), notice)
        reply = ask(carrier, replace(message, template=template))
        if reply.answer in {Answer.TAKEN, Answer.SILENT}:
            return AgainState.ACCEPTED
        if reply.answer is not Answer.NOT_NOW:
            return AgainState.FAILED
        left.remove(carrier)
    if any_carrier:
        raise UpstreamUnavailable(f"no carrier takes messages of {notice.channel} now")
    return AgainState.FAILED
