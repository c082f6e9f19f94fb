"""A person's utility accounts by API: bound by a proof, listed, taken off again."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from billing.bills import format_ref, parse_ref
from billing.homes import accounts
from billing.homes.accounts import HomeAccount, Which
from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.people import list_standings, manage
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict, NotFound
from core.settings import settings
from web.access import Caller, Db, Resident
from web.inputs import PLAIN, Id
from web.pages.guest import client_of
from web.pages.home_accounts import take_off

router = APIRouter(tags=["utility accounts"])
_Line = Annotated[str, Field(max_length=200, pattern=PLAIN)]
_PAGE = 50
_HomeId = Annotated[int, Field(ge=1, lt=1 << 63)]


class BindIn(BaseModel):
    """An account and what only its papers say: an amount of its last bills, or the holder."""

    provider: _Line = Field(default="", description="left out with the digits of a barcode")
    account_no: _Line = Field(description="as on the bill, or the thirty digits under the barcode")
    amount_yuan: _Line = ""
    holder_name: _Line = ""
    household_id: _HomeId | None = Field(
        default=None, description="left out: the one home the caller manages"
    )


class AccountOut(BaseModel):
    """`left_on`: the home moved away; `next_bill_by_on`: the last day its next bill may come."""

    id: int
    household_id: int
    provider: str
    account_no_masked: str
    address: str
    name: str
    manages: bool
    bound_on: date
    since_on: date | None
    left_on: date | None
    next_billing_month: str | None
    next_bill_by_on: date | None


class AccountsOut(BaseModel):
    accounts: list[AccountOut]
    next_cursor: str | None


@router.post("/utility-accounts", status_code=201)
def bind(request: Request, body: BindIn, db: Db, caller: Resident) -> AccountOut:
    """Bind an account to a home; the same again is the same account.

    An unknown account, a wrong proof and one that was tried five times today are the same 404
    (`challenge.no`); too many tries are 429 (`challenge.too_many`), with `free_at`.
    """
    now = utc_now()
    home_id = body.household_id or _only_home(caller)
    with transaction() as session:
        manage(session, caller.id, home_id)  # before any try is counted
    with transaction() as session:
        told = read_answer(
            session, body.provider, body.account_no, amount_yuan=body.amount_yuan,
            name=body.holder_name, now=now,
        )  # fmt: skip
    secret = settings().secret_key.get_secret_value()
    passed = pass_challenge(
        told, client=client_of(request), person_id=caller.id, secret=secret, now=now
    )
    with transaction() as session:
        bound = accounts.bind(session, caller.id, home_id, passed, now=now)
        found = accounts.find_account(session, caller.id, home_id, bound.account_id, now=now)
    return _out(found)


def _only_home(caller: Caller) -> int:
    with transaction() as session:
        managed = [one.home.id for one in list_standings(session, caller.id) if one.manages]
    if len(managed) > 1:
        raise Conflict("you manage several homes: say which", code="home.several", homes=managed)
    if not managed:
        raise NotFound("there is no home you manage")
    return managed[0]


@router.get("/utility-accounts")
def list_all(
    db: Db,
    caller: Resident,
    household: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    provider: Annotated[str | None, Query(max_length=100, pattern=PLAIN)] = None,
    cursor: str | None = None,
    limit: Annotated[int | None, Query(ge=1, le=200)] = None,
) -> list[AccountOut] | AccountsOut:
    """Return the accounts of all the caller's homes; one that is of two homes is there twice.

    With `limit` or `cursor` (the `next_cursor` of the page before, with the same filters) it is a
    page of at most `limit`, 50 where it is left out; with neither, the plain list of all of them.
    """
    which = Which(household, provider)
    if cursor is None and limit is None:
        return [_out(one) for one in accounts.list_accounts(db, caller.id, which, now=utc_now())]
    size = limit or _PAGE
    which = which._replace(after=parse_ref(cursor) if cursor else None, limit=size + 1)
    found = accounts.list_accounts(db, caller.id, which, now=utc_now())
    shown = [_out(one) for one in found[:size]]
    more = len(found) > size
    return AccountsOut(
        accounts=shown,
        next_cursor=format_ref((shown[-1].household_id, shown[-1].id)) if more else None,
    )


@router.delete("/utility-accounts/{account_id}", status_code=204, response_class=Response)
def remove(
    account_id: Id,
    db: Db,
    caller: Resident,
    household_id: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
) -> Response:
    """Take an account off a home. What it owes stays owed; autopay for it ends.

    `household_id` may be left out where one home alone has it.
    """
    homes = [
        one.household_id
        for one in accounts.list_accounts(db, caller.id, now=utc_now())
        if one.account.account_id == account_id and household_id in (None, one.household_id)
    ]
    if not homes:
        raise NotFound("there is no such account in your homes")
    if len(homes) > 1:
        raise Conflict("several homes have it: say which", code="home.several", homes=homes)
    take_off(caller.id, homes[0], account_id)
    return Response(status_code=204)


def _out(one: HomeAccount) -> AccountOut:
    return AccountOut(
        id=one.account.account_id, household_id=one.household_id,
        provider=one.account.provider_code, account_no_masked=one.account.account_no_masked,
        address=one.account.address, name=one.name, manages=one.manages, bound_on=one.bound_on,
        since_on=one.since_on, left_on=one.left_on,
        next_billing_month=f"{one.next_month:%Y-%m}" if one.next_month else None,
        next_bill_by_on=one.next_by_on,
    )  # fmt: skip
