"""Televisions that may show somebody's bills: paired with a code, approved on the phone.

Source: RFC 8628, the device authorization grant. A television asks for a pair of codes; its owner
types the short one on their phone, or scans it; the television asks with the long one how it went.
What it then has lets it look, and nothing else.
"""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from core import crypto
from core.db import UtcDateTime, text_enum
from core.errors import Conflict, NotFound, NotSignedIn
from identity.models import Person

CODE_SECONDS = 300
INTERVAL_SECONDS = 5
UNUSED = timedelta(days=90)  # after so long it is paired anew
MOST = 5  # televisions of one person
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # nothing that looks like something else
_LETTERS_OF_A_CODE = 8


class PairingState(StrEnum):
    WAITING = "waiting"
    ALLOWED = "allowed"
    DENIED = "denied"
    USED = "used"


class TelevisionPairing(SQLModel, table=True):
    """A television that asked to be let in. Of its long code only the fingerprint is here."""

    __tablename__ = "television_pairing"

    device_hash: str = Field(primary_key=True)
    user_code: str = Field(unique=True)
    state: PairingState = Field(
        default=PairingState.WAITING,
        sa_column=Column(text_enum(PairingState), nullable=False),
    )
    person_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    interval_seconds: int = Field(default=INTERVAL_SECONDS, sa_type=SmallInteger)
    begun_at: datetime = Field(sa_type=UtcDateTime)
    asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class Television(SQLModel, table=True):
    """A television that may show what its person sees, masked, and nothing more."""

    __tablename__ = "television"
    __table_args__ = (
        Index("ix_television_live", "person_id", postgresql_where=text("ended_at IS NULL")),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    token_hash: str = Field(unique=True)
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    paired_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Begun(NamedTuple):
    """The two codes of a pairing: the long one is the television's, the short one is shown."""

    device_code: str
    user_code: str


class Progress(StrEnum):
    """How a pairing stands, in the words of RFC 8628, section 3.5."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    DONE = "done"


class Asked(NamedTuple):
    progress: Progress
    token: str | None = None  # once, when it is done
    user_code: str = ""  # to be shown while it waits
    interval_seconds: int = INTERVAL_SECONDS


def begin_pairing(session: Session, *, now: datetime) -> Begun:
    """Give a television its two codes, good for five minutes."""
    device_code = crypto.new_token()
    user_code = "".join(secrets.choice(_LETTERS) for _ in range(_LETTERS_OF_A_CODE))
    session.add(
        TelevisionPairing(
            device_hash=crypto.fingerprint(device_code),
            user_code=user_code,
            begun_at=now,
            expires_at=now + timedelta(seconds=CODE_SECONDS),
        )
    )
    session.flush()
    return Begun(device_code, user_code)


def read_code(typed: str) -> str:
    """Return a code as it is kept, however it was typed: ``"abcd-2345 "`` is ``"ABCD2345"``."""
    return "".join(letter for letter in typed.upper() if letter in _LETTERS)


def find_pairing(
    session: Session, typed: str, *, now: datetime, lock: bool = False
) -> TelevisionPairing:
    """Return the pairing that waits under a code.

    Raises:
        NotFound: nobody waits under it: a slip of the finger, or the five minutes are over.
    """
    waiting = select(TelevisionPairing).where(
        TelevisionPairing.user_code == read_code(typed),
        TelevisionPairing.state == PairingState.WAITING,
        TelevisionPairing.expires_at > now,
    )
    row = session.exec(waiting.with_for_update() if lock else waiting).one_or_none()
    if row is None:
        raise NotFound("no television waits under this code", code="television.no_such_code")
    return row


def decide_pairing(
    session: Session, typed: str, person_id: int, *, allow: bool, now: datetime
) -> None:
    """Let a television in, or not; the first who decides decides.

    Raises:
        NotFound: nobody waits under this code any more.
        Conflict: they have five televisions already.
    """
    row = find_pairing(session, typed, now=now, lock=True)
    if allow:
        session.get_one(Person, person_id, with_for_update=True)
        if len(list_televisions(session, person_id, now=now)) >= MOST:
            raise Conflict(
                "five televisions show your bills already: end one of them first",
                code="television.too_many",
            )
    row.person_id, row.state = person_id, PairingState.ALLOWED if allow else PairingState.DENIED


def ask_pairing(session: Session, device_code: str, *, now: datetime) -> Asked:
    """Tell a television how its pairing stands; the token it gets is stored nowhere.

    Who asks sooner than it was told to is told to wait five seconds longer from then on.
    """
    row = session.get(TelevisionPairing, crypto.fingerprint(device_code), with_for_update=True)
    if row is None or row.state is PairingState.USED or row.expires_at <= now:
        return Asked(Progress.EXPIRED)
    if row.state is PairingState.DENIED:
        return Asked(Progress.DENIED)
    too_soon = row.asked_at is not None and now - row.asked_at < timedelta(
        seconds=row.interval_seconds
    )
    row.asked_at = now
    if row.state is PairingState.WAITING:
        if too_soon:
            row.interval_seconds += INTERVAL_SECONDS
        progress = Progress.SLOW_DOWN if too_soon else Progress.PENDING
        return Asked(progress, None, row.user_code, row.interval_seconds)
    assert row.person_id is not None  # who let it in
    row.state = PairingState.USED
    token = crypto.new_token()
    session.add(
        Television(
            token_hash=crypto.fingerprint(token),
            person_id=row.person_id,
            paired_at=now,
            seen_at=now,
        )
    )
    return Asked(Progress.DONE, token)


def find_television(session: Session, token: str, *, now: datetime) -> tuple[Person, Television]:
    """Return whose bills a television may show.

    Raises:
        NotSignedIn: unknown, ended, unused for ninety days, or its person's access has ended.
    """
    found = session.exec(
        select(Television, Person)
        .join(Person, col(Person.id) == col(Television.person_id))
        .where(Television.token_hash == crypto.fingerprint(token), _live(now))
    ).first()
    if found is None or found[1].ended_at is not None:
        raise NotSignedIn("pair this television first", code="television.not_paired")
    row, person = found
    if row.seen_at < now - timedelta(minutes=1):
        row.seen_at = now
    return person, row


def _live(now: datetime) -> ColumnElement[bool]:
    return col(Television.ended_at).is_(None) & (col(Television.seen_at) > now - UNUSED)


def list_televisions(session: Session, person_id: int, *, now: datetime) -> list[Television]:
    """Return the televisions that may show somebody's bills, the newest first."""
    return list(
        session.exec(
            select(Television)
            .where(Television.person_id == person_id, _live(now))
            .order_by(col(Television.id).desc())
        )
    )


def end_television(session: Session, person_id: int, television_id: int, *, now: datetime) -> None:
    """Let a television show nothing any more; idempotent.

    Raises:
        NotFound: it is not theirs.
    """
    row = session.get(Television, television_id)
    if row is None or row.person_id != person_id:
        raise NotFound("there is no such television")
    row.ended_at = row.ended_at or now


def end_televisions(session: Session, person_id: int, *, now: datetime) -> None:
    """Let no television show somebody's bills any more, nor one they have just let in."""
    values = {"person_id": person_id, "now": now}
    session.execute(
        text(
            "UPDATE television SET ended_at = greatest(:now, paired_at)"
            " WHERE person_id = :person_id AND ended_at IS NULL"
        ),
        values,
    )
    session.execute(
        text(
            "UPDATE television_pairing SET state = 'denied'"
            " WHERE person_id = :person_id AND state = 'allowed'"
        ),
        values,
    )


def forget_pairings(session: Session, *, now: datetime) -> None:
    """Forget codes that were good until yesterday."""
    session.execute(
        text("DELETE FROM television_pairing WHERE expires_at < :before"),
        {"before": now - timedelta(days=1)},
    )
