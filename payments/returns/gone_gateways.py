"""Money that was asked back at a gateway which is not installed any more: nobody can be asked.

It may have sent it. So a person compares its last statement first, and then has our bank send it.
"""

from collections.abc import Collection
from datetime import datetime

from sqlmodel import Session

from core.errors import Conflict, Invalid
from identity import audit
from identity.audit import Deed, Subject
from payments.models import Payment, Receipt, ReceiptState
from payments.returns import transfers
from payments.returns.models import Refund, RefundStatus, TransferReason, check_undisputed
from payments.returns.receipts import receipt_of
from payments.returns.refunds import lock_refund
from payments.returns.suspense import lock_receipt


def is_stuck(
    session: Session, row: Refund | Receipt, payment: Payment, gateways: Collection[str]
) -> bool:
    """Tell whether money waits for the answer of a gateway that is gone."""
    if isinstance(row, Refund):
        return row.status is RefundStatus.PENDING and payment.gateway not in gateways
    return (
        row.state is ReceiptState.SUSPENDED
        and row.asked_at is not None
        and row.source not in gateways
        and transfers.find_transfer(session, f"S{row.id}") is None
    )


def send_by_bank(
    session: Session,
    number: str,
    *,
    gateways: Collection[str],
    reason: str,
    by: int,
    now: datetime,
) -> None:
    """Have our bank send what such a gateway was asked for; sent twice it is one transfer.

    Raises:
        NotFound: no such refund, or suspended money.
        Invalid: no reason.
        Conflict: its gateway can be asked, it went, or the payer's bank disputes the payment.
    """
    if not reason.strip():
        raise Invalid("say how you know that it was not sent", code="refund.not_known")
    receipt_id = receipt_of(number)
    payment, row = (
        lock_refund(session, number) if receipt_id is None else lock_receipt(session, receipt_id)
    )
    if transfers.is_waiting(transfers.find_transfer(session, number)):
        return
    if not is_stuck(session, row, payment, gateways):
        raise Conflict("this does not wait for a gateway that is gone", code="refund.not_stuck")
    check_undisputed(session, payment.id)
    if isinstance(row, Refund):
        row.move_to(RefundStatus.BY_TRANSFER)
    why = TransferReason.NO_GATEWAY
    transfers.open_transfer(session, payment, number, row.to_send_fen, why, now=now)
    subject = Subject("refund", number)
    detail = {"reason": reason.strip()}
    audit.note(session, by, Deed.SENT_BY_BANK, subject=subject, detail=detail, now=now)
