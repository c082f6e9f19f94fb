"""What the far side of UnionPay knows, and what becomes of it.

Source: docs/wire/unionpay.md.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from pydantic import BaseModel

from core.errors import NotFound
from simulator.far_books import FarBooks, whole
from simulator.journal import Journal
from simulator.one_time_faults import OneTimeFaults
from simulator.unionpay_records import (
    MER_ID,
    Choice,
    Delivery,
    Failure,
    Fault,
    Fields,
    Order,
    Refund,
    Status,
    cleared_on,
    stamp,
)

NOBODY = "http://www.specialUrl.com"


class UnionPayBooks(FarBooks[Delivery]):
    """The state.

    Args:
        journal: read through once here, appended to afterwards.
        late_after: how long ``late`` and a slow refund take.
        retry_after: the waits between attempts at one notification.
    """

    def __init__(
        self, journal: Journal, *, late_after: timedelta, retry_after: Sequence[timedelta]
    ) -> None:
        kinds: dict[str, type[BaseModel]] = {"order": Order, "refund": Refund}
        super().__init__(journal, kinds, Delivery, retry_after=retry_after)
        self.faults = OneTimeFaults[Fault]()
        self._late_after = late_after
        self._orders: dict[str, Order] = {}
        self._order_of: dict[str, str] = {}  # by token
        self._refunds: dict[str, Refund] = {}
        self._replay()

    def ask(self, asked: Order, *, now: datetime) -> Order:
        """Remember an order, once. Raises Failure."""
        with self._lock:
            if asked.order_id in self._refunds:
                raise Failure("12", "重复交易")
            known = self._orders.get(asked.order_id)
            if known is None:
                extra = self.faults.take(asked.order_id, Fault.OTHER_AMOUNT)
                self._change(asked.model_copy(update={"extra_fen": 1 if extra else 0}))
                return self._orders[asked.order_id]
            known = self._now(known, now=now)
            same = (known.txn_time, known.amount_fen) == (asked.txn_time, asked.amount_fen)
            if not same or not known.waits:
                raise Failure("12", "重复交易")
            return known

    def find(self, order_id: str, txn_time: str, *, now: datetime) -> Order | Refund:
        """Return what a merchant's number and time stand for. Raises Failure."""
        with self._lock:
            found = self._orders.get(order_id) or self._refunds.get(order_id)
            if found is None or found.txn_time != txn_time:
                raise Failure("34", "查无此交易")
            return self._now(found, now=now) if isinstance(found, Order) else found

    def by_token(self, token: str, *, now: datetime) -> Order:
        """Return what a page is of. Raises NotFound."""
        with self._lock:
            if token not in self._order_of:
                raise NotFound("there is no such page")
            return self._now(self._orders[self._order_of[token]], now=now)

    def choose(self, token: str, choice: Choice, *, now: datetime) -> Order:
        """Do what the payer pressed; what is over stays as it is."""
        with self._lock:
            order = self.by_token(token, now=now)
            if not order.waits:
                return order
            order = order.model_copy(update={"choice": choice})
            if choice is Choice.LATE:
                order = order.model_copy(update={"late_until": now + self._late_after})
            if choice is Choice.NO:
                order = order.model_copy(update={"status": Status.DECLINED})
            if choice in (Choice.LATE, Choice.NO):
                self._change(order)
                return order
            return self._pay(order, now=now)

    def paid(self, query_id: str, order_id: str, txn_time: str) -> Order:
        """Return the payment a refund names, either way. Raises Failure."""
        with self._lock:
            for one in self._orders.values():
                named = (one.order_id, one.txn_time) == (order_id, txn_time)
                if one.status is Status.PAID and (one.query_id == query_id if query_id else named):
                    return one
        raise Failure("35", "原交易不存在或状态不正确")

    def refund(self, asked: Refund, *, now: datetime) -> Refund:
        """Give money back, once. Raises Failure."""
        with self._lock:
            order = self._orders[asked.of_order_id]
            if asked.order_id in self._refunds or asked.order_id in self._orders:
                raise Failure("12", "重复交易")
            if self.refunded_fen(order.order_id) + asked.amount_fen > order.taken_fen:
                raise Failure("36", "与原交易信息不符")
            slow = self.faults.take(order.order_id, Fault.SLOW_REFUND) is not None
            if slow:
                asked = asked.model_copy(update={"due_at": now + self._late_after})
                self._change(asked)
            else:
                self._change(asked, deliveries=_told_of_refund(asked, now=now))
            return asked

    def refunded_fen(self, order_id: str) -> int:
        """Return what went back of an order so far, or is on its way."""
        with self._lock:
            refunds = list(self._refunds.values())
        return sum(one.amount_fen for one in refunds if one.of_order_id == order_id)

    def cleared(self, day: date) -> tuple[list[Order], list[tuple[Refund, Order]]]:
        """Return the payments and the refunds of one of UnionPay's days."""
        with self._lock:
            orders = [one for one in self._orders.values() if one.paid_at]
            refunds = [
                (one, self._orders[one.of_order_id])
                for one in self._refunds.values() if one.due_at is None
            ]  # fmt: skip
        return (
            [one for one in orders if one.paid_at and cleared_on(one.paid_at) == day],
            [pair for pair in refunds if cleared_on(pair[0].refunded_at) == day],
        )

    def latest(self, limit: int) -> list[tuple[Order, list[Delivery]]]:
        """Return the newest orders, each with its notifications."""
        with self._lock:
            newest = list(self._orders.values())[: -limit - 1 : -1]
            return [(one, self._told_of(one.order_id)) for one in newest]

    def settle_due(self, *, now: datetime) -> None:
        """Pay every order whose ``late`` is over, and make every slow refund that is due."""
        with self._lock:
            for order in [one for one in self._orders.values() if one.late_until]:
                if order.late_until is not None and order.late_until <= now:
                    self._pay(order, now=now)
            for refund in [one for one in self._refunds.values() if one.due_at]:
                if refund.due_at is not None and refund.due_at <= now:
                    made = refund.model_copy(update={"due_at": None, "refunded_at": whole(now)})
                    self._change(made, deliveries=_told_of_refund(made, now=now))

    def _now(self, order: Order, *, now: datetime) -> Order:
        """Return an order as it stands, ended first if its time has run out."""
        if order.waits and order.expires_at is not None and now >= order.expires_at:
            order = order.model_copy(update={"status": Status.OVER})
            self._change(order)
        return order

    def _pay(self, order: Order, *, now: datetime) -> Order:
        order = order.model_copy(
            update={
                "status": Status.PAID,
                "paid_at": whole(now),
                "late_until": None,
                "query_id": new_query_id(now),
            }
        )
        times = {Choice.NOTHING: 0, Choice.TWICE: 2}.get(order.choice or Choice.YES, 1)
        deliveries = [
            _told_of_payment(order, now=now) for _ in range(times if order.back_url else 0)
        ]
        self._change(order, deliveries=deliveries)
        return order

    def _keep(self, record: BaseModel) -> None:
        match record:
            case Order():
                self._orders[record.order_id] = record
                self._order_of[record.token] = record.order_id
            case Refund():
                self._refunds[record.order_id] = record

    def _moments(self) -> Iterable[datetime | None]:
        yield from (one.late_until for one in self._orders.values())
        yield from (one.due_at for one in self._refunds.values())


