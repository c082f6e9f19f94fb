"""A calendar to subscribe to: links a person makes and ends, and what is read by one.

Who reads has no session and gets no cookie. Whatever is wrong with a link, the answer is the same.
"""

import hashlib
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, Response
from sqlmodel import Session

from core.clock import billing_date, day_bounds, utc_now
from core.errors import Conflict, NotFound, TooMany
from core.settings import settings
from identity import calendar_links
from identity.calendar_links import MOST
from web import look
from web.access import Anyone, Caller, Db, Resident
from web.ics import write_calendar
from web.inputs import PLAIN, Csrf, Id
from web.pages.calendar import near_events
from web.pages.guest import client_of
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/calendar")
Ticked = Annotated[str, Form(max_length=10, pattern=PLAIN)]
_AGAIN_HOURS: Final = 12
_HOUR_SECONDS: Final = 3_600
_KEPT_PRIVATE: Final = {"Cache-Control": "private, no-cache"}


@router.get("/links")
def show_links(request: Request, db: Db, caller: Resident) -> Response:
    return _links_page(request, db, caller)


def _links_page(
    request: Request,
    session: Session,
    caller: Caller,
    *,
    made: str | None = None,
    too_many: bool = False,
) -> Response:
    return page(
        request,
        "calendar_links.html",
        status_code=409 if too_many else 200,
        links=calendar_links.list_links(session, caller.id, now=utc_now()),
        most=MOST,
        too_many=too_many,
        made=made,
        made_webcal=made and f"webcal://{made.split('//', 1)[-1]}",
    )


@router.post("/links")
def make(request: Request, db: Db, caller: Resident, csrf: Csrf, amounts: Ticked = "") -> Response:
    """Make a link and show it, this once."""
    check_form(request, csrf)
    try:
        token = calendar_links.make_link(
            db, caller.id, locale=locale_of(request), shows_amounts=amounts == "1", now=utc_now()
        )
    except Conflict:
        return _links_page(request, db, caller, too_many=True)
    url = f"{settings().public_url}/calendar/{token}.ics"
    return _links_page(request, db, caller, made=url)


@router.post("/links/{link_id}/end")
def end(request: Request, db: Db, caller: Resident, csrf: Csrf, link_id: Id) -> Response:
    """Let nothing read by a link any more, from this moment."""
    check_form(request, csrf)
    calendar_links.end_link(db, caller.id, link_id, now=utc_now())
    return go("/calendar/links")


@router.get("/{token}.ics", dependencies=[Anyone])
def read(request: Request, token: str, db: Db) -> Response:
    """Answer with the calendar a link opens, or that it is as it was when it was read last."""
    now = utc_now()
    today = billing_date(now)
    try:
        opened = calendar_links.read_link(
            token, client=client_of(request), secret=settings().secret_key.get_secret_value(),
            now=now,
        )  # fmt: skip
    except NotFound:
        return PlainTextResponse("404\n", 404)
    except TooMany:
        return PlainTextResponse("429\n", 429, headers={"Retry-After": str(_HOUR_SECONDS)})
    events = near_events(
        db, opened.person_id, opened.locale, today=today, with_amounts=opened.shows_amounts
    )
    # Stamped with the day's begin: read again, it differs only by what has happened.
    text = write_calendar(
        look.say(opened.locale, "Bills of my home"), events, now=day_bounds(today)[0],
        again_hours=_AGAIN_HOURS,
    )  # fmt: skip
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = _KEPT_PRIVATE | {"ETag": tag}
    if _has_it(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="text/calendar; charset=utf-8", headers=headers)


def _has_it(said: str, tag: str) -> bool:
    """Tell whether a program that names what it has (RFC 9110, 13.1.2) has this."""
    named = {one.strip().removeprefix("W/") for one in said.split(",")}
    return tag in named or "*" in named
