"""Where the money is that goes back to somebody: each refund and return, step by step."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.clock import billing_date, utc_now
from payments.returns import tracker
from web.access import Db, Resident
from web.pages.filters import Word, query_of
from web.pages.page import page
from web.pages.words.residents import company_of

router = APIRouter()


@router.get("/refunds")
def show_refunds(request: Request, db: Db, caller: Resident, after: Word = "") -> Response:
    today, limit = billing_date(utc_now()), tracker.PAGE + 1
    found = tracker.list_returns(db, caller.id, today=today, after=after, limit=limit)
    shown, more = found[: tracker.PAGE], len(found) == limit
    return page(
        request,
        "refunds.html",
        coming=tracker.coming_back(db, caller.id),
        rows=shown,
        company_of=company_of(request),
        next=f"/refunds?{query_of({}, after=shown[-1].number)}" if more else None,
        paged=bool(after),
    )
