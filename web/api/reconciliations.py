"""Staff reconcile by API."""

import tempfile
from datetime import date, datetime
from typing import BinaryIO, cast

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from core.clock import utc_now
from payments.gateways import gateway_named
from payments.gateways.base import Gateway
from payments.reconciliation.breaks import REMEDIES, list_breaks
from payments.reconciliation.company import lists as company
from payments.reconciliation.gateway import matching
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Given, Way
from payments.reconciliation.intake.work import BankResult, take_now
from payments.reconciliation.models import BreakKind, Leg
from web.access import Db, Finance
from web.api.book_files import BookFileOut, shown, spooled, take_later
from web.bodies import SHORT_BYTES
from web.inputs import stated_name

router = APIRouter(tags=["reconciliation"], max_body_size=MAX_FILE_BYTES + SHORT_BYTES)


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
    fee_differs: int
    other_route: int
    refund_unmatched: int
    late: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    fee_total_fen: int
    run_at: datetime
    balanced: bool


class CompanyReconciliationOut(BaseModel):
    """``awaited``: ours that may stand in the next day's list, which is not here yet."""

    source: str
    day: date
    file_name: str
    matched: int
    awaited: int
    written_off_unpaid: int
    paid_not_written_off: int
    amount_differs: int
    duplicate: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    rejected: int
    is_proven: bool
    run_at: datetime
    balanced: bool


Out = ReconciliationOut | CompanyReconciliationOut


class BreakOut(BaseModel):
    kind: BreakKind
    reference: str
    their_ref: str | None
    ours_fen: int | None
    theirs_fen: int | None
    happened_at: datetime | None
    remedy: str


def _gateway(request: Request, source: str) -> Gateway | None:
    """Return the gateway whose files these are; None: they are a company's.

    Raises:
        NotFound: it is neither a gateway nor a company that has lists of write-offs.
    """
    if source in company.companies_with_lists():
        return None
    return gateway_named(request.app.state.gateways, source)


def _shown(found: matching.ReconciliationResult | company.CompanyResult) -> Out:
    if isinstance(found, company.CompanyResult):
        return CompanyReconciliationOut.model_validate(found, from_attributes=True)
    return ReconciliationOut.model_validate(found, from_attributes=True)


@router.post("/reconciliations/{source}/{day}/files", status_code=201)
async def run(
    request: Request, response: Response, source: str, day: date, caller: Finance
) -> Out | BookFileOut:
    """Take in a gateway's or a company's file (the body) and match it; may be repeated.

    With ``Prefer: respond-async`` it is read by a job: 202, and ``Location`` says how far it is.
    """
    leg = Leg.COMPANY if _gateway(request, source) is None else Leg.GATEWAY
    given = Given(leg, source, day)
    if "respond-async" in request.headers.get("prefer", ""):
        return shown(await take_later(request, response, caller, given))
    name = stated_name(request)
    with tempfile.SpooledTemporaryFile(8 << 20) as spool:
        await spooled(request, cast(BinaryIO, spool))

        def match() -> Out:
            way, gateways = Way(CameBy.API, caller.id), request.app.state.gateways
            found = take_now(
                cast(BinaryIO, spool), given, way, gateways, file_name=name, now=utc_now()
            )
            assert not isinstance(found, BankResult)
            return _shown(found)

        return await run_in_threadpool(match)


@router.get("/reconciliations/{source}/{day}")
def read(request: Request, source: str, day: date, db: Db, _caller: Finance) -> Out:
    """Return the last run of a day; 404 means that its file is not here yet."""
    if _gateway(request, source) is None:
        return _shown(company.get_company_result(db, source, day))
    return _shown(matching.get_result(db, source, day))


@router.get("/reconciliations/{source}/{day}/breaks")
def breaks(request: Request, source: str, day: date, db: Db, _caller: Finance) -> list[BreakOut]:
    """Return what a day's last run could not match."""
    leg = Leg.COMPANY if _gateway(request, source) is None else Leg.GATEWAY
    read(request, source, day, db, _caller)
    return [
        BreakOut(
            kind=one.kind, reference=one.reference, their_ref=one.their_ref,
            ours_fen=one.ours_fen, theirs_fen=one.theirs_fen, happened_at=one.happened_at,
            remedy=REMEDIES[one.kind],
        )
        for one in list_breaks(db, source, day, leg=leg)
    ]  # fmt: skip
