"""Browsers that show somebody's notices."""

import hashlib
from datetime import datetime
from typing import Final

from sqlalchemy import func, text, update
from sqlmodel import Session, col, select

from core.errors import Conflict
from identity.models import Person
from notifications.choice.models import ContactPoint

CHANNEL: Final = "push"
MOST_BROWSERS: Final = 10


def keep_browser(
    session: Session, person_id: int, address: str, *, label: str, now: datetime
) -> ContactPoint:
    """Show somebody's notices in a browser; once more is the same, with today's label.

    Whoever else's it showed until now, it shows no longer: who subscribes sits before it.

    Raises:
        Conflict: they have as many as one may have.
    """
    hashed = hashlib.sha256(address.encode()).hexdigest()
    _one_at_a_time(session, person_id, hashed)
    live = (
        col(ContactPoint.channel) == CHANNEL,
        col(ContactPoint.gone_at).is_(None),
    )
    this = (*live, col(ContactPoint.address_hash) == hashed)
    held = session.exec(
        select(ContactPoint).where(*this).execution_options(populate_existing=True)
    ).one_or_none()
    if held is not None and held.person_id == person_id:
        held.label = label
        return held
    having = select(func.count()).where(*live, ContactPoint.person_id == person_id)
    if session.exec(having).one() >= MOST_BROWSERS:
        raise Conflict(
            f"notices go to {MOST_BROWSERS} devices at most: remove one of them first",
            code="push.too_many",
        )
    session.execute(update(ContactPoint).where(*this).values(gone_at=now, gone_reason="moved"))
    kept = ContactPoint(
        person_id=person_id, channel=CHANNEL, address=address, address_hash=hashed, label=label,
        made_at=now,
    )  # fmt: skip
    session.add(kept)
    session.flush()
    return kept


def forget_browser(session: Session, person_id: int, point_id: int, *, now: datetime) -> None:
    """Show nothing more in a browser its person signs out of; another's stays as it is."""
    session.execute(
        update(ContactPoint)
        .where(
            col(ContactPoint.id) == point_id, col(ContactPoint.person_id) == person_id,
            col(ContactPoint.channel) == CHANNEL, col(ContactPoint.gone_at).is_(None),
        )
        .values(gone_at=now, gone_reason="signed_out")
    )  # fmt: skip


def forget_others(session: Session, person_id: int, point_id: int | None, *, now: datetime) -> None:
    """Show somebody's notices in no browser but this one of theirs; None: in none."""
    others = (
        update(ContactPoint)
        .where(
            col(ContactPoint.person_id) == person_id, col(ContactPoint.channel) == CHANNEL,
            col(ContactPoint.gone_at).is_(None), col(ContactPoint.id).is_distinct_from(point_id),
        )
        .values(gone_at=now, gone_reason="signed_out")
    )  # fmt: skip
    session.execute(others)


def _one_at_a_time(session: Session, person_id: int, hashed: str) -> None:
    """Let one browser of somebody in at a time, and one person into a browser."""
    session.exec(
        select(Person.id).where(Person.id == person_id).with_for_update(key_share=True)
    ).one()
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('contact_point'), hashtext(:hashed))"),
        {"hashed": hashed},
    )
