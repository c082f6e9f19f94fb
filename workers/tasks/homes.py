"""Jobs about the people of homes, and about people who leave for good."""

from collections.abc import Callable
from datetime import datetime

from billing.homes import invitations, people
from core import log
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict
from core.settings import settings
from identity import leaving
from notifications import home_notices
from notifications import own_data as told
from payments.autopay.leaving import end_lost
from support import own_data
from workers.jobs import job

_AT_ONCE = 500
_log = log.logger(__name__)


@job("notices.home_invited")
def home_invited(invitation_id: str) -> None:
    """Tell somebody that they are invited into a home."""
    with transaction() as session:
        home_notices.tell_invited(
            session, int(invitation_id), public_url=settings().public_url, now=utc_now()
        )


@job("notices.home_joined")
def home_joined(invitation_id: str) -> None:
    """Tell those who manage a home that somebody came."""
    with transaction() as session:
        home_notices.tell_joined(
            session, int(invitation_id), public_url=settings().public_url, now=utc_now()
        )


@job("notices.forget_person")
def forget_person(person_id: str) -> None:
    """Forget what somebody was told who has left."""
    with transaction() as session:
        told.forget(session, int(person_id), now=utc_now())


@job("upkeep.leave")
def leave(_day: str) -> None:
    """End what goes with days in a home that are over; erase whose week to think is over.

    Also who was invited and never came. Whose money is on its way stays until it has arrived: the
    next hour asks again.
    """
    now = utc_now()
    with transaction() as session:
        for person_id in people.list_over(session, now=now):
            end_lost(session, person_id, by=None, now=now)
    with transaction() as session:
        due = leaving.list_due(session, limit=_AT_ONCE, now=now)
        strangers = invitations.end_old(session, limit=_AT_ONCE, now=now)
    for person_id in due:
        _erase(person_id, leaving.is_due, now=now)
    for person_id in strangers:
        _erase(person_id, invitations.never_came, now=now)


def _erase(person_id: int, still: Callable[..., bool], *, now: datetime) -> None:
    """Erase somebody, unless they took it back, or came, since they were listed."""
    try:
        with transaction() as session:
            if still(session, person_id, now=now):
                own_data.erase(session, person_id, now=now)
    except Conflict as later:
        _log.info("erasure_waits", person_id=person_id, reason=later.code)
