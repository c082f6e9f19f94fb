"""Money that came and is on no bill: recorded first, suspended, and sent back by itself.

Two kinds: another amount than we asked for (rule 32), and a second payment of the same order (rule
29). Neither touches a bill. Each is a row of its own, known by its source and that source's number
(rules 38, 39).
"""

from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

from billing.ledger import books, postings
from core import outbox
from core.db import transaction
from core.errors import AmountMismatch, Conflict, NotFound
from payments.gateways.base import Gateway, GatewayReply, RefundOrder, RefundReply
from payments.models import (
    Payment,
    Receipt,
    ReceiptState,
    get_payment,
    list_receipts,
    lock_payment,
)
from payments.returns import came_back, transfers
from payments.returns.models import BankTransfer, TransferReason, is_disputed
from payments.returns.receipts import keep, receipt_of, return_no
from payments.returns.ways_back import (
    Question,
    comes_too_soon,
    count_asked,
    enter,
    never_arrived,
    return_pause_seconds,
    why_by_transfer,
)


def suspend(
    session: Session,
    payment_id: int,
    reply: GatewayReply,
    *,
    reason: str,
    source: str | None = None,
    now: datetime,
) -> None:
    """Record money that belongs on no bill; the same money told again changes nothing.

    Args:
        source: through which gateway it came; None: the payment's.

    Raises:
        AmountMismatch: the source does not say how much it took, or said otherwise before.
    """
    if reply.amount_fen is None or reply.amount_fen <= 0:
        raise AmountMismatch("the gateway says it took money, and not how much", reason=reason)
    payment = get_payment(session, payment_id)
    source = source or payment.gateway
    known = _find_known(session, payment, source, reply)
    if known is not None:
        _check_same(known, reply)
        known.source_ref = reply.gateway_ref or known.source_ref
        session.flush()
        return
    receipt = keep(
        session, payment.id, source, reply.gateway_ref or payment.order_no, reply.amount_fen,
        reason=reason, received_at=reply.paid_at or now, now=now,
    )  # fmt: skip
    if receipt.state is ReceiptState.SUSPENDED:
        outbox.emit(session, "receipt.suspended", receipt.id, now=now)
    session.flush()


def _find_known(
    session: Session, payment: Payment, source: str, reply: GatewayReply
) -> Receipt | None:
    """Return the receipt of money told of before; the payment is locked.

    What a source tells of without its number may be any money of the order, and is kept under the
    order's number; told of with its own later, it is the same money. What had been sent and came
    back is none that a payer has paid.
    """
    known = [
        one for one in list_receipts(session, payment.id)
        if one.source == source and one.came_back_of is None
    ]  # fmt: skip
    if reply.gateway_ref is None:
        same = [one for one in known if one.amount_fen == reply.amount_fen]
        return next(iter(same or known), None)
    by_ref = {one.source_ref: one for one in known}
    return by_ref.get(reply.gateway_ref) or by_ref.get(payment.order_no)


def _check_same(known: Receipt, reply: GatewayReply) -> None:
    if known.amount_fen != reply.amount_fen:
        raise AmountMismatch(
            "the gateway told of this money before, with another amount",
            code="receipt.amount_differs", before_fen=known.amount_fen, now_fen=reply.amount_fen,
        )  # fmt: skip


def send_back(receipt_id: int, gateways: dict[str, Gateway], *, now: datetime) -> bool:
    """Have suspended money sent back; True once nothing is left to ask a gateway about it.

    May be repeated. What the gateway cannot send, or refuses for good, becomes a transfer that
    waits for staff. While the payment is disputed nothing is asked for, nor another refund of it
    sooner than the gateway takes one.

    Raises:
        NotFound: no such receipt.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        question = _prepare(session, receipt_id, gateways, now=now)
    if isinstance(question, bool):
        return question
    return _enter(receipt_id, question.ask(now=now), now=now)


def lock_receipt(session: Session, receipt_id: int) -> tuple[Payment, Receipt]:
    """Return a receipt and its payment, locked: first the payment, as everybody does.

    Raises:
        NotFound: no such receipt.
    """
    receipt = get_receipt(session, receipt_id)
    payment = lock_payment(session, receipt.payment_id)
    session.refresh(receipt, with_for_update=True)
    return payment, receipt


def get_receipt(session: Session, receipt_id: int) -> Receipt:
    """Return suspended money as it is now.

    Raises:
        NotFound: no such receipt.
    """
    receipt = session.get(Receipt, receipt_id, populate_existing=True)
    if receipt is None:
        raise NotFound("there is no such receipt")
    return receipt


def _prepare(
    session: Session, receipt_id: int, gateways: dict[str, Gateway], *, now: datetime
) -> Question | bool:
    """Return what to ask the gateway; or whether there is nothing (left) to ask it."""
    payment, receipt = lock_receipt(session, receipt_id)
    number = return_no(receipt)
    if receipt.state is ReceiptState.RETURNED or transfers.find_transfer(session, number):
        return True
    gateway, disputed = gateways.get(receipt.source), is_disputed(session, payment.id)
    if receipt.asked_at is None:
        if disputed:
            return False
        why = why_by_transfer(
            gateway, payment, amount_fen=receipt.to_send_fen, whole_fen=receipt.amount_fen,
            taken_at=receipt.received_at, asked_before=count_asked(session, payment.id), now=now,
        )  # fmt: skip
        if why is not None:
            transfers.open_transfer(session, payment, number, receipt.to_send_fen, why, now=now)
            return True
    if gateway is None:
        raise NotFound(f"there is no gateway {receipt.source!r} to ask about this money")
    if receipt.asked_at is None and comes_too_soon(
        session, payment.id, gateway.capabilities, now=now
    ):
        return False
    is_first, receipt.asked_at = receipt.asked_at is None, receipt.asked_at or now
    session.flush()
    return Question(gateway, _order(receipt, payment), is_first, disputed)


def _order(receipt: Receipt, payment: Payment) -> RefundOrder:
    assert receipt.asked_at is not None
    paid = replace(payment.asked(), amount_fen=receipt.amount_fen, gateway_ref=receipt.source_ref)
    return RefundOrder(
        refund_no=return_no(receipt), amount_fen=receipt.to_send_fen or receipt.amount_fen,
        reason=receipt.reason,
        asked_at=receipt.asked_at, paid=paid,
    )  # fmt: skip


def look(receipt_id: int, gateway: Gateway, now: datetime) -> bool:
    """Ask a gateway about money to return of which it has news; True once it could say.

    Raises:
        NotFound: no such receipt, or not this gateway's.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        receipt = session.get(Receipt, receipt_id)
        if receipt is None or receipt.source != gateway.code:
            raise NotFound("there is no such receipt")
        payment = session.get_one(Payment, receipt.payment_id)
    if receipt.asked_at is None:
        return True  # it cannot speak of what it was never asked for
    reply = gateway.query_refund(_order(receipt, payment))
    return _enter(receipt_id, reply, now=now)


