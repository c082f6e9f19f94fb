"""Refunds by API: staff start them; the payer follows them on their payment."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel, Field

from billing import bills
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from payments.returns import staff_refunds
from payments.returns.models import RefundReason, RefundStatus
from payments.returns.staff_refunds import Wish
from payments.returns.views import RefundStep, RefundView
from web.access import Service
from web.inputs import MAX_FEN, PLAIN, Id

router = APIRouter(tags=["refunds"])


class RefundIn(BaseModel):
    bill_id: str = Field(max_length=60, pattern=PLAIN)
    amount_fen: int = Field(strict=True, ge=1, le=MAX_FEN)
    refundable_fen: int = Field(
        strict=True, ge=0, le=MAX_FEN, description="what was shown as refundable: the lock"
    )
    reason: RefundReason
    words: str = Field(
        default="", max_length=500, pattern=PLAIN, description="for the second person to decide by"
    )


class ProposedOut(BaseModel):
    """A refund as staff see it; `needs_two`: a second person has to approve it on the console."""

    refund_no: str
    status: RefundStatus
    amount_fen: int
    fee_fen: int
    needs_two: bool


class RefundOut(BaseModel):
    """How far money on its way back has come; `arrives_by_on` is known once it was sent."""

    refund_no: str
    bill_id: str
    amount_fen: int
    step: RefundStep
    reason: RefundReason | None
    by_bank: bool
    requested_at: datetime
    approved_at: datetime | None
    sent_at: datetime | None
    arrives_by_on: date | None
    declined_at: datetime | None
    came_back_at: datetime | None  # it was sent and came back: it goes on among `receipts`


def refund_out(one: RefundView) -> RefundOut:
    """Return a refund as its payer reads it."""
    return RefundOut(
        refund_no=one.refund_no, bill_id=one.bill_ref, amount_fen=one.amount_fen, step=one.step,
        reason=one.reason, by_bank=one.by_bank, requested_at=one.requested_at,
        approved_at=one.approved_at, sent_at=one.sent_at, arrives_by_on=one.arrives_by_on,
        declined_at=one.declined_at, came_back_at=one.came_back_at,
    )  # fmt: skip


@router.post("/payments/{payment_id}/refunds", status_code=201)
def propose(
    payment_id: Id,
    body: RefundIn,
    caller: Service,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255, pattern=PLAIN)],
) -> ProposedOut:
    """Start a refund of one confirmed bill, whole or in part.

    `refundable_fen` must equal what is still refundable, else 409 with the true figure. Above the
    city's threshold, all refunds of the payment together, a second person approves it first. The
    same `Idempotency-Key` with the same body is the same refund; with another body it is refused.
    """
    wish = Wish(
        payment_id, bills.parse_ref(body.bill_id), body.amount_fen, body.refundable_fen,
        body.reason, body.words,
    )  # fmt: skip
    with transaction() as session:
        refund = staff_refunds.propose(
            session, wish, by=caller.id, key=idempotency_key,
            approval_above_fen=settings().refund_approval_above_fen, now=utc_now(),
        )  # fmt: skip
    return ProposedOut(
        refund_no=refund.refund_no, status=refund.status, amount_fen=refund.amount_fen,
        fee_fen=refund.fee_fen, needs_two=refund.needs_two,
    )  # fmt: skip
