"""Paying by API, and where gateways call."""

from datetime import date, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator

from billing import bills
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Invalid
from core.settings import settings
from payments import callbacks, checkout, reviews
from payments.gateways import gateway_named
from payments.quotes import Wanted
from payments.views import PublicStatus, view
from web.access import Anyone, Caller, Resident
from web.api.bills import OfferOut, offer_out
from web.inputs import PLAIN, Fen, Id, ShownAt

router = APIRouter(tags=["payments"])
_CALLBACK_BYTES = 64 << 10
CHANNEL = "api"


class WantedIn(BaseModel):
    """A bill to pay: which of its options, how much of it, and what the payer was shown."""

    bill_id: str
    option: str | None = Field(default=None, max_length=32, pattern=PLAIN)
    amount_fen: Fen | None = Field(default=None, description="left out: what the option asks for")
    shown_fen: Fen | None = Field(
        default=None, description="the open amount that was shown: another one is refused"
    )


class ChoiceIn(BaseModel):
    """Bills to pay: `bill_ids` for what each of them asks, or `items` to choose; one of the two."""

    bill_ids: list[str] | None = Field(default=None, min_length=1, max_length=checkout.MAX_BILLS)
    items: list[WantedIn] | None = Field(default=None, min_length=1, max_length=checkout.MAX_BILLS)
    amount_fen: Fen | None = Field(
        default=None,
        description="one sum for all bill_ids, of one company, divided in the order it declares",
    )
    gateway: str = Field(max_length=40)

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.bill_ids is None) == (self.items is None):
            raise ValueError("send bill_ids or items, exactly one of the two")
        if self.amount_fen is not None and self.bill_ids is None:
            raise ValueError("amount_fen goes with bill_ids; an item has an amount of its own")
        return self

    def wanted(self) -> list[Wanted]:
        """Return what is to be paid.

        Raises:
            NotFound: something that is no bill's name.
        """
        if self.items is None:
            return [Wanted(bills.parse_ref(ref), None) for ref in self.bill_ids or ()]
        return [
            Wanted(bills.parse_ref(one.bill_id), one.shown_fen, one.option, one.amount_fen)
            for one in self.items
        ]


class PaymentIn(ChoiceIn):
    return_url: str | None = Field(
        default=None,
        max_length=500,
        pattern=PLAIN,
        description="must be on this service's own address",
    )
    quoted_at: ShownAt | None = Field(
        default=None, description="of the quote that was shown: an old one is refused"
    )
    shown_total_fen: Fen | None = Field(
        default=None, description="the total that was shown: another one is refused"
    )


class ItemOut(BaseModel):
    bill_id: str
    amount_fen: int
    advance_fen: int
    adjust_fen: int
    outcome: str
    utility_ref: str | None
    reason: str | None


class ReceiptOut(BaseModel):
    """Money that came for a payment and is on no bill: it goes back by itself."""

    amount_fen: int
    reason: str
    received_at: datetime
    returned_at: datetime | None


class PaymentOut(BaseModel):
    id: str
    status: PublicStatus
    amount_fen: int
    fee_fen: int
    fee_tax_fen: int
    gateway: str
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    pay_url: str | None
    items: list[ItemOut]
    receipts: list[ReceiptOut]


class QuotedOut(BaseModel):
    """One bill of a quote: what was chosen, and what else there is to choose."""

    bill_id: str
    option: str | None
    amount_fen: int
    advance_fen: int
    adjust_fen: int
    offers: list[OfferOut]


class QuoteOut(BaseModel):
    """What a payment would ask for. `amount_fen` is everything: the bills, the fee and its tax."""

    amount_fen: int
    fee_fen: int
    fee_tax_fen: int
    counts_on: date
    quoted_at: datetime
    valid_until: datetime
    items: list[QuotedOut]


