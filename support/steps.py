"""What a complaint's person is told of: one step, read back from its entry.

Notices are made in a room beside this one: what they need is handed over by the job between them.
"""

from datetime import date, timedelta
from typing import NamedTuple

from sqlmodel import Session, col, select

from core.clock import billing_date
from payments.models import get_payment
from support.lapsing import WARNS_BEFORE
from support.models import Complaint, ComplaintEntry, Said

_TOPICS = {
    Said.ASKED: "complaint.received",
    Said.REOPENED: "complaint.received",
    Said.ANSWERED: "complaint.answered",
    Said.CLOSED: "complaint.closed",
    Said.LAPSING: "complaint.lapsing",
    Said.LAPSED: "complaint.closed",
}


class Step(NamedTuple):
    """One step: ``answer`` is what was said, ``day`` the last one for it, or the one it came."""

    event: str
    subject_ref: str
    person_id: int
    number: str
    provider_code: str | None
    month: date | None  # of the bill
    paid_on: date | None  # of the payment: the day it was begun
    answer: str
    day: date


def find_step(session: Session, entry_id: int) -> Step:
    """Return a step that its person is told of."""
    entry = session.get_one(ComplaintEntry, entry_id)
    one = session.get_one(Complaint, entry.complaint_id)
    asked = entry.said in {Said.ASKED, Said.REOPENED}
    payment = get_payment(session, one.payment_id) if one.payment_id is not None else None
    return Step(
        event=_TOPICS[entry.said], subject_ref=str(entry.id), person_id=one.person_id,
        number=one.number, provider_code=one.provider_code,
        month=one.month, paid_on=billing_date(payment.created_at) if payment else None,
        answer="" if asked else entry.words or _last_answer(session, one),
        day=one.due_on if asked else _day(entry),
    )  # fmt: skip


def _day(entry: ComplaintEntry) -> date:
    """Return the day a step came; of a warning, the day it warns of."""
    warning = WARNS_BEFORE if entry.said is Said.LAPSING else timedelta()
    return billing_date(entry.at + warning)


def _last_answer(session: Session, one: Complaint) -> str:
    answers = select(ComplaintEntry.words).where(
        ComplaintEntry.complaint_id == one.id, ComplaintEntry.said == Said.ANSWERED
    )
    return session.exec(answers.order_by(col(ComplaintEntry.id).desc()).limit(1)).first() or ""
