"""The staff console: what companies say they wrote off, day by day, against what we hold."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from identity import audit
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.company import arrivals as company_arrivals
from payments.reconciliation.company import desk as company_desk
from payments.reconciliation.company import lists as company
from payments.reconciliation.company.desk import PAGE, CompanyDay, DayState, Wanted
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Given, Way
from payments.reconciliation.intake.work import take_now
from payments.reconciliation.models import ArrivalState, Leg
from web import look
from web.access import Db, Finance
from web.bodies import SHORT_BYTES
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Day, Named
from web.pages.console.arrivals import told
from web.pages.file_views import provider_name
from web.pages.filters import FileKind, Word, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import complaint, refusal
from web.pages.words.breaks import remedy
from web.pages.words.files import said

router = APIRouter(prefix="/console/company-lists", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
BREAKS_SHOWN = 200
Code = Annotated[str, Form(max_length=64, pattern=PLAIN, default_factory=str)]


class Asked:
    """What the address asks for; ``after`` is the day and company a page ended with."""

    def __init__(self, source: Word = "", state: Word = "", after: Word = "") -> None:
        self.typed = {"source": source, "state": state}
        self.wanted = Wanted(source=source or None, state=one_of(DayState, state))
        self.after = _after(after)

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


def _after(word: str) -> tuple[date, str] | None:
    day, _, code = word.partition(" ")
    try:
        return (date.fromisoformat(day), code) if word else None
    except ValueError:
        raise Invalid("there is no such place in the list", code="request.malformed") from None


Filtered = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_lists(request: Request, db: Db, _caller: Finance, asked: Filtered) -> Response:
    return _lists_page(request, db, asked)


def _lists_page(
    request: Request,
    session: Session,
    asked: Asked,
    *,
    error: str | None = None,
    source: str = "",
    day: date | None = None,
) -> Response:
    now, locale = utc_now(), locale_of(request)
    rows = company_desk.find_days(session, asked.wanted, now=now, after=asked.after, limit=PAGE + 1)
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return page(
        request,
        "console/company_lists.html",
        status_code=422 if error else 200,
        rows=[_row(locale, one) for one in rows[:PAGE]],
        companies=[(code, provider_name(locale, code)) for code in company.companies_with_lists()],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=asked.after is not None,
        next_after=None if last is None else f"{last.day} {last.source}",
        source=source,
        day=day or billing_date(now),
        today=billing_date(now),
        error=error,
    )


def _row(locale: str, one: CompanyDay) -> dict[str, Any]:
    return {
        "one": one, "whose": provider_name(locale, one.source), "told": told(locale, one.answer),
    }  # fmt: skip


@router.get(".{form}")
def export_lists(
    request: Request, form: FileKind, db: Db, caller: Finance, asked: Filtered
) -> StreamingResponse:
    """Download every day the address asks for."""
    locale, now = locale_of(request), utc_now()
    audit.note_export(db, caller.id, "company_lists", form, asked.query(), now=now)
    head = [
        look.say(locale, "Day"), look.say(locale, "Company"), look.say(locale, "State"),
        look.say(locale, "Matched"), look.say(locale, "Awaited"), look.say(locale, "Differences"),
        look.say(locale, "Rejected"), look.say(locale, "Our count"),
        look.say(locale, "Their count"), look.say(locale, "Our sum"), look.say(locale, "Their sum"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        for one in company_desk.every_day(session, asked.wanted, now=now):
            yield [
                one.day, provider_name(locale, one.source), _state_text(locale, one.state),
                one.matched, one.awaited, one.open_breaks, one.rejected, one.our_count,
                one.their_count, Yuan(one.our_total_fen), Yuan(one.their_total_fen),
            ]  # fmt: skip

    return export(form, name="company-lists", head=head, rows=read_rows(rows))


def _state_text(locale: str, state: DayState) -> str:
    return look.macro_text(locale, "parts/reconciling.html", "list_pill", state.value)


@router.post("")
def hand_in(
    request: Request,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    source: Code,
    day: Annotated[date, Form(ge=date(2000, 1, 1), lt=date(2100, 1, 1))],
    file: UploadFile,
) -> Response:
    """Take a company's list of a day, whole or not at all, and match it."""
    check_form(request, csrf)
    asked, locale = Asked(), locale_of(request)
    if source not in company.companies_with_lists():
        error = look.say(locale, "Choose whose list it is.")
        return _lists_page(request, db, asked, error=error, day=day)
    try:
        take_now(
            file.file, Given(leg=Leg.COMPANY, source=source, day=day),
            Way(CameBy.UPLOAD, person_id=caller.id), request.app.state.gateways,
            file_name=file.filename or "upload", now=utc_now(),
        )  # fmt: skip
    except CityBillError as refused:
        error = complaint(locale, refused)
        return _lists_page(request, db, asked, error=error, source=source, day=day)
    return go(f"/console/company-lists/{source}/{day}")


@router.get("/{source}/{day}")
def show_list(request: Request, source: Named, day: Day, db: Db, _caller: Finance) -> Response:
    return _list_page(request, db, source, day)


@router.get("/{source}/{day}/rejects.{form}")
def export_rejects(
    request: Request, source: Named, day: Day, form: FileKind, db: Db, caller: Finance
) -> StreamingResponse:
    """Download the rows of a list that nobody could read."""
    locale = locale_of(request)
    audit.note_export(
        db, caller.id, "company_rejects", form, f"source={source}&day={day}", now=utc_now()
    )
    head = [
        look.say(locale, "Line"), look.say(locale, "Column"), look.say(locale, "Reason"),
        look.say(locale, "As it came"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        for one in company_desk.list_rejects(session, source, day):
            yield [one.line_no, one.column_name, said(locale, one.reason), one.raw]

    return export(form, name=f"rejected-{source}-{day}", head=head, rows=read_rows(rows))


@router.post("/{source}/{day}/fetch")
def fetch(
    request: Request, source: Named, day: Day, db: Db, _caller: Finance, csrf: Csrf
) -> Response:
    """Have a list that is due asked for at once."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            company_arrivals.ask_now(session, source, day, now=utc_now())
    except CityBillError as refused:
        return _list_page(request, db, source, day, refused=refused)
    return go(f"/console/company-lists/{source}/{day}?asked=true")


def _list_page(
    request: Request,
    session: Session,
    source: str,
    day: date,
    *,
    refused: CityBillError | None = None,
) -> Response:
    locale, now = locale_of(request), utc_now()
    company.layout_of(source)
    found = company_desk.get_list(session, source, day)
    waiting = found.arrival.state is ArrivalState.WAITING
    run = None if waiting else company.get_company_result(session, source, day)
    differences = [] if waiting else list_breaks(session, source, day, leg=Leg.COMPANY)
    return page(
        request,
        "console/company_list.html",
        status_code=status_of(refused) if refused else 200,
        source=source,
        whose=provider_name(locale, source),
        day=day,
        found=found,
        run=run,
        state=_state(run, late=now > company_desk.late_at(found.arrival)),
        told=told(locale, found.arrival.answer),
        may_fetch=waiting and found.arrival.due_at <= now,
        asked="asked" in request.query_params and waiting,
        breaks=[(one, remedy(locale, one.kind)) for one in differences[:BREAKS_SHOWN]],
        breaks_total=len(differences),
        error=refusal(locale, refused),
    )


def _state(run: company.CompanyResult | None, *, late: bool) -> DayState:
    if run is None:
        return DayState.LATE if late else DayState.WAITING
    return DayState.BALANCED if run.balanced else DayState.BREAKS
