"""Refunds that staff start: proposed, above a threshold approved by another, then in the books.

What is proposed is reserved at once in the item's ``returned_fen``, which the database keeps within
what was paid; so however many propose at one moment, never more than that goes back (rule 44).
``docs/ledger.md`` says what each step means in the books.
"""

import hashlib
import json
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from billing import late_fees
from billing.bills import BillRef, format_ref
from billing.ledger import books, postings
from billing.models import Bill, UtilityAccount
from core import outbox
from core.clock import billing_date
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from payments.models import Payment, PaymentItem, list_items, lock_payment, refund_no_of
from payments.reconciliation.bank import acts as bank_acts
from payments.returns import refunds, suspense, transfers
from payments.returns.models import (
    BankTransfer,
    ChargebackPart,
    Refund,
    RefundReason,
    RefundStatus,
    check_undisputed,
)
from payments.returns.receipts import receipt_of
from payments.returns.refunds import lock_refund
from payments.states import ItemNews, Outcome

_NO_KEY = "every refund needs a key of its own, so that sent twice it is one"


class Wish(NamedTuple):
    """What somebody proposes; ``refundable_fen`` is what they were shown as still refundable."""

    payment_id: int
    bill: BillRef
    amount_fen: int
    refundable_fen: int
    reason: RefundReason
    words: str = ""

    def digest(self) -> str:
        """Return what tells this wish from another under the same key."""
        return hashlib.sha256(json.dumps([*self]).encode()).hexdigest()


def propose(
    session: Session, wish: Wish, *, by: int, key: str, approval_above_fen: int, now: datetime
) -> Refund:
    """Propose a refund of a confirmed bill; up to the threshold it is in the books at once.

    The same key with the same wish is the same refund. All refunds of a payment count to the
    threshold together, so that it cannot be passed in small steps. Of one's own payment any
    amount is above it.

    Raises:
        Invalid: no amount, or no words where the reason says nothing.
        NotFound: no such payment, or the bill is not in it.
        Conflict: the company has not confirmed the bill, the payment is disputed, the refundable
            amount is another (``refundable_fen`` says which), or the key served another wish.
    """
    _check(wish, key)
    earlier = _find_earlier(session, by, key, wish)
    if earlier is not None:
        return earlier
    payment, item = _lock_item(session, wish)
    _check_refundable(session, item, wish)
    count = _count(session, item)
    refund = Refund(
        refund_no=f"{refund_no_of(item.write_off_no)}-{count + 1}",
        payment_id=item.payment_id, account_id=item.account_id, bill_id=item.bill_id,
        amount_fen=wish.amount_fen, reason=wish.words.strip(), reason_code=wish.reason,
        status=RefundStatus.PROPOSED, proposed_by=by, proposed_at=now, idempotency_key=key,
        request_sha256=wish.digest(),
        needs_two=payment.payer_id == by
        or _by_staff_fen(session, payment, wish) > approval_above_fen,
    )  # fmt: skip
    item.returned_fen += wish.amount_fen
    session.add(refund)
    outbox.emit(session, "refund.proposed", refund.refund_no, now=now)
    session.flush()
    if not refund.needs_two:
        _enter(session, payment, item, refund, now=now)
    return refund


def _check(wish: Wish, key: str) -> None:
    if not key.strip():
        raise Invalid(_NO_KEY, code="idempotency.missing")
    if wish.amount_fen <= 0:
        raise Invalid("a refund is of 0.01 yuan or more", code="refund.amount")
    if wish.reason is RefundReason.OTHER and not wish.words.strip():
        raise Invalid("say why: the second person decides by it", code="refund.reason")


def _find_earlier(session: Session, by: int, key: str, wish: Wish) -> Refund | None:
    # Two requests with one key at the same moment: the second waits here for the first.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, :by))"),
        {"key": f"refund {key}", "by": by},
    )
    known = select(Refund).where(Refund.proposed_by == by, Refund.idempotency_key == key)
    earlier = session.exec(known).one_or_none()
    if earlier is not None and earlier.request_sha256 != wish.digest():
        raise Conflict(
            "this Idempotency-Key was used for another request: use a new one",
            code="idempotency.other_request",
        )
    return earlier


