"""What the far side of Stripe remembers: objects as its API shows them, keys, and webhooks to send.

Source: docs/wire/stripe.md.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from threading import RLock
from typing import Any

from simulator.journal import Journal

Thing = dict[str, Any]
KEYS_FOR_SECONDS = 24 * 3_600
_FAR = "_far"  # what only the far side knows of an object
_PREFIXES = {
    "checkout.session": "cs_test_", "payment_intent": "pi_", "charge": "ch_", "refund": "re_",
    "balance_transaction": "txn_", "dispute": "du_", "payout": "po_", "customer": "cus_",
    "payment_method": "pm_", "setup_intent": "seti_", "event": "evt_", "webhook_endpoint": "we_",
    "reporting.report_run": "frr_", "file": "file_",
}  # fmt: skip


class StripeRefusal(Exception):
    """An error object of Stripe's. ``kept``: the same key has the same answer again."""

    def __init__(
        self, message: str, *, status_code: int = 400, kind: str = "invalid_request_error",
        kept: bool = False, **facts: object,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status_code, self.kept = status_code, kept
        self.error = {"type": kind, "message": message, **facts}


class StripeStore:
    """Thread-safe under ``lock``; each change is one journal line of whole records."""

    def __init__(self, journal: Journal, *, on_due: Callable[[], None] = lambda: None) -> None:
        self._journal = journal
        self.on_due = on_due
        self.lock = RLock()
        self._things: dict[str, Thing] = {}
        self._ids_of: defaultdict[str, list[str]] = defaultdict(list)
        self._keys: dict[str, Thing] = {}
        self._deliveries: dict[str, Thing] = {}
        self._agenda: set[str] = set()  # ids of what has something to do at its ``due_ms``
        for change in journal.replay():
            self._keep(change)

    def new(self, kind: str, *, now: datetime, far: Thing | None = None, **facts: Any) -> Thing:
        """Make an object; it is nowhere until it is put."""
        thing = {
            "id": _PREFIXES[kind] + secrets.token_hex(12), "object": kind,
            "created": int(now.timestamp()), "livemode": False, **facts,
        }  # fmt: skip
        return thing | ({_FAR: far} if far else {})

    def put(self, *things: Thing, deliveries: Iterable[Thing] = ()) -> None:
        """Remember objects and deliveries as they now are."""
        self._change({"things": list(things), "deliveries": list(deliveries)})

    def find(self, thing_id: str) -> Thing | None:
        return self._things.get(thing_id)

    def get(self, kind: str, thing_id: str) -> Thing:
        """Return an object. Raises StripeRefusal."""
        thing = self._things.get(thing_id)
        if thing is None or thing["object"] != kind:
            raise StripeRefusal(
                f"No such {kind}: '{thing_id}'", status_code=404, code="resource_missing",
                param="id",
            )  # fmt: skip
        return thing

    def all(self, kind: str) -> Iterator[Thing]:
        """Yield the objects of a kind, newest first."""
        with self.lock:
            ids = list(reversed(self._ids_of[kind]))
        yield from (self._things[one] for one in ids if one in self._things)

    def drop(self, thing_id: str) -> None:
        self._change({"dropped": thing_id})

    def key(self, key: str, *, now: datetime) -> Thing | None:
        """Return what was answered under an idempotency key, as long as it is kept."""
        kept = self._keys.get(key)
        if kept is None or now.timestamp() - kept["at"] > KEYS_FOR_SECONDS:
            return None
        return kept

    def keep_key(self, key: str, fingerprint: str, status_code: int, body: str, *, at: int) -> None:
        kept = {"fingerprint": fingerprint, "status_code": status_code, "body": body, "at": at}
        self._change({"key": key, "kept": kept})

    def forget_keys(self) -> None:
        """Forget every idempotency key, as after a day."""
        self._change({"forgotten": True})

    def due(self, *, now_ms: int) -> tuple[list[Thing], list[Thing]]:
        """Return the objects and the deliveries that have something to do."""
        with self.lock:
            ids = list(self._agenda)
            things = [self._things[one] for one in ids if one in self._things]
            deliveries = [self._deliveries[one] for one in ids if one in self._deliveries]
        return (
            [one for one in things if one[_FAR]["due_ms"] <= now_ms],
            [one for one in deliveries if one["due_ms"] <= now_ms],
        )

    def next_due_ms(self, *, excluding: set[str]) -> int | None:
        with self.lock:
            ids = self._agenda - excluding
            dues = [self._things[one][_FAR]["due_ms"] for one in ids if one in self._things]
            dues += [self._deliveries[one]["due_ms"] for one in ids if one in self._deliveries]
        return min(dues, default=None)

    def deliveries_of(self, event_id: str) -> list[Thing]:
        return [one for one in self._deliveries.values() if one["event_id"] == event_id]

    def _change(self, change: Thing) -> None:
        with self.lock:
            self._journal.append(change)
            self._keep(change)
        self.on_due()

    def _keep(self, change: Thing) -> None:
        for thing in change.get("things", ()):
            if thing["id"] not in self._things:
                self._ids_of[thing["object"]].append(thing["id"])
            self._things[thing["id"]] = thing
            self._plan(thing["id"], far(thing, "due_ms"))
        for delivery in change.get("deliveries", ()):
            self._deliveries[delivery["id"]] = delivery
            self._plan(delivery["id"], delivery["due_ms"])
        if "key" in change:
            self._keys[change["key"]] = change["kept"]
        if "forgotten" in change:
            self._keys.clear()
        if "dropped" in change:
            self._things.pop(change["dropped"], None)

    def _plan(self, name: str, due_ms: int | None) -> None:
        (self._agenda.discard if due_ms is None else self._agenda.add)(name)


def far(thing: Thing, name: str) -> Any:
    """Return what only the far side knows of an object."""
    return thing.get(_FAR, {}).get(name)


def with_far(thing: Thing, **facts: object) -> Thing:
    """Return an object with some of that changed."""
    return thing | {_FAR: thing.get(_FAR, {}) | facts}


def shown(thing: Thing) -> Thing:
    """Return an object as it is told of."""
    return {name: value for name, value in thing.items() if name != _FAR}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
