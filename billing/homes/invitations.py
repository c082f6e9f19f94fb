"""Inviting people into a home: by phone or e-mail, with a role, and for so many days if need be.

Whoever is invited is a person from then on, so that they can be told and sign in; nobody who
invites learns whether they were one before. What they have not taken up in a week is over.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, text
from sqlmodel import Field, Session, SQLModel, col, func, select

from billing.homes.people import check_days, manage, seen_from
from billing.models import Household, HouseholdMember, MemberRole
from core.db import HotStatement, UtcDateTime, text_enum
from core.errors import Conflict, NotFound, TooMany
from core.masking import mask_contact, mask_name
from core.outbox import emit
from identity.models import Person, Role
from identity.people import add_person

LASTS = timedelta(days=7)
MOST_A_DAY = 10  # by one person, and of one home
MOST_TO_ONE = 3  # in a month, of one home
_LOOKED_AT = timedelta(days=60)  # how long who was invited may turn out to have never come


class InvitationState(StrEnum):
    WAITING = "waiting"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class HomeInvitation(SQLModel, table=True):
    """That somebody may come into a home; one at a time waits for a person and a home."""

    __tablename__ = "home_invitation"
    __table_args__ = (
        CheckConstraint("until_on >= from_on", name="ends_after_begin"),
        CheckConstraint(
            "role <> 'manage' OR (from_on IS NULL AND until_on IS NULL)", name="manages_for_good"
        ),
        CheckConstraint("earlier_bills OR from_on IS NOT NULL", name="earlier_until"),
        CheckConstraint("(state = 'waiting') = (decided_at IS NULL)", name="decided_says_when"),
        Index(
            "ix_home_invitation_waiting", "household_id", "person_id", unique=True,
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_home_invitation_mine", "person_id", postgresql_where=text("state = 'waiting'")
        ),
        Index("ix_home_invitation_by", "invited_by", "invited_at"),
        Index("ix_home_invitation_home", "household_id", "invited_at"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    household_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("household.id"), nullable=False)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    role: MemberRole = Field(sa_column=Column(text_enum(MemberRole), nullable=False))
    from_on: date | None = None
    until_on: date | None = None
    earlier_bills: bool = Field(default=True, sa_column_kwargs={"server_default": "true"})
    invited_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    invited_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    state: InvitationState = Field(
        default=InvitationState.WAITING,
        sa_column=Column(text_enum(InvitationState), nullable=False),
    )
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    def decide(self, state: InvitationState, *, now: datetime) -> None:
        self.state, self.decided_at = state, now


class Invited(NamedTuple):
    """An invitation as its home sees it: the contact as it was typed, masked, and no name."""

    id: int
    contact_masked: str
    role: MemberRole
    from_on: date | None
    until_on: date | None
    earlier_bills: bool
    expires_at: datetime


class Waiting(NamedTuple):
    """An invitation as whoever is invited sees it."""

    id: int
    household_name: str
    by_masked: str
    role: MemberRole
    from_on: date | None
    until_on: date | None
    earlier_bills: bool
    expires_at: datetime


def invite(
    session: Session,
    by: int,
    household_id: int,
    *,
    contact: str,
    role: MemberRole,
    from_on: date | None = None,
    until_on: date | None = None,
    earlier_bills: bool = True,
    now: datetime,
) -> HomeInvitation:
    """Invite whoever has this contact; asked again while it waits, it is the same invitation.

    Args:
        earlier_bills: also of before ``from_on``; without such a day, of before today.

    Raises:
        NotFound: no home of theirs.
        NotAllowed: they do not manage it.
        Invalid: not a phone nor an e-mail, or days that do not fit.
        Conflict: whoever it is belongs to the home already.
        TooMany: ten in a day, or three to the same contact in a month.
    """
    manage(session, by, household_id)
    # After the home's, as in an erasure: one's invitations into several homes wait in line, too.
    session.get_one(Person, by, with_for_update={"key_share": True})
    check_days(role, from_on, until_on, now=now)
    earlier_bills, from_on = seen_from(role, from_on, earlier_bills=earlier_bills, now=now)
    _check_number(session, by, household_id, now=now)
    person = add_person(session, role=Role.RESIDENT, name="", contact=contact, now=now)
    assert person.id is not None
    if session.get(HouseholdMember, (household_id, person.id)) is not None:
        raise Conflict("they belong to this home already", code="home.member_already")
    waiting = _waiting_of(session, household_id, person.id)
    if waiting is not None and waiting.expires_at > now:
        return waiting
    if waiting is not None:
        waiting.decide(InvitationState.EXPIRED, now=now)
        session.flush()
    _check_nagging(session, household_id, person.id, now=now)
    made = HomeInvitation(
        household_id=household_id, person_id=person.id, role=role, from_on=from_on,
        until_on=until_on, earlier_bills=earlier_bills, invited_by=by, invited_at=now,
        expires_at=now + LASTS,
    )  # fmt: skip
    session.add(made)
    session.flush()
    emit(session, "home.invited", made.id, now=now)
    return made


def _waiting_of(session: Session, household_id: int, person_id: int) -> HomeInvitation | None:
    return session.exec(
        select(HomeInvitation).where(
            HomeInvitation.household_id == household_id,
            HomeInvitation.person_id == person_id,
            HomeInvitation.state == InvitationState.WAITING,
        )
    ).one_or_none()


def _check_number(session: Session, by: int, household_id: int, *, now: datetime) -> None:
    """Refuse more than ten a day; who invites and the home are locked, so nobody slips by."""
    since = col(HomeInvitation.invited_at) > now - timedelta(days=1)
    for whose in (HomeInvitation.invited_by == by, HomeInvitation.household_id == household_id):
        made = session.exec(select(func.count()).select_from(HomeInvitation).where(whose, since))
        if made.one() >= MOST_A_DAY:
            raise TooMany("ten invitations a day at most: go on tomorrow", code="home.invitations")


def _check_nagging(session: Session, household_id: int, person_id: int, *, now: datetime) -> None:
    made = session.exec(
        select(func.count())
        .select_from(HomeInvitation)
        .where(
            HomeInvitation.household_id == household_id,
            HomeInvitation.person_id == person_id,
            col(HomeInvitation.invited_at) > now - timedelta(days=30),
        )
    )
    if made.one() >= MOST_TO_ONE:
        raise TooMany(
            "this contact was invited three times within a month: talk to each other first",
            code="home.invited_often",
        )


def withdraw(
    session: Session, by: int, household_id: int, invitation_id: int, *, now: datetime
) -> None:
    """Take an invitation back; of one that is decided nothing changes.

    Raises:
        NotFound: no home of theirs, or no invitation of it.
        NotAllowed: they do not manage it.
    """
    manage(session, by, household_id)
    row = session.get(HomeInvitation, invitation_id, with_for_update=True)
    if row is None or row.household_id != household_id:
        raise NotFound("there is no such invitation")
    if row.state is InvitationState.WAITING:
        row.decide(InvitationState.WITHDRAWN, now=now)


def accept(session: Session, person_id: int, invitation_id: int, *, now: datetime) -> int:
    """Come into the home one was invited to; returns its id. Accepted twice it is accepted once.

    Raises:
        NotFound: nobody invited them so.
        Conflict: it was withdrawn, is over, or whoever invited them no longer manages the home.
    """
    row = _mine(session, person_id, invitation_id)
    if row.state is InvitationState.ACCEPTED:
        return row.household_id
    _check_stands(session, row, now=now)
    if session.get(HouseholdMember, (row.household_id, person_id)) is None:
        session.add(
            HouseholdMember(
                household_id=row.household_id, person_id=person_id, role=row.role,
                from_on=row.from_on, until_on=row.until_on, earlier_bills=row.earlier_bills,
            )
        )  # fmt: skip
    row.decide(InvitationState.ACCEPTED, now=now)
    session.flush()
    emit(session, "home.joined", row.id, now=now)
    return row.household_id


def decline(session: Session, person_id: int, invitation_id: int, *, now: datetime) -> None:
    """Not come; nobody is told. Of what is decided nothing changes (Raises NotFound)."""
    row = _mine(session, person_id, invitation_id)
    if row.state is InvitationState.WAITING:
        row.decide(InvitationState.DECLINED, now=now)


def _mine(session: Session, person_id: int, invitation_id: int) -> HomeInvitation:
    """Return one's own invitation, its home locked before it: in the order of ``withdraw``."""
    found = session.get(HomeInvitation, invitation_id)
    if found is None or found.person_id != person_id:
        raise NotFound("there is no such invitation")
    session.get_one(Household, found.household_id, with_for_update={"key_share": True})
    session.refresh(found, with_for_update=True)
    return found


