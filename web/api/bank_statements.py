"""Staff hand in our bank's statements by API."""

import io
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Invalid, NotFound
from payments import statements
from payments.reconciliation import bank, bank_statements
from payments.statements.base import MAX_BYTES
from payments.statements.profiles import BankProfile, load_bank_profile
from web.access import Db, Staff

router = APIRouter(tags=["reconciliation"])
_PROFILES = Path(statements.__file__).parent / "profiles"


class TakenOut(BaseModel):
    account_masked: str
    statement_no: str
    covers_to: date | None
    entries: int
    new_entries: int
    is_new: bool


class StatementOut(BaseModel):
    id: int
    account_masked: str
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


class FileOut(BaseModel):
    statements: list[TakenOut]
    matches_made: int
    matches_undone: int
    differences: int


@router.post("/bank-statements", status_code=201)
async def take(
    request: Request,
    _caller: Staff,
    profile: Annotated[str | None, Query(pattern="^[a-z][a-z0-9_]{0,31}$")] = None,
) -> FileOut:
    """Take in a file of statements (the body) and match it; may be repeated and converges.

    ``profile`` says how a CSV is written; the other formats are known by themselves.
    """
    layout = None if profile is None else _profile(profile)
    name = request.headers.get("x-file-name", "upload")
    with tempfile.SpooledTemporaryFile(8 << 20) as spool:
        size_bytes = 0
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > MAX_BYTES:
                raise Invalid("the file is larger than 64 MB", code="bank_statement.too_large")
            await run_in_threadpool(spool.write, piece)
        spool.seek(0)
        return await run_in_threadpool(_take, io.BytesIO(spool.read()), name, layout, utc_now())


def _take(
    stream: io.BytesIO, name: str, profile: BankProfile | None, now: datetime
) -> FileOut:  # fmt: skip
    with transaction() as session:
        taken = bank_statements.take_statement(session, stream, name=name, profile=profile, now=now)
        days = [one.covers_to for one in taken if one.covers_to] or [billing_date(now)]
        done = bank.match_bank(session, min(days), now=now)
    return FileOut(
        statements=[TakenOut(**one._asdict()) for one in taken],
        matches_made=done.made, matches_undone=done.undone, differences=done.open,
    )  # fmt: skip


def _profile(code: str) -> BankProfile:
    path = _PROFILES / f"{code}.toml"
    if not path.is_file():
        raise NotFound("there is no such profile of a bank's file", code="bank_profile.unknown")
    return load_bank_profile(path)


@router.get("/bank-statements")
def show(db: Db, _caller: Staff) -> list[StatementOut]:
    """Return the newest statements; ``gap_fen`` says that one does not follow the one before."""
    return [StatementOut(**one._asdict()) for one in bank_statements.list_statements(db)]
