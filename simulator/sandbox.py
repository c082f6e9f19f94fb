"""The sandbox gateway over HTTP: its signed interface, and its hosted page.

Source: docs/wire/sandbox-gateway.md.
"""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotFound
from simulator.pages import page
from simulator.sandbox_books import (
    Choice,
    Order,
    OrderRequest,
    OrderStatus,
    Refund,
    RefundRequest,
    SandboxBooks,
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


async def _signed_body(request: Request) -> bytes:
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
SignedBody = Annotated[bytes, Depends(_signed_body)]
_signed = [Depends(_signed_body)]


def _order_facts(order: Order) -> dict[str, object]:
    return {
        "order_no": order.order_no,
        "gateway_ref": order.gateway_ref,
        "status": order.status,
        "amount_fen": order.amount_fen,
        "paid_at": utc_text(order.paid_at) if order.paid_at else None,
        "fee_fen": order.fee_fen,
    }


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
    base_url = request.app.state.options.public_url or str(request.base_url).rstrip("/")
    answer = {
        "order_no": order.order_no,
        "gateway_ref": order.gateway_ref,
        "status": OrderStatus.OPEN,
        "amount_fen": order.amount_fen,
        "pay_url": f"{base_url}/sandbox/pay/{order.gateway_ref}",
    }
    return JSONResponse(answer, status_code=201 if is_new else 200)


@router.get("/orders/{order_no}", dependencies=_signed)
async def query_order(order_no: str, books: Books) -> Response:
    """Tell what became of an order."""
    return JSONResponse(_order_facts(books.get_order(order_no, now=utc_now())))


@router.post("/orders/{order_no}/close", dependencies=_signed)
async def close_order(order_no: str, books: Books) -> Response:
    """Close an order, unless it is paid."""
    order = books.close_order(order_no, now=utc_now())
    status_code = 409 if order.status is OrderStatus.PAID else 200
    return JSONResponse(_order_facts(order), status_code=status_code)


@router.post("/refunds")
async def refund(body: SignedBody, books: Books) -> Response:
    """Give money of a paid order back."""
    made, is_new = books.refund(read_json(RefundRequest, body), now=utc_now())
    return JSONResponse(_refund_facts(made), status_code=201 if is_new else 200)


@router.get("/refunds/{refund_no}", dependencies=_signed)
async def query_refund(refund_no: str, books: Books) -> Response:
    """Tell what became of a refund."""
    return JSONResponse(_refund_facts(books.get_refund(refund_no)))


@router.get("/settlements/{day_text}.csv", dependencies=_signed)
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


@router.get("")
async def show_sandbox(books: Books) -> Response:
    """Show the newest orders and what was told about them."""
    orders = [
        (order, deliveries, books.refunded_fen(order.order_no))
        for order, deliveries in books.latest_orders(50)
    ]
    today = billing_date(utc_now())
    return page("sandbox.html", orders=orders, today=today, faults=list(FileFault))
