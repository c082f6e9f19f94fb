"""A utility's own pages: what the city's staff passed to it, to be answered to them."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.models import UtilityAccount
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from identity import audit
from identity.audit import Deed, Subject
from support import complaints
from support.listing import PAGE, company_answered, list_passed
from support.models import MOST_WORDS, Complaint, Said
from web.access import Caller, Db, Operator
from web.errors import status_of
from web.inputs import Csrf
from web.pages.complaints import Number, Words
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.complaints import refusal, row_of

router = APIRouter(prefix="/company/complaints")


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


@router.get("")
def show_complaints(
    request: Request, db: Db, caller: Operator, after: After = None
) -> Response:  # fmt: skip
    locale, now = locale_of(request), utc_now()
    found = list_passed(db, _code(caller), after=after, limit=PAGE + 1)
    shown = found[:PAGE]
    answered = company_answered(db, shown)
    return page(
        request,
        "company/complaints.html",
        company_name=provider_name(locale, _code(caller)),
        rows=[row_of(locale, one, now=now) | {"answered": one.id in answered} for one in shown],
        paged=after is not None,
        next_id=shown[-1].id if len(found) > PAGE else None,
    )


@router.get("/{number}")
def show_complaint(request: Request, number: Number, db: Db, caller: Operator) -> Response:
    return _page(request, db, caller, complaints.find_passed(db, _code(caller), number))


def _page(
    request: Request,
    session: Session,
    caller: Caller,
    one: Complaint,
    *,
    words: str = "",
    refused: CityBillError | None = None,
) -> Response:
    """Show what was asked, the account it is about, and what went between staff and company."""
    locale, now, code = locale_of(request), utc_now(), _code(caller)
    audit.note(
        session, caller.id, Deed.COMPLAINT_SEEN, subject=Subject("complaint", one.number), now=now
    )
    account = session.get_one(UtilityAccount, one.account_id) if one.account_id else None
    return page(
        request,
        "company/complaint.html",
        status_code=status_of(refused) if refused else 200,
        company_name=provider_name(locale, code),
        one=row_of(locale, one, now=now),
        account_no=account.account_no if account and account.provider_code == code else "",
        entries=[
            each
            for each in complaints.entries_of(session, one)
            if each.provider_code == code or each.said in {Said.ASKED, Said.REOPENED}
        ],
        words=words,
        most=MOST_WORDS,
        error=refusal(locale, refused) if refused else None,
    )


@router.post("/{number}/words")
def say(
    request: Request, number: Number, db: Db, caller: Operator, csrf: Csrf, words: Words
) -> Response:
    """Answer the city's staff."""
    check_form(request, csrf)
    one = complaints.find_passed(db, _code(caller), number)
    try:
        with transaction() as session:
            complaints.company_says(
                session, number, words, company=_code(caller), by=caller.id, now=utc_now()
            )
    except CityBillError as refused:
        return _page(request, db, caller, one, words=words, refused=refused)
    return go(f"/company/complaints/{number}#last")
