"""WeChat Pay's API over HTTP: every request checked, every answer signed.

Source: docs/wire/wechatpay.md.
"""

import hashlib
import secrets
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotFound
from simulator.counter import CutShort
from simulator.courier import delivering
from simulator.journal import Journal
from simulator.wechatpay_bills import day_is_over, fund_bill, gzipped, trade_bill
from simulator.wechatpay_books import WechatpayBooks
from simulator.wechatpay_keys import Keys
from simulator.wechatpay_records import (
    CloseRequest,
    Complaint,
    Delivery,
    Fault,
    Order,
    OrderRequest,
    RefundRequest,
    WechatpayOptions,
    order_facts,
    refund_facts,
)
from simulator.wire import read_json, sent_path

Model = TypeVar("Model", bound=BaseModel)


class FarSide:
    """What the routes share."""

    def __init__(self, options: WechatpayOptions, data_dir: Path) -> None:
        self.options = options
        self._journals = [Journal(data_dir / f"wechatpay{part}.jsonl") for part in ("", "-keys")]
        self.keys = Keys(options, self._journals[1])
        self.books = WechatpayBooks(options, self.keys, self._journals[0])
        self.files: dict[str, bytes] = {}  # by the token they are fetched with

    def close(self) -> None:
        for journal in self._journals:
            journal.close()

    def sign(self, response: Response) -> Response:
        """Put the five headers on an answer."""
        response.headers.update(self.keys.headers(bytes(response.body), now=utc_now()))
        return response

    def answer(self, number: str, facts: dict[str, object] | None) -> Response:
        """Answer about an order or refund, or as its fault has it: it is done by now."""
        match self.books.faults.take(number, Fault.SILENT, Fault.ERROR):
            case Fault.SILENT:
                return CutShort()
            case Fault.ERROR:
                return _no(Complaint(500, "SYSTEM_ERROR", "系统异常，请稍后重试"))
        return Response(status_code=204) if facts is None else JSONResponse(facts)

    def hold(self, number: str) -> None:
        """Refuse to be asked, where that is switched. Raises Complaint."""
        if self.books.faults.take(number, Fault.LIMITED):
            raise Complaint(429, "FREQUENCY_LIMITED", "频率超限")


class SignedRoute(APIRoute):
    """A route of the API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            far = far_side(request)
            try:
                far.keys.check_request(
                    request.headers.get("authorization", ""), method=request.method,
                    target=target_of(request), body=await request.body(), now=utc_now(),
                )  # fmt: skip
            except Complaint as no:
                return _no(no)
            try:
                said = await handle(request)
            except Complaint as no:
                said = _no(no)
            return said if isinstance(said, CutShort | BillFile) else far.sign(said)

        return answer


class BillFile(Response):
    """A bill, which is not signed."""

    media_type = "application/octet-stream"


@contextmanager
def running_wechatpay(options: WechatpayOptions | None, data_dir: Path) -> Iterator[FarSide | None]:
    """Open the memory and start the courier; leave nothing running. No options: no WeChat Pay."""
    if options is None:
        yield None
        return
    far = FarSide(options, data_dir)
    try:
        with delivering("wechatpay", far.books, partial(_post, far.keys)):
            yield far
    finally:
        far.close()


def _post(keys: Keys, client: httpx.Client, delivery: Delivery) -> bool:
    body = delivery.body.encode()
    headers = keys.headers(body, now=utc_now(), trick=delivery.trick)
    headers["Content-Type"] = "application/json"
    return client.post(delivery.url, content=body, headers=headers).is_success


def far_side(request: Request) -> FarSide:
    """Return what the application holds for this gateway. Raises NotFound."""
    far: FarSide | None = request.app.state.wechatpay
    if far is None:
        raise NotFound("this simulator was started without WeChat Pay")
    return far


def target_of(request: Request) -> str:
    """Return the path and query exactly as sent."""
    query: bytes = request.scope["query_string"]
    return sent_path(request) + (f"?{query.decode('ascii')}" if query else "")


def public_url(request: Request) -> str:
    """Return where browsers find this simulator."""
    return request.app.state.options.public_url or str(request.base_url).rstrip("/")


def _no(no: Complaint) -> Response:
    return JSONResponse({"code": no.code, "message": no.message}, no.status)


def _read(model: type[Model], body: bytes) -> Model:
    try:
        return read_json(model, body)
    except Invalid as wrong:
        raise Complaint(400, "PARAM_ERROR", wrong.message) from wrong


api = APIRouter(prefix="/wechatpay/v3", route_class=SignedRoute)
Far = Annotated[FarSide, Depends(far_side)]


async def _open(request: Request, far: FarSide, trade_type: str) -> Order:
    asked = _read(OrderRequest, await request.body())
    far.hold(asked.out_trade_no)
    wanted = {"JSAPI": (True, False), "MWEB": (False, True), "NATIVE": (False, False)}[trade_type]
    if (asked.payer is not None, asked.scene_info is not None) != wanted:
        raise Complaint(400, "PARAM_ERROR", "payer 或 scene_info 与支付方式不符")
    return far.books.open_order(asked, trade_type, now=utc_now())


@api.post("/pay/transactions/native")
async def open_native(request: Request, far: Far) -> Response:
    """Open an order that is paid by scanning a code."""
    order = await _open(request, far, "NATIVE")
    code_url = f"weixin://wxpay/bizpayurl?pr={order.prepay_id}"
    return far.answer(order.number, {"code_url": code_url})


@api.post("/pay/transactions/h5")
async def open_h5(request: Request, far: Far) -> Response:
    """Open an order that is paid in a phone's browser."""
    order = await _open(request, far, "MWEB")
    h5_url = f"{public_url(request)}/wechatpay/h5?prepay_id={order.prepay_id}&package=1"
    return far.answer(order.number, {"h5_url": h5_url})


