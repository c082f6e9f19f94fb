"""The sandbox gateway over HTTP: its signed interface, and its hosted page.

Source: docs/wire/sandbox-gateway.md.
"""

import json
from datetime import date
from typing import Annotated

import httpx
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotFound
from simulator.counter import CutShort
from simulator.pages import page
from simulator.sandbox_books import SandboxBooks
from simulator.sandbox_faults import Fault, FaultRequest
from simulator.sandbox_mandates import MandateBooks
from simulator.sandbox_records import (
    Choice,
    Delivery,
    Order,
    OrderRequest,
    OrderStatus,
    Refund,
    RefundRequest,
)
from simulator.settlement import FileFault, settlement_file, settlement_rows, spoil
from simulator.signatures import check_signature, sandbox_signature
from simulator.wire import is_form, read_json, sent_path, utc_text

CHOICES = (
    (Choice.YES, "确认支付", "Pay now", "付款成功，立即通知商户", "Paid; the shop is told at once"),
    (
        Choice.NO,
        "拒绝支付",
        "Decline",
        "付款被拒，立即通知商户",
        "Declined; the shop is told at once",
    ),
    (
        Choice.LATE,
        "延迟到账",
        "Pay late",
        "先返回商户，20 秒后到账",
        "Back at once, paid 20 s later",
    ),
    (
        Choice.NOTHING,
        "付款但不通知",
        "Pay in silence",
        "已付款，须商户自行查询",
        "Paid, and never told",
    ),
    (
        Choice.TWICE,
        "付款并重复通知",
        "Pay, tell twice",
        "同一通知发送两次",
        "One notice, sent twice",
    ),
)


class Pressed(BaseModel):
    """The button a payer pressed, when a program posts it as JSON."""

    choice: Choice = Field(strict=False)


def _books(request: Request) -> SandboxBooks:
    books: SandboxBooks = request.app.state.sandbox_books
    return books


def _mandates(request: Request) -> MandateBooks:
    books: MandateBooks = request.app.state.mandate_books
    return books


async def signed_body(request: Request) -> bytes:
    """Return the body of a request whose signature holds."""
    body = await request.body()
    time_text = request.headers.get("x-sandbox-time", "")
    secret = request.app.state.options.secret
    expected = sandbox_signature(secret, time_text, path=sent_path(request), body=body)
    given = request.headers.get("x-sandbox-signature", "")
    check_signature(expected, given, time_text, now=utc_now())
    return body


router = APIRouter(prefix="/sandbox")
Books = Annotated[SandboxBooks, Depends(_books)]
Mandates = Annotated[MandateBooks, Depends(_mandates)]
SignedBody = Annotated[bytes, Depends(signed_body)]
signed = [Depends(signed_body)]


def order_facts(order: Order) -> dict[str, object]:
    """Return an order as it is told of; why it was declined only of one that was debited."""
    facts: dict[str, object] = {
        "order_no": order.order_no,
        "gateway_ref": order.gateway_ref,
        "status": order.status,
        "amount_fen": order.taken_fen if order.paid_at else order.amount_fen,
        "paid_at": utc_text(order.paid_at) if order.paid_at else None,
        "fee_fen": order.fee_fen,
    }
    return facts | ({"reason": order.reason} if order.reason else {})


def answer(books: SandboxBooks, order_no: str, facts: object, status_code: int = 200) -> Response:
    """Answer about an order, or as its fault has it: what was asked for is done by now."""
    match books.faults.take(order_no, Fault.SILENT, Fault.ERROR):
        case Fault.SILENT:
            return CutShort()
        case Fault.ERROR:
            return JSONResponse({"code": "internal", "message": "switched to fail"}, 500)
    return JSONResponse(facts, status_code)


def public_url(request: Request) -> str:
    """Return where browsers find this gateway."""
    return request.app.state.options.public_url or str(request.base_url).rstrip("/")


def _refund_facts(refund: Refund) -> dict[str, object]:
    return {
        "refund_no": refund.refund_no,
        "refund_ref": refund.refund_ref,
        "status": "succeeded",
        "amount_fen": refund.amount_fen,
        "refunded_at": utc_text(refund.refunded_at),
    }


@router.post("/orders")
async def open_order(body: SignedBody, books: Books, request: Request) -> Response:
    """Open an order; the same number again has the same answer, whatever became of it since."""
    order, is_new = books.open_order(read_json(OrderRequest, body), now=utc_now())
    facts = {
        "order_no": order.order_no,
        "gateway_ref": order.gateway_ref,
        "status": OrderStatus.OPEN,
        "amount_fen": order.amount_fen,
        "pay_url": f"{public_url(request)}/sandbox/pay/{order.gateway_ref}",
    }
    return answer(books, order.order_no, facts, 201 if is_new else 200)


