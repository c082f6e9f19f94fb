"""Companies push bill files and read what became of them."""

import csv
import io
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, cast

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from billing.bill_files import MAX_FILE_BYTES, get_bill_file, iter_rejects, receive
from billing.models import BillFile, BillFileReject, BillFileStatus
from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid, NotFound
from providers.registry import get_provider
from web.access import Company, Db, Sender
from web.inputs import Id

router = APIRouter(tags=["bill files"])
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
    name = request.headers.get("x-file-name", "upload")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
        size_bytes = 0
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > MAX_FILE_BYTES:
                raise Invalid("the file is larger than 4 GiB", code="bill_file.too_large")
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


def _own_file(db: Db, bill_file_id: int, provider_code: str) -> BillFile:
    bill_file = get_bill_file(db, bill_file_id)
    if bill_file.provider_code != provider_code:
        raise NotFound("there is no such bill file")
    return bill_file


@router.get("/bill-files/{bill_file_id}")
def read(bill_file_id: Id, db: Db, provider_code: Sender) -> BillFileOut:
    """Tell how far a file of the caller's is and what became of its rows."""
    found = _own_file(db, bill_file_id, provider_code)
    return BillFileOut(provider=found.provider_code, **found.model_dump(exclude={"provider_code"}))


@router.get("/bill-files/{bill_file_id}/rejects.csv")
def rejects(bill_file_id: Id, db: Db, provider_code: Sender) -> StreamingResponse:
    """Return the rows that did not become bills: line, column, reason, raw."""
    _own_file(db, bill_file_id, provider_code)
    return rejects_csv(bill_file_id)


def rejects_csv(bill_file_id: int) -> StreamingResponse:
    """Stream a file's rejects as CSV that opens well in spreadsheets."""
    return StreamingResponse(
        _csv_lines(bill_file_id),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="rejects-{bill_file_id}.csv"'},
    )


def _csv_lines(bill_file_id: int) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(["line", "column", "reason", "raw"])
    with transaction() as session:
        for row in iter_rejects(session, bill_file_id):
            writer.writerow(_plain(row))
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _plain(row: BillFileReject) -> list[str]:
    """Return a row's cells; one that a spreadsheet would run as a formula is quoted for it."""
    cells = [str(row.line_no), row.column_name, row.reason, row.raw]
    return [f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell for cell in cells]
