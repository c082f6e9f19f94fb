"""Stripe over HTTP as our far side has it: the API, the hosted page, and the switches.

Source: docs/wire/stripe.md.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from core.clock import billing_date, day_bounds, utc_now
from core.errors import Conflict, Invalid, NotFound
from simulator.counter import CutShort
from simulator.courier import delivering
from simulator.journal import Journal
from simulator.pages import page
from simulator.stripe_api import Asked, Stripe, StripeFault
from simulator.stripe_events import StripeAgenda
from simulator.stripe_orders import StripeChoice
from simulator.stripe_reports import USUAL
from simulator.stripe_store import StripeRefusal, far, shown, with_far
from simulator.wire import Model, is_form, read_json

PAYING = (
    (StripeChoice.YES, "确认支付", "Pay now"),
    (StripeChoice.NO, "银行卡被拒", "The card is declined"),
    (StripeChoice.LATE, "延迟到账", "Pay late"),
    (StripeChoice.NOTHING, "付款但不通知", "Pay in silence"),
    (StripeChoice.TWICE, "付款并重复通知", "Pay, tell twice"),
)
SAVING = (
    (StripeChoice.YES, "同意以后扣款", "Agree to later debits"),
    (StripeChoice.ASKS, "同意，但每次都须本人验证", "Agree; the bank will ask each time"),
    (StripeChoice.SHORT, "同意，但卡内余额不足", "Agree; the card has no money"),
    (StripeChoice.LOST, "同意，随后挂失", "Agree; the card gets lost"),
    (StripeChoice.NO, "返回", "Go back"),
)


class _Pressed(BaseModel):
    choice: StripeChoice = Field(strict=False)


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order_no: str
    fault: StripeFault = Field(strict=False)


class _Dispute(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order_no: str
    inquiry: bool = False


class _Decision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    won: bool = False


@contextmanager
def running_stripe(
    data_dir: Path, secret: str, *, notify_url: str | None, late_after: timedelta,
    retry_after: tuple[timedelta, ...],
) -> Iterator[Stripe]:  # fmt: skip
    """Open the far side's memory and start its courier.

    Args:
        secret: what our key and the webhooks' secret are made of.
        notify_url: the webhook endpoint of a demo; None: whoever wants one adds it by the API.
    """
    journal = Journal(data_dir / "stripe.jsonl")
    stripe = Stripe(journal, secret_key=f"sk_test_{secret}", late_after=late_after)
    known = [one["url"] for one in stripe.store.all("webhook_endpoint")]
    if notify_url is not None and notify_url not in known:
        stripe.store.put(
            stripe.store.new(
                "webhook_endpoint", now=utc_now(), url=notify_url, enabled_events=["*"]
            )
        )
    agenda = StripeAgenda(
        stripe.store, lambda thing: stripe.ripen(thing, now=utc_now()), f"whsec_{secret}",
        retry_after,
    )  # fmt: skip
    try:
        with delivering("stripe", agenda, agenda.post):
            yield stripe
    finally:
        journal.close()


def _stripe(request: Request) -> Stripe:
    stripe: Stripe = request.app.state.stripe
    return stripe


router = APIRouter(prefix="/stripe")
Far = Annotated[Stripe, Depends(_stripe)]


def _pages_at(request: Request) -> str:
    base_url = request.app.state.options.public_url or str(request.base_url).rstrip("/")
    return f"{base_url}/stripe/pay"


@router.api_route("/v1/{path:path}", methods=["GET", "POST", "DELETE"])
async def api(path: str, stripe: Far, request: Request) -> Response:
    """Answer as Stripe's API."""
    body = (await request.body()).decode()
    headers = request.headers
    asked = Asked(
        request.method, path, body or request.url.query, headers.get("authorization", ""),
        headers.get("idempotency-key"), _pages_at(request),
    )  # fmt: skip
    answer = stripe.answer(asked, now=utc_now())
    if answer.silent:
        return CutShort()
    told = {"Request-Id": "req_simulated", "Stripe-Version": headers.get("stripe-version", "")}
    if answer.replayed:
        told["Idempotent-Replayed"] = "true"
    return Response(answer.body, answer.status_code, told, "application/json")


@router.get("/pay/{session_id}")
async def show_page(session_id: str, stripe: Far) -> Response:
    """Show the hosted page."""
    try:
        session = stripe.orders.session(session_id, now=utc_now())
    except StripeRefusal as no:
        raise NotFound(str(no)) from no
    declined = session["payment_intent"] is not None and session["status"] == "open"
    return page(
        "stripe_pay.html", session=shown(session), subject=far(session, "subject"),
        choices=SAVING if session["mode"] == "setup" else PAYING, declined=declined,
    )  # fmt: skip


