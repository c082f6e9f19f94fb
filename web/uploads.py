"""Files are taken only from who works here: a form's file is on disk before any rule is asked."""

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import NotSignedIn
from identity.models import Role
from web.access import resident

_MAY = frozenset({Role.STAFF, Role.OPERATOR})


class Uploads:
    """Hands on an empty body for a file of anybody else; the route's rule then turns them away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = Headers(scope=scope).get("content-type", "") if scope["type"] == "http" else ""
        if "multipart/" in kind.lower() and not await run_in_threadpool(_may_send, scope):
            receive = _nothing
        await self._app(scope, receive, send)


def _may_send(scope: Scope) -> bool:
    try:
        return resident(Request({**scope, "state": {}})).role in _MAY
    except NotSignedIn:
        return False


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
