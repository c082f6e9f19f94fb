"""The staff console: what residents ask and complain of, taken by one clerk and answered in time.

Whoever has taken one sees it; anybody else says why they look. Each look is in the audit log.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from core.masking import mask_name
from identity import audit
from identity.audit import Deed, Subject
from identity.colleagues import names_of
from identity.people import get_person
from providers.registry import PROVIDERS
from support import complaints
from support.listing import (
    PAGE,
    Wanted,
    company_answered,
    every_complaint,
    find_complaints,
    wrote_back,
)
from support.models import MOST_WORDS, Complaint, ComplaintEntry, Kind, State
from web import look
from web.access import Caller, Db, Service
from web.errors import status_of
from web.exports import Cell, export, read_rows
from web.inputs import Csrf
from web.pages import looking
from web.pages.complaints import Line, Number, Words
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind, Word, number_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.complaints import kind_name, refusal, row_of, state_name

router = APIRouter(prefix="/console/complaints")
_FIELDS = ("answer", "note", "passed", "company", "closing")  # of the forms on its page
_ANY = "any"  # none in the address means what waits for us


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(
        self, state: Word = "", what: Word = "", company: Word = "", overdue: Word = "",
        mine: Word = "",
    ) -> None:  # fmt: skip
        self.typed = {
            "state": state, "what": what, "company": company, "overdue": overdue, "mine": mine,
        }  # fmt: skip
        self._wanted = Wanted(
            state=one_of(State, state) if state != _ANY else None, every=state == _ANY,
            kind=one_of(Kind, what), company=company or None,
            overdue_at=utc_now() if overdue else None,
        )  # fmt: skip

    def wanted(self, caller: Caller) -> Wanted:
        """Return which complaints somebody asks for."""
        return self._wanted._replace(taken_by=caller.id if self.typed["mine"] else None)

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_complaints(
    request: Request, db: Db, caller: Service, asked: Filter, after: After = None
) -> Response:
    return _list_page(request, db, caller, asked, after=after)


def _list_page(
    request: Request,
    session: Session,
    caller: Caller,
    asked: Asked,
    *,
    after: int | None = None,
    refused: CityBillError | None = None,
) -> Response:
    locale, now = locale_of(request), utc_now()
    found = find_complaints(session, asked.wanted(caller), after=after, limit=PAGE + 1)
    shown = found[:PAGE]
    names = names_of(session, [one.taken_by for one in shown])
    answered, wrote = company_answered(session, shown), wrote_back(session, shown)
    return page(
        request,
        "console/complaints.html",
        status_code=status_of(refused) if refused else 200,
        rows=[
            row_of(locale, one, now=now)
            | {
                "taken_by": names.get(one.taken_by or 0),
                "holder_id": one.taken_by,
                "mine": one.taken_by == caller.id,
                "company_answered": one.id in answered,
                "wrote_back": one.id in wrote,
            }
            for one in shown
        ],
        states=[(one.value, state_name(locale, one)) for one in State],
        kinds=[(one.value, kind_name(locale, one)) for one in Kind],
        companies=_companies(locale),
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > PAGE else None,
        error=refusal(locale, refused) if refused else None,
    )


def _companies(locale: str) -> list[tuple[str, str]]:
    return [(code, provider_name(locale, code)) for code in PROVIDERS]


@router.get(".{kind}")
def export_complaints(
    request: Request, kind: FileKind, db: Db, caller: Service, asked: Filter
) -> StreamingResponse:
    """Take the list out: how each stands, and nothing of whose it is or what they wrote."""
    locale, now = locale_of(request), utc_now()
    audit.note_export(db, caller.id, "complaints", kind, asked.query(), now=now)

    def read(session: Session) -> Iterator[list[Cell]]:
        for some in every_complaint(session, asked.wanted(caller)):
            names = names_of(session, [one.taken_by for one in some])
            for one in some:
                row = row_of(locale, one, now=now)
                yield [
                    one.number, kind_name(locale, one.kind), state_name(locale, one.state),
                    row["company"], row["passed_to"], one.received_at, one.due_on,
                    one.answered_at, one.state_at, one.reopened, names.get(one.taken_by or 0),
                ]  # fmt: skip

    head = [
        look.say(locale, "Number"), look.say(locale, "Kind"), look.say(locale, "State"),
        look.say(locale, "Company"), look.say(locale, "Passed on to"), look.say(locale, "Received"),
        look.say(locale, "Answer by"), look.say(locale, "Answered"), look.say(locale, "Since"),
        look.say(locale, "Reopened"), look.say(locale, "With"),
    ]  # fmt: skip
    return export(kind, name="complaints", head=head, rows=read_rows(read))


@router.get("/{number}")
def show_complaint(request: Request, number: Number, db: Db, caller: Service) -> Response:
    one = complaints.find_complaint(db, number)
    return _page(request, db, caller, one)


def _page(
    request: Request,
    session: Session,
    caller: Caller,
    one: Complaint,
    *,
    typed: dict[str, str] | None = None,
    refused: CityBillError | None = None,
) -> Response:
    subject = Subject("complaint", one.number)
    mine = one.taken_by == caller.id
    reason = looking.reason_for(session, caller, subject)
    if reason is None and not mine:
        return looking.ask_why(
            request, f"/console/complaints/{one.number}", back=f"/console/complaints/{one.number}"
        )
    looking.note_look(session, caller, Deed.COMPLAINT_SEEN, subject, reason)
    locale, now = locale_of(request), utc_now()
    entries = complaints.entries_of(session, one)
    names = names_of(session, [one.taken_by, *(each.person_id for each in entries)])
    return page(
        request,
        "console/complaint.html",
        status_code=status_of(refused) if refused else 200,
        one=row_of(locale, one, now=now),
        person_id=one.person_id,
        name_masked=mask_name(get_person(session, one.person_id).name),
        mine=mine,
        holder_id=one.taken_by,
        holder=names.get(one.taken_by or 0),
        reopened=one.reopened,
        entries=[_entry(locale, each, names, one.person_id) for each in entries],
        companies=_companies(locale),
        most=MOST_WORDS,
        typed=dict.fromkeys(_FIELDS, "") | (typed or {}),
        error=refusal(locale, refused) if refused else None,
    )


def _entry(
    locale: str, each: ComplaintEntry, names: dict[int, str], owner_id: int
) -> dict[str, Any]:
    return {
        "said": each.said.value, "at": each.at, "words": each.words,
        "who": "" if each.person_id == owner_id else names.get(each.person_id, ""),
        "company": provider_name(locale, each.provider_code) if each.provider_code else "",
    }  # fmt: skip


@router.post("/{number}/reason")
def say_why(
    request: Request,
    number: Number,
    db: Db,
    caller: Service,
    csrf: Csrf,
    reason: Line,
    words: Words,
    back: Line,
) -> Response:
    check_form(request, csrf)
    one = complaints.find_complaint(db, number)
    return looking.take_reason(
        request, db, caller, Subject("complaint", one.number),
        at=f"/console/complaints/{number}", back=back, reason=reason, words=words,
    )  # fmt: skip


@router.post("/{number}/take")
def take(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, instead_of: Line
) -> Response:
    """Take it, or take it over from the one the page said has it."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            complaints.take(
                session, number, by=caller.id, instead_of=number_of(instead_of), now=utc_now()
            )
    except CityBillError as refused:
        return _list_page(request, db, caller, Asked(), refused=refused)
    return go(f"/console/complaints/{number}")


