"""Carriers of messages call us here with what became of them, and what was answered to them.

What is forged is turned away before anything of the database is touched.
"""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from core.clock import utc_now
from core.db import transaction
from core.errors import NotFound
from notifications import replies
from notifications.channels.base import BringsReplies, Carrier
from notifications.channels.texting import TOKEN_HEADER
from notifications.sending.receipts import Greets, keep_call
from web.access import Anyone
from web.bodies import read_body

router = APIRouter(tags=["carriers"], prefix="/carriers/{code}")
_MOST_BYTES = 256 << 10


@router.post("/receipts", dependencies=[Anyone])
async def take_call(request: Request, code: str) -> Response:
    """Keep a carrier's receipts, for afterwards; the same call again is answered the same."""
    return await _take(request, code, {})


@router.post("/receipts/{token}", dependencies=[Anyone])
async def take_call_by_token(request: Request, code: str, token: str) -> Response:
    """Keep the receipts of a carrier that signs nothing and was given an address with a secret."""
    return await _take(request, code, {TOKEN_HEADER: token})


@router.post("/replies", dependencies=[Anyone])
async def take_replies(request: Request, code: str) -> Response:
    """Keep what people answered to texts, for afterwards; of a carrier that signs its calls."""
    return await _take_replies(request, code, {})


@router.post("/replies/{token}", dependencies=[Anyone])
async def take_replies_by_token(request: Request, code: str, token: str) -> Response:
    """Keep what people answered, of a carrier that was given an address with a secret."""
    return await _take_replies(request, code, {TOKEN_HEADER: token})


@router.get("/receipts", dependencies=[Anyone])
def greet(request: Request, code: str) -> Response:
    """Answer a carrier that looks whether this address is ours."""
    carrier = _carrier(request, code)
    if not isinstance(carrier, Greets):
        raise NotFound("this carrier asks nothing here")
    return Response(carrier.greet(_headers(request)), media_type="text/plain")


async def _take(request: Request, code: str, proof: dict[str, str]) -> Response:
    carrier = _carrier(request, code)
    headers, body = _headers(request) | proof, await read_body(request, limit=_MOST_BYTES)

    def keep() -> None:
        with transaction() as session:
            keep_call(session, carrier, headers, body, now=utc_now())

    await run_in_threadpool(keep)
    content_type, answer = carrier.acknowledge()
    return Response(answer, media_type=content_type)


async def _take_replies(request: Request, code: str, proof: dict[str, str]) -> Response:
    carrier = _carrier(request, code)
    if not isinstance(carrier, BringsReplies):
        raise NotFound("this carrier brings no answers here")
    brings: BringsReplies = carrier
    headers, body = _headers(request) | proof, await read_body(request, limit=_MOST_BYTES)

    def keep() -> None:
        with transaction() as session:
            replies.keep_call(session, brings, headers, body, now=utc_now())

    await run_in_threadpool(keep)
    content_type, answer = brings.acknowledge_replies()
    return Response(answer, media_type=content_type)


def _carrier(request: Request, code: str) -> Carrier:
    found: Carrier | None = request.app.state.carriers.get(code)
    if found is None:
        raise NotFound(f"there is no carrier {code!r} here")
    return found


def _headers(request: Request) -> dict[str, str]:
    """Return a call's headers, and what its address asks as ``x-query-<name>``."""
    asked = {f"x-query-{name.lower()}": value for name, value in request.query_params.items()}
    return dict(request.headers) | asked
