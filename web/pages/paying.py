"""Paying: review what was ticked, confirm, and see what becomes of each bill."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from billing import bills
from billing.households import visible_accounts
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict, NotFound
from core.money import format_yuan
from core.settings import settings
from notifications.notices import receipt_sent_to
from payments import checkout
from payments.callbacks import notify_url
from payments.checkout import Wanted
from payments.gateways import gateway_label, gateway_named
from payments.views import PublicStatus, view
from web import look
from web.access import Caller, Db, Resident
from web.inputs import Csrf, Id, Text
from web.pages.page import check_form, go, locale_of, page

router = APIRouter()
Refs = Annotated[list[str], Form(max_length=checkout.MAX_BILLS)]
Amounts = Annotated[list[int], Form(max_length=checkout.MAX_BILLS)]
REFRESH_SECONDS = 3


@router.post("/pay")
def review(request: Request, caller: Resident, csrf: Csrf, bill: Refs | None = None) -> Response:
    check_form(request, csrf)
    return _review_page(request, caller, bill or [], changed=[])


@router.get("/pay")
def nothing_ticked(_caller: Resident) -> Response:
    return go("/")


def _review_page(
    request: Request, caller: Caller, refs: list[str], *, changed: list[str]
) -> Response:
    """Show the ticked bills as they are now; what can no longer be paid is left out and said."""
    locale, today = locale_of(request), billing_date(utc_now())
    shown, changed = [], list(changed)
    with transaction() as session:
        accounts = visible_accounts(session, caller.id, to_pay=True)
        for ref in dict.fromkeys(refs):
            bill = bills.get_bill(session, bills.parse_ref(ref), accounts, today=today)
            if bill.state.payable:
                shown.append(bill)
            elif not changed:
                changed.append(
                    look.say(
                        locale,
                        "The bill of %(company)s is paid or being paid, so it is left out.",
                        company=bill.account.provider_name,
                    )
                )
    if not shown and not changed:
        return go("/")
    gateways = list(request.app.state.gateways.values())
    return page(
        request,
        "pay.html",
        status_code=409 if changed else 200,
        bills=shown,
        total_fen=sum(bill.open_fen for bill in shown),
        gateways=gateways,
        idempotency_key=secrets.token_urlsafe(16),
        changed=changed,
    )


@router.post("/payments")
def pay(
    request: Request,
    caller: Resident,
    csrf: Csrf,
    idempotency_key: Text,
    gateway: Text,
    bill: Refs,
    amount_fen: Amounts,
) -> Response:
    check_form(request, csrf)
    chosen = gateway_named(request.app.state.gateways, gateway)
    if len(bill) != len(amount_fen):
        raise NotFound("there is no such bill")
    wanted = [Wanted(bills.parse_ref(ref), fen) for ref, fen in zip(bill, amount_fen, strict=True)]
    try:
        with transaction() as session:
            payment = checkout.create_payment(
                session,
                payer_id=caller.id,
                wanted=wanted,
                gateway=gateway,
                return_url=f"{settings().public_url}/payments/{{payment}}",
                idempotency_key=idempotency_key,
                now=utc_now(),
            )
    except Conflict as conflict:
        return _review_page(request, caller, bill, changed=[_explain(locale_of(request), conflict)])
    payment = checkout.open_at_gateway(
        payment.id, chosen, notify_url=notify_url(settings().public_url, gateway)
    )
    return go(payment.pay_url or f"/payments/{payment.id}")


def _explain(locale: str, conflict: Conflict) -> str:
    """Say to a resident why a payment could not be started."""
    if conflict.code == "bill.being_paid":
        return look.say(
            locale, "One of the bills is being paid already. It is left out until that is decided."
        )
    shown_fen, open_fen = conflict.facts.get("shown_fen"), conflict.facts.get("open_fen")
    if isinstance(shown_fen, int) and isinstance(open_fen, int):
        return look.say(
            locale,
            "A bill has changed since you saw it: it was %(before)s and is now %(after)s.",
            before=format_yuan(shown_fen),
            after=format_yuan(open_fen),
        )
    return look.say(locale, "Something changed in the meantime. Please look again.")


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
