"""Bills and accounts as plain rows, for pages that many people open.

Objects of the ORM cost as much again.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from billing.models import UtilityAccount


class BillRow(NamedTuple):
    """What pages show of a ``Bill``; the names are its columns, in the order of ``COLUMNS``."""

    account_id: int
    id: int
    bill_no: str
    version: int
    billing_month: date
    period_from_on: date
    period_to_on: date
    issued_on: date
    due_on: date
    usage: Decimal | None
    usage_unit: str
    items: list[Any] | None
    amount_fen: int
    adjusted_fen: int
    credited_fen: int
    paid_fen: int
    written_off_fen: int
    held_by: int | None
    cancelled_at: datetime | None
    paid_elsewhere_at: datetime | None

    @property
    def open_fen(self) -> int:
        """What it still owes, as ``Bill.open_fen``."""
        if self.cancelled_at is not None:
            return 0
        return self.amount_fen + self.adjusted_fen - self.paid_fen - self.credited_fen


COLUMNS = ", ".join(BillRow._fields)


class AccountRow(NamedTuple):
    """What pages show of a ``UtilityAccount``; the names are its columns."""

    id: int
    provider_code: str
    account_no: str
    holder_name: str
    address: str


def columns_of(table: str, row: type[BillRow | AccountRow]) -> str:
    """Return a row's columns as a larger statement reads them of a table it calls so."""
    return ", ".join(f"{table}.{name}" for name in row._fields)


AnyAccount = UtilityAccount | AccountRow
