"""What happened to a resident, newest first: their money, what they were told, when they came."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from sqlmodel import Session

from core.clock import utc_now
from core.errors import Invalid
from identity.sign_in import list_sign_ins
from notifications.again import list_notices
from payments.desk.timeline import Happening, happened

PAGE = 40
_TIES = 40  # of one kind at one moment: what a page's last moment may still hold


class Story(NamedTuple):
    """A page of it; ``older`` is the cursor of the next one."""

    told: list[Happening]
    older: str | None


class _Place(NamedTuple):
    """A place in the order: later moments come first, of one moment what sorts first."""

    at: datetime
    what: str
    reference: str

    def is_before(self, one: Happening) -> bool:
        after = (one.what, one.reference) > (self.what, self.reference)
        return one.at < self.at or (one.at == self.at and after)


def _read(cursor: str) -> _Place | None:
    if not cursor:
        return None
    at, _, rest = cursor.partition("|")
    what, _, reference = rest.partition("|")
    try:
        return _Place(datetime.fromisoformat(at).astimezone(UTC), what, reference)
    except (ValueError, OverflowError):
        raise Invalid("there is no such place in the story", code="request.malformed") from None


def story(
    session: Session, *, person_id: int | None, account_ids: Collection[int], cursor: str = ""
) -> Story:
    """Return what happened, a page of it.

    Args:
        person_id: none: only what happened to the accounts.
        cursor: where the page before ended; empty: from now.

    Raises:
        Invalid: that is no such place.
    """
    place = _read(cursor)
    until, limit = place and place.at, PAGE + _TIES
    found = happened(
        session, person_id=person_id, account_ids=account_ids, now=utc_now(), until=until,
        limit=limit,
    )  # fmt: skip
    if person_id is not None:
        found += _told(session, person_id, until=until, limit=limit)
        came = list_sign_ins(session, person_id, until=until, limit=limit)
        found += [Happening(at, "sign_in", "") for at in came]
    found.sort(key=lambda one: (one.what, one.reference))
    found.sort(key=lambda one: one.at, reverse=True)
    rest = [one for one in found if place is None or place.is_before(one)]
    last = rest[PAGE - 1] if len(rest) > PAGE else None
    older = f"{last.at.isoformat()}|{last.what}|{last.reference}" if last else None
    return Story(rest[:PAGE], older)


def _told(
    session: Session, person_id: int, *, until: datetime | None, limit: int
) -> list[Happening]:
    """Return the notices, with each time one was sent again; never their words, only the title."""
    found = []
    for notice, again, _ in list_notices(session, person_id, until=until, limit=limit):
        what, told = f"notice_{notice.channel}", str(notice.id)
        found.append(
            Happening(notice.created_at, what, told, state=notice.state, note=notice.title)
        )
        found += [
            Happening(one.asked_at, "notice_again", told, state=one.state, note=notice.title)
            for one in again
            if until is None or one.asked_at <= until
        ]
    return found
