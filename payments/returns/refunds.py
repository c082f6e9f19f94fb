"""Sending money back: through the gateway it came by, or from our own bank."""

from datetime import datetime

from sqlmodel import Session, col, select

from billing.ledger import books, postings
from core import outbox
from core.db import transaction
from core.errors import NotFound
from payments.gateways.base import Gateway, RefundReply
from payments.models import Payment, PaymentItem, list_items, lock_payment, refund_no_of
from payments.returns import came_back, suspense, transfers
from payments.returns.models import (
    UNDER_WAY,
    BankTransfer,
    Chargeback,
    Refund,
    RefundStatus,
    TransferReason,
    is_disputed,
)
from payments.returns.receipts import receipt_of
from payments.returns.ways_back import (
    Question,
    comes_too_soon,
    count_asked,
    enter,
    never_arrived,
    return_pause_seconds,
    why_by_transfer,
)
from payments.states import ItemNews, Outcome

_GOING_BACK = {Outcome.RETURNING, Outcome.RETURNED}


def get_refund(session: Session, refund_no: str) -> Refund:
    """Return a refund.

    Raises:
        NotFound: no such refund.
    """
    refund = session.get(Refund, refund_no)
    if refund is None:
        raise NotFound("there is no such refund")
    return refund


def lock_refund(session: Session, refund_no: str) -> tuple[Payment, Refund]:
    """Return a refund and its payment, locked: first the payment, as everybody does.

    Raises:
        NotFound: no such refund.
    """
    refund = get_refund(session, refund_no)
    payment = lock_payment(session, refund.payment_id)
    session.refresh(refund, with_for_update=True)
    return payment, refund


def request_refund(
    session: Session, payment: Payment, item: PaymentItem, *, reason: str, now: datetime
) -> None:
    """Ask for an item's money to be sent back, once; the payment is locked.

    With the last of a payment's bills goes its fee: nothing of the payment came to be (rule 44).
    """
    refund = Refund(
        refund_no=refund_no_of(item.write_off_no),
        payment_id=item.payment_id,
        account_id=item.account_id,
        bill_id=item.bill_id,
        amount_fen=item.amount_fen,
        reason=reason,
        requested_at=now,
    )
    item.returned_fen = item.amount_fen
    session.add(refund)
    session.flush()
    give_fee_back(session, payment, refund, now=now)
    outbox.emit(session, "refund.requested", refund.refund_no, now=now)


def give_fee_back(session: Session, payment: Payment, refund: Refund, *, now: datetime) -> None:
    """Add the payment's fee to a refund, if with it nothing of the payment is left; once."""
    fee_fen = payment.fee_fen + payment.fee_tax_fen
    kept = [one for one in list_items(session, payment.id) if one.outcome not in _GOING_BACK]
    given = select(Refund.refund_no).where(Refund.payment_id == payment.id, Refund.fee_fen > 0)
    lost = select(Chargeback.id).where(
        Chargeback.payment_id == payment.id,
        Chargeback.service_fee_fen + Chargeback.service_tax_fen > 0,
    )
    if not fee_fen or kept or session.exec(given).first() or session.exec(lost).first():
        return
    refund.amount_fen += fee_fen
    refund.fee_fen = fee_fen
    session.flush()
    moves = postings.fee_given_back(payment.id, payment.fee_fen, payment.fee_tax_fen)
    books.post(session, moves, now=now)


def send(refund_no: str, gateways: dict[str, Gateway], *, now: datetime) -> bool:
    """Have a refund sent; True once nothing is left to ask a gateway about it.

    May be repeated: the gateway knows the number. What it cannot send, or refuses for good, becomes
    a transfer that waits for staff. While the payment is disputed nothing is asked for, nor
    another refund of it sooner than the gateway takes one. No transaction is open while we wait.

    Raises:
        NotFound: no such refund.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        question = _prepare(session, refund_no, gateways, now=now)
    if isinstance(question, bool):
        return question
    return _enter(refund_no, question.ask(now=now), now=now)


def _prepare(
    session: Session, refund_no: str, gateways: dict[str, Gateway], *, now: datetime
) -> Question | bool:
    """Return what to ask the gateway; or whether there is nothing (left) to ask it."""
    payment, refund = lock_refund(session, refund_no)
    gateway = gateways.get(payment.gateway)
    if refund.status is RefundStatus.PENDING:
        if gateway is None:
            raise NotFound(f"there is no gateway {payment.gateway!r} to ask about this refund")
        disputed = is_disputed(session, payment.id)
        return Question(gateway, refund.order(payment), is_first=False, is_disputed=disputed)
    if refund.status is not RefundStatus.REQUESTED:
        return True
    if is_disputed(session, payment.id):
        return False
    assert payment.paid_at is not None
    why = why_by_transfer(
        gateway, payment, amount_fen=refund.to_send_fen, whole_fen=payment.amount_fen,
        taken_at=payment.paid_at, asked_before=count_asked(session, payment.id), now=now,
    )  # fmt: skip
    if why is not None:
        _by_transfer(session, payment, refund, why, now=now)
        return True
    assert gateway is not None
    if comes_too_soon(session, payment.id, gateway.capabilities, now=now):
        return False
    refund.move_to(RefundStatus.PENDING)
    refund.asked_at = now
    session.flush()
    return Question(gateway, refund.order(payment), is_first=True)


def look(refund_no: str, gateway: Gateway, now: datetime) -> bool:
    """Ask a gateway about a refund, or money in suspense, it has news of; True once it could say.

    Raises:
        NotFound: no such refund, or not this gateway's.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    receipt_id = receipt_of(refund_no)
    if receipt_id is not None:
        return suspense.look(receipt_id, gateway, now)
    with transaction() as session:
        refund = get_refund(session, refund_no)
        payment = session.get_one(Payment, refund.payment_id)
    if payment.gateway != gateway.code:
        raise NotFound("there is no such refund")
    if refund.asked_at is None:
        return True  # it cannot speak of what it was never asked for
    reply = gateway.query_refund(refund.order(payment))
    return _enter(refund_no, reply, now=now)


