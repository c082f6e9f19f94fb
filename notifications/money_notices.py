"""Telling payers how their money goes on: confirmed by the companies, or on its way back."""

from datetime import datetime

from sqlmodel import Session, select

from billing.bills import format_ref
from core.money import format_yuan
from notifications.notices import Payer, payer_of
from notifications.refund_words import why_back
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts
from notifications.words import bill_words
from payments.models import Payment, PaymentItem, list_items
from payments.returns.models import Refund, RefundStatus
from payments.settlement import STRAY_REASON
from payments.states import Outcome
from payments.views import PaymentItemView

_UNDECIDED = frozenset({Outcome.WAITING, Outcome.PAID})
_ON_ITS_WAY = frozenset({RefundStatus.REQUESTED, RefundStatus.PENDING, RefundStatus.BY_TRANSFER})


def tell_confirmed(
    session: Session, write_off_no: str, *, public_url: str, now: datetime, secret: str = ""
) -> None:
    """Tell the payer that the companies have confirmed a payment: once, when all have answered."""
    item = session.exec(select(PaymentItem).where(PaymentItem.write_off_no == write_off_no)).one()
    payment = session.get_one(Payment, item.payment_id)
    items = list_items(session, payment.id)
    confirmed = {
        format_ref((one.account_id, one.bill_id))
        for one in items
        if one.outcome is Outcome.WRITTEN_OFF
    }
    if not confirmed or any(one.outcome in _UNDECIDED for one in items):
        return
    to = payer_of(session, payment, public_url=public_url, secret=secret, now=now)
    if to is None:
        return
    shown = [one for one in to.shown.items if one.bill_ref in confirmed]
    values = {
        "amount": format_yuan(sum(one.amount_fen for one in shown)), "count": str(len(shown)),
    }  # fmt: skip
    facts = Facts(values, [_line(to, one) for one in shown], to.link)
    told = Telling(
        event="write_off.accepted", person=to.person, subject_ref=str(payment.id), facts=facts
    )
    tell(session, told, now=now)


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
    item = to.item((refund.account_id, refund.bill_id))
    values = {"amount": format_yuan(refund.to_send_fen), "why": why_back(refund, to.locale)}
    told = Telling(
        event="refund.requested", person=to.person, subject_ref=refund_no,
        facts=Facts(values, [_line(to, item)], to.link),
    )  # fmt: skip
    tell(session, told, now=now)


def _was_refused(refund: Refund) -> bool:
    """Tell whether a company did not take the money: what goes by itself else came too late."""
    return refund.proposed_by is None and refund.reason != STRAY_REASON


def _line(to: Payer, item: PaymentItemView) -> tuple[str, str]:
    bill = item.bill
    return bill_words(bill.account, bill.billing_month, to.locale), format_yuan(item.amount_fen)
