"""What the far side of WeChat Pay knows: orders, refunds and notifications still to deliver.

Source: docs/wire/wechatpay.md.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from pydantic import BaseModel

from core.clock import BILLING_ZONE, billing_date
from simulator.far_books import FarBooks, put, whole
from simulator.journal import Journal
from simulator.wechatpay_keys import Keys
from simulator.wechatpay_records import (
    Choice,
    Complaint,
    Delivery,
    Fault,
    Faults,
    Order,
    OrderRequest,
    Refund,
    RefundRequest,
    RefundStatus,
    TradeState,
    Trick,
    WechatpayOptions,
    beijing_text,
    holds,
    order_facts,
    refund_facts,
)

_SECONDS = (15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800,
            21_600, 21_600)  # fmt: skip
_REFUND_DAYS, _MOST_REFUNDS, _CLOSES_AFTER = 365, 50, timedelta(days=7)


class WechatpayBooks(FarBooks[Delivery]):
    """The state."""

    def __init__(self, options: WechatpayOptions, keys: Keys, journal: Journal) -> None:
        kinds: dict[str, type[BaseModel]] = {"orders": Order, "refunds": Refund}
        retry_after = [timedelta(seconds=one) / options.hurry for one in _SECONDS]
        super().__init__(journal, kinds, Delivery, retry_after=retry_after)
        self._options, self._keys = options, keys
        self.faults = Faults()
        self._orders: dict[str, Order] = {}
        self._number_of: dict[str, str] = {}
        self._refunds: dict[str, Refund] = {}
        self._refunds_of: defaultdict[str, list[str]] = defaultdict(list)
        self._late: set[str] = set()
        self._processing: set[str] = set()
        self._replay()

    def open_order(self, asked: OrderRequest, trade_type: str, *, now: datetime) -> Order:
        """Open an order, once. Raises Complaint."""
        self._check_merchant(asked.mchid, asked.appid)
        with self._lock:
            known = self._orders.get(asked.out_trade_no)
            if known is None:
                stamp = now.astimezone(BILLING_ZONE).strftime("%Y%m%d")
                order = Order(
                    asked=asked, trade_type=trade_type, opened_at=whole(now),
                    prepay_id=f"wx{stamp}{secrets.token_hex(12)}",
                    transaction_id=f"42000{stamp}{secrets.randbelow(10**15):015d}",
                    openid=asked.payer.openid if asked.payer else f"o{secrets.token_hex(13)}",
                )  # fmt: skip
                self._change(order)
                return order
            known = self.get(asked.out_trade_no, now=now)
            if known.state is TradeState.SUCCESS:
                raise Complaint(400, "ORDERPAID", "该订单已支付")
            if known.state is TradeState.CLOSED:
                raise Complaint(400, "ORDER_CLOSED", "该订单已关闭")
            if (known.asked, known.trade_type) != (asked, trade_type):
                raise Complaint(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
            return known

    def get(self, number: str, *, now: datetime) -> Order:
        """Return an order, closed first if its time has run out. Raises Complaint."""
        with self._lock:
            order = self._orders.get(number)
            if order is None:
                raise Complaint(404, "ORDER_NOT_EXIST", "订单不存在")
            ends_at = min(order.asked.time_expire, order.opened_at + _CLOSES_AFTER)
            if order.state is TradeState.NOTPAY and order.late_until is None and now >= ends_at:
                order = order.model_copy(update={"state": TradeState.CLOSED})
                self._change(order)
            return order

    def by_reference(self, reference: str, *, now: datetime) -> Order:
        """Return an order by its prepay_id or transaction_id. Raises Complaint."""
        return self.get(self._number_of.get(reference, ""), now=now)

    def close(self, number: str, mchid: str, *, now: datetime) -> Order:
        """Close an unpaid order. Raises Complaint."""
        self._check_merchant(mchid)
        with self._lock:
            order = self.get(number, now=now)
            if order.state is TradeState.SUCCESS:
                raise Complaint(400, "ORDERPAID", "该订单已支付")
            order = order.model_copy(update={"state": TradeState.CLOSED, "late_until": None})
            self._change(order)
            return order

    def choose(self, prepay_id: str, choice: Choice, *, now: datetime) -> Order:
        """Do what the payer pressed; what is paid or closed stays so. Raises Complaint."""
        with self._lock:
            order = self.by_reference(prepay_id, now=now)
            if order.state is not TradeState.NOTPAY or order.late_until is not None:
                return order
            order = order.model_copy(update={"choice": choice})
            if choice is Choice.LATE:
                order = order.model_copy(update={"late_until": now + self._options.late_after})
            if choice in {Choice.NO, Choice.LATE}:
                self._change(order)
                return order
            return self._pay(order, now=now)

    def refund(self, asked: RefundRequest, *, now: datetime) -> Refund:
        """Begin to give money back, once. Raises Complaint."""
        with self._lock:
            known = self._refunds.get(asked.out_refund_no)
            if known is not None:
                if (known.asked.out_trade_no, known.asked.amount) != (
                    asked.out_trade_no, asked.amount,
                ):  # fmt: skip
                    raise Complaint(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致")
                return known
            order = self._refundable(asked, now=now)
            given_back = [one for one in self.refunds_of(order.number) if holds(one)]
            before_fen = sum(one.asked.amount.refund for one in given_back)
            share = order.fee_fen * (before_fen + asked.amount.refund) // order.taken_fen
            fault = self.faults.take(order.number, Fault.REFUND_ABNORMAL, Fault.REFUND_CLOSED)
            ends_as = {
                Fault.REFUND_ABNORMAL: RefundStatus.ABNORMAL,
                Fault.REFUND_CLOSED: RefundStatus.CLOSED,
            }.get(fault or Fault.SILENT, RefundStatus.SUCCESS)
            stamp = now.astimezone(BILLING_ZONE).strftime("%Y%m%d")
            refund = Refund(
                asked=asked, refund_id=f"50300{stamp}{secrets.randbelow(10**15):015d}",
                ends_as=ends_as, asked_at=whole(now), due_at=now + self._options.refund_after,
                fee_fen=share - sum(one.fee_fen for one in given_back),
            )  # fmt: skip
            self._change(refund)
            return refund

    def get_refund(self, number: str) -> Refund:
        """Return a refund. Raises Complaint."""
        refund = self._refunds.get(number)
        if refund is None:
            raise Complaint(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return refund

    def refunds_of(self, order_no: str) -> list[Refund]:
        """Return the refunds of an order."""
        with self._lock:
            return [self._refunds[number] for number in self._refunds_of[order_no]]

    def paid_on(self, day: date) -> list[Order]:
        """Return the orders paid on a Shanghai day."""
        with self._lock:
            orders = list(self._orders.values())
        return [one for one in orders if one.paid_at and billing_date(one.paid_at) == day]

    def refunded_on(self, day: date) -> list[tuple[Refund, Order]]:
        """Return the refunds asked for on a Shanghai day, each with its order."""
        with self._lock:
            pairs = [(one, self._orders[one.asked.out_trade_no]) for one in self._refunds.values()]
        return [(one, order) for one, order in pairs if billing_date(one.asked_at) == day]

    def latest(self, limit: int) -> list[tuple[Order, list[Refund], list[Delivery]]]:
        """Return the newest orders, each with its refunds and notifications."""
        with self._lock:
            newest = list(self._orders.values())[: -limit - 1 : -1]
            return [(one, self.refunds_of(one.number), self._told_of(one.number)) for one in newest]

    def settle_due(self, *, now: datetime) -> None:
        """Pay the orders whose ``late`` is over and end the refunds that are due."""
        with self._lock:
            for order in [self._orders[number] for number in self._late]:
                if order.late_until is not None and order.late_until <= now:
                    self._pay(order, now=now)
            for refund in [self._refunds[number] for number in self._processing]:
                if refund.due_at is not None and refund.due_at <= now:
                    self._end(refund, now=now)

    def _moments(self) -> Iterable[datetime | None]:
        yield from (self._orders[number].late_until for number in self._late)
        yield from (self._refunds[number].due_at for number in self._processing)

    def _waits(self, delivery: Delivery) -> Sequence[timedelta]:
        return () if delivery.trick else self._retry_after

    def _check_merchant(self, mchid: str, appid: str | None = None) -> None:
        if mchid != self._options.mchid or appid not in {None, self._options.appid}:
            raise Complaint(400, "APPID_MCHID_NOT_MATCH", "商户号与AppID不匹配")

    def _refundable(self, asked: RefundRequest, *, now: datetime) -> Order:
        """Return the order a refund may be made of. Raises Complaint."""
        order = self._orders.get(asked.out_trade_no)
        missed = self.faults.take(asked.out_trade_no, Fault.MISSED)
        if order is None or order.paid_at is None or missed:
            raise Complaint(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        held = [one for one in self.refunds_of(order.number) if holds(one)]
        back_fen = sum(one.asked.amount.refund for one in held)
        if asked.amount.total != order.taken_fen:
            raise Complaint(400, "INVALID_REQUEST", "订单金额不一致")
        if back_fen + asked.amount.refund > order.taken_fen:
            raise Complaint(400, "INVALID_REQUEST", "退款金额大于可退金额")
        if now - order.paid_at > timedelta(days=_REFUND_DAYS):
            raise Complaint(400, "INVALID_REQUEST", "订单已超过可退款期限")
        if len(self.refunds_of(order.number)) >= _MOST_REFUNDS:
            raise Complaint(400, "INVALID_REQUEST", "退款次数超限")
        lately = whole(now) - self._options.refunds_apart
        if any(one.asked_at > lately for one in self.refunds_of(order.number)):
            raise Complaint(400, "INVALID_REQUEST", "同一笔订单多次退款的请求需相隔1分钟")
        if self.faults.take(order.number, Fault.SHORT):
            raise Complaint(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        return order

    def _pay(self, order: Order, *, now: datetime) -> Order:
        """Take the money, and put what is to be told on the agenda."""
        more = 1 if self.faults.take(order.number, Fault.OTHER_AMOUNT) else 0
        order = order.model_copy(
            update={
                "state": TradeState.SUCCESS, "paid_at": whole(now), "late_until": None,
                "taken_fen": order.asked.amount.total + more,
            }
        )  # fmt: skip
        deliveries: list[Delivery] = []
        if order.choice is not Choice.NOTHING:
            told = self._told(order, "TRANSACTION.SUCCESS", order_facts(order), now=now)
            deliveries.append(told)
        if order.choice is Choice.TWICE:
            again = f"{deliveries[0].delivery_id}-again"
            deliveries.append(deliveries[0].model_copy(update={"delivery_id": again}))
        for fault in (Fault.PROBE, Fault.STALE, Fault.UNKNOWN_SERIAL):
            if deliveries and self.faults.take(order.number, fault):
                name, trick = f"{deliveries[0].delivery_id}-{fault}", Trick(fault)
                deliveries.insert(
                    0, deliveries[-1].model_copy(update={"delivery_id": name, "trick": trick})
                )
        self._change(order, deliveries=deliveries)
        return order

    def _end(self, refund: Refund, *, now: datetime) -> None:
        """End a refund, and put what is to be told on the agenda."""
        refund = refund.model_copy(
            update={"status": refund.ends_as, "due_at": None, "ended_at": whole(now)}
        )
        order = self._orders[refund.asked.out_trade_no]
        told = refund_facts(refund, order)
        told["mchid"], told["refund_status"] = self._options.mchid, told.pop("status")
        event = f"REFUND.{refund.status}"
        delivery = self._told(order, event, told, now=now, url=refund.asked.notify_url)
        self._change(refund, deliveries=[delivery])

    def _told(
        self,
        order: Order,
        event: str,
        facts: dict[str, object],
        *,
        now: datetime,
        url: str | None = None,
    ) -> Delivery:
        """Write a notification, encrypted once and signed whenever it is sent."""
        event_id, about = f"EV-{secrets.token_hex(14)}", event.partition(".")[0].lower()
        sealed = self._keys.encrypt(json.dumps(facts, ensure_ascii=False), about)
        body = {
            "id": event_id,
            "create_time": beijing_text(now),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": "支付成功" if about == "transaction" else "退款结果",
            "resource": {"original_type": about, **sealed},
        }
        return Delivery(
            delivery_id=event_id, order_no=order.number, event=event,
            url=url or order.asked.notify_url, due_at=now,
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        )  # fmt: skip

    def _keep(self, record: BaseModel) -> None:
        match record:
            case Order():
                self._orders[record.number] = record
                self._number_of[record.prepay_id] = record.number
                self._number_of[record.transaction_id] = record.number
                put(self._late, record.number, record.late_until is not None)
            case Refund():
                if record.number not in self._refunds:
                    self._refunds_of[record.asked.out_trade_no].append(record.number)
                self._refunds[record.number] = record
                put(self._processing, record.number, record.due_at is not None)
