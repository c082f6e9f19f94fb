"""What gateways call us with: kept raw, once, then acted upon.

A callback says that there is news. What the news *is* we ask the gateway itself: so a forged, stale
or reordered callback can cause a question and nothing else.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.errors import NotFound
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, GatewayStatus
from payments.models import GatewayCallback, find_payment_by_order
from payments.settlement import book_reply


def notify_url(public_url: str, gateway_code: str) -> str:
    """Return where a gateway is told to call us."""
    return f"{public_url}/api/v1/callbacks/{gateway_code}"


def receive(
    session: Session, gateway: Gateway, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> bool:
    """Check and keep a callback; tells whether it was new. The same one again changes nothing.

    Raises:
        NotAllowed: forged or stale.
        Invalid: not a callback of this gateway.
    """
    told = gateway.read_callback(headers, body, now=now)
    if told is None:
        return False
    kept = session.execute(
        text("""
            INSERT INTO gateway_callback
                (gateway, external_id, kind, reference, body, received_at)
            VALUES (:gateway, :external_id, :kind, :reference, :body, :now)
            ON CONFLICT (gateway, external_id) DO NOTHING RETURNING id
        """),
        {
            "gateway": gateway.code, "external_id": told.external_id, "kind": told.kind,
            "reference": told.reference, "body": body.decode("utf-8", "replace"), "now": now,
        },
    ).scalar_one_or_none()  # fmt: skip
    if kept is not None:
        outbox.emit(session, "gateway_callback.received", kept, now=now)
    return kept is not None


def process(callback_id: int, gateways: dict[str, Gateway]) -> bool:
    """Ask the gateway what became of the order a kept callback is about, and book the answer.

    Returns:
        Whether the gateway could say; otherwise ask again later.

    Raises:
        NotFound: no such callback, or an order we do not know: a person must look.
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        kept = session.get(GatewayCallback, callback_id)
        if kept is None:
            raise NotFound("there is no such callback")
        gateway = gateway_named(gateways, kept.gateway)
        payment = find_payment_by_order(session, kept.reference)
    if payment is None:
        raise NotFound("the gateway speaks of an order we do not know", code="callback.no_order")
    reply = gateway.query(payment.asked())
    if reply.status is GatewayStatus.UNKNOWN:
        return False
    with transaction() as session:
        book_reply(session, payment.id, reply, now=utc_now())
        session.get_one(GatewayCallback, callback_id).processed_at = utc_now()
    return True
