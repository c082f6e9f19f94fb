"""Alipay over HTTP: its gateway, its hosted page, and its bills.

Source: docs/wire/alipay.md.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

import httpx
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotFound
from simulator.alipay_bills import fund_zip, trade_zip
from simulator.alipay_books import AlipayBooks
from simulator.alipay_methods import PRODUCTS, Methods, Told, read_biz
from simulator.alipay_records import (
    ANSWER_FAULTS,
    APP_ID,
    BILL,
    FILE_FAULTS,
    Choice,
    Delivery,
    Failure,
    Fault,
    FaultRequest,
    Trade,
    beijing_text,
)
from simulator.alipay_signing import (
    Keys,
    answer_text,
    envelope,
    notification_text,
    other_key_sign,
    request_text,
)
from simulator.counter import CutShort
from simulator.courier import delivering
from simulator.journal import Journal
from simulator.pages import page
from simulator.wire import read_json

CHOICES = (
    (Choice.YES, "确认支付", "Pay now", "付款成功，立即通知商户", "Paid; the shop is told at once"),
    (Choice.NO, "放弃支付", "Leave", "交易继续等待付款", "The trade goes on waiting"),
    (Choice.LATE, "延迟到账", "Pay late", "先返回商户，稍后到账", "Back at once, paid later"),
    (Choice.NOTHING, "付款但不通知", "Pay in silence", "须商户自行查询", "Paid, and never told"),
    (Choice.TWICE, "付款并重复通知", "Pay, tell twice", "两个通知号", "Under two notify_ids"),
    (Choice.ENTER, "登录或扫码", "Sign in", "交易建立，暂不付款", "A trade now, and nothing paid"),
)
_LIBRARIES = re.compile(r"(?i)^$|^(python|java|go-http|curl|okhttp|apache)")


class AlipaySide(NamedTuple):
    """What the routes need."""

    books: AlipayBooks
    methods: Methods
    keys: Keys


@contextmanager
def alipay_running(
    data_dir: Path, *, late_after: timedelta, retry_after: tuple[timedelta, ...]
) -> Iterator[AlipaySide]:
    """Open the memory and start the courier; leave nothing running."""
    journal = Journal(data_dir / "alipay.jsonl")
    books = AlipayBooks(journal, late_after=late_after, retry_after=retry_after)
    keys = Keys(data_dir / "keys")
    try:
        with delivering("alipay", books, partial(_post, keys)):
            yield AlipaySide(books, Methods(books), keys)
    finally:
        journal.close()


def _post(keys: Keys, client: httpx.Client, delivery: Delivery) -> bool:
    told = dict(delivery.told) | {"notify_time": beijing_text(utc_now())}
    answer = client.post(delivery.url, data=told | {"sign": keys.sign(notification_text(told))})
    return answer.is_success and answer.text == "success"


def _side(request: Request) -> AlipaySide:
    side: AlipaySide = request.app.state.alipay
    return side


router = APIRouter(prefix="/alipay")
Side = Annotated[AlipaySide, Depends(_side)]


@router.post("/gateway.do")
async def call(side: Side, request: Request) -> Response:
    """Take a call of a merchant's server; its page may be asked for by a form, too."""
    body = (await request.body()).decode("utf-8", "replace")
    given = parse_qsl(request.url.query, keep_blank_values=True)
    params = dict([*given, *parse_qsl(body, keep_blank_values=True)])
    if params.get("method") in PRODUCTS and params["method"] != "alipay.trade.precreate":
        return _to_page(side, params)
    node = f"{params.get('method', '').replace('.', '_')}_response"
    if params.get("app_id") != APP_ID:
        told = _no(Failure("isv.invalid-app-id", "40002"))
        return _text(envelope("error_response", told, None))
    fault: Fault | None = None
    try:
        _check(side.keys, params)
        biz = read_biz(params) | {"_notify_url": params.get("notify_url", "")}
        told = side.methods.call(params["method"], biz, base_url=_base(request), now=utc_now())
        fault = side.books.faults.take(str(biz.get("out_trade_no", "")), *ANSWER_FAULTS)
        told = {"code": "10000", "msg": "Success"} | told
    except Failure as failure:
        told = _no(failure)
    return _answer(side.keys, node, told, fault)


@router.get("/gateway.do")
async def to_page(side: Side, request: Request) -> Response:
    """Send a payer's browser to the page of a signed order."""
    return _to_page(side, dict(parse_qsl(request.url.query, keep_blank_values=True)))


@router.post("/wallet")
async def to_wallet(side: Side, request: Request) -> Response:
    """Take an order string, as the wallet does from an app."""
    text = (await request.body()).decode("utf-8", "replace")
    return _to_page(side, dict(parse_qsl(text, keep_blank_values=True)))


@router.get("/cashier/{token}")
@router.get("/qr/{token}")
async def show_cashier(token: str, side: Side) -> Response:
    """Show the hosted page: the amount and the choices, or how it ended."""
    trade = side.books.by_token(token, now=utc_now())
    return page("alipay_cashier.html", trade=trade, choices=CHOICES)


