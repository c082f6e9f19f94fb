"""What every payment gateway promises. A gateway speaks to its far side; it knows no database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable


class Scene(StrEnum):
    """What the payer holds, which decides how they are shown the way to pay."""

    DESKTOP = "desktop"  # a page to go to, or a code to scan with the phone
    PHONE = "phone"  # a page to go to, which opens the wallet
    IN_APP = "in_app"  # the wallet's own browser: ``payer_ref`` says who
    SCREEN = "screen"  # a television or kiosk: a code to scan, nothing else


class GatewayStatus(StrEnum):
    """What a gateway says of an order, in our words."""

    OPEN = "open"  # it waits for the payer
    PAID = "paid"
    REFUSED = "refused"
    CLOSED = "closed"  # it will never be paid
    NOT_FOUND = "not_found"  # it has never heard of the order
    UNKNOWN = "unknown"  # a timeout, a new code, garbage: the money may have moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a gateway can do: checkout offers no more, routing chooses by it, refunds keep to it."""

    modes: tuple[str, ...]  # in the companies' words: wallet, card, cash, bank_debit; first: usual
    channels: frozenset[str]  # where a payer may be: billing.rules.terms.Channel
    minimum_fen: int = 1
    maximum_fen: int | None = None  # of one order
    refund_days: int | None = None  # how long after it was paid; None: no end; 0: never
    partial_refunds: bool = True
    max_refunds: int | None = None  # of one order
    refunds_apart: timedelta = timedelta()  # of one order, each from the next
    closes: bool = True  # an unpaid order can be made unpayable
    queries: bool = True
    only_failures: bool = False  # silence means success after ``silence_days`` (rule 34)
    silence_days: int = 0  # working days
    settlement_file: bool = True
    settlement_fetched: bool = True  # it is asked for; else whoever writes it brings it
    settlement_days: int = 1  # after a day its file is there,
    settlement_at: time = time(10)  # at this time in Shanghai
    cost_ppm: int = 0  # what it costs the city, of the amount
    cost_fen: int = 0  # and for each order


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a gateway is asked to collect. ``order_no`` is its idempotency key there."""

    order_no: str
    amount_fen: int
    subject: str
    notify_url: str
    return_url: str
    expires_at: datetime
    asked_at: datetime
    mode: str = ""  # one of the gateway's; empty: its usual
    channel: str = "web"  # billing.rules.terms.Channel
    scene: Scene = Scene.DESKTOP
    payer_ref: str | None = None  # who pays, in the gateway's words (an openid, a customer)
    payer_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An order a gateway was asked for before, as we know it."""

    order_no: str
    amount_fen: int
    asked_at: datetime
    mode: str = ""
    gateway_ref: str | None = None  # None: its answer never came


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReply:
    """``pay_url``, ``pay_code`` and ``pay_fields`` say how the payer pays: one of them is enough.

    ``pay_code`` is shown as a QR code or bar code; ``pay_fields`` is what a script on the payer's
    device hands on (JSAPI), or the fields of a form to post to ``pay_url``.
    """

    status: GatewayStatus
    gateway_ref: str | None = None
    amount_fen: int | None = None  # what the gateway took, when it is PAID
    paid_at: datetime | None = None
    pay_url: str | None = None
    pay_code: str | None = None
    pay_fields: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None  # of a REFUSED, in the gateway's words


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """Money to send back. ``refund_no`` is its idempotency key at the gateway."""

    refund_no: str
    amount_fen: int
    reason: str
    asked_at: datetime  # the same however often it is asked for
    paid: Asked  # the order it is of; its ``amount_fen`` is what was paid


class RefundState(StrEnum):
    """What a gateway says of a refund, in our words."""

    SENT = "sent"
    PENDING = "pending"  # it will send it, or say that it cannot
    REFUSED = "refused"  # for good: another way must be found
    NOT_FOUND = "not_found"  # it has never heard of it: ask for it again
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReply:
    state: RefundState
    refund_ref: str | None = None
    refunded_at: datetime | None = None  # as its settlement file will say
    reason: str | None = None  # of a REFUSED
    came_back_at: datetime | None = None  # of a REFUSED that had been sent; as its file will say


class CallbackKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    MANDATE = "mandate"


class Callback(NamedTuple):
    """A callback whose signature is right. ``external_id`` is the same however often it comes.

    ``reference`` is ours: an order_no, refund_no or mandate_no; of a dispute it is theirs.
    """

    external_id: str
    reference: str
    kind: CallbackKind = CallbackKind.PAYMENT


class CallbackAnswer(NamedTuple):
    """What a gateway must be answered, so that it stops calling, or calls again."""

    status_code: int = 204
    body: str = ""
    content_type: str = "text/plain"


