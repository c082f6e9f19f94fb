"""The people who work here, the city's own and the companies': how they come and go.

Nobody is ever deleted: who left is ended, and what they did keeps their name.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import or_, text, tuple_, update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import Conflict, Invalid, NotAllowed, NotFound
from identity.audit import Deed, note, person_subject
from identity.duties import (
    Duty,
    StaffDuty,
    duties_among,
    give_duty,
    lock_duties,
    propose_duty,
    take_duty,
)
from identity.models import Person, Role, SignInCode, WebSession
from identity.people import add_person, find_person
from identity.sign_in import ABSOLUTE, IDLE

PAGE = 50
_ROLES = (Role.STAFF, Role.OPERATOR)


class Wanted(NamedTuple):
    """Which of them; what is None or empty does not matter."""

    words: str = ""  # somewhere in the name or the contact
    role: Role | None = None
    provider_code: str | None = None
    duty: Duty | None = None
    ended: bool = False  # those who left, instead of those who are here


def find_colleagues(
    session: Session, wanted: Wanted, *, after: int | None = None, limit: int = PAGE
) -> list[Person]:
    """Return people by name.

    Args:
        after: the id of the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    people = _matching(wanted)
    if after is not None:
        last = get_colleague(session, after)
        people = people.where(tuple_(col(Person.name), col(Person.id)) > (last.name, after))
    return list(session.exec(people.limit(limit)))


def every_colleague(session: Session, wanted: Wanted) -> Iterator[Person]:
    """Yield all of them, by name."""
    yield from session.exec(_matching(wanted))


def _matching(wanted: Wanted) -> SelectOfScalar[Person]:
    people = select(Person).where(
        col(Person.role).in_([wanted.role] if wanted.role else _ROLES),
        col(Person.ended_at).is_not(None) if wanted.ended else col(Person.ended_at).is_(None),
    )
    if words := " ".join(wanted.words.split()):
        people = people.where(
            or_(
                col(Person.name).icontains(words, autoescape=True),
                col(Person.contact).icontains(words, autoescape=True),
            )
        )
    if wanted.provider_code:
        people = people.where(Person.provider_code == wanted.provider_code)
    if wanted.duty is not None:
        people = people.where(
            select(StaffDuty.id)
            .where(
                StaffDuty.person_id == Person.id, StaffDuty.duty == wanted.duty,
                col(StaffDuty.given_at).is_not(None), col(StaffDuty.taken_at).is_(None),
            )
            .exists()
        )  # fmt: skip
    return people.order_by(col(Person.name), col(Person.id))


_LAST_SEEN = text("""
    SELECT id, greatest(
        (SELECT max(seen_at) FROM web_session WHERE person_id = p.id),
        (SELECT at FROM audit_entry WHERE person_id = p.id AND what = 'signed_in'
         ORDER BY at DESC, id DESC LIMIT 1))
    FROM unnest(CAST(:people AS bigint[])) p (id)
""")


def last_seen(session: Session, people: Iterable[int]) -> dict[int, datetime]:
    """Return when each of them was last here; who never was is left out."""
    rows = session.execute(_LAST_SEEN, {"people": list(people)})
    return {person_id: at for person_id, at in rows if at is not None}


def get_colleague(session: Session, person_id: int) -> Person:
    """Return one of them.

    Raises:
        NotFound: nobody, or somebody who does not work here.
    """
    person = session.get(Person, person_id, populate_existing=True)
    if person is None or person.role not in _ROLES:
        raise NotFound("there is no such person")
    return person


def invite(
    session: Session,
    *,
    name: str,
    contact: str,
    provider_code: str | None = None,
    duties: Iterable[Duty] = (),
    by: int | None,
    now: datetime,
) -> Person:
    """Let somebody sign in: of the staff, or of the company ``provider_code``.

    Their duties are proposed, and given by another admin; from the command line (``by`` none) they
    are given.

    Raises:
        Invalid: no name, or a contact that is neither a phone nor an e-mail address.
        Conflict: somebody has this contact already.
    """
    if not name.strip():
        raise Invalid("say who it is", code="person.no_name")
    known = find_person(session, contact)
    if known is not None:
        raise _taken(known)
    role = Role.STAFF if provider_code is None else Role.OPERATOR
    person = add_person(
        session, role=role, name=name.strip(), contact=contact, provider_code=provider_code, now=now
    )
    if (person.role, person.provider_code, person.created_at) != (role, provider_code, now):
        raise _taken(person)  # by somebody at this very moment
    assert person.id is not None
    detail = {"company": provider_code} if provider_code else {}
    note(session, by, Deed.INVITED, subject=person_subject(person.id), detail=detail, now=now)
    for duty in duties:
        if by is None:
            give_duty(session, person.id, duty, now=now)
        else:
            propose_duty(session, person.id, duty, by=by, now=now)
    return person


