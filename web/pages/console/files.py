"""The staff console's bill files: every company's."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing.files.bill_files import (
    MAX_FILE_BYTES,
    PAGE,
    FileFilter,
    every_bill_file,
    get_bill_file,
    list_bill_files,
    receive,
)
from billing.files.gaps import find_gaps
from billing.models import BillFileStatus
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from identity import audit
from identity.audit import Deed, Subject
from providers.registry import PROVIDERS, get_provider
from web import look
from web.access import Db, Setup
from web.api.bill_files import rejects_csv
from web.bodies import SHORT_BYTES
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import Csrf, Id, Text
from web.pages.file_views import (
    file_facts,
    file_row,
    missing_numbers,
    provider_name,
    status_name,
)
from web.pages.filters import After, FileKind, Word, day_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.files import said

router = APIRouter(prefix="/console", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, of: Word = "", status: Word = "", first: Word = "", last: Word = "") -> None:
        self.typed = {"of": of, "status": status, "first": first, "last": last}
        self.wanted = FileFilter(
            provider_code=of or None, status=one_of(BillFileStatus, status),
            first_on=day_of(first), last_on=day_of(last),
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("/bill-files")
def show_bill_files(
    request: Request, db: Db, _caller: Setup, asked: Filter, after: After = None
) -> Response:
    return _bill_files_page(request, db, asked, after=after)


def _bill_files_page(
    request: Request,
    session: Session,
    asked: Asked,
    *,
    after: int | None = None,
    refused: CityBillError | None = None,
) -> Response:
    locale = locale_of(request)
    found = list_bill_files(session, asked.wanted, after=after, limit=PAGE + 1)
    shown = found[:PAGE]
    return page(
        request,
        "console/bill_files.html",
        status_code=status_of(refused) if refused else 200,
        files=[file_row(locale, row) for row in shown],
        providers=[{"code": code, "name": provider_name(locale, code)} for code in PROVIDERS],
        statuses=[(one.value, status_name(locale, one)) for one in BillFileStatus],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > PAGE else None,
        missing=missing_numbers(locale, find_gaps(session, PROVIDERS, now=utc_now()), named=True),
        error=said(locale, str(refused)) if refused else None,
    )


@router.post("/bill-files")
def upload_bill_file(
    request: Request,
    db: Db,
    _caller: Setup,
    asked: Filter,
    csrf: Csrf,
    provider: Text,
    file: UploadFile,
) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            kept = receive(
                session, get_provider(provider).code, file.file,
                file_name=file.filename or "upload", received_via="console", now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        return _bill_files_page(request, db, asked, refused=refused)
    return go(f"/console/bill-files/{kept.id}")


@router.get("/bill-files.{kind}")
def export_bill_files(
    request: Request, kind: FileKind, db: Db, caller: Setup, asked: Filter
) -> StreamingResponse:
    locale = locale_of(request)
    audit.note_export(db, caller.id, "bill-files", kind, asked.query(), now=utc_now())

    def read(session: Session) -> Iterator[list[Cell]]:
        for one in every_bill_file(session, asked.wanted):
            changed = one.superseded + one.cancelled + one.reminded
            yield [
                one.id, provider_name(locale, one.provider_code), one.file_name, one.received_at,
                one.received_via, status_name(locale, one.status), one.rows, one.created, changed,
                one.unchanged, one.waiting, one.rejected, Yuan(one.total_fen),
                said(locale, one.complaint or ""),
            ]  # fmt: skip

    head = [
        look.say(locale, "Number"), look.say(locale, "Company"), look.say(locale, "File"),
        look.say(locale, "Received"), look.say(locale, "Came by"), look.say(locale, "State"),
        look.say(locale, "Rows"), look.say(locale, "New"), look.say(locale, "Changed"),
        look.say(locale, "Unchanged"), look.say(locale, "Waiting"), look.say(locale, "Rejected"),
        look.say(locale, "Total"), look.say(locale, "Why it was refused"),
    ]  # fmt: skip
    return export(kind, name="bill-files", head=head, rows=read_rows(read))


@router.get("/bill-files/{bill_file_id}/rejects.csv")
def download_rejects(
    request: Request, bill_file_id: Id, db: Db, caller: Setup
) -> StreamingResponse:  # fmt: skip
    """Stream a file's rejects; they hold residents' names and addresses, so it is noted."""
    get_bill_file(db, bill_file_id)
    audit.note(
        db, caller.id, Deed.LIST_EXPORTED, subject=Subject("bill_file", str(bill_file_id)),
        detail={"format": "csv"}, now=utc_now(),
    )  # fmt: skip
    return rejects_csv(bill_file_id, partial(said, locale_of(request)))


@router.get("/bill-files/{bill_file_id}")
def show_bill_file(request: Request, bill_file_id: Id, db: Db, _caller: Setup) -> Response:
    row = get_bill_file(db, bill_file_id)
    return page(request, "console/bill_file.html", **file_facts(db, locale_of(request), row))
