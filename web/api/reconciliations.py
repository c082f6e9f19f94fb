"""Staff reconcile by API."""

import tempfile
from datetime import date, datetime
from typing import BinaryIO, cast

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid
from payments.gateways import gateway_named
from payments.reconciliation import matching
from payments.reconciliation.breaks import REMEDIES, list_breaks
from payments.reconciliation.matching import MAX_FILE_BYTES
from payments.reconciliation.models import BreakKind
from web.access import Db, Staff

router = APIRouter(tags=["reconciliation"])


class ReconciliationOut(BaseModel):
    source: str
    day: date
    file_name: str
    matched: int
    missing_here: int
    missing_at_gateway: int
    amount_differs: int
    duplicate: int
    ledger_differs: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    fee_total_fen: int
    run_at: datetime
    balanced: bool


class BreakOut(BaseModel):
    kind: BreakKind
    reference: str
    gateway_ref: str | None
    ours_fen: int | None
    theirs_fen: int | None
    happened_at: datetime | None
    remedy: str


@router.post("/reconciliations/{source}/{day}/files", status_code=201)
async def run(request: Request, source: str, day: date, _caller: Staff) -> ReconciliationOut:
    """Take in a settlement file (the body) and match it; may be repeated and converges."""
    gateway = gateway_named(request.app.state.gateways, source)
    name = request.headers.get("x-file-name", "upload")
    with tempfile.SpooledTemporaryFile(8 << 20) as spool:
        size_bytes = 0
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > MAX_FILE_BYTES:
                raise Invalid("the file is larger than 512 MiB", code="settlement_file.too_large")
            await run_in_threadpool(spool.write, piece)
        spool.seek(0)

        def match() -> ReconciliationOut:
            with transaction() as session:
                found = matching.reconcile(
                    session,
                    gateway,
                    cast(BinaryIO, spool),
                    day=day,
                    file_name=name,
                    now=utc_now(),
                )
            return ReconciliationOut.model_validate(found, from_attributes=True)

        return await run_in_threadpool(match)


@router.get("/reconciliations/{source}/{day}")
def read(request: Request, source: str, day: date, db: Db, _caller: Staff) -> ReconciliationOut:
    """Return the last run of a day; 404 means that its file is not here yet."""
    gateway_named(request.app.state.gateways, source)
    found = matching.get_result(db, source, day)
    return ReconciliationOut.model_validate(found, from_attributes=True)


@router.get("/reconciliations/{source}/{day}/breaks")
def breaks(request: Request, source: str, day: date, db: Db, _caller: Staff) -> list[BreakOut]:
    """Return what a day's last run could not match."""
    gateway_named(request.app.state.gateways, source)
    matching.get_result(db, source, day)
    return [
        BreakOut(
            kind=one.kind, reference=one.reference, gateway_ref=one.their_ref,
            ours_fen=one.ours_fen, theirs_fen=one.theirs_fen, happened_at=one.happened_at,
            remedy=REMEDIES[one.kind],
        )
        for one in list_breaks(db, source, day)
    ]  # fmt: skip
