"""Money a payer's bank took back (拒付): what the gateway says of a dispute, in our books, once.

``docs/ledger.md`` says who bears a lost one. A callback about a dispute only makes us ask.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.ledger import books, postings
from core import outbox
from core.clock import billing_date, month_start
from core.db import transaction
from core.errors import AmountMismatch, Conflict, NotFound
from core.keys import month_key
from payments.gateways.base import DisputeReply, DisputeState, Disputing, Gateway
from payments.models import Payment, find_payment_by_order, get_payment, lock_payment
from payments.returns import losses
from payments.returns.models import Chargeback, ChargebackState
from payments.settlement import book_reply

WARN_BEFORE = timedelta(days=3)  # the evidence is due
ASK_EVERY_SECONDS = 21_600  # a dispute lasts weeks


def look(dispute_ref: str, gateway: Gateway, now: datetime) -> bool:
    """Ask a gateway how a dispute stands, and book the answer; True once it could say.

    Of a payment whose money we have not heard of yet it is asked as well: it must have come.

    Raises:
        NotFound: this gateway knows no disputes, or it speaks of an order we do not know.
        Conflict: it contradicts what it said before: a person must look.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    if not isinstance(gateway, Disputing):
        raise NotFound(f"{gateway.code} knows no disputes")
    reply = gateway.query_dispute(dispute_ref)
    with transaction() as session:
        done = book(session, gateway.code, dispute_ref, reply, now=now)
        unheard = None if done else _unheard_of(session, gateway.code, dispute_ref)
    if unheard is not None:
        told = gateway.query(unheard.asked())
        with transaction() as session:
            book_reply(session, unheard.id, told, now=now)
            done = book(session, gateway.code, dispute_ref, reply, now=now)
    return done


def _unheard_of(session: Session, gateway_code: str, dispute_ref: str) -> Payment | None:
    """Return a disputed payment whose money we have not heard of."""
    known = _find(session, gateway_code, dispute_ref)
    payment = None if known is None else get_payment(session, known.payment_id)
    return None if payment is None or losses.has_come(session, payment) else payment


