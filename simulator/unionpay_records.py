"""What the far side of UnionPay remembers: orders, refunds and notifications still to deliver.

Source: docs/wire/unionpay.md.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from core.clock import BILLING_ZONE
from core.errors import CityBillError
from simulator.far_books import FarDelivery

MER_ID = "777290058100001"
_FEE_PER_1_000 = 6
_CUT_OFF_HOUR = 23
Fields = dict[str, str]


def stamp(moment: datetime) -> str:
    """Render a moment as ``20261120120003``, Beijing's."""
    return moment.astimezone(BILLING_ZONE).strftime("%Y%m%d%H%M%S")


def read_stamp(text: str) -> datetime:
    """Read a moment that ``stamp`` wrote. Raises ValueError."""
    if len(text) != 14 or not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    moment = datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007  its zone is known
    return moment.replace(tzinfo=BILLING_ZONE).astimezone(UTC)


def cleared_on(moment: datetime) -> date:
    """Return the day a moment is cleared on, which begins at 23:00 of the evening before."""
    local = moment.astimezone(BILLING_ZONE)
    return (local + timedelta(hours=24 - _CUT_OFF_HOUR)).date()


class Status(StrEnum):
    WAITS = "waits"
    PAID = "paid"
    DECLINED = "declined"
    OVER = "over"


class Choice(StrEnum):
    """What the payer pressed."""

    YES = "yes"
    NO = "no"
    LATE = "late"
    NOTHING = "nothing"
    TWICE = "twice"


class Fault(StrEnum):
    SILENT = "silent"
    ERROR = "error"
    BUSY = "busy"
    OTHER_KEY = "other_key"
    OTHER_AMOUNT = "other_amount"
    SLOW_REFUND = "slow_refund"
    MISSING = "missing"
    EXTRA = "extra"
    AMOUNT = "amount"
    TRAILER = "trailer"
    NOT_YET = "not_yet"


ANSWER_FAULTS = (Fault.SILENT, Fault.ERROR, Fault.BUSY, Fault.OTHER_KEY)
FILE_FAULTS = (Fault.MISSING, Fault.EXTRA, Fault.AMOUNT, Fault.TRAILER)
FILE = "file"  # what a fault of the next file is set for


class FaultRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_no: str = Field(pattern=r"^[0-9A-Za-z]{1,40}$")
    fault: Fault = Field(strict=False)


class Failure(CityBillError):
    """What UnionPay says no with."""

    def __init__(self, resp_code: str, words: str) -> None:
        super().__init__(words)
        self.resp_code = resp_code


class Order(BaseModel):
    """``token`` is in the address of its page; ``query_id`` comes when it is paid.

    ``late_until`` is set between the choice ``late`` and the moment it is paid.
    """

    model_config = ConfigDict(frozen=True)

    order_id: str
    txn_time: str
    amount_fen: int
    biz_type: str
    front_url: str = ""
    back_url: str = ""
    expires_at: datetime | None = None
    token: str
    opened_at: datetime
    extra_fen: int = 0
    status: Status = Status.WAITS
    choice: Choice | None = None
    late_until: datetime | None = None
    paid_at: datetime | None = None
    query_id: str = ""

    @property
    def taken_fen(self) -> int:
        """Return what the payer is charged."""
        return self.amount_fen + self.extra_fen

    @property
    def fee_fen(self) -> int:
        """0.6 % of the amount, half up."""
        return (self.taken_fen * _FEE_PER_1_000 + 500) // 1_000

    @property
    def waits(self) -> bool:
        """Tell whether the payer may still choose."""
        return self.status is Status.WAITS and self.late_until is None


class Refund(BaseModel):
    """Money that went back; ``due_at`` is set until it has."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    txn_time: str
    of_order_id: str
    amount_fen: int
    back_url: str = ""
    query_id: str
    refunded_at: datetime
    due_at: datetime | None = None


class Delivery(FarDelivery):
    """``order_id`` is of the order it is about, also where it tells of a refund."""

    order_id: str
    told: Mapping[str, str]

    @property
    def about(self) -> str:
        return self.order_id
