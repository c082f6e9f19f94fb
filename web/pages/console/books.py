"""The staff console: files of gateways, companies and banks, how far each is, what became of it."""

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError
from identity import audit
from identity.audit import Deed, Subject
from identity.people import get_person
from payments.reconciliation.company.lists import companies_with_lists
from payments.reconciliation.gateway.sources import with_files
from payments.reconciliation.intake import lists as intake_lists
from payments.reconciliation.intake import receiving as intake
from payments.reconciliation.intake.lists import Filter
from payments.reconciliation.intake.models import OVER, BookFile, BookState, CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Way
from payments.reconciliation.intake.senders import fetching_fails
from payments.reconciliation.models import Leg
from payments.statements.profiles import bank_profiles
from web import look
from web.access import Db, Finance
from web.bodies import SHORT_BYTES
from web.errors import status_of
from web.exports import Cell, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind, Word, day_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import complaint
from web.pages.words.files import said
from web.pages.words.gateways import gateway_choices, gateway_of
from web.pages.words.residents import company_of

router = APIRouter(prefix="/console", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
Whose = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]
OptionalDay = Annotated[str, Form(max_length=10, pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$",
                                  default_factory=str)]  # fmt: skip
_REFRESH_SECONDS = 2
_HEAD = (
    "id", "received_at", "came_by", "sender", "leg", "source", "day", "file_name", "size_bytes",
    "sha256", "state", "rows", "matched", "differences", "complaint",
)  # fmt: skip


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, state: Word = "", leg: Word = "", source: Word = "", way: Word = "") -> None:
        self.typed = {"state": state, "leg": leg, "source": source, "way": way}
        self.filter = Filter(
            one_of(BookState, state), one_of(Leg, leg), source or None, one_of(CameBy, way)
        )

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Wanted = Annotated[Asked, Depends(Asked)]


@router.get("/books")
def show_books(
    request: Request, db: Db, _caller: Finance, asked: Wanted, after: After = None
) -> Response:
    return _list_page(request, db, asked, after=after)


@router.get("/books.{kind}")
def export_books(
    db: Db, caller: Finance, asked: Wanted, kind: FileKind
) -> StreamingResponse:  # fmt: skip
    """Answer with all that is filtered as a file."""
    audit.note_export(db, caller.id, "books", kind, asked.query(), now=utc_now())
    rows = read_rows(lambda session: _cells(intake_lists.every_file(session, asked.filter)))
    return export(kind, name="books", head=_HEAD, rows=rows)


def _cells(rows: Iterator[BookFile]) -> Iterator[list[Cell]]:
    for one in rows:
        yield [
            str(one.id), one.received_at, one.came_by.value, one.sender,
            one.leg and one.leg.value, one.source, one.day, one.file_name, one.size_bytes,
            one.sha256, one.state.value, one.told.get("rows"), one.told.get("matched"),
            one.told.get("breaks"), one.complaint,
        ]  # fmt: skip


