"""UnionPay over HTTP: its gateway, its hosted page, and its files.

Source: docs/wire/unionpay.md.
"""

from collections.abc import Callable, Iterator, Mapping
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
from simulator.counter import CutShort
from simulator.courier import delivering
from simulator.journal import Journal
from simulator.pages import page
from simulator.unionpay_bills import day_zip
from simulator.unionpay_books import UnionPayBooks
from simulator.unionpay_keys import Keys
from simulator.unionpay_messages import Messages, answer
from simulator.unionpay_records import (
    ANSWER_FAULTS,
    FILE_FAULTS,
    MER_ID,
    Choice,
    Delivery,
    Failure,
    Fault,
    FaultRequest,
    Fields,
    cleared_on,
)
from simulator.wire import read_json

CHOICES = (
    (Choice.YES, "确认支付", "Pay now", "付款成功，立即通知商户", "Paid; the shop is told at once"),
    (Choice.NO, "余额不足", "Card declined", "交易失败，不通知", "Failed, and nobody is told"),
    (Choice.LATE, "延迟到账", "Pay late", "先返回商户，稍后到账", "Back at once, paid later"),
    (Choice.NOTHING, "付款但不通知", "Pay in silence", "须商户自行查询", "Paid, and never told"),
    (Choice.TWICE, "付款并重复通知", "Pay, tell twice", "两次通知", "Told twice over"),
)


class UnionPaySide(NamedTuple):
    """What the routes need."""

    books: UnionPayBooks
    messages: Messages
    keys: Keys


@contextmanager
def unionpay_running(
    data_dir: Path, *, late_after: timedelta, retry_after: tuple[timedelta, ...]
) -> Iterator[UnionPaySide]:
    """Open the memory and start the courier; leave nothing running."""
    journal = Journal(data_dir / "unionpay.jsonl")
    books = UnionPayBooks(journal, late_after=late_after, retry_after=retry_after)
    keys = Keys(data_dir / "keys")
    try:
        with delivering("unionpay", books, partial(_post, keys)):
            yield UnionPaySide(books, Messages(books), keys)
    finally:
        journal.close()


def _post(keys: Keys, client: httpx.Client, delivery: Delivery) -> bool:
    answer = client.post(delivery.url, data=keys.signed(delivery.told))
    return answer.status_code == httpx.codes.OK


def _side(request: Request) -> UnionPaySide:
    side: UnionPaySide = request.app.state.unionpay
    return side


router = APIRouter(prefix="/unionpay")
Side = Annotated[UnionPaySide, Depends(_side)]


@router.post("/gateway/api/frontTransReq.do")
async def to_page(side: Side, request: Request) -> Response:
    """Take the form a payer's browser brings, and show it the page."""
    said = await _said(request)
    try:
        _check(side.keys, said)
        kind = (said.get("txnType"), said.get("txnSubType"), said.get("bizType"))
        if kind != ("01", "01", "000201") or not said.get("frontUrl"):
            raise Failure("10", "报文格式错误")
        order = side.messages.ask(said, now=utc_now())
    except Failure as failure:
        told = f"<html><p>{failure.resp_code} {failure.message}</p></html>"
        return HTMLResponse(told, status_code=400)
    return RedirectResponse(f"/unionpay/cashier/{order.token}", status_code=303)


@router.post("/gateway/api/backTransReq.do")
async def take_back(side: Side, request: Request) -> Response:
    """Take a back-end message: a code to pay by, or a refund."""
    said = await _said(request)
    base_url = _base(request)

    def act() -> Fields:
        return side.messages.back(said, base_url=base_url, now=utc_now())

    return _answer(side, said, act)


@router.post("/gateway/api/queryTrans.do")
async def query(side: Side, request: Request) -> Response:
    """Say how an order or a refund stands."""
    said = await _said(request)
    return _answer(side, said, lambda: side.messages.query(said, now=utc_now()))


@router.post("/files/")
async def give_file(side: Side, request: Request) -> Response:
    """Give the files of a day."""
    said = await _said(request)
    return _answer(side, said, lambda: side.messages.file(said, now=utc_now()))


