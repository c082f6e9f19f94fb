"""Mandates and what is debited by them, as the tests of autopay need them."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlmodel import col, select

from core.clock import day_bounds
from core.db import transaction
from payments.autopay import debits, mandates, planning
from payments.autopay.mandates import Scope
from payments.autopay.models import AutopayRun, Mandate
from payments.autopay.rules import CapKind, Rules
from payments.checkout import resolve
from payments.gateways.base import (
    Asked,
    Capabilities,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
)
from payments.models import Payment
from tests.factories import AWAY, FarGateway, Home

ENROLLED = datetime(2026, 10, 20, 4, 0, tzinfo=day_bounds(date(2026, 10, 20))[0].tzinfo)
AGREED = MandateReply(state=MandateState.ACTIVE, mandate_ref="agreed-1")
UP_TO_200 = Rules(cap_kind=CapKind.MAX, cap_fen=20_000)
EVERYWHERE = Capabilities(modes=("wallet",), channels=frozenset({"web", "autopay"}))


@dataclass
class FarDebits(FarGateway):
    """A gateway that debits as ``says`` tells it to; ``orders`` is what it was asked to debit."""

    capabilities: Capabilities = EVERYWHERE
    says: str = "pays"  # or short, ended, mute (takes it), late (open for ever), away, more (a fen)
    orders: dict[str, Order] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    mandate: MandateReply = AGREED
    ended: list[str] = field(default_factory=list)

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        return self.mandate

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        return self.mandate

    def end_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        self.ended.append(mandate_no)
        self.mandate = MandateReply(state=MandateState.ENDED)
        return self.mandate

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        if self.says == "away":
            raise AWAY
        if order.order_no not in self.orders:
            self.orders[order.order_no], self.said[order.order_no] = order, self.says
        if self.said[order.order_no] in {"pays", "mute", "more"}:
            extra_fen = 1 if self.said[order.order_no] == "more" else 0
            self.taken[order.order_no] = order.amount_fen + extra_fen
        if self.says == "mute":
            return GatewayReply(status=GatewayStatus.UNKNOWN)
        return self._told(order.order_no)

    def query(self, asked: Asked) -> GatewayReply:
        if asked.order_no not in self.orders:
            return GatewayReply(status=GatewayStatus.NOT_FOUND)
        return self._told(asked.order_no)

    def close(self, asked: Asked) -> GatewayReply:
        if asked.order_no not in self.taken:
            self.said[asked.order_no] = "closed"
        return self.query(asked)

    def _told(self, order_no: str) -> GatewayReply:
        order, ref = self.orders[order_no], f"ref-{order_no}"
        if order_no in self.taken:
            return GatewayReply(
                status=GatewayStatus.PAID, gateway_ref=ref, amount_fen=self.taken[order_no],
                paid_at=order.asked_at,
            )  # fmt: skip
        if self.said[order_no] == "closed":
            return GatewayReply(status=GatewayStatus.CLOSED)
        if self.said[order_no] == "late":
            return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=ref)
        why = {"short": "short_of_funds", "ended": "mandate_ended: by the payer"}
        return GatewayReply(status=GatewayStatus.REFUSED, reason=why[self.said[order_no]])


def a_mandate(
    home: Home,
    rules: Rules = UP_TO_200,
    *,
    at: int | None = 0,
    gateway: str = "sandbox",
    now: datetime = ENROLLED,
) -> Mandate:
    """A mandate the payer has agreed to: of account number ``at``, or of the household (None)."""
    scope = Scope(household_id=home.household_id)
    if at is not None:
        scope = Scope(account_id=home.refs[at][0])
    with transaction() as session:
        made = mandates.create_mandate(
            session, person_id=home.owner_id, scope=scope, gateway=gateway, rules=rules,
            return_url="http://127.0.0.1:9/autopay/{mandate}", key=f"key-{now}-{scope}", now=now,
        )  # fmt: skip
        assert made.id is not None
        return mandates.book_mandate(session, made.id, AGREED, now=now)


def noon(day: date) -> datetime:
    """Noon of a day in the city."""
    return day_bounds(day)[0] + timedelta(hours=12)


def plan(far: FarDebits, day: date) -> None:
    """What the planner does at noon of a day, and the debits it asks for."""
    planning.plan({far.code: far}, now=noon(day))


def debit_all(far: FarDebits, now: datetime) -> list[int | None]:
    """Do the debits that are due, as the jobs would, and what follows from their ends."""
    with transaction() as session:
        due = session.exec(
            select(AutopayRun.id).where(col(AutopayRun.state).in_(["announced", "retry"]))
        ).all()
    found = [debit(far, run_id or 0, now) for run_id in due]
    after(far, now)
    return found


def debit(far: FarDebits, run_id: int, now: datetime) -> int | None:
    return debits.debit(
        run_id, {far.code: far}, notify_url="http://127.0.0.1:9/{gateway}",
        return_url="http://127.0.0.1:9/payments/{payment}", now=now,
    )  # fmt: skip


def after(far: FarDebits, now: datetime) -> None:
    """What the jobs do once payments have ended."""
    with transaction() as session:
        tried = session.exec(
            select(Payment).where(col(Payment.channel) == "autopay").order_by(col(Payment.id))
        ).all()
    for payment in tried:
        if payment.status in {"refused", "expired"}:
            debits.after_refusal(payment.id, {far.code: far}, now=now)
    with transaction() as session:
        debits.settle(session, now=now)
        debits.settle_late(session, now=now)


def poll(far: FarDebits, now: datetime) -> None:
    """Ask about every debit that has not ended."""
    with transaction() as session:
        open_ids = session.exec(
            select(Payment.id).where(col(Payment.status).in_(["created", "unknown", "open"]))
        ).all()
    for payment_id in open_ids:
        resolve(payment_id, far, notify_url="http://127.0.0.1:9/x", now=now)
    after(far, now)


def live_through(far: FarDebits, first: date, last: date) -> None:
    """Let the days pass: plan, debit, and see what came of it, once a day at noon."""
    day = first
    while day <= last:
        plan(far, day)
        debit_all(far, noon(day))
        day += timedelta(days=1)


def runs() -> list[AutopayRun]:
    with transaction() as session:
        return list(session.exec(select(AutopayRun).order_by(col(AutopayRun.id))))


def the_run() -> AutopayRun:
    (run,) = runs()
    return run


def the_mandate(mandate: Mandate) -> Mandate:
    with transaction() as session:
        return session.get_one(Mandate, mandate.id)
