"""Staff hand in our bank's statements by API."""

import tempfile
from datetime import date, datetime
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from core.clock import utc_now
from core.errors import Invalid, NotFound
from payments.reconciliation.bank import accounts as bank_accounts
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Given, Way
from payments.reconciliation.intake.work import BankResult, take_now
from payments.reconciliation.models import Leg
from payments.statements.base import MAX_BYTES
from payments.statements.profiles import bank_profiles
from web.access import Db, Finance
from web.bodies import SHORT_BYTES
from web.inputs import stated_name

router = APIRouter(tags=["reconciliation"], max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
After = Annotated[int | None, Query(ge=1, lt=1 << 63)]


class TakenOut(BaseModel):
    account_masked: str
    statement_no: str
    covers_to: date | None
    entries: int
    new_entries: int
    is_new: bool


class StatementOut(BaseModel):
    """A statement; `missing_from` and `missing_to` are days no statement before it covers."""

    id: int
    account_masked: str
    label: str
    statement_no: str
    page_no: int | None
    source_format: str
    from_on: date | None
    covers_to: date | None
    opening_fen: int | None
    closing_fen: int | None
    entries: int
    file_name: str
    taken_at: datetime
    gap_fen: int | None
    missing_from: date | None
    missing_to: date | None


class FileOut(BaseModel):
    statements: list[TakenOut]
    matches_made: int
    matches_undone: int
    differences: int


@router.post("/bank-statements", status_code=201)
async def take(
    request: Request,
    caller: Finance,
    profile: Annotated[str | None, Query(pattern="^[a-z][a-z0-9_]{0,31}$")] = None,
) -> FileOut:
    """Take in a file of statements (the body) and match it; may be repeated and converges.

    ``profile`` says how a CSV is written; the other formats are known by themselves.
    """
    if profile is not None and profile not in bank_profiles():
        raise NotFound("there is no such profile of a bank's file", code="bank_profile.unknown")
    given = Given(leg=Leg.BANK, profile=profile or "")
    way = Way(CameBy.API, person_id=caller.id)
    name = stated_name(request)
    with tempfile.SpooledTemporaryFile(8 << 20) as spool:
        size_bytes = 0
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > MAX_BYTES:
                raise Invalid("the file is larger than 64 MB", code="bank_statement.too_large")
            await run_in_threadpool(spool.write, piece)
        spool.seek(0)

        def work() -> FileOut:
            done = take_now(
                cast(BinaryIO, spool), given, way, request.app.state.gateways, file_name=name,
                now=utc_now(),
            )  # fmt: skip
            assert isinstance(done, BankResult)
            return FileOut(
                statements=[TakenOut(**one._asdict()) for one in done.statements],
                matches_made=done.made, matches_undone=done.undone, differences=done.open,
            )  # fmt: skip

        return await run_in_threadpool(work)


@router.get("/bank-statements")
def show(db: Db, _caller: Finance, cursor: After = None) -> list[StatementOut]:
    """Return statements, the newest first; `cursor` is the last id of the page before.

    ``gap_fen`` says that one does not follow the one before.
    """
    found = bank_accounts.list_statements(db, after=cursor)
    return [StatementOut.model_validate(one, from_attributes=True) for one in found]
