"""Money a gateway had sent back and that came back to it, as to a card that is closed.

It is suspended money again, as ever known by the number it had been sent under, so that told twice
it is one. By the gateway it never goes again: staff ask the payer for an account.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from core import outbox
from core.errors import Conflict
from payments.gateways.base import RefundReply
from payments.models import Payment, Receipt, ReceiptState
from payments.returns import transfers
from payments.returns.models import TransferReason
from payments.returns.receipts import keep, return_no

REASON = "it came back after it had been sent"


def book(
    session: Session,
    payment: Payment,
    number: str,
    source: str,
    amount_fen: int,
    reply: RefundReply,
    *,
    now: datetime,
) -> None:
    """Enter that what a gateway had sent came back to it, once; the payment is locked.

    Money our own bank had sent is none of it: there the gateway's refusal was the reason.

    Args:
        number: a refund's, or that of suspended money, under which it had been sent.
        amount_fen: what had been sent.
    """
    transfer = transfers.find_transfer(session, number)
    sent_by_bank = transfer is not None and transfer.sent_at is not None
    if sent_by_bank or find(session, number) is not None:
        return
    receipt = keep(
        session, payment.id, source, number, amount_fen, reason=REASON, came_back_of=number,
        received_at=reply.came_back_at or now, now=now,
    )  # fmt: skip
    if receipt.state is ReceiptState.SUSPENDED:
        transfers.open_transfer(
            session, payment, return_no(receipt), receipt.to_send_fen, TransferReason.CAME_BACK,
            gateway_said=reply.reason, now=now,
        )  # fmt: skip
        outbox.emit(session, "receipt.came_back", receipt.id, now=now)


def find(session: Session, number: str) -> Receipt | None:
    """Return the money that came back of what was sent under a number."""
    return found_of(session, [number]).get(number)


def found_of(session: Session, numbers: Sequence[str]) -> dict[str, Receipt]:
    """Return the money that came back of what was sent under some numbers, by them."""
    wanted = select(Receipt).where(col(Receipt.came_back_of).in_(numbers))
    found = session.exec(wanted.execution_options(populate_existing=True)).all()
    return {str(one.came_back_of): one for one in found}


def check_not_back(session: Session, number: str) -> None:
    """See that money a gateway says it sent is not what it said came back to it.

    Raises:
        Conflict: it is: a person must ask it which is true.
    """
    if find(session, number) is not None:
        raise Conflict(
            "the gateway says that it sent what it had said came back to it: ask it which is true"
            " before our bank sends it",
            code="refund.sent_after_all",
        )
