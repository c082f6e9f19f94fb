"""The home page: what is due, under way and settled, of all one's homes or of one."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from billing.homes.at_home import look_at_home
from billing.homes.households import account_view, find_household
from billing.homes.invitations import list_waiting
from billing.usage.hints import hints_of
from billing.views import BillState, BillView
from core.clock import billing_date, utc_now
from identity.models import Role
from payments.returns.tracker import coming_back
from web.access import Looker
from web.pages.page import go, page

router = APIRouter()
Home = Annotated[int | None, Query(ge=1, lt=1 << 63)]
_UNDER_WAY = {BillState.IN_PAYMENT, BillState.PAID}


@router.get("/")
def home(request: Request, look: Looker, home: Home = None) -> Response:
    with look() as (db, caller):
        if caller.role is Role.STAFF and find_household(db, caller.id) is None:
            return go("/console")
        waiting = list_waiting(db, caller.id, now=utc_now())
        coming, shown = coming_back(db, caller.id), home_of_person(db, caller.id, home)
    return page(request, "home.html", waiting=waiting, coming=coming, **shown)


def home_of_person(
    session: Session, person_id: int, household_id: int | None = None
) -> dict[str, Any]:
    """Return what somebody's home page shows: of all their homes, or of one.

    Raises:
        NotFound: no home of theirs.
    """
    mine = look_at_home(session, person_id, household_id)
    accounts, today = mine.accounts, billing_date(utc_now())
    shown = bills.list_at_home(session, accounts, today=today)
    due = sorted((bill for bill in shown if bill.state.payable), key=lambda bill: bill.pay_by_on)
    only = mine.chosen or (mine.homes[0] if len(mine.homes) == 1 else None)
    credits_fen = _by_account(bill for bill in shown if bill.state is BillState.CREDIT)
    return {
        "homes": [one.home for one in mine.homes],
        "chosen": mine.chosen.home if mine.chosen else None,
        "home_names": {} if only else mine.names,
        "household_name": only.home.name if only else "",
        "due_total_fen": sum(bill.open_fen for bill in due),
        "due_count": len(due),
        "next_due_on": due[0].pay_by_on if due else None,
        "owed_fen": _by_account(due),
        "credits_fen": credits_fen,
        "credit_fen": sum(credits_fen.values()),
        "due": [bill for bill in due if bill.account.account_id in mine.payable],
        "others_due": [bill for bill in due if bill.account.account_id not in mine.payable],
        "in_progress": [bill for bill in shown if bill.state in _UNDER_WAY],
        "settled": [b for b in shown if not b.state.payable and b.state not in _UNDER_WAY],
        "accounts": [account_view(account) for account in accounts.values()],
        "hints": hints_of(session, shown, person_id=person_id, today=today),
    }


def _by_account(bills: Iterable[BillView]) -> dict[int, int]:
    """Return by account what bills come to: to pay, or what companies owe."""
    sums: dict[int, int] = {}
    for bill in bills:
        account_id = bill.account.account_id
        sums[account_id] = sums.get(account_id, 0) + abs(bill.open_fen)
    return sums
