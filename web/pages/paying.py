"""Paying: review what was ticked, confirm, and see what becomes of each bill."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from markupsafe import Markup
from sqlmodel import Session

from billing.bills import parse_ref
from billing.homes.households import visible_accounts
from billing.homes.pay_grants import granted_accounts
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, UpstreamUnavailable
from core.settings import settings
from identity.models import Role
from notifications.notices import receipt_sent_to
from payments import checkout, opening
from payments.attempts import Hand
from payments.callbacks import notify_url
from payments.checkout import MAX_BILLS
from payments.gateways import gateway_named
from payments.models import Payment, get_payment
from payments.receipt_links import check_receipt
from payments.reviews import Asked
from payments.routing import read_way
from payments.scenes import scene_of
from payments.starting import Basket, Payer, start_payment
from payments.states import PENDING, UNOPENED
from payments.views import as_payer_sees, view
from web import access, look
from web.access import Caller, Db
from web.inputs import MAX_FEN, PLAIN, Csrf, Id, ShownAt, Text
from web.pages.page import check_form, go, home_of, locale_of, page
from web.pages.pay_codes import counter_digits, pay_code_svg, pay_origin
from web.pages.review import CHANNEL, Choice, Ticked, review_page
from web.pages.words.gateways import gateway_of

router = APIRouter()
REFRESH_SECONDS = 3
# The first look at what was ticked names no way to pay yet.
Chosen = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Total = Annotated[int, Form(ge=0, le=MAX_FEN)]


@router.post("/pay")
def review(
    request: Request, caller: access.Payer, csrf: Csrf, ticked: Ticked, gateway: Chosen
) -> Response:
    check_form(request, csrf)
    if _is_over(caller):
        return go("/pay?over=1")
    return review_page(request, caller, ticked, way=gateway)


@router.get("/pay/now")
def review_of_link(
    request: Request,
    caller: access.Resident,
    refs: Annotated[list[str], Query(alias="bill", max_length=MAX_BILLS)],
) -> Response:
    """Review the bills of a link: a television's, or a notice's. It takes nothing by itself."""
    asked = [Asked(parse_ref(ref)) for ref in dict.fromkeys(refs)]
    return review_page(request, caller, Choice(asked, {}), way="")


def _is_over(caller: Caller) -> bool:
    """Tell whether a guest's half hour is over: they are asked once more, not told of no bill."""
    if caller.role is not Role.GUEST:
        return False
    with transaction() as session:
        return not granted_accounts(session, caller.id, now=utc_now())


@router.post("/payments")
def pay(
    request: Request,
    caller: access.Payer,
    csrf: Csrf,
    ticked: Ticked,
    idempotency_key: Text,
    gateway: Text,
    quoted_at: Annotated[ShownAt, Form()],
    total_fen: Total,
) -> Response:
    check_form(request, csrf)
    if _is_over(caller):
        return go("/pay?over=1")
    gateways = request.app.state.gateways
    way = read_way(gateway, gateways)
    try:
        payment = start_payment(
            gateways,
            way,
            Basket(
                [one.wanted() for one in ticked.bills],
                quoted_at=quoted_at,
                shown_total_fen=total_fen,
            ),
            Payer(
                caller.id, CHANNEL,
                Hand(
                    scene_of(request.headers.get("user-agent", "")),
                    payer_ip=request.client.host if request.client else None,
                ),
            ),
            return_url=f"{settings().public_url}/payments/{{payment}}",
            notify_url_of=lambda code: notify_url(settings().public_url, code),
            idempotency_key=idempotency_key,
            now=utc_now(),
        )  # fmt: skip
    except (Conflict, Invalid) as refused:
        return review_page(request, caller, ticked, way=gateway, refused=refused)
    return go(_onward(request, payment))


def _onward(request: Request, payment: Payment) -> str:
    """Return where the payer goes to pay: the gateway's page, or ours that leads there.

    A form's answer may only lead to origins its page knew of; from a page of ours a link may lead
    anywhere.
    """
    if payment.pay_url is None or payment.pay_fields:
        return f"/payments/{payment.id}"
    known = pay_origin(payment.pay_url) in request.app.state.pay_origins
    return payment.pay_url if known else f"/payments/{payment.id}?onward=1"


@router.get("/payments/{payment_id}")
def show_payment(
    request: Request, payment_id: Id, db: Db, caller: access.Payer, onward: str = ""
) -> Response:
    payment = checkout.get_own_payment(db, payment_id, caller.id)
    return _payment_page(request, db, payment, caller, onward=onward == "1")


