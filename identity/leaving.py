"""Leaving for good: asked for, thought over for a week, then nobody is left to be recognised.

What is asked of the other rooms before and at the end is in ``support.own_data``. The person's row
stays, for the payments that need a payer, as a guest's is: no name, no contact, no sign-in.
"""

from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, func, select

from core import crypto
from core.clock import billing_date
from core.db import UtcDateTime, count_changed
from core.errors import NotAllowed, TooMany
from identity.calendar_links import end_links
from identity.models import Person, Role, WebSession
from identity.televisions import end_televisions

THINK_IT_OVER: Final = timedelta(days=7)
EXPORTS_A_DAY: Final = 3
FRESH: Final = timedelta(minutes=15)


class PersonErasure(SQLModel, table=True):
    """That somebody wants to leave, and when; taking it back deletes the row."""

    __tablename__ = "person_erasure"
    __table_args__ = (
        CheckConstraint("erase_at > asked_at", name="time_to_undo"),
        Index("ix_person_erasure_due", "erase_at", postgresql_where=text("done_at IS NULL")),
    )

    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True))
    asked_at: datetime = Field(sa_type=UtcDateTime)
    erase_at: datetime = Field(sa_type=UtcDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DataExport(SQLModel, table=True):
    """One of the three times a day somebody may take a copy of their data."""

    __tablename__ = "data_export"
    __table_args__ = (CheckConstraint(f"turn BETWEEN 1 AND {EXPORTS_A_DAY}", name="three_a_day"),)

    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True))
    made_on: date = Field(primary_key=True)
    turn: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    made_at: datetime = Field(sa_type=UtcDateTime)


def check_fresh(session: Session, token: str, *, now: datetime) -> None:
    """Refuse who signed in longer ago than a quarter of an hour: is it still they who ask?

    Raises:
        NotAllowed: sign in again first.
    """
    row = session.get_one(WebSession, crypto.fingerprint(token))
    if row.created_at <= now - FRESH:
        raise NotAllowed("sign in again, and ask within fifteen minutes", code="me.sign_in_again")


def take_turn(session: Session, person_id: int, *, now: datetime) -> None:
    """Use up one of a day's copies of one's data.

    Raises:
        TooMany: three were made today.
    """
    session.get_one(Person, person_id, with_for_update={"key_share": True})
    today = billing_date(now)
    made = session.exec(
        select(func.count())
        .select_from(DataExport)
        .where(DataExport.person_id == person_id, DataExport.made_on == today)
    ).one()
    if made >= EXPORTS_A_DAY:
        raise TooMany(
            f"{EXPORTS_A_DAY} copies of your data a day at most: go on tomorrow",
            code="me.exports",
        )
    session.add(DataExport(person_id=person_id, made_on=today, turn=made + 1, made_at=now))
    session.flush()


def ask_to_leave(session: Session, person_id: int, *, now: datetime) -> PersonErasure:
    """Have somebody's data erased in a week; asked again it stays on the day said first.

    Raises:
        NotAllowed: they work here, or at a company: an admin ends their access.
    """
    person = session.get_one(Person, person_id, with_for_update=True)
    if person.role is not Role.RESIDENT:
        raise NotAllowed(
            "this sign-in belongs to your work: ask an admin to end it", code="me.at_work"
        )
    session.execute(
        insert(PersonErasure)
        .values(person_id=person_id, asked_at=now, erase_at=now + THINK_IT_OVER)
        .on_conflict_do_nothing(index_elements=["person_id"])
    )
    return session.get_one(PersonErasure, person_id)


def find_erasure(session: Session, person_id: int) -> PersonErasure | None:
    """Return when somebody's data is to be erased, if they asked."""
    return session.get(PersonErasure, person_id)


def stay(session: Session, person_id: int) -> None:
    """Take it back; of who did not ask nothing changes."""
    row = session.get(PersonErasure, person_id, with_for_update=True)
    if row is not None and row.done_at is None:
        session.delete(row)
        session.flush()


def list_due(session: Session, *, limit: int, now: datetime) -> list[int]:
    """Return whose week is over, the first first."""
    due = select(PersonErasure.person_id).where(
        col(PersonErasure.done_at).is_(None), PersonErasure.erase_at <= now
    )
    ordered = due.order_by(col(PersonErasure.erase_at), col(PersonErasure.person_id))
    return list(session.exec(ordered.limit(limit)))


def is_due(session: Session, person_id: int, *, now: datetime) -> bool:
    """Tell whether somebody is still to be erased; until the transaction ends they cannot stay."""
    row = session.get(PersonErasure, person_id, with_for_update=True)
    return row is not None and row.done_at is None and row.erase_at <= now


WAYS_IN = (
    "sign_in_code", "web_session", "television_pairing", "television", "data_export",
    "calendar_link",
)  # fmt: skip


def end_others(session: Session, person_id: int, token: str, *, now: datetime) -> int:
    """Sign somebody out everywhere but in the browser that asks; returns of how many.

    Links for calendars and televisions end as well: whoever asks fears that somebody else has one.
    """
    end_links(session, person_id, now=now)
    end_televisions(session, person_id, now=now)
    ended = session.execute(
        text(
            "UPDATE web_session SET ended_at = :now"
            " WHERE person_id = :person_id AND ended_at IS NULL AND token_hash <> :own"
        ),
        {"person_id": person_id, "own": crypto.fingerprint(token), "now": now},
    )
    return count_changed(ended)


def erase(session: Session, person_id: int, *, now: datetime) -> None:
    """Make somebody nobody: no name, no contact, no way in. Erased again nothing changes."""
    person = session.get_one(Person, person_id, with_for_update=True)
    for table in WAYS_IN:
        session.execute(
            text(f"DELETE FROM {table} WHERE person_id = :person_id"),  # noqa: S608  our own names
            {"person_id": person_id},
        )
    person.role, person.name, person.contact, person.email = Role.GUEST, "", None, None
    person.ended_at = person.ended_at or now
    row = session.get(PersonErasure, person_id)
    if row is not None:
        row.done_at = row.done_at or now
    session.flush()
