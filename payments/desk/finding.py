"""Finding whom a caller means by whatever they have at hand: an account, a phone, a name, a number.

What was typed is recognised by what it fits: one thing may fit twice, and then all are shown.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.bills import ONLINE_MONTHS, parse_ref
from billing.homes.households import BELONGS
from billing.homes.models import HouseholdAccount
from billing.models import Bill, HouseholdMember, UtilityAccount
from billing.papers import find_by_invoice_no
from core.clock import add_months, billing_date
from core.errors import NotFound
from core.keys import named_key
from identity.finding import find_by_contact, find_by_name
from identity.models import Person
from payments.gateways.base import Gateway
from payments.models import Payment
from payments.returns.desk import find_by_number
from providers.registry import PROVIDERS

FOUND = 20  # of each kind at most
_BILL_REF = re.compile(r"[0-9]{1,18}\.[0-9]{1,19}")
_TWO_NUMBERS = re.compile(r"(\S+)\s+(\S+)")


class Found(NamedTuple):
    """Who and what fits; ``more`` says that not all of it is here."""

    people: list[Person]
    accounts: list[UtilityAccount]
    payments: list[Payment]
    more: bool = False

    @property
    def hits(self) -> int:
        return len(self.people) + len(self.accounts) + len(self.payments)


def find(
    session: Session, typed: str, gateways: Mapping[str, Gateway], *, now: datetime
) -> Found:  # fmt: skip
    """Find residents, accounts and payments by what somebody typed.

    It may be an account's number (of any company), that and a bill's number after it, a bill's own
    reference, a phone, an e-mail address, a name or its beginning, or any number of a payment:
    ours, the order's, the gateway's, a refund's, a write-off's; or that of a company's own invoice.
    """
    wanted = " ".join(typed.split())
    if not wanted:
        return Found([], [], [])
    one_more = FOUND + 1
    people = find_by_contact(session, wanted, limit=one_more)
    accounts = _accounts(session, wanted, now=now)
    payments = find_by_number(session, wanted, gateways)
    if not (people or accounts or payments):
        people = find_by_name(session, wanted, limit=one_more)
    more = max(len(people), len(accounts), len(payments)) > FOUND
    return Found(people[:FOUND], accounts[:FOUND], payments[:FOUND], more)


def _accounts(session: Session, wanted: str, *, now: datetime) -> list[UtilityAccount]:
    """Return the accounts of this number, or of this bill."""
    if _BILL_REF.fullmatch(wanted):
        return _of_bill(session, wanted)
    both = _TWO_NUMBERS.fullmatch(wanted)
    number = both[1] if both else wanted
    found = session.exec(
        select(UtilityAccount)
        .where(col(UtilityAccount.provider_code).in_(list(PROVIDERS)))
        .where(UtilityAccount.account_no == number)
        .order_by(col(UtilityAccount.provider_code))
    ).all()
    if both is None:
        return list(found) or _of_invoice(session, wanted)
    return [one for one in found if _has_bill(session, one, both[2], today=billing_date(now))]


def _of_bill(session: Session, ref: str) -> list[UtilityAccount]:
    try:
        account_id, bill_id = parse_ref(ref)
    except NotFound:
        return []
    if session.get(Bill, (account_id, bill_id)) is None:
        return []
    return [session.get_one(UtilityAccount, account_id)]


def _of_invoice(session: Session, number: str) -> list[UtilityAccount]:
    """Return the accounts a company's own invoice of this number was sent for."""
    refs = find_by_invoice_no(session, None, number, limit=FOUND)
    return [session.get_one(UtilityAccount, one) for one in dict.fromkeys(ref[0] for ref in refs)]


def _has_bill(session: Session, account: UtilityAccount, bill_no: str, *, today: date) -> bool:
    """Tell whether an account has a bill of this number: its key is made of month and number."""
    ids = [named_key(add_months(today, -back), bill_no) for back in range(-1, ONLINE_MONTHS + 1)]
    held = select(Bill.id).where(Bill.account_id == account.id, col(Bill.id).in_(ids))
    return session.exec(held.limit(1)).first() is not None


class Member(NamedTuple):
    """Somebody of a household an account belongs to."""

    household_id: int
    household_name: str
    person_id: int
    role: str


_MEMBERS = text("""
    SELECT h.id, h.name, m.person_id, m.role
    FROM household_account a
    JOIN household h ON h.id = a.household_id
    JOIN household_member m ON m.household_id = h.id
    WHERE a.account_id = :account_id AND stands_today(m.from_on, m.until_on)
    ORDER BY h.id, m.person_id
""")


def members_of(session: Session, account_id: int) -> list[Member]:
    """Return the people of all households an account belongs to."""
    rows = session.execute(_MEMBERS, {"account_id": account_id})
    return [Member(*row) for row in rows]


def accounts_of(session: Session, person_id: int) -> dict[int, list[UtilityAccount]]:
    """Return the accounts of each household a person belongs to, by household."""
    rows = session.execute(
        select(HouseholdMember.household_id, UtilityAccount)
        .outerjoin(
            HouseholdAccount,
            col(HouseholdAccount.household_id) == col(HouseholdMember.household_id),
        )
        .outerjoin(UtilityAccount, col(UtilityAccount.id) == col(HouseholdAccount.account_id))
        .where(HouseholdMember.person_id == person_id, BELONGS)
        .order_by(col(HouseholdMember.household_id), col(UtilityAccount.id))
    )
    found: dict[int, list[UtilityAccount]] = {}
    for household_id, account in rows:
        found.setdefault(household_id, [])
        if account is not None:
            found[household_id].append(account)
    return found


def get_account(session: Session, account_id: int) -> UtilityAccount:
    """Return a company's account.

    Raises:
        NotFound: no such account.
    """
    account = session.get(UtilityAccount, account_id)
    if account is None:
        raise NotFound("there is no such account")
    return account
