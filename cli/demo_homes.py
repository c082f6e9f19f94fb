"""The demo's homes of several people: parents who share theirs, and a flat that is to let."""

from datetime import datetime

from sqlmodel import Session

from billing.homes.households import find_household
from billing.homes.invitations import invite
from billing.homes.people import add_home
from billing.models import HomeKind, HouseholdMember, MemberRole
from core.db import transaction
from identity.people import find_person


def share_homes(child: str, parent: str, *, now: datetime) -> None:
    """Let the child pay at the parent's home, and be invited into the flat the parent lets."""
    with transaction() as session:
        child_id, parent_id = _id_of(session, child), _id_of(session, parent)
        home = find_household(session, parent_id)
        assert home is not None
        home.name, home.kind = "爸妈家", HomeKind.PARENTS
        session.add(
            HouseholdMember(household_id=home.id or 0, person_id=child_id, role=MemberRole.PAY)
        )
        let = add_home(session, parent_id, name="出租屋", kind=HomeKind.LET, now=now)
        invite(session, parent_id, let.id or 0, contact=child, role=MemberRole.PAY, now=now)


def _id_of(session: Session, contact: str) -> int:
    person = find_person(session, contact)
    assert person is not None
    assert person.id is not None
    return person.id
