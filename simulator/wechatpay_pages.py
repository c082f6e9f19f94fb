"""What a payer sees of WeChat Pay, and the switches of its far side.

Source: docs/wire/wechatpay.md, "The far side".
"""

import json
from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotFound
from simulator.pages import page
from simulator.wechatpay import FarSide, far_side
from simulator.wechatpay_bills import BillFault, fund_bill, trade_bill
from simulator.wechatpay_records import Choice, Complaint, Fault, FaultRequest, Order
from simulator.wire import is_form, read_json

CHOICES = (
    (Choice.YES, "确认支付", "Pay now", "付款成功，立即通知商户", "Paid; the shop is told at once"),
    (Choice.NO, "支付失败", "Fail", "这次没付成，订单仍可支付", "This try fails; try again"),
    (Choice.LATE, "延迟到账", "Pay late", "稍后到账，再通知商户", "Paid later, then told"),
    (Choice.NOTHING, "付款但不通知", "Pay in silence", "须商户自行查询", "Paid, and never told"),
    (Choice.TWICE, "付款并重复通知", "Pay, tell twice", "同一通知发送两次", "Told twice"),
)  # fmt: skip
_CODE = "weixin://wxpay/bizpayurl?pr="
pages = APIRouter(prefix="/wechatpay")
Far = Annotated[FarSide, Depends(far_side)]


def _order(far: FarSide, prepay_id: str) -> Order:
    try:
        return far.books.by_reference(prepay_id, now=utc_now())
    except Complaint as wrong:
        raise NotFound("WeChat Pay knows no such code") from wrong


def _show(far: FarSide, prepay_id: str, back: str = "") -> Response:
    return page("wechatpay_pay.html", order=_order(far, prepay_id), choices=CHOICES, back=back)


async def _choose(far: FarSide, prepay_id: str, request: Request) -> Response:
    """Do what the payer pressed, and show the page again or go back to the shop."""
    choice = str((await request.form()).get("choice"))
    if choice not in list(Choice):
        raise Invalid("choice is one of: " + ", ".join(Choice), code="request.malformed")
    number = _order(far, prepay_id).prepay_id
    far.books.choose(number, Choice(choice), now=utc_now())
    back = request.query_params.get("redirect_url") or f"{request.url.path}?{request.url.query}"
    return RedirectResponse(back, status_code=303)


def _scanned(code: str) -> str:
    if not code.startswith(_CODE):
        raise NotFound("that is no code of WeChat Pay")
    return code.removeprefix(_CODE)


@pages.get("/scan")
async def show_scanned(code: str, far: Far) -> Response:
    """Show what a phone shows after scanning a code."""
    return _show(far, _scanned(code))


@pages.post("/scan")
async def choose_scanned(code: str, far: Far, request: Request) -> Response:
    """Do what the payer pressed on the phone that scanned."""
    return await _choose(far, _scanned(code), request)


@pages.get("/h5")
async def show_h5(prepay_id: str, far: Far, redirect_url: str = "") -> Response:
    """Show the wallet, which a phone's browser opened."""
    return _show(far, prepay_id, redirect_url)


@pages.post("/h5")
async def choose_h5(prepay_id: str, far: Far, request: Request) -> Response:
    """Do what the payer pressed, and go back to the shop."""
    return await _choose(far, prepay_id, request)


@pages.post("/jsapi")
async def open_wallet(far: Far, request: Request) -> Response:
    """Open the wallet with the six fields of a page in WeChat; with a choice, do it at once."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    try:
        far.keys.check_wallet(form)
    except Complaint as wrong:
        raise Invalid(wrong.message, code="request.malformed") from wrong
    prepay_id = form["package"].removeprefix("prepay_id=")
    if "choice" in form:
        return await _choose(far, prepay_id, request)
    return RedirectResponse(f"/wechatpay/scan?{urlencode({'code': _CODE + prepay_id})}", 303)


@pages.post("/faults")
async def switch_fault(far: Far, request: Request) -> Response:
    """Have something go wrong once, with an order or refund of that number."""
    if is_form(request):
        given = {name: str(value) for name, value in (await request.form()).items()}
        far.books.faults.set(read_json(FaultRequest, json.dumps(given).encode()))
        return RedirectResponse("/wechatpay", status_code=303)
    far.books.faults.set(read_json(FaultRequest, await request.body()))
    return Response(status_code=204)


@pages.post("/keys")
async def change_keys(far: Far) -> Response:
    """Make a platform certificate and sign with it from now on."""
    return JSONResponse({"serial_no": far.keys.change_over(now=utc_now())})


@pages.get("/downloads/{day_text}.csv")
async def download(day_text: str, far: Far, bill: str = "trade", fault: str = "") -> Response:
    """Give a bill to a person, right or wrong."""
    try:
        day, wrong = date.fromisoformat(day_text), BillFault(fault) if fault else None
        write = {"trade": trade_bill, "fund": fund_bill}[bill]
    except (ValueError, KeyError) as error:
        raise Invalid("the day is yyyy-mm-dd, bill is trade or fund") from error
    text = write(far.books, day, wrong)
    if not text:
        raise NotFound("nothing happened on that day")
    name = f"wechatpay-{bill}-{day}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


@pages.get("")
async def show_far_side(far: Far) -> Response:
    """Show the newest orders and what was told about them."""
    return page(
        "wechatpay.html", orders=far.books.latest(50), today=billing_date(utc_now()),
        bill_faults=list(BillFault), faults=list(Fault), code=_CODE,
    )  # fmt: skip
