"""What every request and answer has: an id, one line in the log, and the headers browsers obey."""

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log

_log = log.logger(__name__)
_ID_LENGTH = 64
# Account numbers in barcodes, what proves a carrier to be itself, and links that open a calendar or
# stop offers: no log may hold any of them.
_HIDDEN = re.compile(
    r"[0-9 ]{20,}|(?<=/receipts/).+|(?<=/replies/).+|(?<=/calendar/).+|(?<=/unsubscribe/).+"
)
_POLICY = "Content-Security-Policy"
_PERMISSIONS = "Permissions-Policy"
_NOTHING = "camera=(), microphone=(), geolocation=(), payment=()"
# A letter somebody looks at in a frame of ours: styles as mail has them, and nothing that runs.
LETTER_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"


def logged_path(path: str) -> str:
    """Return a path without what opens something."""
    return _HIDDEN.sub("…", path)


class Edge:
    """Pure ASGI, so that the request's id is in the context of whatever thread does the work."""

    def __init__(self, app: ASGIApp, *, pay_origins: list[str], secure: bool) -> None:
        self._app = app
        self._headers = _security_headers(pay_origins, secure=secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status = time.monotonic(), 500
        static = scope["path"].startswith("/static/")

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in self._headers.items():
                    headers[name] = value
                form = scope["state"].get("pay_origin")  # a page that posts to a gateway's
                if form is not None:
                    policy = self._headers[_POLICY]
                    headers[_POLICY] = policy.replace("form-action", f"form-action {form}")
                headers[_POLICY] = scope["state"].get("policy", headers[_POLICY])
                if scope["state"].get("camera"):  # a page that reads barcodes
                    headers[_PERMISSIONS] = _NOTHING.replace("camera=()", "camera=(self)")
                kept = static and status < 400
                cache = "public, max-age=31536000, immutable" if kept else "no-store"
                headers.setdefault("Cache-Control", cache)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            if not static:
                _log.info(
                    "request",
                    method=scope["method"],
                    path=logged_path(scope["path"]),
                    status=status,
                    milliseconds=int((time.monotonic() - started) * 1000),
                )


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    fits = given.isascii() and given.replace("-", "").isalnum() and len(given) <= _ID_LENGTH
    return given if fits else secrets.token_hex(8)


def _security_headers(pay_origins: list[str], *, secure: bool) -> dict[str, str]:
    forms = " ".join(["'self'", *pay_origins])  # a pay form's answer leads to the gateway's page
    headers = {
        _POLICY: (
            "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"form-action {forms}; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        _PERMISSIONS: _NOTHING,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers
