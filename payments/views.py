"""What a payer may see of a payment."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlmodel import Session, col, select

from billing.bills import BillRef, format_ref
from billing.bills import views as bill_views
from billing.homes.pay_grants import as_payer_sees as bill_as_payer_sees
from billing.rows import AccountRow, BillRow, columns_of
from billing.views import BillView
from core.db import HotStatement
from payments.models import Payment, PaymentItem, list_receipts
from payments.returns.receipts import return_no
from payments.returns.transfers import find_transfer
from payments.returns.views import RefundView, refund_views
from payments.states import Outcome, PaymentStatus


class PublicStatus(StrEnum):
    PROCESSING = "processing"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"
    RETURNED = "returned"
    PARTLY_RETURNED = "partly_returned"


_PUBLIC_OUTCOME = {
    Outcome.WAITING: "waiting",
    Outcome.PAID: "paid",
    Outcome.WRITTEN_OFF: "confirmed",
    Outcome.RETURNING: "returning",
    Outcome.RETURNED: "returned",
    Outcome.NOT_PAID: "not_paid",
}
_MOVING = {"waiting", "paid", "returning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemProgress:
    """What became of one bill in a payment."""

    bill_ref: str
    amount_fen: int
    advance_fen: int  # of it, kept by the company for the next bill
    adjust_fen: int  # the chosen option's discount (below zero) or surcharge
    outcome: str
    utility_ref: str | None
    reason: str | None
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentItemView(ItemProgress):
    bill: BillView


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """Money of this payment that is on no bill and goes back by itself.

    ``came_back_of``: it had gone back under that number, and came back to the payment service.
    """

    amount_fen: int
    reason: str
    received_at: datetime
    returned_at: datetime | None
    by_bank: bool  # to an account of the payer's, whom staff ask for it
    charged_back: bool  # their own bank has given it back already
    came_back_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentProgress:
    """How far a payment has come, for whoever knows its bills."""

    ref: str
    public_status: PublicStatus
    ended_early: bool  # EXPIRED before its time was over: somebody called it off
    amount_fen: int  # everything: the bills, the fee and its tax
    fee_fen: int
    fee_tax_fen: int
    receipts: tuple[ReceiptView, ...]
    created_at: datetime
    paid_at: datetime | None
    pay_url: str | None
    pay_code: str | None  # to be shown as a QR code
    pay_fields: Mapping[str, str]  # for a script, or a form posted to pay_url
    items: tuple[ItemProgress, ...]
    refunds: tuple[RefundView, ...]

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen by itself."""
        waiting = any(receipt.returned_at is None for receipt in self.receipts)
        return not waiting and not any(item.outcome in _MOVING for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentView(PaymentProgress):
    gateway_name: str
    items: tuple[PaymentItemView, ...]


def progress(session: Session, payment: Payment) -> PaymentProgress:
    """Return how far a payment has come; items are in the order of their write-off numbers."""
    rows = [_Item(*row) for row in _ITEMS.rows(session, {"payment_id": payment.id})]
    return _progress(session, payment, rows)


class _Item(NamedTuple):
    """What ``_READ`` reads of a payment's item."""

    payment_id: int
    account_id: int
    bill_id: int
    amount_fen: int
    advance_fen: int
    adjust_fen: int
    outcome: str  # the value of an Outcome
    utility_ref: str | None
    reason: str | None
    outcome_at: datetime
    beside: bool  # whether there is money beside the bills of the payment


# Money beside came unasked, or goes back: of few payments, and none of these is read otherwise.
# What was returned and came back is still on its way.
_READ = """
    SELECT i.payment_id, i.account_id, i.bill_id, i.amount_fen, i.advance_fen, i.adjust_fen,
           CASE WHEN i.outcome = 'returned' AND EXISTS (
               SELECT FROM refund r JOIN receipt c ON c.came_back_of = r.refund_no
               WHERE (r.payment_id, r.account_id, r.bill_id)
                     = (i.payment_id, i.account_id, i.bill_id) AND c.state = 'suspended')
           THEN 'returning' ELSE i.outcome END, i.utility_ref, i.reason, i.outcome_at,
           EXISTS (SELECT FROM receipt WHERE payment_id = i.payment_id)
           OR EXISTS (SELECT FROM refund WHERE payment_id = i.payment_id)
"""
_ITEMS = HotStatement(f"""
    {_READ} FROM payment_item i WHERE i.payment_id = :payment_id ORDER BY i.write_off_no
""")
_ITEMS_AND_BILLS = HotStatement(f"""
    {_READ}, {columns_of("b", BillRow)}, {columns_of("a", AccountRow)}
    FROM payment_item i
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    JOIN utility_account a ON a.id = i.account_id
    WHERE i.payment_id = ANY(:payment_ids) ORDER BY i.write_off_no
""")


def _progress(session: Session, payment: Payment, rows: Sequence[_Item]) -> PaymentProgress:
    items, beside = tuple(map(_item_progress, rows)), any(row.beside for row in rows)
    is_open = payment.status is PaymentStatus.OPEN
    return PaymentProgress(
        ref=str(payment.id),
        public_status=public_status(payment.status, {item.outcome for item in items}),
        ended_early=payment.status is PaymentStatus.EXPIRED
        and payment.status_at < payment.expires_at,
        amount_fen=payment.amount_fen,
        fee_fen=payment.fee_fen,
        fee_tax_fen=payment.fee_tax_fen,
        receipts=_receipts(session, payment.id) if beside else (),
        created_at=payment.created_at,
        paid_at=payment.paid_at,
        pay_url=payment.pay_url if is_open else None,
        pay_code=payment.pay_code if is_open else None,
        pay_fields=(payment.pay_fields or {}) if is_open else {},
        items=items,
        refunds=refund_views(session, payment) if beside and payment.paid_at else (),
    )


def _item_progress(item: _Item) -> ItemProgress:
    outcome = Outcome(item.outcome)
    return ItemProgress(
        bill_ref=format_ref((item.account_id, item.bill_id)),
        amount_fen=item.amount_fen,
        advance_fen=item.advance_fen,
        adjust_fen=item.adjust_fen,
        outcome=_PUBLIC_OUTCOME[outcome],
        utility_ref=item.utility_ref,
        reason=item.reason,
        confirmed_at=item.outcome_at if outcome is Outcome.WRITTEN_OFF else None,
    )


def _receipts(session: Session, payment_id: int) -> tuple[ReceiptView, ...]:
    found = []
    for one in list_receipts(session, payment_id):
        transfer = find_transfer(session, return_no(one))
        found.append(
            ReceiptView(
                amount_fen=one.amount_fen,
                reason=one.reason,
                received_at=one.received_at,
                returned_at=one.returned_at,
                by_bank=transfer is not None and transfer.dropped_at is None,
                charged_back=one.to_send_fen == 0,
                came_back_of=one.came_back_of,
            )
        )
    return tuple(found)


def view(session: Session, payment: Payment, *, gateway_name: str, today: date) -> PaymentView:
    """Return a payment with what became of each of its bills."""
    return views(session, [payment], gateway_name=gateway_name, today=today)[payment.id]


def views(
    session: Session, payments: Sequence[Payment], *, gateway_name: str, today: date
) -> dict[int, PaymentView]:
    """Return payments with what became of each of their bills, by id, with one look at them all."""
    rows = _bills(session, [payment.id for payment in payments], today=today)
    found = {}
    for payment in payments:
        own = [(item, bill) for item, bill in rows if item.payment_id == payment.id]
        done = _progress(session, payment, [item for item, _ in own])
        items = tuple(
            PaymentItemView(**_values(item), bill=bill)
            for item, (_, bill) in zip(done.items, own, strict=True)
        )
        found[payment.id] = PaymentView(
            **_values(done) | {"items": items}, gateway_name=gateway_name
        )
    return found


def _values(of: ItemProgress | PaymentProgress) -> dict[str, Any]:
    return {one.name: getattr(of, one.name) for one in fields(of)}


def as_payer_sees(shown: PaymentView, own: Container[int]) -> PaymentView:
    """Return a payment without what of its bills only their household may see."""
    items = tuple(replace(item, bill=bill_as_payer_sees(item.bill, own)) for item in shown.items)
    return replace(shown, items=items)


def _bills(
    session: Session, payment_ids: Sequence[int], *, today: date
) -> list[tuple[_Item, BillView]]:
    """Return payments' items with their bills, in the order of their write-off numbers."""
    rows = _ITEMS_AND_BILLS.rows(session, {"payment_ids": list(payment_ids)})
    after_item = len(_Item._fields)
    after_bill = after_item + len(BillRow._fields)
    items = [_Item(*row[:after_item]) for row in rows]
    bills = [BillRow(*row[after_item:after_bill]) for row in rows]
    accounts = {one.id: one for one in (AccountRow(*row[after_bill:]) for row in rows)}
    return list(zip(items, bill_views(session, bills, accounts, today=today), strict=True))


def public_outcome(outcome: Outcome) -> str:
    """Return the payer's word for what became of a bill."""
    return _PUBLIC_OUTCOME[outcome]


def public_status(status: PaymentStatus, outcomes: set[str]) -> PublicStatus:
    """Return the few words a payer needs for our many; ``outcomes`` of the payment's bills."""
    match status:
        case PaymentStatus.CREATED | PaymentStatus.UNKNOWN | PaymentStatus.OPEN:
            return PublicStatus.PROCESSING
        case PaymentStatus.REFUSED:
            return PublicStatus.FAILED
        case PaymentStatus.EXPIRED:
            return PublicStatus.EXPIRED
    if "returned" not in outcomes:
        return PublicStatus.PAID  # a refund not yet sent is told by its bill
    return PublicStatus.RETURNED if outcomes == {"returned"} else PublicStatus.PARTLY_RETURNED


def find_payment_of_bill(session: Session, ref: BillRef, payer_id: int) -> str | None:
    """Return the newest payment this person made of a bill, if any."""
    found = session.exec(
        select(PaymentItem.payment_id)
        .join(Payment, col(Payment.id) == col(PaymentItem.payment_id))
        .where(PaymentItem.account_id == ref[0], PaymentItem.bill_id == ref[1])
        .where(Payment.payer_id == payer_id)
        .order_by(col(PaymentItem.payment_id).desc())
        .limit(1)
    ).first()
    return None if found is None else str(found)
