"""What a television has to tell: a number for its corner, and one line until somebody presses OK.

Others may be watching: the line says what it is about and nothing of anybody, and the words
themselves, with their amounts, are shown once they are asked for.
"""

from datetime import datetime
from typing import Final, NamedTuple

from sqlmodel import Session

from core.db import HotStatement
from core.errors import NotFound
from notifications.catalogue import EVENTS, TELEVISION, Subject
from notifications.models import Notice, NoticeState

MANY: Final = 9  # more are not counted: a sofa is far from the screen


class News(NamedTuple):
    """How many notices wait, ``MANY + 1`` for any more, and the newest: its number and subject."""

    how_many: int
    notice_id: int
    subject: Subject


_WAITING = HotStatement("""
    SELECT id, event FROM notice
    WHERE person_id = :person_id AND channel = 'tv' AND read_at IS NULL
      AND state IN ('accepted', 'delivered') AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY created_at DESC, id DESC LIMIT :most
""")
_SHOWN = HotStatement("""
    UPDATE notice SET state = 'delivered', state_at = :now, delivered_at = :now
    WHERE id = :id AND state = 'accepted' RETURNING id
""")


def news(session: Session, person_id: int, *, now: datetime) -> News | None:
    """Return what a page shows of somebody's news, and note that it shows it; None: nothing."""
    waiting = _WAITING.rows(session, {"person_id": person_id, "now": now, "most": MANY + 1})
    if not waiting:
        return None
    [(notice_id, event), *_] = waiting
    _SHOWN.rows(session, {"id": notice_id, "now": now})
    return News(len(waiting), notice_id, EVENTS[event].subject)


def read(session: Session, person_id: int, notice_id: int, *, now: datetime) -> Notice:
    """Return a notice somebody asked a television for; from then on it is read.

    Raises:
        NotFound: it is not theirs, or not of a television.
    """
    notice = session.get(Notice, notice_id, with_for_update=True, populate_existing=True)
    if notice is None or (notice.person_id, notice.channel) != (person_id, TELEVISION):
        raise NotFound("there is no such notice")
    if notice.read_at is None:
        notice.read_at = notice.state_at = now
        notice.delivered_at, notice.state = notice.delivered_at or now, NoticeState.READ
    return notice
