"""Which bill a scanned barcode means, and whether the paper still says what the bill does."""

from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.bills import BillRef
from billing.documents.barcodes import BarcodeFields
from billing.models import Bill, BillVersion, UtilityAccount
from core.errors import NotFound
from core.keys import month_range
from providers.registry import PROVIDERS


class Found(NamedTuple):
    """``superseded``: a correction has since replaced what the paper says with another amount."""

    bill: Bill
    account: UtilityAccount
    superseded: bool

    @property
    def ref(self) -> BillRef:
        return self.bill.account_id, self.bill.id


def find_bill(session: Session, fields: BarcodeFields) -> Found:
    """Return the bill a barcode means, its account locked against other counters.

    Of several bills of one month it is the one that owes what the paper says, else the first that
    owes anything.

    Raises:
        NotFound: no bill of ours.
    """
    account = _lock_account(session, fields)
    first, after = month_range(fields.billing_month)
    bills = session.exec(
        select(Bill)
        .where(Bill.account_id == account.id, col(Bill.id) >= first, col(Bill.id) < after)
        .where(Bill.amount_fen > 0)
        .execution_options(populate_existing=True)
    ).all()
    if not bills:
        raise _nothing()
    printed_fen = fields.amount_fen
    best = min(bills, key=lambda one: (one.open_fen != printed_fen, one.open_fen <= 0, one.id))
    return Found(best, account, _is_superseded(session, best, printed_fen))


def _lock_account(session: Session, fields: BarcodeFields) -> UtilityAccount:
    companies = [one.code for one in PROVIDERS.values() if one.biller_no == fields.biller_no]
    # The barcode pads the number with zeros; the company's own may begin with some.
    names = {fields.account_no[at:] for at in range(13) if not fields.account_no[:at].strip("0")}
    accounts = session.exec(
        select(UtilityAccount).where(
            col(UtilityAccount.provider_code).in_(companies),
            col(UtilityAccount.account_no).in_(names),
        )
    ).all()
    if len(accounts) != 1:  # two that differ only in zeros: nobody can tell which is meant
        raise _nothing()
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('counter', :account))"),
        {"account": accounts[0].id},
    )
    return accounts[0]


def _nothing() -> NotFound:
    return NotFound(
        "there is no bill of this barcode: compare the digits under it", code="counter.no_bill"
    )


def _is_superseded(session: Session, bill: Bill, printed_fen: int | None) -> bool:
    if bill.version == 1 or printed_fen in {None, bill.open_fen, bill.amount_fen}:
        return False
    before = session.exec(
        select(BillVersion.amount_fen).where(
            BillVersion.account_id == bill.account_id, BillVersion.id == bill.id,
            BillVersion.version < bill.version,
        )
    )  # fmt: skip
    return printed_fen in set(before)
