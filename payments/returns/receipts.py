"""Rows of suspended money: how one is made, and the number it goes back under."""

import re
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.ledger import books, postings
from core.clock import billing_date, month_start
from core.keys import month_key
from payments.models import Receipt, ReceiptState
from payments.returns.models import Chargeback, ChargebackState

_RETURN_NO = re.compile(r"S([0-9]{1,18}|[1-8][0-9]{18})")


def keep(
    session: Session,
    payment_id: int,
    source: str,
    source_ref: str,
    amount_fen: int,
    *,
    reason: str,
    came_back_of: str | None = None,
    received_at: datetime,
    now: datetime,
) -> Receipt:
    """Make the row of money that is on no bill, and its posting; the payment is locked.

    A lost dispute that we bore takes its part at once: of it all, and nothing is left to send back.
    """
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    receipt = Receipt(
        id=month_key(month_start(billing_date(now)), number), source=source,
        source_ref=source_ref, payment_id=payment_id, amount_fen=amount_fen, reason=reason,
        came_back_of=came_back_of, received_at=received_at,
    )  # fmt: skip
    session.add(receipt)
    session.flush()
    books.post(session, postings.suspended(receipt.id, source, amount_fen), now=now)
    _regain_losses(session, receipt, now=now)
    return receipt


def _regain_losses(session: Session, receipt: Receipt, *, now: datetime) -> None:
    """Of what a payer's bank took and we bore, as we held no such money, bear that much less.

    The payer has it from their bank: it is not sent a second time.
    """
    lost = select(Chargeback).where(
        Chargeback.payment_id == receipt.payment_id, Chargeback.state == ChargebackState.LOST
    )
    number, waits_on = return_no(receipt), books.suspense(receipt.source)
    for one in session.exec(lost.order_by(col(Chargeback.id)).with_for_update()).all():
        part_fen = min(one.borne_fen, receipt.to_send_fen)
        if part_fen == 0:
            continue
        one.borne_fen -= part_fen
        one.waiting_fen += part_fen
        receipt.charged_back_fen += part_fen
        if receipt.to_send_fen == 0:
            receipt.state, receipt.returned_at = ReceiptState.RETURNED, now
            receipt.return_ref = one.dispute_ref
        session.flush()
        moves = postings.taken_back(
            postings.about(receipt.id), waits_on, one.id, number, part_fen
        ) + postings.loss_regained(one.id, receipt.payment_id, number, part_fen)
        books.post(session, moves, now=now)


def return_no(receipt: Receipt) -> str:
    """Return the number under which suspended money is sent back."""
    return f"S{receipt.id}"


def receipt_of(number: str) -> int | None:
    """Return the receipt a return number is of; None: it is none of ours."""
    found = _RETURN_NO.fullmatch(number)
    return int(found[1]) if found else None
