"""A household's calendar: when bills come, are due, debited and paid, by month or as a list."""

from collections import defaultdict
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.bills import ONLINE_MONTHS
from billing.calendar import Entry, Kind, days_off_calendar
from billing.homes.households import visible_accounts
from billing.rules.workdays import holiday_name, is_marked, is_working_day
from core.clock import add_months, billing_date, month_start, utc_now
from core.errors import Invalid
from core.money import format_yuan
from core.settings import settings
from payments.calendar import list_entries
from web import look
from web.access import Db, Resident
from web.ics import Event, write_calendar
from web.inputs import PLAIN
from web.pages.filters import month_of
from web.pages.page import locale_of, page

router = APIRouter()
_AHEAD_MONTHS = 12
_FILE_BACK, _FILE_AHEAD = timedelta(days=62), timedelta(days=184)
Short = Annotated[str, Query(max_length=10, pattern=PLAIN)]


@router.get("/calendar")
def show_calendar(
    request: Request, db: Db, caller: Resident, month: Short = "", view: Short = ""
) -> Response:
    """Show a month; one that cannot be read, or lies too far away, is this one."""
    today = billing_date(utc_now())
    first = _month(month, today)
    last = add_months(first, 1) - timedelta(days=1)
    starts = first - timedelta(days=first.weekday())
    ends = last + timedelta(days=6 - last.weekday())
    accounts = visible_accounts(db, caller.id)
    found: dict[date, list[Entry]] = defaultdict(list)
    for entry in list_entries(db, accounts, starts, ends, today=today):
        found[entry.on].append(entry)
    calendar, locale = days_off_calendar(db, accounts, today=today), locale_of(request)
    days = [
        _day(starts + timedelta(days=at), found, calendar, locale)
        for at in range((ends - starts).days + 1)
    ]
    return page(
        request,
        "calendar.html",
        month=first,
        weeks=[days[at : at + 7] for at in range(0, len(days), 7)],
        listed=[day for day in days if day["on"].month == first.month and day["entries"]],
        today=today,
        as_list=view == "list",
        previous=_link(add_months(first, -1), view) if first > _first_of(today) else None,
        next=_link(add_months(first, 1), view) if first < _last_of(today) else None,
        has_accounts=bool(accounts),
    )


def _month(typed: str, today: date) -> date:
    try:
        month = month_of(typed)
    except Invalid:
        month = None
    within = month is not None and _first_of(today) <= month <= _last_of(today)
    return month if month is not None and within else month_start(today)


def _first_of(today: date) -> date:
    return add_months(month_start(today), -ONLINE_MONTHS)


def _last_of(today: date) -> date:
    return add_months(month_start(today), _AHEAD_MONTHS)


def _link(month: date, view: str) -> str:
    return f"/calendar?month={month:%Y-%m}" + ("&view=list" if view == "list" else "")


def _day(
    on: date, found: dict[date, list[Entry]], calendar: str, locale: str
) -> dict[str, Any]:  # fmt: skip
    """Return a day as the page shows it: ``mark`` is "off" or "worked" where no weekday says so."""
    works = is_working_day(calendar, on)
    name = holiday_name(calendar, on, "en_US" if locale == "en" else locale)
    return {
        "on": on,
        "entries": found.get(on, []),
        "works": works,
        "mark": ("worked" if works else "off") if is_marked(calendar, on) else "",
        "holiday": "" if works else name,
        "weekday": look.weekday_text(locale, on),
    }


@router.get("/calendar.ics")
def download(request: Request, db: Db, caller: Resident) -> Response:
    """Answer with what is near as a file that calendars take in; taken in again, it is renewed."""
    now, locale = utc_now(), locale_of(request)
    today = billing_date(now)
    name = look.say(locale, "Bills of my home")
    return Response(
        write_calendar(name, near_events(db, caller.id, locale, today=today), now=now),
        media_type="text/calendar; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="citybill.ics"'},
    )


def near_events(
    session: Session, person_id: int, locale: str, *, today: date, with_amounts: bool = True
) -> list[Event]:
    """Return what is near in the calendar of somebody's homes: two months back, six ahead."""
    accounts = visible_accounts(session, person_id)
    entries = list_entries(session, accounts, today - _FILE_BACK, today + _FILE_AHEAD, today=today)
    return [_event(one, locale, with_amount=with_amounts) for one in entries]


def _event(entry: Entry, locale: str, *, with_amount: bool) -> Event:
    company = look.company_name(locale, entry.account)
    kind = look.macro_text(locale, "parts/calendar.html", "kind_name", entry.kind.value)
    said = with_amount and entry.amount_fen is not None
    amount = f" {format_yuan(entry.amount_fen or 0)}" if said else ""
    month = look.month_text(locale, entry.billing_month)
    name = entry.bill_ref or f"{entry.account.account_id}.{entry.billing_month:%Y%m}"
    path = f"/bills/{entry.bill_ref}" if entry.bill_ref else "/calendar"
    to_pay = entry.kind is Kind.DUE and not entry.settled
    return Event(
        uid=f"{entry.kind.value}-{name}@{settings().public_url.split('//')[-1]}",
        on=entry.on,
        title=f"{company} {kind}{amount}",
        words=f"{month} {entry.account.account_no_masked}",
        url=f"{settings().public_url}{path}",
        remind=to_pay or entry.kind is Kind.DEBIT,
    )
