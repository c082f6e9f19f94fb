"""The messages UnionPay takes from a merchant, each as what it answers.

Source: docs/wire/unionpay.md, "Orders", "Queries", "Refunds" and "Files".
"""

import base64
import re
import secrets
import zlib
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from core.clock import BILLING_ZONE
from simulator.far_books import whole
from simulator.unionpay_bills import day_zip
from simulator.unionpay_books import UnionPayBooks, money, new_query_id
from simulator.unionpay_records import (
    FILE,
    MER_ID,
    Failure,
    Fault,
    Fields,
    Order,
    Refund,
    Status,
    cleared_on,
    read_stamp,
)

_ECHOED = (
    "version", "encoding", "txnType", "txnSubType", "bizType", "accessType", "merId", "orderId",
    "txnTime", "origQryId", "fileType", "settleDate",
)  # fmt: skip
_STANDS = {
    Status.WAITS: ("05", "交易已受理，请稍后查询"),
    Status.PAID: ("00", "成功"),
    Status.DECLINED: ("64", "卡上的余额不足"),
    Status.OVER: ("69", "您的输入超时，交易失败"),
}
_MALFORMED = "报文格式错误"
_TIME_WITHIN = timedelta(hours=4)  # how exactly it must be now, UnionPay does not say


def answer(said: Mapping[str, str], resp_code: str, words: str, **more: str) -> Fields:
    """Write an answer to a message: what it said of itself, and how it went."""
    echoed = {name: said[name] for name in _ECHOED if name in said}
    return echoed | {"respCode": resp_code, "respMsg": words} | more