def _taken(person: Person) -> Conflict:
    if person.ended_at is not None:
        return Conflict(
            "somebody who left has this contact: let them in again", code="person.ended_contact"
        )
    return Conflict(
        "somebody has this contact already: take their address at work", code="person.contact_taken"
    )


def end_access(session: Session, person_id: int, *, by: int | None, now: datetime) -> Person:
    """End somebody's access at once: sessions, codes and duties; again changes nothing.

    Raises:
        NotFound: nobody who works here.
        NotAllowed: it is oneself.
        Conflict: it is the last admin.
    """
    lock_duties(session)
    person = get_colleague(session, person_id)
    if by == person_id:
        raise NotAllowed("nobody ends their own access: ask another admin", code="person.own")
    if person.ended_at is None:
        for row in duties_among(session, [person_id]).get(person_id, []):
            assert row.id is not None
            take_duty(session, row.id, by=by, now=now)
        person.ended_at = now
        end_sessions(session, person_id, now=now)
        session.execute(
            update(SignInCode)
            .where(col(SignInCode.person_id) == person_id, col(SignInCode.expires_at) > now)
            .values(expires_at=now)
        )
        note(session, by, Deed.ENDED, subject=person_subject(person_id), now=now)
    return person


def let_in_again(session: Session, person_id: int, *, by: int | None, now: datetime) -> Person:
    """Let somebody sign in again who had left, without duties; again changes nothing.

    Raises:
        NotFound: nobody who works here, or did.
        NotAllowed: it is oneself.
    """
    lock_duties(session)
    person = get_colleague(session, person_id)
    if by == person_id:
        raise NotAllowed("nobody lets themselves in: ask another admin", code="person.own")
    if person.ended_at is not None:
        person.ended_at = None
        note(session, by, Deed.LET_IN_AGAIN, subject=person_subject(person_id), now=now)
    return person


def live_sessions(session: Session, person_id: int, *, now: datetime) -> list[WebSession]:
    """Return the browsers somebody is signed in with, the last used first."""
    live = select(WebSession).where(
        WebSession.person_id == person_id,
        col(WebSession.ended_at).is_(None),
        WebSession.seen_at > now - IDLE,
        WebSession.created_at > now - ABSOLUTE,
    )
    return list(session.exec(live.order_by(col(WebSession.seen_at).desc())))


def end_sessions(
    session: Session, person_id: int, *, token_hash: str | None = None, now: datetime
) -> int:
    """Sign somebody out, of one browser or of all; return of how many."""
    ended = (
        update(WebSession)
        .where(col(WebSession.person_id) == person_id, col(WebSession.ended_at).is_(None))
        .values(ended_at=now)
        .returning(col(WebSession.token_hash))
    )
    if token_hash is not None:
        ended = ended.where(col(WebSession.token_hash) == token_hash)
    return len(session.execute(ended).all())


def sign_out(
    session: Session, person_id: int, *, token_hash: str | None, by: int, now: datetime
) -> int:
    """End sessions of somebody who works here, as an admin; return how many.

    Raises:
        NotFound: nobody who works here.
    """
    get_colleague(session, person_id)
    ended = end_sessions(session, person_id, token_hash=token_hash, now=now)
    if ended:
        subject = person_subject(person_id)
        note(session, by, Deed.SESSION_ENDED, subject=subject, detail={"count": ended}, now=now)
    return ended


def people_among(session: Session, person_ids: Iterable[int | None]) -> dict[int, Person]:
    """Return these people, whoever they are, by id."""
    wanted = {one for one in person_ids if one is not None}
    rows = session.exec(select(Person).where(col(Person.id).in_(wanted)))
    return {one.id: one for one in rows if one.id is not None}


def names_of(session: Session, person_ids: Iterable[int | None]) -> dict[int, str]:
    """Return the names of these people, by id."""
    return {one: person.name for one, person in people_among(session, person_ids).items()}