@router.post("/quotes")
def quote(request: Request, body: ChoiceIn, caller: Resident) -> QuoteOut:
    """Say what a payment would ask for at this moment; nothing is held and nothing promised.

    Send `quoted_at` and `amount_fen` (as `shown_total_fen`) with the payment, and it is refused
    when it comes too late or would take another amount.
    """
    gateway, now = gateway_named(request.app.state.gateways, body.gateway), utc_now()
    with transaction() as session:
        quoted = reviews.quote_for(
            session, caller.id, body.wanted(), mode=gateway.capabilities.modes[0],
            channel=CHANNEL, now=now, sum_fen=body.amount_fen,
        )  # fmt: skip
    asked = quoted.quote
    return QuoteOut(
        amount_fen=asked.amount_fen,
        fee_fen=asked.fee_fen,
        fee_tax_fen=asked.fee_tax_fen,
        counts_on=asked.counts_on,
        quoted_at=now,
        valid_until=asked.valid_until,
        items=[
            QuotedOut(
                bill_id=bills.format_ref(ref),
                option=chosen.option_code,
                amount_fen=chosen.amount_fen,
                advance_fen=chosen.advance_fen,
                adjust_fen=chosen.adjust_fen,
                offers=[offer_out(offer) for offer in quoted.offers[ref]],
            )
            for ref, chosen in asked.chosen.items()
        ],
    )


@router.post("/payments", status_code=201)
def create(
    request: Request,
    body: PaymentIn,
    caller: Resident,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255)],
) -> PaymentOut:
    """Pay several bills, of any companies, with one payment; send the payer to `pay_url`.

    The same `Idempotency-Key` with the same body is the same payment for 24 hours; with another
    body it is refused.
    """
    gateway = gateway_named(request.app.state.gateways, body.gateway)
    own = f"{settings().public_url}/payments/{{payment}}"
    if body.return_url is not None and not body.return_url.startswith(f"{settings().public_url}/"):
        raise Invalid("return_url must be on this service's own address", code="return_url.foreign")
    with transaction() as session:
        payment = checkout.create_payment(
            session, payer_id=caller.id, wanted=body.wanted(), gateway=body.gateway,
            return_url=own if body.return_url is None else body.return_url,
            idempotency_key=idempotency_key, now=utc_now(),
            mode=gateway.capabilities.modes[0], channel=CHANNEL, sum_fen=body.amount_fen,
            quoted_at=body.quoted_at, shown_total_fen=body.shown_total_fen,
        )  # fmt: skip
    checkout.open_at_gateway(
        payment.id, gateway, notify_url=callbacks.notify_url(settings().public_url, gateway.code)
    )
    return _read(caller, payment.id)


@router.get("/payments/{payment_id}")
def read(payment_id: Id, caller: Resident) -> PaymentOut:
    """Return a payment with the outcome of each bill."""
    return _read(caller, payment_id)


def _read(caller: Caller, payment_id: int) -> PaymentOut:
    with transaction() as session:
        payment = checkout.get_own_payment(session, payment_id, caller.id)
        shown = view(session, payment, gateway_name="", today=billing_date(utc_now()))
    return PaymentOut(
        id=shown.ref,
        status=shown.public_status,
        amount_fen=shown.amount_fen,
        fee_fen=shown.fee_fen,
        fee_tax_fen=shown.fee_tax_fen,
        gateway=payment.gateway,
        created_at=shown.created_at,
        expires_at=payment.expires_at,
        paid_at=shown.paid_at,
        pay_url=shown.pay_url,
        items=[
            ItemOut(
                bill_id=item.bill.ref,
                amount_fen=item.amount_fen,
                advance_fen=item.advance_fen,
                adjust_fen=item.adjust_fen,
                outcome=item.outcome,
                utility_ref=item.utility_ref,
                reason=item.reason,
            )
            for item in shown.items
        ],
        receipts=[
            ReceiptOut(
                amount_fen=one.amount_fen, reason=one.reason, received_at=one.received_at,
                returned_at=one.returned_at,
            )
            for one in shown.receipts
        ],
    )  # fmt: skip


@router.post("/callbacks/{gateway}", dependencies=[Anyone])
async def callback(request: Request, gateway: str) -> Response:
    """Take in a gateway's callback: checked over its raw bytes, kept, acted upon afterwards."""
    known = gateway_named(request.app.state.gateways, gateway)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _CALLBACK_BYTES:
            raise Invalid("a callback of that size is not one", code="callback.too_large")

    def keep() -> None:
        with transaction() as session:
            callbacks.receive(session, known, request.headers, body, now=utc_now())

    await run_in_threadpool(keep)
    said = known.answer_callback(taken=True)
    return Response(said.body, said.status_code, media_type=said.content_type)
