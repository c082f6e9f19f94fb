"""A utility's own pages: what it was paid of what we took for it, with the advice of each."""

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from core.clock import utc_now
from payments.remittance.listing import PAGE, Filter, company_remittance, find_remittances
from payments.remittance.waiting import owed_to_companies
from web.access import Caller, Db, Operator
from web.inputs import Id
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind
from web.pages.page import locale_of, page
from web.pages.remittance_views import advice_facts, advice_file, advice_pdf

router = APIRouter(prefix="/company/remittances")


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


@router.get("")
def show_remittances(
    request: Request, db: Db, caller: Operator, after: After = None
) -> Response:  # fmt: skip
    code = _code(caller)
    found = find_remittances(db, Filter(provider_code=code), after=after, limit=PAGE + 1)
    shown = found[:PAGE]
    standing = owed_to_companies(db, now=utc_now())
    owed = next((one for one in standing.owed if one.provider_code == code), None)
    return page(
        request,
        "company/remittances.html",
        company_name=provider_name(locale_of(request), code),
        rows=shown,
        owed=owed,
        paged=after is not None,
        next_id=shown[-1].one.id if len(found) > PAGE else None,
    )


@router.get("/{remittance_id}")
def show_remittance(request: Request, remittance_id: Id, db: Db, caller: Operator) -> Response:
    one = company_remittance(db, remittance_id, _code(caller))
    return page(
        request,
        "company/remittance.html",
        company_name=provider_name(locale_of(request), _code(caller)),
        **advice_facts(db, one),
    )


@router.get("/{remittance_id}/advice.pdf")
def show_advice(request: Request, remittance_id: Id, db: Db, caller: Operator) -> Response:
    return advice_pdf(request, db, company_remittance(db, remittance_id, _code(caller)))


@router.get("/{remittance_id}/advice.{kind}")
def export_advice(
    remittance_id: Id, kind: FileKind, db: Db, caller: Operator
) -> StreamingResponse:  # fmt: skip
    one = company_remittance(db, remittance_id, _code(caller))
    return advice_file(one.id, one.number, kind)
