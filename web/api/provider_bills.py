"""Companies push single bills."""

import secrets
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from billing.files import pushed_bills
from billing.files.pushed_bills import MAX_BODY_BYTES, Verdict
from core.clock import utc_now
from providers.own_schema import PushedBills
from providers.registry import get_provider
from web.access import Company
from web.bodies import read_body

router = APIRouter(tags=["bills of companies"])


class PushedBillOut(BaseModel):
    """What became of one bill; ``line`` is its place in the list, from 1."""

    line: int
    bill_no: str | None
    version: int | None
    verdict: Verdict
    column: str | None
    reason: str | None


class PushedOut(BaseModel):
    bill_file_id: int
    bills: list[PushedBillOut]


def _whole(part: Any, known: dict[str, Any]) -> Any:
    """Put what a schema refers to in the place of the reference: ours would lead nowhere here."""
    if isinstance(part, list):
        return [_whole(one, known) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _whole(known[part["$ref"].rpartition("/")[2]], known)
    return {name: _whole(one, known) for name, one in part.items() if name != "$defs"}


_SCHEMA = PushedBills.model_json_schema()
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _whole(_SCHEMA, _SCHEMA["$defs"])}},
    }
}


@router.post("/providers/{code}/bills", openapi_extra=_BODY)
async def push(request: Request, code: Company) -> PushedOut:
    """Take in up to 500 bills and tell of each what became of it.

    A bill is known by its account, month, number and version: the same again is unchanged.
    """
    body = await read_body(request, limit=MAX_BODY_BYTES)
    return await run_in_threadpool(_push, code, body)


def _push(code: str, body: bytes) -> PushedOut:
    pushed = pushed_bills.push(
        get_provider(code).code, body, identity=secrets.token_hex(16),
        file_name="pushed-bills.json", received_via="api-bills", now=utc_now(),
    )  # fmt: skip
    return PushedOut(
        bill_file_id=pushed.bill_file_id,
        bills=[PushedBillOut(**one._asdict()) for one in pushed.bills],
    )
