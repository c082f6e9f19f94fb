"""Signing in with a one-time code, and the browser session that follows.

A code lives five minutes, works once and survives four wrong tries; there are five an hour, and
none for a day after twenty wrong tries. An address that asks for many, or types many wrong ones, is
held up whoever is meant. Whoever types a contact nobody has is told the same as everybody else.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core import crypto
from core.db import HotStatement
from core.errors import NotSignedIn, TooMany
from identity import misses
from identity.audit import Deed, note, person_subject
from identity.misses import Of
from identity.models import Person, Role, SignInCode, WebSession
from identity.people import find_person

CODE_MINUTES = 5
CODE_TRIES = 5
CODES_AN_HOUR = 5
TRIES_A_DAY = 20  # of one person's codes: six digits are guessed with a chance of 2 in 100,000
CODES_FROM_ADDRESS = 100  # an hour: many people share an address
WRONG_FROM_ADDRESS = 60  # an hour
IDLE = timedelta(minutes=30)
NOTED_EACH = timedelta(minutes=1)
ABSOLUTE = timedelta(hours=12)
GUEST_ABSOLUTE = timedelta(hours=1)  # to begin within half of it, and half for the payment


def issue_code(
    session: Session, contact: str, *, secret: str, now: datetime
) -> tuple[Person, str, int] | None:
    """Make a code for whoever has this contact, and make it the only one that works.

    Returns:
        The person, the code in clear for the message that carries it, and the code's id; None when
        nobody has this contact, or their access has ended.

    Raises:
        TooMany: five codes within the hour already, or twenty wrong tries within the day.
    """
    person = find_person(session, contact)
    if person is None or person.ended_at is not None:
        return None
    assert person.id is not None
    recent = select(func.count(col(SignInCode.id))).where(
        SignInCode.person_id == person.id, SignInCode.issued_at > now - timedelta(hours=1)
    )
    session.get_one(Person, person.id, with_for_update=True)
    if session.exec(recent).one() >= CODES_AN_HOUR:
        raise TooMany("too many codes were asked for: try again in an hour", code="sign_in.codes")
    tried = select(func.coalesce(func.sum(SignInCode.tries), 0)).where(
        SignInCode.person_id == person.id, SignInCode.issued_at > now - timedelta(days=1)
    )
    if session.exec(tried).one() > TRIES_A_DAY - CODE_TRIES:
        raise TooMany("too many wrong codes: try again tomorrow", code="sign_in.tries")
    for earlier in session.exec(_live_codes(person.id, now=now)):
        earlier.expires_at = now
    code = crypto.new_code()
    row = SignInCode(
        person_id=person.id,
        code_hash=_hash(secret, person.id, code),
        issued_at=now,
        expires_at=now + timedelta(minutes=CODE_MINUTES),
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    return person, code, row.id


def note_asking(client: str, *, secret: str, now: datetime) -> None:
    """Count that an address asks for a code, whoever's; the count stays, whatever comes of it.

    Raises:
        TooMany: a hundred within the hour already.
    """
    if misses.one_more(Of.CODE, client, secret=secret, now=now) > CODES_FROM_ADDRESS:
        raise TooMany("too many codes from here: try again later", code="sign_in.from_here")


def check_code_from(
    session: Session, client: str, contact: str, code: str, *, secret: str, now: datetime
) -> Person | None:
    """Do as ``check_code`` for whoever asks from an address, and count there that it was wrong.

    Raises:
        TooMany: sixty wrong ones came from there within the hour; this one was not looked at.
    """
    if misses.so_far(Of.WRONG_CODE, client, secret=secret, now=now) >= WRONG_FROM_ADDRESS:
        raise TooMany("too many wrong codes from here: try again later", code="sign_in.from_here")
    person = check_code(session, contact, code, secret=secret, now=now)
    if person is None:
        misses.one_more(Of.WRONG_CODE, client, secret=secret, now=now)
    return person


def check_code(
    session: Session, contact: str, code: str, *, secret: str, now: datetime
) -> Person | None:
    """Return the person if the code is right, and use it up; None otherwise.

    A wrong try is counted, so the caller's transaction must commit also when the answer is None.
    """
    person = find_person(session, contact)
    if person is None or person.id is None or person.ended_at is not None:
        return None
    row = session.exec(_live_codes(person.id, now=now).with_for_update()).first()
    if row is None:
        return None  # not noted: without a code anybody could fill the log
    if not crypto.verify(secret, _message(person.id, code.strip()), row.code_hash):
        row.tries += 1
        if row.tries >= CODE_TRIES:
            row.expires_at = now
        _note(session, person, Deed.SIGN_IN_FAILED, None, now=now)
        return None
    row.used_at = now
    return person


def start_session(session: Session, person: Person, *, now: datetime) -> tuple[str, WebSession]:
    """Open a browser session; returns the cookie's value, which is stored nowhere."""
    assert person.id is not None
    token = crypto.new_token()
    row = WebSession(
        token_hash=crypto.fingerprint(token),
        person_id=person.id,
        csrf=crypto.new_token(),
        created_at=now,
        seen_at=now,
    )
    session.add(row)
    session.flush()
    _note(session, person, Deed.SIGNED_IN, person.id, now=now)
    return token, row


