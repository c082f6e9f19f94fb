"""What each of the staff may do: duties, given by two people and taken by one.

An admin proposes, another gives; nobody acts on their own. So no single person can make the two
that a refund needs. The command line gives alone: whoever has the server is the second person
where a city has one admin, or none yet.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    func,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from core.db import UtcDateTime, text_enum
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from identity.audit import Deed, note, person_subject
from identity.models import Person, Role


class Duty(StrEnum):
    SERVICE = "service"  # residents, payments, refunds, chargebacks
    FINANCE = "finance"  # reconciliation, differences, bank, remittance, days, ledger
    SETUP = "setup"  # companies' profiles and terms, bill files
    ADMIN = "admin"  # users, the audit log


class StaffDuty(SQLModel, table=True):
    """A duty of somebody: proposed, given, taken. Kept for ever; given again is another row."""

    __tablename__ = "staff_duty"
    __table_args__ = (
        CheckConstraint(
            "(given_at IS NOT NULL OR given_by IS NULL) AND (taken_at IS NOT NULL OR taken_by IS"
            " NULL)", name="whole",
        ),
        CheckConstraint(
            "given_by <> proposed_by AND given_by <> person_id", name="given_by_another"
        ),
        CheckConstraint(
            "proposed_by <> person_id AND taken_by <> person_id", name="nobodys_own"
        ),
        Index(
            "ix_staff_duty_stands", "person_id", "duty", unique=True,
            postgresql_where=text("taken_at IS NULL"),
        ),
        Index(
            "ix_staff_duty_waits", "id",
            postgresql_where=text("taken_at IS NULL AND given_at IS NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    duty: Duty = Field(sa_column=Column(text_enum(Duty), nullable=False))
    # Who; none: the command line.
    proposed_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True)
    )
    proposed_at: datetime = Field(sa_type=UtcDateTime)
    given_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True)
    )
    given_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # The end of it, or of a proposal that was declined or withdrawn.
    taken_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True)
    )
    taken_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def lock_duties(session: Session) -> None:
    """Have one change of duties at a time: two admins who end each other would leave none."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('staff.duties'))"))


def duties_of(session: Session, person_id: int) -> frozenset[Duty]:
    """Return what somebody may do now."""
    live = select(StaffDuty).where(StaffDuty.person_id == person_id, *_LIVE)
    return frozenset(one.duty for one in session.exec(live))


def duties_among(session: Session, person_ids: Iterable[int]) -> dict[int, list[StaffDuty]]:
    """Return what stands of each of these people, given or proposed, in the order of duties."""
    standing = select(StaffDuty).where(
        col(StaffDuty.person_id).in_(list(person_ids)), col(StaffDuty.taken_at).is_(None)
    )
    order = [*Duty]
    found: dict[int, list[StaffDuty]] = {}
    for one in sorted(session.exec(standing), key=lambda row: order.index(row.duty)):
        found.setdefault(one.person_id, []).append(one)
    return found


def duty_history(session: Session, person_id: int) -> list[StaffDuty]:
    """Return every duty somebody ever had or was proposed for, the newest first."""
    theirs = select(StaffDuty).where(StaffDuty.person_id == person_id)
    return list(session.exec(theirs.order_by(col(StaffDuty.id).desc())))


def proposed_duties(session: Session) -> list[StaffDuty]:
    """Return every duty that waits for a second admin, the oldest first."""
    waiting = select(StaffDuty).where(*_WAITS).order_by(col(StaffDuty.id))
    return list(session.exec(waiting))


def count_admins(session: Session) -> int:
    """Return how many people may give duties now."""
    admins = select(func.count()).select_from(StaffDuty).where(StaffDuty.duty == Duty.ADMIN, *_LIVE)
    return session.exec(admins).one()


def propose_duty(
    session: Session, person_id: int, duty: Duty, *, by: int, now: datetime
) -> StaffDuty:
    """Propose that one of the staff gets a duty; another admin gives it.

    Raises:
        NotFound: no such person.
        NotAllowed: it is oneself.
        Invalid: not one of the staff, or ended.
        Conflict: they have it, or it waits already.
    """
    lock_duties(session)
    _refuse_others(session, person_id)
    if by == person_id:
        raise NotAllowed("nobody changes their own duties: ask another admin", code="duty.own")
    if _standing(session, person_id, duty) is not None:
        raise Conflict("they have this duty already, or it is proposed", code="duty.stands")
    row = _add(session, person_id, duty, by=by, now=now)
    _note(session, row, Deed.DUTY_PROPOSED, by=by, now=now)
    return row


