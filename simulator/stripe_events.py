"""Events of the far side of Stripe, and the thread that delivers them signed, again and again.

Source: docs/wire/stripe.md, "Webhooks".
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event, Lock, Thread

import httpx

from core.clock import utc_now
from simulator.stripe_store import StripeStore, Thing, far, milliseconds, shown

TIMEOUT_SECONDS = 5
_LANES = 4


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


class StripeCourier:
    """Works the store's agenda off: payments and refunds that take time, and deliveries.

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
        self._wake, self._stopping = Event(), False
        self._under_way: set[str] = set()
        self._lock = Lock()
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)
        self._lanes = ThreadPoolExecutor(_LANES, thread_name_prefix="stripe-webhook")
        self._thread = Thread(target=self._run, name="stripe-courier", daemon=True)
        store.on_due = self._wake.set

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the attempts under way and begin no others."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._lanes.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._stopping:
                return
            busy = self._busy()  # before the store is asked: see simulator/courier.py
            things, deliveries = self._store.due(now_ms=milliseconds(utc_now()))
            for thing in things:
                self._ripen(thing)
            for delivery in deliveries:
                if delivery["id"] not in busy:
                    with self._lock:
                        self._under_way.add(delivery["id"])
                    self._lanes.submit(self._attempt, delivery)
            due_ms = self._store.next_due_ms(excluding=self._busy())
            wait = None if due_ms is None else max(0, due_ms - milliseconds(utc_now())) / 1_000
            self._wake.wait(wait)

    def _busy(self) -> set[str]:
        with self._lock:
            return set(self._under_way)

    def _attempt(self, delivery: Thing) -> None:
        event = self._store.get("event", delivery["event_id"])
        body = json.dumps(shown(event), ensure_ascii=False, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(self._secret, int(utc_now().timestamp()), body),
        }
        try:
            taken = self._client.post(delivery["url"], content=body, headers=headers).is_success
        except (httpx.HTTPError, httpx.InvalidURL):
            taken = False
        gone = self._store.find(delivery["endpoint"]) is None
        waits = () if taken or gone else self._retry_after[delivery["attempts"] :]
        due_ms = milliseconds(utc_now() + waits[0]) if waits else None
        tried = {"attempts": delivery["attempts"] + 1, "taken": taken, "due_ms": due_ms}
        self._store.put(deliveries=[delivery | tried])
        with self._lock:
            self._under_way.discard(delivery["id"])
        self._wake.set()


def manner_of(thing: Thing) -> str:
    """Return how events of an object are delivered."""
    return str(far(thing, "manner") or "yes")
