"""Telling payers how their money goes on: confirmed by the companies, or on its way back."""

from datetime import datetime

from sqlmodel import Session

from core.db import HotStatement
from notifications import payment_facts
from notifications.notices import payer_of, payers_of
from notifications.telling import Telling, tell, tell_all
from payments.applying import STRAY_REASON
from payments.models import Payment, Receipt, ReceiptState
from payments.returns.models import Refund, RefundStatus
from payments.returns.receipts import return_no
from payments.returns.transfers import find_transfer
from payments.states import Outcome

_UNDECIDED = frozenset({Outcome.WAITING, Outcome.PAID})
_ON_ITS_WAY = frozenset({RefundStatus.REQUESTED, RefundStatus.PENDING, RefundStatus.BY_TRANSFER})


_CONFIRMED = HotStatement("""
    SELECT payment_id FROM payment_item
    WHERE payment_id IN (SELECT payment_id FROM payment_item WHERE write_off_no = ANY(:nos))
    GROUP BY payment_id
    HAVING bool_or(outcome = 'written_off') AND NOT bool_or(outcome = ANY(:undecided))
""")


def tell_confirmed(
    session: Session, *write_off_nos: str, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell payers that the companies have confirmed a payment: once, when all have answered."""
    values = {"nos": list(write_off_nos), "undecided": list(_UNDECIDED)}
    confirmed = [payment_id for (payment_id,) in _CONFIRMED.rows(session, values)]
    payers = payers_of(session, confirmed, public_url=public_url, secret=secret, now=now)
    told = [
        Telling(
            event="write_off.accepted", person=to.person, subject_ref=str(payment_id),
            facts=payment_facts.confirmed(to.seen),
        )
        for payment_id, to in payers.items()
    ]  # fmt: skip
    tell_all(session, told, now=now)


def tell_on_its_way(
    session: Session, refund_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that money is on its way back, and why.

    Not where a company refused it, which is told by itself, and not once it is sent.
    """
    refund = session.get_one(Refund, refund_no)
    payment = session.get_one(Payment, refund.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or refund.status not in _ON_ITS_WAY or _was_refused(refund):
        return
    told = Telling(
        event="refund.requested", person=to.person, subject_ref=refund_no,
        facts=payment_facts.on_its_way(refund, to.seen),
    )  # fmt: skip
    tell(session, told, now=now)


def tell_came_back(
    session: Session, receipt_id: int, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that what was sent back came back to us, and that we need an account.

    Not once it went another way.
    """
    receipt = session.get_one(Receipt, receipt_id)
    payment = session.get_one(Payment, receipt.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None or receipt.state is not ReceiptState.SUSPENDED:
        return
    told = Telling(
        event="refund.came_back", person=to.person, subject_ref=str(receipt_id),
        facts=payment_facts.came_back(receipt, to.seen),
    )  # fmt: skip
    tell(session, told, now=now)


def tell_sent_again(
    session: Session, receipt_id: int, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that our bank has sent what had come back to us.

    Nothing of other money that was on no bill, and of what their own bank gave them.
    """
    receipt = session.get_one(Receipt, receipt_id)
    number = return_no(receipt)
    transfer = find_transfer(session, number)
    if receipt.came_back_of is None or transfer is None or transfer.sent_at is None:
        return
    payment = session.get_one(Payment, receipt.payment_id)
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None:
        return
    told = Telling(
        event="payment.returned", person=to.person, subject_ref=number,
        facts=payment_facts.sent_again(receipt, to.seen),
    )  # fmt: skip
    tell(session, told, now=now)


def _was_refused(refund: Refund) -> bool:
    """Tell whether a company did not take the money: what goes by itself else came too late."""
    return refund.proposed_by is None and refund.reason != STRAY_REASON
