"""Money a payer's bank took back (拒付): what the gateway says of a dispute, in our books, once.

``docs/ledger.md`` says who bears a lost one. A callback about a dispute only makes us ask.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing import ledger, postings
from core import outbox
from core.clock import billing_date, month_start
from core.db import transaction
from core.errors import AmountMismatch, Conflict, NotFound
from core.keys import month_key
from payments.gateways.base import DisputeReply, DisputeState, Disputing, Gateway
from payments.models import (
    Payment,
    PaymentItem,
    Receipt,
    ReceiptState,
    find_payment_by_order,
    list_items,
    list_receipts,
    lock_payment,
)
from payments.returns import suspense, transfers
from payments.returns.models import (
    UNDER_WAY,
    Chargeback,
    ChargebackPart,
    ChargebackState,
    Refund,
    RefundStatus,
    list_refunds,
)
from payments.returns.refunds import end_item
from payments.returns.staff_refunds import advance_left_fen, decline, owe_again, taken_back_whole
from payments.states import Outcome, PaymentStatus

WARN_BEFORE = timedelta(days=3)  # the evidence is due
ASK_EVERY_SECONDS = 21_600  # a dispute lasts weeks
_TAKEN_BY_BANK = "the payer's bank has taken the money"


def look(dispute_ref: str, gateway: Gateway, now: datetime) -> bool:
    """Ask a gateway how a dispute stands, and book the answer; True once it could say.

    Raises:
        NotFound: this gateway knows no disputes, or it speaks of an order we do not know.
        Conflict: it contradicts what it said before: a person must look.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    if not isinstance(gateway, Disputing):
        raise NotFound(f"{gateway.code} knows no disputes")
    reply = gateway.query_dispute(dispute_ref)
    with transaction() as session:
        return book(session, gateway.code, dispute_ref, reply, now=now)


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


def list_chargebacks(session: Session, *, limit: int = 200) -> list[Chargeback]:
    """Return chargebacks: the open ones first, by when their evidence is due, then the newest."""
    is_open = col(Chargeback.state) == ChargebackState.OPEN
    order = (is_open.desc(), col(Chargeback.evidence_due_at), col(Chargeback.opened_at).desc())
    return list(session.exec(select(Chargeback).order_by(*order).limit(limit)))


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
        Whether that is done. A lost dispute waits for what is still open about its payment: a
        company's answer, a refund the gateway was asked for, a transfer that may have been sent.

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
    return lock_payment(session, payment.id)


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
    ledger.post(session, moves, now=now)
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
        ledger.post(session, postings.dispute_fee(*facts, known.fee_fen), now=now)
    elif reply.fee_fen > 0 and reply.fee_fen != known.fee_fen:
        raise AmountMismatch(
            "the gateway told of this dispute before, with another fee",
            code="chargeback.fee_differs", before_fen=known.fee_fen, now_fen=reply.fee_fen,
        )  # fmt: skip
    is_ours = reply.state is DisputeState.WON and known.state is not ChargebackState.LOST
    if is_ours and reply.fee_fen == 0 and known.fee_returned_fen < known.fee_fen:
        known.fee_returned_fen = known.fee_fen
        session.flush()
        ledger.post(session, postings.dispute_fee_returned(*facts, known.fee_fen), now=now)


def _won(session: Session, known: Chargeback, reply: DisputeReply, *, now: datetime) -> bool:
    if known.state is ChargebackState.WON:
        return True
    _check_open(known)
    known.state, known.decided_at = ChargebackState.WON, reply.decided_at or now
    session.flush()
    moves = postings.chargeback_won(known.id, known.payment_id, known.gateway, known.amount_fen)
    ledger.post(session, moves, now=now)
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
    if _is_unsettled(session, payment):
        return False
    for refund in list_refunds(session, payment.id):
        if refund.status is RefundStatus.PROPOSED:
            decline(session, refund.refund_no, by=None, reason=_TAKEN_BY_BANK, now=now)
    rest_fen = known.amount_fen
    rest_fen -= (waiting_fen := _take_waiting(session, payment, known, rest_fen, now=now))
    rest_fen -= (bills_fen := _take_of_bills(session, payment, known, rest_fen, now=now))
    fee_fen, tax_fen = _fee_left(session, payment)
    rest_fen -= (fee_fen := min(fee_fen, rest_fen))
    rest_fen -= (tax_fen := min(tax_fen, rest_fen))
    moves = postings.chargeback_borne(
        known.id, payment.id, fee_fen=fee_fen, tax_fen=tax_fen, loss_fen=rest_fen
    )
    ledger.post(session, moves, now=now)
    known.waiting_fen, known.bills_fen, known.borne_fen = waiting_fen, bills_fen, rest_fen
    known.service_fee_fen, known.service_tax_fen = fee_fen, tax_fen
    known.state, known.decided_at = ChargebackState.LOST, reply.decided_at or now
    session.flush()
    outbox.emit(session, "chargeback.lost", known.id, now=now)
    return True


