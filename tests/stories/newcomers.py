"""Neighbours who can only be texted, and an offer a company wants told: what a story needs.

``python -m tests.stories.newcomers neighbours 30`` or ``… offer 2``, in the town's folder.
"""

import json
import sys
from datetime import datetime

from sqlmodel import Session, col, func, select

from billing.homes.households import bind_accounts, create_household
from cli.connect import connected
from core.clock import billing_date, utc_now
from core.db import HotStatement, transaction
from core.settings import settings
from identity.models import Person, Role
from identity.people import add_person
from notifications import offers
from notifications.models import Notice, Reach
from notifications.offers import Draft

_FREE = HotStatement("""
    SELECT account_no FROM utility_account a
    WHERE provider_code = 'power'
      AND NOT EXISTS (SELECT FROM household_account h WHERE h.account_id = a.id)
    ORDER BY account_no LIMIT :count
""")


def move_in(session: Session, count: int, *, now: datetime) -> list[str]:
    """Have people move into homes and hold their power; returns their phone numbers."""
    phones = []
    for number, (account_no,) in enumerate(_FREE.rows(session, {"count": count})):
        phones.append(f"1990001{number:04}")
        person = add_person(session, role=Role.RESIDENT, name="邻居", contact=phones[-1], now=now)
        home = create_household(session, name="邻居家", owner_id=person.id or 0, now=now)
        bind_accounts(session, home.id or 0, [("power", account_no)], now=now)
    return phones


def offer(session: Session, number: str, *, now: datetime) -> int:
    """Have an offer written, approved and told; returns how many people were told."""
    operator, staff = (_first(session, role) for role in (Role.OPERATOR, Role.STAFF))
    draft = Draft(
        f"换新灶具，第 {number} 期立减 ¥100。",
        "¥100 off a new stove.",
        billing_date(now),
        Reach.ALL,
    )
    offer_id = offers.write(session, "gas", draft, made_by=operator, now=now).id or 0
    offers.propose(session, offer_id, "gas", now=now)
    offers.approve(session, offer_id, by=staff, now=now)
    while offers.tell_some(session, offer_id, public_url=settings().public_url, now=now):
        pass
    return session.exec(
        select(func.count(func.distinct(Notice.person_id))).where(
            Notice.event == "offer.made", Notice.subject_ref == str(offer_id)
        )
    ).one()


def _first(session: Session, role: Role) -> int:
    found = select(Person.id).where(col(Person.role) == role).order_by(col(Person.id)).limit(1)
    return session.exec(found).one() or 0


if __name__ == "__main__":
    what, number = sys.argv[1:]
    with connected(), transaction() as session:
        if what == "offer":
            told: object = offer(session, number, now=utc_now())
        else:
            told = move_in(session, int(number), now=utc_now())
    sys.stdout.write(json.dumps(told))
