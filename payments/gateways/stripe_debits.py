"""Mandates at Stripe, and debits by them.

The payer agrees on a page of Stripe's: a Checkout Session that saves a payment method for later. It
leads to a SetupIntent, whose number is then the mandate's; the payment method is what is debited,
and taken from its customer when the mandate ends. Stripe knows no cap: ours is kept by us.

Source: docs/wire/stripe.md, "Mandates".
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from payments.gateways.base import (
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
)
from payments.gateways.stripe_replies import CURRENCY, DEBIT, of_intent, of_mandate, refused
from payments.gateways.stripe_wire import NoAnswer, Refused, Told, Wire, at, text_at

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

_LONGEST = timedelta(hours=24)  # a session lives no longer
_ENDED = "mandate_ended"


class Debits:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def sign(self, order: MandateOrder) -> MandateReply:
        params: SessionCreateParams = {
            "mode": "setup",
            "client_reference_id": order.mandate_no,
            "metadata": {"mandate_no": order.mandate_no},
            "setup_intent_data": {
                "metadata": {"mandate_no": order.mandate_no}, "description": order.subject,
            },
            "currency": CURRENCY,
            "allowed_payment_method_types": ["card"],
            "success_url": order.return_url,
            "cancel_url": order.return_url,
        }  # fmt: skip
        if order.payer_ref is not None:
            params["customer"] = order.payer_ref
        else:
            params["customer_creation"] = "always"
        sessions = self._wire.api.checkout.sessions
        try:
            return of_mandate(
                self._wire.ask(
                    lambda: sessions.create(params, {"idempotency_key": order.mandate_no})
                )
            )
        except Refused as no:
            return MandateReply(state=MandateState.REFUSED, reason=str(no))
        except NoAnswer:
            return MandateReply(state=MandateState.UNKNOWN)

    def query(self, mandate_no: str, ref: str | None, *, now: datetime) -> MandateReply:
        """Read a mandate. Raises NoAnswer."""
        told = self._read(mandate_no, ref, now=now)
        return MandateReply(state=MandateState.NOT_FOUND) if told is None else of_mandate(told)

    def end(self, mandate_no: str, ref: str | None, *, now: datetime) -> MandateReply:
        """Take the method from its customer, or the page from its payer. Raises NoAnswer."""
        told = self._read(mandate_no, ref, now=now)
        if told is None:
            return MandateReply(state=MandateState.NOT_FOUND)
        api, reply = self._wire.api, of_mandate(told)
        intent = told.get("setup_intent") if told.get("object") != "setup_intent" else told
        method = text_at(intent, "payment_method")
        with suppress(Refused):  # it ended a moment ago: what is asked next tells
            if reply.state is MandateState.ACTIVE and method is not None:
                self._wire.ask(lambda: api.payment_methods.detach(method))
            elif reply.state is MandateState.OPEN and told.get("object") == "checkout.session":
                self._wire.ask(lambda: api.checkout.sessions.expire(str(told["id"])))
        return self.query(mandate_no, ref, now=now)

    def debit(self, order: Order, mandate_ref: str) -> GatewayReply:
        """Charge the payment method of a mandate.

        Raises:
            UpstreamUnavailable, Refused, NoAnswer: as ``Wire.ask``.
        """
        told = self._read(order.order_no, mandate_ref, now=order.asked_at)
        mandate = of_mandate(told or {})
        intent = at(told, "setup_intent") or told
        customer, method = text_at(intent, "customer"), text_at(intent, "payment_method")
        if told is None or mandate.state is MandateState.ENDED:
            return GatewayReply(status=GatewayStatus.REFUSED, reason=_ENDED)
        if mandate.state is not MandateState.ACTIVE or customer is None or method is None:
            return GatewayReply(status=GatewayStatus.REFUSED, reason="the payer has not agreed")
        return self._charge(order, customer, method)

    def _charge(self, order: Order, customer: str, method: str) -> GatewayReply:
        intents = self._wire.api.payment_intents
        try:
            told = self._wire.ask(
                lambda: intents.create(
                    {
                        "amount": order.amount_fen, "currency": CURRENCY, "customer": customer,
                        "payment_method": method, "allowed_payment_method_types": ["card"],
                        "off_session": True, "confirm": True, "description": order.subject,
                        "metadata": {"order_no": order.order_no, "kind": DEBIT},
                        "expand": ["latest_charge.balance_transaction"],
                    },
                    {"idempotency_key": order.order_no},
                )
            )  # fmt: skip
        except Refused as no:
            if no.status_code != 402:
                raise
            return refused(no.error, text_at(no.error, "payment_intent.id"))
        return of_intent(told)

    def _read(self, mandate_no: str, ref: str | None, *, now: datetime) -> Told | None:
        """Return the session or SetupIntent of a mandate; None: there is none.

        Raises:
            NoAnswer: nothing it says can be relied on, as that it does not know a number it gave
                us: our key is of another account, and nobody's mandate ends by that.
        """
        api = self._wire.api
        try:
            if ref is None:
                return self._find(mandate_no, now=now)
            if ref.startswith("seti_"):
                return self._wire.ask(
                    lambda: api.setup_intents.retrieve(ref, {"expand": ["payment_method"]})
                )
            return self._wire.ask(
                lambda: api.checkout.sessions.retrieve(
                    ref, {"expand": ["setup_intent.payment_method"]}
                )
            )
        except Refused as no:
            raise NoAnswer from no

    def _find(self, mandate_no: str, *, now: datetime) -> Told | None:
        """Look for a mandate whose answer never came, and whose page so nobody was ever shown.

        An older session than a day has expired, so there is nothing to be found of it.
        """
        young = {"created": {"gte": int((now - _LONGEST).timestamp())}}
        for one in self._wire.pages(self._wire.api.checkout.sessions.list, young):
            if one.get("client_reference_id") == mandate_no and one.get("mode") == "setup":
                return self._read(mandate_no, str(one["id"]), now=now)
        return None
