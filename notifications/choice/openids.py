"""Whose WeChat is whose: one of a person, and a person of one."""

import hashlib
from datetime import datetime
from typing import Final

from sqlalchemy import or_, text, update
from sqlmodel import Session, col, select

from identity.models import Person
from notifications.choice.models import ContactPoint

CHANNEL: Final = "wechat"


def keep_openid(session: Session, person_id: int, openid: str, *, now: datetime) -> ContactPoint:
    """Send somebody's notices to a WeChat from now on; the same again changes nothing.

    Another of theirs gets no more, and whoever had this one has it no longer.
    """
    hashed = hashlib.sha256(openid.encode()).hexdigest()
    session.exec(
        select(Person.id).where(Person.id == person_id).with_for_update(key_share=True)
    ).one()
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('contact_point'), hashtext(:hashed))"),
        {"hashed": hashed},
    )
    mine = col(ContactPoint.person_id) == person_id
    this = col(ContactPoint.address_hash) == hashed
    live = (col(ContactPoint.channel) == CHANNEL, col(ContactPoint.gone_at).is_(None))
    held = session.exec(select(ContactPoint).where(*live, mine, this)).one_or_none()
    others = or_(mine & ~this, ~mine & this)
    session.execute(
        update(ContactPoint).where(*live, others).values(gone_at=now, gone_reason="moved")
    )
    if held is not None:
        return held
    kept = ContactPoint(
        person_id=person_id, channel=CHANNEL, address=openid, address_hash=hashed, made_at=now
    )
    session.add(kept)
    session.flush()
    return kept
