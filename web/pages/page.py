"""What every page has in common: its language, who looks at it, and a form's protection."""

import hmac
import secrets

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from core.errors import NotAllowed
from core.settings import settings
from identity.models import Role
from web import look
from web.access import Caller

_FORM_COOKIE = "citybill_form"
_LOCALE_COOKIE = "citybill_locale"


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


def page(request: Request, name: str, *, status_code: int = 200, **context: object) -> HTMLResponse:
    """Render a template with what all pages share."""
    caller = caller_of(request)
    form_token = caller.csrf if caller else request.cookies.get(_FORM_COOKIE)
    fresh = form_token or secrets.token_urlsafe(24)
    html = look.render(
        name,
        locale=locale_of(request),
        path=request.url.path,
        person=caller,
        csrf=fresh,
        demo=settings().demo,
        demo_inbox_url=settings().demo_inbox_url if settings().demo else None,
        flash=None,
        **context,
    )
    answer = HTMLResponse(html, status_code)
    if not form_token:
        answer.set_cookie(
            _FORM_COOKIE, fresh, httponly=True, samesite="strict", secure=not settings().demo
        )
    return answer


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
        raise NotAllowed("the form is out of date: go back, reload the page and send it again")


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
