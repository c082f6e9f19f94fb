"""The far side of chargebacks: what payers' banks took back of a gateway, and how that ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from payments.gateways.base import CallbackKind, DisputeReply, DisputeState

_LONGEST_MINUTES = 4_000


@dataclass
class FarDispute:
    """Money a payer's bank took back; until ``decided_at`` it is open."""

    ref: str
    order_no: str
    taking_ref: str
    amount_fen: int
    fee_fen: int
    opened_at: datetime
    decided_at: datetime
    state: DisputeState = DisputeState.OPEN


class Disputes:
    """A gateway's disputes. It tells of each when it begins and when it is decided."""

    def __init__(
        self, code: str, dice: Random, now: Callable[[], datetime],
        tell: Callable[[CallbackKind, str], None],
    ) -> None:  # fmt: skip
        self.code, self.dice, self.now, self.tell = code, dice, now, tell
        self.known: dict[str, FarDispute] = {}

    def begin(self, order_no: str, taking_ref: str, amount_fen: int) -> FarDispute:
        """Take money back from the gateway, and with it now and then the gateway's fee."""
        opened_at = self.now()
        longest = self.dice.choice((1, 300, _LONGEST_MINUTES))
        made = FarDispute(
            f"{self.code}-d{len(self.known) + 1}", order_no, taking_ref, amount_fen,
            self.dice.choice((0, 0, 1_500)), opened_at,
            opened_at + timedelta(minutes=self.dice.randint(1, longest)),
        )  # fmt: skip
        self.known[made.ref] = made
        self.tell(CallbackKind.DISPUTE, made.ref)
        return made

    def decide_due(self) -> list[str]:
        """Decide what is due by now."""
        told = []
        for one in self.known.values():
            if one.state is DisputeState.OPEN and one.decided_at <= self.now():
                won = self.dice.random() < 0.35
                one.state = DisputeState.WON if won else DisputeState.LOST
                one.decided_at = self.now()
                self.tell(CallbackKind.DISPUTE, one.ref)
                told.append(f"dispute {one.ref} of {one.order_no} is {one.state}")
        return told

    def waiting(self) -> list[datetime]:
        """Return when each open one will be decided."""
        return [one.decided_at for one in self.known.values() if one.state is DisputeState.OPEN]

    def told_of(self, ref: str) -> DisputeReply:
        """Say how a dispute stands; one that is won brings its fee back."""
        one = self.known.get(ref)
        if one is None:
            return DisputeReply(state=DisputeState.UNKNOWN)
        is_open = one.state is DisputeState.OPEN
        return DisputeReply(
            state=one.state, order_no=one.order_no, amount_fen=one.amount_fen,
            fee_fen=0 if one.state is DisputeState.WON else one.fee_fen, reason="fraudulent",
            opened_at=one.opened_at, decided_at=None if is_open else one.decided_at,
            evidence_due_at=one.opened_at + timedelta(days=7) if is_open else None,
        )  # fmt: skip

    def moved(self) -> list[tuple[str, str, str, int, datetime]]:
        """Return what was taken back and given again, as rows of settlement files."""
        return [
            ("chargeback", one.order_no, one.ref, fen, at)
            for one in self.known.values()
            for fen, at in ((-one.amount_fen, one.opened_at), (one.amount_fen, one.decided_at))
            if fen < 0 or one.state is DisputeState.WON
        ]

    def gone_fen(self, taking_ref: str) -> int:
        """Return what is taken back of a taking, or may be."""
        return sum(
            one.amount_fen for one in self.known.values()
            if one.taking_ref == taking_ref and one.state is not DisputeState.WON
        )  # fmt: skip

    def held_back_fen(self) -> int:
        """Return what the gateway does not hold any more for its disputes, fees included."""
        return sum(
            one.amount_fen + one.fee_fen for one in self.known.values()
            if one.state is not DisputeState.WON
        )  # fmt: skip
