"""Paying: review what was ticked, confirm, and see what becomes of each bill."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict, Invalid
from core.settings import settings
from notifications.notices import receipt_sent_to
from payments import checkout
from payments.callbacks import notify_url
from payments.gateways import gateway_label, gateway_named
from payments.views import PublicStatus, view
from web.access import Db, Resident
from web.inputs import MAX_FEN, PLAIN, Csrf, Id, ShownAt, Text
from web.pages.page import check_form, go, page
from web.pages.review import CHANNEL, Ticked, review_page

router = APIRouter()
REFRESH_SECONDS = 3
# The first look at what was ticked names no gateway yet.
Chosen = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Total = Annotated[int, Form(ge=0, le=MAX_FEN)]


@router.post("/pay")
def review(
    request: Request, caller: Resident, csrf: Csrf, ticked: Ticked, gateway: Chosen
) -> Response:
    check_form(request, csrf)
    return review_page(request, caller, ticked, gateway=gateway)


@router.get("/pay")
def nothing_ticked(_caller: Resident) -> Response:
    return go("/")


@router.post("/payments")
def pay(
    request: Request,
    caller: Resident,
    csrf: Csrf,
    ticked: Ticked,
    idempotency_key: Text,
    gateway: Text,
    quoted_at: Annotated[ShownAt, Form()],
    total_fen: Total,
) -> Response:
    check_form(request, csrf)
    chosen = gateway_named(request.app.state.gateways, gateway)
    try:
        with transaction() as session:
            payment = checkout.create_payment(
                session,
                payer_id=caller.id,
                wanted=[one.wanted() for one in ticked.bills],
                gateway=gateway,
                return_url=f"{settings().public_url}/payments/{{payment}}",
                idempotency_key=idempotency_key,
                now=utc_now(),
                mode=chosen.capabilities.modes[0],
                channel=CHANNEL,
                quoted_at=quoted_at,
                shown_total_fen=total_fen,
            )
    except (Conflict, Invalid) as refused:
        return review_page(request, caller, ticked, gateway=gateway, refused=refused)
    payment = checkout.open_at_gateway(
        payment.id, chosen, notify_url=notify_url(settings().public_url, gateway)
    )
    return go(payment.pay_url or f"/payments/{payment.id}")


@router.get("/payments/{payment_id}")
def show_payment(request: Request, payment_id: Id, db: Db, caller: Resident) -> Response:
    payment = checkout.get_own_payment(db, payment_id, caller.id)
    label = gateway_label(request.app.state.gateways, payment.gateway)
    shown = view(db, payment, gateway_name=label, today=billing_date(utc_now()))
    moving = shown.public_status is PublicStatus.PROCESSING or not shown.settled
    return page(
        request,
        "payment.html",
        payment=shown,
        refresh_seconds=REFRESH_SECONDS if moving else None,
        receipt_to=receipt_sent_to(db, payment.id),
        for_staff=False,
    )
