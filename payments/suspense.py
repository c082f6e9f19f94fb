"""Money that came and is on no bill: recorded first, suspended, and sent back by itself.

Two kinds: another amount than we asked for (rule 32), and a second payment of the same order (rule
29). Neither touches a bill. Each is a row of its own, known by its source and that source's number
(rules 38, 39).
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing import ledger, postings
from core import outbox
from core.clock import billing_date, month_start, utc_now
from core.db import transaction
from core.errors import AmountMismatch, Conflict, NotFound
from core.keys import month_key
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, GatewayReply, RefundOrder, RefundState
from payments.models import Payment, Receipt, ReceiptState, get_payment

_KEEP = text("""
    INSERT INTO receipt (id, source, source_ref, payment_id, amount_fen, reason, state, received_at)
    VALUES (:id, :source, :source_ref, :payment_id, :amount_fen, :reason, 'suspended', :received_at)
    ON CONFLICT (source, source_ref) DO NOTHING
    RETURNING id
""")


def suspend(
    session: Session, payment_id: int, reply: GatewayReply, *, reason: str, now: datetime
) -> None:
    """Record money that belongs on no bill; the same money told again changes nothing.

    Raises:
        AmountMismatch: the source does not say how much it took, or said otherwise before.
    """
    if reply.amount_fen is None or reply.amount_fen <= 0:
        raise AmountMismatch("the gateway says it took money, and not how much", reason=reason)
    payment = get_payment(session, payment_id)
    source_ref = reply.gateway_ref or payment.order_no
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    values = {
        "id": month_key(month_start(billing_date(now)), number),
        "source": payment.gateway, "source_ref": source_ref, "payment_id": payment.id,
        "amount_fen": reply.amount_fen, "reason": reason, "received_at": reply.paid_at or now,
    }  # fmt: skip
    receipt_id = session.execute(_KEEP, values).scalar_one_or_none()
    if receipt_id is None:
        _check_same(session, payment.gateway, source_ref, reply.amount_fen)
        return
    ledger.post(session, postings.suspended(receipt_id, payment.gateway, reply.amount_fen), now=now)
    outbox.emit(session, "receipt.suspended", receipt_id, now=now)
    session.flush()


def _check_same(session: Session, source: str, source_ref: str, amount_fen: int) -> None:
    known_fen = session.execute(
        text("SELECT amount_fen FROM receipt WHERE source = :source AND source_ref = :ref"),
        {"source": source, "ref": source_ref},
    ).scalar_one()
    if known_fen != amount_fen:
        raise AmountMismatch(
            "the gateway told of this money before, with another amount",
            code="receipt.amount_differs", before_fen=known_fen, now_fen=amount_fen,
        )  # fmt: skip


def return_no(receipt: Receipt) -> str:
    """Return the number under which a gateway sends suspended money back."""
    return f"S{receipt.id}"


def send_back(receipt_id: int, gateways: dict[str, Gateway]) -> bool:
    """Ask the gateway to send suspended money back; True once it has. May be repeated.

    Raises:
        NotFound: no such receipt.
        Conflict: the gateway refuses for good; a person must look.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        receipt = session.get(Receipt, receipt_id)
        if receipt is None:
            raise NotFound("there is no such receipt")
        payment = session.get_one(Payment, receipt.payment_id)
    if receipt.state is ReceiptState.RETURNED:
        return True
    paid = replace(payment.asked(), amount_fen=receipt.amount_fen, gateway_ref=receipt.source_ref)
    order = RefundOrder(
        refund_no=return_no(receipt), amount_fen=receipt.amount_fen, reason=receipt.reason,
        asked_at=receipt.received_at, paid=paid,
    )  # fmt: skip
    reply = gateway_named(gateways, receipt.source).refund(order)
    if reply.state is RefundState.REFUSED:
        raise Conflict("the gateway refuses to take this money back", code="refund.refused")
    if reply.state is not RefundState.SENT:
        return False
    with transaction() as session:
        book_returned(session, receipt_id, reply.refund_ref, reply.refunded_at, now=utc_now())
    return True


def book_returned(
    session: Session,
    receipt_id: int,
    return_ref: str | None,
    returned_at: datetime | None,
    *,
    now: datetime,
) -> None:
    """Enter that suspended money was sent back, once."""
    receipt = session.get_one(Receipt, receipt_id, with_for_update=True)
    if receipt.state is ReceiptState.RETURNED:
        return
    receipt.state, receipt.returned_at = ReceiptState.RETURNED, returned_at or now
    receipt.return_ref = return_ref
    session.flush()
    ledger.post(session, postings.released(receipt.id, receipt.source, receipt.amount_fen), now=now)
    outbox.emit(session, "receipt.returned", receipt.id, now=now)
