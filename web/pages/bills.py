"""All bills of a person's homes: by company, month, place and state; to be paid and taken out."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing import finding
from billing.bills import BillRef, parse_ref
from billing.finding import STATES, Shown, Wanted, by_month
from billing.homes.households import list_households, visible_accounts
from billing.homes.spans import Accounts
from billing.views import BillView
from core.clock import billing_date, utc_now
from core.errors import Invalid, NotFound
from web import look
from web.access import Caller, Db, Resident
from web.exports import Cell, Yuan, export, read_rows
from web.pages.file_views import provider_name
from web.pages.filters import FileKind, Word, fen_if_amount, month_of, number_of, one_of, query_of
from web.pages.page import locale_of, page

router = APIRouter()


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(
        self, company: Word = "", home: Word = "", place: Word = "", state: Word = "",
        from_month: Word = "", to_month: Word = "", q: Word = "",
    ) -> None:  # fmt: skip
        self.typed = {
            "company": company, "home": home, "place": place, "state": state,
            "from_month": from_month, "to_month": to_month, "q": " ".join(q.split()),
        }  # fmt: skip

    def wanted(self, accounts: Accounts) -> Wanted:
        """Return what is looked for.

        Raises:
            Invalid: no such state, or no month.
        """
        state = one_of(Shown, self.typed["state"])
        months = month_of(self.typed["from_month"]), month_of(self.typed["to_month"])
        if None not in months and months[0] > months[1]:  # type: ignore[operator]
            months = months[1], months[0]
        place = accounts.get(number_of(self.typed["place"]) or 0)
        return Wanted(
            states=STATES[state] if state else frozenset(),
            provider=self.typed["company"] or None,
            place=place.address if place else None,
            from_month=months[0],
            to_month=months[1],
            words=self.typed["q"],
            amount_fen=fen_if_amount(self.typed["q"]),
        )

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Query = Annotated[Asked, Depends(Asked)]
Choices = dict[str, list[tuple[str, str]]]  # code and words, by field


@router.get("/bills")
def show_bills(
    request: Request, db: Db, caller: Resident, asked: Query, after: Word = ""
) -> Response:  # fmt: skip
    today, everything = billing_date(utc_now()), visible_accounts(db, caller.id)
    accounts = _accounts(db, caller, asked, everything)
    try:
        wanted, last, refused = asked.wanted(everything), _last(after), False
    except (Invalid, NotFound):
        accounts, wanted, last, refused = Accounts(), Wanted(), None, True
    limit = finding.PAGE + 1
    found = finding.find_bills(db, accounts, wanted, today=today, after=last, limit=limit)
    shown = found[: finding.PAGE]
    sums = finding.sum_months(db, accounts, wanted, today=today) if shown else []
    choices = _choices(request, db, caller, everything, today=today)
    to_pay = visible_accounts(db, caller.id, to_pay=True)
    return page(
        request,
        "bills.html",
        status_code=422 if refused else 200,
        months=by_month(shown),
        sums={one.month: one for one in sums},
        tickable={
            one.ref for one in shown if one.state.payable and one.account.account_id in to_pay
        },
        asked=asked,
        choices=choices,
        chips=[] if refused else _chips(locale_of(request), choices, asked),
        filtered=any(asked.typed.values()),
        has_accounts=bool(everything),
        paged=last is not None,
        next=f"/bills?{asked.query(after=shown[-1].ref)}" if len(found) == limit else None,
        refused=refused,
    )


def _last(after: str) -> BillRef | None:
    return parse_ref(after) if after else None


def _accounts(session: Session, caller: Caller, asked: Asked, everything: Accounts) -> Accounts:
    """Return the accounts that are looked at: of one home, if one is asked for."""
    home = number_of(asked.typed["home"])
    return visible_accounts(session, caller.id, household_id=home) if home else everything


def _choices(
    request: Request, session: Session, caller: Caller, accounts: Accounts, *, today: date
) -> Choices:
    """Return what may be chosen, as code and words; homes and places only where there are two."""
    locale = locale_of(request)
    codes = sorted({one.provider_code for one in accounts.values()})
    places = [(str(code), name) for code, name in finding.places_of(accounts)]
    homes = [(str(one.id), one.name) for one in list_households(session, caller.id)]
    return {
        "company": [(code, provider_name(locale, code)) for code in codes],
        "home": homes if len(homes) > 1 else [],
        "place": places if len(places) > 1 else [],
        "month": [
            (f"{one:%Y-%m}", look.month_text(locale, one)) for one in finding.months_online(today)
        ],
        "state": [(one.value, _shown_name(locale, one)) for one in Shown],
    }


def _chips(locale: str, choices: Choices, asked: Asked) -> list[tuple[str, str]]:
    """Return each filter that is set, in words, with the address of the list without it."""
    names = {kind: dict(pairs) for kind, pairs in choices.items()}
    return [
        (
            _month_words(locale, name, typed) or names.get(name, {}).get(typed, typed),
            f"/bills?{asked.query(**{name: ''})}",
        )
        for name, typed in asked.typed.items()
        if typed
    ]


def _month_words(locale: str, name: str, typed: str) -> str | None:
    """Say an end of the months that are asked for; of other filters nothing."""
    month = month_of(typed) if name in {"from_month", "to_month"} else None
    if month is None:
        return None
    said = look.month_text(locale, month)
    if name == "from_month":
        return look.say(locale, "From %(month)s", month=said)
    return look.say(locale, "Until %(month)s", month=said)


def _shown_name(locale: str, shown: Shown) -> str:
    """Say what bills are looked for by their state."""
    return look.macro_text(locale, "parts/bills.html", "shown_name", shown.value)


@router.get("/bills.{kind}")
def export_bills(
    request: Request, db: Db, caller: Resident, asked: Query, kind: FileKind
) -> StreamingResponse:
    """Answer with all that is filtered as a file: a resident's own, so that no log is kept."""
    everything = visible_accounts(db, caller.id)
    wanted, accounts = asked.wanted(everything), _accounts(db, caller, asked, everything)
    rows = read_rows(partial(_rows, accounts, wanted, locale_of(request)))
    name = look.say(locale_of(request), "Bills")
    return export(kind, name=name, head=_head(locale_of(request)), rows=rows)


