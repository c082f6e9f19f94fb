"""Complaints and questions: asked by a resident, taken by one clerk, answered in time, closed.

Each act locks the complaint's row before it reads its state and adds an entry. What its person is
to be told of is an event in the same transaction, whose subject is the entry.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func
from sqlmodel import Session, col, select

from billing.rules.calendars import add_working_days, check_calendar
from core.clock import billing_date, day_bounds
from core.errors import Conflict, Invalid, NotFound, TooMany
from core.outbox import emit
from identity.models import Person
from providers.registry import get_provider
from support.about import find_about
from support.models import (
    MOST_REOPENED,
    MOST_WORDS,
    Complaint,
    ComplaintEntry,
    Kind,
    Said,
    State,
)

MOST_A_DAY = 10  # of one person, and of their words about one
REOPEN_WITHIN = timedelta(days=15)
_NUMBER = re.compile(r"C[0-9]{8}-([0-9]{6,18})")
_LINE_END = re.compile(r"\r\n?")


class Deadlines(NamedTuple):
    """In how many working days of which calendar each kind is to be answered."""

    calendar: str
    days: Mapping[Kind, int]

    def check(self) -> None:
        """Make sure that there is such a calendar.

        Raises:
            Invalid: there is none.
        """
        if wrong := check_calendar(self.calendar):
            raise Invalid(f"complaint_calendar: {wrong}", code="settings.calendar")

    def due_at(self, kind: Kind, *, now: datetime) -> datetime:
        """Return the end of the last working day for an answer."""
        last_on = add_working_days(self.calendar, billing_date(now), self.days[kind])
        return day_bounds(last_on)[1]


class Asked(NamedTuple):
    """What somebody writes; ``about`` as ``support.about`` has it, ``key`` of its sending."""

    kind: Kind
    about: str
    words: str
    key: str


def receive(
    session: Session, person_id: int, asked: Asked, *, deadlines: Deadlines, now: datetime
) -> Complaint:
    """Take in what a resident writes; the same sent again is the one there is.

    Raises:
        NotFound: a bill or payment that is not theirs.
        Invalid: no words, too many, or about nothing there is.
        Conflict: something else under the same key.
        TooMany: more in a day than anybody has to ask.
    """
    words = _words(asked.words)
    about = find_about(session, person_id, asked.about, today=billing_date(now))
    session.exec(select(Person.id).where(Person.id == person_id).with_for_update(key_share=True))
    before = session.exec(
        select(Complaint).where(
            Complaint.person_id == person_id, Complaint.request_key == asked.key
        )
    ).one_or_none()
    if before is not None:
        return _same(session, before, asked.kind, words)
    _check_patience(session, person_id, now=now)
    due_at = deadlines.due_at(asked.kind, now=now)
    made = Complaint(
        person_id=person_id, request_key=asked.key, kind=asked.kind, **about._asdict(),
        state_at=now, received_at=now, first_due_at=due_at, due_at=due_at,
    )  # fmt: skip
    session.add(made)
    session.flush()
    entry = _add(session, made, person_id, Said.ASKED, words, now=now)
    emit(session, "complaint.received", entry.id, now=now)
    return made


def _same(session: Session, before: Complaint, kind: Kind, words: str) -> Complaint:
    first = entries_of(session, before)[0]
    if (before.kind, first.words) != (kind, words):
        raise Conflict("something else was sent under this key", code="idempotency.other_body")
    return before


def _check_patience(session: Session, person_id: int, *, now: datetime) -> None:
    lately = select(func.count()).where(
        col(Complaint.person_id) == person_id, col(Complaint.received_at) > now - timedelta(days=1)
    )
    if session.exec(lately).one() >= MOST_A_DAY:
        raise TooMany("so many in one day: please call 12345", code="complaint.too_many")


def write(
    session: Session,
    person_id: int,
    number: str,
    words: str,
    *,
    deadlines: Deadlines,
    now: datetime,
) -> Complaint:
    """Add what its person has to say; what was answered or closed is reopened by it.

    Raises:
        NotFound: not theirs.
        Invalid: no words, or too many.
        Conflict: it was reopened twice, or its answer is fifteen days old.
        TooMany: they wrote of it ten times within a day.
    """
    said = _words(words)
    one = _lock_own(session, person_id, number)
    _check_entries(session, one, person_id, now=now)
    if one.waits:
        _add(session, one, person_id, Said.ASKED, said, now=now)
        return one
    if not may_reopen(one, now=now):
        raise Conflict("it cannot be reopened any more: write anew", code="complaint.over")
    one.move_to(State.RECEIVED if one.taken_by is None else State.IN_HAND, now=now)
    one.reopened += 1
    one.due_at, one.passed_to = deadlines.due_at(one.kind, now=now), None
    entry = _add(session, one, person_id, Said.REOPENED, said, now=now)
    emit(session, "complaint.received", entry.id, now=now)
    return one


def _check_entries(session: Session, one: Complaint, person_id: int, *, now: datetime) -> None:
    lately = select(func.count()).where(
        ComplaintEntry.complaint_id == one.id, ComplaintEntry.person_id == person_id,
        col(ComplaintEntry.at) > now - timedelta(days=1),
    )  # fmt: skip
    if session.exec(lately).one() >= MOST_A_DAY:
        raise TooMany("so many in one day: please call 12345", code="complaint.too_many")


def may_reopen(one: Complaint, *, now: datetime) -> bool:
    """Tell whether its person may still reopen what was answered or closed."""
    return not one.waits and one.reopened < MOST_REOPENED and now < one.state_at + REOPEN_WITHIN


def close_own(session: Session, person_id: int, number: str, *, now: datetime) -> None:
    """Let its person close it; closed already, it stays so.

    Raises:
        NotFound: not theirs.
    """
    one = _lock_own(session, person_id, number)
    if one.state is not State.CLOSED:
        one.move_to(State.CLOSED, now=now)
        _add(session, one, person_id, Said.CLOSED, "", now=now)


def take(
    session: Session, number: str, *, by: int, instead_of: int | None, now: datetime
) -> Complaint:
    """Let a clerk have it, in place of nobody or of the one they saw has it.

    Raises:
        NotFound: there is none.
        Conflict: somebody else was faster, or it does not wait any more.
    """
    one = _lock(session, number)
    if one.taken_by == by and one.state is State.IN_HAND:
        return one
    if not one.waits or one.taken_by != instead_of:
        raise Conflict("somebody else has taken it in the meantime", code="complaint.taken")
    if one.state is State.RECEIVED:
        one.move_to(State.IN_HAND, now=now)
    one.taken_by = by
    _add(session, one, by, Said.TAKEN, "", now=now)
    return one


def answer(session: Session, number: str, words: str, *, by: int, now: datetime) -> None:
    """Answer its person.

    Raises:
        NotFound: there is none.
        Invalid: no words, or too many.
        Conflict: the clerk does not have it, or it is closed.
    """
    said = _words(words)
    one = _lock_held(session, number, by=by)
    if one.state is State.CLOSED:
        raise Conflict("it does not wait for an answer any more", code="complaint.not_waiting")
    if one.state is not State.ANSWERED:  # something forgotten may be added
        one.answered_at = one.answered_at or now
        one.move_to(State.ANSWERED, now=now)
    entry = _add(session, one, by, Said.ANSWERED, said, now=now)
    emit(session, "complaint.answered", entry.id, now=now)


def note(session: Session, number: str, words: str, *, by: int, now: datetime) -> None:
    """Keep something among staff.

    Raises:
        NotFound: there is none.
        Invalid: no words, or too many.
    """
    _add(session, _lock(session, number), by, Said.NOTE, _words(words), now=now)


def pass_on(
    session: Session, number: str, company: str, words: str, *, by: int, now: datetime
) -> None:
    """Let a company see it and say something to staff; another one sees it no more.

    Raises:
        NotFound: there is no such complaint, or company.
        Invalid: no words, or too many.
        Conflict: the clerk does not have it, or it does not wait any more.
    """
    said = _words(words)
    code = get_provider(company).code
    one = _lock_held(session, number, by=by)
    if not one.waits:
        raise Conflict("it does not wait for an answer any more", code="complaint.not_waiting")
    one.passed_to, one.provider_code = code, one.provider_code or code
    _add(session, one, by, Said.PASSED, said, company=code, now=now)


def company_says(
    session: Session, number: str, words: str, *, company: str, by: int, now: datetime
) -> None:
    """Keep what a company says of what was passed to it.

    Raises:
        NotFound: it was not passed to this company.
        Invalid: no words, or too many.
        Conflict: it does not wait for an answer any more.
    """
    said = _words(words)
    one = _lock(session, number)
    if one.passed_to != company:
        raise NotFound("there is no such complaint")
    if not one.waits:
        raise Conflict("it does not wait for an answer any more", code="complaint.not_waiting")
    _add(session, one, by, Said.COMPANY, said, company=company, now=now)


def close(session: Session, number: str, words: str, *, by: int, now: datetime) -> None:
    """Close what was answered; words are optional.

    Raises:
        NotFound: there is none.
        Invalid: too many words.
        Conflict: the clerk does not have it, or nobody has answered.
    """
    said = _words(words) if words.strip() else ""
    one = _lock_held(session, number, by=by)
    if one.state is not State.ANSWERED:
        raise Conflict("answer it before you close it", code="complaint.not_answered")
    one.move_to(State.CLOSED, now=now)
    entry = _add(session, one, by, Said.CLOSED, said, now=now)
    emit(session, "complaint.closed", entry.id, now=now)


def find_complaint(session: Session, number: str) -> Complaint:
    """Return a complaint by its number.

    Raises:
        NotFound: there is none.
    """
    found = session.get(Complaint, _id_of(number))
    if found is None or found.number != number:
        raise NotFound("there is no such complaint")
    return found


def find_own(session: Session, person_id: int, number: str) -> Complaint:
    """Return a complaint of somebody's.

    Raises:
        NotFound: there is none, or it is not theirs.
    """
    found = find_complaint(session, number)
    if found.person_id != person_id:
        raise NotFound("there is no such complaint")
    return found


def find_passed(session: Session, company: str, number: str) -> Complaint:
    """Return a complaint that was passed to a company.

    Raises:
        NotFound: there is none, or it was not.
    """
    found = find_complaint(session, number)
    if found.passed_to != company:
        raise NotFound("there is no such complaint")
    return found


def entries_of(session: Session, one: Complaint) -> list[ComplaintEntry]:
    """Return all that was said and done about it, in order."""
    wanted = select(ComplaintEntry).where(ComplaintEntry.complaint_id == one.id)
    return list(session.exec(wanted.order_by(col(ComplaintEntry.id))))


def _lock(session: Session, number: str) -> Complaint:
    wanted = select(Complaint).where(Complaint.id == _id_of(number)).with_for_update()
    found = session.exec(wanted.execution_options(populate_existing=True)).one_or_none()
    if found is None or found.number != number:
        raise NotFound("there is no such complaint")
    return found


def _id_of(number: str) -> int:
    found = _NUMBER.fullmatch(number)
    if found is None:
        raise NotFound("there is no such complaint")
    return int(found[1])


def _lock_own(session: Session, person_id: int, number: str) -> Complaint:
    one = _lock(session, number)
    if one.person_id != person_id:
        raise NotFound("there is no such complaint")
    return one


def _lock_held(session: Session, number: str, *, by: int) -> Complaint:
    one = _lock(session, number)
    if one.taken_by != by:
        raise Conflict("take it before you do something about it", code="complaint.not_yours")
    return one


def _words(typed: str) -> str:
    """Return what somebody typed, line ends of one kind."""
    words = _LINE_END.sub("\n", typed).strip()
    if not words:
        raise Invalid("write a few words", code="complaint.no_words")
    if len(words) > MOST_WORDS:
        raise Invalid(f"write {MOST_WORDS} characters at most", code="complaint.too_long")
    return words


def _add(
    session: Session,
    one: Complaint,
    by: int,
    said: Said,
    words: str,
    *,
    company: str | None = None,
    now: datetime,
) -> ComplaintEntry:
    assert one.id is not None
    entry = ComplaintEntry(
        complaint_id=one.id, at=now, person_id=by, said=said, provider_code=company, words=words
    )
    session.add(entry)
    session.flush()
    return entry
