"""A test notice, so that somebody sees whether a channel reaches them."""

from datetime import datetime

from sqlmodel import Session

from core.clock import BILLING_ZONE
from core.errors import NotFound
from identity.models import Person
from notifications.catalogue import TELEVISION
from notifications.choice.planning import choices_of
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts


def send_test(session: Session, person: Person, channel: str, *, link: str, now: datetime) -> bool:
    """Send a test over one channel alone, at any hour; at most one a minute: False is one more.

    Raises:
        NotFound: this channel does not reach them.
    """
    person_id = person.id or 0
    chosen = choices_of(session, [person_id])[person_id]
    shows = channel == TELEVISION and chosen.television
    if not shows and channel not in chosen.addresses_of(person):
        raise NotFound("this channel does not reach you yet")
    minute = now.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M")
    test = Telling(
        event="notice.tried", person=person, subject_ref=f"{channel} {minute}", over=channel,
        facts=Facts(values={"time": minute}, link=link),
    )  # fmt: skip
    return tell(session, test, now=now)
