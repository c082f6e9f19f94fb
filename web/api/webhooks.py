"""Companies' systems announce bills and files, signed as Standard Webhooks are."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from billing.files import webhooks
from billing.files.webhooks import MAX_BODY_BYTES
from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid
from providers.registry import get_provider
from web.access import Webhook
from web.bodies import read_body

router = APIRouter(tags=["webhooks"])
_MAX_ID = 200


class AnnouncedOut(BaseModel):
    status: Literal["stored", "duplicate"]


@router.post("/webhooks/providers/{code}", status_code=202)
async def announce(request: Request, response: Response, code: Webhook) -> AnnouncedOut:
    """Keep what a company announces, for afterwards; the same `webhook-id` again is 200."""
    body = await read_body(request, limit=MAX_BODY_BYTES)
    if await run_in_threadpool(_store, code, request.headers["webhook-id"], body):
        return AnnouncedOut(status="stored")
    response.status_code = 200
    return AnnouncedOut(status="duplicate")


def _store(code: str, webhook_id: str, body: bytes) -> bool:
    if len(webhook_id) > _MAX_ID or not webhook_id.isascii() or not webhook_id.isprintable():
        raise Invalid(
            "webhook-id is at most 200 printable ASCII characters", code="webhook.malformed"
        )
    with transaction() as session:
        return webhooks.store(session, get_provider(code).code, webhook_id, body, now=utc_now())
