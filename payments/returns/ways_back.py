"""Which way money goes back: through its gateway if that can, else from our own bank account."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sqlalchemy import func
from sqlmodel import Session, col, select

from core.db import transaction
from payments.gateways.base import Capabilities, Gateway, RefundOrder, RefundReply, RefundState
from payments.models import Payment, Receipt
from payments.pauses import pause_seconds
from payments.returns.models import Refund, TransferReason

CASH = "cash"  # the mode of payment
WARN_BEFORE = timedelta(days=7)  # a gateway's window shuts
_AT_IT_FOR = timedelta(minutes=1)  # a gateway may find a refund only so long after it was asked for


class Question(NamedTuple):
    """What a gateway is asked about money to send back."""

    gateway: Gateway
    order: RefundOrder
    is_first: bool
    is_disputed: bool = False  # nothing new is asked for meanwhile

    def ask(self, *, now: datetime) -> RefundReply:
        """Ask for it once, afterwards what became of it; one never heard of is asked for again.

        A no to that is not believed while the first asking may still be under way there.
        """
        if not self.is_first and self.gateway.capabilities.queries:
            reply = self.gateway.query_refund(self.order)
            if reply.state is not RefundState.NOT_FOUND or self.is_disputed:
                return reply
        reply = self.gateway.refund(self.order)
        at_it = not self.is_first and now - self.order.asked_at < _AT_IT_FOR
        if at_it and reply.state is RefundState.REFUSED:
            return RefundReply(state=RefundState.UNKNOWN, reason=reply.reason)
        return reply


class Booking(Protocol):
    """Enters one answer of a gateway about a refund, or about a receipt, by its number."""

    def __call__(
        self, session: Session, number: Any, reply: RefundReply, /, *, now: datetime
    ) -> None: ...


def enter(
    reply: RefundReply,
    number: str | int,
    *,
    sent: Booking,
    refused: Booking,
    unheard: Booking,
    now: datetime,
) -> bool:
    """Book what a gateway says of money to send back; True once it could say yes or no."""
    books = {
        RefundState.SENT: sent, RefundState.REFUSED: refused, RefundState.NOT_FOUND: unheard,
    }.get(reply.state)  # fmt: skip
    if books is not None:
        with transaction() as session:
            books(session, number, reply, now=now)
    return reply.state in {RefundState.SENT, RefundState.REFUSED}


def never_arrived(asked_at: datetime | None, *, now: datetime) -> bool:
    """Tell whether what a gateway has not heard of by now is sure not to have reached it."""
    return asked_at is not None and now - asked_at >= timedelta(days=1)


def shuts_at(can: Capabilities, taken_at: datetime) -> datetime | None:
    """Return until when a gateway sends back money it took then; None: there is no end."""
    return None if can.refund_days is None else taken_at + timedelta(days=can.refund_days)


def is_about_to_shut(can: Capabilities, taken_at: datetime, *, now: datetime) -> bool:
    """Tell whether the window shuts within seven days (rule 46)."""
    until = shuts_at(can, taken_at)
    return until is not None and now <= until <= now + WARN_BEFORE


def why_by_transfer(
    gateway: Gateway | None,
    payment: Payment,
    *,
    amount_fen: int,
    whole_fen: int,
    taken_at: datetime,
    asked_before: int,
    now: datetime,
) -> TransferReason | None:
    """Return why money cannot go back the way it came; None: it can.

    Args:
        whole_fen: what the gateway took, of which ``amount_fen`` is to go back.
        asked_before: how many refunds of the order it was asked for already.
    """
    if payment.mode == CASH:
        return TransferReason.CASH
    if gateway is None:
        return TransferReason.NO_GATEWAY
    can = gateway.capabilities
    if can.refund_days == 0:
        return TransferReason.NEVER
    until = shuts_at(can, taken_at)
    if until is not None and now > until:
        return TransferReason.WINDOW_SHUT
    if amount_fen < whole_fen and not can.partial_refunds:
        return TransferReason.NO_PARTS
    if can.max_refunds is not None and asked_before >= can.max_refunds:
        return TransferReason.TOO_MANY
    return None


def count_asked(session: Session, payment_id: int) -> int:
    """Count what a gateway was asked to send back of one order."""
    asked = 0
    for kind in (Refund, Receipt):
        found = select(func.count()).select_from(kind)
        found = found.where(col(kind.payment_id) == payment_id, col(kind.asked_at).is_not(None))
        asked += session.exec(found).one()
    return asked


def comes_too_soon(session: Session, payment_id: int, can: Capabilities, *, now: datetime) -> bool:
    """Tell whether a gateway was asked for another refund of an order a moment ago.

    Asked for one right after the other, some refuse what they would have sent. The payment is
    locked, so of two at once one waits.
    """
    if not can.refunds_apart:
        return False
    lately = now - can.refunds_apart
    return any(
        session.exec(
            select(kind.asked_at).where(
                col(kind.payment_id) == payment_id, col(kind.asked_at) > lately
            )
        ).first()
        for kind in (Refund, Receipt)
    )


def return_pause_seconds(age: timedelta) -> int:
    """Return how long to wait before asking again: as for a payment, from two days on six hours.

    A bank may take its time; we go on asking as long as the gateway has not said.
    """
    return pause_seconds(age) if age < timedelta(days=2) else 21_600
