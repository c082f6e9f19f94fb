"""The staff console's papers in volumes: households' statements, and any company's bills."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.documents.batches import BatchKind, get_batch
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid
from providers.registry import get_provider, provider_codes
from web.access import Db, Service
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages import document_pages as papers
from web.pages.company.documents import Month
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/console/documents")
STATEMENTS = "statements"
What = Annotated[str, Form(max_length=60, pattern=PLAIN)]


@router.get("")
def show_batches(request: Request, db: Db, _caller: Service, after: After = None) -> Response:
    return _list_page(request, db, before=after)


def _list_page(
    request: Request,
    session: Session,
    *,
    before: int | None = None,
    refused: CityBillError | None = None,
) -> Response:
    locale = locale_of(request)
    return page(
        request,
        "console/documents.html",
        status_code=status_of(refused) if refused else 200,
        companies=[(code, provider_name(locale, code)) for code in provider_codes()],
        months=papers.months_to_choose(with_this=False),
        error=papers.said(request, refused),
        **papers.list_context(request, session, None, before),
    )


@router.post("")
def order(request: Request, caller: Service, csrf: Csrf, what: What, month: Month) -> Response:
    """Have a month's statements, or a company's bills, made."""
    check_form(request, csrf)
    code = None if what == STATEMENTS else get_provider(what).code
    kind = BatchKind.STATEMENTS if code is None else BatchKind.BILLS
    try:
        with transaction() as session:
            return papers.order(session, caller, kind, code, papers.parse_month(month))
    except (Conflict, Invalid) as refused:
        with transaction() as session:
            return _list_page(request, session, refused=refused)


@router.get("/{batch_id}")
def show_batch(request: Request, batch_id: Id, db: Db, _caller: Service) -> Response:
    return papers.batch_page(
        request, db, get_batch(db, batch_id), "console/document_batch.html"
    )  # fmt: skip


@router.post("/{batch_id}/cancellation")
def cancel(request: Request, batch_id: Id, caller: Service, csrf: Csrf) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            papers.cancel(session, caller, get_batch(session, batch_id))
    except Conflict as refused:
        with transaction() as session:
            return papers.batch_page(
                request, session, get_batch(session, batch_id), "console/document_batch.html",
                refused=refused,
            )  # fmt: skip
    return go(f"/console/documents/{batch_id}")


@router.get("/{batch_id}/volumes.zip")
def take_all(batch_id: Id, db: Db, caller: Service) -> Response:
    return papers.all_volumes(db, caller, get_batch(db, batch_id))


@router.get("/{batch_id}/{no}.pdf")
def take_one(batch_id: Id, no: Id, db: Db, caller: Service) -> Response:
    return papers.one_volume(db, caller, get_batch(db, batch_id), no)
