"""What payers have agreed to at the sandbox gateway: mandates, and debits by them.

Source: docs/wire/sandbox-gateway.md, "Mandates".
"""

import json
import secrets
from datetime import datetime
from enum import StrEnum
from threading import RLock

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Conflict, NotFound
from simulator.journal import Journal
from simulator.sandbox_books import SandboxBooks
from simulator.sandbox_records import NUMBER, Choice, DebitRequest, Delivery, Order
from simulator.wire import WebAddress


class MandateStatus(StrEnum):
    OPEN = "open"
    ACTIVE = "active"
    REFUSED = "refused"
    ENDED = "ended"


class MandateChoice(StrEnum):
    """What the payer does about a mandate: the first two answer it, the others come afterwards."""

    AGREE = "agree"
    REFUSE = "refuse"
    PAYS = "pays"  # each debit at once
    SHORT = "short"  # there is not enough on the account
    LATE = "late"  # each debit some seconds after it was asked for
    END = "end"


class MandateRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    mandate_no: str = Field(pattern=NUMBER)
    maximum_fen: int | None = Field(default=None, gt=0, lt=10**12)
    subject: str = Field(min_length=1, max_length=256)
    notify_url: WebAddress
    return_url: WebAddress


class Mandate(MandateRequest):
    """``habit`` is how a debit goes: pays, short or late."""

    mandate_ref: str
    status: MandateStatus = MandateStatus.OPEN
    habit: MandateChoice = MandateChoice.PAYS
    opened_at: datetime


class MandateBooks:
    """The mandates. Thread-safe; each change is one journal line.

    Args:
        journal: read through once here, appended to afterwards.
        orders: the gateway's orders, which a debit becomes one of.
    """

    def __init__(self, journal: Journal, orders: SandboxBooks) -> None:
        self._journal, self._orders = journal, orders
        self._lock = RLock()
        self._mandates: dict[str, Mandate] = {}
        self._mandate_no_of: dict[str, str] = {}
        for change in journal.replay():
            self._keep(Mandate.model_validate(change["mandate"]))

    def sign(self, asked: MandateRequest, *, now: datetime) -> tuple[Mandate, bool]:
        """Take in a mandate for the payer to agree to, once; the flag tells whether it is new.

        Raises:
            Conflict: the number came before with another maximum.
        """
        with self._lock:
            known = self._mandates.get(asked.mandate_no)
            if known is not None:
                if known.maximum_fen != asked.maximum_fen:
                    raise Conflict("this mandate_no came otherwise", code="mandate.conflict")
                return known, False
            ref = f"sbm_{secrets.token_hex(12)}"
            mandate = Mandate(**dict(asked), mandate_ref=ref, opened_at=now.replace(microsecond=0))
            self._change(mandate)
            return mandate, True

    def get(self, mandate_no: str) -> Mandate:
        """Return a mandate. Raises NotFound."""
        mandate = self._mandates.get(mandate_no)
        if mandate is None:
            raise NotFound("no such mandate", code="mandate.unknown")
        return mandate

    def get_by_ref(self, mandate_ref: str) -> Mandate:
        """Return a mandate by the gateway's own reference. Raises NotFound."""
        return self.get(self._mandate_no_of.get(mandate_ref, ""))

    def end(self, mandate_no: str) -> Mandate:
        """End a mandate at the shop's wish; one that was refused stays so. Raises NotFound."""
        with self._lock:
            mandate = self.get(mandate_no)
            if mandate.status in {MandateStatus.OPEN, MandateStatus.ACTIVE}:
                mandate = mandate.model_copy(update={"status": MandateStatus.ENDED})
                self._change(mandate)
            return mandate

    def choose(self, mandate_ref: str, choice: MandateChoice, *, now: datetime) -> Mandate:
        """Do what the payer pressed; what does not fit the mandate's state changes nothing."""
        with self._lock:
            mandate = self.get_by_ref(mandate_ref)
            changes: dict[str, object] = {}
            if mandate.status is MandateStatus.OPEN and choice in _ANSWERS:
                changes = {"status": _ANSWERS[choice]}
            elif mandate.status is MandateStatus.ACTIVE and choice is MandateChoice.END:
                changes = {"status": MandateStatus.ENDED}
            elif mandate.status is MandateStatus.ACTIVE and choice in _HABITS:
                changes = {"habit": choice}
            if changes:
                mandate = mandate.model_copy(update=changes)
                self._change(mandate)
            if "status" in changes:
                self._orders.tell(_told(mandate, now=now))
            return mandate

    def debit(self, asked: DebitRequest, *, now: datetime) -> tuple[Order, bool]:
        """Debit the payer of a mandate, once; a declined order says why.

        Raises:
            NotFound: no such mandate.
            Conflict: the number came before with another amount.
        """
        with self._lock:
            mandate = self.get_by_ref(asked.mandate_ref)
            choice = Choice.LATE if mandate.habit is MandateChoice.LATE else Choice.YES
            refused = _refusal(mandate, asked.amount_fen)
            return self._orders.debit(asked, choice, refused=refused, now=now)

    def latest(self, limit: int) -> list[Mandate]:
        """Return the newest mandates."""
        with self._lock:
            return list(self._mandates.values())[: -limit - 1 : -1]

    def _change(self, mandate: Mandate) -> None:
        self._journal.append({"mandate": mandate.model_dump(mode="json")})
        self._keep(mandate)

    def _keep(self, mandate: Mandate) -> None:
        self._mandates[mandate.mandate_no] = mandate
        self._mandate_no_of[mandate.mandate_ref] = mandate.mandate_no


_ANSWERS = {
    MandateChoice.AGREE: MandateStatus.ACTIVE, MandateChoice.REFUSE: MandateStatus.REFUSED,
}  # fmt: skip
_HABITS = {MandateChoice.PAYS, MandateChoice.SHORT, MandateChoice.LATE}


def _refusal(mandate: Mandate, amount_fen: int) -> str | None:
    if mandate.status is not MandateStatus.ACTIVE:
        return "mandate_ended"
    if mandate.maximum_fen is not None and amount_fen > mandate.maximum_fen:
        return "over_maximum"
    return "short_of_funds" if mandate.habit is MandateChoice.SHORT else None


def _told(mandate: Mandate, *, now: datetime) -> Delivery:
    event_id = f"evt_{secrets.token_hex(12)}"
    told = {
        "event_id": event_id,
        "event": f"mandate.{mandate.status}",
        "mandate_no": mandate.mandate_no,
        "mandate_ref": mandate.mandate_ref,
    }
    return Delivery(
        delivery_id=event_id,
        order_no=mandate.mandate_no,
        event=f"mandate.{mandate.status}",
        url=mandate.notify_url,
        body=json.dumps(told, separators=(",", ":")),
        due_at=now,
    )
