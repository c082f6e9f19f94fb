"""The staff console's bill files: every company's."""

from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing.bill_files import get_bill_file, list_bill_files, receive
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from providers.registry import PROVIDERS, get_provider
from web.access import Db, Staff
from web.api.bill_files import rejects_csv
from web.inputs import Csrf, Id, Text
from web.pages.file_views import file_facts, file_row, provider_name
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/console")


@router.get("/bill-files")
def show_bill_files(request: Request, db: Db, _caller: Staff) -> Response:
    return _bill_files_page(request, db, error=None)


def _bill_files_page(request: Request, session: Session, *, error: str | None) -> Response:
    locale = locale_of(request)
    return page(
        request,
        "console/bill_files.html",
        status_code=422 if error else 200,
        files=[file_row(locale, row) for row in list_bill_files(session)],
        providers=[{"code": code, "name": provider_name(locale, code)} for code in PROVIDERS],
        error=error,
    )


@router.post("/bill-files")
def upload_bill_file(
    request: Request, db: Db, _caller: Staff, csrf: Csrf, provider: Text, file: UploadFile
) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            kept = receive(
                session, get_provider(provider).code, file.file,
                file_name=file.filename or "upload", received_via="console", now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        return _bill_files_page(request, db, error=str(refused))
    return go(f"/console/bill-files/{kept.id}")


@router.get("/bill-files/{bill_file_id}/rejects.csv")
def download_rejects(bill_file_id: Id, db: Db, _caller: Staff) -> StreamingResponse:
    get_bill_file(db, bill_file_id)
    return rejects_csv(bill_file_id)


@router.get("/bill-files/{bill_file_id}")
def show_bill_file(request: Request, bill_file_id: Id, db: Db, _caller: Staff) -> Response:
    row = get_bill_file(db, bill_file_id)
    return page(request, "console/bill_file.html", **file_facts(db, locale_of(request), row))
