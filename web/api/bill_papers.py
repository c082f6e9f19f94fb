"""Companies send what belongs to a bill beside it: their e-invoice, a photo, a late reading."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from billing import papers
from billing.papers import MOST_BYTES, Paper, PaperKind
from billing.readings import put_reading
from core.clock import utc_now
from core.db import transaction
from providers.own_schema import PushedReadingOfBill, read_reading
from web.access import Company
from web.bodies import read_body
from web.inputs import PLAIN

router = APIRouter(tags=["bills of companies"])
No = Annotated[str, Query(min_length=1, max_length=64, pattern=PLAIN)]
Month = Annotated[str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-10"])]
InvoiceNo = Annotated[str, Query(max_length=20, pattern=r"^[0-9]*$")]
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PAPER = {"requestBody": {"required": True, "content": dict.fromkeys(papers.KINDS, _BYTES)}}
_READING = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "account_no": "1000000001",
                    "bill_no": "B-1",
                    "billing_month": "2026-10",
                    "reading": {
                        "before": 814,
                        "after": 826.5,
                        "read_on": "2026-10-31",
                        "kind": "estimated",
                    },
                },
            }
        },
    }
}


class PaperOut(BaseModel):
    """What is kept; `is_new` is false when these very bytes were kept before."""

    kind: PaperKind
    invoice_no: str
    sha256: str
    size_bytes: int
    is_new: bool


@router.put("/providers/{code}/bills/papers", openapi_extra=_PAPER)
async def put_paper(
    request: Request,
    code: Company,
    account_no: No,
    billing_month: Month,
    bill_no: No,
    invoice_no: InvoiceNo = "",
    issued_on: date | None = None,
) -> PaperOut:
    """Keep one of a bill's papers: the body is the file, `Content-Type` says what it is.

    The same bytes again change nothing.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await read_body(request, limit=MOST_BYTES)
    paper = Paper(media_type, content, invoice_no, issued_on)
    return await run_in_threadpool(
        _put_paper, code, account_no, date.fromisoformat(f"{billing_month}-01"), bill_no, paper
    )


def _put_paper(code: str, account_no: str, month: date, bill_no: str, paper: Paper) -> PaperOut:
    with transaction() as session:
        bill = papers.billed(session, code, account_no, month, bill_no)
        kept, is_new = papers.put_paper(session, bill, paper, now=utc_now())
        return PaperOut(
            kind=kept.kind, invoice_no=kept.invoice_no, sha256=kept.sha256,
            size_bytes=kept.size_bytes, is_new=is_new,
        )  # fmt: skip


class ReadingOut(BaseModel):
    """Of which version of the bill the reading is kept."""

    version: int


@router.put("/providers/{code}/bills/readings", openapi_extra=_READING)
async def put_bill_reading(request: Request, code: Company) -> ReadingOut:
    """Keep what the meter showed for a bill; the last word about its present version stands."""
    told = read_reading(await read_body(request, limit=1 << 16))
    return await run_in_threadpool(_put_reading, code, told)


def _put_reading(code: str, told: PushedReadingOfBill) -> ReadingOut:
    with transaction() as session:
        bill = papers.billed(session, code, told.account_no, told.billing_month, told.bill_no)
        put_reading(session, bill, told.reading.as_said(), now=utc_now())
        return ReadingOut(version=bill.version)
