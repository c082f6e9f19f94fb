"""A utility's own pages: its bills of a month as papers to print and post."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.documents.batches import BatchKind, DocumentBatch, get_batch
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid
from web.access import Caller, Db, Operator
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages import document_pages as papers
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/company/documents")
Month = Annotated[str, Form(max_length=7, pattern=PLAIN)]
FileNo = Annotated[str, Form(max_length=20, pattern=PLAIN)]


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


def _own(session: Session, batch_id: int, caller: Caller) -> DocumentBatch:
    return get_batch(session, batch_id, _code(caller))


@router.get("")
def show_batches(request: Request, db: Db, caller: Operator, after: After = None) -> Response:
    return _list_page(request, db, caller, before=after)


def _list_page(
    request: Request,
    session: Session,
    caller: Caller,
    *,
    before: int | None = None,
    refused: CityBillError | None = None,
) -> Response:
    return page(
        request,
        "company/documents.html",
        status_code=status_of(refused) if refused else 200,
        company_name=provider_name(locale_of(request), _code(caller)),
        months=papers.months_to_choose(with_this=True),
        error=papers.said(request, refused),
        **papers.list_context(request, session, _code(caller), before),
    )


@router.post("")
def order(
    request: Request, caller: Operator, csrf: Csrf, month: Month, file_no: FileNo = ""
) -> Response:
    """Have the bills of a month made, all of them or those of one file."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            return papers.order(
                session, caller, BatchKind.BILLS, _code(caller), papers.parse_month(month),
                papers.parse_file(file_no),
            )  # fmt: skip
    except (Conflict, Invalid) as refused:
        with transaction() as session:
            return _list_page(request, session, caller, refused=refused)


@router.get("/{batch_id}")
def show_batch(request: Request, batch_id: Id, db: Db, caller: Operator) -> Response:
    return _batch_page(request, db, batch_id, caller)


def _batch_page(
    request: Request,
    session: Session,
    batch_id: int,
    caller: Caller,
    refused: CityBillError | None = None,
) -> Response:
    return papers.batch_page(
        request, session, _own(session, batch_id, caller), "company/document_batch.html",
        refused=refused, company_name=provider_name(locale_of(request), _code(caller)),
    )  # fmt: skip


@router.post("/{batch_id}/cancellation")
def cancel(request: Request, batch_id: Id, caller: Operator, csrf: Csrf) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            papers.cancel(session, caller, _own(session, batch_id, caller))
    except Conflict as refused:
        with transaction() as session:
            return _batch_page(request, session, batch_id, caller, refused)
    return go(f"/company/documents/{batch_id}")


@router.get("/{batch_id}/volumes.zip")
def take_all(batch_id: Id, db: Db, caller: Operator) -> Response:
    return papers.all_volumes(db, caller, _own(db, batch_id, caller))


@router.get("/{batch_id}/{no}.pdf")
def take_one(batch_id: Id, no: Id, db: Db, caller: Operator) -> Response:
    return papers.one_volume(db, caller, _own(db, batch_id, caller), no)