@router.post("/cashier/{token}")
@router.post("/qr/{token}")
async def choose(token: str, side: Side, request: Request) -> Response:
    """Do what the payer pressed and send the browser back to the shop, if it has an address."""
    choice = (await request.form()).get("choice")
    if choice not in list(Choice):
        raise Invalid("choice is one of: " + ", ".join(Choice), code="request.malformed")
    trade = side.books.choose(token, Choice(str(choice)), now=utc_now())
    return RedirectResponse(trade.return_url or f"/alipay/cashier/{token}", status_code=303)


@router.post("/faults")
async def set_fault(side: Side, request: Request) -> Response:
    """Have the next call about an order, or the next bill, go wrong."""
    asked = read_json(FaultRequest, await request.body())
    side.books.faults.set(asked.order_no, asked.fault)
    return Response(status_code=204)


@router.get("/bills/{token}")
async def give_bill(token: str, side: Side, request: Request) -> Response:
    """Give a bill to who asked for its address within 30 seconds, and is no mere library."""
    found = side.methods.download(token, now=utc_now())
    if found is None or _LIBRARIES.match(request.headers.get("user-agent", "")):
        return HTMLResponse("<html>invalid request</html>", status_code=403)
    kind, day, fault = found
    now = utc_now()
    bill = trade_zip if kind == "trade" else None
    content = bill(side.books, day, fault, now=now) if bill else fund_zip(side.books, day, now=now)
    return Response(content, media_type="application/octet-stream")


@router.get("/downloads/{day_text}.zip")
async def download(day_text: str, side: Side, fault: str = "") -> Response:
    """Give the business bill to a person at the simulator's own page, who cannot sign."""
    try:
        day = date.fromisoformat(day_text)
        wrong = Fault(fault) if fault else None
    except ValueError as error:
        raise Invalid("the day is yyyy-mm-dd; fault one of " + ", ".join(FILE_FAULTS)) from error
    if day > billing_date(utc_now()):
        raise NotFound("that day is not over yet", code="settlement.not_ready")
    content = trade_zip(side.books, day, wrong, now=utc_now())
    headers = {"Content-Disposition": f'attachment; filename="alipay-{day}.zip"'}
    return Response(content, media_type="application/zip", headers=headers)


@router.get("")
async def show_alipay(side: Side) -> Response:
    """Show the newest orders and what was told about them."""
    orders = [
        (trade, deliveries, side.books.refunded_fen(trade.out_trade_no))
        for trade, deliveries in side.books.latest(50)
    ]
    today = billing_date(utc_now())
    return page("alipay.html", orders=orders, today=today, faults=FILE_FAULTS, bill=BILL)


def _base(request: Request) -> str:
    public_url: str | None = request.app.state.options.public_url
    return public_url or str(request.base_url).rstrip("/")


def _check(keys: Keys, params: Mapping[str, str]) -> None:
    """Let a request pass whose merchant signed it. Raises Failure."""
    if params.get("sign_type") != "RSA2" or params.get("charset") != "utf-8":
        raise Failure("isv.invalid-signature-type", "40002")
    if not keys.merchant_signed(request_text(params), params.get("sign", "")):
        raise Failure("isv.invalid-signature", "40002")
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", params.get("timestamp", "")) is None:
        raise Failure("isv.invalid-timestamp", "40002")


def _to_page(side: AlipaySide, params: Mapping[str, str]) -> Response:
    try:
        method = params.get("method", "")
        if method not in PRODUCTS or params.get("app_id") != APP_ID:
            raise Failure("isv.invalid-app-id", "40002")
        _check(side.keys, params)
        trade: Trade = side.methods.ask(method, params, now=utc_now())
    except Failure as failure:
        told = f"<html><p>{failure.gateway_code} {failure.sub_code}</p></html>"
        return HTMLResponse(told, status_code=400)
    return RedirectResponse(f"/alipay/cashier/{trade.token}", status_code=303)


def _answer(keys: Keys, node: str, told: Told, fault: Fault | None) -> Response:
    if fault is Fault.SILENT:
        return CutShort()
    if fault is Fault.ERROR:
        return Response(status_code=500)
    if fault is Fault.BUSY:
        told = {"code": "20000", "msg": "Service Currently Unavailable"}
    if fault is Fault.SYSTEM_ERROR:
        told = _no(Failure("ACQ.SYSTEM_ERROR"))
    sign = other_key_sign if fault is Fault.OTHER_KEY else keys.sign
    return _text(envelope(node, told, sign(answer_text(told))))


def _no(failure: Failure) -> Told:
    words = {"40002": "Invalid Arguments", "40004": "Business Failed"}
    return {
        "code": failure.gateway_code,
        "msg": words.get(failure.gateway_code, "No"),
        "sub_code": failure.sub_code,
        "sub_msg": "请求未被接受",
    }


def _text(text: str) -> Response:
    return Response(text, media_type="text/html;charset=utf-8")
