"""Paying by API, and where gateways call."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator
from sqlmodel import Session

from billing import bills
from core.clock import utc_now
from core.db import looking, transaction
from core.errors import Invalid
from core.settings import settings
from payments import callbacks, checkout, opening, reviews, starting
from payments.attempts import Hand, gateways_down
from payments.gateways import gateway_named
from payments.gateways.base import Gateway, Scene
from payments.models import Payment
from payments.quotes import Wanted
from payments.routing import Way, read_way, where_paid
from payments.starting import Basket, start_payment
from payments.states import PENDING
from payments.views import PublicStatus, progress
from web.access import Anyone, Caller, Payer
from web.api.bills import OfferOut, offer_out
from web.api.refunds import RefundOut, refund_out
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
    gateway: str | None = Field(default=None, max_length=40, pattern=PLAIN)
    mode: str | None = Field(
        default=None,
        max_length=40,
        pattern=PLAIN,
        description="wallet, card, …: of `gateway`, or of whichever serves it best",
    )

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if self.gateway is None and self.mode is None:
            raise ValueError("send gateway, mode or both")
        return self

    def way(self, gateways: Mapping[str, Gateway]) -> Way:
        """Return how somebody wants to pay.

        Raises:
            NotFound: no such gateway, or none that takes money that way.
        """
        if self.gateway is None:
            return read_way(f"mode:{self.mode}", gateways)
        return read_way(f"{self.gateway}:{self.mode or ''}", gateways)

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
    scene: Scene = Field(default=Scene.DESKTOP, description="what the payer holds")
    payer_ref: str | None = Field(
        default=None, max_length=128, pattern=PLAIN,
        description="who pays, in the wallet's words (an openid): with scene in_app",
    )  # fmt: skip
    payer_ip: str | None = Field(
        default=None, max_length=64, pattern=PLAIN,
        description="the payer's own address: some gateways ask for it on a phone",
    )  # fmt: skip


class ItemOut(BaseModel):
    bill_id: str
    amount_fen: int
    advance_fen: int
    adjust_fen: int
    outcome: str
    utility_ref: str | None
    reason: str | None


class ReceiptOut(BaseModel):
    """Money that came for a payment and is on no bill: it goes back by itself.

    `came_back_of`: it had gone back under that number, a refund's as a rule, and came back to the
    payment service: staff ask its payer for an account.
    """

    amount_fen: int
    reason: str
    received_at: datetime
    returned_at: datetime | None
    by_bank: bool  # by transfer: its payer must name an account
    charged_back: bool  # their own bank has given it back already
    came_back_of: str | None


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
    pay_code: str | None  # to be shown as a QR code
    pay_fields: dict[str, str]  # for the wallet's script, or a form posted to pay_url
    items: list[ItemOut]
    receipts: list[ReceiptOut]
    refunds: list[RefundOut]


class GatewayOut(BaseModel):
    """What a gateway can do. `refund_days`: null: no end; `maximum_fen`: null: no limit."""

    gateway: str
    name: str
    name_en: str
    modes: list[str]
    channels: list[str]
    minimum_fen: int
    maximum_fen: int | None
    closes: bool
    refund_days: int | None
    partial_refunds: bool
    down: bool


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
def quote(request: Request, body: ChoiceIn, caller: Payer) -> QuoteOut:
    """Say what a payment would ask for at this moment; nothing is held and nothing promised.

    Send `quoted_at` and `amount_fen` (as `shown_total_fen`) with the payment, and it is refused
    when it comes too late or would take another amount.
    """
    way, now = body.way(request.app.state.gateways), utc_now()
    with transaction() as session:
        quoted = reviews.quote_for(
            session, caller.id, body.wanted(), mode=way.mode,
            channel=where_paid(way.mode, CHANNEL), now=now, sum_fen=body.amount_fen,
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


@router.post("/payments", status_code=201, response_model=PaymentOut)
def create(
    request: Request,
    body: PaymentIn,
    caller: Payer,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255)],
) -> Response:
    """Pay several bills, of any companies, with one payment; send the payer to `pay_url`.

    Where there is a `pay_code`, show it as a QR code instead. With `mode` and no `gateway`, another
    gateway takes over while the first cannot be reached and no money can have moved. The same
    `Idempotency-Key` with the same body is the same payment for 24 hours; with another body it is
    refused.
    """
    gateways = request.app.state.gateways
    own = f"{settings().public_url}/payments/{{payment}}"
    if body.return_url is not None and not body.return_url.startswith(f"{settings().public_url}/"):
        raise Invalid("return_url must be on this service's own address", code="return_url.foreign")
    payment = start_payment(
        gateways,
        body.way(gateways),
        Basket(body.wanted(), body.amount_fen, body.quoted_at, body.shown_total_fen),
        starting.Payer(caller.id, CHANNEL, Hand(body.scene, body.payer_ref, body.payer_ip)),
        return_url=own if body.return_url is None else body.return_url,
        notify_url_of=lambda code: callbacks.notify_url(settings().public_url, code),
        idempotency_key=idempotency_key,
        now=utc_now(),
    )
    with looking() as session:
        made = _out(session, payment)
    # Written here, in the thread that has it: the framework would check it again, in another.
    return Response(made.model_dump_json(), 201, media_type="application/json")


@router.post("/payments/{payment_id}/close")
def close(request: Request, payment_id: Id, caller: Payer) -> PaymentOut:
    """Give up a payment under way, so that its bills can be paid at once; the gateway decides.

    One that is paid after all, or has ended, stays what it is.
    """
    with transaction() as session:
        payment = checkout.get_own_payment(session, payment_id, caller.id)
    if payment.status in PENDING:
        gateway = gateway_named(request.app.state.gateways, payment.gateway)
        opening.call_off(payment_id, gateway, now=utc_now())
    return _read(caller, payment_id)


@router.get("/gateways")
def list_gateways(request: Request, _caller: Payer) -> list[GatewayOut]:
    """Return what each gateway can do, and whether it can be reached at the moment."""
    gateways = request.app.state.gateways
    with transaction() as session:
        down = gateways_down(session, gateways, now=utc_now())
    return [
        GatewayOut(
            gateway=code,
            name=one.name.zh,
            name_en=one.name.en,
            modes=list(one.capabilities.modes),
            channels=sorted(one.capabilities.channels),
            minimum_fen=one.capabilities.minimum_fen,
            maximum_fen=one.capabilities.maximum_fen,
            closes=one.capabilities.closes,
            refund_days=one.capabilities.refund_days,
            partial_refunds=one.capabilities.partial_refunds,
            down=code in down,
        )
        for code, one in sorted(gateways.items())
    ]


@router.get("/payments/{payment_id}")
def read(payment_id: Id, caller: Payer) -> PaymentOut:
    """Return a payment with the outcome of each bill."""
    return _read(caller, payment_id)


def _read(caller: Caller, payment_id: int) -> PaymentOut:
    with looking() as session:
        return _out(session, checkout.get_own_payment(session, payment_id, caller.id))


def _out(session: Session, payment: Payment) -> PaymentOut:
    shown = progress(session, payment)
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
        pay_code=shown.pay_code,
        pay_fields=dict(shown.pay_fields),
        items=[
            ItemOut(
                bill_id=item.bill_ref,
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
                returned_at=one.returned_at, by_bank=one.by_bank, charged_back=one.charged_back,
                came_back_of=one.came_back_of,
            )
            for one in shown.receipts
        ],
        refunds=[refund_out(one) for one in shown.refunds],
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

    await run_in_threadpool(callbacks.receive, known, request.headers, body, now=utc_now())
    said = known.answer_callback(taken=True)
    return Response(said.body, said.status_code, media_type=said.content_type)
