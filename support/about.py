"""What somebody writes to us of: a bill, a payment, a company, or nothing of these.

As text it is ``"bill:<reference>"``, ``"payment:<id>"``, ``"company:<code>"`` or nothing.
"""

import re
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing.bills import get_bill, parse_ref
from billing.homes.households import visible_accounts
from core.errors import Invalid, NotFound
from payments.checkout import get_own_payment
from providers.registry import PROVIDERS

_PAGE = re.compile(r"/(bill|payment)s/([0-9.]{1,40})")
_PAYMENT = re.compile(r"[0-9]{1,18}|[0-8][0-9]{18}")


class About(NamedTuple):
    """What it is about, as a complaint's row has it."""

    account_id: int | None = None
    bill_id: int | None = None
    payment_id: int | None = None
    provider_code: str | None = None


def about_page(path: str) -> str:
    """Return what a page of a bill or a payment is about, as text; of other pages nothing."""
    found = _PAGE.fullmatch(path)
    return f"{found[1]}:{found[2]}" if found else ""


def find_about(session: Session, person_id: int, asked: str, *, today: date) -> About:
    """Return what a text names, if the person may see it.

    Raises:
        NotFound: a bill or a payment that there is not, or that is not theirs.
        Invalid: it names nothing there could be.
    """
    what, _, which = asked.partition(":")
    match what:
        case "":
            return About()
        case "company" if which in PROVIDERS:
            return About(provider_code=which)
        case "bill":
            accounts = visible_accounts(session, person_id)
            bill = get_bill(session, parse_ref(which), accounts, today=today)
            return About(*parse_ref(bill.ref), provider_code=bill.account.provider_code)
        case "payment":
            if _PAYMENT.fullmatch(which) is None:
                raise NotFound("there is no such payment")
            return About(payment_id=get_own_payment(session, int(which), person_id).id)
    raise Invalid("choose what it is about", code="complaint.about")
