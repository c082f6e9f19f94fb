"""Telling payers of autopay: what will be debited, what will not, and what became of it.

A job asks for what is true when it runs, not for what was when its event happened: so a debit that
was called off meanwhile is not announced any more, and a notice is never out of date when it is
made.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session, col, or_, select

from billing.bills import BillRef
from billing.homes.households import account_view, visible_accounts
from billing.homes.spans import bills_of, may_see
from billing.models import Bill, UtilityAccount
from core.clock import billing_date
from identity.models import Person
from notifications.autopay_words import OpenBill, Run, mandate_facts, run_facts
from notifications.models import Notice
from notifications.telling import Telling, tell
from payments.autopay.models import AutopayRun, Mandate
from payments.autopay.rules import NotPaid, last_try_on
from payments.autopay.states import MandateStatus, RunState
from payments.gateways import gateway_label
from payments.gateways.base import Gateway

_MANY = 40
_NOTHING_TO_DO = frozenset(
    {NotPaid.PAID, NotPaid.CANCELLED, NotPaid.SUPERSEDED, NotPaid.NOT_ALLOWED}
)
_TOLD = frozenset({*RunState}) - {RunState.PLANNED, RunState.DEBITING}
_AHEAD = frozenset({RunState.PLANNED, RunState.ANNOUNCED, RunState.RETRY})


def tell_run(
    session: Session, run_id: int, gateways: dict[str, Gateway], *, public_url: str, now: datetime
) -> None:
    """Tell the payer how one bill under autopay stands now, each state once.

    Who was never told that it would be debited is not told that it will not be.
    """
    # Whoever calls the debit off waits for this, and knows then whether it was announced.
    run = session.get_one(AutopayRun, run_id, with_for_update={"read": True})
    mandate = session.get_one(Mandate, run.mandate_id)
    person = session.get_one(Person, mandate.person_id)
    bill = session.get_one(Bill, (run.account_id, run.bill_id))
    event = _event(session, run, bill, person)
    if event is None:
        return
    account = session.get_one(UtilityAccount, run.account_id)
    told = Run(
        account=account_view(account), billing_month=bill.billing_month,
        amount_fen=run.amount_fen or bill.open_fen, open_fen=bill.open_fen, debit_on=run.debit_on,
        last_on=last_try_on(run.first_debit_on or run.debit_on), pay_by_on=run.pay_by_on,
        today=billing_date(now), reason=run.reason,
        gateway=gateway_label(gateways, mandate.gateway).said(person.locale),
    )  # fmt: skip
    page = f"bills/{run.account_id}.{run.bill_id}"
    if event in {"announced", "called_off"}:
        page = f"autopay/{mandate.id}"
    facts = run_facts(
        told, still_open=event not in {"announced", "called_off", "retry"},
        link=f"{public_url}/{page}", locale=person.locale,
    )  # fmt: skip
    telling = Telling(event=f"autopay.{event}", person=person, subject_ref=str(run.id), facts=facts)
    tell(session, telling, now=now)


def tell_owed_again(
    session: Session, ref: BillRef, gateways: dict[str, Gateway], *, public_url: str, now: datetime
) -> None:
    """Tell payers whose autopay will not pay a bill that is owed again, though it stood paid.

    While it was paid there was nothing to tell them; and who paid it need not be who has autopay.
    """
    left_alone = select(AutopayRun.id).where(
        AutopayRun.account_id == ref[0], AutopayRun.bill_id == ref[1],
        col(AutopayRun.state).in_({RunState.TOLD, RunState.FAILED, RunState.SKIPPED}),
    )  # fmt: skip
    for run_id in session.exec(left_alone.order_by(col(AutopayRun.id))).all():
        tell_run(session, run_id or 0, gateways, public_url=public_url, now=now)


def _event(session: Session, run: AutopayRun, bill: Bill, person: Person) -> str | None:
    """Return what there is to tell; None: nothing, or not to this person any more."""
    again = run.reason is NotPaid.PAID and bill.version == run.version and _is_owed(bill)
    if run.state is RunState.SKIPPED and run.reason in _NOTHING_TO_DO and not again:
        return "called_off" if _was_announced(session, run, person) else None
    if run.state is RunState.SKIPPED and run.reason is NotPaid.ENDED:
        return None  # the end of the mandate is told, with its bills
    if bill.version != run.version or not _is_owed(bill):
        return None
    if not may_see(visible_accounts(session, person.id or 0, to_pay=True), bill):
        return None
    if run.state is RunState.DONE and bill.paid_fen == 0:
        return None  # the company refused it since, which is told by itself
    return run.state if run.state in _TOLD else None


def _is_owed(bill: Bill) -> bool:
    return bill.open_fen > 0 and bill.cancelled_at is None and bill.paid_elsewhere_at is None


def _was_announced(session: Session, run: AutopayRun, person: Person) -> bool:
    wanted = select(Notice.id).where(
        Notice.event == f"autopay.{RunState.ANNOUNCED}", Notice.person_id == person.id,
        Notice.subject_ref == str(run.id),
    )  # fmt: skip
    return session.exec(wanted.limit(1)).one_or_none() is not None


def tell_mandate(
    session: Session,
    mandate_id: int,
    gateways: dict[str, Gateway],
    *,
    public_url: str,
    now: datetime,
) -> None:
    """Tell a payer that autopay has stopped, ended or never begun, and which bills are theirs now.

    What they have resumed meanwhile, replaced, or never agreed to and ended themselves is not told.
    """
    mandate = session.get_one(Mandate, mandate_id)
    event = _mandate_event(mandate)
    if event is None:
        return
    person = session.get_one(Person, mandate.person_id)
    account = session.get_one(UtilityAccount, mandate.account_id) if mandate.account_id else None
    page = {"frozen": f"autopay/{mandate.id}", "not_begun": "autopay/new"}
    facts = mandate_facts(
        reason=mandate.reason, account=account_view(account) if account else None,
        gateway=gateway_label(gateways, mandate.gateway).said(person.locale),
        bills=list(_left_to_pay(session, mandate, event)),
        link=f"{public_url}/{page.get(event, 'autopay')}", locale=person.locale,
    )  # fmt: skip
    # One that bounces, is resumed and bounces again is told of twice.
    subject_ref = f"{mandate.id} {mandate.status_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    telling = Telling(event=f"mandate.{event}", person=person, subject_ref=subject_ref, facts=facts)
    tell(session, telling, now=now)


def _mandate_event(mandate: Mandate) -> str | None:
    if mandate.status is MandateStatus.PAUSED and mandate.reason == "bounced":
        return "frozen"
    if mandate.status is MandateStatus.REFUSED:
        return "not_begun"
    if mandate.status is not MandateStatus.ENDED or mandate.reason == "erased":
        return None
    if mandate.enrolled_at is not None:
        return "ended"
    return None if mandate.reason in {"by_payer", "replaced"} else "not_begun"


def _left_to_pay(session: Session, mandate: Mandate, event: str) -> Iterable[OpenBill]:
    """Yield the bills that autopay would have paid and their payer has to pay now."""
    if event == "not_begun":
        return
    states = _AHEAD if event == "frozen" else {RunState.SKIPPED}
    accounts = visible_accounts(session, mandate.person_id, to_pay=True)
    of_this_version = (
        (col(Bill.account_id) == col(AutopayRun.account_id))
        & (col(Bill.id) == col(AutopayRun.bill_id))
        & (col(Bill.version) == col(AutopayRun.version))
    )
    rows = session.exec(
        select(AutopayRun, Bill)
        .join(Bill, of_this_version)
        .where(AutopayRun.mandate_id == mandate.id, bills_of(accounts))
        .where(col(AutopayRun.state).in_(states))
        .where(or_(col(AutopayRun.reason).is_(None), AutopayRun.reason == NotPaid.ENDED))
        .order_by(col(AutopayRun.pay_by_on), col(AutopayRun.id))
        .limit(_MANY)
    )
    for run, bill in rows:
        if _is_owed(bill):
            account = account_view(accounts[run.account_id])
            yield OpenBill(account, bill.billing_month, bill.open_fen, run.pay_by_on)
