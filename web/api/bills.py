"""A resident's bills."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel

from billing import bills
from billing.finding import Wanted, find_bills
from billing.homes.households import visible_accounts
from billing.rules.payable import Offer
from billing.views import BillState, BillView
from core.clock import billing_date, utc_now
from payments.quotes import offers_shown
from providers.base import OptionKind
from web.access import Db, Resident
from web.inputs import PLAIN
from web.pages.bill import pdf_response

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
    household: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    provider: Annotated[str | None, Query(max_length=100, pattern=PLAIN)] = None,
    cursor: str | None = None,
    limit: int = Query(default=50, ge=1, le=200),
) -> BillsOut:
    """List the caller's bills of the last two years, newest month first.

    `household` is one of the caller's own; of anybody else's there are no bills. `cursor` is the
    `next_cursor` of the page before, with the same filters.
    """
    accounts = visible_accounts(db, caller.id, household_id=household)
    found = find_bills(
        db, accounts, Wanted(states=frozenset({status} if status else ()), provider=provider),
        today=billing_date(utc_now()), after=bills.parse_ref(cursor) if cursor else None,
        limit=limit + 1,
    )  # fmt: skip
    shown = found[:limit]
    offers = offers_shown(db, shown, now=utc_now())
    return BillsOut(
        bills=[bill_out(bill, offers[bill.ref]) for bill in shown],
        next_cursor=shown[-1].ref if len(found) > limit else None,
    )


@router.get("/bills/{ref}.pdf", response_class=Response)
def document(ref: str, db: Db, caller: Resident) -> Response:
    """Return one bill as PDF."""
    today, accounts = billing_date(utc_now()), visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    history = bills.list_history(db, bill, accounts, today=today)
    return pdf_response(bill, history, offers_shown(db, [bill], now=utc_now())[bill.ref])


@router.get("/bills/{ref}")
def read(ref: str, db: Db, caller: Resident) -> BillOut:
    """Return one bill."""
    today, accounts = billing_date(utc_now()), visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    return bill_out(bill, offers_shown(db, [bill], now=utc_now())[bill.ref])
