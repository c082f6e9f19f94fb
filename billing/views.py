"""What a resident may see of a bill: plain values, masked by default, amounts in fen."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from providers.base import LineItem


class BillState(StrEnum):
    """What a bill is to the resident today; it follows from amounts, dates and payments."""

    OPEN = "open"
    DUE_SOON = "due_soon"  # seven days or fewer
    OVERDUE = "overdue"
    IN_PAYMENT = "in_payment"  # a payment of it is under way
    PAID = "paid"  # the money is here; the company has not confirmed yet
    CONFIRMED = "confirmed"  # written off at the company
    CREDIT = "credit"  # the company owes the resident
    NOTHING_DUE = "nothing_due"  # a bill of zero
    CANCELLED = "cancelled"

    @property
    def payable(self) -> bool:
        return self in {BillState.OPEN, BillState.DUE_SOON, BillState.OVERDUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """A utility account bound to a household."""

    account_id: int
    provider_code: str
    provider_name: str
    provider_name_en: str
    account_no_masked: str
    holder_masked: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillView:
    """One bill, as pages, the API and the PDF show it."""

    ref: str  # "<account id>.<bill id>", the public name of the bill
    account: AccountView
    account_no: str  # in full, for the PDF and the barcode of who may see it
    billing_month: date
    bill_no: str
    version: int
    period_from_on: date
    period_to_on: date
    issued_on: date
    due_on: date
    usage: Decimal | None
    usage_unit: str
    items: tuple[LineItem, ...]
    amount_fen: int
    open_fen: int
    state: BillState
    days_left: int  # until due; negative when overdue