def new_query_id(now: datetime) -> str:
    """Return a number of UnionPay's own: a moment and seven digits."""
    return f"{stamp(now)}{secrets.randbelow(10**7):07d}"


def _told_of_payment(order: Order, *, now: datetime) -> Delivery:
    assert order.paid_at is not None
    told = {
        "txnType": "01",
        "txnSubType": "01" if order.biz_type == "000201" else "07",
        "bizType": order.biz_type,
        "orderId": order.order_id,
        "txnTime": order.txn_time,
        **money(order.taken_fen, order.query_id, order.paid_at),
    }
    return _delivery(order.order_id, order.back_url, told, now=now)


def _told_of_refund(made: Refund, *, now: datetime) -> list[Delivery]:
    if made.back_url in ("", NOBODY):
        return []
    told = {
        "txnType": "04",
        "txnSubType": "00",
        "bizType": "000000",
        "orderId": made.order_id,
        "txnTime": made.txn_time,
        **money(made.amount_fen, made.query_id, made.refunded_at),
    }
    return [_delivery(made.of_order_id, made.back_url, told, now=now)]


def _delivery(order_id: str, url: str, told: Fields, *, now: datetime) -> Delivery:
    common = {
        "version": "5.1.0",
        "encoding": "UTF-8",
        "accessType": "0",
        "merId": MER_ID,
        "respCode": "00",
        "respMsg": "成功[0000000]",
    }
    return Delivery(
        delivery_id=secrets.token_hex(8), order_id=order_id, url=url, told=common | told, due_at=now
    )


def money(amount_fen: int, query_id: str, moved_at: datetime) -> Fields:
    """Return what an answer and a notification say of money that moved."""
    return {
        "txnAmt": str(amount_fen),
        "settleAmt": str(amount_fen),
        "currencyCode": "156",
        "settleCurrencyCode": "156",
        "queryId": query_id,
        "traceNo": query_id[-6:],
        "traceTime": stamp(moved_at)[4:],
        "settleDate": f"{cleared_on(moved_at):%m%d}",
    }
