"""What there is around a bill, asked for in one look: most bills have next to nothing of it."""

from typing import NamedTuple

from sqlmodel import Session

from billing.bills import BillRef
from core.db import HotStatement


class Traces(NamedTuple):
    """Whether there may be any; what it is, and whose, is asked of each room for itself."""

    papers: bool
    versions: bool
    reminders: bool
    reading: bool
    payment: bool
    autopay: bool


_FIND = HotStatement("""
    SELECT
      EXISTS (SELECT FROM bill_paper WHERE account_id = :account_id AND bill_id = :bill_id),
      EXISTS (SELECT FROM bill_version WHERE account_id = :account_id AND id = :bill_id),
      EXISTS (SELECT FROM bill_reminder WHERE account_id = :account_id AND bill_id = :bill_id),
      EXISTS (SELECT FROM bill_reading WHERE account_id = :account_id AND bill_id = :bill_id),
      EXISTS (SELECT FROM payment_item WHERE account_id = :account_id AND bill_id = :bill_id),
      EXISTS (SELECT FROM autopay_run WHERE account_id = :account_id AND bill_id = :bill_id)
""")


def find_traces(session: Session, ref: BillRef) -> Traces:
    """Return which of these things there are of a bill."""
    return Traces(*_FIND.rows(session, {"account_id": ref[0], "bill_id": ref[1]})[0])
