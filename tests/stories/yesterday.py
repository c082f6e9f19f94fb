"""A past for a town, and a yesterday that is left for its staff: people paid at the corner shop.

``python -m tests.stories.yesterday``, in the town's folder and before the town is up.
"""

import json
import sys
from datetime import date, datetime, time, timedelta

from sqlmodel import Session, col, select

from billing.bills import list_bills
from billing.homes.households import visible_accounts
from billing.ledger.days import close_through
from cli import demo
from cli.connect import connected, data_dir
from cli.demo_past import day_file, pay_in_cash, write_off
from core.clock import BILLING_ZONE, billing_date, utc_now
from core.db import transaction
from identity.models import Person, Role
from payments.reconciliation.bank.models import BankAccount, BankStatement
from payments.remittance.runs import propose_due

# The demo's past ends here: what was paid before is due to the companies, whatever holidays lie
# between.
QUIET_DAYS = 7
_DAY = timedelta(days=1)


def begin(now: datetime) -> dict[str, object]:
    """Let two months and a week pass; returns what the rest of the world knows of it."""
    day = billing_date(now) - _DAY
    memory = demo.far_side(data_dir())
    keys = demo.seed(households=5, months=2, memory=memory, now=now - QUIET_DAYS * _DAY)
    _pay(day)
    close_through(day - _DAY, closed_by="demo", now=now)
    propose_due(now=now)
    with transaction() as session:
        content, balances = day_file(session, day), _balances(session)
    return {
        "keys": keys, "day": str(day), "shop_file": content.decode(), "balances": balances,
    }  # fmt: skip


def _pay(day: date) -> None:
    """Have everybody pay what was due by then, and tell the companies the same day."""
    with transaction() as session:
        people = session.exec(select(Person.id).where(Person.role == Role.RESIDENT)).all()
        wanted = [
            (person_id, bill)
            for person_id in people
            for bill in list_bills(session, visible_accounts(session, person_id or 0), today=day)
            if bill.state.payable and bill.issued_on < day - _DAY and bill.due_on >= day
        ]
    at = datetime.combine(day, time(10, 30), tzinfo=BILLING_ZONE)
    numbers = [
        number
        for minute, (person_id, bill) in enumerate(wanted)
        for number in pay_in_cash(
            person_id or 0, bill, bill.open_fen, at=at + timedelta(minutes=minute)
        )
    ]
    write_off(numbers, demo.far_side(data_dir()))


def _balances(session: Session) -> dict[str, int]:
    """Return what each of our accounts had when its bank last told us."""
    newest = (
        select(BankAccount.account_no, BankStatement.closing_fen)
        .join(BankStatement, col(BankStatement.account_id) == BankAccount.id)
        .order_by(col(BankStatement.covers_to), col(BankStatement.id))
    )
    return {number: fen or 0 for number, fen in session.exec(newest)}


if __name__ == "__main__":
    with connected():
        told = begin(utc_now())
    sys.stdout.write(json.dumps(told))
