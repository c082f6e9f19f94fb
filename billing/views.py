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
    COVERED = "covered"  # by credits; nobody had to pay
    CREDIT = "credit"  # the company owes the resident
    CREDIT_USED = "credit_used"  # and has given it back by covering other bills
    NOTHING_DUE = "nothing_due"  # a bill of zero
    CANCELLED = "cancelled"
    PAID_ELSEWHERE = "paid_elsewhere"  # the company has the money by another way

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
    due_on: date  # as the company printed it
    pay_by_on: date  # rolled over days off, by the company's terms
    usage: Decimal | None
    usage_unit: str
    items: tuple[LineItem, ...]
    amount_fen: int
    adjusted_fen: int  # late fees and surcharges less discounts and waivers
    credited_fen: int  # covered by credits
    paid_fen: int
    paid_late_fee_fen: int  # of it, what went to late fees, in the company's order (rule 9)
    open_fen: int  # what is to pay; below zero: what is left of a credit
    state: BillState
    days_left: int  # until it must be paid; negative when overdue
