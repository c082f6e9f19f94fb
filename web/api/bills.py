"""A resident's bills."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel

from billing import bills
from billing.bills import ONLINE_MONTHS
from billing.households import visible_accounts
from billing.rules.payable import Offer
from billing.views import BillState, BillView
from core.clock import billing_date, utc_now
from payments.quotes import offers_shown
from providers.base import OptionKind
from web.access import Db, Resident
from web.pages.household import pdf_response

router = APIRouter(tags=["bills"])


class LineOut(BaseModel):
    name: str
    quantity: Decimal | None
    unit: str
    amount_fen: int


class OfferOut(BaseModel):
    """A way to pay a bill today: its amount, or what may be typed instead of it."""

    option: str | None
    kind: OptionKind | None
    name: str
    amount_fen: int
    until_on: date | None
    minimum_fen: int
    maximum_fen: int | None
    multiple_fen: int | None


class BillOut(BaseModel):
    id: str
    provider: str
    provider_name: str
    account_no_masked: str
    billing_month: date
    bill_no: str
    version: int
    period_from_on: date
    period_to_on: date
    issued_on: date
    due_on: date
    pay_by_on: date
    usage: Decimal | None
    usage_unit: str
    amount_fen: int
    adjusted_fen: int
    credited_fen: int
    paid_fen: int
    paid_late_fee_fen: int
    open_fen: int
    state: BillState
    items: list[LineOut]
    options: list[OfferOut]


class BillsOut(BaseModel):
    bills: list[BillOut]
    next_cursor: str | None


def offer_out(offer: Offer) -> OfferOut:
    """Return a way to pay as the API says it."""
    told = offer._asdict()
    return OfferOut(option=told.pop("code"), **told)


def bill_out(bill: BillView, offers: Sequence[Offer]) -> BillOut:
    """Return a bill as the API says it."""
    shared = {name for name in BillOut.model_fields if hasattr(bill, name)} - {"items"}
    return BillOut(
        id=bill.ref,
        provider=bill.account.provider_code,
        provider_name=bill.account.provider_name,
        account_no_masked=bill.account.account_no_masked,
        items=[LineOut(**item._asdict()) for item in bill.items],
        options=[offer_out(offer) for offer in offers],
        **{name: getattr(bill, name) for name in shared},
    )


@router.get("/bills")
def list_bills(
    db: Db,
    caller: Resident,
    status: BillState | None = None,
    provider: str | None = None,
    cursor: str | None = None,
    limit: int = Query(default=50, ge=1, le=200),
) -> BillsOut:
    """List the caller's bills of the last two years, newest month first.

    `status` and `provider` filter a page after it was read, so a page may hold fewer than `limit`.
    """
    accounts = visible_accounts(db, caller.id)
    found = bills.list_bills(
        db, accounts, today=billing_date(utc_now()), months=ONLINE_MONTHS, limit=limit,
        after=bills.parse_ref(cursor) if cursor else None,
    )  # fmt: skip
    wanted = [
        bill
        for bill in found
        if status in (None, bill.state) and provider in (None, bill.account.provider_code)
    ]
    offers = offers_shown(db, wanted, now=utc_now())
    return BillsOut(
        bills=[bill_out(bill, offers[bill.ref]) for bill in wanted],
        next_cursor=found[-1].ref if len(found) == limit else None,
    )


@router.get("/bills/{ref}.pdf", response_class=Response)
def document(ref: str, db: Db, caller: Resident) -> Response:
    """Return one bill as PDF."""
    today, accounts = billing_date(utc_now()), visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    account = accounts[bill.account.account_id]
    history = bills.list_history(db, bill, account, today=today)
    return pdf_response(bill, history, offers_shown(db, [bill], now=utc_now())[bill.ref])


@router.get("/bills/{ref}")
def read(ref: str, db: Db, caller: Resident) -> BillOut:
    """Return one bill."""
    today, accounts = billing_date(utc_now()), visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    return bill_out(bill, offers_shown(db, [bill], now=utc_now())[bill.ref])
