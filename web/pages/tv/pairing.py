"""Pairing a television: it shows a code, and its owner lets it in on the phone.

The television asks again by itself every few seconds, also where it runs no scripts.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from core.clock import utc_now
from core.errors import Conflict, NotFound, NotSignedIn
from core.settings import settings
from identity import televisions
from identity.televisions import Progress
from web import look
from web.access import Anyone, Db, Resident, television, television_cookie
from web.inputs import PLAIN, Csrf, Id, Text
from web.pages.page import check_form, go, locale_of, page
from web.pages.pay_codes import pay_code_svg

router = APIRouter()
_WAITING = "citybill_tv_pairing"
_YEAR_SECONDS = 31_536_000


@router.get("/tv", dependencies=[Anyone])
def open_tv(request: Request, db: Db) -> Response:
    """Show the bills of whose television it is; of nobody's, the code to pair it with."""
    try:
        television(request)
    except NotSignedIn:
        return _pair(request, db)
    return go("/tv/bills")


def _pair(request: Request, db: Db) -> Response:
    now, device_code = utc_now(), request.cookies.get(_WAITING, "")
    asked = televisions.ask_pairing(db, device_code, now=now)
    if asked.progress is Progress.DONE and asked.token:
        answer = go("/tv/bills")
        _keep(answer, television_cookie(), asked.token, seconds=_YEAR_SECONDS)
        answer.delete_cookie(_WAITING, path="/")
        return answer
    denied = asked.progress is Progress.DENIED
    if not asked.user_code:
        device_code, user_code = televisions.begin_pairing(db, now=now)
        asked = asked._replace(user_code=user_code)
    url = f"{settings().public_url}/televisions"
    shown = page(
        request, "tv/pair.html", news=None, code=asked.user_code, url=url, denied=denied,
        refresh_seconds=asked.interval_seconds + 1,
        qr=pay_code_svg(f"{url}?code={asked.user_code}"),
    )  # fmt: skip
    _keep(shown, _WAITING, device_code, seconds=televisions.CODE_SECONDS)
    return shown


def _keep(answer: Response, name: str, value: str, *, seconds: int) -> None:
    answer.set_cookie(
        name, value, max_age=seconds, httponly=True, samesite="lax", secure=not settings().demo,
        path="/",
    )  # fmt: skip


@router.get("/televisions")
def show_televisions(
    request: Request,
    db: Db,
    caller: Resident,
    code: Annotated[str, Query(max_length=40, pattern=PLAIN)] = "",
) -> Response:
    """Show on the phone which televisions show one's bills, and the one that asks to."""
    return _televisions_page(request, db, caller.id, code=code)


def _televisions_page(
    request: Request, db: Db, person_id: int, *, code: str, problem: str | None = None
) -> Response:
    now, asking = utc_now(), None
    if code and problem is None:
        try:
            asking = televisions.find_pairing(db, code, now=now).user_code
        except NotFound:
            problem = _no_such_code(request)
    return page(
        request, "televisions.html", status_code=422 if problem else 200, code=code, asking=asking,
        problem=problem, televisions=televisions.list_televisions(db, person_id, now=now),
    )  # fmt: skip


def _no_such_code(request: Request) -> str:
    return look.say(
        locale_of(request),
        "No television waits under this code. Look at it again: a code is good for five minutes.",
    )


@router.post("/televisions")
def decide(
    request: Request, db: Db, caller: Resident, csrf: Csrf, code: Text, choice: Text = "allow"
) -> Response:
    """Let the television in that shows this code, or turn it away."""
    check_form(request, csrf)
    try:
        televisions.decide_pairing(db, code, caller.id, allow=choice == "allow", now=utc_now())
    except NotFound:
        problem = _no_such_code(request)
    except Conflict:
        problem = look.say(
            locale_of(request),
            "Five televisions show your bills already. Remove one of them first.",
        )
    else:
        return go("/televisions")
    return _televisions_page(request, db, caller.id, code=code, problem=problem)


@router.post("/televisions/{television_id}/end")
def end_one(request: Request, db: Db, caller: Resident, csrf: Csrf, television_id: Id) -> Response:
    """Let a television show nothing any more."""
    check_form(request, csrf)
    televisions.end_television(db, caller.id, television_id, now=utc_now())
    return go("/televisions")
