"""What the far side of WeChat Pay remembers, and what it is asked for.

Source: docs/wire/wechatpay.md.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from core.clock import BILLING_ZONE
from simulator.far_books import FarDelivery
from simulator.wire import WebAddress

LATE_AFTER = timedelta(seconds=20)
_FEE_PER_1_000 = 6
_REASON_BYTES = 80
_NUMBER = r"^[0-9A-Za-z_\-|*]{6,32}$"


class WechatpayOptions(BaseModel):
    """How the far side is set up: the merchant it knows, and its own key.

    Args:
        hurry: how many times faster than really it comes again with a notification.
        refund_after: how long a refund is PROCESSING.
        refunds_apart: how long after a refund of an order it refuses another.
        bills_at_once: give the bill of a day that is not over, as the demo needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    appid: str
    mchid: str
    merchant_serial: str
    merchant_key: Path
    api_v3_key: str = Field(min_length=32, max_length=32)
    public_key_id: str
    key: Path
    hurry: int = Field(default=60, ge=1)
    late_after: timedelta = LATE_AFTER
    refund_after: timedelta = timedelta(milliseconds=200)
    refunds_apart: timedelta = timedelta(minutes=1)
    bills_at_once: bool = True


class Complaint(Exception):
    """A no, in their words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class TradeState(StrEnum):
    NOTPAY = "NOTPAY"
    SUCCESS = "SUCCESS"
    CLOSED = "CLOSED"


class RefundStatus(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ABNORMAL = "ABNORMAL"
    CLOSED = "CLOSED"


class Choice(StrEnum):
    """What the payer pressed; each is a way the real one has behaved."""

    YES = "yes"
    NO = "no"
    LATE = "late"
    NOTHING = "nothing"
    TWICE = "twice"


class Asking(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OrderAmount(Asking):
    total: int = Field(gt=0, lt=10**11)
    currency: Literal["CNY"] = "CNY"


class Payer(Asking):
    openid: str = Field(min_length=1, max_length=128)


class H5Info(Asking):
    type: str


class SceneInfo(Asking):
    payer_client_ip: str = Field(min_length=3, max_length=45)
    h5_info: H5Info


class OrderRequest(Asking):
    """``payer`` is of JSAPI alone, ``scene_info`` of H5."""

    appid: str
    mchid: str
    description: str = Field(min_length=1, max_length=127)
    out_trade_no: str = Field(pattern=_NUMBER)
    time_expire: AwareDatetime
    notify_url: WebAddress
    amount: OrderAmount
    payer: Payer | None = None
    scene_info: SceneInfo | None = None


class CloseRequest(Asking):
    mchid: str


class RefundAmount(Asking):
    refund: int = Field(gt=0)
    total: int = Field(gt=0)
    currency: Literal["CNY"]


class RefundRequest(Asking):
    out_trade_no: str
    out_refund_no: str = Field(pattern=r"^[0-9A-Za-z_\-|*@]{1,64}$")
    reason: str = ""
    notify_url: WebAddress | None = None
    amount: RefundAmount

    @field_validator("reason")
    @classmethod
    def _fits(cls, reason: str) -> str:
        if len(reason.encode()) > _REASON_BYTES:
            raise ValueError(f"reason 不可超过{_REASON_BYTES}个字节")
        return reason


class Order(BaseModel):
    """``late_until`` is set between the choice ``late`` and the moment it is paid."""

    model_config = ConfigDict(frozen=True)

    asked: OrderRequest
    trade_type: str
    prepay_id: str
    transaction_id: str
    state: TradeState = TradeState.NOTPAY
    opened_at: datetime
    choice: Choice | None = None
    late_until: datetime | None = None
    paid_at: datetime | None = None
    taken_fen: int = 0
    openid: str

    @property
    def number(self) -> str:
        return self.asked.out_trade_no

    @property
    def fee_fen(self) -> int:
        return fee_of(self.taken_fen)


class Refund(BaseModel):
    """``due_at`` is when it ends, as ``ends_as``; ``fee_fen`` is given back with it."""

    model_config = ConfigDict(frozen=True)

    asked: RefundRequest
    refund_id: str
    status: RefundStatus = RefundStatus.PROCESSING
    ends_as: RefundStatus
    asked_at: datetime
    due_at: datetime | None
    ended_at: datetime | None = None
    fee_fen: int

    @property
    def number(self) -> str:
        return self.asked.out_refund_no


class Trick(StrEnum):
    """A notification that must be refused."""

    PROBE = "probe"
    STALE = "stale"
    UNKNOWN_SERIAL = "unknown_serial"


class Delivery(FarDelivery):
    """``body`` never changes between attempts."""

    order_no: str
    event: str
    body: str
    trick: Trick | None = None

    @property
    def about(self) -> str:
        return self.order_no


class Fault(StrEnum):
    SILENT = "silent"
    ERROR = "error"
    LIMITED = "limited"
    OTHER_AMOUNT = "other_amount"
    PROBE = "probe"
    STALE = "stale"
    UNKNOWN_SERIAL = "unknown_serial"
    REFUND_ABNORMAL = "refund_abnormal"
    REFUND_CLOSED = "refund_closed"
    SHORT = "short"
    MISSED = "missed"


class FaultRequest(Asking):
    order_no: str = Field(min_length=1, max_length=64)
    fault: Fault = Field(strict=False)


class Faults:
    """Each fault happens once. A restart forgets those that have not happened."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: set[tuple[str, Fault]] = set()

    def set(self, asked: FaultRequest) -> None:
        with self._lock:
            self._waiting.add((asked.order_no, asked.fault))

    def take(self, number: str, *wanted: Fault) -> Fault | None:
        """Return the first of these faults that waits for a number; it is then over."""
        with self._lock:
            for fault in wanted:
                if (number, fault) in self._waiting:
                    self._waiting.discard((number, fault))
                    return fault
        return None


