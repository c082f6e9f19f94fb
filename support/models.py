"""Rows of complaints and questions, what was said about each, and the figures of the service."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from core.clock import billing_date
from core.db import UtcDateTime, text_enum
from core.errors import IllegalTransition
from core.keys import month_of

MOST_WORDS = 2_000
MOST_REOPENED = 2


class Kind(StrEnum):
    QUESTION = "question"
    COMPLAINT = "complaint"
    FAULT = "fault"  # something of a company's does not work


class State(StrEnum):
    RECEIVED = "received"
    IN_HAND = "in_hand"  # one clerk has it
    ANSWERED = "answered"
    CLOSED = "closed"


_S = State
MOVES: Mapping[State, frozenset[State]] = {
    _S.RECEIVED: frozenset({_S.IN_HAND, _S.CLOSED}),
    _S.IN_HAND: frozenset({_S.ANSWERED, _S.CLOSED}),
    _S.ANSWERED: frozenset({_S.IN_HAND, _S.CLOSED}),
    _S.CLOSED: frozenset({_S.RECEIVED, _S.IN_HAND}),  # reopened: to whoever had it, if anybody
}
WAITING = (State.RECEIVED, State.IN_HAND)  # for us to answer


class Said(StrEnum):
    """What an entry is."""

    ASKED = "asked"
    REOPENED = "reopened"
    ANSWERED = "answered"
    CLOSED = "closed"
    TAKEN = "taken"
    NOTE = "note"  # among staff
    PASSED = "passed"  # to a company, with what is wanted of it
    COMPANY = "company"  # what the company says, to staff
    LAPSING = "lapsing"  # its person was told that it closes soon
    LAPSED = "lapsed"  # closed, because nobody said a word about the answer


TO_PERSON = frozenset({Said.ASKED, Said.REOPENED, Said.ANSWERED, Said.CLOSED, Said.LAPSED})


class Complaint(SQLModel, table=True):
    """A question, complaint or fault a resident wrote to us of.

    ``provider_code`` is the company it is about, if it is about one; ``passed_to`` the one that was
    asked for help. ``due_at`` is when this round is to be answered, ``first_due_at`` and
    ``answered_at`` are of the first one: they count.
    """

    __tablename__ = "complaint"
    __table_args__ = (
        UniqueConstraint("person_id", "request_key"),
        CheckConstraint("(account_id IS NULL) = (bill_id IS NULL)", name="bill_whole"),
        CheckConstraint("num_nonnulls(bill_id, payment_id) <= 1", name="about_one_thing"),
        CheckConstraint("bill_id IS NULL OR provider_code IS NOT NULL", name="bill_has_company"),
        CheckConstraint(f"reopened BETWEEN 0 AND {MOST_REOPENED}", name="reopened_seldom"),
        CheckConstraint(
            "state NOT IN ('in_hand', 'answered') OR taken_by IS NOT NULL", name="taken_by_somebody"
        ),
        CheckConstraint(
            "state <> 'answered' OR answered_at IS NOT NULL", name="answer_says_when"
        ),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
        Index("ix_complaint_person_id_id", "person_id", "id"),
        Index(
            "ix_complaint_waiting", "due_at", "id",
            postgresql_where=text("state IN ('received', 'in_hand')"),
        ),
        Index(
            "ix_complaint_passed", "passed_to", "id",
            postgresql_where=text("passed_to IS NOT NULL"),
        ),
        Index("ix_complaint_received_at", "received_at"),
        Index(
            "ix_complaint_held", "taken_by", "id",
            postgresql_where=text("state IN ('received', 'in_hand')"),
        ),
        Index(
            "ix_complaint_answered", "state_at", "id",
            postgresql_where=text("state = 'answered'"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    request_key: str  # the same sent twice is one
    kind: Kind = Field(sa_column=Column(text_enum(Kind), nullable=False))
    account_id: int | None = Field(default=None, sa_type=BigInteger)
    bill_id: int | None = Field(default=None, sa_type=BigInteger)
    payment_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("payment.id"))
    )
    provider_code: str | None = None
    state: State = Field(default=State.RECEIVED, sa_column=Column(text_enum(State), nullable=False))
    state_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    first_due_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    taken_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    passed_to: str | None = None
    reopened: int = Field(default=0, sa_type=SmallInteger)

    @property
    def number(self) -> str:
        """Return its number for people: the day it came, and which it is: C20261121-000042."""
        return f"C{billing_date(self.received_at):%Y%m%d}-{self.id:06d}"

    @property
    def due_on(self) -> date:
        """Return the last day for an answer."""
        return billing_date(self.due_at - timedelta(seconds=1))

    @property
    def month(self) -> date | None:
        """Return the billing month of the bill it is about, if it is about one."""
        return month_of(self.bill_id) if self.bill_id is not None else None

    @property
    def waits(self) -> bool:
        """Tell whether it waits for us."""
        return self.state in WAITING

    def is_overdue(self, *, now: datetime) -> bool:
        return self.waits and self.due_at <= now

    def move_to(self, state: State, *, now: datetime) -> None:
        """Change the state by the table; the only writer of ``state``.

        Raises:
            IllegalTransition: there is no such move.
        """
        if state not in MOVES[self.state]:
            raise IllegalTransition(
                f"what is {self.state} cannot become {state}", code="complaint.state"
            )
        self.state, self.state_at = state, now


class ComplaintEntry(SQLModel, table=True):
    """One thing that was said or done about a complaint. The application may only add them."""

    __tablename__ = "complaint_entry"
    __table_args__ = (
        CheckConstraint(f"char_length(words) <= {MOST_WORDS}", name="words_short"),
        CheckConstraint(
            "words <> '' OR said IN ('taken', 'closed', 'lapsing', 'lapsed')", name="words_said"
        ),
        CheckConstraint(
            "(said IN ('passed', 'company')) = (provider_code IS NOT NULL)", name="says_company"
        ),
        Index("ix_complaint_entry_complaint_id_id", "complaint_id", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    complaint_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("complaint.id"), nullable=False)
    )
    at: datetime = Field(sa_type=UtcDateTime)
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    said: Said = Field(sa_column=Column(text_enum(Said), nullable=False))
    provider_code: str | None = None  # whom it was passed to, or whose answer it is
    words: str = ""


class ServiceIndicator(SQLModel, table=True):
    """How a company's bills, payments and complaints of one month went, counted by a job.

    What is about no company has an empty code. No row says anything of anybody:
    ``median_answer_minutes`` is none where few were answered.
    """

    __tablename__ = "service_indicator"

    provider_code: str = Field(primary_key=True)
    month: date = Field(primary_key=True)
    bills_issued: int = Field(sa_type=BigInteger)
    bills_due: int = Field(sa_type=BigInteger)
    bills_paid_in_time: int = Field(sa_type=BigInteger)
    write_offs: int = Field(sa_type=BigInteger)
    write_offs_in_a_day: int = Field(sa_type=BigInteger)
    complaints: int = Field(sa_type=Integer)
    complaints_answered_in_time: int = Field(sa_type=Integer)
    median_answer_minutes: int | None = Field(default=None, sa_type=Integer)
    counted_at: datetime = Field(sa_type=UtcDateTime)