def _head(locale: str) -> list[str]:
    return [
        look.say(locale, "Company"), look.say(locale, "Account"), look.say(locale, "Address"),
        look.say(locale, "Billing month"), look.say(locale, "Bill no."),
        look.say(locale, "Period from"), look.say(locale, "Period until"),
        look.say(locale, "Usage"), look.say(locale, "Unit"), look.say(locale, "Bill issued on"),
        look.say(locale, "Pay by"), look.say(locale, "Amount of the bill"),
        look.say(locale, "Late fees and changes"), look.say(locale, "From credits"),
        look.say(locale, "Paid"), look.say(locale, "To pay"), look.say(locale, "State"),
    ]  # fmt: skip


def _rows(
    accounts: Accounts, wanted: Wanted, locale: str, session: Session
) -> Iterator[list[Cell]]:
    today = billing_date(utc_now())
    for bill in finding.every_bill(session, accounts, wanted, today=today):
        yield _cells(bill, locale)


def _cells(bill: BillView, locale: str) -> list[Cell]:
    return [
        look.company_name(locale, bill.account), bill.account.account_no_masked,
        bill.account.address, f"{bill.billing_month:%Y-%m}", bill.bill_no, bill.period_from_on,
        bill.period_to_on, None if bill.usage is None else look.decimal_text(bill.usage),
        bill.usage_unit, bill.issued_on, bill.pay_by_on, Yuan(bill.amount_fen),
        Yuan(bill.adjusted_fen), Yuan(bill.credited_fen), Yuan(bill.paid_fen),
        Yuan(max(bill.open_fen, 0)),
        look.macro_text(locale, "parts/bills.html", "state_name", bill.state.value),
    ]  # fmt: skip
