"""The staff console: the days of the books, what each waits for, and closing them in turn."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing.ledger import days
from billing.ledger.models import LedgerDay
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict
from identity import audit
from payments.reconciliation.closing import closing
from payments.reconciliation.closing.checklist import State, Weight, checklist
from payments.reconciliation.closing.report import day_report
from payments.reconciliation.closing.report_pdf import day_report_pdf
from web import look
from web.access import Db, Finance
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Day
from web.pages.console.breaks import namer
from web.pages.console.reconciliations import ledger_name
from web.pages.filters import FileKind
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.checks import check_row

router = APIRouter(prefix="/console/days")
DAYS_SHOWN = 62
SEAL_LENGTH = 12
REFRESH_SECONDS = 5
Before = Annotated[date | None, Query(ge=date(2000, 1, 1), lt=date(2100, 1, 1))]
Sure = Annotated[str, Form(max_length=3, default_factory=str)]
Reason = Annotated[str, Form(max_length=closing.MAX_REASON, pattern=PLAIN, default_factory=str)]


@router.get("")
def show_days(request: Request, db: Db, _caller: Finance, before: Before = None) -> Response:
    today = billing_date(utc_now())
    next_on = days.next_to_close(db, today=today)
    open_days = [] if before else [today] if next_on is None else [today, next_on]
    found = closing.list_closed(db, before=before, limit=DAYS_SHOWN + 1)
    closed = found[:DAYS_SHOWN]
    return page(
        request,
        "console/days.html",
        days=[_open(db, day) for day in open_days] + [_closed(*one) for one in closed],
        next_on=next_on,
        waiting=(today - next_on).days if next_on else 0,
        paged=before is not None,
        before=closed[-1].row.day if len(found) > DAYS_SHOWN else None,
    )


@router.get(".{kind}")
def export_days(request: Request, kind: FileKind, db: Db, caller: Finance) -> StreamingResponse:
    """Give every closed day as a file."""
    locale = locale_of(request)
    audit.note_export(db, caller.id, "days", kind, "", now=utc_now())

    def read(session: Session) -> Iterator[list[Cell]]:
        for row, despite in closing.list_closed(session):
            yield [
                row.day, row.closed_at, row.closed_by, row.transfers, Yuan(row.amount_fen),
                row.sha256.hex(), despite,
            ]  # fmt: skip

    head = [
        look.say(locale, "Day"), look.say(locale, "Closed"), look.say(locale, "Closed by"),
        look.say(locale, "Transfers"), look.say(locale, "Amount"), look.say(locale, "Seal"),
        look.say(locale, "Closed all the same because"),
    ]  # fmt: skip
    return export(kind, name="days", head=head, rows=read_rows(read))


def _open(session: Session, day: date) -> dict[str, Any]:
    found = days.show_day(session, day)
    return {
        "day": day, "closed_at": None, "transfers": found.transfers,
        "amount_fen": found.amount_fen, "seal": None, "despite": None,
    }  # fmt: skip


def _closed(row: LedgerDay, despite: str | None) -> dict[str, Any]:
    return {
        "day": row.day, "closed_at": row.closed_at, "transfers": row.transfers,
        "amount_fen": row.amount_fen, "seal": row.sha256.hex()[:SEAL_LENGTH], "despite": despite,
    }  # fmt: skip


@router.get("/{day}")
def show_day(request: Request, day: Day, db: Db, _caller: Finance) -> Response:
    return _day_page(request, db, day)


@router.get("/{day}/report.pdf")
def show_report(request: Request, day: Day, db: Db, _caller: Finance) -> Response:
    """Give the day's report to print and sign."""
    facts = day_report(db, day, gateways=request.app.state.gateways, now=utc_now())
    return Response(
        day_report_pdf(facts, locale=locale_of(request)),
        media_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="citybill-{day}.pdf"'},
    )


@router.post("/{day}/closing")
def close(
    request: Request, day: Day, db: Db, caller: Finance, csrf: Csrf, sure: Sure, despite: Reason
) -> Response:
    check_form(request, csrf)
    if sure != "yes":
        return _day_page(request, db, day, unsure=True, despite=despite)
    try:
        with transaction() as session:
            closing.close(
                session, day, gateways=request.app.state.gateways, closed_by=caller.contact,
                despite=despite, now=utc_now(),
            )  # fmt: skip
    except Conflict as refused:
        return _day_page(request, db, day, refused=refused, despite=despite)
    return go(f"/console/days/{day}")


def _day_page(
    request: Request,
    session: Session,
    day: date,
    *,
    unsure: bool = False,
    refused: Conflict | None = None,
    despite: str = "",
) -> Response:
    locale, gateways, now = locale_of(request), request.app.state.gateways, utc_now()
    name = namer(request, session)
    found = days.show_day(session, day)
    kept = closing.closing_of(session, day) if found.closed_at else None
    first_open = days.next_to_close(session, today=billing_date(now)) or billing_date(now)
    is_open = found.closed_at is None and day >= first_open  # before it, no day is ever closed
    checks = checklist(session, day, gateways=gateways, now=now) if is_open else ()
    blocked = any(not one.done and one.weight is Weight.BLOCKS for one in checks)
    error = look.say(locale, "Tick that the figures were looked at.") if unsure else None
    under_way = day < billing_date(now) and any(one.state is State.WAITING for one in checks)
    return page(
        request,
        "console/day.html",
        status_code=422 if unsure else status_of(refused) if refused else 200,
        day=found,
        accounts=[
            one._asdict() | {"name": ledger_name(locale, one.code)}
            for one in found.accounts
            if one.debit_fen or one.credit_fen or one.balance_fen
        ],
        checks=[
            check_row(locale, one, name=name, day=day) for one in (kept.open if kept else checks)
        ],
        closed_despite=kept.despite if kept else None,
        done=sum(one.done for one in checks),
        may_close=is_open and day == first_open < billing_date(now) and not blocked,
        asks_why=any(not one.done and one.weight is Weight.ASKS for one in checks),
        despite=despite,
        refresh_seconds=REFRESH_SECONDS if under_way else None,
        error=_words(locale, refused) if refused else error,
        seal_length=SEAL_LENGTH,
    )


def _words(locale: str, refused: Conflict) -> str:
    """Say in the reader's language why a day cannot be closed."""
    next_on = refused.facts.get("next_on")
    if refused.code == "day.gap" and isinstance(next_on, str):
        return look.say(
            locale, "An earlier day is still open: close %(day)s first.",
            day=look.day_text(locale, date.fromisoformat(next_on)),
        )  # fmt: skip
    return {
        "day.not_over": look.say(locale, "This day is not over yet: close it tomorrow."),
        "day.before_books": look.say(
            locale, "This day lies before the first closed day: nothing can be posted on it."
        ),
        "day.busy": look.say(
            locale, "Something is still being posted on this day: try again in a moment."
        ),
        "day.blocked": look.say(locale, "The books of the day do not hold."),
        "day.open_checks": look.say(
            locale, "Not everything is done: say why the day is closed all the same."
        ),
    }.get(refused.code, str(refused))