def _enter(receipt_id: int, reply: RefundReply, *, now: datetime) -> bool:
    return enter(
        reply, receipt_id, sent=_book_sent, refused=_book_refused, unheard=_book_unheard, now=now
    )


def _book_sent(session: Session, receipt_id: int, reply: RefundReply, *, now: datetime) -> None:
    book_returned(session, receipt_id, reply.refund_ref, reply.refunded_at, now=now)


def _book_refused(
    session: Session, receipt_id: int, reply: RefundReply, *, now: datetime
) -> None:  # fmt: skip
    """Enter that the gateway will never send it back, or that it came back: our bank sends it."""
    payment, receipt = lock_receipt(session, receipt_id)
    if receipt.state is ReceiptState.SUSPENDED:
        transfers.open_transfer(
            session, payment, return_no(receipt), receipt.to_send_fen, TransferReason.REFUSED,
            gateway_said=reply.reason, now=now,
        )  # fmt: skip
    elif receipt.to_send_fen:
        came_back.book(
            session, payment, return_no(receipt), receipt.source, receipt.to_send_fen, reply,
            now=now,
        )  # fmt: skip


def _book_unheard(
    session: Session, receipt_id: int, _reply: RefundReply, *, now: datetime
) -> None:  # fmt: skip
    """Let suspended money whose asking never arrived wait until the dispute is decided."""
    payment, receipt = lock_receipt(session, receipt_id)
    waits = receipt.state is ReceiptState.SUSPENDED and never_arrived(receipt.asked_at, now=now)
    if waits and is_disputed(session, payment.id):
        receipt.asked_at = None


def book_returned(
    session: Session,
    receipt_id: int,
    return_ref: str | None,
    returned_at: datetime | None,
    *,
    now: datetime,
) -> None:
    """Enter that the money went back the way it came, by its gateway or an agent, once.

    Raises:
        Conflict: it went back another way already, or may have, or came back: a person must look.
    """
    _, receipt = lock_receipt(session, receipt_id)
    transfers.give_way(session, return_no(receipt), taken_by_bank=receipt.to_send_fen == 0, now=now)
    came_back.check_not_back(session, return_no(receipt))
    if receipt.state is ReceiptState.RETURNED:
        return
    receipt.asked_at = receipt.asked_at or now
    way = books.gateway(receipt.source)
    _returned(session, receipt, way, return_ref, at=returned_at or now, now=now)


def book_transferred(session: Session, transfer: BankTransfer, *, now: datetime) -> None:
    """Enter that our bank sent suspended money back; the transfer says so already.

    Raises:
        Conflict: it does not wait for a transfer.
    """
    receipt_id = receipt_of(transfer.number)
    assert receipt_id is not None, transfer.number
    _, receipt = lock_receipt(session, receipt_id)
    if receipt.state is not ReceiptState.SUSPENDED:
        raise Conflict("this money has gone back already", code="refund.sent_twice")
    _returned(session, receipt, books.BANK, transfer.bank_ref, at=now, now=now)


def _returned(
    session: Session,
    receipt: Receipt,
    way: str,
    return_ref: str | None,
    *,
    at: datetime,
    now: datetime,
) -> None:
    receipt.state, receipt.returned_at = ReceiptState.RETURNED, at
    receipt.return_ref = return_ref
    session.flush()
    moves = postings.released(receipt.id, receipt.source, way, receipt.to_send_fen)
    books.post(session, moves, now=now)
    outbox.emit(session, "receipt.returned", receipt.id, now=now)


def ask_again_seconds(receipt_id: int, *, now: datetime) -> int:
    """Tell when to try again to return a receipt, as for a refund."""
    with transaction() as session:
        receipt = session.get_one(Receipt, receipt_id)
    return return_pause_seconds(now - (receipt.asked_at or receipt.received_at))
