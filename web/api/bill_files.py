"""Companies push bill files and read what became of them."""

import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import BinaryIO, cast

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from billing.files.bill_files import MAX_FILE_BYTES, receive
from billing.files.reject_files import csv_lines
from billing.files.resending import company_file
from billing.models import BillFileStatus
from core.clock import utc_now
from core.db import transaction
from providers.registry import get_provider
from web.access import Company, Db, Sender
from web.bodies import SHORT_BYTES, body_pieces
from web.inputs import Id, stated_name

router = APIRouter(tags=["bill files"], max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
_IN_MEMORY_BYTES = 8 << 20


class BillFileOut(BaseModel):
    id: int
    provider: str
    file_name: str
    sequence_no: str | None
    status: BillFileStatus
    received_at: datetime
    rows: int
    rows_done: int
    created: int
    unchanged: int
    superseded: int
    cancelled: int
    reminded: int
    waiting: int
    rejected: int
    total_fen: int
    complaint: str | None


class AcceptedOut(BaseModel):
    id: int
    status: BillFileStatus


@router.post("/providers/{code}/bill-files", status_code=202)
async def push(request: Request, code: Company) -> AcceptedOut:
    """Take in a bill file: the body is the file, `X-File-Name` its name.

    The same bytes again are the same file. It is imported afterwards: ask by its id.
    """
    name = stated_name(request)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
        async for piece in body_pieces(request, limit=MAX_FILE_BYTES):
            await run_in_threadpool(spool.write, piece)
        spool.seek(0)
        return await run_in_threadpool(_keep, code, cast(BinaryIO, spool), name=name)


def _keep(code: str, stream: BinaryIO, *, name: str) -> AcceptedOut:
    with transaction() as session:
        kept = receive(
            session, get_provider(code).code, stream, file_name=name, received_via="api",
            now=utc_now(),
        )  # fmt: skip
    assert kept.id is not None
    return AcceptedOut(id=kept.id, status=kept.status)


@router.get("/bill-files/{bill_file_id}")
def read(bill_file_id: Id, db: Db, provider_code: Sender) -> BillFileOut:
    """Tell how far a file of the caller's is and what became of its rows."""
    found = company_file(db, bill_file_id, provider_code)
    return BillFileOut(provider=found.provider_code, **found.model_dump(exclude={"provider_code"}))


@router.get("/bill-files/{bill_file_id}/rejects.csv")
def rejects(bill_file_id: Id, db: Db, provider_code: Sender) -> StreamingResponse:
    """Return the rows that did not become bills: line, column, reason, raw."""
    company_file(db, bill_file_id, provider_code)
    return rejects_csv(bill_file_id)


def rejects_csv(bill_file_id: int, say: Callable[[str], str] = str) -> StreamingResponse:
    """Stream a file's rejects as CSV that opens well in spreadsheets; a page says its reasons."""
    return StreamingResponse(
        csv_lines(bill_file_id, say),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="rejects-{bill_file_id}.csv"'},
    )