Act = Callable[[Session], None]


def _act(
    request: Request, session: Session, caller: Caller, number: str, act: Act, **typed: str
) -> Response:
    """Do something about it and show it again; refused, with what was typed."""
    try:
        with transaction() as own:
            act(own)
    except CityBillError as refused:
        one = complaints.find_complaint(session, number)
        return _page(request, session, caller, one, typed=typed, refused=refused)
    return go(f"/console/complaints/{number}#last")


@router.post("/{number}/answer")
def answer(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, words: Words
) -> Response:
    check_form(request, csrf)
    return _act(
        request, db, caller, number,
        lambda own: complaints.answer(own, number, words, by=caller.id, now=utc_now()),
        answer=words,
    )  # fmt: skip


@router.post("/{number}/note")
def note(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, words: Words
) -> Response:
    check_form(request, csrf)
    return _act(
        request, db, caller, number,
        lambda own: complaints.note(own, number, words, by=caller.id, now=utc_now()),
        note=words,
    )  # fmt: skip


@router.post("/{number}/company")
def pass_on(
    request: Request,
    number: Number,
    db: Db,
    caller: Service,
    csrf: Csrf,
    company: Line,
    words: Words,
) -> Response:
    check_form(request, csrf)
    return _act(
        request, db, caller, number,
        lambda own: complaints.pass_on(own, number, company, words, by=caller.id, now=utc_now()),
        passed=words, company=company,
    )  # fmt: skip


@router.post("/{number}/close")
def close(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, words: Words
) -> Response:
    check_form(request, csrf)
    return _act(
        request, db, caller, number,
        lambda own: complaints.close(own, number, words, by=caller.id, now=utc_now()),
        closing=words,
    )  # fmt: skip