@router.post("/payments/{payment_id}", dependencies=[access.Anyone])
def come_back(payment_id: Id) -> Response:
    """Show a payment to whom its gateway sends back with a form, as UnionPay does.

    The form proves nothing, and a browser keeps our cookies from it; the page it then asks for
    itself gets them.
    """
    return go(f"/payments/{payment_id}")


@router.post("/payments/{payment_id}/close")
def call_off(request: Request, payment_id: Id, caller: access.Payer, csrf: Csrf) -> Response:
    """Give up a payment, so that its bills can be paid at once; the gateway decides."""
    check_form(request, csrf)
    with transaction() as session:
        payment = checkout.get_own_payment(session, payment_id, caller.id)
    try:
        if payment.status in PENDING:
            gateway = gateway_named(request.app.state.gateways, payment.gateway)
            payment = opening.call_off(payment_id, gateway, now=utc_now())
        refused: CityBillError | None = None
    except (Conflict, UpstreamUnavailable) as not_now:
        refused = not_now
    if payment.status in PENDING:
        with transaction() as session:
            said = _not_called_off(locale_of(request), refused)
            return _payment_page(request, session, payment, caller, problem=said)
    return go(f"/payments/{payment_id}")


def _not_called_off(locale: str, refused: CityBillError | None) -> str:
    code = refused.code if refused else ""
    return {
        "payment.not_closable": look.say(
            locale, "This way to pay cannot be given up: wait until its time is over."
        ),
        "payment.being_opened": look.say(
            locale, "The payment is just being started: try again in a minute."
        ),
    }.get(
        code,
        look.say(
            locale,
            "The payment service does not answer, so the payment stays as it is. Try again in a"
            " minute.",
        ),
    )


@router.get("/receipts/{payment_id}/{until}/{signature}", dependencies=[access.Anyone])
def show_receipt(request: Request, payment_id: Id, until: str, signature: str, db: Db) -> Response:
    """Show a payment by the link in a guest's receipt."""
    secret = settings().secret_key.get_secret_value()
    check_receipt(payment_id, until, signature, secret=secret, now=utc_now())
    return _payment_page(request, db, get_payment(db, payment_id), None)


def _payment_page(
    request: Request,
    session: Session,
    payment: Payment,
    caller: Caller | None,
    *,
    onward: bool = False,
    problem: str | None = None,
) -> Response:
    now, own = utc_now(), visible_accounts(session, caller.id) if caller else {}
    label = gateway_of(request)(payment.gateway)
    shown = as_payer_sees(
        view(session, payment, gateway_name=label, today=billing_date(now)), own
    )  # fmt: skip
    if shown.pay_fields and shown.pay_url:
        request.state.pay_origin = pay_origin(shown.pay_url)
    waits = payment.status in PENDING
    return page(
        request,
        "payment.html",
        status_code=409 if problem else 200,
        payment=shown,
        refresh_seconds=REFRESH_SECONDS if waits or not shown.settled else None,
        receipt_to=receipt_sent_to(session, payment.id),
        paying=Paying(
            expires_at=payment.expires_at,
            minutes_left=max(0, -((now - payment.expires_at) // timedelta(minutes=1))),
            code_svg=pay_code_svg(shown.pay_code) if shown.pay_code else None,
            counter_digits=counter_digits(shown.pay_code or ""),
            onward_url=shown.pay_url if onward and not shown.pay_fields else None,
            problem=problem,
            may_give_up=_may_give_up(request, payment),
            home=home_of(caller) if caller else "/pay",
            may_act=caller is not None,
            own_accounts=frozenset(own),
        ),
    )


def _may_give_up(request: Request, payment: Payment) -> bool:
    """Tell whether it is worth trying; of one nobody has opened yet, always."""
    gateway = request.app.state.gateways.get(payment.gateway)
    return payment.status in UNOPENED or (gateway is not None and gateway.capabilities.closes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """What a payer's page of a payment has besides the payment."""

    expires_at: datetime
    minutes_left: int
    code_svg: Markup | None
    counter_digits: str | None  # under the bars, where it is a code for counters
    onward_url: str | None  # where the page leads on by itself
    problem: str | None  # why it could not be given up
    may_give_up: bool
    home: str
    may_act: bool  # pay on, or give it up
    own_accounts: frozenset[int]  # of the bills that have a page for this payer
