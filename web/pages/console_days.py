"""The staff console: the days of the books, and closing them one after the other."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import days
from billing.ledger_models import LedgerDay
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict
from web import look
from web.access import Db, Staff
from web.errors import status_of
from web.inputs import Csrf, Day
from web.pages.console import ledger_name
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/console/days")
DAYS_SHOWN = 62
SEAL_LENGTH = 12
Sure = Annotated[str, Form(max_length=3, default_factory=str)]


@router.get("")
def show_days(request: Request, db: Db, _caller: Staff) -> Response:
    today = billing_date(utc_now())
    next_on = days.next_to_close(db, today=today)
    open_days = [today] if next_on is None else [today, next_on]
    return page(
        request,
        "console/days.html",
        days=[_open(db, day) for day in open_days]
        + [_closed(row) for row in days.list_days(db, limit=DAYS_SHOWN)],
        next_on=next_on,
        waiting=(today - next_on).days if next_on else 0,
    )


def _open(session: Session, day: date) -> dict[str, Any]:
    found = days.show_day(session, day)
    return {
        "day": day, "closed_at": None, "transfers": found.transfers,
        "amount_fen": found.amount_fen, "seal": None,
    }  # fmt: skip


def _closed(row: LedgerDay) -> dict[str, Any]:
    return {
        "day": row.day, "closed_at": row.closed_at, "transfers": row.transfers,
        "amount_fen": row.amount_fen, "seal": row.sha256.hex()[:SEAL_LENGTH],
    }  # fmt: skip


@router.get("/{day}")
def show_day(request: Request, day: Day, db: Db, _caller: Staff) -> Response:
    return _day_page(request, db, day)


@router.post("/{day}/closing")
def close(request: Request, day: Day, db: Db, caller: Staff, csrf: Csrf, sure: Sure) -> Response:
    check_form(request, csrf)
    if sure != "yes":
        return _day_page(request, db, day, unsure=True)
    try:
        with transaction() as session:
            days.close_day(session, day, closed_by=caller.contact, now=utc_now())
    except Conflict as refused:
        return _day_page(request, db, day, refused=refused)
    return go(f"/console/days/{day}")


def _day_page(
    request: Request,
    session: Session,
    day: date,
    *,
    unsure: bool = False,
    refused: Conflict | None = None,
) -> Response:
    locale = locale_of(request)
    found = days.show_day(session, day)
    error = look.say(locale, "Tick that the figures were looked at.") if unsure else None
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
        may_close=day == days.next_to_close(session, today=billing_date(utc_now())),
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
    }.get(refused.code, str(refused))
