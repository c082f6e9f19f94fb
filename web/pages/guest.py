"""Paying without signing in, and paying for somebody else: the challenge, and what is open then."""

from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.households import account_view
from billing.homes.pay_grants import admit, granted_accounts, list_granted_bills
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid, NotFound, TooMany
from core.settings import settings
from identity.guests import receipt_address
from identity.misses import counted_as
from identity.models import Role
from providers.registry import get_provider, provider_codes
from web import access
from web.access import Caller, Db, Visitor, cookie_name
from web.errors import status_of
from web.inputs import Csrf, Text
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.proofs import problem_of

router = APIRouter()


class Typed(NamedTuple):
    """What stands in the form."""

    company: str = ""
    account_no: str = ""
    amount: str = ""
    name: str = ""
    email: str = ""


@router.get("/pay")
def ask(request: Request, caller: Visitor, over: str = "") -> Response:
    return _form(request, caller, Typed(), over=over == "1")


@router.post("/pay/account")
def answer(
    request: Request,
    caller: Visitor,
    csrf: Csrf,
    company: Text = "",
    account_no: Text = "",
    amount: Text = "",
    name: Text = "",
    email: Text = "",
) -> Response:
    """Let somebody pay an account who knows what only its papers say."""
    check_form(request, csrf)
    typed, now = Typed(company, account_no, amount, name, email), utc_now()
    try:
        address = receipt_address(email)
        with transaction() as session:
            told = read_answer(
                session, company, account_no, amount_yuan=amount, name=name, now=now
            )  # fmt: skip
        passed = pass_challenge(
            told, client=client_of(request), person_id=caller.id if caller else None,
            secret=settings().secret_key.get_secret_value(), now=now,
        )  # fmt: skip
        with transaction() as session:
            admitted = admit(
                session, passed, person_id=caller.id if caller else None, email=address,
                locale=locale_of(request), now=now,
            )  # fmt: skip
    except (Invalid, NotFound, TooMany) as refused:
        return _form(request, caller, typed, refused)
    onward = go("/pay/bills")
    if admitted.token is not None:
        onward.set_cookie(
            cookie_name(), admitted.token, httponly=True, samesite="lax",
            secure=not settings().demo, path="/",
        )  # fmt: skip
    return onward


@router.get("/pay/bills")
def show_bills(request: Request, db: Db, caller: access.Payer) -> Response:
    """Show what is open on the accounts somebody may pay at this moment."""
    now = utc_now()
    accounts = granted_accounts(db, caller.id, now=now)
    if not accounts:
        return go("/pay?over=1")
    return page(
        request,
        "guest_bills.html",
        accounts=[account_view(account) for account in accounts.values()],
        bills=list_granted_bills(db, caller.id, now=now),
        is_guest=caller.role is Role.GUEST,
    )


def _form(
    request: Request,
    caller: Caller | None,
    typed: Typed,
    refused: CityBillError | None = None,
    *,
    over: bool = False,
) -> Response:
    locale = locale_of(request)
    request.state.camera = True
    return page(
        request,
        "guest.html",
        status_code=status_of(refused) if refused else 200,
        companies=[get_provider(code) for code in provider_codes()],
        typed=typed,
        problem=problem_of(locale, refused) if refused else None,
        is_guest=caller is None or caller.role is Role.GUEST,
        over=over,
    )


def client_of(request: Request) -> str:
    """Return whose tries are counted together."""
    return counted_as(request.client.host if request.client else "")
