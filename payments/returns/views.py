"""What a payer may see of money on its way back: each step with its day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlmodel import Session

from billing.bills import format_ref
from core.clock import billing_date
from payments.models import Payment, Receipt
from payments.returns import came_back
from payments.returns.models import Refund, RefundReason, RefundStatus, list_refunds
from payments.returns.transfers import find_transfer


class RefundStep(StrEnum):
    """How far a refund has come, in the payer's words."""

    REQUESTED = "requested"
    APPROVED = "approved"
    SENT = "sent"
    CAME_BACK = "came_back"  # after it was sent: it goes on as money beside the payment
    DECLINED = "declined"
    CHARGED_BACK = "charged_back"  # their bank has given it back already


_S = RefundStatus
_STEP: Mapping[RefundStatus, RefundStep] = {
    _S.PROPOSED: RefundStep.REQUESTED,
    _S.REQUESTED: RefundStep.APPROVED,
    _S.PENDING: RefundStep.APPROVED,
    _S.BY_TRANSFER: RefundStep.APPROVED,
    _S.SUCCEEDED: RefundStep.SENT,
    _S.DECLINED: RefundStep.DECLINED,
    _S.CHARGED_BACK: RefundStep.CHARGED_BACK,
}
# How long a refund takes to show once it was sent, at most, in days.
_ARRIVES_WITHIN = {"wallet": 1, "card": 10}
_TRANSFER_DAYS, _OTHER_DAYS = 3, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundView:
    """A refund's steps: each has its moment once it is done."""

    refund_no: str
    bill_ref: str
    amount_fen: int  # what goes back; of one their bank returned instead, that
    step: RefundStep
    reason: RefundReason | None  # none: the company did not take the payment
    by_bank: bool  # to an account of the payer's, not the way it came
    requested_at: datetime
    approved_at: datetime | None
    sent_at: datetime | None
    arrives_by_on: date | None
    declined_at: datetime | None
    came_back_at: datetime | None

    @property
    def under_way(self) -> bool:
        return self.step in {RefundStep.REQUESTED, RefundStep.APPROVED}


def refund_views(session: Session, payment: Payment) -> tuple[RefundView, ...]:
    """Return a payment's refunds; what staff took back before anybody decided is not shown."""
    shown = [
        one for one in list_refunds(session, payment.id)
        if one.declined_by is None or one.declined_by != one.proposed_by
    ]  # fmt: skip
    back = came_back.found_of(session, [one.refund_no for one in shown])
    return tuple(_view(session, payment, one, back.get(one.refund_no)) for one in shown)


def _view(
    session: Session, payment: Payment, refund: Refund, back: Receipt | None
) -> RefundView:  # fmt: skip
    transfer = find_transfer(session, refund.refund_no)
    by_bank = transfer is not None and transfer.dropped_at is None
    started_at = refund.proposed_at or refund.requested_at
    assert started_at is not None
    sent_at = refund.succeeded_at
    sent_on = billing_date(sent_at) if sent_at and back is None else None
    return RefundView(
        refund_no=refund.refund_no,
        bill_ref=format_ref((refund.account_id, refund.bill_id)),
        amount_fen=refund.to_send_fen or refund.amount_fen,
        step=_step(refund) if back is None else RefundStep.CAME_BACK,
        reason=refund.reason_code,
        by_bank=by_bank,
        requested_at=started_at,
        approved_at=refund.requested_at,
        sent_at=sent_at,
        arrives_by_on=arrives_by(sent_on, payment.mode, by_bank=by_bank) if sent_on else None,
        declined_at=refund.declined_at,
        came_back_at=None if back is None else back.received_at,
    )


def arrives_by(sent_on: date, mode: str, *, by_bank: bool) -> date:
    """Return the day on which money that was sent back must be there.

    Args:
        mode: how it was paid.
        by_bank: it goes to an account, not the way it came.
    """
    days = _TRANSFER_DAYS if by_bank else _ARRIVES_WITHIN.get(mode, _OTHER_DAYS)
    return sent_on + timedelta(days=days)


def _step(refund: Refund) -> RefundStep:
    if refund.status is _S.DECLINED and refund.declined_by is None:
        return RefundStep.CHARGED_BACK
    return _STEP[refund.status]
