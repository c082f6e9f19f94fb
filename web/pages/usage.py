"""Usage a household understands: by month and year, among others, at home, and what comes next."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from billing.homes.households import account_view, list_households, visible_accounts
from billing.models import Household
from billing.usage.factors import BUILT_IN, Factors, load_factors
from billing.usage.hints import bring_back, put_aside
from billing.usage.reports import HomeUsage, usage_of
from core.clock import billing_date, utc_now
from core.errors import NotFound
from core.money import format_yuan
from core.settings import settings
from providers.registry import get_provider
from web import look
from web.access import Db, Resident
from web.inputs import Csrf
from web.pages import usage_charts as charts
from web.pages.page import check_form, edition_of, go, locale_of, page

router = APIRouter()
Shown = Literal["usage", "money", "carbon"]
AccountId = Annotated[int | None, Query(ge=1, lt=1 << 63)]
HomeId = Annotated[int | None, Query(ge=1, lt=1 << 63)]


@router.get("/usage")
def show_usage(
    request: Request, db: Db, caller: Resident, account: AccountId = None,
    show: Annotated[Shown | None, Query()] = None, home: HomeId = None,
) -> Response:  # fmt: skip
    """Show the usage of all accounts together, of one home's, or of one account."""
    who = charts.Page(locale_of(request), elder=edition_of(request) == "elder")
    homes = list_households(db, caller.id)
    chosen = _chosen(homes, home)
    if account is None:
        facts = _home(db, caller.id, who, show, home)
        return page(request, "usage.html", homes=homes, chosen=chosen, **facts)
    facts = _account(db, caller.id, account, who, show, home)
    return page(request, "usage_account.html", chosen=chosen, **facts)


def _chosen(homes: Sequence[Household], home: int | None) -> Household | None:
    """Return the home that is asked for; None: all of them (Raises NotFound)."""
    if home is None:
        return None
    for one in homes:
        if one.id == home:
            return one
    raise NotFound("there is no such home")


def usage_factors() -> Factors:
    """Return the figures that usage is told by: the operator's own, or ours."""
    return load_factors(settings().usage_factors or BUILT_IN)


def usage_of_person(
    session: Session, person_id: int, *, account_id: int | None, household_id: int | None = None
) -> HomeUsage:
    """Return what somebody is told of all their accounts' usage, or of one's and its neighbours'.

    Args:
        household_id: of this home alone; of somebody else's there is none.

    Raises:
        NotFound: it is not an account of theirs.
    """
    accounts = visible_accounts(session, person_id, household_id=household_id)
    if account_id is not None:
        accounts = accounts.only(lambda one: one.id == account_id)
        if not accounts:
            raise NotFound("there is no such account")
    return usage_of(
        session, accounts, person_id=person_id, factors=usage_factors(),
        today=billing_date(utc_now()), among_others=account_id is not None,
    )  # fmt: skip


def _home(
    session: Session, person_id: int, who: charts.Page, show: Shown | None, home: int | None
) -> dict[str, Any]:
    usage = usage_of_person(session, person_id, account_id=None, household_id=home)
    carbon = show == "carbon" and bool(usage.months_grams)
    values = usage.months_grams if carbon else usage.months_fen
    words = charts.mass_words(who.locale) if carbon else format_yuan
    head = look.say(who.locale, "CO₂e") if carbon else look.say(who.locale, "Amount")
    return {
        "usage": usage,
        "show": "carbon" if carbon else "money",
        "usage_words": charts.usage_words,
        "format_yuan": format_yuan,
        "money_range": charts.money_range,
        "months": _months(who, values, words, head),
        "years": _years(who, values, words),
    }


def _account(
    session: Session,
    person_id: int,
    account_id: int,
    who: charts.Page,
    show: Shown | None,
    home: int | None,
) -> dict[str, Any]:
    (one,) = usage_of_person(
        session, person_id, account_id=account_id, household_id=home
    ).accounts  # fmt: skip
    history = one.history
    money = show == "money" or not history.unit
    values = charts.series(history, money=money)
    words = format_yuan if money else charts.usage_words(who.locale, history.unit)
    head = look.say(who.locale, "Amount") if money else look.say(who.locale, "Usage")
    siblings = visible_accounts(session, person_id, household_id=home)
    estimated = frozenset(row.month for row in history.months if row.estimated and not money)
    return {
        "one": one,
        "show": "money" if money else "usage",
        "siblings": [account_view(sibling) for sibling in siblings.values()],
        "phone": get_provider(history.account.provider_code).phone,
        "usage_words": charts.usage_words,
        "format_yuan": format_yuan,
        "mass": charts.mass_words(who.locale),
        "money_range": charts.money_range,
        "rounded": charts.rounded,
        "months": _months(who, values, words, head, estimated),
        "years": _years(who, values, words),
        "among": charts.among_chart(who, one.compared, history.unit) if one.compared else None,
    }


def _months(
    who: charts.Page, values: Sequence[tuple[date, int]], words: charts.Words, head: str,
    estimated: frozenset[date] = frozenset(),
) -> charts.Chart | None:  # fmt: skip
    label = look.say(who.locale, "%(what)s month by month", what=head)
    if not values:
        return None
    return charts.months_chart(who, values, words, label=label, head=head, estimated=estimated)


def _years(
    who: charts.Page, values: Sequence[tuple[date, int]], words: charts.Words
) -> charts.Chart | None:
    label = look.say(who.locale, "This year beside the one before")
    return charts.years_chart(who, dict(values), words, label=label)


@router.post("/usage/hints/{ref}")
def note_known(
    request: Request, ref: str, db: Db, caller: Resident, csrf: Csrf,
    known: Annotated[Literal["yes", "no"], Form()] = "yes",
) -> Response:  # fmt: skip
    """Put a hint aside because its reason is known, or bring it back."""
    check_form(request, csrf)
    accounts = visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=billing_date(utc_now()))
    if known == "yes":
        put_aside(db, bills.parse_ref(bill.ref), person_id=caller.id, now=utc_now())
    else:
        bring_back(db, bills.parse_ref(bill.ref), person_id=caller.id)
    return go(f"/usage?account={bill.account.account_id}#hint")
