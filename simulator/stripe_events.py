"""Events of the far side of Stripe, and how they are delivered: signed, again and again.

Source: docs/wire/stripe.md, "Webhooks".
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx

from core.clock import utc_now
from simulator.stripe_store import StripeStore, Thing, far, milliseconds, shown


class Post:
    """Puts events down for every endpoint that wants them."""

    def __init__(self, store: StripeStore, late_after: timedelta) -> None:
        self._store, self._late_after = store, late_after

    def tell(self, kind: str, about: Thing, *, now: datetime, manner: str = "yes") -> None:
        """Make an event of an object as it is now, to be delivered in a manner of delivering.

        Args:
            manner: ``nothing`` never delivers it, ``twice`` does so twice, ``last`` after others.
        """
        event = self._store.new(
            "event", now=now, type=kind, api_version="2026-10-28.endive",
            data={"object": shown(about)}, pending_webhooks=1, request=None,
        )  # fmt: skip
        due = now + self._late_after if manner == "last" else now
        deliveries = [
            {
                "id": f"{event['id']}-{endpoint['id']}-{at}", "event_id": event["id"],
                "endpoint": endpoint["id"], "url": endpoint["url"], "attempts": 0,
                "taken": False, "due_ms": milliseconds(due),
            }
            for endpoint in self._store.all("webhook_endpoint")
            if manner != "nothing" and {kind, "*"} & set(endpoint["enabled_events"])
            for at in range(2 if manner == "twice" else 1)
        ]  # fmt: skip
        self._store.put(event, deliveries=deliveries)


def signature(secret: str, seconds: int, body: bytes) -> str:
    """Sign a delivery: the time and the bytes, a dot between them."""
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed},v0={'0' * 64}"


class StripeDelivery(NamedTuple):
    delivery_id: str
    thing: Thing


class StripeAgenda:
    """The store as the courier works it off.

    Args:
        ripen: does what an object has waited for.
        retry_after: the waits between attempts at one delivery.
    """

    def __init__(
        self, store: StripeStore, ripen: Callable[[Thing], None], secret: str,
        retry_after: Sequence[timedelta],
    ) -> None:  # fmt: skip
        self._store, self._ripen, self._secret = store, ripen, secret
        self._retry_after = retry_after

    @property
    def on_due(self) -> Callable[[], None]:
        return self._store.on_due

    @on_due.setter
    def on_due(self, wake: Callable[[], None]) -> None:
        self._store.on_due = wake

    def settle_due(self, *, now: datetime) -> None:
        for thing in self._store.due(now_ms=milliseconds(now))[0]:
            self._ripen(thing)

    def due_deliveries(self, *, now: datetime) -> list[StripeDelivery]:
        _, due = self._store.due(now_ms=milliseconds(now))
        return [StripeDelivery(one["id"], one) for one in due]

    def next_due_at(self, *, excluding: set[str]) -> datetime | None:
        due_ms = self._store.next_due_ms(excluding=excluding)
        return None if due_ms is None else datetime.fromtimestamp(due_ms / 1_000, UTC)

    def post(self, client: httpx.Client, delivery: StripeDelivery) -> bool:
        """Attempt one delivery, signed."""
        event = self._store.get("event", delivery.thing["event_id"])
        body = json.dumps(shown(event), ensure_ascii=False, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(self._secret, int(utc_now().timestamp()), body),
        }
        return client.post(delivery.thing["url"], content=body, headers=headers).is_success

    def book_attempt(self, delivery: StripeDelivery, *, taken: bool, now: datetime) -> None:
        thing = delivery.thing
        gone = self._store.find(thing["endpoint"]) is None
        waits = () if taken or gone else self._retry_after[thing["attempts"] :]
        due_ms = milliseconds(now + waits[0]) if waits else None
        tried = {"attempts": thing["attempts"] + 1, "taken": taken, "due_ms": due_ms}
        self._store.put(deliveries=[thing | tried])


def manner_of(thing: Thing) -> str:
    """Return how events of an object are delivered."""
    return str(far(thing, "manner") or "yes")
