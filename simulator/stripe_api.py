"""Stripe's API as our far side answers it: keys, idempotency, lists, expansion, errors.

Source: docs/wire/stripe.md.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from simulator.journal import Journal
from simulator.stripe_events import Post
from simulator.stripe_forms import expanded, read_form
from simulator.stripe_money import Money
from simulator.stripe_orders import Orders, StripeChoice
from simulator.stripe_reports import Reports
from simulator.stripe_store import StripeRefusal, StripeStore, Thing, with_far


class StripeFault(StrEnum):
    """What goes wrong next with an order."""

    SILENT = "silent"  # does it, and hangs up in the middle of the answer
    ERROR = "error"  # does it, and answers 500, then and to the same key again
    OTHER_AMOUNT = "other_amount"  # takes one fen more
    REFUND_FAILS = "refund_fails"  # of the next refund: it is pending, and fails after a while
    REFUND_COMES_BACK = "refund_comes_back"  # of the next refund: it succeeds, and fails later
    LAST = "last"  # the event that it is paid comes after those of what followed


class Asked(NamedTuple):
    """A request: its method, its path below /v1/, its fields and its headers."""

    method: str
    path: str
    form: str
    authorization: str
    key: str | None
    page: str  # where hosted pages are


class Answer(NamedTuple):
    status_code: int
    body: bytes
    replayed: bool = False
    silent: bool = False


@dataclass
class Stripe:
    """The far side: its parts, and the faults that wait, by order number."""

    journal: Journal
    secret_key: str
    late_after: timedelta
    faults: dict[str, StripeFault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = StripeStore(self.journal)
        self.post = Post(self.store, self.late_after * 3)
        self.money = Money(self.store, self.post, self.late_after)
        self.orders = Orders(self.store, self.post, self.money, self.late_after)
        self.reports = Reports(self.store, self.late_after)
        self._busy_keys: set[str] = set()

    def take_fault(self, order_no: str, *wanted: StripeFault) -> StripeFault | None:
        """Return the fault that waits for an order if it is one of these; it is then over."""
        with self.store.lock:
            return self.faults.pop(order_no) if self.faults.get(order_no) in wanted else None

    def ripen(self, thing: Thing, *, now: datetime) -> None:
        """Do what an object has waited for."""
        with self.store.lock:
            match thing["object"]:
                case "checkout.session":
                    self.orders.ripen(thing, now=now)
                case "refund":
                    self.money.finish_refund(thing, now=now)
                case "reporting.report_run":
                    self.reports.make(thing, now=now)

    def choose(self, session_id: str, choice: StripeChoice, *, now: datetime) -> Thing:
        """Do what the payer pressed at the hosted page, or what a fault makes of it."""
        with self.store.lock:
            session = self.orders.session(session_id, now=now)
            order_no = str(session["client_reference_id"])
            if session["status"] == "open" and choice is not StripeChoice.NO:
                fault = self.take_fault(order_no, StripeFault.OTHER_AMOUNT, StripeFault.LAST)
                if fault is StripeFault.OTHER_AMOUNT:
                    self.store.put(with_far(session, other_fen=1))
                elif fault is StripeFault.LAST:
                    self.store.put(with_far(session, manner="last"))
            return self.orders.choose(session_id, choice, now=now)

    def answer(self, asked: Asked, *, now: datetime) -> Answer:
        """Answer a request as the API does."""
        try:
            self._check_key(asked.authorization)
            file = re.fullmatch("files/(file_[0-9a-z]+)/contents", asked.path)
            if file is not None:
                return Answer(200, self.reports.content(file[1]))
            if asked.method != "POST" or asked.key is None:
                return Answer(200, self._told(asked, now=now))
            return self._once(asked, asked.key, now=now)
        except StripeRefusal as no:
            return Answer(no.status_code, _error(no))

    def _check_key(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        if scheme == "Basic":
            given = base64.b64decode(given).decode().removesuffix(":")
        if not hmac.compare_digest(given.encode(), self.secret_key.encode()):
            raise StripeRefusal("Invalid API Key provided", status_code=401)

    def _once(self, asked: Asked, key: str, *, now: datetime) -> Answer:
        """Answer a request whose key was not used yet, or again what was answered then."""
        told = f"{asked.path}\n{asked.form}".encode()
        fingerprint = hashlib.sha256(told).hexdigest()
        with self.store.lock:
            kept = self.store.key(key, now=now)
            if kept is not None and kept["fingerprint"] != fingerprint:
                raise StripeRefusal(
                    "Keys for idempotent requests can only be used with the same parameters they"
                    " were first used with.", kind="idempotency_error",
                )  # fmt: skip
            if kept is not None:
                return Answer(kept["status_code"], kept["body"].encode(), replayed=True)
            if key in self._busy_keys:
                raise StripeRefusal(
                    "There is currently another in-progress request using this Idempotency-Key.",
                    status_code=409, kind="idempotency_error", code="idempotency_key_in_use",
                )  # fmt: skip
            self._busy_keys.add(key)
        try:
            answer = self._first(asked, now=now)
            self.store.keep_key(
                key, fingerprint, answer.status_code, answer.body.decode(), at=int(now.timestamp())
            )
            return answer
        finally:
            self._busy_keys.discard(key)

    def _first(self, asked: Asked, *, now: datetime) -> Answer:
        fault = None
        try:
            body, status_code = self._told(asked, now=now), 200
            fault = self.take_fault(
                _order_no(read_form(asked.form)), StripeFault.SILENT, StripeFault.ERROR
            )
        except StripeRefusal as no:
            if not no.kept:
                raise
            body, status_code = _error(no), no.status_code
        if fault is StripeFault.ERROR:
            switched = StripeRefusal("switched to fail", status_code=500, kind="api_error")
            body, status_code = _error(switched), 500
        return Answer(status_code, body, silent=fault is StripeFault.SILENT)

    def _told(self, asked: Asked, *, now: datetime) -> bytes:
        form = read_form(asked.form)
        expand = form.pop("expand", [])
        for method, pattern, fields, act in _ROUTES:
            match = re.fullmatch(pattern, asked.path)
            if match is None or method != asked.method:
                continue
            unknown = [name for name in form if name not in fields.split()]
            if "payment_method_types" in unknown:
                raise StripeRefusal(
                    "payment_method_types is no longer supported: use"
                    " allowed_payment_method_types",
                    code="payment_method_types_no_longer_supported",
                )  # fmt: skip
            if unknown:
                raise StripeRefusal(
                    f"Received unknown parameter: {unknown[0]}", code="parameter_unknown",
                    param=unknown[0],
                )  # fmt: skip
            with self.store.lock:
                thing = act(self, form, match.groups(), asked.page, now)
                return json.dumps(expanded(self.store, thing, expand)).encode()
        raise StripeRefusal(
            f"Unrecognized request URL ({asked.method}: /v1/{asked.path}).", status_code=404
        )


def _error(no: StripeRefusal) -> bytes:
    return json.dumps({"error": no.error}).encode()


def _order_no(form: dict[str, Any]) -> str:
    metadata = form.get("metadata", {})
    return str(metadata.get("order_no") or metadata.get("mandate_no") or "")


def _make_session(far: Stripe, form: Thing, _: Any, page: str, now: datetime) -> Thing:
    return far.orders.make_session(form, page=page, now=now)


def _debit(far: Stripe, form: Thing, _: Any, page: str, now: datetime) -> Thing:
    fault = far.take_fault(_order_no(form), StripeFault.OTHER_AMOUNT)
    return far.orders.debit(form, other_fen=1 if fault else 0, now=now)


def _refund(far: Stripe, form: Thing, _: Any, page: str, now: datetime) -> Thing:
    fault = far.take_fault(_order_no(form), StripeFault.REFUND_FAILS, StripeFault.REFUND_COMES_BACK)
    comes_back = fault is StripeFault.REFUND_COMES_BACK
    return far.money.refund(form, fails=fault is not None, comes_back=comes_back, now=now)


def _add_endpoint(far: Stripe, form: Thing, _: Any, page: str, now: datetime) -> Thing:
    endpoint = far.store.new(
        "webhook_endpoint", now=now, url=form["url"], enabled_events=form["enabled_events"]
    )
    far.store.put(endpoint)
    return endpoint


def _drop_endpoint(far: Stripe, form: Thing, ids: Any, page: str, now: datetime) -> Thing:
    endpoint = far.store.get("webhook_endpoint", ids[0])
    far.store.drop(endpoint["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def _one(kind: str) -> Callable[..., Thing]:
    return lambda far, form, ids, page, now: far.store.get(kind, ids[0])


def _list(kind: str, *same: str) -> Callable[..., Thing]:
    """Answer a list, newest first; ``same`` are fields an object must share with the question."""

    def answer(far: Stripe, form: Thing, _: Any, page: str, now: datetime) -> Thing:
        found = [one for one in far.store.all(kind) if _is_asked_for(one, form, same)]
        after = form.get("starting_after")
        if after is not None:
            ids = [one["id"] for one in found]
            found = found[ids.index(after) + 1 :] if after in ids else []
        limit = form.get("limit", 10)
        shown = [expanded(far.store, one, []) for one in found[:limit]]
        return {"object": "list", "data": shown, "has_more": len(found) > limit, "url": "/v1/list"}

    return answer


def _is_asked_for(thing: Thing, form: Thing, same: tuple[str, ...]) -> bool:
    created = form.get("created", {})
    at = thing["created"]
    if not created.get("gte", at) <= at < created.get("lt", at + 1):
        return False
    if "payout" in form and thing.get("_far", {}).get("payout") != form["payout"]:
        return False
    return all(thing.get(name) == form[name] for name in same if name in form)


_PAGED = "limit starting_after created"
_SESSION = (
    "mode client_reference_id metadata payment_intent_data setup_intent_data line_items currency"
    " allowed_payment_method_types payment_method_options adaptive_pricing success_url cancel_url"
    " expires_at customer customer_creation locale submit_type"
)
_DEBIT = (
    "amount currency customer payment_method allowed_payment_method_types off_session confirm"
    " description metadata"
)
_Act = Callable[..., Thing]
_ROUTES: list[tuple[str, str, str, _Act]] = [
    ("POST", "checkout/sessions", _SESSION, _make_session),
    ("GET", "checkout/sessions", _PAGED, _list("checkout.session")),
    ("GET", "checkout/sessions/([^/]+)", "",
     lambda far, form, ids, page, now: far.orders.session(ids[0], now=now)),
    ("POST", "checkout/sessions/([^/]+)/expire", "",
     lambda far, form, ids, page, now: far.orders.expire(ids[0], now=now)),
    ("POST", "payment_intents", _DEBIT, _debit),
    ("GET", "payment_intents", f"{_PAGED} customer", _list("payment_intent", "customer")),
    ("GET", "payment_intents/([^/]+)", "", _one("payment_intent")),
    ("POST", "payment_intents/([^/]+)/cancel", "",
     lambda far, form, ids, page, now: far.orders.cancel(ids[0], now=now)),
    ("POST", "refunds", "payment_intent amount reason metadata", _refund),
    ("GET", "refunds", f"{_PAGED} payment_intent charge",
     _list("refund", "payment_intent", "charge")),
    ("GET", "refunds/([^/]+)", "", _one("refund")),
    ("GET", "disputes/([^/]+)", "", _one("dispute")),
    ("GET", "setup_intents/([^/]+)", "", _one("setup_intent")),
    ("POST", "payment_methods/([^/]+)/detach", "",
     lambda far, form, ids, page, now: far.orders.detach(ids[0], now=now)),
    ("GET", "balance_transactions", f"{_PAGED} payout", _list("balance_transaction")),
    ("GET", "balance_transactions/([^/]+)", "", _one("balance_transaction")),
    ("GET", "payouts", _PAGED, _list("payout")),
    ("GET", "events/([^/]+)", "", _one("event")),
    ("GET", "reporting/report_types/([^/]+)", "",
     lambda far, form, ids, page, now: far.reports.kind(ids[0], now=now)),
    ("POST", "reporting/report_runs", "report_type parameters",
     lambda far, form, ids, page, now: far.reports.order(form, now=now)),
    ("GET", "reporting/report_runs", _PAGED, _list("reporting.report_run")),
    ("GET", "reporting/report_runs/([^/]+)", "", _one("reporting.report_run")),
    ("POST", "webhook_endpoints", "url enabled_events", _add_endpoint),
    ("GET", "webhook_endpoints", _PAGED, _list("webhook_endpoint")),
    ("DELETE", "webhook_endpoints/([^/]+)", "", _drop_endpoint),
]  # fmt: skip
