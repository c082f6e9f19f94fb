"""Who there is."""

import re
import unicodedata
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from core.errors import Invalid, NotFound
from identity.models import Person, Role

LONGEST_NAME = 40
# One phone or one address: a comma would send a person's codes to a second one.
_CONTACT = re.compile(r"""\+?[0-9]+|[^\s@,;:<>()"]+@[^\s@,;:<>()"]+""")
_MOBILE = re.compile(r"(?:\+86|0086|86)?(1[0-9]{10})")


def normalise_contact(text: str) -> str:
    """Bring a typed phone or e-mail into the form we store: lower case, no blanks, half width.

    Dashes go from a phone number, which people write as they like; an address needs its own.
    """
    plain = "".join(unicodedata.normalize("NFKC", text).split()).lower()
    return plain if "@" in plain else plain.replace("-", "")


def is_address(text: str) -> bool:
    """Tell whether a text is one e-mail address and nothing beside it."""
    return "@" in text and text.isascii() and _CONTACT.fullmatch(text) is not None


def find_person(session: Session, contact: str) -> Person | None:
    """Return the person a contact belongs to, however a mobile of this country is written.

    Of two whom earlier releases took for two, the one whose contact is written so.
    """
    plain = normalise_contact(contact)
    known = select(Person).where(col(Person.contact).in_(_spellings(plain)))
    return session.exec(known.order_by((col(Person.contact) == plain).desc()).limit(1)).first()


def _spellings(contact: str) -> list[str]:
    """Return the ways to write a contact: a mobile of this country has several."""
    mobile = _MOBILE.fullmatch(contact)
    if mobile is None:
        return [contact]
    return [contact, *(f"{country}{mobile[1]}" for country in ("", "+86", "86", "0086"))]


def get_person(session: Session, person_id: int) -> Person:
    """Return a person.

    Raises:
        NotFound: no such person.
    """
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound("there is no such person")
    return person


def add_person(
    session: Session,
    *,
    role: Role,
    name: str,
    contact: str,
    email: str | None = None,
    provider_code: str | None = None,
    now: datetime,
) -> Person:
    """Enter a person; the same contact again returns who is there.

    Raises:
        Invalid: no contact, or not a phone nor an e-mail.
    """
    contact = normalise_contact(contact)
    if _CONTACT.fullmatch(contact) is None:
        raise Invalid("a contact is a phone number or an e-mail address", code="contact.malformed")
    known = find_person(session, contact)
    if known is not None:
        return known
    session.execute(
        insert(Person)
        .values(
            role=role, name=name, contact=contact, email=email, provider_code=provider_code,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["contact"])
    )  # fmt: skip
    person = find_person(session, contact)
    assert person is not None
    return person


def set_name(session: Session, person_id: int, typed: str) -> None:
    """Give somebody the name they go by; nothing typed: none."""
    name = " ".join(typed.split())
    person = session.get_one(Person, person_id, with_for_update=True)
    person.name = "".join(letter for letter in name if letter.isprintable())[:LONGEST_NAME]


def set_locale(session: Session, person_id: int, locale: str) -> str:
    """Set the language somebody is written to in; returns the one before."""
    person = session.get_one(Person, person_id, with_for_update=True)
    before, person.locale = person.locale, locale
    return before
