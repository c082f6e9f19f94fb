"""What a resident asks or complains of, by API; and open figures of the service, for everybody."""

import secrets
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field

from billing.bills import format_ref
from core.clock import billing_date, utc_now
from support import complaints
from support.complaints import Asked
from support.indicators import list_indicators
from support.listing import entries_among, list_own
from support.models import MOST_WORDS, TO_PERSON, Complaint, ComplaintEntry, Kind, Said, State
from web.access import Anyone, Db, Resident
from web.inputs import PLAIN
from web.pages.words.complaints import deadlines

router = APIRouter(tags=["complaints"])


class ComplaintIn(BaseModel):
    """What somebody writes to us."""

    kind: Kind
    about: str = Field(
        default="", max_length=100, pattern=PLAIN,
        description="`bill:<id>`, `payment:<id>`, `company:<code>`; left out: none of these",
    )  # fmt: skip
    words: str = Field(max_length=2 * MOST_WORDS, pattern=PLAIN)


class SaidOut(BaseModel):
    said: Said
    by_you: bool
    words: str
    at: datetime


class ComplaintOut(BaseModel):
    number: str
    kind: Kind
    state: State
    company: str | None
    bill_id: str | None
    payment_id: str | None
    received_at: datetime
    answer_by: date
    answered_at: datetime | None
    entries: list[SaidOut]


class ComplaintsOut(BaseModel):
    complaints: list[ComplaintOut]
    next_cursor: int | None


@router.post("/complaints", status_code=201)
def create(
    body: ComplaintIn,
    db: Db,
    caller: Resident,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, pattern=PLAIN)
    ] = None,
) -> ComplaintOut:
    """Ask or complain. The same `Idempotency-Key` again is the same one."""
    asked = Asked(body.kind, body.about, body.words, idempotency_key or secrets.token_urlsafe(12))
    made = complaints.receive(db, caller.id, asked, deadlines=deadlines(), now=utc_now())
    return _out(made, complaints.entries_of(db, made))


@router.get("/complaints")
def list_complaints(
    db: Db,
    caller: Resident,
    cursor: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ComplaintsOut:
    """Return the caller's own with all that was said, the newest first."""
    found = list_own(db, caller.id, after=cursor, limit=limit + 1)
    shown = found[:limit]
    entries = entries_among(db, shown)
    return ComplaintsOut(
        complaints=[_out(one, entries[one.id or 0]) for one in shown],
        next_cursor=shown[-1].id if len(found) > limit else None,
    )


def _out(one: Complaint, entries: list[ComplaintEntry]) -> ComplaintOut:
    bill_id = None
    if one.account_id is not None and one.bill_id is not None:
        bill_id = format_ref((one.account_id, one.bill_id))
    return ComplaintOut(
        number=one.number, kind=one.kind, state=one.state, company=one.provider_code,
        bill_id=bill_id,
        payment_id=str(one.payment_id) if one.payment_id is not None else None,
        received_at=one.received_at, answer_by=one.due_on, answered_at=one.answered_at,
        entries=[
            SaidOut(said=each.said, by_you=each.person_id == one.person_id, words=each.words,
                    at=each.at)
            for each in entries if each.said in TO_PERSON
        ],
    )  # fmt: skip


class IndicatorOut(BaseModel):
    """A company's month; `docs/complaints.md` says how each figure is counted."""

    company: str | None
    month: date
    bills_issued: int
    bills_due: int
    bills_paid_in_time: int
    paid_in_time_per_mille: int | None
    write_offs: int
    write_offs_in_a_day: int
    complaints: int
    complaints_answered_in_time: int
    median_answer_minutes: int | None
    counted_at: datetime


class IndicatorsOut(BaseModel):
    indicators: list[IndicatorOut]


@router.get("/indicators", dependencies=[Anyone])
def indicators(db: Db) -> IndicatorsOut:
    """Return how the service went, by company and month; open to everybody."""
    rows = list_indicators(db, today=billing_date(utc_now()))
    return IndicatorsOut(
        indicators=[
            IndicatorOut.model_validate(
                one.model_dump()
                | {
                    "company": one.provider_code or None,
                    "paid_in_time_per_mille": (
                        one.bills_paid_in_time * 1_000 // one.bills_due if one.bills_due else None
                    ),
                }
            )
            for one in rows
        ]
    )