@router.post("/books")
def bring_in(
    request: Request,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    file: UploadFile,
    whose: Whose,
    day: OptionalDay,
) -> Response:
    """Keep a file to be read by a job; whose it is need not be said."""
    check_form(request, csrf)
    try:
        given = intake.whose({"whose": whose}, day_of(day))
        with transaction() as session:
            row = intake.receive(
                session, file.file, given, Way(CameBy.UPLOAD, caller.id),
                file_name=file.filename or "upload", now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        return _list_page(request, db, Asked(), refused=refused, whose=whose, day=day)
    return go(f"/console/books/{row.id}")


@router.get("/books/{book_file_id}")
def show_book(request: Request, book_file_id: Id, db: Db, _caller: Finance) -> Response:
    return _file_page(request, db, book_file_id)


@router.post("/books/{book_file_id}")
def read_book(
    request: Request,
    book_file_id: Id,
    db: Db,
    _caller: Finance,
    csrf: Csrf,
    whose: Whose,
    day: OptionalDay,
) -> Response:
    """Have a file read again; of one nobody could tell, first say whose it is."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            if whose:
                given = intake.whose({"whose": whose}, day_of(day))
                intake.say_whose(session, book_file_id, given, now=utc_now())
            else:
                intake.read_again(session, book_file_id, now=utc_now())
    except CityBillError as refused:
        return _file_page(request, db, book_file_id, refused=refused)
    return go(f"/console/books/{book_file_id}")


@router.get("/books/{book_file_id}/file")
def download_book(book_file_id: Id, db: Db, caller: Finance) -> Response:
    """Answer with the file as it came; the log knows who has it, as it masks nothing."""
    row = intake.get_book_file(db, book_file_id)
    subject = Subject("book_file", str(book_file_id))
    audit.note(db, caller.id, Deed.LIST_EXPORTED, subject=subject, now=utc_now())
    return Response(
        intake.bytes_of(db, book_file_id),
        media_type="application/octet-stream",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.file_name)}"},
    )


def _list_page(
    request: Request,
    session: Session,
    asked: Asked,
    *,
    after: int | None = None,
    refused: CityBillError | None = None,
    whose: str = "",
    day: str = "",
) -> Response:
    found = intake_lists.find_files(session, asked.filter, after=after, limit=intake_lists.PAGE + 1)
    shown = found[: intake_lists.PAGE]
    counted = intake_lists.count_files(session)
    return page(
        request,
        "console/books.html",
        status_code=status_of(refused) if refused else 200,
        rows=[_row(request, one) for one in shown],
        counted=counted,
        trouble=[(who, said(locale_of(request), why)) for who, why in fetching_fails(session)],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > intake_lists.PAGE else None,
        choices=_choices(request),
        whose=whose,
        day=day,
        today=billing_date(utc_now()),
        error=complaint(locale_of(request), refused) if refused else None,
        refresh_seconds=None if all(one.state in OVER for one in shown) else _REFRESH_SECONDS,
    )


def _file_page(
    request: Request, session: Session, book_file_id: int, *, refused: CityBillError | None = None
) -> Response:
    row = intake.get_book_file(session, book_file_id)
    by = get_person(session, row.brought_by).name if row.brought_by is not None else row.sender
    guess = row.told.get("choices") or []
    return page(
        request,
        "console/book.html",
        status_code=status_of(refused) if refused else 200,
        one=_row(request, row),
        by=by,
        choices=_choices(request),
        chosen=f"{guess[0][0]}/{guess[0][1]}" if guess else "",
        day=row.day or (guess[0][2] if guess else ""),
        is_kept=bool(intake.is_kept(session, book_file_id)),
        today=billing_date(utc_now()),
        error=complaint(locale_of(request), refused) if refused else None,
        refresh_seconds=None if row.state in OVER else _REFRESH_SECONDS,
    )


def _row(request: Request, row: BookFile) -> dict[str, Any]:
    return {
        "id": row.id, "file_name": row.file_name, "state": row.state.value, "day": row.day,
        "leg": row.leg and row.leg.value, "whose": _whose(request, row), "told": row.told,
        "came_by": row.came_by.value, "sender": row.sender, "received_at": row.received_at,
        "state_at": row.state_at, "size_bytes": row.size_bytes, "sha256": row.sha256,
        "rows_done": row.rows_done, "rows_of": row.rows_of,
        "complaint": said(locale_of(request), row.complaint or ""),
        "percent": 100 * row.rows_done // row.rows_of if row.rows_of else 0,
        "href": _result(row),
    }  # fmt: skip


def _result(row: BookFile) -> str | None:
    """Return where what came of a file is shown."""
    if row.state is not BookState.DONE:
        return None
    return {
        Leg.GATEWAY: f"/console/reconciliations/{row.source}/{row.day}",
        Leg.COMPANY: f"/console/company-lists/{row.source}/{row.day}",
        Leg.BANK: "/console/bank",
        None: None,
    }[row.leg]


def _whose(request: Request, row: BookFile) -> str:
    if row.leg is Leg.BANK:
        return look.say(locale_of(request), "Our bank")
    if row.leg is Leg.COMPANY:
        return company_of(request)(row.source)
    return gateway_of(request)(row.source) if row.source else ""


def _choices(request: Request) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return whose a file may be, by kind."""
    locale = locale_of(request)
    gateways = with_files(request.app.state.gateways).values()
    known = look.say(locale, "Statement: camt, MT940, BAI2")
    return [
        ("gateway", [
            (f"gateway/{code}", name) for code, name in gateway_choices(request, gateways)
        ]),
        ("company", [
            (f"company/{code}", provider_name(locale, code)) for code in companies_with_lists()
        ]),
        ("bank", [("bank/", known), *(
            (f"bank/{one.code}", one.name) for one in bank_profiles().values()
        )]),
    ]  # fmt: skip
