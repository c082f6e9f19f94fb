"""What every payment gateway promises. A gateway speaks to its far side; it knows no database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import BinaryIO, NamedTuple, Protocol


class GatewayStatus(StrEnum):
    """What a gateway says of an order, in our words."""

    OPEN = "open"  # it waits for the payer
    PAID = "paid"
    REFUSED = "refused"
    CLOSED = "closed"  # it will never be paid
    NOT_FOUND = "not_found"  # it has never heard of the order
    UNKNOWN = "unknown"  # a timeout, a new code, garbage: the money may have moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a gateway is asked to collect. ``order_no`` is its idempotency key there."""

    order_no: str
    amount_fen: int
    subject: str
    notify_url: str
    return_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReply:
    status: GatewayStatus
    gateway_ref: str | None = None
    amount_fen: int | None = None  # what the gateway took, when it is PAID
    paid_at: datetime | None = None
    pay_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReply:
    succeeded: bool | None  # None: not known, ask again
    refund_ref: str | None = None
    refunded_at: datetime | None = None  # as its settlement file will say


class Callback(NamedTuple):
    """A callback whose signature is right. ``external_id`` is the same however often it comes."""

    external_id: str
    order_no: str


class SettlementRecord(NamedTuple):
    """One row of a gateway's settlement file; a refund's amount is negative."""

    line_no: int
    kind: str  # "payment" or "refund"
    reference: str  # our order_no, or our refund_no
    gateway_ref: str
    amount_fen: int
    fee_fen: int
    happened_at: datetime


class Gateway(Protocol):
    code: str
    name: str
    description: str
    mode: str  # how it takes money, in the companies' words: wallet, card, cash, bank_debit

    def open_order(self, order: Order) -> GatewayReply:
        """Ask for money once; the same order again gets the same answer.

        Returns UNKNOWN after a timeout: query, never send under another number.

        Raises:
            UpstreamUnavailable: the request never left us; safe to retry.
        """
        ...

    def query(self, order_no: str) -> GatewayReply:
        """Ask what became of an order. Reads only, so safe at any time."""
        ...

    def close(self, order_no: str) -> GatewayReply:
        """Make an unpaid order unpayable: CLOSED, or PAID when the payer was faster."""
        ...

    def refund(self, *, refund_no: str, order_no: str, amount_fen: int) -> RefundReply:
        """Send money back; the same ``refund_no`` again sends nothing more."""
        ...

    def read_callback(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Callback:
        """Check a callback's signature and age over its raw bytes.

        Raises:
            NotAllowed: forged or stale.
            Invalid: not a callback of this gateway.
        """
        ...

    def hang_up(self) -> None:
        """Let go of open connections; the gateway is not used again."""
        ...

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        """Read one day's settlement file whole, its control totals checked before the first row.

        Raises:
            SettlementFileError: not this day's file, malformed, or its totals do not add up.
        """
        ...