@router.get("/orders/{order_no}", dependencies=signed)
async def query_order(order_no: str, books: Books) -> Response:
    """Tell what became of an order."""
    return answer(books, order_no, order_facts(books.get_order(order_no, now=utc_now())))


@router.post("/orders/{order_no}/close", dependencies=signed)
async def close_order(order_no: str, books: Books) -> Response:
    """Close an order, unless it is paid."""
    order = books.close_order(order_no, now=utc_now())
    status_code = 409 if order.status is OrderStatus.PAID else 200
    return answer(books, order_no, order_facts(order), status_code)


@router.post("/refunds")
async def refund(body: SignedBody, books: Books) -> Response:
    """Give money of a paid order back."""
    made, is_new = books.refund(read_json(RefundRequest, body), now=utc_now())
    return answer(books, made.order_no, _refund_facts(made), 201 if is_new else 200)


@router.get("/refunds/{refund_no}", dependencies=signed)
async def query_refund(refund_no: str, books: Books) -> Response:
    """Tell what became of a refund."""
    return JSONResponse(_refund_facts(books.get_refund(refund_no)))


@router.get("/settlements/{day_text}.csv", dependencies=signed)
async def settlement(day_text: str, books: Books, fault: str = "") -> Response:
    """Give the settlement file of a day, today's included."""
    return _settlement_response(books, day_text, fault)


@router.get("/downloads/{day_text}.csv")
async def download(day_text: str, books: Books, fault: str = "") -> Response:
    """Give the same file to a person at the simulator's own page, who cannot sign."""
    return _settlement_response(books, day_text, fault)


def _settlement_response(books: SandboxBooks, day_text: str, fault: str) -> Response:
    try:
        day = date.fromisoformat(day_text)
        wrong = FileFault(fault) if fault else None
    except ValueError as error:
        raise Invalid("the day is yyyy-mm-dd; fault is missing, extra or amount") from error
    if day > billing_date(utc_now()):
        raise NotFound("that day is not over yet", code="settlement.not_ready")
    rows = settlement_rows(books, day)
    file = settlement_file(spoil(rows, wrong, day) if wrong else rows, day)
    name = f"sandbox-{day.isoformat()}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(file, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/pay/{gateway_ref}")
async def show_cashier(gateway_ref: str, books: Books) -> Response:
    """Show the hosted page: the amount and the five choices, or how it ended."""
    order = books.get_by_ref(gateway_ref, now=utc_now())
    return page("pay.html", order=order, choices=CHOICES)


@router.post("/pay/{gateway_ref}")
async def choose(gateway_ref: str, books: Books, request: Request) -> Response:
    """Do what the payer pressed and send the browser back to the shop."""
    if is_form(request):
        choice = (await request.form()).get("choice")
        if choice not in list(Choice):
            raise Invalid("choice is one of: " + ", ".join(Choice), code="request.malformed")
        pressed = Pressed(choice=Choice(str(choice)))
    else:
        pressed = read_json(Pressed, await request.body())
    order = books.choose(gateway_ref, pressed.choice, now=utc_now())
    return RedirectResponse(order.return_url, status_code=303)


@router.post("/faults")
async def set_fault(books: Books, request: Request) -> Response:
    """Have something go wrong next with an order; a person presses a button, a test sends JSON."""
    if is_form(request):
        form = await request.form()
        asked = read_json(FaultRequest, json.dumps(dict(form), default=str).encode())
        books.faults.set(asked.order_no, asked.fault)
        return RedirectResponse("/sandbox", status_code=303)
    asked = read_json(FaultRequest, await request.body())
    books.faults.set(asked.order_no, asked.fault)
    return Response(status_code=204)


@router.get("")
async def show_sandbox(books: Books, mandates: Mandates) -> Response:
    """Show the newest orders and mandates, and what was told about them."""
    orders = [
        (order, deliveries, books.refunded_fen(order.order_no))
        for order, deliveries in books.latest_orders(50)
    ]
    today = billing_date(utc_now())
    return page(
        "sandbox.html", orders=orders, today=today, file_faults=list(FileFault),
        mandates=mandates.latest(20), faults=list(Fault), waiting=books.faults.waiting(),
    )  # fmt: skip


def post(secret: str, client: httpx.Client, delivery: Delivery) -> bool:
    """Attempt one notification, signed as docs/wire/sandbox-gateway.md says."""
    body = delivery.body.encode()
    time_text = str(int(utc_now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "X-Sandbox-Time": time_text,
        "X-Sandbox-Signature": sandbox_signature(secret, time_text, path="", body=body),
    }
    return client.post(delivery.url, content=body, headers=headers).is_success
