"""What every page has in common: its language, who looks at it, and a form's protection."""

import hmac
import secrets
from functools import partial

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from core.clock import utc_now
from core.db import transaction
from core.errors import NotAllowed
from core.settings import settings
from identity.duties import Duty
from identity.models import Role
from payments.desk.approvals import count_waiting
from support.listing import count_wrote_back
from web import look
from web.access import Caller
from web.pages.approval_rooms import ROOMS

_FORM_COOKIE = "citybill_form"
_LOCALE_COOKIE = "citybill_locale"
_EDITION_COOKIE = "citybill_edition"
EDITIONS = ("plain", "elder")


def caller_of(request: Request) -> Caller | None:
    """Return who the route's rule found, if it looked."""
    return getattr(request.state, "caller", None)


def locale_of(request: Request) -> str:
    """Return the chosen language; else the browser's, if it asks for English and not Chinese."""
    chosen = request.cookies.get(_LOCALE_COOKIE)
    if chosen in look.LOCALES:
        return chosen
    accepted = request.headers.get("accept-language", "").lower()
    return "en" if "en" in accepted and "zh" not in accepted else look.DEFAULT_LOCALE


def edition_of(request: Request) -> str:
    """Return the chosen edition: ``"elder"`` is in large print."""
    chosen = request.cookies.get(_EDITION_COOKIE)
    return chosen if chosen in EDITIONS else EDITIONS[0]


def page(request: Request, name: str, *, status_code: int = 200, **context: object) -> HTMLResponse:
    """Render a template with what all pages share."""
    caller = caller_of(request)
    form_token = caller.csrf if caller else request.cookies.get(_FORM_COOKIE)
    fresh = form_token or secrets.token_urlsafe(24)
    html = look.render(
        name,
        locale=locale_of(request),
        edition=edition_of(request),
        path=request.url.path,
        person=caller,
        csrf=fresh,
        demo=settings().demo,
        demo_inbox_url=settings().demo_inbox_url if settings().demo else None,
        flash=None,
        to_approve=partial(_to_approve, caller),
        wrote_back=partial(_wrote_back, caller),
        **context,
    )
    answer = HTMLResponse(html, status_code)
    if not form_token:
        answer.set_cookie(
            _FORM_COOKIE, fresh, httponly=True, samesite="strict", secure=not settings().demo
        )
    return answer


def _to_approve(caller: Caller | None) -> int:
    """Count what waits for somebody as the second person; asked by the console's menu alone."""
    if caller is None or not caller.duties:
        return 0
    with transaction() as session:
        return count_waiting(
            session, caller.duties, by=caller.id, now=utc_now(), rooms=ROOMS
        )  # fmt: skip


def _wrote_back(caller: Caller | None) -> int:
    """Count what somebody has taken and its person or company wrote of since."""
    if caller is None or Duty.SERVICE not in caller.duties:
        return 0
    with transaction() as session:
        return count_wrote_back(session, caller.id)


def check_form(request: Request, csrf: str, *, or_visitor: bool = False) -> None:
    """Make sure that a form is ours: its token is the session's, or the visitor's cookie.

    Args:
        or_visitor: a page that did not look who it is (a 404) may have sent the form of somebody
            who is signed in.

    Raises:
        NotAllowed: it came from another site, or the session behind it is over.
    """
    caller = caller_of(request)
    expected = [caller.csrf] if caller else []
    if or_visitor or not caller:
        expected.append(request.cookies.get(_FORM_COOKIE, ""))
    if not any(one and hmac.compare_digest(one.encode(), csrf.encode()) for one in expected):
        raise NotAllowed(
            "the form is out of date: go back, reload the page and send it again",
            code="form.out_of_date",
        )


def home_of(caller: Caller) -> str:
    """Return where somebody's bills are: a guest has those alone they may pay."""
    return "/pay/bills" if caller.role is Role.GUEST else "/"


def go(path: str) -> RedirectResponse:
    """Send the browser on after a form was done."""
    return RedirectResponse(path, status_code=303)


def safe_path(path: str) -> str:
    """Return a path of this site, or the home page: never somebody else's address."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain else "/"


def remember_locale(answer: RedirectResponse, locale: str) -> None:
    """Keep a choice of language in the browser."""
    if locale in look.LOCALES:
        answer.set_cookie(_LOCALE_COOKIE, locale, max_age=31_536_000, samesite="lax")


def remember_edition(answer: RedirectResponse, edition: str) -> None:
    """Keep a choice of edition in the browser."""
    if edition in EDITIONS:
        answer.set_cookie(_EDITION_COOKIE, edition, max_age=31_536_000, samesite="lax")
