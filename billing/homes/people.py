"""The people of a home: who belongs to it, what each may do, and how somebody leaves.

Roles: ``see`` looks, ``pay`` also pays, ``manage`` also decides who and what belongs to the home.
A home always keeps somebody who manages it; a trigger holds to that whatever happens here.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.homes.households import create_household, list_households
from billing.homes.models import HouseholdAccount
from billing.models import HomeKind, Household, HouseholdMember, MemberRole
from core.clock import billing_date
from core.db import HotStatement
from core.errors import Conflict, Invalid, NotAllowed, NotFound, TooMany
from core.masking import mask_name
from identity.models import Person

MOST_HOMES: Final = 20  # of one person
LONGEST_NAME: Final = 40
YEARS: Final = range(2000, 2100)  # of days: the first of all has none before it to reckon with
ROLES: Final[Sequence[MemberRole]] = (MemberRole.SEE, MemberRole.PAY, MemberRole.MANAGE)


class Home(NamedTuple):
    """What pages show of a ``Household``; the names are its columns."""

    id: int
    name: str
    kind: HomeKind


class Standing(NamedTuple):
    """A home and what somebody is in it."""

    home: Home
    role: MemberRole

    @property
    def manages(self) -> bool:
        return self.role is MemberRole.MANAGE

    @property
    def pays(self) -> bool:
        return self.role is not MemberRole.SEE


class Member(NamedTuple):
    """Somebody of a home, as its other people see them."""

    person_id: int
    name_masked: str
    role: MemberRole
    from_on: date | None
    until_on: date | None
    earlier_bills: bool
    over: bool  # their last day is past


def standing(session: Session, person_id: int, household_id: int) -> Standing:
    """Return what somebody is in a home today.

    Raises:
        NotFound: no home of theirs.
    """
    for one in list_standings(session, person_id):
        if one.home.id == household_id:
            return one
    raise NotFound("there is no such home")


def manage(session: Session, person_id: int, household_id: int) -> Household:
    """Return a home somebody manages, locked: what is decided about it is decided one by one.

    Raises:
        NotFound: no home of theirs.
        NotAllowed: they only see or pay.
    """
    home = session.get(Household, household_id, with_for_update={"key_share": True})
    its = standing(session, person_id, household_id)
    if home is None or its.role is not MemberRole.MANAGE:
        raise NotAllowed("only who manages this home can do that", code="home.not_manager")
    return home


_STANDINGS = HotStatement("""
    SELECT h.id, h.name, h.kind, m.role
    FROM household_member m JOIN household h ON h.id = m.household_id
    WHERE m.person_id = :person_id AND stands_today(m.from_on, m.until_on)
    ORDER BY h.id