def give_proposed(session: Session, duty_id: int, *, by: int, now: datetime) -> StaffDuty:
    """Give what another admin proposed; given again, nothing changes.

    Raises:
        NotFound: no such proposal.
        NotAllowed: one's own, or for oneself.
        Conflict: it was declined, withdrawn or taken since.
    """
    lock_duties(session)
    row = _get(session, duty_id)
    if row.taken_at is not None:
        raise Conflict("this proposal does not stand any more", code="duty.over")
    if by in {row.proposed_by, row.person_id}:
        raise NotAllowed(
            "a duty is given by an admin who neither proposed nor gets it", code="duty.same_person"
        )
    if row.given_at is None:
        row.given_by, row.given_at = by, now
        _note(session, row, Deed.DUTY_GIVEN, by=by, now=now)
    return row


def give_duty(session: Session, person_id: int, duty: Duty, *, now: datetime) -> StaffDuty:
    """Give a duty from the command line, alone; a proposal that waits is answered by it.

    Raises:
        NotFound: no such person.
        Invalid: not one of the staff, or ended.
    """
    lock_duties(session)
    _refuse_others(session, person_id)
    row = _standing(session, person_id, duty)
    if row is None:
        row = _add(session, person_id, duty, by=None, now=now)
    if row.given_at is None:
        row.given_at = now
        _note(session, row, Deed.DUTY_GIVEN, by=None, now=now)
    return row


def take_duty(session: Session, duty_id: int, *, by: int | None, now: datetime) -> StaffDuty:
    """Take a duty, or decline or withdraw the proposal of one; at once, and again changes nothing.

    Raises:
        NotFound: no such duty.
        NotAllowed: one's own.
        Conflict: it would leave nobody to give duties.
    """
    lock_duties(session)
    row = _get(session, duty_id)
    if by == row.person_id:
        raise NotAllowed("nobody changes their own duties: ask another admin", code="duty.own")
    if row.taken_at is None:
        given = row.given_at is not None
        if given and row.duty is Duty.ADMIN and count_admins(session) == 1:
            raise Conflict(
                "this is the last admin: give somebody else that duty first", code="duty.last_admin"
            )
        row.taken_by, row.taken_at = by, now
        _note(session, row, Deed.DUTY_TAKEN if given else Deed.DUTY_DECLINED, by=by, now=now)
    return row


_LIVE = (col(StaffDuty.given_at).is_not(None), col(StaffDuty.taken_at).is_(None))
_WAITS = (col(StaffDuty.given_at).is_(None), col(StaffDuty.taken_at).is_(None))


def _refuse_others(session: Session, person_id: int) -> None:
    """Refuse who can have no duties.

    Raises:
        NotFound: no such person.
        Invalid: not one of the staff, or ended.
    """
    person = session.get(Person, person_id, populate_existing=True)
    if person is None:
        raise NotFound("there is no such person")
    if person.role is not Role.STAFF:
        raise Invalid("only the city's own staff have duties", code="duty.not_staff")
    if person.ended_at is not None:
        raise Invalid("their access has ended: let them in again first", code="person.ended")


def _add(
    session: Session, person_id: int, duty: Duty, *, by: int | None, now: datetime
) -> StaffDuty:
    row = StaffDuty(person_id=person_id, duty=duty, proposed_by=by, proposed_at=now)
    session.add(row)
    session.flush()
    return row


def _note(session: Session, row: StaffDuty, what: Deed, *, by: int | None, now: datetime) -> None:
    subject = person_subject(row.person_id)
    note(session, by, what, subject=subject, detail={"duty": row.duty.value}, now=now)


def _standing(session: Session, person_id: int, duty: Duty) -> StaffDuty | None:
    stands = select(StaffDuty).where(
        StaffDuty.person_id == person_id, StaffDuty.duty == duty, col(StaffDuty.taken_at).is_(None)
    )
    return session.exec(stands).one_or_none()


def _get(session: Session, duty_id: int) -> StaffDuty:
    row = session.get(StaffDuty, duty_id, populate_existing=True)
    if row is None:
        raise NotFound("there is no such duty")
    return row