class Messages:
    """One merchant's messages."""

    def __init__(self, books: UnionPayBooks) -> None:
        self._books = books

    def back(self, said: Mapping[str, str], *, base_url: str, now: datetime) -> Fields:
        """Take a back-end message. Raises Failure."""
        kind = (said.get("txnType"), said.get("txnSubType"), said.get("bizType"))
        if kind == ("01", "07", "000000"):
            order = self.ask(said, now=now)
            code = f"{base_url}/unionpay/qr/{order.token}"
            return answer(said, "00", "成功[0000000]", qrCode=code, txnAmt=str(order.amount_fen))
        if kind == ("04", "00", "000000"):
            self._refund(said, now=now)
            return answer(said, "00", "成功[0000000]")
        raise Failure("10", _MALFORMED)

    def query(self, said: Mapping[str, str], *, now: datetime) -> Fields:
        """Say how an order or a refund stands. Raises Failure."""
        if (said.get("txnType"), said.get("txnSubType")) != ("00", "00"):
            raise Failure("10", _MALFORMED)
        found = self._books.find(said.get("orderId", ""), said.get("txnTime", ""), now=now)
        if isinstance(found, Refund):
            waits = found.due_at is not None
            code, words = _STANDS[Status.WAITS if waits else Status.PAID]
            moved = money(found.amount_fen, found.query_id, found.refunded_at)
        else:
            code, words = _STANDS[found.status]
            moved = {"txnAmt": str(found.amount_fen), "currencyCode": "156"}
            if found.paid_at is not None:
                moved = money(found.taken_fen, found.query_id, found.paid_at)
        return answer(said, "00", "成功[0000000]", origRespCode=code, origRespMsg=words, **moved)

    def ask(self, said: Mapping[str, str], *, now: datetime) -> Order:
        """Remember an order whose page or code a merchant asked for. Raises Failure."""
        if said.get("currencyCode") != "156" or said.get("channelType") not in ("07", "08"):
            raise Failure("10", _MALFORMED)
        if not said.get("backUrl"):
            raise Failure("13", "报文交易要素缺失")
        expires_at = _moment(said["payTimeout"]) if "payTimeout" in said else None
        if expires_at is not None and expires_at <= now:
            raise Failure("10", _MALFORMED)
        order = Order(
            order_id=_number(said), txn_time=_time(said, now=now), amount_fen=_amount(said),
            biz_type=said["bizType"], front_url=said.get("frontUrl", ""),
            back_url=said["backUrl"], expires_at=expires_at, token=secrets.token_hex(12),
            opened_at=now,
        )  # fmt: skip
        return self._books.ask(order, now=now)

    def bring_back(self, order: Order) -> Fields:
        """Return the form a payer's browser brings back to the shop; it is no proof of anything."""
        code, words = _STANDS[order.status]
        named = {
            "version": "5.1.0", "encoding": "UTF-8", "txnType": "01", "txnSubType": "01",
            "bizType": order.biz_type, "accessType": "0", "merId": MER_ID,
            "orderId": order.order_id, "txnTime": order.txn_time, "txnAmt": str(order.taken_fen),
            "currencyCode": "156",
        }  # fmt: skip
        return named | {"queryId": order.query_id, "respCode": code, "respMsg": words}

    def file(self, said: Mapping[str, str], *, now: datetime) -> Fields:
        """Give the files of one of UnionPay's days. Raises Failure."""
        kind = (said.get("txnType"), said.get("txnSubType"), said.get("fileType"))
        if kind != ("76", "01", "00"):
            raise Failure("10", _MALFORMED)
        day = _newest(said.get("settleDate", ""), now=now)
        fault = self._books.faults.take(FILE, *Fault)
        orders, refunds = self._books.cleared(day)
        nothing = not orders and not refunds
        if fault is Fault.NOT_YET or day > cleared_on(now) or nothing:
            raise Failure("98", "文件不存在")
        content = day_zip(self._books, day, fault)
        text = base64.b64encode(zlib.compress(content)).decode()
        return answer(
            said, "00", "成功[0000000]", fileName=f"{MER_ID}_{day:%Y%m%d}.zip", fileContent=text
        )

    def _refund(self, said: Mapping[str, str], *, now: datetime) -> None:
        if not said.get("backUrl"):
            raise Failure("13", "报文交易要素缺失")
        of = self._books.paid(
            said.get("origQryId", ""), said.get("origOrderId", ""), said.get("origTxnTime", "")
        )
        made = Refund(
            order_id=_number(said), txn_time=_time(said, now=now), of_order_id=of.order_id,
            amount_fen=_amount(said), back_url=said["backUrl"], query_id=new_query_id(now),
            refunded_at=whole(now),
        )  # fmt: skip
        self._books.refund(made, now=now)


def _number(said: Mapping[str, str]) -> str:
    number = said.get("orderId", "")
    if re.fullmatch(r"[0-9A-Za-z]{8,40}", number) is None:
        raise Failure("10", _MALFORMED)
    return number


def _time(said: Mapping[str, str], *, now: datetime) -> str:
    """Return when something is asked for, which must be about now. Raises Failure."""
    if abs(_moment(said.get("txnTime", "")) - now) > _TIME_WITHIN:
        raise Failure("10", "txnTime无效")
    return said["txnTime"]


def _moment(text: str) -> datetime:
    try:
        return read_stamp(text)
    except ValueError as wrong:
        raise Failure("10", _MALFORMED) from wrong


def _amount(said: Mapping[str, str]) -> int:
    text = said.get("txnAmt", "")
    if re.fullmatch(r"[1-9][0-9]{0,11}", text) is None:
        raise Failure("10", _MALFORMED)
    return int(text)


def _newest(settle_date: str, *, now: datetime) -> date:
    """Return the day a date without a year is of: the newest that is not far ahead."""
    today = now.astimezone(BILLING_ZONE).date()
    for year in (today.year + 1, today.year, today.year - 1):
        try:
            day = date.fromisoformat(f"{year}-{settle_date[:2]}-{settle_date[2:]}")
        except ValueError:
            continue
        if day <= today + timedelta(days=31):
            return day
    raise Failure("10", _MALFORMED)