""")


def list_standings(session: Session, person_id: int) -> list[Standing]:
    """Return the homes somebody belongs to and what they are in each, the first first."""
    return [
        Standing(Home(number, name, HomeKind(kind)), MemberRole(role))
        for number, name, kind, role in _STANDINGS.rows(session, {"person_id": person_id})
    ]


def list_members(session: Session, household_id: int, *, now: datetime) -> list[Member]:
    """Return the people of a home, those who manage it first; also whose days are over."""
    today = billing_date(now)
    rows = session.exec(
        select(HouseholdMember, Person.name)
        .join(Person, col(Person.id) == col(HouseholdMember.person_id))
        .where(HouseholdMember.household_id == household_id)
        .order_by(
            (col(HouseholdMember.role) == MemberRole.MANAGE).desc(),
            col(HouseholdMember.person_id),
        )
    )
    return [
        Member(
            row.person_id, mask_name(name), row.role, row.from_on, row.until_on, row.earlier_bills,
            row.until_on is not None and row.until_on < today,
        )
        for row, name in rows
    ]  # fmt: skip


def read_name(typed: str) -> str:
    """Return a home's name as it is kept.

    Raises:
        Invalid: nothing, or more than forty characters.
    """
    name = " ".join(typed.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Invalid(f"a home's name has one to {LONGEST_NAME} characters", code="home.name")
    return name


def check_days(
    role: MemberRole, from_on: date | None, until_on: date | None, *, now: datetime
) -> None:
    """Refuse days that do not fit together, or for who manages the home.

    Raises:
        Invalid: they do not.
    """
    if any(day is not None and day.year not in YEARS for day in (from_on, until_on)):
        raise Invalid("days are of this century", code="home.day_far")
    if role is MemberRole.MANAGE and (from_on or until_on):
        raise Invalid("who manages a home does so without an end", code="home.days_of_manager")
    begins = max(from_on or billing_date(now), billing_date(now))
    if until_on is not None and until_on < begins:
        raise Invalid("the last day is before the first, or past", code="home.days")


def seen_from(
    role: MemberRole, from_on: date | None, *, earlier_bills: bool, now: datetime
) -> tuple[bool, date | None]:
    """Return whether somebody sees bills of before their first day, and that day.

    Who manages a home sees all that it sees. Who is not to see earlier bills and has no first day
    begins today.
    """
    if earlier_bills or role is MemberRole.MANAGE:
        return True, from_on
    return False, from_on or billing_date(now)


def add_home(
    session: Session, person_id: int, *, name: str, kind: HomeKind, now: datetime
) -> Household:
    """Make another home that this person manages.

    Raises:
        Invalid: no name, or a long one.
        TooMany: they have twenty.
    """
    session.get_one(Person, person_id, with_for_update={"key_share": True})
    if len(list_households(session, person_id)) >= MOST_HOMES:
        raise TooMany(f"{MOST_HOMES} homes at most", code="home.too_many")
    home = create_household(session, name=read_name(name), owner_id=person_id, now=now)
    home.kind = kind
    return home


def rename(session: Session, person_id: int, household_id: int, name: str) -> None:
    """Give a home another name (Raises NotFound, NotAllowed, Invalid)."""
    manage(session, person_id, household_id).name = read_name(name)


def remove_home(session: Session, person_id: int, household_id: int, *, now: datetime) -> None:
    """Remove an empty home. Its row stays without a name: past autopay and notices refer to it.

    Raises:
        NotFound: no home of theirs.
        NotAllowed: they do not manage it.
        Conflict: it has accounts or other people.
    """
    home = manage(session, person_id, household_id)
    others = [row for row in _rows(session, household_id) if row.person_id != person_id]
    bound = select(HouseholdAccount).where(HouseholdAccount.household_id == household_id)
    if others or session.exec(bound.limit(1)).first() is not None:
        raise Conflict(
            "this home still has accounts or other people: take them out first",
            code="home.not_empty",
        )
    home.name = ""
    session.flush()
    for statement in _EMPTIED:
        session.execute(text(statement), {"household_id": household_id, "now": now})


def change_role(
    session: Session,
    by: int,
    household_id: int,
    person_id: int,
    *,
    role: MemberRole,
    from_on: date | None = None,
    until_on: date | None = None,
    earlier_bills: bool | None = None,
    now: datetime,
) -> None:
    """Change what somebody of the home may do, and until when.

    Args:
        earlier_bills: also of before ``from_on``; None: as it was.

    Raises:
        NotFound: no home of theirs, or nobody of it.
        NotAllowed: they do not manage it.
        Invalid: days that do not fit.
        Conflict: nobody would manage the home any more.
    """
    manage(session, by, household_id)
    check_days(role, from_on, until_on, now=now)
    row = _member(session, household_id, person_id)
    if row.role is MemberRole.MANAGE and role is not MemberRole.MANAGE:
        _check_manager_left(session, household_id, without=person_id)
    earlier = row.earlier_bills if earlier_bills is None else earlier_bills
    row.earlier_bills, from_on = seen_from(role, from_on, earlier_bills=earlier, now=now)
    row.role, row.from_on, row.until_on = role, from_on, until_on
    session.flush()


def remove(session: Session, by: int, household_id: int, person_id: int) -> None:
    """Take somebody out of the home.

    Raises:
        NotFound: no home of theirs, or nobody of it.
        NotAllowed: they do not manage it.
        Conflict: nobody would manage the home any more.
    """
    manage(session, by, household_id)
    _take_out(session, household_id, person_id)


def leave(session: Session, person_id: int, household_id: int) -> None:
    """Leave a home.

    Raises:
        NotFound: no home of theirs.
        Conflict: nobody else manages it: make somebody else do so first, or remove the home.
    """
    session.get(Household, household_id, with_for_update={"key_share": True})
    standing(session, person_id, household_id)
    _take_out(session, household_id, person_id)


def _take_out(session: Session, household_id: int, person_id: int) -> None:
    row = _member(session, household_id, person_id)
    if row.role is MemberRole.MANAGE:
        _check_manager_left(session, household_id, without=person_id)
    session.delete(row)
    session.flush()


def _member(session: Session, household_id: int, person_id: int) -> HouseholdMember:
    row = session.get(HouseholdMember, (household_id, person_id), populate_existing=True)
    if row is None:
        raise NotFound("there is nobody like that in this home")
    return row


def _rows(session: Session, household_id: int) -> Sequence[HouseholdMember]:
    found = select(HouseholdMember).where(HouseholdMember.household_id == household_id)
    return session.exec(found.order_by(col(HouseholdMember.person_id))).all()


def _check_manager_left(session: Session, household_id: int, *, without: int) -> None:
    rows = _rows(session, household_id)
    if not any(one.role is MemberRole.MANAGE and one.person_id != without for one in rows):
        raise Conflict(
            "a home needs somebody who manages it: make somebody else do so first",
            code="home.last_manager",
        )


def go_from_all(session: Session, person_id: int, *, now: datetime) -> None:
    """Take somebody out of every home, for good; a home nobody is left in keeps nothing.

    Raises:
        Conflict: nobody would manage one of them any more.
    """
    mine = select(HouseholdMember).where(HouseholdMember.person_id == person_id)
    for row in session.exec(mine.order_by(col(HouseholdMember.household_id))).all():
        home = session.get_one(Household, row.household_id, with_for_update={"key_share": True})
        if len(_rows(session, row.household_id)) > 1:
            _take_out(session, row.household_id, person_id)
            continue
        home.name = ""
        session.flush()
        for statement in _EMPTIED:
            session.execute(text(statement), {"household_id": row.household_id, "now": now})


# In this order: the trigger wants whoever manages a home to be the last thing in it.
_EMPTIED = (
    "DELETE FROM household_account WHERE household_id = :household_id",
    "DELETE FROM removed_account WHERE household_id = :household_id",
    "UPDATE house_move SET new_address = '-', phone = '', cancelled_at = "
    "CASE WHEN done_at IS NULL THEN coalesce(cancelled_at, :now) END "
    "WHERE household_id = :household_id",
    "UPDATE home_invitation SET state = 'withdrawn', decided_at = :now "
    "WHERE household_id = :household_id AND state = 'waiting'",
    "DELETE FROM household_member WHERE household_id = :household_id",
)


def list_over(session: Session, *, now: datetime) -> list[int]:
    """Return whose days in a home ended within the last week."""
    today = billing_date(now)
    over = select(HouseholdMember.person_id).where(
        col(HouseholdMember.until_on) < today,
        col(HouseholdMember.until_on) >= today - timedelta(days=7),
    )
    return list(session.exec(over.distinct().order_by(col(HouseholdMember.person_id))))


def managed_with_others(session: Session, person_id: int) -> list[Home]:
    """Return the homes with other people in which nobody else manages, the first first."""
    return [
        one.home
        for one in list_standings(session, person_id)
        if one.manages
        and len(rows := _rows(session, one.home.id)) > 1
        and not any(row.role is MemberRole.MANAGE and row.person_id != person_id for row in rows)
    ]