def _lock_item(session: Session, wish: Wish) -> tuple[Payment, PaymentItem]:
    payment = lock_payment(session, wish.payment_id)
    key = payment.id, *wish.bill  # whoever proposes may have read it before it was locked
    item = session.get(PaymentItem, key, with_for_update=True, populate_existing=True)
    if item is None:
        raise NotFound("this bill is not in that payment")
    return payment, item


def _check_refundable(session: Session, item: PaymentItem, wish: Wish) -> None:
    if item.outcome in {Outcome.WAITING, Outcome.NOT_PAID}:
        raise Conflict("this bill was not paid by that payment", code="refund.not_paid")
    if item.outcome is Outcome.PAID:
        raise Conflict(
            "the company has not said yet whether it takes this payment: if it refuses, the money"
            " goes back by itself; if it confirms, propose the refund then",
            code="refund.not_confirmed",
        )
    check_undisputed(session, item.payment_id)
    refundable_fen = item.amount_fen - item.returned_fen
    if wish.refundable_fen != refundable_fen:
        raise Conflict(
            "something else of this bill goes back already: look again at what is left",
            code="refund.refundable_changed", refundable_fen=refundable_fen,
        )  # fmt: skip
    if wish.amount_fen > refundable_fen:
        raise Conflict(
            "that is more than is left of what was paid for this bill",
            code="refund.too_much", refundable_fen=refundable_fen,
        )  # fmt: skip


def _count(session: Session, item: PaymentItem) -> int:
    of_item = select(func.count()).select_from(Refund)
    return session.exec(
        of_item.where(
            Refund.payment_id == item.payment_id, Refund.account_id == item.account_id,
            Refund.bill_id == item.bill_id, col(Refund.proposed_by).is_not(None),
        )
    ).one()  # fmt: skip


def _by_staff_fen(session: Session, payment: Payment, wish: Wish) -> int:
    """Return what staff will have sent back of a payment: with its last fen goes its fee."""
    before = select(func.coalesce(func.sum(Refund.amount_fen), 0)).where(
        Refund.payment_id == payment.id, col(Refund.proposed_by).is_not(None),
        Refund.status != RefundStatus.DECLINED,
    )  # fmt: skip
    left_fen = sum(one.amount_fen - one.returned_fen for one in list_items(session, payment.id))
    fee_fen = payment.fee_fen + payment.fee_tax_fen if wish.amount_fen == left_fen else 0
    return int(session.exec(before).one()) + wish.amount_fen + fee_fen


def approve(session: Session, refund_no: str, *, by: int, now: datetime) -> Refund:
    """Put a proposed refund into the books and on its way; the same person again changes nothing.

    Raises:
        NotFound: no such refund.
        NotAllowed: who proposed it, or paid, cannot approve it.
        Conflict: it is approved, declined or automatic, or the payment is disputed.
    """
    payment, refund = lock_refund(session, refund_no)
    if refund.approved_by == by:
        return refund
    if refund.status is not RefundStatus.PROPOSED:
        raise _decided(refund)
    if refund.proposed_by == by:
        raise NotAllowed(
            "who proposes a refund cannot approve it: ask a colleague", code="refund.same_person"
        )
    if payment.payer_id == by:
        raise NotAllowed(
            "this is your own payment: ask a colleague to approve its refund",
            code="refund.own_payment",
        )
    check_undisputed(session, payment.id)
    refund.approved_by, refund.approved_at = by, now
    item = session.get_one(PaymentItem, refund.item_key, with_for_update=True)
    _enter(session, payment, item, refund, now=now)
    return refund


def _decided(refund: Refund) -> Conflict:
    if refund.status is RefundStatus.DECLINED:
        return Conflict(
            "this refund was declined or withdrawn: propose it anew", code="refund.declined"
        )
    return Conflict("this refund is decided already: it is on its way", code="refund.decided")


def decline(
    session: Session, refund_no: str, *, by: int | None, reason: str, now: datetime
) -> Refund:
    """Say no to a proposed refund; by who proposed it that withdraws it. Again changes nothing.

    Args:
        by: none: nobody, a lost dispute has taken the money.

    Raises:
        NotFound: no such refund.
        Invalid: a no to a colleague without a reason.
        Conflict: it is decided already.
    """
    _, refund = lock_refund(session, refund_no)
    if refund.status is RefundStatus.DECLINED and refund.declined_by == by:
        return refund
    if refund.status is not RefundStatus.PROPOSED:
        raise _decided(refund)
    if by != refund.proposed_by and not reason.strip():
        raise Invalid("say why: your colleague has to tell the resident", code="refund.reason")
    refund.move_to(RefundStatus.DECLINED)
    refund.declined_by, refund.declined_at = by, now
    refund.decline_reason = reason.strip() or None
    item = session.get_one(PaymentItem, refund.item_key, with_for_update=True)
    item.returned_fen -= refund.item_fen
    session.flush()
    outbox.emit(session, "refund.declined", refund.refund_no, now=now)
    return refund


