"""What the far side of Alipay remembers: trades, refunds and notifications still to deliver.

Source: docs/wire/alipay.md.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from core.clock import BILLING_ZONE
from core.errors import CityBillError
from simulator.far_books import FarDelivery

APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"
_FEE_PER_1_000 = 6


def beijing_text(moment: datetime) -> str:
    """Render a moment as ``2026-11-20 12:00:03``, Beijing's."""
    return moment.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M:%S")


class TradeStatus(StrEnum):
    ASKED = "ASKED"  # ours alone: no payer has come, so Alipay knows of no trade
    WAIT_BUYER_PAY = "WAIT_BUYER_PAY"
    TRADE_SUCCESS = "TRADE_SUCCESS"
    TRADE_CLOSED = "TRADE_CLOSED"


class Choice(StrEnum):
    """What the payer pressed."""

    YES = "yes"
    NO = "no"
    LATE = "late"
    NOTHING = "nothing"
    TWICE = "twice"
    ENTER = "enter"  # signs in, or scans, and does no more


class Fault(StrEnum):
    SILENT = "silent"
    ERROR = "error"
    BUSY = "busy"
    SYSTEM_ERROR = "system_error"
    OTHER_KEY = "other_key"
    OTHER_AMOUNT = "other_amount"
    NO_BALANCE = "no_balance"
    SLOW_REFUND = "slow_refund"
    MISSING = "missing"
    EXTRA = "extra"
    AMOUNT = "amount"
    TRAILER = "trailer"
    FEE_SIGN = "fee_sign"
    NOT_YET = "not_yet"
    NO_DATA = "no_data"


ANSWER_FAULTS = (Fault.SILENT, Fault.ERROR, Fault.BUSY, Fault.SYSTEM_ERROR, Fault.OTHER_KEY)
FILE_FAULTS = (Fault.MISSING, Fault.EXTRA, Fault.AMOUNT, Fault.TRAILER, Fault.FEE_SIGN)
BILL = "bill"  # what a fault of the next bill is set for


class FaultRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_no: str = Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")
    fault: Fault = Field(strict=False)


class Failure(CityBillError):
    """What Alipay says no with."""

    def __init__(self, sub_code: str, code: str = "40004") -> None:
        super().__init__(sub_code)
        self.sub_code = sub_code
        self.gateway_code = code


class Trade(BaseModel):
    """``token`` is in the address of its page; ``trade_no`` comes with the payer.

    ``late_until`` is set between the choice ``late`` and the moment it is paid.
    """

    model_config = ConfigDict(frozen=True)

    out_trade_no: str
    total_fen: int
    subject: str
    product: str
    notify_url: str = ""
    return_url: str = ""
    expires_at: datetime | None = None
    token: str
    opened_at: datetime
    extra_fen: int = 0
    status: TradeStatus = TradeStatus.ASKED
    trade_no: str | None = None
    created_at: datetime | None = None
    choice: Choice | None = None
    late_until: datetime | None = None
    paid_at: datetime | None = None

    @property
    def taken_fen(self) -> int:
        """Return what the payer is charged."""
        return self.total_fen + self.extra_fen

    @property
    def fee_fen(self) -> int:
        """0.6 % of the amount, half up."""
        return (self.taken_fen * _FEE_PER_1_000 + 500) // 1_000

    @property
    def waits(self) -> bool:
        """Tell whether the payer may still choose."""
        asked = self.status in (TradeStatus.ASKED, TradeStatus.WAIT_BUYER_PAY)
        return asked and self.late_until is None


class Refund(BaseModel):
    """Money that went back; ``due_at`` is set until it has."""

    model_config = ConfigDict(frozen=True)

    out_request_no: str
    out_trade_no: str
    amount_fen: int
    refunded_at: datetime
    due_at: datetime | None = None


class Delivery(FarDelivery):
    """``delivery_id`` is the notify_id.

    ``told`` is without the moment of sending and the signature, which each attempt has of its own.
    """

    out_trade_no: str
    told: Mapping[str, str]

    @property
    def about(self) -> str:
        return self.out_trade_no