def _enter(refund_no: str, reply: RefundReply, *, now: datetime) -> bool:
    return enter(reply, refund_no, sent=book, refused=book_refused, unheard=_book_unheard, now=now)


def book(session: Session, refund_no: str, reply: RefundReply, *, now: datetime) -> None:
    """Enter that a gateway sent a refund, once; on its day, as its settlement file has it.

    A gateway that refused before and has sent it after all is believed: the transfer is dropped.

    Raises:
        Conflict: it went back another way already, or may have, or came back: a person must look.
    """
    payment, refund = lock_refund(session, refund_no)
    taken_by_bank = refund.status is RefundStatus.CHARGED_BACK
    transfers.give_way(session, refund_no, taken_by_bank=taken_by_bank, now=now)
    came_back.check_not_back(session, refund_no)
    if refund.status is RefundStatus.SUCCEEDED:
        return
    refund.gateway_ref = reply.refund_ref
    _sent(
        session, payment, refund, books.gateway(payment.gateway), at=reply.refunded_at or now,
        now=now,
    )  # fmt: skip


def book_refused(session: Session, refund_no: str, reply: RefundReply, *, now: datetime) -> None:
    """Enter that a gateway will never send a refund, or that it came back: our bank sends it."""
    payment, refund = lock_refund(session, refund_no)
    if refund.status is RefundStatus.PENDING:
        _by_transfer(session, payment, refund, TransferReason.REFUSED, said=reply.reason, now=now)
    elif refund.status is RefundStatus.SUCCEEDED:
        came_back.book(
            session, payment, refund_no, payment.gateway, refund.to_send_fen, reply, now=now
        )


def _book_unheard(session: Session, refund_no: str, _reply: RefundReply, *, now: datetime) -> None:
    """Let a refund that never reached its gateway wait until the payment's dispute is decided."""
    payment, refund = lock_refund(session, refund_no)
    pending = refund.status is RefundStatus.PENDING and never_arrived(refund.asked_at, now=now)
    if pending and is_disputed(session, payment.id):
        refund.move_to(RefundStatus.REQUESTED)


def _by_transfer(
    session: Session,
    payment: Payment,
    refund: Refund,
    why: TransferReason,
    *,
    said: str | None = None,
    now: datetime,
) -> None:
    refund.move_to(RefundStatus.BY_TRANSFER)
    transfers.open_transfer(
        session, payment, refund.refund_no, refund.to_send_fen, why, gateway_said=said, now=now
    )


def book_transferred(session: Session, transfer: BankTransfer, *, now: datetime) -> None:
    """Enter that our bank sent a refund; the transfer says so already, and the payment is locked.

    Raises:
        IllegalTransition: the refund does not wait for a transfer.
    """
    payment, refund = lock_refund(session, transfer.number)
    refund.gateway_ref = transfer.bank_ref
    _sent(session, payment, refund, books.BANK, at=now, now=now)


def _sent(
    session: Session, payment: Payment, refund: Refund, way: str, *, at: datetime, now: datetime
) -> None:
    """Take what was sent off ``returns``: of what a payer's bank took, the bill's money first."""
    refund.move_to(RefundStatus.SUCCEEDED)
    refund.succeeded_at = at
    session.flush()
    why = str(payment.id) if refund.proposed_by is None else refund.refund_no
    of_item_fen = max(0, refund.item_fen - refund.charged_back_fen)
    of_fee_fen = refund.to_send_fen - of_item_fen
    moves = postings.returned((refund.account_id, refund.bill_id), way, why, of_item_fen)
    moves += postings.returned(postings.about(payment.id), way, str(payment.id), of_fee_fen)
    books.post(session, moves, now=now)
    end_item(session, refund.item_key, now=now)
    outbox.emit(session, "refund.succeeded", refund.refund_no, now=now)


def end_item(session: Session, key: tuple[int, int, int], *, now: datetime) -> None:
    """Call an item returned once nothing of it is under way any more."""
    item = session.get_one(PaymentItem, key)
    under_way = select(Refund.refund_no).where(
        Refund.payment_id == key[0], Refund.account_id == key[1], Refund.bill_id == key[2],
        col(Refund.status).in_(UNDER_WAY),
    )  # fmt: skip
    if item.outcome is Outcome.RETURNING and session.exec(under_way).first() is None:
        item.hear(ItemNews.SENT_BACK, now=now)
        session.flush()


def ask_again_seconds(refund_no: str, *, now: datetime) -> int:
    """Tell when to try a refund again: seconds, then minutes, then hours, later four a day."""
    with transaction() as session:
        refund = get_refund(session, refund_no)
    return return_pause_seconds(now - (refund.asked_at or refund.requested_at or now))
