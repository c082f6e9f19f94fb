"""The calls Alipay's gateway takes from a merchant's server, each as what it answers.

Source: docs/wire/alipay.md, "Orders", "Refunds" and "The business bill".
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from core.clock import BILLING_ZONE, billing_date
from core.errors import Invalid
from core.money import parse_yuan, yuan_text
from simulator.alipay_books import AlipayBooks
from simulator.alipay_records import (
    BILL,
    SELLER_ID,
    Failure,
    Fault,
    Trade,
    TradeStatus,
    beijing_text,
)

Told = dict[str, object]
PRODUCTS = {
    "alipay.trade.page.pay": "FAST_INSTANT_TRADE_PAY",
    "alipay.trade.wap.pay": "QUICK_WAP_WAY",
    "alipay.trade.app.pay": "QUICK_MSECURITY_PAY",
    "alipay.trade.precreate": "FACE_TO_FACE_PAYMENT",
}
DOWNLOAD_SECONDS = 30
_MOST_FEN = 10_000_000_000
_CANCEL_WITHIN = timedelta(hours=24)


class Methods:
    """One merchant's calls; ``base_url`` is where its payers and its server reach us."""

    def __init__(self, books: AlipayBooks) -> None:
        self._books = books
        self._downloads: dict[str, tuple[str, date, Fault | None, datetime]] = {}

    def call(self, method: str, biz: Mapping[str, Any], *, base_url: str, now: datetime) -> Told:
        """Do what is asked and say how it went. Raises Failure."""
        calls: dict[str, Callable[[], Told]] = {
            "alipay.trade.precreate": lambda: self._precreate(biz, base_url, now),
            "alipay.trade.query": lambda: self._query(biz, now),
            "alipay.trade.close": lambda: self._close(biz, now),
            "alipay.trade.cancel": lambda: self._cancel(biz, now),
            "alipay.trade.refund": lambda: self._refund(biz, now),
            "alipay.trade.fastpay.refund.query": lambda: self._query_refund(biz, now),
            "alipay.data.dataservice.bill.downloadurl.query": lambda: self._bill(
                biz, base_url, now
            ),
        }
        if method not in calls:
            raise Failure("isv.invalid-method", "40002")
        return calls[method]()

    def ask(self, method: str, params: Mapping[str, str], *, now: datetime) -> Trade:
        """Remember an order whose page, code or string a merchant made. Raises Failure."""
        biz = read_biz(params)
        if biz.get("product_code") != PRODUCTS[method]:
            raise Failure("ACQ.INVALID_PARAMETER")
        if biz.get("seller_id") not in (None, SELLER_ID):
            raise Failure("ACQ.SELLER_NOT_EXIST")
        subject = biz.get("subject")
        if not isinstance(subject, str) or not 0 < len(subject) <= 256 or set(subject) & set("/=&"):
            raise Failure("ACQ.INVALID_PARAMETER")
        expires_at = _moment(biz["time_expire"]) if "time_expire" in biz else None
        if expires_at is not None and expires_at <= now:
            raise Failure("ACQ.INVALID_PARAMETER")
        trade = Trade(
            out_trade_no=_number(biz, "out_trade_no"), total_fen=_amount(biz, "total_amount"),
            subject=subject, product=method, notify_url=params.get("notify_url", ""),
            return_url=params.get("return_url", ""), expires_at=expires_at,
            token=secrets.token_hex(12), opened_at=now,
        )  # fmt: skip
        return self._books.ask(trade, now=now)

    def download(self, token: str, *, now: datetime) -> tuple[str, date, Fault | None] | None:
        """Return what an address of a bill stands for; None once it is too old."""
        kind, day, fault, until = self._downloads.get(token, ("", date.min, None, now))
        return (kind, day, fault) if now < until else None

    def _precreate(self, biz: Mapping[str, Any], base_url: str, now: datetime) -> Told:
        params = {"biz_content": json.dumps(biz), "notify_url": biz.get("_notify_url", "")}
        trade = self.ask("alipay.trade.precreate", params, now=now)
        return {
            "out_trade_no": trade.out_trade_no,
            "qr_code": f"{base_url}/alipay/qr/{trade.token}",
        }

    def _query(self, biz: Mapping[str, Any], now: datetime) -> Told:
        trade = self._books.find(_number(biz, "out_trade_no"), now=now)
        told: Told = {
            "buyer_logon_id": "138****0001",
            "buyer_pay_amount": "0.00",
            "invoice_amount": "0.00",
            "out_trade_no": trade.out_trade_no,
            "point_amount": "0.00",
            "receipt_amount": "0.00",
            "total_amount": yuan_text(trade.taken_fen),
            "trade_no": trade.trade_no,
            "trade_status": trade.status.value,
        }
        if trade.paid_at is not None:
            told["send_pay_date"] = beijing_text(trade.paid_at)
        return told

    def _close(self, biz: Mapping[str, Any], now: datetime) -> Told:
        trade = self._books.close(_number(biz, "out_trade_no"), now=now)
        return {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no}

    def _cancel(self, biz: Mapping[str, Any], now: datetime) -> Told:
        number = _number(biz, "out_trade_no")
        told: Told = {"out_trade_no": number, "retry_flag": "N"}
        try:
            trade = self._books.find(number, now=now)
        except Failure:
            return told
        if trade.paid_at is not None and now > trade.paid_at + _CANCEL_WITHIN:
            raise Failure("ACQ.TRADE_CANCEL_TIME_OUT")
        if trade.status is TradeStatus.WAIT_BUYER_PAY:
            self._books.close(number, now=now)
        elif trade.status is TradeStatus.TRADE_SUCCESS:
            left_fen = trade.taken_fen - self._books.refunded_fen(number)
            self._books.refund(number, number, left_fen, now=now)
        action = "close" if trade.paid_at is None else "refund"
        return told | {"trade_no": trade.trade_no, "action": action}

    def _refund(self, biz: Mapping[str, Any], now: datetime) -> Told:
        number, request_no = _number(biz, "out_trade_no"), _number(biz, "out_request_no")
        made, is_new = self._books.refund(
            number, request_no, _amount(biz, "refund_amount"), now=now
        )
        moved = is_new and made.due_at is None
        return {
            "out_trade_no": number,
            "trade_no": self._books.find(number, now=now).trade_no,
            "refund_fee": yuan_text(self._books.refunded_fen(number)),
            "fund_change": "Y" if moved else "N",
        }

    def _query_refund(self, biz: Mapping[str, Any], now: datetime) -> Told:
        number, request_no = _number(biz, "out_trade_no"), _number(biz, "out_request_no")
        trade = self._books.find(number, now=now)
        made = self._books.find_refund(number, request_no)
        if made is None:
            return {}
        told: Told = {
            "out_request_no": request_no,
            "out_trade_no": number,
            "refund_amount": yuan_text(made.amount_fen),
            "refund_status": "REFUND_SUCCESS",
            "total_amount": yuan_text(trade.taken_fen),
            "trade_no": trade.trade_no,
        }
        if "gmt_refund_pay" in biz.get("query_options", ()):
            told["gmt_refund_pay"] = beijing_text(made.refunded_at)
        return told

    def _bill(self, biz: Mapping[str, Any], base_url: str, now: datetime) -> Told:
        kind = biz.get("bill_type")
        try:
            day = date.fromisoformat(str(biz.get("bill_date")))
        except ValueError as wrong:
            raise Failure("isp.INVAILID_ARGUMENTS") from wrong
        if kind not in ("trade", "signcustomer"):
            raise Failure("isp.INVAILID_ARGUMENTS")
        fault = self._books.faults.take(BILL, *Fault)
        if day > billing_date(now) or fault is Fault.NOT_YET:
            raise Failure("isp.BILL_NOT_EXIST")
        if fault is Fault.NO_DATA or not (self._books.paid_on(day) + self._books.refunded_on(day)):
            raise Failure("NO_BILL_DATA")
        token = secrets.token_hex(16)
        until = now + timedelta(seconds=DOWNLOAD_SECONDS)
        self._downloads[token] = (kind, day, fault, until)
        return {"bill_download_url": f"{base_url}/alipay/bills/{token}"}


def read_biz(params: Mapping[str, str]) -> dict[str, Any]:
    """Read ``biz_content``. Raises Failure."""
    try:
        biz = json.loads(params.get("biz_content", ""))
    except ValueError as wrong:
        raise Failure("isv.invalid-parameter", "40002") from wrong
    if not isinstance(biz, dict):
        raise Failure("isv.invalid-parameter", "40002")
    return biz


def _number(biz: Mapping[str, Any], name: str) -> str:
    number = biz.get(name)
    if not isinstance(number, str) or re.fullmatch(r"[0-9A-Za-z_-]{1,64}", number) is None:
        raise Failure("ACQ.INVALID_PARAMETER")
    return number


def _amount(biz: Mapping[str, Any], name: str) -> int:
    try:
        amount_fen = parse_yuan(str(biz.get(name)))
    except Invalid as wrong:
        raise Failure("ACQ.INVALID_PARAMETER") from wrong
    if not 0 < amount_fen <= _MOST_FEN:
        raise Failure("ACQ.INVALID_PARAMETER")
    return amount_fen


def _moment(text: object) -> datetime:
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BILLING_ZONE)
    except ValueError as wrong:
        raise Failure("ACQ.INVALID_PARAMETER") from wrong
