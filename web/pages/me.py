"""One's own page: who we take one for, where one is signed in, one's data, and leaving for good."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from core import crypto
from core.clock import utc_now
from core.errors import CityBillError
from core.masking import mask_contact
from core.settings import settings
from identity import leaving, sign_in
from identity.colleagues import live_sessions
from identity.people import get_person, set_name
from notifications.choice.browsers import forget_others
from notifications.notices import send_sign_in_code
from support import own_data
from web.access import Caller, Db, Resident
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Text
from web.look import say
from web.own_data import export
from web.pages.filters import number_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.push import PUSH_COOKIE
from web.pages.words.homes import in_words

router = APIRouter(prefix="/me")
Done = Annotated[str, Query(max_length=20, pattern=PLAIN)]
LEAVING_WORDS = ("注销", "erase")


@router.get("")
def show_me(request: Request, db: Db, caller: Resident, done: Done = "") -> Response:
    now = utc_now()
    sessions = live_sessions(db, caller.id, now=now)
    own = crypto.fingerprint(caller.token)
    me = get_person(db, caller.id)
    return page(
        request,
        "me.html",
        me=me,
        contact_masked=mask_contact(me.contact or ""),
        email_masked=mask_contact(me.email) if me.email else "",
        done=done,
        sessions=[(one, one.token_hash == own) for one in sessions],
        erasure=leaving.find_erasure(db, caller.id),
    )


@router.post("/name")
def rename(request: Request, db: Db, caller: Resident, csrf: Csrf, name: Text = "") -> Response:
    check_form(request, csrf)
    set_name(db, caller.id, name)
    return go("/me?done=named")


@router.post("/sign-out-others")
def sign_out_others(request: Request, db: Db, caller: Resident, csrf: Csrf) -> Response:
    """End every sign-in but this one, and all else by which somebody may look."""
    check_form(request, csrf)
    leaving.end_others(db, caller.id, caller.token, now=utc_now())
    this = number_of(request.cookies.get(PUSH_COOKIE, ""))
    forget_others(db, caller.id, this, now=utc_now())
    return go("/me?done=signed_out")


@router.post("/code")
def send_code(
    request: Request, db: Db, caller: Resident, csrf: Csrf, what: Text = "export"
) -> Response:
    """Send a code to who is signed in: is it still they who sit here?"""
    check_form(request, csrf)
    step = "leave" if what == "leave" else "export"
    try:
        send_sign_in_code(db, caller.contact, secret=_secret(), now=utc_now())
    except CityBillError as refused:
        return _step(request, db, caller, step, refused=refused)
    return go(f"/me/{step}?done=sent")


@router.get("/export")
def show_export(request: Request, db: Db, caller: Resident, done: Done = "") -> Response:
    return _step(request, db, caller, "export", sent=done == "sent")


@router.post("/export")
def take_export(
    request: Request, db: Db, caller: Resident, csrf: Csrf, code: Text = ""
) -> Response:
    """Give all we hold of somebody as a file."""
    check_form(request, csrf)
    now = utc_now()
    if not _is_they(db, caller, code):
        return _step(request, db, caller, "export", sent=True, wrong_code=True)
    try:
        leaving.take_turn(db, caller.id, now=now)
    except CityBillError as refused:
        return _step(request, db, caller, "export", refused=refused)
    return export(caller.id, now=now)


@router.get("/leave")
def show_leave(request: Request, db: Db, caller: Resident, done: Done = "") -> Response:
    return _step(request, db, caller, "leave", sent=done == "sent")


@router.post("/leave")
def leave(
    request: Request, db: Db, caller: Resident, csrf: Csrf, code: Text = "", word: Text = ""
) -> Response:
    """Have one's data erased in a week: with a code, and the word typed out."""
    check_form(request, csrf)
    if word.strip().lower() not in LEAVING_WORDS:
        return _step(request, db, caller, "leave", sent=True, wrong_word=True)
    if not _is_they(db, caller, code):
        return _step(request, db, caller, "leave", sent=True, wrong_code=True)
    try:
        own_data.ask_to_leave(db, caller.id, now=utc_now())
    except CityBillError as refused:
        return _step(request, db, caller, "leave", refused=refused)
    return go("/me?done=leaving")


@router.post("/stay")
def stay(request: Request, db: Db, caller: Resident, csrf: Csrf) -> Response:
    check_form(request, csrf)
    leaving.stay(db, caller.id)
    return go("/me?done=staying")


def _step(
    request: Request,
    session: Session,
    caller: Caller,
    step: str,
    *,
    sent: bool = False,
    wrong_code: bool = False,
    wrong_word: bool = False,
    refused: CityBillError | None = None,
) -> Response:
    """Show how far somebody is on the way to their data, or out."""
    locale, problem = locale_of(request), ""
    if wrong_code:
        problem = say(locale, "That code is wrong or too old. Check it, or ask for a new one.")
    if wrong_word:
        problem = say(locale, "Type the word as it stands there.")
    if step == "leave" and refused is None:
        try:
            own_data.check_may_leave(session, caller.id)
        except CityBillError as not_now:
            refused = not_now
    wrong = wrong_code or wrong_word
    return page(
        request,
        f"me_{step}.html",
        status_code=status_of(refused)
        if refused and not wrong and _posted(request)
        else 422
        if wrong
        else 200,
        sent=sent,
        problem=problem,
        refused=in_words(locale, refused) if refused else "",
        a_day=leaving.EXPORTS_A_DAY,
        days=leaving.THINK_IT_OVER.days,
        minutes=sign_in.CODE_MINUTES,
        words=LEAVING_WORDS,
    )


def _posted(request: Request) -> bool:
    return request.method == "POST"


def _is_they(session: Session, caller: Caller, code: str) -> bool:
    """Tell whether a code is theirs; a wrong one is counted."""
    found = sign_in.check_code(session, caller.contact, code, secret=_secret(), now=utc_now())
    return found is not None and found.id == caller.id


def _secret() -> str:
    return settings().secret_key.get_secret_value()
