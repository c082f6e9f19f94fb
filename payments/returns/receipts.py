"""Rows of suspended money: how one is made, and the number it goes back under."""

import re
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books, postings
from core.clock import billing_date, month_start
from core.keys import month_key
from payments.models import Receipt

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
    """Make the row of money that is on no bill, and its posting; the payment is locked."""
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    receipt = Receipt(
        id=month_key(month_start(billing_date(now)), number), source=source,
        source_ref=source_ref, payment_id=payment_id, amount_fen=amount_fen, reason=reason,
        came_back_of=came_back_of, received_at=received_at,
    )  # fmt: skip
    session.add(receipt)
    session.flush()
    books.post(session, postings.suspended(receipt.id, source, amount_fen), now=now)
    return receipt


def return_no(receipt: Receipt) -> str:
    """Return the number under which suspended money is sent back."""
    return f"S{receipt.id}"


def receipt_of(number: str) -> int | None:
    """Return the receipt a return number is of; None: it is none of ours."""
    found = _RETURN_NO.fullmatch(number)
    return int(found[1]) if found else None
