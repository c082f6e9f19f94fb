"""Who bears a lost dispute: what waited to go back, the bills, our fee, and at last we ourselves.

The payment is locked. ``docs/ledger.md`` has the order, and what each takes in the books.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books, postings
from core import outbox
from payments.models import (
    Payment,
    PaymentItem,
    Receipt,
    ReceiptState,
    list_items,
    list_receipts,
)
from payments.returns import transfers
from payments.returns.models import (
    UNDER_WAY,
    Chargeback,
    ChargebackPart,
    Refund,
    RefundStatus,
    list_refunds,
)
from payments.returns.receipts import return_no
from payments.returns.refunds import end_item
from payments.returns.staff_refunds import advance_left_fen, decline, owe_again, taken_back_whole
from payments.states import Outcome, PaymentStatus

_TAKEN_BY_BANK = "the payer's bank has taken the money"


def is_unsettled(session: Session, payment: Payment) -> bool:
    """Tell whether an answer is still to come that decides what is left to take."""
    return (
        not has_come(session, payment)
        or any(item.outcome is Outcome.PAID for item in list_items(session, payment.id))
        or any(one.status is RefundStatus.PENDING for one in list_refunds(session, payment.id))
        or any(
            transfers.has_payee(transfers.find_transfer(session, one.number))
            for one in _waiting(session, payment)
        )
        or any(
            one.state is ReceiptState.SUSPENDED
            and one.asked_at is not None
            and transfers.find_transfer(session, return_no(one)) is None
            for one in list_receipts(session, payment.id)
        )
    )


def has_come(session: Session, payment: Payment) -> bool:
    """Tell whether we know of any money of a payment, on its bills or suspended."""
    return payment.status is PaymentStatus.PAID or bool(list_receipts(session, payment.id))


def bear(session: Session, payment: Payment, known: Chargeback, *, now: datetime) -> None:
    """Say who bears each fen of a lost dispute, in the books and on its row."""
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
    books.post(session, moves, now=now)
    known.waiting_fen, known.bills_fen, known.borne_fen = waiting_fen, bills_fen, rest_fen
    known.service_fee_fen, known.service_tax_fen = fee_fen, tax_fen


class _Waiting(NamedTuple):
    """Money that waits to go back, and where it stands meanwhile."""

    number: str
    row: Refund | Receipt
    key: postings.Key
    stands_on: str


def _waiting(session: Session, payment: Payment) -> list[_Waiting]:
    receipts = [
        _Waiting(return_no(one), one, postings.about(one.id), books.suspense(one.source))
        for one in list_receipts(session, payment.id)
        if one.state is ReceiptState.SUSPENDED
    ]
    return receipts + [
        _Waiting(one.refund_no, one, (one.account_id, one.bill_id), books.RETURNS)
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
        moves = postings.taken_back(
            waiting.key, waiting.stands_on, known.id, waiting.number, part_fen
        )
        books.post(session, moves, now=now)
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
    books.post(session, moves, now=now)
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
