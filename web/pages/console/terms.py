"""The staff console: companies' terms, proposed by one person and approved by another."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing import terms
from billing.terms import ProviderTerms, TermsState
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from identity import audit
from identity.people import get_person
from providers.registry import Provider
from web import look
from web.access import Caller, Db, Setup
from web.errors import status_of
from web.exports import Cell, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.console.companies import find_companies, page_of
from web.pages.file_views import provider_name
from web.pages.filters import FileKind, Word, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.terms import refusal

router = APIRouter(prefix="/console/terms")
# Left empty is no fault of the form's: the page says what is missing and keeps the rest.
Line = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Toml = Annotated[str, Form(max_length=20_000, pattern=PLAIN, default_factory=str)]


class Standing(StrEnum):
    """How a company's terms stand."""

    AHEAD = "ahead"  # others are proposed, or approved for a day that comes
    PLAINEST = "plainest"  # nothing is in force


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, words: Word = "", standing: Word = "") -> None:
        self.typed = {"words": words, "standing": standing}
        self.standing = one_of(Standing, standing)

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


class OfCompany(NamedTuple):
    """A company with the terms in force and those ahead, the nearest first."""

    company: Provider
    current: ProviderTerms | None
    coming: list[tuple[ProviderTerms, TermsState]]


def _lines(session: Session, asked: Asked) -> list[OfCompany]:
    today = billing_date(utc_now())
    found = find_companies(asked.typed["words"])
    current = terms.in_force(session, [one.code for one in found], today)
    coming: defaultdict[str, list[tuple[ProviderTerms, TermsState]]] = defaultdict(list)
    for row, state in terms.list_ahead(session, today=today):
        coming[row.provider_code].append((row, state))
    lines = [OfCompany(one, current.get(one.code), coming[one.code]) for one in found]
    match asked.standing:
        case Standing.AHEAD:
            return [one for one in lines if one.coming]
        case Standing.PLAINEST:
            return [one for one in lines if one.current is None]
        case None:
            return lines


@router.get("")
def show_companies(
    request: Request, db: Db, _caller: Setup, asked: Filter, after: Word = ""
) -> Response:
    lines = {one.company.code: one for one in _lines(db, asked)}
    shown, next_code = page_of((one.company for one in lines.values()), after)
    return page(
        request,
        "console/terms.html",
        companies=[
            {
                "code": one.code,
                "name": provider_name(locale_of(request), one.code),
                "since": current.effective_on if current else None,
                "coming": [_row(*each) for each in coming],
            }
            for one, current, coming in (lines[each.code] for each in shown)
        ],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=bool(after),
        next_code=next_code,
    )


@router.get(".{kind}")
def export_companies(
    request: Request, kind: FileKind, db: Db, caller: Setup, asked: Filter
) -> StreamingResponse:
    locale = locale_of(request)
    audit.note_export(db, caller.id, "terms", kind, asked.query(), now=utc_now())

    def read(session: Session) -> Iterator[list[Cell]]:
        for one, current, coming in _lines(session, asked):
            known: list[Cell] = [one.code, provider_name(locale, one.code)]
            known += [current.effective_on, current.reason] if current else [None, None]
            if not coming:
                yield [*known, None, None, None]
            for row, state in coming:
                yield [*known, row.effective_on, _state_name(locale, state), row.reason]

    head = [
        look.say(locale, "Code"), look.say(locale, "Company"), look.say(locale, "In force since"),
        look.say(locale, "Why"), look.say(locale, "Ahead"), look.say(locale, "State"),
        look.say(locale, "Why ahead"),
    ]  # fmt: skip
    return export(kind, name="terms", head=head, rows=read_rows(read))


def _state_name(locale: str, state: TermsState) -> str:
    return look.macro_text(locale, "parts/ui.html", "terms_pill", state.value)


def _row(row: ProviderTerms, state: TermsState) -> dict[str, Any]:
    """Return terms as the templates show them."""
    return row.model_dump() | {"state": state.value}


