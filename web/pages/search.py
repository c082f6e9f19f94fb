"""One box for everything of one's own: bills, accounts, payments, refunds, notices, complaints."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from billing import finding
from billing.finding import Wanted
from billing.homes.households import account_view, visible_accounts
from core.clock import billing_date, utc_now
from notifications import inbox
from payments import own
from payments.returns import tracker
from support.listing import find_own
from web.access import Caller, Db, Resident
from web.pages.filters import Word, fen_if_amount
from web.pages.notices import path_of
from web.pages.page import locale_of, page
from web.pages.words.complaints import row_of
from web.pages.words.residents import company_of

router = APIRouter()
_EACH = 5  # of a kind; one more says that there are more
_LEAST_DIGITS = 3  # fewer fit nearly every number


@router.get("/search")
def search(request: Request, db: Db, caller: Resident, q: Word = "") -> Response:
    """Show what fits, by kind; each kind asks its own room, and only of what is this person's."""
    typed = " ".join(q.split())
    too_short = typed.isdecimal() and len(typed) < _LEAST_DIGITS
    found = _found(request, db, caller, typed) if typed and not too_short else {}
    return page(
        request,
        "search.html",
        q=typed,
        too_short=too_short,
        found=found,
        most=_EACH,
        company_of=company_of(request),
    )


def _found(request: Request, db: Db, caller: Caller, typed: str) -> dict[str, list[Any]]:
    """Return what fits of each kind, one more than is shown; a kind without any is left out."""
    now, limit = utc_now(), _EACH + 1
    today, accounts = billing_date(now), visible_accounts(db, caller.id)
    wanted = Wanted(words=typed, amount_fen=fen_if_amount(typed))
    ending = typed.upper().replace(" ", "")
    numbered = sum(one.isdecimal() for one in ending) >= _LEAST_DIGITS
    found: dict[str, list[Any]] = {
        "bills": finding.find_bills(db, accounts, wanted, today=today, limit=limit),
        "accounts": [account_view(one) for one in finding.find_accounts(accounts, typed)][:limit],
        "payments": own.find_payments(db, caller.id, ending, limit=limit),
        "refunds": tracker.list_returns(db, caller.id, today=today, ending=ending, limit=limit)
        if numbered
        else [],
        "notices": [
            (one, path_of(one) or "/notices")
            for one in inbox.find_in_inbox(db, caller.id, typed, limit=limit)
        ],
        "complaints": [
            row_of(locale_of(request), one, now=now)
            for one in find_own(db, caller.id, typed, limit=limit)
        ],
    }
    return {kind: some for kind, some in found.items() if some}
