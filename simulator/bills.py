"""A bill of each company, with what its file carries. Money in fen, usage in the meter's unit.

Source: docs/wire/bill-files.md.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class Edition(StrEnum):
    """Which of a month's bills are meant."""

    ISSUED = "issued"  # everybody's, version 1
    CORRECTED = "corrected"  # the rare ones the company mends: version 2, another amount
    CANCELLED = "cancelled"  # the rare ones it takes back: version 2
    REMINDED = "reminded"  # papers of their own for the few nobody paid: water and telecom only


EARLY_DAYS = 7  # how long a telecom bill's early amount holds


@dataclass(
    slots=True, kw_only=True
)  # not frozen: a million are made, and freezing doubles the cost
class Bill:
    """What every company's bill has; ``billing_month`` (账期) is the first day of the month.

    A reminder is a bill with an ``original_no``, whose amount is the fee for it.
    """

    account_no: str
    holder: str
    address: str
    billing_month: date
    bill_no: str
    version: int
    is_cancellation: bool
    from_on: date
    to_on: date
    issued_on: date
    due_on: date
    amount_fen: int
    original_no: str = ""


@dataclass(slots=True, kw_only=True)
class WaterBill(Bill):
    """The amount due is rounded to 0.1 yuan: it need not equal supply and drainage."""

    usage_m3: Decimal
    supply_fen: int
    drainage_fen: int


@dataclass(slots=True, kw_only=True)
class PowerBill(Bill):
    peak_kwh: int
    valley_kwh: int
    peak_fen: int
    valley_fen: int


@dataclass(slots=True, kw_only=True)
class GasBill(Bill):
    last_reading_m3: int
    this_reading_m3: int
    usage_m3: int


class TelecomItem(NamedTuple):
    code: str
    name: str
    amount_fen: int


@dataclass(slots=True, kw_only=True)
class TelecomBill(Bill):
    """The items add up to the amount, which is negative for a credit.

    ``early_fen`` settles the bill in the first ``EARLY_DAYS`` days; 0 where there is no such offer.
    ``instalments_fen`` are the parts it may be paid in; they add up to the amount.
    """

    items: tuple[TelecomItem, ...]
    early_fen: int = 0
    instalments_fen: tuple[int, ...] = ()
