"""Guests: somebody who pays once and never signs in.

A guest is a person like any other payer, so that every payment has one; what they may see and pay
is decided by ``billing.homes.pay_grants``.
"""

from datetime import datetime

from sqlmodel import Session

from core.errors import Invalid
from identity.models import Person, Role
from identity.people import is_address


def receipt_address(typed: str) -> str | None:
    """Read where a receipt is to go; nothing typed: nowhere.

    Raises:
        Invalid: not one e-mail address.
    """
    plain = "".join(typed.split())
    if plain and not is_address(plain):
        raise Invalid("that is not an e-mail address", code="email.malformed")
    return plain or None


def add_guest(session: Session, *, email: str | None, locale: str, now: datetime) -> Person:
    """Enter a guest: somebody new every time."""
    guest = Person(role=Role.GUEST, name="", email=email, locale=locale, created_at=now)
    session.add(guest)
    session.flush()
    return guest