def ask_again(chargeback_id: int, gateways: dict[str, Gateway], *, now: datetime) -> bool:
    """Ask how an open dispute stands; True once it is decided and booked.

    Raises:
        NotFound: no such chargeback, or its gateway is not installed.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        known = get_chargeback(session, chargeback_id)
    if known.state is ChargebackState.OPEN:
        if known.gateway not in gateways:
            raise NotFound(f"there is no gateway {known.gateway!r} to ask about this dispute")
        look(known.dispute_ref, gateways[known.gateway], now)
        with transaction() as session:
            known = get_chargeback(session, chargeback_id)
    return known.state is not ChargebackState.OPEN


def get_chargeback(session: Session, chargeback_id: int) -> Chargeback:
    """Return a chargeback as it is now.

    Raises:
        NotFound: no such chargeback.
    """
    found = session.get(Chargeback, chargeback_id, populate_existing=True)
    if found is None:
        raise NotFound("there is no such chargeback")
    return found


def order_nos(session: Session, chargebacks: Sequence[Chargeback]) -> dict[int, str]:
    """Return the order numbers of disputed payments, by their ids."""
    ids = [one.payment_id for one in chargebacks]
    found = select(Payment.id, Payment.order_no).where(col(Payment.id).in_(ids))
    return dict(session.exec(found).all())


def is_urgent(chargeback: Chargeback, *, now: datetime) -> bool:
    """Tell whether the evidence is due within three days, or was."""
    due_at = chargeback.evidence_due_at
    is_open = chargeback.state is ChargebackState.OPEN
    return is_open and due_at is not None and due_at <= now + WARN_BEFORE


def book(
    session: Session, gateway_code: str, dispute_ref: str, reply: DisputeReply, *, now: datetime
) -> bool:
    """Enter what a gateway says of a dispute; told again, or late, nothing changes.

    Returns:
        Whether that is done. A lost dispute waits for what is still open about its payment: the
        money itself, a company's answer, a refund the gateway was asked for, a transfer that may
        have been sent.

    Raises:
        NotFound: it is about an order of ours we do not know.
        AmountMismatch: it does not say how much, or said otherwise before.
        Conflict: it was decided the other way before.
    """
    if reply.state is DisputeState.UNKNOWN:
        return False
    known = _find(session, gateway_code, dispute_ref)
    payment = _payment_of(session, gateway_code, known, reply)
    known = _find(session, gateway_code, dispute_ref)  # the payment is locked now
    if known is None:
        known = _open(session, payment, dispute_ref, reply, now=now)
    _check_same(known, reply)
    _charge_fee(session, known, reply, now=now)
    match reply.state:
        case DisputeState.WON:
            return _won(session, known, reply, now=now)
        case DisputeState.LOST:
            return _lost(session, payment, known, reply, now=now)
    if known.state is ChargebackState.OPEN:
        known.evidence_due_at = reply.evidence_due_at or known.evidence_due_at
        known.reason = reply.reason or known.reason
        session.flush()
    return True


def _find(session: Session, gateway_code: str, dispute_ref: str) -> Chargeback | None:
    wanted = select(Chargeback).where(
        Chargeback.gateway == gateway_code, Chargeback.dispute_ref == dispute_ref
    )
    return session.exec(wanted.execution_options(populate_existing=True)).one_or_none()


def _payment_of(
    session: Session, gateway_code: str, known: Chargeback | None, reply: DisputeReply
) -> Payment:
    """Return the payment a dispute is of, locked."""
    if known is not None:
        return lock_payment(session, known.payment_id)
    payment = find_payment_by_order(session, reply.order_no or "")
    if payment is None or payment.gateway != gateway_code:
        raise NotFound("the gateway disputes an order we do not know", code="chargeback.no_order")
    lock_payment(session, payment.id)
    return get_payment(session, payment.id)  # it may have changed before it was locked


def _open(
    session: Session, payment: Payment, dispute_ref: str, reply: DisputeReply, *, now: datetime
) -> Chargeback:
    if not reply.amount_fen or reply.amount_fen < 0:
        raise AmountMismatch("the gateway disputes a payment, and not how much of it")
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    chargeback = Chargeback(
        id=month_key(month_start(billing_date(now)), number), gateway=payment.gateway,
        dispute_ref=dispute_ref, payment_id=payment.id, amount_fen=reply.amount_fen,
        reason=reply.reason, opened_at=reply.opened_at or now,
        evidence_due_at=reply.evidence_due_at,
    )  # fmt: skip
    session.add(chargeback)
    outbox.emit(session, "chargeback.opened", chargeback.id, now=now)
    session.flush()
    moves = postings.charged_back(
        chargeback.id, payment.id, chargeback.gateway, chargeback.amount_fen
    )
    books.post(session, moves, now=now)
    return chargeback


def _check_same(known: Chargeback, reply: DisputeReply) -> None:
    if reply.amount_fen not in {None, known.amount_fen}:
        raise AmountMismatch(
            "the gateway told of this dispute before, with another amount",
            code="chargeback.amount_differs", before_fen=known.amount_fen, now_fen=reply.amount_fen,
        )  # fmt: skip


def _charge_fee(
    session: Session, known: Chargeback, reply: DisputeReply, *, now: datetime
) -> None:  # fmt: skip
    """Post the gateway's fee once it is known, and its return with a dispute that is won."""
    facts = known.id, known.payment_id, known.gateway
    if reply.fee_fen > 0 and known.fee_fen == 0:
        known.fee_fen = reply.fee_fen
        session.flush()
        books.post(session, postings.dispute_fee(*facts, known.fee_fen), now=now)
    elif reply.fee_fen > 0 and reply.fee_fen != known.fee_fen:
        raise AmountMismatch(
            "the gateway told of this dispute before, with another fee",
            code="chargeback.fee_differs", before_fen=known.fee_fen, now_fen=reply.fee_fen,
        )  # fmt: skip
    is_ours = reply.state is DisputeState.WON and known.state is not ChargebackState.LOST
    if is_ours and reply.fee_fen == 0 and known.fee_returned_fen < known.fee_fen:
        known.fee_returned_fen = known.fee_fen
        session.flush()
        books.post(session, postings.dispute_fee_returned(*facts, known.fee_fen), now=now)


def _won(session: Session, known: Chargeback, reply: DisputeReply, *, now: datetime) -> bool:
    if known.state is ChargebackState.WON:
        return True
    _check_open(known)
    known.state, known.decided_at = ChargebackState.WON, reply.decided_at or now
    session.flush()
    moves = postings.chargeback_won(known.id, known.payment_id, known.gateway, known.amount_fen)
    books.post(session, moves, now=now)
    outbox.emit(session, "chargeback.won", known.id, now=now)
    return True


def _check_open(known: Chargeback) -> None:
    if known.state is not ChargebackState.OPEN:
        raise Conflict(
            f"the gateway says now that this dispute ended otherwise than {known.state}: ask it",
            code="chargeback.decided",
        )


def _lost(
    session: Session, payment: Payment, known: Chargeback, reply: DisputeReply, *, now: datetime
) -> bool:
    if known.state is ChargebackState.LOST:
        return True
    _check_open(known)
    if losses.is_unsettled(session, payment):
        return False
    losses.bear(session, payment, known, now=now)
    known.state, known.decided_at = ChargebackState.LOST, reply.decided_at or now
    session.flush()
    outbox.emit(session, "chargeback.lost", known.id, now=now)
    return True
