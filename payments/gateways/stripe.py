"""Stripe: cards, and Alipay and WeChat Pay through it.

An order is a Checkout Session: only a session brings a page of Stripe's where the payer enters the
card, so no card number comes near us; a PaymentIntent alone would need a page of ours with their
script on it. Once it is paid, its ``gateway_ref`` is the PaymentIntent's number, by which Stripe's
reports and refunds name it.

``order_no`` and ``refund_no`` are Idempotency-Keys. Stripe forgets a key after a day, so whatever
was asked for before is looked for and not merely asked for again.

Source: docs/wire/stripe.md.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Literal

from core import crypto
from core.clock import utc_now
from core.errors import Invalid, NotAllowed
from core.settings import Settings
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
    CallbackKind,
    Capabilities,
    DisputeReply,
    DisputeState,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
    RefundOrder,
    RefundReply,
    RefundState,
    Scene,
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from payments.gateways.stripe_debits import Debits
from payments.gateways.stripe_replies import (
    CURRENCY,
    DEBIT,
    NOT_FOUND,
    UNKNOWN,
    of_dispute,
    of_intent,
    of_refund,
    of_session,
    refund_refused,
)
from payments.gateways.stripe_settlement import fetch_report, read_report
from payments.gateways.stripe_wire import NoAnswer, Refused, Told, Wire, at, text_at

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

_TOLERANCE_SECONDS = 300
_KEY_LIFE = timedelta(hours=23)  # an hour less than Stripe's word
_SKEW = timedelta(minutes=5)
_SHORTEST = timedelta(hours=1)  # a session must live half an hour from when Stripe makes it
_METHODS: dict[str, list[Literal["card", "alipay", "wechat_pay"]]] = {
    "card": ["card"], "wallet": ["alipay", "wechat_pay"],
}  # fmt: skip
_CHARGE = "payment_intent.latest_charge.balance_transaction"
_FAILURE = "failure_balance_transaction"


class Stripe:
    code = "stripe"
    name = Spoken("银行卡等（Stripe）", "Cards and more by Stripe")
    description = Spoken(
        "银行卡，或经 Stripe 使用支付宝、微信支付", "Cards, or Alipay and WeChat Pay through Stripe"
    )
    capabilities = Capabilities(
        modes=tuple(_METHODS),
        channels=frozenset({"web", "api", "tv", "kiosk", "autopay"}),
        minimum_fen=400,  # what half a US dollar may come to
        maximum_fen=99_999_999,
        refund_days=90,  # Alipay's, the shortest; WeChat Pay has 180, cards have no end
        cost_ppm=34_000,
        cost_fen=235,
    )

    def __init__(
        self, key: str, webhook_secret: str, url: str = "",
        *, clock: Callable[[], datetime] = utc_now,
    ) -> None:  # fmt: skip
        self._wire, self._secret, self._clock = Wire(key, url), webhook_secret, clock
        self._debits = Debits(self._wire)

    def open_order(self, order: Order) -> GatewayReply:
        code_too = order.scene is Scene.SCREEN
        return self._once(
            order,
            lambda: of_session(self._make_session(order), code_too=code_too),
            lambda: self._find(order.order_no, order.asked_at),
        )

    def query(self, asked: Asked) -> GatewayReply:
        try:
            if asked.gateway_ref is None:
                return self._find(asked.order_no, asked.asked_at)
            return self._look(asked.gateway_ref)
        except NoAnswer:
            return UNKNOWN

    def close(self, asked: Asked) -> GatewayReply:
        told = self.query(asked)
        ref = told.gateway_ref
        if told.status is not GatewayStatus.OPEN or ref is None:
            return told
        try:
            if ref.startswith("pi_"):
                self._wire.ask(lambda: self._wire.api.payment_intents.cancel(ref))
            else:
                self._wire.ask(lambda: self._wire.api.checkout.sessions.expire(ref))
        except (NoAnswer, Refused):
            pass  # the payer was faster, or it did close: what is asked next tells
        return self.query(asked)

    def refund(self, order: RefundOrder) -> RefundReply:
        try:
            intent = self._intent_of(order.paid)
            if intent is None:
                return refund_refused("nothing was paid")
            return self._refund_once(intent, order)
        except NoAnswer:
            return RefundReply(state=RefundState.UNKNOWN)

    def query_refund(self, order: RefundOrder) -> RefundReply:
        try:
            intent = self._intent_of(order.paid)
            found = self._find_refund(intent, order) if intent is not None else None
        except NoAnswer:
            return RefundReply(state=RefundState.UNKNOWN)
        return found or RefundReply(state=RefundState.NOT_FOUND)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        if not self._is_signed(headers.get("stripe-signature", ""), body, now=now):
            raise NotAllowed("the callback's signature is wrong or stale", code="callback.forged")
        try:
            event = json.loads(body)
        except (ValueError, RecursionError) as wrong:
            raise Invalid("not a Stripe event", code="callback.malformed") from wrong
        event_id, kind = text_at(event, "id"), text_at(event, "type")
        if at(event, "object") != "event" or event_id is None or kind is None:
            raise Invalid("not a Stripe event", code="callback.malformed")
        about = _subject(kind, at(event, "data.object"))
        return None if about is None else Callback(event_id, about[1], about[0])

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer(status_code=200 if taken else 400)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        return fetch_report(self._wire, day)

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        return iter(read_report(stream.read(), day))

    def hang_up(self) -> None:
        self._wire.close()

    def query_dispute(self, dispute_ref: str) -> DisputeReply:
        disputes = self._wire.api.disputes
        try:
            return of_dispute(
                self._wire.ask(
                    lambda: disputes.retrieve(dispute_ref, {"expand": ["payment_intent"]})
                )
            )
        except (NoAnswer, Refused):
            return DisputeReply(state=DisputeState.UNKNOWN)

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        return self._debits.sign(order)

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        try:
            return self._debits.query(mandate_no, mandate_ref, now=self._clock())
        except NoAnswer:
            return MandateReply(state=MandateState.UNKNOWN)

    def end_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        try:
            return self._debits.end(mandate_no, mandate_ref, now=self._clock())
        except NoAnswer:
            return MandateReply(state=MandateState.UNKNOWN)

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        return self._once(
            order,
            lambda: self._debits.debit(order, mandate_ref),
            lambda: self._find(order.order_no, order.asked_at),
        )

    def _once(
        self, order: Order, ask: Callable[[], GatewayReply], find: Callable[[], GatewayReply]
    ) -> GatewayReply:
        """Ask for an order under its key; where the key no longer helps, look for it instead."""
        try:
            if self._clock() - order.asked_at > _KEY_LIFE:
                found = find()
                late = GatewayReply(
                    status=GatewayStatus.REFUSED, reason="asked for too late to be asked for once"
                )
                return late if found.status is GatewayStatus.NOT_FOUND else found
            return ask()
        except Refused as no:
            return GatewayReply(status=GatewayStatus.REFUSED, reason=str(no))
        except NoAnswer as lost:
            if not lost.replayed:
                return UNKNOWN
        try:
            return find()
        except NoAnswer:
            return UNKNOWN

    def _make_session(self, order: Order) -> Told:
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": order.order_no,
            "metadata": {"order_no": order.order_no},
            "payment_intent_data": {"metadata": {"order_no": order.order_no}},
            "line_items": [{
                "quantity": 1,
                "price_data": {
                    "currency": CURRENCY, "unit_amount": order.amount_fen,
                    "product_data": {"name": order.subject},
                },
            }],
            "allowed_payment_method_types": [*_METHODS[order.mode or self.capabilities.modes[0]]],
            "adaptive_pricing": {"enabled": False},  # yuan, whatever the payer's country
            "success_url": order.return_url,
            "cancel_url": order.return_url,
            "expires_at": _seconds(max(order.expires_at, order.asked_at + _SHORTEST)),
        }  # fmt: skip
        if order.mode == "wallet":
            params["payment_method_options"] = {"wechat_pay": {"client": "web"}}
        sessions = self._wire.api.checkout.sessions
        return self._wire.ask(lambda: sessions.create(params, {"idempotency_key": order.order_no}))

    def _look(self, ref: str) -> GatewayReply:
        """Read an order by Stripe's number of it.

        A number it gave and does not know is of another account than our key: that is no answer.
        """
        api = self._wire.api
        try:
            if ref.startswith("pi_"):
                expand = [_CHARGE.removeprefix("payment_intent.")]
                return of_intent(
                    self._wire.ask(lambda: api.payment_intents.retrieve(ref, {"expand": expand}))
                )
            return of_session(
                self._wire.ask(lambda: api.checkout.sessions.retrieve(ref, {"expand": [_CHARGE]}))
            )
        except Refused:
            return UNKNOWN

    def _find(self, order_no: str, asked_at: datetime) -> GatewayReply:
        """Look for an order whose answer never came.

        Lists are exact, where Stripe's search lags behind. The order is most likely among those of
        the minutes it was asked for in, and cannot have been made once its key was too old.
        """
        opened = asked_at - _SKEW
        for since, until in (
            (opened, asked_at + _SKEW),
            (asked_at + _SKEW, asked_at + _KEY_LIFE + _SKEW),
        ):
            for ref in self._made(order_no, since, min(until, self._clock() + _SKEW)):
                return self._look(ref)
        return NOT_FOUND

    def _made(self, order_no: str, since: datetime, until: datetime) -> Iterator[str]:
        api = self._wire.api
        if until <= since:
            return
        made = {"created": {"gte": _seconds(since), "lt": _seconds(until)}}
        for one in self._wire.pages(api.checkout.sessions.list, made):
            if one.get("client_reference_id") == order_no and one.get("mode") == "payment":
                yield str(one["id"])
        for one in self._wire.pages(api.payment_intents.list, made):
            if (at(one, "metadata.order_no"), at(one, "metadata.kind")) == (order_no, DEBIT):
                yield str(one["id"])

    def _intent_of(self, paid: Asked) -> str | None:
        """Return the number of the intent an order was paid by; None: it was not paid."""
        ref = paid.gateway_ref
        if ref is not None and ref.startswith("pi_"):
            return ref
        told = self._look(ref) if ref is not None else self._find(paid.order_no, paid.asked_at)
        if told.status is GatewayStatus.UNKNOWN:
            raise NoAnswer
        return told.gateway_ref if told.status is GatewayStatus.PAID else None

    def _refund_once(self, intent: str, order: RefundOrder) -> RefundReply:
        refunds = self._wire.api.refunds
        found = self._find_refund(intent, order)
        if found is not None:
            return found
        try:
            told = self._wire.ask(
                lambda: refunds.create(
                    {
                        "payment_intent": intent, "amount": order.amount_fen,
                        "expand": ["balance_transaction"],
                        "metadata": {
                            "refund_no": order.refund_no, "order_no": order.paid.order_no
                        },
                    },
                    {"idempotency_key": order.refund_no},
                )
            )  # fmt: skip
        except Refused as no:
            return refund_refused(no)
        return of_refund(told, order)

    def _find_refund(self, intent: str, order: RefundOrder) -> RefundReply | None:
        asked = {"payment_intent": intent, "expand": ["data.balance_transaction"]}
        for one in self._wire.pages(self._wire.api.refunds.list, asked):
            if at(one, "metadata.refund_no") == order.refund_no:
                return of_refund(self._with_failure(one), order)
        return None

    def _with_failure(self, told: Told) -> Told:
        """Return a refund with the movement by which its money came back, if it has."""
        number, moves = text_at(told, _FAILURE), self._wire.api.balance_transactions
        if number is None:
            return told
        try:
            return told | {_FAILURE: self._wire.ask(lambda: moves.retrieve(number))}
        except Refused:
            return told

    def _is_signed(self, header: str, body: bytes, *, now: datetime) -> bool:
        """Tell whether one of a header's signatures is right and its one time is now.

        The SDK would take an event of any time to come, and reads the clock itself.
        """
        parts = [part.partition("=") for part in header.split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1 or re.fullmatch("[0-9]{1,12}", times[0]) is None:
            return False
        if abs(int(now.timestamp()) - int(times[0])) > _TOLERANCE_SECONDS:
            return False
        message = times[0].encode() + b"." + body
        signatures = [value for name, _, value in parts if name == "v1"]
        return any(crypto.verify(self._secret, message, one) for one in signatures)


def from_settings(settings: Settings) -> Stripe | None:
    """Make the gateway from this process's configuration, if it has Stripe in it."""
    key = settings.stripe_secret_key.get_secret_value()
    if not key:
        return None
    return Stripe(key, settings.stripe_webhook_secret.get_secret_value(), settings.stripe_url)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _subject(event: str, about: object) -> tuple[CallbackKind, str] | None:
    """Return what an event is news of, by our number; None where it is no news to us.

    A checkout is told of by its session alone: its intent's events say the same again, a card that
    was declined there leaves the payer free to try another, and a payment that is still on its way
    is told of when it has come. A debit has its answer at once.
    """
    kind: CallbackKind | None = None
    where = ""
    match event.split(".")[:2]:
        case ["checkout", "session"] if at(about, "mode") == "setup":
            kind, where = CallbackKind.MANDATE, "client_reference_id"
        case ["checkout", "session"] if at(about, "mode") == "payment":
            if (at(about, "status"), at(about, "payment_status")) != ("complete", "unpaid"):
                kind, where = CallbackKind.PAYMENT, "client_reference_id"
        case ["refund", _]:
            kind, where = CallbackKind.REFUND, "metadata.refund_no"
        case ["charge", "dispute"] if not str(at(about, "status")).startswith("warning_"):
            kind, where = CallbackKind.DISPUTE, "id"
    reference = text_at(about, where)
    return None if kind is None or not reference else (kind, reference)
