"""What gateways call us with: kept raw, once, then acted upon.

A callback says that there is news. What the news *is* we ask the gateway itself: so a forged, stale
or reordered callback can cause a question and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session

from core import log, outbox
from core.db import HotStatement, acting, looking, transaction
from core.errors import NotFound, UpstreamUnavailable
from payments.autopay import mandates
from payments.gateways import gateway_named
from payments.gateways.base import Asked, CallbackKind, Gateway, GatewayReply, GatewayStatus
from payments.models import GatewayCallback, find_payment_by_order
from payments.pauses import pause_seconds
from payments.returns import chargebacks, refunds
from payments.settlement import book_replies, book_reply
from payments.states import PaymentStatus

PARKED_FOR = timedelta(days=2)
_ENDED_UNPAID = {PaymentStatus.REFUSED, PaymentStatus.EXPIRED}


def notify_url(public_url: str, gateway_code: str) -> str:
    """Return where a gateway is told to call us."""
    return f"{public_url}/api/v1/callbacks/{gateway_code}"


_KEEP = HotStatement("""
    WITH kept AS (
        INSERT INTO gateway_callback (gateway, external_id, kind, reference, body, received_at)
        VALUES (:gateway, :external_id, :kind, :reference, :body, :now)
        ON CONFLICT (gateway, external_id) DO NOTHING RETURNING id
    )
    INSERT INTO outbox_event (topic, subject_id, request_id, emitted_at)
    SELECT :topic, CAST(id AS text), :request_id, :now FROM kept
    RETURNING id
""")
_RECEIVED = outbox.Event("gateway_callback.received", "the id it is kept under")


def receive(gateway: Gateway, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
    """Check and keep a callback; tells whether it was new. The same one again changes nothing.

    Raises:
        NotAllowed: forged or stale.
        Invalid: not a callback of this gateway.
    """
    told = gateway.read_callback(headers, body, now=now)
    if told is None:
        return False
    values = {
        "gateway": gateway.code, "external_id": told.external_id, "kind": told.kind,
        "reference": told.reference, "body": body, "now": now, "topic": _RECEIVED.topic,
        "request_id": log.request_id(),
    }  # fmt: skip
    return bool(_KEEP.alone(values))


def process(callback_id: int, gateways: dict[str, Gateway], *, now: datetime) -> bool:
    """Ask the gateway about what a kept callback is about, and book the answer.

    One that speaks of something we do not know yet waits: it may have been faster than we.

    Returns:
        Whether that is done; otherwise ask again later.

    Raises:
        NotFound: no such callback; or nothing of ours that it could be about, or nothing the
            gateway knows itself, for two days: a person must look.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        kept = session.get(GatewayCallback, callback_id)
    if kept is None:
        raise NotFound("there is no such callback")
    try:
        return _LOOK[kept.kind](kept, gateway_named(gateways, kept.gateway), now)
    except NotFound as unknown:
        if now < kept.received_at + PARKED_FOR:
            return False
        raise NotFound(
            f"the gateway speaks of a {kept.kind} that we, or it when asked, do not know",
            code="callback.no_order",
        ) from unknown


_DONE = HotStatement("""
    UPDATE gateway_callback SET processed_at = :now WHERE id = :id RETURNING id
""")


def _note_done(session: Session, kept: GatewayCallback, *, now: datetime) -> None:
    _DONE.rows(session, {"id": kept.id, "now": now})


_NEWS = HotStatement("""
    SELECT DISTINCT ON (p.id) c.id, c.gateway, c.received_at, p.id,
           p.order_no, p.amount_fen, p.created_at, p.mode, p.gateway_ref, p.status
    FROM gateway_callback c JOIN payment p ON p.order_no = c.reference AND p.gateway = c.gateway
    WHERE c.id = ANY(:ids) AND c.kind = 'payment' AND c.gateway = ANY(:gateways)
    ORDER BY p.id, c.id
""")
_ALL_DONE = HotStatement("""
    UPDATE gateway_callback SET processed_at = :now WHERE id = ANY(:ids) RETURNING id
""")