def _check_stands(session: Session, row: HomeInvitation, *, now: datetime) -> None:
    host = session.get(HouseholdMember, (row.household_id, row.invited_by))
    over = row.state is not InvitationState.WAITING or row.expires_at <= now
    if over or host is None or host.role is not MemberRole.MANAGE:
        raise Conflict("this invitation is over: ask for another one", code="home.invitation_over")


def list_invited(session: Session, household_id: int, *, now: datetime) -> list[Invited]:
    """Return the invitations of a home that wait, the newest first."""
    rows = session.exec(
        select(HomeInvitation, Person.contact)
        .join(Person, col(Person.id) == col(HomeInvitation.person_id))
        .where(
            HomeInvitation.household_id == household_id,
            HomeInvitation.state == InvitationState.WAITING,
            HomeInvitation.expires_at > now,
        )
        .order_by(col(HomeInvitation.id).desc())
    )
    return [
        Invited(
            row.id or 0, mask_contact(contact or ""), row.role, row.from_on, row.until_on,
            row.earlier_bills, row.expires_at,
        )
        for row, contact in rows
    ]  # fmt: skip


_WAITING = HotStatement("""
    SELECT i.id, h.name, p.name, i.role, i.from_on, i.until_on, i.earlier_bills, i.expires_at
    FROM home_invitation i
    JOIN household h ON h.id = i.household_id JOIN person p ON p.id = i.invited_by
    WHERE i.person_id = :person_id AND i.state = 'waiting' AND i.expires_at > :now
    ORDER BY i.id DESC
""")


