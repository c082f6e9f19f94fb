"""Paying by API, and where gateways call."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from billing import bills
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Invalid
from core.settings import settings
from payments import callbacks, checkout
from payments.checkout import Wanted
from payments.gateways import gateway_named
from payments.views import PublicStatus, view
from web.access import Anyone, Caller, Resident
from web.inputs import PLAIN, Id

router = APIRouter(tags=["payments"])
_CALLBACK_BYTES = 64 << 10


class PaymentIn(BaseModel):
    bill_ids: list[str] = Field(min_length=1, max_length=checkout.MAX_BILLS)
    gateway: str = Field(max_length=40)
    return_url: str | None = Field(
        default=None,
        max_length=500,
        pattern=PLAIN,
        description="must be on this service's own address",
    )


class ItemOut(BaseModel):
    bill_id: str
    amount_fen: int
    outcome: str
    utility_ref: str | None
    reason: str | None


class PaymentOut(BaseModel):
    id: str
    status: PublicStatus
    amount_fen: int
    gateway: str
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    pay_url: str | None
    items: list[ItemOut]


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
    wanted = [Wanted(bills.parse_ref(ref), None) for ref in body.bill_ids]
    with transaction() as session:
        payment = checkout.create_payment(
            session, payer_id=caller.id, wanted=wanted, gateway=body.gateway,
            return_url=own if body.return_url is None else body.return_url,
            idempotency_key=idempotency_key, now=utc_now(),
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
        gateway=payment.gateway,
        created_at=shown.created_at,
        expires_at=payment.expires_at,
        paid_at=shown.paid_at,
        pay_url=shown.pay_url,
        items=[
            ItemOut(
                bill_id=item.bill.ref,
                amount_fen=item.amount_fen,
                outcome=item.outcome,
                utility_ref=item.utility_ref,
                reason=item.reason,
            )
            for item in shown.items
        ],
    )


@router.post("/callbacks/{gateway}", status_code=204, dependencies=[Anyone])
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
    return Response(status_code=204)
