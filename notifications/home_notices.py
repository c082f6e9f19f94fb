"""Telling who is invited into a home, and those who manage it that somebody came.

Of the home an invitation says no more than who invites, masked: neither its name nor where it is
goes to somebody who may be nobody of it.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, select

from billing.homes.invitations import HomeInvitation, InvitationState
from billing.models import Household, HouseholdMember, MemberRole
from core.clock import billing_date
from core.masking import mask_contact, mask_name
from identity.models import Person
from identity.people import get_person
from notifications.telling import Telling, tell, tell_all
from notifications.wording.rendering import Facts
from notifications.words import day_words, language

_ROLES: Final = {
    MemberRole.SEE: {"zh_CN": "看账单", "en": "see the bills"},
    MemberRole.PAY: {"zh_CN": "看账单和缴费", "en": "see and pay the bills"},
    MemberRole.MANAGE: {
        "zh_CN": "看账单、缴费和管理这个家", "en": "see and pay the bills and manage the home",
    },
}  # fmt: skip


def role_words(role: MemberRole, locale: str) -> str:
    """Return what a role lets somebody do, after "can"."""
    return _ROLES[role][language(locale)]


def tell_invited(session: Session, invitation_id: int, *, public_url: str, now: datetime) -> None:
    """Tell somebody that they are invited; not once it is decided or over."""
    row = session.get_one(HomeInvitation, invitation_id)
    person = get_person(session, row.person_id)
    over = row.state is not InvitationState.WAITING or row.expires_at <= now
    if over or person.ended_at is not None:
        return
    host = get_person(session, row.invited_by)
    facts = Facts(
        {
            "by": _called(host),
            "role": role_words(row.role, person.locale),
            "day": day_words(billing_date(row.expires_at - timedelta(days=1)), person.locale),
        },
        link=f"{public_url}/household",
    )
    told = Telling(
        event="home.invited", person=person, subject_ref=str(row.id), facts=facts,
        expires_at=row.expires_at,
    )  # fmt: skip
    tell(session, told, now=now)


def tell_joined(session: Session, invitation_id: int, *, public_url: str, now: datetime) -> None:
    """Tell those who manage a home that somebody came; nobody who has left it since."""
    row = session.get_one(HomeInvitation, invitation_id)
    if session.get(HouseholdMember, (row.household_id, row.person_id)) is None:
        return
    came = get_person(session, row.person_id)
    home = session.get_one(Household, row.household_id)
    managers = session.exec(
        select(Person)
        .join(HouseholdMember, col(HouseholdMember.person_id) == col(Person.id))
        .where(
            HouseholdMember.household_id == row.household_id,
            HouseholdMember.role == MemberRole.MANAGE,
            Person.id != row.person_id,
            col(Person.ended_at).is_(None),
        )
        .order_by(col(Person.id))
    )
    link = f"{public_url}/household?home={row.household_id}"
    tell_all(
        session,
        [
            Telling(
                event="home.joined", person=one, subject_ref=str(row.id),
                household_id=row.household_id,
                facts=Facts(
                    {
                        "name": _called(came), "home": home.name,
                        "role": role_words(row.role, one.locale),
                    },
                    link=link,
                ),
            )
            for one in managers
        ],
        now=now,
    )  # fmt: skip


def _called(person: Person) -> str:
    return mask_name(person.name) or mask_contact(person.contact or "")