def list_waiting(session: Session, person_id: int, *, now: datetime) -> list[Waiting]:
    """Return the invitations that wait for somebody's answer, the newest first."""
    return [
        Waiting(number, name, mask_name(by), MemberRole(role), *rest)
        for number, name, by, role, *rest in _WAITING.rows(
            session, {"person_id": person_id, "now": now}
        )
    ]


# Somebody who was entered by an invitation, never came and is of no home: nothing more is kept.
# Sessions are forgotten within days, so that none is there does not say that nobody came.
_NEVER_CAME = text("""
    SELECT DISTINCT i.person_id FROM home_invitation i JOIN person p ON p.id = i.person_id
    WHERE i.state IN ('declined', 'withdrawn', 'expired')
      AND i.expires_at <= :now AND i.expires_at > :since
      AND (CAST(:person_id AS bigint) IS NULL OR i.person_id = :person_id)
      AND p.name = '' AND p.role = 'resident'
      AND EXISTS (SELECT FROM home_invitation f
                  WHERE f.person_id = p.id AND f.invited_at = p.created_at)
      AND NOT EXISTS (SELECT FROM home_invitation o
                      WHERE o.person_id = p.id AND o.state = 'accepted')
      AND NOT EXISTS (SELECT FROM payment y WHERE y.payer_id = p.id)
      AND NOT EXISTS (SELECT FROM complaint c WHERE c.person_id = p.id)
      AND NOT EXISTS (SELECT FROM web_session s WHERE s.person_id = p.id)
      AND NOT EXISTS (SELECT FROM household_member m WHERE m.person_id = p.id)
      AND NOT EXISTS (SELECT FROM home_invitation o WHERE o.person_id = p.id
                      AND o.state = 'waiting')
    ORDER BY i.person_id LIMIT :limit
""")
_EXPIRE = text("""
    UPDATE home_invitation SET state = 'expired', decided_at = :now
    WHERE state = 'waiting' AND expires_at <= :now
""")


def end_old(session: Session, *, limit: int, now: datetime) -> list[int]:
    """End invitations whose week is over; return people who were entered by one and never came."""
    session.execute(_EXPIRE, {"now": now})
    return _never_came(session, None, limit=limit, now=now)


def never_came(session: Session, person_id: int, *, now: datetime) -> bool:
    """Tell whether somebody whom ``end_old`` told of still has not come; they are locked."""
    session.get_one(Person, person_id, with_for_update=True)
    return bool(_never_came(session, person_id, limit=1, now=now))


def _never_came(
    session: Session, person_id: int | None, *, limit: int, now: datetime
) -> list[int]:  # fmt: skip
    values = {"now": now, "since": now - _LOOKED_AT, "limit": limit, "person_id": person_id}
    return list(session.execute(_NEVER_CAME, values).scalars())
