"""Offers only to who agreed: each yes and no is a row that stays, with what shows it."""

import unicodedata
from datetime import datetime
from typing import Final

from sqlalchemy import or_
from sqlmodel import Session, col, select

from core.db import HotStatement
from core.errors import Invalid
from notifications.choice.models import Consent, ConsentSource

# What people answer to a text they want no more of: "R" is what each of ours says.
REFUSALS: Final = frozenset({"R", "T", "TD", "N", "退订", "取消", "STOP", "UNSUBSCRIBE"})


def agree(session: Session, person_id: int, *, proof: str, now: datetime) -> None:
    """Write down that somebody wants offers, over every channel.

    Args:
        proof: the sentence they agreed to, as it stood on their screen.

    Raises:
        Invalid: there is no such sentence.
    """
    if not proof.strip():
        raise Invalid("a consent needs the sentence that was agreed to", code="consent.no_proof")
    session.add(
        Consent(
            person_id=person_id, given=True, source=ConsentSource.PAGE, proof=proof, said_at=now
        )
    )
    session.flush()


# The steps behind go with it: they wait for one that will never go.
_DROP = HotStatement("""
    UPDATE notice SET state = 'dropped', state_at = :now, reason = 'unsubscribed'
    WHERE person_id = :person_id AND kind = 'commercial' AND state = 'created'
      AND (CAST(:channel AS text) IS NULL OR (event, subject_ref) IN (
          SELECT event, subject_ref FROM notice
          WHERE person_id = :person_id AND kind = 'commercial' AND state = 'created'
            AND channel = :channel))
    RETURNING id
""")


def refuse(
    session: Session,
    person_id: int,
    *,
    source: ConsentSource,
    proof: str,
    channel: str | None = None,
    now: datetime,
) -> int:
    """Write down that somebody wants no offers, and drop those that wait; returns how many.

    Said once more it changes nothing, and leaves no second row.

    Args:
        channel: they spoke of this channel alone.
    """
    last = last_said(session, person_id, channel)
    if last is None or last.given:
        session.add(
            Consent(
                person_id=person_id, channel=channel, given=False, source=source, proof=proof,
                said_at=now,
            )
        )  # fmt: skip
    values = {"person_id": person_id, "channel": channel, "now": now}
    return len(_DROP.rows(session, values))


def last_said(session: Session, person_id: int, channel: str | None = None) -> Consent | None:
    """Return what somebody said last of offers: of every channel's, or also of one's."""
    said = select(Consent).where(
        Consent.person_id == person_id,
        or_(col(Consent.channel).is_(None), col(Consent.channel) == channel),
    )
    return session.exec(said.order_by(col(Consent.id).desc()).limit(1)).one_or_none()


def is_refusal(text: str) -> bool:
    """Tell whether an answer to a text says that its writer wants no more of them."""
    word = unicodedata.normalize("NFKC", text).strip(" \t\r\n。.!！“”\"'").upper()
    return word in REFUSALS
