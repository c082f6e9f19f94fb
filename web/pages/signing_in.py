"""Signing in and out, and choosing a language."""

from contextlib import suppress
from typing import Annotated, NamedTuple

from fastapi import APIRouter, BackgroundTasks, Form, Query, Request
from fastapi.responses import Response
from sqlmodel import Session, col, select

from core.clock import utc_now
from core.db import transaction
from core.errors import TooMany
from core.masking import mask_contact
from core.settings import settings
from identity import sign_in
from identity.models import Person, Role
from identity.people import normalise_contact
from notifications.notices import send_sign_in_code
from web import look
from web.access import Anyone, Db, Visitor, cookie_name
from web.inputs import PLAIN, Csrf, Text
from web.pages.file_views import provider_name
from web.pages.guest import client_of
from web.pages.page import check_form, go, locale_of, page, remember_locale, safe_path
from web.pages.push import end_push

router = APIRouter()
Onward = Annotated[str, Query(alias="next", max_length=2000, pattern=PLAIN)]
Place = Annotated[str, Form(alias="next", max_length=2000, pattern=PLAIN)]
_HOMES = {Role.RESIDENT: "/", Role.STAFF: "/console", Role.OPERATOR: "/company"}
_DEMO_PEOPLE = 8


class DemoPerson(NamedTuple):
    contact: str
    name: str
    role_label: str


def _demo_people(session: Session, locale: str) -> list[DemoPerson]:
    if not settings().demo:
        return []
    labels = {
        Role.RESIDENT: look.say(locale, "Resident"),
        Role.STAFF: look.say(locale, "Customer service and finance"),
        Role.OPERATOR: look.say(locale, "Utility company"),
    }
    people = session.exec(
        select(Person)
        .where(col(Person.contact).is_not(None))
        .order_by(col(Person.id))
        .limit(_DEMO_PEOPLE)
    )
    return [
        DemoPerson(
            one.contact or "", one.name,
            provider_name(locale, one.provider_code) if one.provider_code else labels[one.role],
        )
        for one in people
    ]  # fmt: skip


@router.get("/sign-in", dependencies=[Anyone])
def show_sign_in(
    request: Request,
    db: Db,
    wanted: Onward = "",
) -> Response:
    people = _demo_people(db, locale_of(request))
    return page(request, "sign_in.html", contact="", error=None, demo_people=people, next=wanted)


@router.post("/sign-in", dependencies=[Anyone])
def ask_for_code(
    request: Request,
    db: Db,
    after: BackgroundTasks,
    csrf: Csrf,
    contact: Text,
    wanted: Place = "",
) -> Response:
    check_form(request, csrf)
    contact = normalise_contact(contact)
    if not contact:
        return page(
            request, "sign_in.html", status_code=422, contact="",
            error=look.say(locale_of(request), "Type your phone number or e-mail address."),
            demo_people=_demo_people(db, locale_of(request)), next=wanted,
        )  # fmt: skip
    secret = settings().secret_key.get_secret_value()
    sign_in.note_asking(client_of(request), secret=secret, now=utc_now())
    after.add_task(send_code, contact)
    return _code_page(request, contact, wanted, error=None)


def send_code(contact: str) -> None:
    """Send whoever has this contact a code; done once the answer has left.

    Before, the time an answer takes would tell whether anybody has it.
    """
    secret = settings().secret_key.get_secret_value()
    with suppress(TooMany), transaction() as session:
        send_sign_in_code(session, contact, secret=secret, now=utc_now())


def _code_page(request: Request, contact: str, wanted: str, *, error: str | None) -> Response:
    return page(
        request, "sign_in_code.html", status_code=422 if error else 200, contact=contact,
        contact_masked=mask_contact(contact), error=error, minutes=sign_in.CODE_MINUTES,
        next=wanted,
    )  # fmt: skip


@router.get("/sign-in/code", dependencies=[Anyone])
def no_code_yet() -> Response:
    return go("/sign-in")


@router.post("/sign-in/code", dependencies=[Anyone])
def use_code(
    request: Request, db: Db, csrf: Csrf, contact: Text, code: Text = "", wanted: Place = ""
) -> Response:
    check_form(request, csrf)
    secret = settings().secret_key.get_secret_value()
    person = sign_in.check_code_from(
        db, client_of(request), contact, code, secret=secret, now=utc_now()
    )
    if person is None:
        wrong = look.say(
            locale_of(request), "That code is wrong or too old. Check it, or ask for a new one."
        )
        return _code_page(request, contact, wanted, error=wrong)
    token, _row = sign_in.start_session(db, person, now=utc_now())
    answer = go(_first_page(person.role, wanted))
    answer.set_cookie(
        cookie_name(), token, httponly=True, samesite="lax", secure=not settings().demo, path="/"
    )
    return answer


def _first_page(role: Role, wanted: str) -> str:
    """Return where somebody wanted to go before they signed in, if it is a place of theirs."""
    area = next((home for home in ("/console", "/company") if wanted.startswith(home)), "/")
    return safe_path(wanted) if wanted and area == _HOMES[role] else _HOMES[role]


@router.post("/sign-out")
def sign_out(request: Request, db: Db, caller: Visitor, csrf: Csrf) -> Response:
    check_form(request, csrf)
    answer = go("/sign-in")
    if caller is not None:
        sign_in.end_session(db, caller.token, now=utc_now())
        end_push(request, answer, db, caller.id)
    # Without `secure` a browser refuses to touch a __Host- cookie, and would keep it.
    answer.delete_cookie(cookie_name(), path="/", secure=not settings().demo, httponly=True)
    return answer


@router.post("/language")
def choose_language(
    request: Request, _caller: Visitor, csrf: Csrf, locale: Text, back: Text = "/"
) -> Response:
    check_form(request, csrf, or_visitor=True)
    answer = go(safe_path(back))
    remember_locale(answer, locale)
    return answer
