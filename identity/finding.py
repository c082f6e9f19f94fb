"""Finding people by what a caller says of themselves: a phone, an e-mail address, a name."""

import re

from sqlmodel import Session, col, or_, select

from core.errors import NotFound
from identity.models import Person, Role
from identity.people import get_person, normalise_contact

SHORTEST_NAME = 2  # one family name is half the city
_PHONE = re.compile(r"\+?[0-9]{7,15}")
_CITIZENS = (Role.RESIDENT, Role.GUEST)


def find_by_contact(session: Session, typed: str, *, limit: int) -> list[Person]:
    """Return whose phone or e-mail this is, receipts' addresses included; newest first.

    A phone may be typed with its country or without.
    """
    plain = normalise_contact(typed)
    if "@" not in plain and not _PHONE.fullmatch(plain):
        return []
    wanted = [plain] if "@" in plain else _spellings(plain)
    theirs = or_(col(Person.contact).in_(wanted), col(Person.email).in_(wanted))
    found = select(Person).where(theirs, col(Person.role).in_(_CITIZENS))
    return list(session.exec(found.order_by(col(Person.id).desc()).limit(limit)))


def _spellings(phone: str) -> list[str]:
    bare = phone.removeprefix("+").removeprefix("86") if phone[:1] == "+" else phone
    return [phone, bare, f"+{bare}", f"+86{bare}"]


def find_by_name(session: Session, typed: str, *, limit: int) -> list[Person]:
    """Return residents whose name begins with what was typed, those of exactly that name first."""
    name = " ".join(typed.split())
    if len(name) < SHORTEST_NAME:
        return []
    begins = col(Person.name).startswith(name, autoescape=True)
    found = select(Person).where(begins, Person.role == Role.RESIDENT)
    return list(session.exec(found.order_by(col(Person.name), col(Person.id)).limit(limit)))


def get_citizen(session: Session, person_id: int) -> Person:
    """Return a resident or a guest; colleagues are for admins to look at.

    Raises:
        NotFound: nobody, or somebody who works here.
    """
    person = get_person(session, person_id)
    if person.role not in _CITIZENS:
        raise NotFound("there is no such resident")
    return person
