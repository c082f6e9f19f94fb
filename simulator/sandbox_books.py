"""What the sandbox gateway knows: orders, refunds and notifications still to deliver.

Source: docs/wire/sandbox-gateway.md.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from pydantic import BaseModel

from core.clock import billing_date
from core.errors import Conflict, NotFound
from simulator.far_books import FarBooks, put, whole
from simulator.journal import Journal
from simulator.one_time_faults import OneTimeFaults
from simulator.sandbox_faults import NEXT, Fault
from simulator.sandbox_records import (
    Choice,
    DebitRequest,
    Delivery,
    Order,
    OrderRequest,
    OrderStatus,
    Refund,
    RefundRequest,
)
from simulator.wire import utc_text

LATE_AFTER = timedelta(seconds=20)
RETRY_AFTER = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2))


class SandboxBooks(FarBooks[Delivery]):
    """The gateway's state.

    Args:
        journal: read through once here, appended to afterwards.
        late_after: how long ``late`` takes.
        retry_after: the waits between attempts at one notification.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        late_after: timedelta = LATE_AFTER,
        retry_after: Sequence[timedelta] = RETRY_AFTER,
    ) -> None:
        kinds: dict[str, type[BaseModel]] = {"order": Order, "refund": Refund}
        super().__init__(journal, kinds, Delivery, retry_after=retry_after)
        self.faults = OneTimeFaults[Fault]()
        self._late_after = late_after
        self._orders: dict[str, Order] = {}
        self._order_no_of: dict[str, str] = {}
        self._refunds: dict[str, Refund] = {}
        self._refunds_of: defaultdict[str, list[Refund]] = defaultdict(list)
        self._late_order_nos: set[str] = set()
        self._replay()

    def open_order(self, asked: OrderRequest, *, now: datetime) -> tuple[Order, bool]:
        """Open an order, once; the flag tells whether it is new.

        Raises:
            Conflict: the number came before with another amount.
        """
        with self._lock:
            known = self._known(asked)
            if known is not None:
                return known, False
            order = self._new(asked, now=now)
            self._change(order)
            return order, True

    def debit(
        self, asked: DebitRequest, choice: Choice, *, refused: str | None, now: datetime
    ) -> tuple[Order, bool]:
        """Debit a payer who is not there, once, as they have chosen before; or say why not.

        Raises:
            Conflict: the number came before with another amount.
        """
        with self._lock:
            known = self._known(asked)
            if known is not None:
                return known, False
            made = {"choice": Choice.NO if refused else choice, "reason": refused}
            order = self._new(asked, now=now).model_copy(update=made)
            if order.choice is Choice.LATE:
                order = order.model_copy(update={"late_until": now + self._late_after})
                self._change(order)
                return order, True
            return self._settle(order, now=now), True

    def _known(self, asked: OrderRequest) -> Order | None:
        """Return an order that came before. Raises Conflict if it came with another amount."""
        known = self._orders.get(asked.order_no)
        if known is not None and known.amount_fen != asked.amount_fen:
            raise Conflict("this order_no came with another amount", code="order.conflict")
        return known

    def _new(self, asked: OrderRequest, *, now: datetime) -> Order:
        self.faults.hand_on(NEXT, to=asked.order_no)
        extra_fen = 1 if self.faults.take(asked.order_no, Fault.OTHER_AMOUNT) else 0
        ref = f"sbx_{secrets.token_hex(12)}"
        return Order(**dict(asked), gateway_ref=ref, opened_at=whole(now), extra_fen=extra_fen)

    def get_order(self, order_no: str, *, now: datetime) -> Order:
        """Return an order, closed first if its time has run out. Raises NotFound."""
        with self._lock:
            order = self._orders.get(order_no)
            if order is None:
                raise NotFound("no such order", code="order.unknown")
            if _is_waiting(order) and now >= order.expires_at:
                order = order.model_copy(update={"status": OrderStatus.CLOSED})
                self._change(order)
            return order

    def get_by_ref(self, gateway_ref: str, *, now: datetime) -> Order:
        """Return an order by the gateway's own reference. Raises NotFound."""
        return self.get_order(self._order_no_of.get(gateway_ref, ""), now=now)

    def close_order(self, order_no: str, *, now: datetime) -> Order:
        """Close an order that is not paid; a paid one is returned as it is."""
        with self._lock:
            order = self.get_order(order_no, now=now)
            if order.status in (OrderStatus.PAID, OrderStatus.CLOSED):
                return order
            order = order.model_copy(update={"status": OrderStatus.CLOSED, "late_until": None})
            self._change(order)
            return order

    def choose(self, gateway_ref: str, choice: Choice, *, now: datetime) -> Order:
        """Do what the payer pressed; a second press changes nothing."""
        with self._lock:
            order = self.get_by_ref(gateway_ref, now=now)
            if not _is_waiting(order):
                return order
            order = order.model_copy(update={"choice": choice})
            if choice is Choice.LATE:
                order = order.model_copy(update={"late_until": now + self._late_after})
                self._change(order)
                return order
            return self._settle(order, now=now)

    def settle_due(self, *, now: datetime) -> None:
        """Pay every order whose ``late`` is over."""
        with self._lock:
            for order in [self._orders[order_no] for order_no in self._late_order_nos]:
                if order.late_until is not None and order.late_until <= now:
                    self._settle(order, now=now)

    def refund(self, asked: RefundRequest, *, now: datetime) -> tuple[Refund, bool]:
        """Give money back, once; the flag tells whether it is new.

        Raises:
            NotFound: no such order.
            Conflict: the number came before otherwise, the order is not paid, or the refunds
                would pass its amount.
        """
        with self._lock:
            known = self._refunds.get(asked.refund_no)
            if known is not None:
                if (known.order_no, known.amount_fen) != (asked.order_no, asked.amount_fen):
                    raise Conflict("this refund_no came with another body", code="refund.conflict")
                return known, False
            order = self.get_order(asked.order_no, now=now)
            if order.status is not OrderStatus.PAID:
                raise Conflict("the order is not paid", code="order.not_paid")
            if self.refunded_fen(order.order_no) + asked.amount_fen > order.taken_fen:
                raise Conflict("refunds would pass the amount", code="refund.too_much")
            ref = f"sbr_{secrets.token_hex(12)}"
            refund = Refund(**dict(asked), refund_ref=ref, refunded_at=whole(now))
            self._change(refund, deliveries=[_told(order, now=now, refund=refund)])
            return refund, True

    def get_refund(self, refund_no: str) -> Refund:
        """Return a refund. Raises NotFound."""
        refund = self._refunds.get(refund_no)
        if refund is None:
            raise NotFound("no such refund", code="refund.unknown")
        return refund

    def refunded_fen(self, order_no: str) -> int:
        """Return what went back of an order so far."""
        with self._lock:
            return sum(refund.amount_fen for refund in self._refunds_of[order_no])

    def paid_on(self, day: date) -> list[Order]:
        """Return the orders paid on a Shanghai day."""
        with self._lock:
            orders = list(self._orders.values())
        return [o for o in orders if o.paid_at is not None and billing_date(o.paid_at) == day]

    def refunded_on(self, day: date) -> list[tuple[Refund, Order]]:
        """Return the refunds of a Shanghai day, each with its order."""
        with self._lock:
            refunds = [(r, self._orders[r.order_no]) for r in self._refunds.values()]
        return [(r, o) for r, o in refunds if billing_date(r.refunded_at) == day]

    def latest_orders(self, limit: int) -> list[tuple[Order, list[Delivery]]]:
        """Return the newest orders, each with its notifications."""
        with self._lock:
            newest = list(self._orders.values())[: -limit - 1 : -1]
            return [(order, self._told_of(order.order_no)) for order in newest]

    def tell(self, delivery: Delivery) -> None:
        """Put a notification that is about no order on the agenda."""
        with self._lock:
            self._change(deliveries=[delivery])

    def _settle(self, order: Order, *, now: datetime) -> Order:
        """Turn an order paid or declined, and put what is to be told on the agenda."""
        if order.choice is Choice.NO:
            settled: dict[str, object] = {"status": OrderStatus.DECLINED}
        else:
            more = self.faults.take(order.order_no, Fault.OTHER_AMOUNT) is not None
            settled = {
                "status": OrderStatus.PAID, "paid_at": whole(now), "late_until": None,
                "extra_fen": 1 if more else order.extra_fen,
            }  # fmt: skip
        order = order.model_copy(update=settled)
        deliveries: list[Delivery] = []
        if order.choice is not Choice.NOTHING:
            deliveries.append(_told(order, now=now))
        if order.choice is Choice.TWICE:
            again = f"{deliveries[0].delivery_id}-again"
            deliveries.append(deliveries[0].model_copy(update={"delivery_id": again}))
        self._change(order, deliveries=deliveries)
        return order

    def _keep(self, record: BaseModel) -> None:
        match record:
            case Order():
                self._orders[record.order_no] = record
                self._order_no_of[record.gateway_ref] = record.order_no
                put(self._late_order_nos, record.order_no, record.late_until is not None)
            case Refund():
                self._refunds[record.refund_no] = record
                self._refunds_of[record.order_no].append(record)

    def _moments(self) -> Iterable[datetime | None]:
        return [self._orders[order_no].late_until for order_no in self._late_order_nos]


def _is_waiting(order: Order) -> bool:
    """Tell whether the payer may still choose."""
    return order.status is OrderStatus.OPEN and order.late_until is None


def _told(order: Order, *, now: datetime, refund: Refund | None = None) -> Delivery:
    """Write the notification of an order's outcome, or of a refund of it."""
    event = "refund.succeeded" if refund else f"order.{order.status}"
    event_id = f"evt_{secrets.token_hex(12)}"
    told = {
        "event_id": event_id,
        "event": event,
        "order_no": order.order_no,
        "gateway_ref": order.gateway_ref,
        "amount_fen": refund.amount_fen if refund else order.taken_fen,
        "paid_at": utc_text(order.paid_at) if order.paid_at else None,
    }
    if refund is not None:
        told["refund_no"] = refund.refund_no
    return Delivery(
        delivery_id=event_id,
        order_no=order.order_no,
        event=event,
        url=order.notify_url,
        body=json.dumps(told, separators=(",", ":")),
        due_at=now,
    )
