"""The life of what a difference is about, from the bill to the bank, and what people did."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from identity.people import get_person
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair import story_sources
from payments.reconciliation.repair.deciding import list_acts
from payments.reconciliation.repair.models import Act, ActState, BreakAct

_FIRST = datetime.min.replace(tzinfo=UTC)  # before whatever has an hour on its day
_LAST = datetime.max.replace(tzinfo=UTC)  # after it: a day's net, and what a bank books
_AT_THE_END = ("due_", "entry")
_PAYMENT = text(story_sources.PAYMENT)
_TOLD = tuple(map(text, (
    story_sources.OF_PAYMENT, story_sources.LISTED, story_sources.IN_FILES, story_sources.MATCHED,
    story_sources.AT_THE_BANK, story_sources.OF_ACTS,
)))  # fmt: skip


class Step(NamedTuple):
    """One thing that happened; ``what`` names the sentence that tells it."""

    what: str
    on: date
    at: datetime | None = None  # none: only the day is known
    fen: int | None = None
    reference: str | None = None
    who: str | None = None
    note: str | None = None


def payment_of(session: Session, found: ReconciliationBreak) -> int | None:
    """Return the id of the payment a difference is about; None: of none of ours."""
    values = {"reference": found.reference, "break_id": found.id}
    payment_id: int | None = session.execute(_PAYMENT, values).scalar_one_or_none()
    return payment_id


def story_of(session: Session, found: ReconciliationBreak) -> list[Step]:
    """Return everything known about what a difference is about, from bill to bank, in order."""
    steps = [Step("found", billing_date(found.found_at), found.found_at)]
    values = {
        "payment_id": payment_of(session, found), "source": found.source, "day": found.day,
        "row_kind": found.row_kind, "reference": found.reference, "break_id": found.id,
    }  # fmt: skip
    for told in _TOLD:
        for row in session.execute(told, values):
            on = row.on if row.at is None else billing_date(row.at)
            steps.append(Step(row.what, on, row.at, row.fen, row.reference, note=row.note))
    assert found.id is not None
    for act in list_acts(session, found.id):
        steps += _steps_of(session, act)
    if found.closed_at is not None and found.state == "explained":
        steps.append(Step("explained", billing_date(found.closed_at), found.closed_at))
    return sorted(steps, key=lambda step: (step.on, step.at or _hour_of(step)))


def _hour_of(step: Step) -> datetime:
    return _LAST if step.what.startswith(_AT_THE_END) else _FIRST


def _steps_of(session: Session, act: BreakAct) -> list[Step]:
    def who(person_id: int | None) -> str | None:
        return None if person_id is None else get_person(session, person_id).name

    def step(what: str, at: datetime, by: int | None = None, note: str | None = None) -> Step:
        return Step(what, billing_date(at), at, who=who(by), note=note)

    waited = act.needs_two and act.act is not Act.UNDO
    what = f"{act.word}_proposed" if waited else act.word
    first = step(what, act.proposed_at, act.proposed_by, act.reason)
    steps = [first._replace(reference=act.target if act.act is Act.REMATCH else None)]
    if act.approved_at is not None:
        steps.append(step("approved", act.approved_at, act.approved_by))
    if act.state is ActState.DECLINED and act.declined_at is not None:
        steps.append(step("declined", act.declined_at, act.declined_by))
    if act.answered_at is not None:
        whose = "company_answered" if act.act is Act.REVERSE_WRITE_OFF else "answered"
        steps.append(step(whose, act.answered_at, note=act.answer))
    if act.undone_at is not None and act.undone_by is None:  # by a person it is an act of its own
        steps.append(step("taken_back", act.undone_at))
    return steps
