"""The far side of a gateway: its orders, what it took and sent back, what it has to tell.

These are the gateway's own books. They know our order and refund numbers and nothing else of us, so
that what we believe can be held against them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from core import crypto
from payments.gateways.base import (
    CallbackKind,
    GatewayReply,
    GatewayStatus,
    MandateState,
    RefundOrder,
    RefundReply,
    RefundState,
    SettlementRecord,
)
from tests.weeks.disputes import Disputes
from tests.weeks.far_mandates import Mandates


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one gateway behaves, all its life."""

    code: str
    tries_again: bool = False  # a refused payer may pay after all
    unknown_until_arrival: bool = False  # an order exists once its payer came (a signed page link)
    slow_refunds: bool = False  # PENDING first, then sent or refused
    brings_back: bool = False  # a refund that was sent may come back days later
    takes_late: bool = False  # money on its way when an order closes comes all the same
    takes_twice: bool = False  # an impatient payer can pay one order twice
    takes_other_amounts: bool = False  # a coupon, a rounding: not what we asked for
    gives_up_calling: bool = False  # some news is never told; only its settlement file has it
    debits: bool = False  # payers can agree once and be debited


MANNERS = (
    Manner(code="wallet", takes_twice=True, takes_late=True, debits=True, brings_back=True),
    Manner(code="card", tries_again=True, slow_refunds=True, brings_back=True),
    Manner(code="page", unknown_until_arrival=True, takes_late=True, brings_back=True),
    Manner(
        code="coupon",
        takes_other_amounts=True,
        slow_refunds=True,
        takes_late=True,
        brings_back=True,
    ),
)


class Stage(StrEnum):
    OPEN = "open"
    PAID = "paid"
    REFUSED = "refused"
    CLOSED = "closed"


@dataclass
class Taking:
    """Money a gateway took from a payer."""

    ref: str
    order_no: str
    amount_fen: int
    at: datetime


@dataclass
class FarOrder:
    order_no: str
    amount_fen: int
    ref: str
    expires_at: datetime
    stage: Stage = Stage.OPEN
    takings: list[Taking] = field(default_factory=list)
    why_not: str = "not enough money"  # of a refusal


@dataclass
class FarRefund:
    refund_no: str
    order_no: str
    taking_ref: str
    amount_fen: int
    ref: str
    state: RefundState
    decided_at: datetime
    back_due_at: datetime | None = None  # it will come back: the payer's account is closed
    back_at: datetime | None = None  # it has


@dataclass
class News:
    """A callback the gateway owes us; told again and again until it is taken."""

    event_id: str
    kind: CallbackKind
    reference: str
    happened_at: datetime
    tried: int = 0
    taken: bool = False


@dataclass
class OnItsWay:
    """A payer has paid; the payer's bank will confirm at ``due_at``."""

    order_no: str
    amount_fen: int
    due_at: datetime


_SOON = {Stage.OPEN: GatewayStatus.OPEN, Stage.REFUSED: GatewayStatus.REFUSED,
         Stage.CLOSED: GatewayStatus.CLOSED}  # fmt: skip


