"""The home page: what is due, under way and settled, of all one's homes or of one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from billing.homes.households import account_view, find_household, visible_accounts
from billing.homes.invitations import list_waiting
from billing.homes.people import Standing, list_standings, names_by_account
from billing.usage.hints import hints_of
from billing.views import BillState, BillView
from core.clock import billing_date, utc_now
from core.errors import NotFound
from identity.models import Role
from payments.returns.tracker import coming_back
from web.access import Look, Resident
from web.pages.page import go, page

router = APIRouter()
Home = Annotated[int | None, Query(ge=1, lt=1 << 63)]
_UNDER_WAY = {BillState.IN_PAYMENT, BillState.PAID}


@router.get("/")
def home(request: Request, db: Look, caller: Resident, home: Home = None) -> Response:
    if caller.role is Role.STAFF and find_household(db, caller.id) is None:
        return go("/console")
    waiting = list_waiting(db, caller.id, now=utc_now())
    return page(
        request, "home.html", waiting=waiting, coming=coming_back(db, caller.id),
        **home_of_person(db, caller.id, home),
    )  # fmt: skip


def home_of_person(
    session: Session, person_id: int, household_id: int | None = None
) -> dict[str, Any]:
    """Return what somebody's home page shows: of all their homes, or of one.

    Raises:
        NotFound: no home of theirs.
    """
    mine = list_standings(session, person_id)
    chosen = _chosen(mine, household_id)
    accounts = visible_accounts(session, person_id, household_id=household_id)
    payable = accounts
    if not all(one.pays for one in mine):
        payable = visible_accounts(session, person_id, to_pay=True)
    shown = bills.list_at_home(session, accounts, today=billing_date(utc_now()))
    due = sorted((bill for bill in shown if bill.state.payable), key=lambda bill: bill.pay_by_on)
    credits_fen = _credits_left(shown)
    return {
        "homes": [one.home for one in mine],
        "chosen": chosen.home if chosen else None,
        "home_names": names_by_account(session, person_id) if len(mine) > 1 and not chosen else {},
        "household_name": (chosen or mine[0]).home.name if chosen or len(mine) == 1 else "",
        "due_total_fen": sum(bill.open_fen for bill in due),
        "due_count": len(due),
        "next_due_on": due[0].pay_by_on if due else None,
        "credits_fen": credits_fen,
        "credit_fen": sum(credits_fen.values()),
        "due": [bill for bill in due if bill.account.account_id in payable],
        "others_due": [bill for bill in due if bill.account.account_id not in payable],
        "in_progress": [bill for bill in shown if bill.state in _UNDER_WAY],
        "settled": [b for b in shown if not b.state.payable and b.state not in _UNDER_WAY],
        "accounts": [account_view(account) for account in accounts.values()],
        "hints": hints_of(session, shown, person_id=person_id, today=billing_date(utc_now())),
    }


def _chosen(mine: list[Standing], household_id: int | None) -> Standing | None:
    if household_id is None:
        return None
    chosen = next((one for one in mine if one.home.id == household_id), None)
    if chosen is None:
        raise NotFound("there is no such home")
    return chosen


def _credits_left(shown: list[BillView]) -> dict[int, int]:
    """Return by account what companies owe: never taken off what is due, only shown beside it."""
    left: dict[int, int] = {}
    for bill in shown:
        if bill.state is BillState.CREDIT:
            account_id = bill.account.account_id
            left[account_id] = left.get(account_id, 0) - bill.open_fen
    return left
