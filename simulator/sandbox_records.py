"""What the sandbox gateway remembers: orders, refunds and notifications still to deliver.

Source: docs/wire/sandbox-gateway.md.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from simulator.far_books import FarDelivery
from simulator.wire import UtcMoment, WebAddress

_FEE_PER_10_000 = 38
NUMBER = r"^[0-9A-Za-z._:~-]{1,64}$"


class OrderStatus(StrEnum):
    OPEN = "open"
    PAID = "paid"
    DECLINED = "declined"
    CLOSED = "closed"


class Choice(StrEnum):
    """What the payer pressed; each is a way a real gateway has behaved."""

    YES = "yes"
    NO = "no"
    LATE = "late"
    NOTHING = "nothing"
    TWICE = "twice"


class OrderRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_no: str = Field(pattern=NUMBER)
    amount_fen: int = Field(gt=0, lt=10**12)
    subject: str = Field(min_length=1, max_length=256)
    notify_url: WebAddress
    return_url: WebAddress
    expires_at: UtcMoment


class DebitRequest(OrderRequest):
    """An order that is paid by a mandate, without its payer."""

    mandate_ref: str = Field(min_length=1, max_length=64)


class RefundRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    refund_no: str = Field(pattern=NUMBER)
    order_no: str
    amount_fen: int = Field(gt=0)


class Order(OrderRequest):
    """``late_until`` is set between the choice ``late`` and the moment it is paid.

    ``mandate_ref`` is of one that was debited; ``extra_fen`` is taken beside what was asked, by
    a fault; ``reason`` is why a debit was declined.
    """

    gateway_ref: str
    status: OrderStatus = OrderStatus.OPEN
    opened_at: datetime
    choice: Choice | None = None
    late_until: datetime | None = None
    paid_at: datetime | None = None
    mandate_ref: str | None = None
    extra_fen: int = 0
    reason: str | None = None

    @property
    def taken_fen(self) -> int:
        """Return what the payer is charged."""
        return self.amount_fen + self.extra_fen

    @property
    def fee_fen(self) -> int | None:
        """0.38 % of the amount, half up, known once paid."""
        if self.status is not OrderStatus.PAID:
            return None
        return (self.taken_fen * _FEE_PER_10_000 + 5_000) // 10_000


class Refund(RefundRequest):
    refund_ref: str
    refunded_at: datetime


class Delivery(FarDelivery):
    """``body`` never changes between attempts; ``order_no`` is of an order or a mandate."""

    order_no: str
    event: str
    body: str

    @property
    def about(self) -> str:
        return self.order_no
