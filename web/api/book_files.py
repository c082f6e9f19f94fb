"""Files of gateways, companies and banks: brought in without waiting, and how far they are."""

import tempfile
from datetime import date, datetime
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid
from payments.reconciliation.intake import receiving as intake
from payments.reconciliation.intake.models import BookFile, BookState, CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Given, Way
from payments.reconciliation.models import Leg
from web.access import Caller, Db, Finance
from web.bodies import SHORT_BYTES
from web.inputs import PLAIN, Id, stated_name

router = APIRouter(tags=["reconciliation"], max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
Word = Annotated[str, Query(max_length=64, pattern=PLAIN)]


class BookFileOut(BaseModel):
    """``rows_of`` is 0 until it is known; ``told`` is what came of it, when it is done."""

    id: int
    leg: Leg | None
    source: str
    day: date | None
    file_name: str
    sha256: str
    size_bytes: int
    came_by: CameBy
    received_at: datetime
    state: BookState
    state_at: datetime
    rows_done: int
    rows_of: int
    line_no: int | None
    complaint: str | None
    told: dict[str, Any]


def shown(row: BookFile) -> BookFileOut:
    """Return a file's row as programs see it."""
    return BookFileOut.model_validate(row, from_attributes=True)


async def spooled(request: Request, into: BinaryIO) -> None:
    """Write a request's body to a file.

    Raises:
        Invalid: it is larger than we take.
    """
    size_bytes = 0
    async for piece in request.stream():
        size_bytes += len(piece)
        if size_bytes > MAX_FILE_BYTES:
            raise Invalid("the file is larger than 512 MiB", code="settlement_file.too_large")
        await run_in_threadpool(into.write, piece)
    into.seek(0)


async def take_later(
    request: Request, response: Response, caller: Caller, given: Given
) -> BookFile:
    """Keep a request's body to be read by a job, and say where to ask about it."""
    name = stated_name(request)
    with tempfile.SpooledTemporaryFile(8 << 20) as spool:
        await spooled(request, cast(BinaryIO, spool))

        def keep() -> BookFile:
            with transaction() as session:
                return intake.receive(
                    session, cast(BinaryIO, spool), given, Way(CameBy.API, caller.id),
                    file_name=name, now=utc_now(),
                )  # fmt: skip

        row = await run_in_threadpool(keep)
    response.status_code = 202
    response.headers["Location"] = f"/api/v1/book-files/{row.id}"
    return row


@router.post("/book-files", status_code=202)
async def take(
    request: Request,
    response: Response,
    caller: Finance,
    leg: Leg | None = None,
    source: Word = "",
    day: date | None = None,
    profile: Word = "",
) -> BookFileOut:
    """Take in a file (the body) of whomever; what is not said of it is found out from it."""
    given = Given(leg, source, day, profile)
    return shown(await take_later(request, response, caller, given))


@router.get("/book-files/{book_file_id}")
def read(book_file_id: Id, db: Db, _caller: Finance) -> BookFileOut:
    """Return how far a file is, and what came of it."""
    return shown(intake.get_book_file(db, book_file_id))