@router.post("/pay/{session_id}")
async def choose(session_id: str, stripe: Far, request: Request) -> Response:
    """Do what the payer pressed; a declined card leaves them on the page."""
    if is_form(request):
        choice = str((await request.form()).get("choice"))
        if choice not in list(StripeChoice):
            raise Invalid("choice is one of: " + ", ".join(StripeChoice))
        pressed = StripeChoice(choice)
    else:
        pressed = read_json(_Pressed, await request.body()).choice
    try:
        session = stripe.choose(session_id, pressed, now=utc_now())
    except StripeRefusal as no:
        raise NotFound(str(no)) from no
    declined = pressed is StripeChoice.NO and session["mode"] == "payment"
    back = session["cancel_url" if pressed is StripeChoice.NO else "success_url"]
    return RedirectResponse(str(request.url) if declined else back, status_code=303)


async def _read(model: type[Model], request: Request) -> Model:
    """Read a switch, as JSON from a test or as a form from a page."""
    if not is_form(request):
        return read_json(model, await request.body())
    form = {name: {"true": True}.get(str(one), one) for name, one in (await request.form()).items()}
    return read_json(model, json.dumps(form).encode())


def _switched(request: Request, told: object) -> Response:
    """Send a person back to the page they pressed at, and tell a program what came of it."""
    if is_form(request):
        return RedirectResponse("/stripe", status_code=303)
    return JSONResponse(told)


@router.post("/faults")
async def set_fault(stripe: Far, request: Request) -> Response:
    """Have something go wrong next with an order."""
    asked = await _read(_Fault, request)
    stripe.faults[asked.order_no] = asked.fault
    return _switched(request, {})


@router.post("/disputes")
async def dispute(stripe: Far, request: Request) -> Response:
    """Have the payer of an order dispute it at their bank."""
    asked = await _read(_Dispute, request)
    try:
        with stripe.store.lock:
            made = stripe.money.dispute(asked.order_no, inquiry=asked.inquiry, now=utc_now())
    except StripeRefusal as no:
        raise Conflict(str(no)) from no
    return _switched(request, shown(made))


@router.post("/disputes/{dispute_id}")
async def decide(dispute_id: str, stripe: Far, request: Request) -> Response:
    """Have the bank decide a dispute."""
    asked = await _read(_Decision, request)
    try:
        with stripe.store.lock:
            made = stripe.money.decide(dispute_id, won=asked.won, now=utc_now())
    except StripeRefusal as no:
        raise Conflict(str(no)) from no
    return _switched(request, shown(made))


@router.post("/cards/{setup_intent_id}")
async def change_card(setup_intent_id: str, stripe: Far, request: Request) -> Response:
    """Have a saved card behave otherwise from now on: yes, asks, short or lost."""
    asked = await _read(_Pressed, request)
    try:
        with stripe.store.lock:
            intent = stripe.store.get("setup_intent", setup_intent_id)
            card = stripe.store.get("payment_method", intent["payment_method"])
            stripe.store.put(with_far(card, habit=asked.choice))
    except StripeRefusal as no:
        raise NotFound(str(no)) from no
    return _switched(request, {})


@router.post("/payouts")
async def pay_out(stripe: Far, request: Request) -> Response:
    """Send the balance to the shop's bank."""
    with stripe.store.lock:
        made = stripe.money.pay_out(now=utc_now())
    return _switched(request, shown(made))


@router.post("/forget")
async def forget(stripe: Far, request: Request) -> Response:
    """Forget the idempotency keys, as after a day."""
    stripe.store.forget_keys()
    return _switched(request, {})


@router.get("/downloads/{day_text}.csv")
async def download(day_text: str, stripe: Far) -> Response:
    """Give a day's report to a person, today's as far as it goes."""
    try:
        day = date.fromisoformat(day_text)
    except ValueError as wrong:
        raise Invalid("the day is yyyy-mm-dd") from wrong
    start, end = (int(moment.timestamp()) for moment in day_bounds(day))
    ours = ("payment_metadata[order_no]", "refund_metadata[refund_no]")
    content = stripe.reports.csv(start, end, [*USUAL, *ours])
    headers = {"Content-Disposition": f'attachment; filename="stripe-{day}.csv"'}
    return Response(content, headers=headers, media_type="text/csv; charset=utf-8")


@router.get("")
async def show_books(stripe: Far) -> Response:
    """Show the newest sessions and what was told."""
    sessions = [shown(one) for one in islice(stripe.store.all("checkout.session"), 50)]
    events = [
        (one, _moment(one), stripe.store.deliveries_of(one["id"]))
        for one in islice(stripe.store.all("event"), 50)
    ]
    return page(
        "stripe.html", sessions=sessions, events=events, today=billing_date(utc_now()),
        disputes=[shown(one) for one in stripe.store.all("dispute")], faults=list(StripeFault),
    )  # fmt: skip


def _moment(thing: dict[str, object]) -> datetime:
    return datetime.fromtimestamp(int(str(thing["created"])), UTC)
