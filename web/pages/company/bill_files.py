"""A utility's own pages: its bill files, and the keys its systems sign with."""

from enum import StrEnum
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing.files import resending
from billing.files.bill_files import MAX_FILE_BYTES, receive
from billing.files.gaps import find_gaps
from billing.files.resending import company_file
from billing.models import BillFile, BillFileStatus
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict
from core.settings import settings
from identity import keys
from identity.keys import IssuedKey
from web.access import Caller, Db, Operator
from web.api.bill_files import rejects_csv
from web.bodies import SHORT_BYTES
from web.inputs import PLAIN, Csrf, Id, Named
from web.pages.file_views import file_facts, file_row, missing_numbers, provider_name
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.files import said

router = APIRouter(prefix="/company", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
FILES_SHOWN = 25
PUSHED = {"api-bills", "webhook"}  # their bytes are no file of the company's: not read again


class Shown(StrEnum):
    """Which files a list shows."""

    ALL = "all"
    RECEIVED = "received"
    IMPORTING = "importing"
    IMPORTED = "imported"
    REFUSED = "refused"


Show = Annotated[Shown, Query()]
Name = Annotated[str, Query(max_length=100, pattern=PLAIN)]
Before = Annotated[int | None, Query(ge=1, lt=1 << 63)]


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


def _said(request: Request, refused: CityBillError) -> str:
    return said(locale_of(request), refused.message)


@router.get("")
def show_files(
    request: Request,
    db: Db,
    caller: Operator,
    show: Show = Shown.ALL,
    name: Name = "",
    before: Before = None,
) -> Response:
    return _files_page(request, db, caller, show=show, name=name, before=before)


def _files_page(
    request: Request,
    session: Session,
    caller: Caller,
    *,
    show: Shown = Shown.ALL,
    name: str = "",
    before: int | None = None,
    error: str | None = None,
) -> Response:
    locale = locale_of(request)
    files, more = resending.company_files(
        session, _code(caller), name=name.strip(), before_id=before, limit=FILES_SHOWN,
        status=None if show is Shown.ALL else BillFileStatus(show.value),
    )  # fmt: skip
    return page(
        request,
        "company/files.html",
        status_code=422 if error else 200,
        company_name=provider_name(locale, _code(caller)),
        files=[file_row(locale, row) for row in files],
        next_before=files[-1].id if more else None,
        show=show.value,
        name_part=name,
        before=before,
        missing=missing_numbers(
            locale, find_gaps(session, [_code(caller)], now=utc_now()), named=False
        ),
        error=error,
    )


@router.post("/bill-files")
def upload(request: Request, db: Db, caller: Operator, csrf: Csrf, file: UploadFile) -> Response:
    check_form(request, csrf)
    try:
        kept_id = _receive(caller, file, replaced_id=None)
    except CityBillError as refused:
        return _files_page(request, db, caller, error=_said(request, refused))
    return go(f"/company/bill-files/{kept_id}")


def _receive(caller: Caller, file: UploadFile, *, replaced_id: int | None) -> int:
    now = utc_now()
    with transaction() as session:
        kept = receive(
            session, _code(caller), file.file, file_name=file.filename or "upload",
            received_via="company", now=now,
        )  # fmt: skip
        if replaced_id is not None:
            resending.replace(session, kept, replaced_id=replaced_id, now=now)
    assert kept.id is not None
    return kept.id


@router.get("/bill-files/{bill_file_id}")
def show_file(request: Request, bill_file_id: Id, db: Db, caller: Operator) -> Response:
    row = company_file(db, bill_file_id, _code(caller))
    return _file_page(request, db, row, caller, error=None)


def _file_page(
    request: Request, session: Session, row: BillFile, caller: Caller, *, error: str | None
) -> Response:
    assert row.id is not None
    locale = locale_of(request)
    linked = resending.replacements(session, row.id)
    refused = row.status is BillFileStatus.REFUSED and row.received_via not in PUSHED
    return page(
        request,
        "company/file.html",
        status_code=422 if error else 200,
        company_name=provider_name(locale, _code(caller)),
        in_place_of=[file_row(locale, one) for one in linked.of],
        replaced_by=[file_row(locale, one) for one in linked.by],
        may_replace=refused,
        may_read_again=refused and resending.bytes_are_kept(session, row.id),
        kept_days=settings().refused_file_days,
        error=error,
        **file_facts(session, locale, row),
    )


@router.get("/bill-files/{bill_file_id}/rejects.csv")
def download_rejects(
    request: Request, bill_file_id: Id, db: Db, caller: Operator
) -> StreamingResponse:  # fmt: skip
    company_file(db, bill_file_id, _code(caller))
    return rejects_csv(bill_file_id, partial(said, locale_of(request)))


@router.post("/bill-files/{bill_file_id}/again")
def read_again(
    request: Request, bill_file_id: Id, db: Db, caller: Operator, csrf: Csrf
) -> Response:
    """Have a refused file read once more as it came."""
    check_form(request, csrf)
    row = company_file(db, bill_file_id, _code(caller))
    try:
        with transaction() as session:
            resending.read_again(session, bill_file_id, now=utc_now())
    except Conflict as refused:
        return _file_page(request, db, row, caller, error=_said(request, refused))
    return go(f"/company/bill-files/{bill_file_id}")


@router.post("/bill-files/{bill_file_id}/replacement")
def replace(
    request: Request, bill_file_id: Id, db: Db, caller: Operator, csrf: Csrf, file: UploadFile
) -> Response:
    """Take in a corrected file in place of a refused one."""
    check_form(request, csrf)
    row = company_file(db, bill_file_id, _code(caller))
    try:
        kept_id = _receive(caller, file, replaced_id=bill_file_id)
    except CityBillError as refused:
        return _file_page(request, db, row, caller, error=_said(request, refused))
    return go(f"/company/bill-files/{kept_id}")


@router.get("/keys")
def show_keys(request: Request, db: Db, caller: Operator) -> Response:
    return _keys_page(request, db, caller)


def _keys_page(
    request: Request,
    session: Session,
    caller: Caller,
    *,
    issued: IssuedKey | None = None,
    error: str | None = None,
) -> Response:
    found = keys.list_signing_keys(session, _code(caller))
    return page(
        request,
        "company/keys.html",
        status_code=409 if error else 200,
        company_name=provider_name(locale_of(request), _code(caller)),
        provider_code=_code(caller),
        keys=found,
        may_issue=sum(key.revoked_at is None for key in found) < keys.MOST_LIVE,
        issued=issued,
        error=error,
    )


@router.post("/keys")
def issue_key(request: Request, db: Db, caller: Operator, csrf: Csrf) -> Response:
    """Make a key; its secret is on the answer's page and nowhere else."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            issued = keys.issue_signing_key(
                session, _code(caller), issued_by=caller.name_masked, now=utc_now(),
                secret_key=settings().secret_key.get_secret_value(),
            )  # fmt: skip
    except Conflict as refused:
        return _keys_page(request, db, caller, error=_said(request, refused))
    return _keys_page(request, db, caller, issued=issued)


@router.post("/keys/{key_id}/revocation")
def revoke_key(request: Request, key_id: Named, db: Db, caller: Operator, csrf: Csrf) -> Response:
    check_form(request, csrf)
    keys.revoke_signing_key(db, key_id, now=utc_now(), provider_code=_code(caller))
    return go("/company/keys")