def fee_of(taken_fen: int) -> int:
    """Return 0.6 % of an amount, half up."""
    return (taken_fen * _FEE_PER_1_000 + 500) // 1_000


def beijing_text(moment: datetime) -> str:
    """Render a moment as ``2026-11-20T12:00:03+08:00``."""
    return moment.astimezone(BILLING_ZONE).isoformat(timespec="seconds")


_DESCRIBED = {
    "NOTPAY": "订单未支付",
    "SUCCESS": "支付成功",
    "CLOSED": "订单已关闭",
    "REFUND": "转入退款",
}


def order_facts(order: Order, *, went_back: bool = False) -> dict[str, object]:
    """Return an order as its query and its notification tell it."""
    state = "REFUND" if went_back and order.state is TradeState.SUCCESS else str(order.state)
    facts: dict[str, object] = {
        "appid": order.asked.appid,
        "mchid": order.asked.mchid,
        "out_trade_no": order.number,
        "trade_state": state,
        "trade_state_desc": _DESCRIBED[state],
        "amount": {"total": order.asked.amount.total, "currency": "CNY"},
    }
    if order.paid_at is None:
        return facts
    taken = {"total": order.taken_fen, "payer_total": order.taken_fen}
    return facts | {
        "transaction_id": order.transaction_id,
        "trade_type": order.trade_type,
        "bank_type": "OTHERS",
        "success_time": beijing_text(order.paid_at),
        "payer": {"openid": order.openid},
        "amount": {**taken, "currency": "CNY", "payer_currency": "CNY"},
    }


def refund_facts(refund: Refund, order: Order) -> dict[str, object]:
    """Return a refund as it is told of."""
    back_fen = refund.asked.amount.refund
    facts: dict[str, object] = {
        "refund_id": refund.refund_id,
        "out_refund_no": refund.number,
        "transaction_id": order.transaction_id,
        "out_trade_no": order.number,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": beijing_text(refund.asked_at),
        "status": str(refund.status),
        "amount": {
            "total": order.taken_fen, "refund": back_fen, "payer_total": order.taken_fen,
            "payer_refund": back_fen, "settlement_refund": back_fen, "currency": "CNY",
        },
    }  # fmt: skip
    if refund.status is RefundStatus.SUCCESS and refund.ended_at is not None:
        facts["success_time"] = beijing_text(refund.ended_at)
    return facts


def holds(refund: Refund) -> bool:
    """Tell whether a refund's amount is gone from its order."""
    return refund.status is not RefundStatus.CLOSED
