"""Notices on this device: a browser says where its messages go."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import utc_now
from core.settings import settings
from notifications.choice.browsers import forget_browser, keep_browser
from web.access import Db, Resident
from web.browsers import browser_name, push_of, read_browser
from web.inputs import PLAIN, Csrf
from web.pages.filters import number_of
from web.pages.page import check_form, go, locale_of

router = APIRouter()
PUSH_COOKIE = "citybill_push"
_YEAR_SECONDS = 31_536_000
Part = Annotated[str, Form(max_length=2000, pattern=PLAIN, default_factory=str)]


@router.post("/push")
def keep(
    request: Request, db: Db, caller: Resident, csrf: Csrf, endpoint: Part, p256dh: Part, auth: Part
) -> Response:
    """Show the caller's notices in the browser that asks; web/static/push.js fills the form."""
    check_form(request, csrf)
    address = read_browser(push_of(request), endpoint, p256dh, auth)
    label = browser_name(request.headers.get("user-agent", ""), locale_of(request))
    kept = keep_browser(db, caller.id, address, label=label, now=utc_now())
    answer = go("/preferences?saved=push")
    answer.set_cookie(
        PUSH_COOKIE, str(kept.id), max_age=_YEAR_SECONDS, httponly=True, samesite="lax",
        secure=not settings().demo, path="/",
    )  # fmt: skip
    return answer


def end_push(request: Request, answer: Response, session: Session, person_id: int) -> None:
    """Show nothing more in the browser that signs out; the cookie says which it is."""
    number = number_of(request.cookies.get(PUSH_COOKIE, ""))
    if number is not None:
        forget_browser(session, person_id, number, now=utc_now())
    answer.delete_cookie(PUSH_COOKIE, path="/")
