"""The staff console: companies' terms, proposed by one person and approved by another."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import terms
from billing.terms import ProviderTerms, TermsState
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from identity.people import get_person
from providers.registry import PROVIDERS
from web.access import Caller, Db, Setup
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.terms import refusal

router = APIRouter(prefix="/console/terms")
# Left empty is no fault of the form's: the page says what is missing and keeps the rest.
Line = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Toml = Annotated[str, Form(max_length=20_000, pattern=PLAIN, default_factory=str)]


@router.get("")
def show_companies(request: Request, db: Db, _caller: Setup) -> Response:
    today = billing_date(utc_now())
    current = terms.in_force(db, PROVIDERS, today)
    coming = terms.list_ahead(db, today=today)
    return page(
        request,
        "console/terms.html",
        companies=[
            {
                "code": one.code,
                "name": provider_name(locale_of(request), one.code),
                "since": current[one.code].effective_on if one.code in current else None,
                "coming": [_row(*each) for each in coming if each[0].provider_code == one.code],
            }
            for one in PROVIDERS.values()
        ],
    )


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
