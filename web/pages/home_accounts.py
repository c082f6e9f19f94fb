"""The accounts of somebody's homes: added by a proof, named, taken off, put back."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.homes import accounts
from billing.homes.accounts import UNDO_FOR, HomeAccount
from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.people import list_standings, manage
from billing.terms import terms_of
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotFound, TooMany
from core.settings import settings
from payments.autopay import leaving
from providers.registry import get_provider, provider_codes
from web.access import Caller, Db, Resident
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id, Text
from web.pages.guest import client_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.proofs import problem_of

router = APIRouter(prefix="/household/accounts")
Home = Annotated[int, Form(ge=0, lt=1 << 63)]
At = Annotated[str, Query(max_length=40, pattern=PLAIN)]
_MANY_HOMES = 2


class Typed(NamedTuple):
    """What stands in the form."""

    home: int = 0
    company: str = ""
    account_no: str = ""
    amount: str = ""
    name: str = ""


@router.get("")
def show_accounts(request: Request, db: Db, caller: Resident, did: At = "") -> Response:
    now = utc_now()
    standings = list_standings(db, caller.id)
    listed = accounts.list_accounts(db, caller.id, now=now)
    owed = {
        one.home.id: accounts.standings_of(db, one.home.id, person_id=caller.id)
        for one in standings
    }
    return page(
        request,
        "home_accounts.html",
        homes=[(one, [each for each in listed if each.household_id == one.home.id])
               for one in standings],
        owed=owed,
        manages=any(one.manages for one in standings),
        removed=accounts.list_removed(db, caller.id, now=now),
        today=billing_date(now),
        did=did,
        undo_minutes=int(UNDO_FOR.total_seconds()) // 60,
    )  # fmt: skip


@router.get("/new")
def ask(
    request: Request,
    db: Db,
    caller: Resident,
    home: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
    company: At = "",
) -> Response:
    return _form(request, db, caller, Typed(home, company))


@router.post("/new")
def add(
    request: Request,
    db: Db,
    caller: Resident,
    csrf: Csrf,
    home: Home = 0,
    company: Text = "",
    account_no: Text = "",
    amount: Text = "",
    name: Text = "",
) -> Response:
    """Add the account to the home of whoever knows what only its papers say."""
    check_form(request, csrf)
    typed, now = Typed(home, company, account_no, amount, name), utc_now()
    chosen = home or _first_managed(db, caller)
    with transaction() as session:
        manage(session, caller.id, chosen)  # before any try is counted
    try:
        with transaction() as session:
            told = read_answer(
                session, company, account_no, amount_yuan=amount, name=name, now=now
            )  # fmt: skip
        passed = pass_challenge(
            told, client=client_of(request), person_id=caller.id,
            secret=settings().secret_key.get_secret_value(), now=now,
        )  # fmt: skip
        with transaction() as session:
            bound = accounts.bind(session, caller.id, chosen, passed, now=now)
    except (Invalid, NotFound, TooMany, Conflict) as refused:
        return _form(request, db, caller, typed, refused)
    did = "bound" if bound.new else "same"
    return go(f"/household/accounts?did={did}#a{bound.household_id}-{bound.account_id}")


def _first_managed(session: Session, caller: Caller) -> int:
    """Return the home that is meant where there is one to choose only (Raises NotFound)."""
    for one in list_standings(session, caller.id):
        if one.manages:
            return one.home.id
    raise NotFound("there is no home you manage")


def _form(
    request: Request,
    session: Session,
    caller: Caller,
    typed: Typed,
    refused: CityBillError | None = None,
) -> Response:
    codes = list(provider_codes())
    terms = terms_of(session, codes, billing_date(utc_now()))
    homes = [one.home for one in list_standings(session, caller.id) if one.manages]
    request.state.camera = True
    return page(
        request,
        "home_accounts_new.html",
        status_code=status_of(refused) if refused else 200,
        homes=homes,
        companies=[(get_provider(code), sorted(terms[code].guest.proofs)) for code in codes],
        typed=typed,
        problem=problem_of(locale_of(request), refused) if refused else None,
    )


@router.post("/{household_id}/{account_id}/name")
def rename(
    request: Request,
    household_id: Id,
    account_id: Id,
    caller: Resident,
    csrf: Csrf,
    name: Text = "",
) -> Response:
    check_form(request, csrf)
    with transaction() as session:
        accounts.rename(session, caller.id, household_id, account_id, name)
    return go(f"/household/accounts?did=named#a{household_id}-{account_id}")


@router.get("/{household_id}/{account_id}/remove")
def ask_to_remove(
    request: Request, household_id: Id, account_id: Id, db: Db, caller: Resident
) -> Response:
    """Show what ends and what stays when an account is taken off."""
    manage(db, caller.id, household_id)
    one = accounts.find_account(db, caller.id, household_id, account_id, now=utc_now())
    return page(
        request,
        "home_accounts_remove.html",
        one=one,
        standing=accounts.standings_of(db, household_id).get(account_id),
        mandates=leaving.count_live(db, account_id),
        elsewhere=_elsewhere(db, caller, one),
        undo_minutes=int(UNDO_FOR.total_seconds()) // 60,
    )


def _elsewhere(session: Session, caller: Caller, one: HomeAccount) -> bool:
    """Tell whether somebody keeps seeing the account in another home of theirs."""
    listed = accounts.list_accounts(session, caller.id, now=utc_now())
    same = [each for each in listed if each.account.account_id == one.account.account_id]
    return len(same) >= _MANY_HOMES


@router.post("/{household_id}/{account_id}/remove")
def remove(
    request: Request, household_id: Id, account_id: Id, caller: Resident, csrf: Csrf
) -> Response:
    """Take it off; autopay of who may not pay it any more ends with it."""
    check_form(request, csrf)
    take_off(caller.id, household_id, account_id)
    return go("/household/accounts?did=removed")


def take_off(person_id: int, household_id: int, account_id: int) -> None:
    """Take an account off a home, and end the autopay that depended on it."""
    now = utc_now()
    with transaction() as session:
        accounts.remove(session, person_id, household_id, account_id, now=now)
        leaving.end_without_right(session, [account_id], by=person_id, now=now)


@router.post("/{household_id}/{account_id}/restore")
def restore(
    request: Request, household_id: Id, account_id: Id, caller: Resident, csrf: Csrf
) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            accounts.restore(session, caller.id, household_id, account_id, now=utc_now())
    except (Conflict, NotFound):
        return go("/household/accounts?did=too_late")
    return go(f"/household/accounts?did=restored#a{household_id}-{account_id}")
