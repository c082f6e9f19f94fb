"""The reports of the far side of Stripe: CSV of its balance, made on demand and in a while.

Source: docs/wire/stripe.md, "The day's report".
"""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from core.clock import billing_date, day_bounds
from core.money import yuan_text
from simulator.stripe_store import (
    StripeRefusal,
    StripeStore,
    Thing,
    far,
    milliseconds,
    with_far,
)

ACTIVITY = "balance_change_from_activity.itemized.3"
USUAL = (
    "balance_transaction_id", "created_utc", "created", "available_on_utc", "currency", "gross",
    "fee", "net", "reporting_category", "source_id", "description", "charge_id",
    "payment_intent_id", "automatic_payout_id",
)  # fmt: skip


class Reports:
    def __init__(self, store: StripeStore, late_after: timedelta) -> None:
        self._store, self._late_after = store, late_after

    def kind(self, name: str, *, now: datetime) -> Thing:
        """Tell of a kind of report; the demo has today's data until midnight to come."""
        if name != ACTIVITY:
            raise StripeRefusal(f"No such report type: {name}", status_code=404)
        return {
            "id": name, "object": "reporting.report_type", "data_available_start": 0,
            "data_available_end": self._known_until(now), "default_columns": list(USUAL),
        }  # fmt: skip

    def order(self, asked: dict[str, Any], *, now: datetime) -> Thing:
        """Order a report; it is made after a while."""
        span = asked.get("parameters", {})
        start, end = span.get("interval_start"), span.get("interval_end")
        if asked.get("report_type") != ACTIVITY or type(start) is not int or type(end) is not int:
            raise StripeRefusal("report_type, interval_start and interval_end are needed")
        if not start < end <= self._known_until(now):
            raise StripeRefusal("The data for this interval is not available yet.")
        run = self._store.new(
            "reporting.report_run", now=now, report_type=ACTIVITY, parameters=span,
            status="pending", result=None,
            far={"due_ms": milliseconds(now + self._late_after)},
        )  # fmt: skip
        self._store.put(run)
        return run

    def make(self, run: Thing, *, now: datetime) -> None:
        """Make the file of a report that was ordered."""
        span = run["parameters"]
        content = self.csv(span["interval_start"], span["interval_end"], span.get("columns", USUAL))
        file = self._store.new(
            "file", now=now, purpose="finance_report_run", size=len(content.encode()), type="csv",
            far={"content": content},
        )  # fmt: skip
        told = {name: file[name] for name in ("id", "object", "created", "size", "type", "purpose")}
        done = with_far(run, due_ms=None) | {"status": "succeeded", "result": told}
        self._store.put(file, done)

    def content(self, file_id: str) -> bytes:
        return str(far(self._store.get("file", file_id), "content")).encode()

    def csv(self, start: int, end: int, columns: Sequence[str]) -> str:
        """Write what moved the balance in an interval, payouts left out."""
        moves = [one for one in self._store.all("balance_transaction") if one["type"] != "payout"]
        moves = [one for one in reversed(moves) if start <= one["created"] < end]
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for move in moves:
            cells = self._cells(move)
            writer.writerow([cells.get(column, "") for column in columns])
        return text.getvalue()

    def _cells(self, move: Thing) -> dict[str, str]:
        source = self._store.find(move["source"]) or {}
        charge = source if source.get("object") == "charge" else self._store.find(
            source.get("charge", "")
        ) or {}  # fmt: skip
        created = datetime.fromtimestamp(move["created"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        refunded = source.get("metadata", {}) if source.get("object") == "refund" else {}
        cells = {
            "balance_transaction_id": move["id"], "created_utc": created, "created": created,
            "available_on_utc": created, "currency": move["currency"],
            "gross": yuan_text(move["amount"]), "fee": yuan_text(move["fee"]),
            "net": yuan_text(move["net"]), "reporting_category": move["reporting_category"],
            "source_id": move["source"], "charge_id": charge.get("id", ""),
            "payment_intent_id": charge.get("payment_intent", ""),
            "automatic_payout_id": far(move, "payout") or "",
        }  # fmt: skip
        cells |= {f"payment_metadata[{k}]": v for k, v in charge.get("metadata", {}).items()}
        return cells | {f"refund_metadata[{k}]": v for k, v in refunded.items()}

    @staticmethod
    def _known_until(now: datetime) -> int:
        return int(day_bounds(billing_date(now))[1].timestamp())