def process_all(
    callback_ids: Sequence[int],
    gateways: Mapping[str, Gateway],
    *,
    now: datetime,
    over: Callable[[], bool],
) -> dict[int, int | None]:
    """Do as ``process`` does for many callbacks about payments, all booked in one transaction.

    Args:
        over: whether no more is to be asked; what was asked is still booked.

    Returns:
        By callback: None, it is done; or in how many seconds to ask again. What is unusual is left
        out, for ``process``: other kinds, orders we or the gateway do not know, a second one of a
        payment.
    """
    with looking() as session:
        values = {"ids": list(callback_ids), "gateways": list(gateways)}
        news = [_PaymentNews(*row) for row in _NEWS.rows(session, values)]
    heard: dict[_PaymentNews, GatewayReply] = {}
    for one in news:
        if over():
            break
        try:
            heard[one] = gateways[one.gateway].query(one.asked())
        except UpstreamUnavailable:
            break
    heard = {one: reply for one, reply in heard.items() if not _is_behind(reply, one.status)}
    told = {one: reply for one, reply in heard.items() if reply.status is not GatewayStatus.UNKNOWN}
    with acting() as session:
        replies = {one.payment_id: reply for one, reply in told.items()}
        book_replies(session, replies, now=now)
        _ALL_DONE.rows(session, {"ids": [one.callback_id for one in told], "now": now})
    return {
        one.callback_id: None if one in told else pause_seconds(now - one.received_at)
        for one in heard
    }


class _PaymentNews(NamedTuple):
    """A callback, and the payment it is about."""

    callback_id: int
    gateway: str
    received_at: datetime
    payment_id: int
    order_no: str
    amount_fen: int
    created_at: datetime
    mode: str
    gateway_ref: str | None
    status: str

    def asked(self) -> Asked:
        return Asked(
            order_no=self.order_no, amount_fen=self.amount_fen, asked_at=self.created_at,
            mode=self.mode, gateway_ref=self.gateway_ref,
        )  # fmt: skip


def look_again_seconds(session: Session, callback_id: int, *, now: datetime) -> int:
    """Tell when to try a callback again: seconds, then minutes, then hours after it came."""
    return pause_seconds(now - session.get_one(GatewayCallback, callback_id).received_at)


def _look_at_payment(kept: GatewayCallback, gateway: Gateway, now: datetime) -> bool:
    with transaction() as session:
        payment = find_payment_by_order(session, kept.reference)
    if payment is None or payment.gateway != gateway.code:
        raise NotFound("there is no such payment")
    reply = gateway.query(payment.asked())
    if reply.status is GatewayStatus.UNKNOWN:
        return False
    if _is_behind(reply, payment.status):
        raise NotFound("the gateway does not know yet what it called about")
    with acting() as session:
        book_reply(session, payment.id, reply, now=now)
        _note_done(session, kept, now=now)
    return True


def _is_behind(reply: GatewayReply, status: str) -> bool:
    """Tell whether a gateway answers as if it had not heard its own news.

    Nobody else asks about a payment that has ended: money that came late would be overlooked.
    """
    waits = reply.status is GatewayStatus.OPEN and status in _ENDED_UNPAID
    return waits or reply.status is GatewayStatus.NOT_FOUND


Look = Callable[[GatewayCallback, Gateway, datetime], bool]


def _by_reference(look: Callable[[str, Gateway, datetime], bool]) -> Look:
    """Return how news is looked at by a room that knows no callbacks."""

    def look_and_note(kept: GatewayCallback, gateway: Gateway, now: datetime) -> bool:
        if not look(kept.reference, gateway, now):
            return False
        with transaction() as session:
            _note_done(session, kept, now=now)
        return True

    return look_and_note


_LOOK: dict[CallbackKind, Look] = {
    CallbackKind.PAYMENT: _look_at_payment,
    CallbackKind.REFUND: _by_reference(refunds.look),
    CallbackKind.DISPUTE: _by_reference(chargebacks.look),
    CallbackKind.MANDATE: _by_reference(mandates.look),
}