def _enter(
    session: Session, payment: Payment, item: PaymentItem, refund: Refund, *, now: datetime
) -> None:
    """Put a refund into the books: the company bears it, the bill owes again."""
    refund.advance_fen = min(advance_left_fen(session, item), refund.item_fen)
    refund.requested_at = now
    refund.move_to(RefundStatus.REQUESTED)
    of_bill_fen = refund.item_fen - refund.advance_fen
    company = owe_again(session, item, of_bill_fen, now=now)
    moves = postings.refunded(
        (item.account_id, item.bill_id), company, refund.refund_no, refund.item_fen,
        advance_fen=refund.advance_fen,
    )  # fmt: skip
    books.post(session, moves, now=now)
    if taken_back_whole(session, item, now=now):
        refunds.give_fee_back(session, payment, refund, now=now)
    outbox.emit(session, "refund.requested", refund.refund_no, now=now)


def advance_left_fen(session: Session, item: PaymentItem) -> int:
    """Return what of the money paid above a bill has not gone back yet: it goes first."""
    return item.advance_fen - sum(
        int(session.exec(_sum_of(kind, item, kind.advance_fen)).one())
        for kind in (Refund, ChargebackPart)
    )


def _sum_of(
    kind: type[Refund] | type[ChargebackPart], item: PaymentItem, fen: Any
) -> Any:  # fmt: skip
    return select(func.coalesce(func.sum(fen), 0)).where(
        kind.payment_id == item.payment_id, kind.account_id == item.account_id,
        kind.bill_id == item.bill_id,
    )  # fmt: skip


def taken_back_whole(session: Session, item: PaymentItem, *, now: datetime) -> bool:
    """Tell whether the books have sent all of an item back; its outcome then says so."""
    booked = int(
        session.exec(
            _sum_of(Refund, item, Refund.amount_fen - Refund.fee_fen).where(
                col(Refund.requested_at).is_not(None)
            )
        ).one()
    )
    booked += int(session.exec(_sum_of(ChargebackPart, item, ChargebackPart.amount_fen)).one())
    if booked < item.amount_fen:
        return False
    item.hear(ItemNews.TAKEN_BACK, now=now)
    session.flush()
    return True


def owe_again(session: Session, item: PaymentItem, of_bill_fen: int, *, now: datetime) -> str:
    """Let a bill owe again what is taken back of it; returns its company."""
    account = session.get_one(UtilityAccount, item.account_id)
    if of_bill_fen:
        ref = item.account_id, item.bill_id
        bill = session.get_one(Bill, ref, with_for_update=True)
        bill.paid_fen -= of_bill_fen
        bill.written_off_fen -= of_bill_fen
        session.flush()
        late_fees.reopened(session, ref, on=billing_date(now))
        outbox.emit(session, "bill.owed_again", format_ref(ref), now=now)
    return account.provider_code


def confirm_sent(
    session: Session, number: str, *, bank_ref: str, by: int, now: datetime
) -> BankTransfer:
    """Enter that our bank sent a transfer; the same reference again changes nothing.

    Raises:
        NotFound: no such transfer.
        Invalid: that is no reference.
        NotAllowed: who entered the payee cannot say so, above the threshold.
        Conflict: it was sent under another reference, has no payee, or went another way.
    """
    known = transfers.get_transfer(session, number)
    if known.bank_ref == bank_ref.strip():
        return known
    transfer = transfers.lock_waiting(session, number)
    transfers.mark_sent(session, transfer, bank_ref=bank_ref.strip(), by=by, now=now)
    if receipt_of(number) is not None:
        suspense.book_transferred(session, transfer, now=now)
    elif bank_acts.suspense_of(number) is not None:
        bank_acts.book_transferred(session, transfer, now=now)
    else:
        refunds.book_transferred(session, transfer, now=now)
    return transfer
