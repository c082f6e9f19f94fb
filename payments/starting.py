"""A payment from the resident's word to the gateway's page: made, routed, opened."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from core.db import acting
from core.errors import Invalid
from payments.attempts import Hand, Noted, gateways_down
from payments.checkout import create_payment
from payments.gateways.base import Gateway
from payments.models import Payment
from payments.opening import open_by_route
from payments.quotes import Wanted
from payments.routing import Way, route, where_paid


class Payer(NamedTuple):
    """Who pays, and what they hold in their hand."""

    id: int
    channel: str  # billing.rules.terms.Channel
    hand: Hand = Hand()


class Basket(NamedTuple):
    """What is to be paid, as it was shown: see ``checkout.create_payment``."""

    wanted: Sequence[Wanted]
    sum_fen: int | None = None
    quoted_at: datetime | None = None
    shown_total_fen: int | None = None


def start_payment(
    gateways: Mapping[str, Gateway],
    way: Way,
    basket: Basket,
    payer: Payer,
    *,
    return_url: str,
    notify_url_of: Callable[[str], str],
    idempotency_key: str,
    now: datetime,
) -> Payment:
    """Make a payment and have a gateway open it; repeating with the same key is safe.

    Raises:
        Invalid, NotFound, Conflict: as ``checkout.create_payment`` does; no gateway takes the
            amount this way.
    """
    channel, noted = where_paid(way.mode, payer.channel), None
    with acting() as session:
        down = frozenset[str]()
        if way.gateway is None:
            down = gateways_down(session, gateways, now=now)

        def pick(amount_fen: int) -> str:
            return route(
                gateways, way, channel=channel, amount_fen=amount_fen, down=down
            )[0]  # fmt: skip

        payment, new = create_payment(
            session, payer_id=payer.id, wanted=basket.wanted, gateway=way.text, mode=way.mode,
            channel=channel, return_url=return_url, idempotency_key=idempotency_key,
            sum_fen=basket.sum_fen, quoted_at=basket.quoted_at,
            shown_total_fen=basket.shown_total_fen, pick=pick, hand=payer.hand, now=now,
        )  # fmt: skip
    if new:
        noted = Noted(payment.id, 1, payer.hand)
    others: tuple[str, ...] = ()
    if way.gateway is None and payment.amount_fen:
        others = _others(gateways, way, payment, down=down)
    return open_by_route(
        payment, gateways, others, notify_url_of=notify_url_of, hand=payer.hand, noted=noted
    )


def _others(
    gateways: Mapping[str, Gateway], way: Way, payment: Payment, *, down: frozenset[str]
) -> tuple[str, ...]:
    try:
        return route(
            gateways, way, channel=payment.channel, amount_fen=payment.amount_fen, down=down
        )  # fmt: skip
    except Invalid:  # a payment of before, and other gateways since
        return ()