class SettlementRecord(NamedTuple):
    """One row of a gateway's settlement file; a refund's or chargeback's amount is negative.

    Of a refund that came back there is a second row, with a positive amount.
    """

    line_no: int
    kind: str  # payment, refund; what else a file holds: chargeback, fee, payout, other
    reference: str  # our order_no, or our refund_no; "" where the file has none of ours
    gateway_ref: str
    amount_fen: int
    fee_fen: int
    happened_at: datetime
    payer: str = ""  # of whom, where the file says: a masked account, a bill no, a mandate


class FileState(StrEnum):
    """Whether a gateway has a day's settlement file; three answers, never taken for one another."""

    READY = "ready"
    NOT_YET = "not_yet"
    NO_DATA = "no_data"  # the day is over and nothing happened on it
    UNKNOWN = "unknown"


class SettlementFetch(NamedTuple):
    state: FileState
    file_name: str = ""
    content: bytes = b""


class Spoken(NamedTuple):
    """What people read of a gateway, in both languages."""

    zh: str
    en: str

    def said(self, locale: str) -> str:
        return self.en if locale == "en" else self.zh


class Gateway(Protocol):
    code: str
    name: Spoken
    description: Spoken
    capabilities: Capabilities

    def open_order(self, order: Order) -> GatewayReply:
        """Ask for money once; the same order again gets the same answer.

        Returns UNKNOWN after a timeout: query, never send under another number.

        Raises:
            UpstreamUnavailable: the request never left us; safe to retry, also elsewhere.
        """
        ...

    def query(self, asked: Asked) -> GatewayReply:
        """Ask what became of an order. Reads only, so safe at any time.

        Raises:
            UpstreamUnavailable: it could not be asked.
        """
        ...

    def close(self, asked: Asked) -> GatewayReply:
        """Make an unpaid order unpayable: CLOSED, or PAID when the payer was faster."""
        ...

    def refund(self, order: RefundOrder) -> RefundReply:
        """Send money back; the same ``refund_no`` again sends nothing more."""
        ...

    def query_refund(self, order: RefundOrder) -> RefundReply:
        """Ask what became of a refund. Reads only."""
        ...

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        """Check a callback's signature and age over its raw bytes; None: news we have no use for.

        Args:
            headers: by lower-case name.

        Raises:
            NotAllowed: forged or stale.
            Invalid: not a callback of this gateway.
        """
        ...

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        """Return what the gateway wants to hear when its callback was kept, or was not."""
        ...

    def fetch_settlement(self, day: date) -> SettlementFetch:
        """Fetch a Shanghai day's settlement file.

        Raises:
            UpstreamUnavailable: it could not be asked.
        """
        ...

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        """Read one day's settlement file whole, its control totals checked before the first row.

        Raises:
            SettlementFileError: not this day's file, malformed, or its totals do not add up.
        """
        ...

    def hang_up(self) -> None:
        """Let go of open connections; the gateway is not used again."""
        ...


class DisputeState(StrEnum):
    OPEN = "open"  # the money is gone; evidence may be sent until ``evidence_due_at``
    WON = "won"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeReply:
    """A payer's bank took the money back from the gateway, or says how that ended."""

    state: DisputeState
    order_no: str | None = None  # ours
    amount_fen: int | None = None
    fee_fen: int = 0
    reason: str | None = None
    opened_at: datetime | None = None
    evidence_due_at: datetime | None = None
    decided_at: datetime | None = None


@runtime_checkable
class Disputing(Protocol):
    """A gateway whose payers can take their money back through their bank."""

    def query_dispute(self, dispute_ref: str) -> DisputeReply:
        """Ask how a dispute stands. Reads only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateOrder:
    """A payer's leave to be debited. ``mandate_no`` is its idempotency key at the gateway."""

    mandate_no: str
    maximum_fen: int | None  # of one debit; None: the gateway knows no cap
    subject: str
    notify_url: str
    return_url: str
    asked_at: datetime
    payer_ref: str | None = None


class MandateState(StrEnum):
    OPEN = "open"  # the payer has not agreed yet
    ACTIVE = "active"
    ENDED = "ended"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateReply:
    state: MandateState
    mandate_ref: str | None = None
    sign_url: str | None = None
    reason: str | None = None


@runtime_checkable
class Debiting(Protocol):
    """A gateway that can debit a payer who agreed once and is not there."""

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        """Ask a payer's leave once; OPEN says at ``sign_url`` where they give it."""
        ...

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        """Ask how a mandate stands. Reads only."""
        ...

    def end_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        """End a mandate; ended again it stays ended."""
        ...

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        """Take money by a mandate; ``query`` and ``refund`` then know the order as any other.

        REFUSED carries ``reason``; a reason that starts with ``mandate_ended`` is for good.
        """
        ...