class GatewayBooks:
    """One gateway's books, and the acts of its payers, its callers and its adapters upon them."""

    def __init__(
        self, manner: Manner, dice: Random, now: Callable[[], datetime],
        complain: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.manner, self.code, self.dice, self.now = manner, manner.code, dice, now
        self.complain = complain
        self.secret = f"secret of {manner.code}"
        self.orders: dict[str, FarOrder] = {}
        self.refunds: dict[str, FarRefund] = {}
        self.news: list[News] = []
        self.untold: list[News] = []  # what it gave up telling
        self.coming: list[OnItsWay] = []
        self._numbers = 0
        self.disputes = Disputes(self.code, dice, now, self.tell)
        self.mandates = Mandates(self.code)

    def _number(self, letter: str) -> str:
        self._numbers += 1
        return f"{self.code}-{letter}{self._numbers}"

    # --- what our adapter asks for

    def open(self, order_no: str, amount_fen: int, expires_at: datetime) -> GatewayReply:
        """Make an order once; the same again is the same, another amount is refused."""
        known = self.orders.get(order_no)
        if known is None:
            known = FarOrder(order_no, amount_fen, self._number("o"), expires_at)
            self.orders[order_no] = known
        if known.amount_fen != amount_fen:
            self.complain(f"{order_no} is opened again with another amount: {amount_fen}")
        return self.told_of(known, ours=None)

    def told_of(self, order: FarOrder, *, ours: str | None) -> GatewayReply:
        """Say how an order stands. Of two takings, the one the asker does not name is told."""
        if not order.takings:
            url = f"https://{self.code}.example/{order.ref}"
            status = _SOON[order.stage]
            return GatewayReply(
                status=status, gateway_ref=order.ref,
                pay_url=url if status is GatewayStatus.OPEN else None,
                reason=order.why_not if status is GatewayStatus.REFUSED else None,
            )  # fmt: skip
        others = [taking for taking in order.takings if taking.ref != ours]
        told = (others or order.takings)[0]
        return GatewayReply(
            status=GatewayStatus.PAID, gateway_ref=told.ref, amount_fen=told.amount_fen,
            paid_at=told.at,
        )  # fmt: skip

    def close(self, order_no: str, *, ours: str | None) -> GatewayReply:
        order = self.orders.get(order_no)
        if order is None:
            return GatewayReply(status=GatewayStatus.NOT_FOUND)
        if order.stage in {Stage.OPEN, Stage.REFUSED}:
            order.stage = Stage.CLOSED
        return self.told_of(order, ours=ours)

    def refund(self, asked: RefundOrder) -> RefundReply:
        """Send money of one taking back, once by its number; never more than was taken."""
        known = self.refunds.get(asked.refund_no)
        if known is None:
            known = self._new_refund(asked)
            if known is None:
                return RefundReply(state=RefundState.REFUSED, reason="more than was taken")
            self.refunds[asked.refund_no] = known
        if known.amount_fen != asked.amount_fen:
            self.complain(f"{asked.refund_no} is asked for again, of {asked.amount_fen} fen")
        return self.refund_told(known)

    def _new_refund(self, asked: RefundOrder) -> FarRefund | None:
        order = self.orders.get(asked.paid.order_no)
        takings = order.takings if order else []
        named = [one for one in takings if one.ref == asked.paid.gateway_ref]
        if not named:
            self.complain(f"{asked.refund_no} is of money never taken: {asked.paid.gateway_ref}")
            return None
        sent_fen = sum(
            one.amount_fen for one in self.refunds.values()
            if one.taking_ref == named[0].ref and one.state is not RefundState.REFUSED
        )  # fmt: skip
        if sent_fen + asked.amount_fen > named[0].amount_fen:
            self.complain(f"{asked.refund_no} sends back more than {named[0].ref} took")
            return None
        state, at = RefundState.SENT, self.now()
        gone_fen = self.disputes.gone_fen(named[0].ref)
        if sent_fen + asked.amount_fen + gone_fen > named[0].amount_fen:
            state = RefundState.REFUSED  # the payer's bank has it already
        elif self.manner.slow_refunds and self.dice.random() < 0.7:
            state, at = RefundState.PENDING, at + timedelta(minutes=self.dice.randint(1, 2_500))
        made = FarRefund(
            asked.refund_no, asked.paid.order_no, named[0].ref, asked.amount_fen,
            self._number("r"), state, at,
        )  # fmt: skip
        if state is not RefundState.REFUSED and self.manner.brings_back:
            self._bring_back_later(made)
        return made

    def _bring_back_later(self, refund: FarRefund) -> None:
        """Now and then, let a refund come back after it is sent; we may not have heard of that."""
        if self.dice.random() < 0.5:
            longest = self.dice.choice((1, 60, 4_000))
            after = timedelta(minutes=self.dice.randint(1, longest))
            refund.back_due_at = refund.decided_at + after

    def refund_told(self, refund: FarRefund) -> RefundReply:
        sent = refund.state is RefundState.SENT
        refused = refund.state is RefundState.REFUSED
        return RefundReply(
            state=refund.state, refund_ref=refund.ref,
            refunded_at=refund.decided_at if sent else None,
            reason="the payer's account is closed" if refused else None,
            came_back_at=refund.back_at,
        )  # fmt: skip

    # --- what payers do, and time

    def arrive(self, order_no: str, amount_fen: int, expires_at: datetime) -> FarOrder | None:
        """A payer follows the link. Where only that makes an order, it is made now, if in time."""
        if self.manner.unknown_until_arrival and order_no not in self.orders:
            if self.now() >= expires_at:
                return None
            self.open(order_no, amount_fen, expires_at)
        order = self.orders.get(order_no)
        if order is not None and order.stage is Stage.OPEN and self.now() >= order.expires_at:
            order.stage = Stage.CLOSED
        return order

    def pay(self, order: FarOrder, *, late_minutes: int, off_fen: int) -> str:
        """A payer pays: at once, or with the bank's word to follow."""
        again = order.stage is Stage.REFUSED and self.manner.tries_again
        twice = order.stage is Stage.PAID and self.manner.takes_twice and len(order.takings) < 2
        if not (order.stage is Stage.OPEN or again or twice):
            return "the page says no"
        amount_fen = max(1, order.amount_fen + off_fen)
        if late_minutes:
            due_at = self.now() + timedelta(minutes=late_minutes)
            self.coming.append(OnItsWay(order.order_no, amount_fen, due_at))
            return f"pays {amount_fen} fen, to be confirmed in {late_minutes} min"
        self._take(order, amount_fen)
        return f"pays {amount_fen} fen"

    def debit(self, order_no: str, amount_fen: int, expires_at: datetime, ref: str) -> GatewayReply:
        """Take money by a mandate, once by the order's number, or refuse it."""
        if order_no not in self.orders:
            self.open(order_no, amount_fen, expires_at)
            self._debit(self.orders[order_no], ref)
        return self.told_of(self.orders[order_no], ours=None)

    def _debit(self, order: FarOrder, ref: str) -> None:
        mandate, luck = self.mandates.by_ref(ref), self.dice.random()
        if mandate is None or order.amount_fen > (mandate.maximum_fen or order.amount_fen):
            self.complain(f"{order.order_no} of {order.amount_fen} fen is debited by {mandate}")
        elif mandate.state is not MandateState.ACTIVE:
            order.stage, order.why_not = Stage.REFUSED, f"mandate_ended: it is {mandate.state}"
        elif luck < 0.4:
            order.stage = Stage.REFUSED
        elif luck < 0.55:
            self.pay(order, late_minutes=self.dice.randint(1, 600), off_fen=0)
        else:
            self._take(order, order.amount_fen)

    def refuse(self, order: FarOrder) -> None:
        if order.stage is Stage.OPEN:
            order.stage = Stage.REFUSED
            self.tell(CallbackKind.PAYMENT, order.order_no)

    def _take(self, order: FarOrder, amount_fen: int) -> None:
        ref = order.ref if not order.takings else self._number("o")
        order.takings.append(Taking(ref, order.order_no, amount_fen, self.now()))
        order.stage = Stage.PAID
        self.tell(CallbackKind.PAYMENT, order.order_no)

    def confirm_due(self) -> list[str]:
        """Let the banks confirm, and the gateway decide on refunds, what is due by now."""
        told = []
        for one in [one for one in self.coming if one.due_at <= self.now()]:
            self.coming.remove(one)
            order = self.orders[one.order_no]
            closed = order.stage is Stage.CLOSED and not self.manner.takes_late
            most = 2 if self.manner.takes_twice else 1
            if closed or len(order.takings) >= most:
                told.append(f"{one.order_no}: the bank's money is turned away")
                continue
            self._take(order, one.amount_fen)
            told.append(f"{one.order_no}: the bank confirms {one.amount_fen} fen")
        for refund in self.refunds.values():
            if refund.state is RefundState.PENDING and refund.decided_at <= self.now():
                refused = self.dice.random() < 0.1
                refund.state = RefundState.REFUSED if refused else RefundState.SENT
                refund.decided_at = self.now()
                self.tell(CallbackKind.REFUND, refund.refund_no)
                told.append(f"{refund.refund_no}: {refund.state}")
        for refund in self.refunds.values():
            due_at = refund.back_due_at
            if refund.state is RefundState.SENT and due_at is not None and due_at <= self.now():
                refund.state, refund.back_at = RefundState.REFUSED, self.now()
                self.tell(CallbackKind.REFUND, refund.refund_no)
                told.append(f"{refund.refund_no}: came back")
        return told + self.disputes.decide_due()

    def next_due(self) -> datetime | None:
        """Return when something happens here by itself."""
        waiting = [one.due_at for one in self.coming]
        waiting += [
            one.decided_at for one in self.refunds.values() if one.state is RefundState.PENDING
        ]
        waiting += [
            one.back_due_at for one in self.refunds.values()
            if one.state is RefundState.SENT and one.back_due_at is not None
        ]  # fmt: skip
        return min(waiting + self.disputes.waiting(), default=None)

    # --- what it tells us

    def tell(self, kind: CallbackKind, reference: str) -> None:
        news = News(self._number("e"), kind, reference, self.now())
        gives_up = self.manner.gives_up_calling and self.dice.random() < 0.5
        (self.untold if gives_up else self.news).append(news)

    def letter(
        self, news: News, *, sent_at: datetime | None = None
    ) -> tuple[dict[str, str], bytes]:
        """Return a callback as it is sent: headers and signed body."""
        at = str(int((sent_at or self.now()).timestamp()))
        body = json.dumps(
            {"event_id": news.event_id, "kind": news.kind, "reference": news.reference}
        ).encode()
        mark = crypto.sign(self.secret, at.encode() + b"." + body)
        return {"x-far-time": at, "x-far-signature": mark}, body

    # --- its books, to be held against ours

    def takings(self) -> list[Taking]:
        return [taking for order in self.orders.values() for taking in order.takings]

    def sent(self) -> list[FarRefund]:
        return [one for one in self.refunds.values() if one.state is RefundState.SENT]

    def settlement(self) -> list[SettlementRecord]:
        """Return every row its settlement files ever had, oldest first."""
        rows = [
            ("payment", one.order_no, one.ref, one.amount_fen, one.at) for one in self.takings()
        ]
        rows += [
            ("refund", one.refund_no, one.ref, -one.amount_fen, one.decided_at)
            for one in self.refunds.values() if one.state is RefundState.SENT or one.back_at
        ]  # fmt: skip
        rows += [
            ("refund", one.refund_no, one.ref, one.amount_fen, one.back_at)
            for one in self.refunds.values() if one.back_at is not None
        ]  # fmt: skip
        rows += self.disputes.moved()
        rows.sort(key=lambda row: row[4])
        return [
            SettlementRecord(at, kind, reference, ref, fen, 0, moment)
            for at, (kind, reference, ref, fen, moment) in enumerate(rows, start=2)
        ]
