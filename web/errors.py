"""Errors become HTTP here and nowhere else: problem details (RFC 9457), or a page for people."""

from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log
from core.errors import (
    CityBillError,
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooMany,
    Upstream,
    UpstreamUnavailable,
)
from web import look
from web.edge import logged_path
from web.pages.page import locale_of, page

STATUS: dict[type[CityBillError], int] = {
    Invalid: 422,
    NotSignedIn: 401,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    TooMany: 429,
    UpstreamUnavailable: 503,
    Upstream: 502,
}
_log = log.logger(__name__)


def install(app: FastAPI) -> None:
    """Register what answers each kind of error."""
    app.add_exception_handler(CityBillError, _ours)
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Unforeseen)


def status_of(error: CityBillError) -> int:
    """Return the HTTP status of an error of ours."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, CityBillError)
    status = status_of(error)
    if status == HTTPStatus.UNAUTHORIZED and not _for_programs(request):
        if request.url.path.startswith("/tv/"):
            return RedirectResponse("/tv", status_code=303)
        return RedirectResponse(f"/sign-in?next={quote(_page_of(request))}", status_code=303)
    facts = {key: value for key, value in error.facts.items() if value is not None}
    return _answer(request, status, error.code, str(error), facts)


def _page_of(request: Request) -> str:
    """Return the page somebody was at: of a form that was sent, the page it stood on."""
    asked = request.url
    if request.method != "GET":
        asked = URL(request.headers.get("referer", ""))
        if asked.netloc != request.url.netloc:
            return "/"
    return f"{asked.path}?{asked.query}" if asked.query else asked.path


def _misshapen(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [
        {"at": ".".join(str(part) for part in one["loc"]), "why": one["msg"]}
        for one in error.errors()
    ]
    return _answer(
        request, 422, "request.malformed", "the request is not of this route's form",
        {"errors": wrong},
    )  # fmt: skip


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method.not_allowed"}.get(error.status_code, "http")
    return _answer(request, error.status_code, code, str(error.detail), {})


class Unforeseen:
    """Answers what nobody foresaw.

    Not an exception handler, because the framework answers those outside every middleware: the
    answer would lack its request id and its headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if started or scope["type"] != "http":
                raise  # half an answer is out: breaking off is all that is left
            response = _unforeseen(Request(scope), error)
            await response(scope, receive, send)


def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("unforeseen", path=logged_path(request.url.path), exc_info=error)
    return _answer(request, 500, "unforeseen", "something went wrong on our side", {})


def _for_programs(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/healthz", "/readyz"))


def _answer(
    request: Request, status: int, code: str, message: str, facts: dict[str, object]
) -> Response:
    request_id = getattr(request.state, "request_id", "")
    if _for_programs(request):
        body = {
            "type": f"https://citybill.example/problems/{code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": message,
            "code": code,
            "request_id": request_id,
        }
        return JSONResponse(body | facts, status, media_type="application/problem+json")
    return _error_page(request, status, request_id, code)


def _error_page(request: Request, status: int, request_id: str, code: str) -> HTMLResponse:
    locale = locale_of(request)
    titles = {
        403: (
            look.say(locale, "This page is not for you"),
            look.say(locale, "You are signed in as somebody who may not see it."),
        ),
        404: (
            look.say(locale, "There is no such page"),
            look.say(locale, "The address may be mistyped, or the bill is not one of yours."),
        ),
        409: (
            look.say(locale, "That is not possible right now"),
            look.say(locale, "Something changed in the meantime. Go back, look again, and retry."),
        ),
        422: (
            look.say(locale, "We could not read that"),
            look.say(locale, "Go back, check what you filled in, and send it again."),
        ),
        429: (
            look.say(locale, "Too many tries"),
            look.say(locale, "Please wait a while and try again."),
        ),
    }
    if code == "duty.missing":
        message = look.say(locale, "Your duties do not open this page. An admin can propose more.")
        titles[403] = (titles[403][0], message)
    if code == "form.out_of_date":
        titles[403] = (
            look.say(locale, "This page has been open for too long"),
            look.say(locale, "Nothing was sent. Open the page again, and send the form once more."),
        )
    title, message = titles.get(
        status,
        (
            look.say(locale, "Something went wrong on our side"),
            look.say(locale, "Nothing you did is lost. Please try again in a few minutes."),
        ),
    )
    return page(
        request, "error.html", status_code=status, status=status, title=title, message=message,
        request_id=request_id, again=_page_of(request) if code == "form.out_of_date" else None,
    )  # fmt: skip