def _is_unsettled(session: Session, payment: Payment) -> bool:
    """Tell whether an answer is still to come that decides what is left to take."""
    return (
        any(item.outcome is Outcome.PAID for item in list_items(session, payment.id))
        or any(one.status is RefundStatus.PENDING for one in list_refunds(session, payment.id))
        or any(
            transfers.has_payee(transfers.find_transfer(session, one.number))
            for one in _waiting(session, payment)
        )
        or any(
            one.state is ReceiptState.SUSPENDED
            and one.asked_at is not None
            and transfers.find_transfer(session, suspense.return_no(one)) is None
            for one in list_receipts(session, payment.id)
        )
    )


class _Waiting(NamedTuple):
    """Money that waits to go back, and where it stands meanwhile."""

    number: str
    row: Refund | Receipt
    key: postings.Key
    stands_on: str


def _waiting(session: Session, payment: Payment) -> list[_Waiting]:
    receipts = [
        _Waiting(suspense.return_no(one), one, postings.about(one.id), ledger.suspense(one.source))
        for one in list_receipts(session, payment.id)
        if one.state is ReceiptState.SUSPENDED
    ]
    return receipts + [
        _Waiting(one.refund_no, one, (one.account_id, one.bill_id), ledger.RETURNS)
        for one in list_refunds(session, payment.id)
        if one.status in UNDER_WAY
    ]


def _take_waiting(
    session: Session, payment: Payment, known: Chargeback, rest_fen: int, *, now: datetime
) -> int:
    """Take what waits to go back anyway: that much is not sent a second time."""
    taken_fen = 0
    for waiting in _waiting(session, payment):
        part_fen = min(waiting.row.to_send_fen, rest_fen - taken_fen)
        if not part_fen:
            continue
        taken_fen += part_fen
        waiting.row.charged_back_fen += part_fen
        if waiting.row.to_send_fen == 0:
            _end(session, waiting, known, now=now)
        session.flush()
        moves = postings.taken_back(waiting.key, waiting.stands_on, known.id, part_fen)
        ledger.post(session, moves, now=now)
        transfers.lessen(session, waiting.number, waiting.row.to_send_fen, now=now)
    return taken_fen


def _end(session: Session, waiting: _Waiting, known: Chargeback, *, now: datetime) -> None:
    if isinstance(waiting.row, Receipt):
        waiting.row.state, waiting.row.returned_at = ReceiptState.RETURNED, now
        waiting.row.return_ref = known.dispute_ref
        outbox.emit(session, "receipt.returned", waiting.row.id, now=now)
        return
    waiting.row.move_to(RefundStatus.CHARGED_BACK)
    session.flush()
    end_item(session, waiting.row.item_key, now=now)


def _take_of_bills(
    session: Session, payment: Payment, known: Chargeback, rest_fen: int, *, now: datetime
) -> int:
    """Take confirmed bills' money, in the order of their write-off numbers."""
    taken_fen = 0
    for item in list_items(session, payment.id):
        part_fen = min(item.amount_fen - item.returned_fen, rest_fen - taken_fen)
        if item.outcome is Outcome.WRITTEN_OFF and part_fen > 0:
            _take_of_bill(session, item, known, part_fen, now=now)
            taken_fen += part_fen
    return taken_fen


def _take_of_bill(
    session: Session, item: PaymentItem, known: Chargeback, part_fen: int, *, now: datetime
) -> None:
    advance_fen = min(advance_left_fen(session, item), part_fen)
    item.returned_fen += part_fen
    session.add(
        ChargebackPart(
            chargeback_id=known.id, payment_id=item.payment_id, account_id=item.account_id,
            bill_id=item.bill_id, amount_fen=part_fen, advance_fen=advance_fen,
        )
    )  # fmt: skip
    session.flush()
    company = owe_again(session, item, part_fen - advance_fen, now=now)
    moves = postings.chargeback_lost(
        known.id, (item.account_id, item.bill_id), company, part_fen, advance_fen=advance_fen
    )
    ledger.post(session, moves, now=now)
    if taken_back_whole(session, item, now=now):
        end_item(session, (item.payment_id, item.account_id, item.bill_id), now=now)


_FEE_LEFT = text("""
    SELECT p.fee_fen - coalesce(sum(c.service_fee_fen), 0),
           p.fee_tax_fen - coalesce(sum(c.service_tax_fen), 0)
    FROM payment p LEFT JOIN chargeback c ON c.payment_id = p.id
    WHERE p.id = :payment_id
      AND NOT EXISTS (SELECT FROM refund r WHERE r.payment_id = p.id AND r.fee_fen > 0)
    GROUP BY p.id
""")


def _fee_left(session: Session, payment: Payment) -> tuple[int, int]:
    """Return what we still have of a payment's fee and of the tax on it."""
    if payment.status is not PaymentStatus.PAID:
        return 0, 0
    row = session.execute(_FEE_LEFT, {"payment_id": payment.id}).first()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
