"""Checkout Sessions, PaymentIntents and saved cards at the far side of Stripe.

Source: docs/wire/stripe.md.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from simulator.stripe_events import Post, manner_of
from simulator.stripe_money import Money
from simulator.stripe_store import (
    StripeRefusal,
    StripeStore,
    Thing,
    far,
    milliseconds,
    with_far,
)

LEAST_FEN = 400
_SHORTEST, _LONGEST = timedelta(minutes=30), timedelta(hours=24)


class StripeChoice(StrEnum):
    """What the payer pressed at the hosted page."""

    YES = "yes"
    NO = "no"
    LATE = "late"
    NOTHING = "nothing"
    TWICE = "twice"
    ASKS = "asks"  # agrees, with a card whose bank wants to see its holder at every debit
    SHORT = "short"  # agrees, with a card that has nothing on it
    LOST = "lost"  # agrees, with a card that is reported lost afterwards


_HABITS = {
    StripeChoice.ASKS: ("authentication_required", "authentication_required"),
    StripeChoice.SHORT: ("card_declined", "insufficient_funds"),
    StripeChoice.LOST: ("card_declined", "lost_card"),
}


class Orders:
    def __init__(self, store: StripeStore, post: Post, money: Money, late_after: timedelta) -> None:
        self._store, self._post, self._money = store, post, money
        self._late_after = late_after

    def make_session(self, asked: dict[str, Any], *, page: str, now: datetime) -> Thing:
        """Open a session of mode ``payment`` or ``setup``; ``page`` is where its page will be."""
        if asked.get("mode") not in {"payment", "setup"} or not asked.get("success_url"):
            raise StripeRefusal("mode is payment or setup, with a success_url", param="mode")
        methods = asked.get("allowed_payment_method_types", ["card"])
        wechat = asked.get("payment_method_options", {}).get("wechat_pay", {})
        if "wechat_pay" in methods and wechat.get("client") != "web":
            raise StripeRefusal("wechat_pay needs payment_method_options[wechat_pay][client]=web")
        ends_at = asked.get("expires_at", int((now + _LONGEST).timestamp()))
        if not _SHORTEST <= timedelta(seconds=ends_at - now.timestamp()) <= _LONGEST:
            raise StripeRefusal(
                "The `expires_at` timestamp must be at least 30 minutes, and at most 24 hours,"
                " from Checkout Session creation.", param="expires_at",
            )  # fmt: skip
        intent = asked.get("payment_intent_data", asked.get("setup_intent_data", {}))
        session = self._store.new(
            "checkout.session", now=now, mode=asked["mode"], status="open",
            payment_status="unpaid" if asked["mode"] == "payment" else "no_payment_required",
            amount_total=None, currency="cny", payment_intent=None, setup_intent=None,
            client_reference_id=asked.get("client_reference_id"),
            metadata=asked.get("metadata", {}), customer=asked.get("customer"),
            success_url=asked["success_url"], cancel_url=asked.get("cancel_url"),
            expires_at=ends_at, payment_method_types=methods,
            far={"intent_metadata": intent.get("metadata", {}), "subject": "", "other_fen": 0},
        )  # fmt: skip
        session["url"] = f"{page}/{session['id']}"
        if asked["mode"] == "payment":
            session = self._priced(session, asked.get("line_items", []))
        self._store.put(session)
        return session

    def _priced(self, session: Thing, lines: list[dict[str, Any]]) -> Thing:
        prices = [line.get("price_data", {}) for line in lines]
        amounts = [price.get("unit_amount") for price in prices]
        if len(lines) != 1 or lines[0].get("quantity") != 1 or type(amounts[0]) is not int:
            raise StripeRefusal("one line item with price_data, please", param="line_items")
        if prices[0].get("currency") != "cny":
            raise StripeRefusal("this account takes cny", param="line_items[0][price_data]")
        if amounts[0] < LEAST_FEN:
            raise StripeRefusal(
                "The Checkout Session's total amount must convert to at least 50 cents.",
                code="amount_too_small",
            )  # fmt: skip
        subject = prices[0].get("product_data", {}).get("name", "")
        return with_far(session, subject=subject) | {"amount_total": amounts[0]}

    def session(self, session_id: str, *, now: datetime) -> Thing:
        """Return a session, expired first if its time is over."""
        session = self._store.get("checkout.session", session_id)
        if session["status"] == "open" and now.timestamp() >= session["expires_at"]:
            return self._expire(session, now=now)
        return session

    def expire(self, session_id: str, *, now: datetime) -> Thing:
        session = self.session(session_id, now=now)
        if session["status"] != "open":
            raise StripeRefusal(
                "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout"
                f" Session has a status of `{session['status']}`.", kept=True,
            )  # fmt: skip
        return self._expire(session, now=now)

    def _expire(self, session: Thing, *, now: datetime) -> Thing:
        session = session | {"status": "expired", "url": None}
        self._store.put(session)
        if session["payment_intent"] is not None:
            intent = self._store.get("payment_intent", session["payment_intent"])
            self._store.put(intent | {"status": "canceled"})
        self._post.tell("checkout.session.expired", session, now=now)
        return session

    def choose(self, session_id: str, choice: StripeChoice, *, now: datetime) -> Thing:
        """Do what the payer pressed; when the session is over it changes nothing."""
        with self._store.lock:
            session = self.session(session_id, now=now)
            if session["status"] != "open":
                return session
            if session["mode"] == "setup":
                return self._save_card(session, choice, now=now)
            intent = self._intent_of(session, choice, now=now)
            if choice is StripeChoice.NO:
                return self._decline(session, intent, now=now)
            if choice is StripeChoice.LATE:
                due_ms = milliseconds(now + self._late_after)
                session = with_far(session, due_ms=due_ms) | {"status": "complete", "url": None}
                self._store.put(session, intent | {"status": "processing"})
                self._post.tell("checkout.session.completed", session, now=now)
                return session
            return self._take(session, intent, "checkout.session.completed", now=now)

    def ripen(self, session: Thing, *, now: datetime) -> None:
        """Pay what was paid ``late``."""
        with self._store.lock:
            intent = self._store.get("payment_intent", session["payment_intent"])
            session = with_far(session, due_ms=None)
            self._take(session, intent, "checkout.session.async_payment_succeeded", now=now)

    def _take(self, session: Thing, intent: Thing, event: str, *, now: datetime) -> Thing:
        method = session["payment_method_types"][0]
        taken_fen = session["amount_total"] + far(session, "other_fen")
        self._money.charge(intent, taken_fen, method, now=now)
        session = session | {"status": "complete", "payment_status": "paid", "url": None}
        self._store.put(session)
        self._post.tell(event, session, now=now, manner=manner_of(intent))
        return session

    def _decline(self, session: Thing, intent: Thing, *, now: datetime) -> Thing:
        error = {
            "type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
            "message": "Your card was declined.",
        }  # fmt: skip
        intent = intent | {"status": "requires_payment_method", "last_payment_error": error}
        self._store.put(session, intent)
        self._post.tell("payment_intent.payment_failed", intent, now=now)
        return session

    def _intent_of(self, session: Thing, choice: StripeChoice, *, now: datetime) -> Thing:
        if session["payment_intent"] is not None:
            known = self._store.get("payment_intent", session["payment_intent"])
            return with_far(known, manner=far(session, "manner") or choice)
        made = self._intent(
            session["amount_total"], far(session, "intent_metadata"), now=now,
            manner=far(session, "manner") or choice,
        )  # fmt: skip
        session["payment_intent"] = made["id"]
        return made

    def _intent(
        self, amount_fen: int, metadata: dict[str, str], *, now: datetime, manner: str
    ) -> Thing:
        return self._store.new(
            "payment_intent", now=now, amount=amount_fen, amount_received=0, currency="cny",
            status="requires_payment_method", metadata=metadata, latest_charge=None,
            last_payment_error=None, customer=None, far={"manner": manner},
        )  # fmt: skip

    def _save_card(self, session: Thing, choice: StripeChoice, *, now: datetime) -> Thing:
        if choice is StripeChoice.NO:
            return session  # the payer goes back; the page stays open
        customer = session["customer"] or self._store.new("customer", now=now)
        if not isinstance(customer, str):
            self._store.put(customer)
            customer = customer["id"]
        method = self._store.new(
            "payment_method", now=now, type="card", customer=customer, far={"habit": choice}
        )
        intent = self._store.new(
            "setup_intent", now=now, status="succeeded", customer=customer, usage="off_session",
            payment_method=method["id"], metadata=far(session, "intent_metadata"),
        )  # fmt: skip
        session = session | {
            "status": "complete", "customer": customer, "setup_intent": intent["id"], "url": None,
        }  # fmt: skip
        self._store.put(method, intent, session)
        self._post.tell("setup_intent.succeeded", intent, now=now)
        self._post.tell("checkout.session.completed", session, now=now)
        return session

    def detach(self, method_id: str, *, now: datetime) -> Thing:
        """Take a card from its customer: it can be debited no more."""
        method = self._store.get("payment_method", method_id)
        if method["customer"] is None:
            raise StripeRefusal(
                "The payment method you provided is not attached to a customer so detachment is"
                " impossible.", kept=True,
            )  # fmt: skip
        method = method | {"customer": None}
        self._store.put(method)
        self._post.tell("payment_method.detached", method, now=now)
        return method

    def debit(self, asked: dict[str, Any], *, other_fen: int, now: datetime) -> Thing:
        """Charge a saved card whose holder is not there."""
        if asked.get("currency") != "cny" or not (
            asked.get("off_session") and asked.get("confirm")
        ):
            raise StripeRefusal("here, an intent is a debit: cny, off_session, confirm")
        method = self._store.get("payment_method", str(asked.get("payment_method")))
        if method["customer"] is None or method["customer"] != asked.get("customer"):
            raise StripeRefusal(
                "The provided PaymentMethod was previously used or detached from its customer.",
                kept=True, param="payment_method",
            )  # fmt: skip
        intent = self._intent(asked["amount"], asked.get("metadata", {}), now=now, manner="yes")
        intent = intent | {"customer": method["customer"], "payment_method": method["id"]}
        habit = _HABITS.get(far(method, "habit"))
        if habit is None:
            return self._money.charge(intent, asked["amount"] + other_fen, "card", now=now)
        error = {"code": habit[0], "decline_code": habit[1], "message": "Your card was declined."}
        intent = intent | {"last_payment_error": {"type": "card_error"} | error}
        self._store.put(intent)
        self._post.tell("payment_intent.payment_failed", intent, now=now)
        raise StripeRefusal(
            error.pop("message"), status_code=402, kind="card_error", kept=True,
            payment_intent={"id": intent["id"], "object": "payment_intent"}, **error,
        )  # fmt: skip

    def cancel(self, intent_id: str, *, now: datetime) -> Thing:
        intent = self._store.get("payment_intent", intent_id)
        if intent["status"] in {"succeeded", "canceled", "processing"}:
            raise StripeRefusal(
                f"You cannot cancel this PaymentIntent because it has a status of"
                f" {intent['status']}.", code="payment_intent_unexpected_state", kept=True,
            )  # fmt: skip
        intent = intent | {"status": "canceled"}
        self._store.put(intent)
        self._post.tell("payment_intent.canceled", intent, now=now)
        return intent
