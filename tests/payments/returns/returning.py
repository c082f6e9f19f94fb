"""Makers of confirmed payments, staff refunds and disputes, for tests of money going back."""

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from sqlalchemy import text

from billing.bills import BillRef
from core.db import transaction
from identity.models import Role
from payments import write_offs
from payments.gateways.base import DisputeReply, DisputeState, RefundReply, RefundState
from payments.models import Payment, PaymentItem
from payments.returns import chargebacks, refunds, staff_refunds, transfers
from payments.returns.lists import ChargebackFilter, find_chargebacks
from payments.returns.models import Chargeback, Refund, RefundReason, list_refunds
from payments.returns.staff_refunds import Wish
from tests.factories import ACCEPTED, NOW, FarGateway, a_home, a_paid_payment, a_person, items_of

THRESHOLD_FEN = 5_000
SENT = RefundReply(state=RefundState.SENT, refund_ref="sent-1", refunded_at=NOW)
_keys = count(1)


def a_confirmed_payment(*amounts_fen: int, **changes: Any) -> Payment:
    """A paid payment all of whose bills their companies have confirmed."""
    payment = a_paid_payment(a_home(*amounts_fen), **changes)
    confirm(payment)
    return payment


def confirm(payment: Payment) -> None:
    for item in items_of(payment):
        with transaction() as session:
            write_offs.book(session, item.write_off_no, ACCEPTED, now=NOW)


def left_fen(item: PaymentItem) -> int:
    return item.amount_fen - item.returned_fen


def ref_of(item: PaymentItem) -> BillRef:
    return item.account_id, item.bill_id


def a_wish(payment: Payment, amount_fen: int | None = None, *, at: int = 0) -> Wish:
    """A refund of one of the payment's bills, of all that is left or of some."""
    item = items_of(payment)[at]
    amount_fen = left_fen(item) if amount_fen is None else amount_fen
    return Wish(
        payment.id, ref_of(item), amount_fen, left_fen(item), RefundReason.PAID_TWICE, "来电要求"
    )


def propose(wish: Wish, by: int, *, key: str | None = None) -> Refund:
    with transaction() as session:
        return staff_refunds.propose(
            session, wish, by=by, key=key or f"refund-{next(_keys)}",
            approval_above_fen=THRESHOLD_FEN, now=NOW,
        )  # fmt: skip


def approve(refund: Refund, by: int) -> Refund:
    with transaction() as session:
        return staff_refunds.approve(session, refund.refund_no, by=by, now=NOW)


def decline(refund: Refund, by: int, reason: str = "no proof") -> Refund:
    with transaction() as session:
        return staff_refunds.decline(session, refund.refund_no, by=by, reason=reason, now=NOW)


def staff() -> tuple[int, int]:
    return a_person(Role.STAFF), a_person(Role.STAFF)


def refunds_of(payment: Payment) -> list[Refund]:
    with transaction() as session:
        return list_refunds(session, payment.id)


def send(payment: Payment, *replies: RefundReply) -> FarGateway:
    """Have every refund of a payment sent; the gateway answers in this order."""
    far = FarGateway(refund_replies=[*(replies or (SENT,))])
    for refund in refunds_of(payment):
        refunds.send(refund.refund_no, {"sandbox": far}, now=NOW)
    return far


def enter_payee(number: str, by: int, account: str = "6222 0200 0000 1234") -> None:
    with transaction() as session:
        transfers.enter_payee(
            session, number, name="王珅", bank="工商银行", account=account, by=by,
            secret_key="a test's secret", approval_above_fen=THRESHOLD_FEN, now=NOW,
        )  # fmt: skip


def confirm_sent(number: str, by: int, bank_ref: str = "ICBC-0001") -> None:
    with transaction() as session:
        staff_refunds.confirm_sent(session, number, bank_ref=bank_ref, by=by, now=NOW)


@dataclass
class Disputed(FarGateway):
    """A gateway whose payers may take their money back through their banks."""

    disputes: dict[str, DisputeReply] = field(default_factory=dict)

    def query_dispute(self, dispute_ref: str) -> DisputeReply:
        self.asked.append(("dispute", dispute_ref))
        return self.disputes.get(dispute_ref, DisputeReply(state=DisputeState.UNKNOWN))

    def says(self, payment: Payment, state: DisputeState, ref: str = "dp-1", **facts: Any) -> bool:
        """Let it tell of a dispute, and us ask."""
        told = DisputeReply(
            state=state, order_no=payment.order_no, amount_fen=payment.amount_fen, opened_at=NOW
        )
        self.disputes[ref] = replace(told, **facts)
        return chargebacks.look(ref, self, NOW)


def the_chargeback() -> Chargeback:
    with transaction() as session:
        (only,) = find_chargebacks(session, ChargebackFilter(state=None))
        return only


def posted(like: str) -> dict[str, int]:
    """What was posted under keys like this: acts and fen."""
    with transaction() as session:
        rows = session.execute(
            text(
                "SELECT split_part(entry_key, ':', 1) AS act, sum(amount_fen)::bigint AS fen "
                "FROM ledger_transfer WHERE entry_key LIKE :like GROUP BY 1"
            ),
            {"like": like},
        )
        return {row.act: row.fen for row in rows}
