"""A person's inbox: what they were told, newest first, and which other ways it went."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import tuple_
from sqlmodel import Session, col, select

from core.db import HotStatement
from core.masking import mask_contact
from notifications.catalogue import EVENTS, Subject
from notifications.models import Notice, NoticeState

INBOX: Final = "inbox"
MANY: Final = 99  # more unread ones than these are not counted
_WITH_ADDRESS: Final = frozenset({"email", "sms"})


class AlsoSent(NamedTuple):
    """Another way a notice went; ``address`` masked, empty where it says nothing to anybody."""

    channel: str
    address: str


def list_inbox(
    session: Session,
    person_id: int,
    *,
    subject: Subject | None = None,
    after: int | None = None,
    limit: int = 50,
) -> list[Notice]:
    """Return a person's inbox, newest first.

    Args:
        subject: only what is about this.
        after: the last notice of the page before.
    """
    found = select(Notice).where(Notice.person_id == person_id, Notice.channel == INBOX)
    if subject is not None:
        events = [code for code, event in EVENTS.items() if event.subject is subject]
        found = found.where(col(Notice.event).in_(events))
    if after is not None:
        last = select(Notice.created_at, Notice.id).where(
            Notice.id == after, Notice.person_id == person_id
        )
        found = found.where(tuple_(Notice.created_at, Notice.id) < last.scalar_subquery())
    newest = found.order_by(col(Notice.created_at).desc(), col(Notice.id).desc())
    return list(session.exec(newest.limit(limit)))


_UNREAD = HotStatement("""
    SELECT count(*) FROM (
        SELECT FROM notice WHERE person_id = :person_id AND channel = 'inbox' AND read_at IS NULL
        LIMIT :most) AS unread
""")


def count_unread(session: Session, person_id: int) -> int:
    """Return how many notices somebody has not seen; ``MANY + 1`` stands for any more."""
    unread: int = _UNREAD.rows(session, {"person_id": person_id, "most": MANY + 1})[0][0]
    return unread


def mark_read(session: Session, notices: Sequence[Notice], *, now: datetime) -> None:
    """Mark what was just shown as read."""
    for notice in notices:
        if notice.read_at is None:
            notice.read_at = notice.state_at = now
            notice.state = NoticeState.READ


_ALSO = HotStatement("""
    SELECT i.id, n.channel, n.address FROM notice i
    JOIN notice n USING (event, person_id, subject_ref)
    WHERE i.id = ANY(:ids) AND n.channel <> 'inbox' AND n.state IN ('accepted', 'delivered', 'read')
    ORDER BY i.id, n.accepted_at, n.id
""")


def also_sent(session: Session, notices: Sequence[Notice]) -> dict[int, list[AlsoSent]]:
    """Return over which other channels notices of an inbox went, by their ids."""
    found: dict[int, list[AlsoSent]] = {}
    for notice_id, channel, address in _ALSO.rows(session, {"ids": [one.id for one in notices]}):
        shown = mask_contact(address) if channel in _WITH_ADDRESS else ""
        found.setdefault(notice_id, []).append(AlsoSent(channel, shown))
    return found


_FOUND = HotStatement("""
    SELECT id FROM notice
    WHERE person_id = :person_id AND channel = 'inbox'
      AND position(:words IN lower(title || ' ' || body)) > 0
    ORDER BY created_at DESC, id DESC LIMIT :limit
""")


def find_in_inbox(session: Session, person_id: int, typed: str, *, limit: int) -> list[Notice]:
    """Return the notices of a person's inbox in which words stand, the newest first."""
    words = " ".join(typed.lower().split())
    values = {"person_id": person_id, "words": words, "limit": limit}
    ids = [row[0] for row in _FOUND.rows(session, values)] if words else []
    found = select(Notice).where(col(Notice.id).in_(ids))
    return list(session.exec(found.order_by(col(Notice.created_at).desc(), col(Notice.id).desc())))
