"""What a resident asks or complains of: written from any page, read and answered back here."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid, NotFound
from providers.registry import PROVIDERS
from support import complaints
from support.about import about_page, find_about
from support.complaints import Asked
from support.listing import list_own
from support.models import MOST_WORDS, TO_PERSON, Complaint, Kind
from web import look
from web.access import Caller, Db, Resident
from web.errors import status_of
from web.inputs import PLAIN, Csrf
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.complaints import deadlines, refusal, row_of

router = APIRouter(prefix="/complaints")
Number = Annotated[str, Path(max_length=40, pattern=PLAIN)]
# A line end comes as two characters: the domain counts them as one.
Words = Annotated[str, Form(max_length=2 * MOST_WORDS, pattern=PLAIN, default_factory=str)]
Line = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]
PAGE = 20


@router.get("")
def show_complaints(
    request: Request, db: Db, caller: Resident, after: After = None
) -> Response:  # fmt: skip
    found = list_own(db, caller.id, after=after, limit=PAGE + 1)
    shown, locale, now = found[:PAGE], locale_of(request), utc_now()
    return page(
        request,
        "complaints.html",
        rows=[row_of(locale, one, now=now) for one in shown],
        paged=after is not None,
        next_id=shown[-1].id if len(found) > PAGE else None,
    )


@router.get("/new")
def show_form(
    request: Request,
    db: Db,
    caller: Resident,
    at: Annotated[str, Query(alias="from", max_length=200, pattern=PLAIN)] = "",
) -> Response:
    """Show the form; what the page one came from is about is taken over, if it is theirs."""
    about = about_page(at)
    kind = Kind.COMPLAINT if about else Kind.QUESTION
    return _form(request, db, caller, Asked(kind, about, "", secrets.token_urlsafe(12)))


def _form(
    request: Request,
    session: Session,
    caller: Caller,
    typed: Asked,
    *,
    refused: CityBillError | None = None,
) -> Response:
    locale = locale_of(request)
    own = _own_label(session, locale, caller, typed.about)
    choices = [(typed.about, own)] if own else []
    choices += [(f"company:{code}", provider_name(locale, code)) for code in PROVIDERS]
    return page(
        request,
        "complaint_new.html",
        status_code=status_of(refused) if refused else 200,
        typed=typed,
        kinds=[one.value for one in Kind],
        days=deadlines().days,
        choices=choices,
        most=MOST_WORDS,
        error=refusal(locale, refused) if refused else None,
    )


def _own_label(session: Session, locale: str, caller: Caller, about: str) -> str:
    """Say which bill or payment of theirs it is about; nothing, if it is none."""
    if not about.startswith(("bill:", "payment:")):
        return ""
    try:
        found = find_about(session, caller.id, about, today=billing_date(utc_now()))
    except NotFound:
        return ""
    if found.provider_code is None:
        return look.say(locale, "The payment you were looking at")
    name = provider_name(locale, found.provider_code)
    return look.say(locale, "The bill of %(company)s you were looking at", company=name)


@router.post("")
def send(
    request: Request,
    db: Db,
    caller: Resident,
    csrf: Csrf,
    kind: Line,
    about: Line,
    words: Words,
    key: Line,
) -> Response:
    check_form(request, csrf)
    typed = Asked(Kind(kind) if kind in {*Kind} else Kind.QUESTION, about, words, key)
    try:
        if kind not in {*Kind}:
            raise Invalid("choose what it is", code="complaint.kind")
        with transaction() as session:
            made = complaints.receive(
                session, caller.id, typed._replace(key=key or secrets.token_urlsafe(12)),
                deadlines=deadlines(), now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        return _form(request, db, caller, typed, refused=refused)
    return go(f"/complaints/{made.number}?sent=1")


@router.get("/{number}")
def show_complaint(
    request: Request,
    number: Number,
    db: Db,
    caller: Resident,
    sent: Annotated[str, Query(max_length=1, pattern=PLAIN)] = "",
) -> Response:
    return _page(request, db, complaints.find_own(db, caller.id, number), sent=bool(sent))


def _page(
    request: Request,
    session: Session,
    one: Complaint,
    *,
    sent: bool = False,
    words: str = "",
    refused: CityBillError | None = None,
) -> Response:
    locale, now = locale_of(request), utc_now()
    return page(
        request,
        "complaint.html",
        status_code=status_of(refused) if refused else 200,
        one=row_of(locale, one, now=now),
        entries=[each for each in complaints.entries_of(session, one) if each.said in TO_PERSON],
        owner_id=one.person_id,
        may_write=one.waits or complaints.may_reopen(one, now=now),
        sent=sent,
        words=words,
        most=MOST_WORDS,
        error=refusal(locale, refused) if refused else None,
    )


@router.post("/{number}/words")
def write(
    request: Request, number: Number, db: Db, caller: Resident, csrf: Csrf, words: Words
) -> Response:
    """Add something, or have what was answered looked at again."""
    check_form(request, csrf)
    one = complaints.find_own(db, caller.id, number)
    try:
        with transaction() as session:
            complaints.write(
                session, caller.id, number, words, deadlines=deadlines(), now=utc_now()
            )
    except CityBillError as refused:
        return _page(request, db, one, words=words, refused=refused)
    return go(f"/complaints/{number}#last")


@router.post("/{number}/close")
def close(request: Request, number: Number, db: Db, caller: Resident, csrf: Csrf) -> Response:
    check_form(request, csrf)
    complaints.close_own(db, caller.id, number, now=utc_now())
    return go(f"/complaints/{number}")
