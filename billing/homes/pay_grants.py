"""Leave to pay an account that is of no household of one's own: a guest's, or one's parents'.

Whoever passed the challenge (``billing.homes.challenges``) may see what is open on that account and
pay it, for half an hour. Its earlier bills, its usage and where it is stay with its household.
Where somebody has left the account, what one knew opens the bills of before that day or those
since, and never both: nobody is shown, or pays, a stranger's debt.
"""

from collections.abc import Collection, Container
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, ForeignKey
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from billing.bills import BillRef, list_bills
from billing.homes.accounts import last_departure
from billing.homes.challenges import LEFT_ON, Passed
from billing.homes.households import PAYING_ROLES, visible_accounts
from billing.homes.spans import Accounts, Span, seen_by
from billing.models import UtilityAccount
from billing.rules.terms import Proof
from billing.views import BillState, BillView
from core.clock import billing_date
from core.db import Asked, HotStatement, UtcDateTime, text_enum
from identity.guests import add_guest
from identity.models import Role
from identity.people import get_person
from identity.sign_in import start_session

GRANT_TIME = timedelta(minutes=30)


class PayGrant(SQLModel, table=True):
    """Somebody may pay an account until ``expires_at``; ``proof`` is what they knew of it."""

    __tablename__ = "pay_grant"

    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True))
    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True)
    )
    proof: Proof = Field(sa_column=Column(text_enum(Proof), nullable=False))
    left_on: date | None = None  # what they knew is from before its people left: see spans.py
    granted_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


def grant(session: Session, person_id: int, passed: Passed, *, now: datetime) -> None:
    """Let somebody pay an account; asked again it lasts from now on."""
    lasting = {
        "proof": passed.proof, "left_on": passed.left_on, "granted_at": now,
        "expires_at": now + GRANT_TIME,
    }  # fmt: skip
    session.execute(
        insert(PayGrant)
        .values(person_id=person_id, account_id=passed.account_id, **lasting)
        .on_conflict_do_update(index_elements=["person_id", "account_id"], set_=lasting)
    )


class Admitted(NamedTuple):
    """Who may pay; ``token`` opens a new guest's session, and is stored nowhere."""

    person_id: int
    token: str | None


def admit(
    session: Session,
    passed: Passed,
    *,
    person_id: int | None,
    email: str | None,
    locale: str,
    now: datetime,
) -> Admitted:
    """Let whoever passed the challenge pay the account: somebody signed in, or a new guest.

    Args:
        person_id: who is signed in, a guest from before included; None: nobody.
        email: where a guest's receipts go; of a resident it stays as it is.
    """
    token: str | None = None
    if person_id is None:
        person = add_guest(session, email=email, locale=locale, now=now)
        token, _ = start_session(session, person, now=now)
    else:
        person = get_person(session, person_id)
        if person.role is Role.GUEST and email is not None:
            person.email = email
    assert person.id is not None
    grant(session, person.id, passed, now=now)
    return Admitted(person.id, token)


def granted_accounts(session: Session, person_id: int, *, now: datetime) -> Accounts:
    """Return the accounts, by id, that somebody may pay by a grant at this moment."""
    found = session.exec(
        select(UtilityAccount, PayGrant)
        .join(PayGrant, col(PayGrant.account_id) == col(UtilityAccount.id))
        .where(PayGrant.person_id == person_id, col(PayGrant.expires_at) > now)
        .order_by(col(PayGrant.granted_at), col(PayGrant.account_id))
    )
    granted, today = Accounts(), billing_date(now)
    for account, row in found:
        since_on = last_departure(session, row.account_id, today=today)
        granted.let_see(account, Span(None if row.left_on else since_on, row.left_on))
    return granted


def payable_accounts(session: Session, person_id: int, *, now: datetime) -> Accounts:
    """Return the accounts, by id, whose bills somebody may pay: as a member, or by a grant."""
    return granted_accounts(session, person_id, now=now) | visible_accounts(
        session, person_id, to_pay=True
    )


_MAY_PAY = HotStatement(f"""
    SELECT b.account_id, b.id FROM bill b
    JOIN LATERAL (
        SELECT since_on, left_on, earlier, earlier_bills, from_on FROM household_account a
        JOIN household_member m USING (household_id)
        WHERE a.account_id = b.account_id AND m.person_id = :person_id AND m.role = ANY(:roles)
          AND stands_today(m.from_on, m.until_on)
        UNION ALL
        SELECT CASE WHEN g.left_on IS NULL THEN
                   (SELECT max({LEFT_ON}) FROM account_departure WHERE account_id = g.account_id)
               END, left_on, '{{}}', true, NULL FROM pay_grant g
        WHERE g.person_id = :person_id AND g.account_id = b.account_id AND g.expires_at > :now
    ) h ON {seen_by("h")}
    WHERE (b.account_id, b.id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
""")  # noqa: S608  our own text


def ask_may_pay(person_id: int, refs: Collection[BillRef], *, now: datetime) -> Asked:
    """Return what is to be asked: its rows are those of the bills that somebody may pay."""
    return Asked(_MAY_PAY, {
        "person_id": person_id, "account_ids": [ref[0] for ref in refs],
        "bill_ids": [ref[1] for ref in refs], "roles": PAYING_ROLES, "now": now,
        "today": billing_date(now),
    })  # fmt: skip


def may_pay(session: Session, person_id: int, refs: Collection[BillRef], *, now: datetime) -> bool:
    """Tell whether somebody may pay all these bills."""
    statement, values = ask_may_pay(person_id, refs, now=now)
    return {*statement.rows(session, values)} == {*refs}


def list_granted_bills(session: Session, person_id: int, *, now: datetime) -> list[BillView]:
    """Return what is open, or being paid, on the accounts somebody may pay by a grant."""
    accounts = granted_accounts(session, person_id, now=now)
    bills = list_bills(session, accounts, today=billing_date(now))
    own = visible_accounts(session, person_id)
    return [
        as_payer_sees(bill, own)
        for bill in bills
        if bill.state.payable or bill.state is BillState.IN_PAYMENT
    ]


def as_payer_sees(bill: BillView, own: Container[int]) -> BillView:
    """Return a bill without what only its household may see, unless it is one of ``own``."""
    if bill.account.account_id in own:
        return bill
    account = replace(bill.account, address="")
    return replace(bill, account=account, account_no="", usage=None, usage_unit="", items=())