class SignedIn(NamedTuple):
    """Whoever a cookie belongs to. ``to_note``: it is time to ``note_seen`` again."""

    id: int
    role: Role
    name: str
    contact: str | None
    email: str | None
    locale: str
    provider_code: str | None
    csrf: str
    to_note: bool


_FIND = HotStatement("""
    SELECT p.id, p.role, p.name, p.contact, p.email, p.locale, p.provider_code, s.csrf,
           s.created_at, s.seen_at
    FROM web_session s JOIN person p ON p.id = s.person_id
    WHERE s.token_hash = :token_hash AND s.ended_at IS NULL AND p.ended_at IS NULL
""")


def find_session(session: Session, token: str, *, now: datetime) -> SignedIn:
    """Return who a cookie belongs to.

    Raises:
        NotSignedIn: unknown, ended, idle for thirty minutes, or twelve hours old; a guest's one.
            Or its person's access has ended.
    """
    rows = _FIND.rows(session, {"token_hash": crypto.fingerprint(token)})
    if not rows:
        raise NotSignedIn("please sign in")
    person_id, role, name, contact, email, locale, company, csrf, created_at, seen_at = rows[0]
    absolute = GUEST_ABSOLUTE if role == Role.GUEST else ABSOLUTE
    if seen_at <= now - IDLE or created_at <= now - absolute:
        raise NotSignedIn("please sign in")
    to_note: bool = seen_at < now - NOTED_EACH
    return SignedIn(
        person_id, Role(role), name, contact, email, locale, company, csrf, to_note
    )  # fmt: skip


_SEEN = HotStatement("""
    UPDATE web_session SET seen_at = greatest(seen_at, :now) WHERE token_hash = :token_hash
    RETURNING person_id
""")


def note_seen(token: str, *, now: datetime) -> None:
    """Note that whoever a cookie belongs to is still there; their half hour begins anew.

    A transaction of its own.
    """
    _SEEN.alone({"token_hash": crypto.fingerprint(token), "now": now})


def list_sign_ins(
    session: Session, person_id: int, *, until: datetime | None, limit: int
) -> list[datetime]:
    """Return when somebody signed in, newest first: as far back as sessions are kept."""
    found = select(WebSession.created_at).where(WebSession.person_id == person_id)
    if until is not None:
        found = found.where(col(WebSession.created_at) <= until)
    return list(session.exec(found.order_by(col(WebSession.created_at).desc()).limit(limit)))


def end_session(session: Session, token: str, *, now: datetime) -> None:
    """Sign a browser out; idempotent."""
    row = session.get(WebSession, crypto.fingerprint(token))
    if row is not None and row.ended_at is None:
        row.ended_at = now


def _note(session: Session, person: Person, what: Deed, who: int | None, *, now: datetime) -> None:
    """Keep that somebody signed in who sees what is not their own, or that it was tried."""
    if person.id is not None and person.role in {Role.STAFF, Role.OPERATOR}:
        note(session, who, what, subject=person_subject(person.id), now=now)


def _live_codes(person_id: int, *, now: datetime) -> SelectOfScalar[SignInCode]:
    return (
        select(SignInCode)
        .where(
            SignInCode.person_id == person_id,
            col(SignInCode.used_at).is_(None),
            SignInCode.tries < CODE_TRIES,  # also for who read the clock before the last try did
            SignInCode.expires_at > now,
        )
        .order_by(col(SignInCode.id).desc())
    )


def _message(person_id: int, code: str) -> bytes:
    return f"sign-in:{person_id}:{code}".encode()


def _hash(secret: str, person_id: int, code: str) -> str:
    return crypto.sign(secret, _message(person_id, code))