@api.post("/pay/transactions/jsapi")
async def open_jsapi(request: Request, far: Far) -> Response:
    """Open an order that is paid from a page in WeChat."""
    order = await _open(request, far, "JSAPI")
    return far.answer(order.number, {"prepay_id": order.prepay_id})


@api.get("/pay/transactions/out-trade-no/{number}")
async def query_order(number: str, mchid: str, far: Far) -> Response:
    """Tell what became of an order."""
    far.hold(number)
    return far.answer(number, _told(far, far.books.get(number, now=utc_now()), mchid))


@api.get("/pay/transactions/id/{transaction_id}")
async def query_transaction(transaction_id: str, mchid: str, far: Far) -> Response:
    """Tell what became of a paid order, by the platform's own number."""
    order = far.books.by_reference(transaction_id, now=utc_now())
    if order.paid_at is None:
        raise Complaint(404, "ORDER_NOT_EXIST", "订单不存在")
    return far.answer(order.number, _told(far, order, mchid))


def _told(far: FarSide, order: Order, mchid: str) -> dict[str, object]:
    if mchid != far.options.mchid:
        raise Complaint(400, "PARAM_ERROR", "mchid 与签名商户不符")
    return order_facts(order, went_back=bool(far.books.refunds_of(order.number)))


@api.post("/pay/transactions/out-trade-no/{number}/close")
async def close_order(number: str, request: Request, far: Far) -> Response:
    """Close an order that is not paid."""
    asked = _read(CloseRequest, await request.body())
    far.hold(number)
    far.books.close(number, asked.mchid, now=utc_now())
    return far.answer(number, None)


@api.post("/refund/domestic/refunds")
async def refund(request: Request, far: Far) -> Response:
    """Begin to give money of a paid order back."""
    asked = _read(RefundRequest, await request.body())
    far.hold(asked.out_refund_no)
    made = far.books.refund(asked, now=utc_now())
    order = far.books.get(asked.out_trade_no, now=utc_now())
    return far.answer(made.number, refund_facts(made, order))


@api.get("/refund/domestic/refunds/{number}")
async def query_refund(number: str, far: Far) -> Response:
    """Tell what became of a refund."""
    far.hold(number)
    made = far.books.get_refund(number)
    order = far.books.get(made.asked.out_trade_no, now=utc_now())
    return far.answer(number, refund_facts(made, order))


@api.get("/certificates")
async def certificates(far: Far) -> Response:
    """Give the platform's certificates."""
    return JSONResponse({"data": far.keys.certificates()})


@api.get("/bill/tradebill")
async def ask_trade_bill(request: Request, bill_date: str, far: Far) -> Response:
    """Say where the trade bill of a day is."""
    now = utc_now()
    return _bill(request, far, trade_bill(far.books, _day(far, bill_date, now)))


@api.get("/bill/fundflowbill")
async def ask_fund_bill(request: Request, bill_date: str, far: Far) -> Response:
    """Say where the fund bill of a day is."""
    now = utc_now()
    return _bill(request, far, fund_bill(far.books, _day(far, bill_date, now)))


@api.get("/billdownload/file")
async def download(token: str, far: Far) -> Response:
    """Give a bill."""
    if token not in far.files:
        raise Complaint(400, "INVALID_REQUEST", "请重新获取账单地址")
    return BillFile(far.files[token])


def _day(far: FarSide, text: str, now: datetime) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as wrong:
        raise Complaint(400, "PARAM_ERROR", "bill_date 格式为 yyyy-MM-dd") from wrong
    if day > billing_date(now):
        raise Complaint(400, "INVALID_REQUEST", "请检查 bill_date")
    if not far.options.bills_at_once and not day_is_over(day, now):
        raise Complaint(400, "STATEMENT_CREATING", "账单生成中")
    return day


def _bill(request: Request, far: FarSide, text: bytes) -> Response:
    if not text:
        raise Complaint(400, "NO_STATEMENT_EXIST", "账单文件不存在")
    token = secrets.token_hex(16)
    far.files[token] = gzipped(text)
    at = str(request.base_url).rstrip("/")
    return JSONResponse({
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(text, usedforsecurity=False).hexdigest(),
        "download_url": f"{at}/wechatpay/v3/billdownload/file?token={token}&tartype=gzip",
    })  # fmt: skip
