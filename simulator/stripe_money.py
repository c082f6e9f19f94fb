"""Charges, refunds, disputes and payouts at the far side of Stripe: what moves its balance.

Source: docs/wire/stripe.md.
"""

from datetime import datetime, timedelta
from typing import Any

from simulator.stripe_events import Post, manner_of
from simulator.stripe_store import (
    StripeRefusal,
    StripeStore,
    Thing,
    far,
    milliseconds,
    with_far,
)

DISPUTE_FEE_FEN = 11_000
_EVIDENCE_FOR = timedelta(days=7)
_TYPES = {
    "charge": "charge", "refund": "refund", "refund_failure": "refund_failure",
    "dispute": "adjustment", "dispute_reversal": "adjustment", "payout": "payout",
}  # fmt: skip


def fee_of(amount_fen: int) -> int:
    """3.4 % of an amount, half up, and 2.35 yuan."""
    return (amount_fen * 34 + 500) // 1_000 + 235


class Money:
    def __init__(self, store: StripeStore, post: Post, late_after: timedelta) -> None:
        self._store, self._post, self._late_after = store, post, late_after

    def charge(self, intent: Thing, amount_fen: int, method: str, *, now: datetime) -> Thing:
        """Take an intent's money; returns the intent, put."""
        charge = self._store.new(
            "charge", now=now, amount=amount_fen, amount_refunded=0, currency="cny", paid=True,
            status="succeeded", payment_intent=intent["id"], metadata=intent["metadata"],
            disputed=False, refunded=False, payment_method_details={"type": method},
        )  # fmt: skip
        booked = self._book("charge", charge["id"], amount_fen, fee_of(amount_fen), now=now)
        charge["balance_transaction"] = booked["id"]
        intent = intent | {
            "status": "succeeded", "amount_received": amount_fen, "latest_charge": charge["id"],
            "last_payment_error": None,
        }  # fmt: skip
        self._store.put(booked, charge, intent)
        self._post.tell("charge.succeeded", charge, now=now, manner=manner_of(intent))
        self._post.tell("payment_intent.succeeded", intent, now=now, manner=manner_of(intent))
        return intent

    def refund(
        self, asked: dict[str, Any], *, fails: bool, comes_back: bool, now: datetime
    ) -> Thing:
        """Give money of an intent back: at once by card, after a while to a wallet.

        Args:
            fails: after a while, and the money is the shop's again.
            comes_back: it had succeeded before it failed.
        """
        intent, charge, amount_fen = self._refundable(asked)
        by_card = charge["payment_method_details"]["type"] == "card"
        at_once = comes_back or (by_card and not fails)
        due_ms = milliseconds(now + self._late_after) if fails or not at_once else None
        refund = self._store.new(
            "refund", now=now, amount=amount_fen, currency="cny", charge=charge["id"],
            payment_intent=intent["id"], metadata=asked.get("metadata", {}),
            reason=asked.get("reason"), status="succeeded" if at_once else "pending",
            failure_balance_transaction=None,
            far={"due_ms": due_ms, "fails": fails},
        )  # fmt: skip
        booked = self._book("refund", refund["id"], -amount_fen, 0, now=now)
        refund["balance_transaction"] = booked["id"]
        refunded_fen = charge["amount_refunded"] + amount_fen
        charge = charge | {
            "amount_refunded": refunded_fen, "refunded": refunded_fen == charge["amount"],
        }  # fmt: skip
        self._store.put(booked, charge, refund)
        self._post.tell("refund.created", refund, now=now)
        self._post.tell("charge.refunded", charge, now=now)
        return refund

    def _refundable(self, asked: dict[str, Any]) -> tuple[Thing, Thing, int]:
        """Return an intent, its charge, and what of it is asked back. Raises StripeRefusal."""
        intent = self._store.get("payment_intent", str(asked.get("payment_intent")))
        if intent["status"] != "succeeded":
            raise StripeRefusal(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                kept=True, param="payment_intent",
            )  # fmt: skip
        charge = self._store.get("charge", intent["latest_charge"])
        left_fen = charge["amount"] - charge["amount_refunded"]
        amount_fen = asked.get("amount", left_fen)
        if left_fen == 0:
            raise StripeRefusal(
                f"Charge {charge['id']} has already been refunded.",
                code="charge_already_refunded", kept=True,
            )  # fmt: skip
        if self._is_charged_back(charge["id"]):
            raise StripeRefusal(
                f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                code="charge_disputed", kept=True,
            )  # fmt: skip
        if not 0 < amount_fen <= left_fen:
            raise StripeRefusal(
                f"Refund amount ({amount_fen}) is greater than unrefunded amount on charge"
                f" ({left_fen})", kept=True, param="amount",
            )  # fmt: skip
        return intent, charge, amount_fen

    def _is_charged_back(self, charge_id: str) -> bool:
        """Tell whether a payer's bank has a charge's money; once a dispute is won it has not."""
        took = {"needs_response", "lost"}
        disputes = self._store.all("dispute")
        return any(one["charge"] == charge_id and one["status"] in took for one in disputes)

    def finish_refund(self, refund: Thing, *, now: datetime) -> None:
        """Send a pending refund, or fail one: the money is the shop's again."""
        if not far(refund, "fails"):
            refund = with_far(refund, due_ms=None) | {"status": "succeeded"}
            self._store.put(refund)
            self._post.tell("refund.updated", refund, now=now)
            return
        booked = self._book("refund_failure", refund["id"], refund["amount"], 0, now=now)
        refund = with_far(refund, due_ms=None) | {
            "status": "failed", "failure_reason": "expired_or_canceled_card",
            "failure_balance_transaction": booked["id"],
        }  # fmt: skip
        charge = self._store.get("charge", refund["charge"])
        left_fen = charge["amount_refunded"] - refund["amount"]
        self._store.put(booked, refund, charge | {"amount_refunded": left_fen, "refunded": False})
        self._post.tell("refund.failed", refund, now=now)

    def dispute(self, order_no: str, *, inquiry: bool, now: datetime) -> Thing:
        """Have the bank of an order's payer take the money back, or only ask."""
        charges = self._store.all("charge")
        charge = next((one for one in charges if one["metadata"].get("order_no") == order_no), None)
        if charge is None or charge["disputed"]:
            raise StripeRefusal("that order is not paid, or disputed already", status_code=409)
        dispute = self._store.new(
            "dispute", now=now, amount=charge["amount"], currency="cny", charge=charge["id"],
            payment_intent=charge["payment_intent"], reason="fraudulent",
            status="warning_needs_response" if inquiry else "needs_response",
            evidence_details={"due_by": int((now + _EVIDENCE_FOR).timestamp())},
            balance_transactions=[], metadata={},
        )  # fmt: skip
        if not inquiry:
            booked = self._book(
                "dispute", dispute["id"], -charge["amount"], DISPUTE_FEE_FEN, now=now
            )
            dispute["balance_transactions"] = [booked]
            self._store.put(booked, charge | {"disputed": True})
        self._store.put(dispute)
        self._post.tell("charge.dispute.created", dispute, now=now)
        if not inquiry:
            self._post.tell("charge.dispute.funds_withdrawn", dispute, now=now)
        return dispute

    def decide(self, dispute_id: str, *, won: bool, now: datetime) -> Thing:
        """End a dispute; won, the money comes back and the fee does not."""
        dispute = self._store.get("dispute", dispute_id)
        if dispute["status"] != "needs_response":
            raise StripeRefusal("that dispute is over, or takes no money", status_code=409)
        dispute = dispute | {"status": "won" if won else "lost"}
        if won:
            booked = self._book("dispute_reversal", dispute["id"], dispute["amount"], 0, now=now)
            moves = [*dispute["balance_transactions"], booked]
            dispute = dispute | {"balance_transactions": moves}
            self._store.put(booked)
        self._store.put(dispute)
        self._post.tell("charge.dispute.closed", dispute, now=now)
        if won:
            self._post.tell("charge.dispute.funds_reinstated", dispute, now=now)
        return dispute

    def pay_out(self, *, now: datetime) -> Thing:
        """Send the whole balance to the shop's bank."""
        moves = [one for one in self._store.all("balance_transaction") if not far(one, "payout")]
        moves = [one for one in moves if one["type"] != "payout"]
        amount_fen = sum(one["net"] for one in moves)
        payout = self._store.new(
            "payout", now=now, amount=amount_fen, currency="cny", status="paid", automatic=True,
            arrival_date=int(now.timestamp()), type="bank_account", method="standard",
        )  # fmt: skip
        booked = self._book("payout", payout["id"], -amount_fen, 0, now=now)
        payout["balance_transaction"] = booked["id"]
        marked = [with_far(one, payout=payout["id"]) for one in [*moves, booked]]
        self._store.put(payout, *marked)
        self._post.tell("payout.paid", payout, now=now)
        return payout

    def _book(
        self, category: str, source: str, amount_fen: int, fee_fen: int, *, now: datetime
    ) -> Thing:
        return self._store.new(
            "balance_transaction", now=now, amount=amount_fen, fee=fee_fen,
            net=amount_fen - fee_fen, currency="cny", type=_TYPES[category],
            reporting_category=category, source=source, status="available",
            available_on=int(now.timestamp()), exchange_rate=None,
        )  # fmt: skip
