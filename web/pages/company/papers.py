"""A utility's own pages: e-invoices and meter photos of its bills, sent by hand."""

import csv
import io
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import Response
from sqlmodel import Session

from billing import paper_uploads
from billing.paper_uploads import MOST_FILES, MOST_SENT_BYTES, Outcome
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from core.formulas import as_plain
from identity import audit
from identity.audit import Deed, Subject
from web import look
from web.access import Caller, Db, Operator
from web.bodies import SHORT_BYTES
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages.document_pages import months_to_choose, parse_month
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/company/papers", max_body_size=MOST_SENT_BYTES + SHORT_BYTES)
SHOWN = 25
Month = Annotated[str, Form(max_length=7, pattern=PLAIN)]
BillNo = Annotated[str, Query(max_length=64, pattern=PLAIN)]


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


@router.get("")
def show_uploads(
    request: Request, db: Db, caller: Operator, bill_no: BillNo = "", after: After = None
) -> Response:
    return _list_page(request, db, caller, bill_no=bill_no.strip(), before=after)


def _list_page(
    request: Request,
    session: Session,
    caller: Caller,
    *,
    bill_no: str = "",
    before: int | None = None,
    refused: CityBillError | None = None,
) -> Response:
    rows, more = paper_uploads.list_uploads(
        session, _code(caller), bill_no=bill_no, before_id=before, limit=SHOWN
    )
    return page(
        request,
        "company/papers.html",
        status_code=status_of(refused) if refused else 200,
        company_name=provider_name(locale_of(request), _code(caller)),
        months=months_to_choose(with_this=True),
        rows=rows,
        next_id=rows[-1].upload.id if more else None,
        paged=before is not None,
        bill_no=bill_no,
        most=MOST_FILES,
        most_mb=MOST_SENT_BYTES >> 20,
        error=refused and _why(locale_of(request), refused.code, str(refused)),
    )


@router.post("")
def send(
    request: Request, db: Db, caller: Operator, csrf: Csrf, month: Month, files: list[UploadFile]
) -> Response:
    """Keep papers, each by its bill, and lead to what became of them."""
    check_form(request, csrf)
    try:
        upload_id = _take_in(caller, parse_month(month), files)
    except CityBillError as refused:
        return _list_page(request, db, caller, refused=refused)
    return go(f"/company/papers/{upload_id}")


def _take_in(caller: Caller, month: date, files: list[UploadFile]) -> int:
    now = utc_now()
    upload_id = paper_uploads.take_in(
        _code(caller), [(one.filename or "", one.file) for one in files], month, by=caller.id,
        now=now,
    )  # fmt: skip
    with transaction() as session:
        taken = paper_uploads.list_files(session, upload_id)
        refused = sum(one.outcome is Outcome.REFUSED for one in taken)
        audit.note(
            session, caller.id, Deed.PAPERS_SENT, subject=Subject("papers", str(upload_id)),
            detail={"files": len(taken), "refused": refused}, now=now,
        )  # fmt: skip
    return upload_id


@router.get("/{upload_id}")
def show_upload(request: Request, upload_id: Id, db: Db, caller: Operator) -> Response:
    upload = paper_uploads.get_upload(db, upload_id, _code(caller))
    files = paper_uploads.list_files(db, upload_id)
    locale = locale_of(request)
    return page(
        request,
        "company/paper_upload.html",
        company_name=provider_name(locale, _code(caller)),
        upload=upload,
        files=[(one, _why(locale, one.code, one.reason)) for one in files],
        counts={each.value: sum(one.outcome is each for one in files) for each in Outcome},
    )


@router.get("/{upload_id}/rejects.csv")
def take_rejects(request: Request, upload_id: Id, db: Db, caller: Operator) -> Response:
    """Answer with the files that were refused, and why, as CSV that opens well in spreadsheets."""
    paper_uploads.get_upload(db, upload_id, _code(caller))
    locale = locale_of(request)
    written = io.StringIO(newline="")
    lines = csv.writer(written)
    lines.writerow(("file", "bill_no", "code", "reason"))
    for one in paper_uploads.list_files(db, upload_id, refused_only=True):
        told = (one.file_name, one.bill_no, one.code, _why(locale, one.code, one.reason))
        lines.writerow(map(as_plain, told))
    return Response(
        f"\ufeff{written.getvalue()}",
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="papers-{upload_id}-rejects.csv"'},
    )


def _why(locale: str, code: str, reason: str) -> str:
    """Say why something was refused and what to do, in the reader's language where it is known."""
    return {
        "paper.no_bill": look.say(
            locale,
            "We hold no such bill of yours in this month. Check the bill number and the month, and"
            " send the bill before its papers.",
        ),
        "paper.two_bills": look.say(
            locale, "Several bills have this number. Name the account in an index.csv."
        ),
        "paper.name": look.say(locale, "Name the file by its bill: BILLNO.pdf."),
        "paper.type": look.say(locale, "Send PDF, OFD, XML, JPEG or PNG."),
        "paper.other_type": look.say(
            locale, "The bytes are not what the name says. Send the file whole, under its own kind."
        ),
        "paper.size": look.say(locale, "The file is empty, or larger than 2 MB."),
        "paper.number": look.say(
            locale,
            "An invoice needs its number and day: name it BILLNO_INVOICENO_YYYYMMDD.pdf, or list it"
            " in an index.csv. A photo has neither.",
        ),
        "paper.number_differs": look.say(
            locale, "The file itself states another invoice number. Send it under that one."
        ),
        "paper.number_taken": look.say(
            locale, "This very file is kept under another invoice number."
        ),
        "paper.other_bytes": look.say(
            locale,
            "Another file is kept under this invoice number, and an issued invoice stays as it is."
            " Send what replaces it under its own number.",
        ),
        "papers.too_many": look.say(
            locale, "Send 1 to %(most)s files at once; larger sendings in parts.", most=MOST_FILES
        ),
        "paper.index": look.say(locale, "The index.csv cannot be read: %(why)s", why=reason),
        "papers.zip": look.say(
            locale, "The zip archive is damaged or locked. Pack it anew as an ordinary zip."
        ),
        "documents.month": look.say(locale, "Choose a month of the list."),
    }.get(code, reason)
