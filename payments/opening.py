"""At the gateway: asking it to collect, trying another while none can have heard, calling it off.

Money may move from the moment a request may have left us. Until then another gateway may take the
payment over; from then on only the one that was asked can say what became of it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from core.clock import utc_now
from core.db import acting, transaction
from core.errors import Conflict, UpstreamUnavailable
from payments.attempts import (
    Hand,
    Noted,
    fail_over,
    last_asked_at,
    lock_fresh,
    never_heard,
    note_asking,
    note_unreachable,
    was_tried,
)
from payments.gateways.base import Debiting, Gateway, GatewayReply, GatewayStatus, Order
from payments.models import Payment, get_payment
from payments.settlement import book_opened, book_reply
from payments.states import PENDING, UNOPENED, PaymentStatus

ANSWERED_WITHIN = timedelta(minutes=1)  # a request of ours takes no longer
_DESK = Hand()
_SUBJECT = "水电燃气通信账单 Utility bills"


def open_at_gateway(
    payment_id: int,
    gateway: Gateway,
    *,
    notify_url: str,
    hand: Hand = _DESK,
) -> Payment:
    """Ask the gateway to collect a payment; without an answer the payment stays as it is.

    Repeating is safe: the gateway knows our order number. No transaction is open while we wait.
    """
    with transaction() as session:
        payment = session.get_one(Payment, payment_id)
    return open_by_route(
        payment, {gateway.code: gateway}, (), notify_url_of=lambda _code: notify_url, hand=hand,
    )  # fmt: skip


def open_by_route(
    payment: Payment,
    gateways: Mapping[str, Gateway],
    others: Sequence[str],
    *,
    notify_url_of: Callable[[str], str],
    hand: Hand = _DESK,
    noted: Noted | None = None,
) -> Payment:
    """Ask a payment's gateway to collect it; one that cannot be reached gives way to the next.

    Args:
        others: which may take its place, in this order; empty where the payer chose by name.
        noted: that its gateway is asked, where that is written down already.
    """
    if payment.status not in UNOPENED or payment.gateway not in gateways:
        return payment
    codes = [payment.gateway, *(code for code in others if code != payment.gateway)]
    for code, following in zip(codes, [*codes[1:], None], strict=True):
        gateway, notify_url = gateways[code], notify_url_of(code)
        try:
            if noted is not None:
                reply: GatewayReply | None = _ask(payment, noted, gateway, notify_url)
            else:
                reply = ask_to_open(
                    payment.id, gateway, notify_url=notify_url, hand=hand, now=utc_now()
                )
        except UpstreamUnavailable:
            if following is not None and _fail_over(payment.id, following):
                noted = None
                continue
            reply = None
        break
    if reply is not None and code == payment.gateway:
        return _book(payment, reply)
    with transaction() as session:
        if reply is not None:
            book_reply(session, payment.id, reply, now=utc_now())
        return get_payment(session, payment.id)


def _book(payment: Payment, reply: GatewayReply) -> Payment:
    """Enter what a payment's own gateway said; the usual word takes one statement."""
    now = utc_now()
    if reply.status is GatewayStatus.OPEN and book_opened(payment, reply, now=now):
        return payment
    with acting() as session:
        book_reply(session, payment.id, reply, now=now)
        return get_payment(session, payment.id)


def _fail_over(payment_id: int, to: str) -> bool:
    with transaction() as session:
        return fail_over(session, payment_id, to=to)


def ask_to_open(
    payment_id: int,
    gateway: Gateway,
    *,
    notify_url: str,
    now: datetime,
    hand: Hand = _DESK,
) -> GatewayReply | None:
    """Ask a gateway to collect a payment; the caller books the answer.

    Returns:
        None: it is not to be asked any more.

    Raises:
        UpstreamUnavailable: the request never left us, and that is written down.
    """
    with transaction() as session:
        attempt = note_asking(session, payment_id, gateway.code, hand=hand, now=now)
        payment = session.get_one(Payment, payment_id)
    return None if attempt is None else _ask(payment, attempt, gateway, notify_url)


def _ask(payment: Payment, attempt: Noted, gateway: Gateway, notify_url: str) -> GatewayReply:
    try:
        return _collect(payment, gateway, _order(payment, attempt, notify_url))
    except UpstreamUnavailable:
        with transaction() as session:
            note_unreachable(session, attempt)
        raise


def _collect(payment: Payment, gateway: Gateway, order: Order) -> GatewayReply:
    """Ask for the money: of a payer who is there, or by the mandate they gave."""
    if payment.mandate_ref is None:
        return gateway.open_order(order)
    assert isinstance(gateway, Debiting), gateway.code
    return gateway.debit(order, mandate_ref=payment.mandate_ref)


def _order(payment: Payment, attempt: Noted, notify_url: str) -> Order:
    """Return a payment as its gateway is asked to collect it."""
    return Order(
        order_no=payment.order_no,
        amount_fen=payment.amount_fen,
        subject=_SUBJECT,
        notify_url=notify_url,
        return_url=payment.return_url,
        expires_at=payment.expires_at,
        asked_at=payment.created_at,
        mode=payment.mode,
        channel=payment.channel,
        scene=attempt.hand.scene,
        payer_ref=attempt.hand.payer_ref,
        payer_ip=attempt.hand.payer_ip,
    )


def is_nowhere(payment_id: int) -> bool:
    """Tell whether gateways were tried for a payment, and none can have heard."""
    with transaction() as session:
        nobody = never_heard(session, lock_fresh(session, payment_id))
        return nobody and was_tried(session, payment_id)


def call_off(payment_id: int, gateway: Gateway, *, now: datetime) -> Payment:
    """End a payment its payer gives up, so that its bills can be paid at once.

    The gateway decides: it is closed there first, and one that finds it paid has it paid. Without
    its answer the payment stays as it is.

    Raises:
        Conflict: its opening is still under way, or its gateway cannot close an order.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        payment = lock_fresh(session, payment_id)
        if payment.status not in PENDING:
            return payment
        if never_heard(session, payment):  # nor will any: asking waits for this lock
            book_reply(session, payment_id, _CLOSED, now=now)
            return get_payment(session, payment_id)
        asked_at = last_asked_at(session, payment_id) or payment.created_at
    if not gateway.capabilities.closes:
        raise _cannot_close(payment)
    reply = gateway.close(payment.asked())
    if reply.status is GatewayStatus.NOT_FOUND and payment.status is PaymentStatus.OPEN:
        raise _cannot_close(payment)  # it begins there when the payer comes, and they may yet
    if reply.status is GatewayStatus.NOT_FOUND:
        if now < (from_at := asked_at + ANSWERED_WITHIN):
            raise Conflict(
                "the payment is just being started: try again in a minute",
                code="payment.being_opened", free_at=from_at.isoformat(),
            )  # fmt: skip
        reply = _CLOSED
    with transaction() as session:
        book_reply(session, payment_id, reply, now=now)
        return get_payment(session, payment_id)


def _cannot_close(payment: Payment) -> Conflict:
    return Conflict(
        "this way to pay cannot be called off: wait until its time is over",
        code="payment.not_closable", free_at=payment.expires_at.isoformat(),
    )  # fmt: skip


_CLOSED = GatewayReply(status=GatewayStatus.CLOSED)