@router.get("/{code}")
def show_company(request: Request, code: str, db: Db, _caller: Setup) -> Response:
    return _company_page(request, db, code, typed=None, refused=None)


@router.post("/{code}")
def propose_terms(
    request: Request,
    code: str,
    db: Db,
    caller: Setup,
    csrf: Csrf,
    content: Toml,
    effective_on: Line,
    reason: Line,
) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            proposed = terms.propose(
                session, provider_code=code, content=content, effective_on=_day(effective_on),
                reason=reason, proposed_by=caller.id, now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        typed = {"content": content, "effective_on": effective_on, "reason": reason}
        return _company_page(request, db, code, typed=typed, refused=refused)
    return go(f"/console/terms/changes/{proposed.id}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise Invalid("write the first day as 2027-01-31", code="terms.day") from None


def _company_page(
    request: Request,
    session: Session,
    code: str,
    *,
    typed: dict[str, str] | None,
    refused: CityBillError | None,
) -> Response:
    """Show a company's terms and the form for others, with what somebody has typed already."""
    name, today = provider_name(locale_of(request), code), billing_date(utc_now())
    rows = terms.history(session, code, today=today)
    current = next((row for row, state in rows if state is TermsState.IN_FORCE), None)
    tomorrow = (today + timedelta(days=1)).isoformat()
    content = current.content if current else ""
    return page(
        request,
        "console/terms_company.html",
        status_code=status_of(refused) if refused else 200,
        code=code,
        company_name=name,
        current=current,
        rows=[_row(*each) for each in rows],
        tomorrow=tomorrow,
        typed=typed or {"content": content, "effective_on": tomorrow, "reason": ""},
        error=refusal(locale_of(request), refused),
    )


@router.get("/changes/{terms_id}")
def show_terms(request: Request, terms_id: Id, db: Db, caller: Setup) -> Response:
    return _terms_page(request, db, terms_id, caller, refused=None)


@router.post("/changes/{terms_id}/approval")
def approve_terms(
    request: Request, terms_id: Id, db: Db, caller: Setup, csrf: Csrf
) -> Response:  # fmt: skip
    check_form(request, csrf)
    approve = partial(terms.approve, approved_by=caller.id)
    return _decide(request, db, terms_id, caller, approve)


@router.post("/changes/{terms_id}/withdrawal")
def withdraw_terms(
    request: Request, terms_id: Id, db: Db, caller: Setup, csrf: Csrf
) -> Response:  # fmt: skip
    check_form(request, csrf)
    return _decide(request, db, terms_id, caller, partial(terms.withdraw, by=caller.id))


def _decide(
    request: Request, db: Session, terms_id: int, caller: Caller, act: Callable[..., object]
) -> Response:
    """Approve or withdraw, and show what came of it or why not."""
    try:
        with transaction() as session:
            act(session, terms_id, now=utc_now())
    except CityBillError as refused:
        return _terms_page(request, db, terms_id, caller, refused=refused)
    return go(f"/console/terms/changes/{terms_id}")


def _terms_page(
    request: Request,
    session: Session,
    terms_id: int,
    caller: Caller,
    *,
    refused: CityBillError | None,
) -> Response:
    """Show terms with what they change, and to whom may, how to approve them."""
    row, today = terms.get_terms(session, terms_id), billing_date(utc_now())
    no = terms.why_not_approve(row, approved_by=caller.id, today=today)
    approver = None if row.approved_by is None else get_person(session, row.approved_by).name
    return page(
        request,
        "console/terms_one.html",
        status_code=status_of(refused) if refused else 200,
        company_name=provider_name(locale_of(request), row.provider_code),
        terms=_row(row, terms.state_of(session, row, today=today)),
        changes=terms.changes(session, row),
        proposer=get_person(session, row.proposed_by).name,
        approver=approver,
        may_approve=no is None,
        why_not=refusal(locale_of(request), no),
        error=refusal(locale_of(request), refused),
    )
