"""Autopay as its payer sees it: what they agreed to, what comes next, and what became of the rest.

``promise`` says in figures what rules would do to a bill like the last one, before anybody agrees.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from billing import bills
from billing.bills import BillRef
from billing.homes.households import account_view, visible_accounts
from billing.homes.spans import Accounts, bills_of
from billing.models import Bill, UtilityAccount
from billing.rows import AnyAccount
from billing.rules.calendars import pay_by
from billing.rules.terms import Terms
from billing.terms import terms_on
from billing.views import AccountView, BillView
from core.clock import add_months, billing_date, day_bounds, month_start
from payments.autopay.mandates import Scope
from payments.autopay.models import AutopayRun, Mandate, list_mandates
from payments.autopay.rules import NotPaid, Rules, debit_day
from payments.autopay.states import MandateStatus, RunState
from payments.models import Payment

AHEAD = frozenset({RunState.PLANNED, RunState.ANNOUNCED, RunState.DEBITING, RunState.RETRY})
_MANY = 40


class RunView(NamedTuple):
    """One bill under a mandate. ``amount_fen`` is what was announced, ``paid_fen`` what was paid.

    ``debit_on`` of a planned one may still move.
    """

    bill: BillView
    state: RunState
    reason: NotPaid | None
    amount_fen: int | None
    paid_fen: int | None
    debit_on: date
    pay_by_on: date
    announced_at: datetime | None
    state_at: datetime
    payment_id: int | None


class MandateView(NamedTuple):
    """A mandate; ``account`` is None when it is for the whole household."""

    id: int
    status: MandateStatus
    reason: str | None
    account: AccountView | None
    gateway: str
    rules: Rules
    sign_url: str | None
    signed_most_fen: int | None
    created_at: datetime
    enrolled_at: datetime | None
    ahead: tuple[RunView, ...]
    past: tuple[RunView, ...]


def list_views(session: Session, person_id: int, *, now: datetime) -> list[MandateView]:
    """Return a person's mandates, the newest first, each with its latest bills."""
    found = list_mandates(session, person_id)
    accounts = visible_accounts(session, person_id)
    return [_view(session, one, accounts, now=now) for one in found]


def view(session: Session, mandate: Mandate, *, now: datetime) -> MandateView:
    """Return one mandate with its latest bills."""
    accounts = visible_accounts(session, mandate.person_id)
    return _view(session, mandate, accounts, now=now)


def _view(
    session: Session, mandate: Mandate, accounts: Mapping[int, AnyAccount], *, now: datetime
) -> MandateView:
    found = _runs(session, mandate, accounts, now=now)
    account = session.get(UtilityAccount, mandate.account_id) if mandate.account_id else None
    ahead = sorted((one for one in found if one.state in AHEAD), key=lambda one: one.debit_on)
    return MandateView(
        id=mandate.id or 0, status=mandate.status, reason=mandate.reason,
        account=account_view(account) if account else None, gateway=mandate.gateway,
        rules=mandate.rules, sign_url=mandate.sign_url, signed_most_fen=mandate.signed_most_fen,
        created_at=mandate.created_at, enrolled_at=mandate.enrolled_at, ahead=tuple(ahead),
        past=tuple(one for one in found if one.state not in AHEAD),
    )  # fmt: skip


def _runs(
    session: Session, mandate: Mandate, accounts: Mapping[int, AnyAccount], *, now: datetime
) -> list[RunView]:
    """Return the latest runs of a mandate whose accounts the payer may still see, newest first."""
    rows = session.exec(
        select(AutopayRun, Bill, Payment)
        .join(
            Bill,
            (col(Bill.account_id) == col(AutopayRun.account_id))
            & (col(Bill.id) == col(AutopayRun.bill_id)),
        )
        .outerjoin(Payment, col(Payment.id) == col(AutopayRun.payment_id))
        .where(AutopayRun.mandate_id == mandate.id, bills_of(accounts))
        .order_by(col(AutopayRun.id).desc())
        .limit(_MANY)
    ).all()
    shown = bills.views(session, [row[1] for row in rows], accounts, today=billing_date(now))
    return [
        _run_view(run, bill, payment) for (run, _, payment), bill in zip(rows, shown, strict=True)
    ]