@router.get("/cashier/{token}")
@router.get("/qr/{token}")
async def show_cashier(token: str, side: Side) -> Response:
    """Show the hosted page: the amount and the choices, or how it ended."""
    order = side.books.by_token(token, now=utc_now())
    back: Fields = {}
    if order.front_url and not order.waits:
        back = side.keys.signed(side.messages.bring_back(order))
    return page("unionpay_pay.html", order=order, choices=CHOICES, back=back)


@router.post("/cashier/{token}")
@router.post("/qr/{token}")
async def choose(token: str, side: Side, request: Request) -> Response:
    """Do what the payer pressed; the page then has a form that leads back to the shop."""
    choice = (await request.form()).get("choice")
    if choice not in list(Choice):
        raise Invalid("choice is one of: " + ", ".join(Choice), code="request.malformed")
    order = side.books.choose(token, Choice(str(choice)), now=utc_now())
    return RedirectResponse(f"/unionpay/cashier/{order.token}", status_code=303)


@router.post("/faults")
async def set_fault(side: Side, request: Request) -> Response:
    """Have the next message about an order, or the next file, go wrong."""
    asked = read_json(FaultRequest, await request.body())
    side.books.faults.set(asked.order_no, asked.fault)
    return Response(status_code=204)


@router.get("/downloads/{day_text}.zip")
async def download(day_text: str, side: Side, fault: str = "") -> Response:
    """Give a day's files to a person at the simulator's own page, who cannot sign."""
    try:
        day = date.fromisoformat(day_text)
        wrong = Fault(fault) if fault else None
    except ValueError as error:
        raise Invalid("the day is yyyy-mm-dd; fault one of " + ", ".join(FILE_FAULTS)) from error
    if day > cleared_on(utc_now()):
        raise NotFound("that day has not begun", code="settlement.not_ready")
    content = day_zip(side.books, day, wrong)
    headers = {"Content-Disposition": f'attachment; filename="{MER_ID}_{day:%Y%m%d}.zip"'}
    return Response(content, media_type="application/zip", headers=headers)


@router.get("")
async def show_unionpay(side: Side) -> Response:
    """Show the newest orders and what was told about them."""
    orders = [
        (order, deliveries, side.books.refunded_fen(order.order_id))
        for order, deliveries in side.books.latest(50)
    ]
    return page("unionpay.html", orders=orders, today=billing_date(utc_now()), faults=FILE_FAULTS)


async def _said(request: Request) -> Fields:
    text = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def _base(request: Request) -> str:
    public_url: str | None = request.app.state.options.public_url
    return public_url or str(request.base_url).rstrip("/")


def _check(keys: Keys, said: Mapping[str, str]) -> None:
    """Let a message pass whose merchant signed it. Raises Failure."""
    common = {"version": "5.1.0", "encoding": "UTF-8", "accessType": "0"}
    if any(said.get(name) != value for name, value in common.items()):
        raise Failure("10", "报文格式错误")
    if said.get("merId") != MER_ID or not keys.merchant_signed(said):
        raise Failure("11", "验证签名失败")


def _answer(side: UnionPaySide, said: Mapping[str, str], act: Callable[[], Fields]) -> Response:
    fault: Fault | None = None
    try:
        _check(side.keys, said)
        told = act()
        fault = side.books.faults.take(said.get("orderId", ""), *ANSWER_FAULTS)
    except Failure as failure:
        told = answer(said, failure.resp_code, failure.message)
    if fault is Fault.SILENT:
        return CutShort()
    if fault is Fault.ERROR:
        return Response(status_code=500)
    if fault is Fault.BUSY:
        told = answer(said, "06", "系统繁忙，请稍后再试")
    fields = side.keys.signed(told, wrongly=fault is Fault.OTHER_KEY)
    text = "&".join(f"{name}={value}" for name, value in fields.items())
    return Response(text, media_type="text/html;charset=utf-8")