def _run_view(run: AutopayRun, bill: BillView, payment: Payment | None) -> RunView:
    paid = run.state is RunState.DONE and payment is not None
    return RunView(
        bill=bill, state=run.state, reason=run.reason, amount_fen=run.amount_fen,
        paid_fen=payment.amount_fen if paid and payment else None, debit_on=run.debit_on,
        pay_by_on=run.pay_by_on, announced_at=run.announced_at, state_at=run.state_at,
        payment_id=run.payment_id,
    )  # fmt: skip


class BillRun(NamedTuple):
    """What autopay will do, or did, with one bill."""

    mandate_id: int
    run: AutopayRun


def find_run_of_bill(session: Session, ref: BillRef, person_id: int) -> BillRun | None:
    """Return what a person's autopay will do, or did, with a bill as it stands now."""
    found = session.exec(
        select(AutopayRun)
        .join(Mandate, col(AutopayRun.mandate_id) == col(Mandate.id))
        .join(
            Bill,
            (col(Bill.account_id) == col(AutopayRun.account_id))
            & (col(Bill.id) == col(AutopayRun.bill_id))
            & (col(Bill.version) == col(AutopayRun.version)),
        )
        .where(Mandate.person_id == person_id)
        .where(AutopayRun.account_id == ref[0], AutopayRun.bill_id == ref[1])
        .order_by(col(AutopayRun.id).desc())
        .limit(1)
    ).one_or_none()
    return None if found is None else BillRun(found.mandate_id, found)


class Promise(NamedTuple):
    """What rules would do to a bill like the last one. ``amount_fen`` None: there is no last one.

    ``reason`` says why it would not be debited.
    """

    due_on: date
    debit_on: date
    amount_fen: int | None
    reason: NotPaid | None


def promise(
    session: Session, person_id: int, scope: Scope, rules: Rules, *, now: datetime
) -> Promise:
    """Return what rules mean, by the latest bill they would cover had it come next month."""
    accounts = visible_accounts(
        session, person_id, to_pay=True, household_id=scope.household_id
    ).staying()
    if scope.account_id is not None:
        accounts = accounts.only(lambda one: one.id == scope.account_id)
    latest = _latest_bill(session, accounts)
    today = billing_date(now)
    next_month = add_months(month_start(today), 1)
    if latest is None:
        issued_on, due_on = next_month, next_month.replace(day=15)
        terms, amount_fen = Terms(), None
    else:
        bill, account = latest
        terms = terms_on(session, account.provider_code, today)
        due_on = next_month.replace(day=min(bill.due_on.day, 28))
        issued_on = due_on - (bill.due_on - bill.issued_on)
        amount_fen = bill.amount_fen
    pay_by_on = pay_by(due_on, terms.due)
    day = debit_day(
        rules, terms, issued_on=issued_on, pay_by_on=pay_by_on, told_at=day_bounds(issued_on)[0]
    )
    reason = None if amount_fen is None else rules.why_not(amount_fen, first=False)
    if day is None:
        reason = NotPaid.TOO_LATE
    return Promise(pay_by_on, day or pay_by_on, amount_fen, reason)


def _latest_bill(session: Session, accounts: Accounts) -> tuple[Bill, UtilityAccount] | None:
    return session.exec(
        select(Bill, UtilityAccount)
        .join(UtilityAccount, col(UtilityAccount.id) == col(Bill.account_id))
        .where(bills_of(accounts), Bill.amount_fen > 0)
        .where(col(Bill.cancelled_at).is_(None))
        .order_by(col(Bill.id).desc())
        .limit(1)
    ).one_or_none()
