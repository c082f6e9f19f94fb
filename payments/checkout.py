"""Starting a payment: bills of several companies, one amount, one gateway.

The bills are held for the payment from the moment it exists; a bill that is held cannot be paid a
second time nor corrected until the outcome is known.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, select

from billing.bills import BillRef, format_ref
from billing.households import visible_accounts
from core import outbox
from core.clock import billing_date, month_start, utc_now
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound, UpstreamUnavailable
from core.keys import month_key
from payments.gateways.base import Gateway, GatewayReply, GatewayStatus, Order
from payments.models import IdempotentRequest, Payment, PaymentItem
from payments.settlement import book_reply
from payments.states import PENDING, PaymentStatus

PAY_WITHIN = timedelta(minutes=30)
IDEMPOTENCY_HOURS = 24
MAX_BILLS = 50


class Wanted(NamedTuple):
    """A bill somebody wants to pay, and the open amount they were shown; None: whatever is open."""

    ref: BillRef
    shown_fen: int | None


def create_payment(
    session: Session,
    *,
    payer_id: int,
    wanted: Sequence[Wanted],
    gateway: str,
    return_url: str,
    idempotency_key: str,
    now: datetime,
) -> Payment:
    """Make a payment and hold its bills, or return the one this key already made (rule 30).

    Args:
        return_url: where the gateway sends the payer back to; ``{payment}`` becomes its id.

    Raises:
        Invalid: nothing to pay, too many bills, or one named twice.
        NotFound: a bill that does not exist or that this person may not pay.
        Conflict: the key was used for another request; a bill is being paid by another payment
            (with the time it is free again); or a bill is not what was shown.
    """
    _check_choice(wanted)
    digest = _request_digest(wanted, gateway, return_url)
    earlier = _find_earlier(session, payer_id, idempotency_key, digest, now=now)
    if earlier is not None:
        return earlier
    _check_may_pay(session, payer_id, wanted)
    payment_no = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    payment_id = month_key(month_start(billing_date(now)), payment_no)
    amounts = _hold(session, payment_id, wanted)
    payment = Payment(
        id=payment_id,
        payer_id=payer_id,
        gateway=gateway,
        order_no=f"CB{billing_date(now):%y%m}{payment_no:012d}",
        return_url=return_url.replace("{payment}", str(payment_id)),
        amount_fen=sum(amounts.values()),
        created_at=now,
        status_at=now,
        expires_at=now + PAY_WITHIN,
    )
    session.add(payment)
    session.flush()
    session.add_all(_items(payment, amounts, now=now))
    _remember(session, payment, idempotency_key, digest, now=now)
    outbox.emit(session, "payment.created", payment_id, now=now)
    session.flush()
    return payment


def _check_choice(wanted: Sequence[Wanted]) -> None:
    if not wanted or len(wanted) > MAX_BILLS:
        raise Invalid(f"choose between 1 and {MAX_BILLS} bills to pay", code="payment.no_bills")
    if len({bill.ref for bill in wanted}) < len(wanted):
        raise Invalid("a bill is named twice", code="payment.bill_twice")


def _check_may_pay(session: Session, payer_id: int, wanted: Sequence[Wanted]) -> None:
    may_pay = visible_accounts(session, payer_id, to_pay=True)
    if any(bill.ref[0] not in may_pay for bill in wanted):
        raise NotFound("there is no such bill")


def _items(payment: Payment, amounts: dict[BillRef, int], *, now: datetime) -> list[PaymentItem]:
    """Return a payment's items, numbered in the order of their bills' keys."""
    return [
        PaymentItem(
            payment_id=payment.id,
            account_id=ref[0],
            bill_id=ref[1],
            amount_fen=amount_fen,
            write_off_no=f"W{payment.order_no[2:]}-{at:02d}",
            outcome_at=now,
        )
        for at, (ref, amount_fen) in enumerate(sorted(amounts.items()), start=1)
    ]


def _request_digest(wanted: Sequence[Wanted], gateway: str, return_url: str) -> str:
    request = json.dumps([gateway, return_url, sorted(wanted)])
    return hashlib.sha256(request.encode()).hexdigest()


def _find_earlier(
    session: Session, payer_id: int, key: str, digest: str, *, now: datetime
) -> Payment | None:
    # Two requests with one key at the same moment: the second waits here for the first.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, :payer))"),
        {"key": key, "payer": payer_id},
    )
    earlier = session.get(IdempotentRequest, (payer_id, key))
    if earlier is None or earlier.created_at < now - timedelta(hours=IDEMPOTENCY_HOURS):
        return None
    if earlier.request_sha256 != digest:
        raise Conflict(
            "this Idempotency-Key was used for another request: use a new one",
            code="idempotency.other_request",
        )
    return session.get_one(Payment, earlier.payment_id)


def _remember(session: Session, payment: Payment, key: str, digest: str, *, now: datetime) -> None:
    session.merge(
        IdempotentRequest(
            person_id=payment.payer_id,
            key=key,
            request_sha256=digest,
            payment_id=payment.id,
            created_at=now,
        )
    )


_LOCK = text("""
    SELECT b.account_id, b.id, b.held_by,
           CASE WHEN b.cancelled_at IS NULL THEN greatest(b.amount_fen - b.paid_fen, 0) ELSE 0 END
    FROM bill b
    WHERE (b.account_id, b.id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
    ORDER BY b.account_id, b.id
    FOR UPDATE
""")

_HOLD = text("""
    UPDATE bill SET held_by = :payment_id
    WHERE (account_id, id) IN (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[])))
""")


def _hold(session: Session, payment_id: int, wanted: Sequence[Wanted]) -> dict[BillRef, int]:
    """Check every bill under its lock, as it is at this moment, and hold it for the payment.

    Returns:
        What is open on each, in fen.
    """
    keys = {
        "account_ids": [bill.ref[0] for bill in wanted],
        "bill_ids": [bill.ref[1] for bill in wanted],
    }
    shown = {bill.ref: bill.shown_fen for bill in wanted}
    found = session.execute(_LOCK, keys).all()
    if len(found) < len(wanted):
        raise NotFound("there is no such bill")
    amounts: dict[BillRef, int] = {}
    for account_id, bill_id, held_by, open_fen in found:
        ref = account_id, bill_id
        if held_by is not None:
            # Asked only now: who lost the race for the lock could not see the winner before.
            holder = session.get(Payment, held_by)
            raise Conflict(
                "a payment of this bill is under way already",
                code="bill.being_paid",
                bill=format_ref(ref),
                free_at=holder.expires_at.isoformat() if holder else None,
            )
        if open_fen == 0 or shown[ref] not in (None, open_fen):
            raise Conflict(
                "the bill has changed since it was shown: look again before you pay",
                code="bill.changed",
                bill=format_ref(ref),
                shown_fen=shown[ref],
                open_fen=open_fen,
            )
        amounts[ref] = open_fen
    session.execute(_HOLD, keys | {"payment_id": payment_id})
    return amounts


def open_at_gateway(payment_id: int, gateway: Gateway, *, notify_url: str) -> Payment:
    """Ask the gateway to collect a payment; without an answer the payment stays as it is.

    Repeating is safe: the gateway knows our order number. No transaction is open while we wait.
    """
    with transaction() as session:
        payment = session.get_one(Payment, payment_id)
    if payment.status is not PaymentStatus.CREATED:
        return payment
    order = Order(
        order_no=payment.order_no,
        amount_fen=payment.amount_fen,
        subject="水电燃气通信账单 Utility bills",
        notify_url=notify_url,
        return_url=payment.return_url,
        expires_at=payment.expires_at,
    )
    try:
        reply = gateway.open_order(order)
    except UpstreamUnavailable:
        return payment
    with transaction() as session:
        return book_reply(session, payment_id, reply, now=utc_now())


def resolve(payment_id: int, gateway: Gateway, *, notify_url: str, now: datetime) -> Payment:
    """Find out what became of a payment, and close it when its time is over.

    A payment the gateway has never heard of is opened there again, under the same number; so is one
    whose opening was never answered, because only that answer says where to pay. A close that finds
    it paid after all counts as paid.

    Raises:
        UpstreamUnavailable: the gateway could not be reached; try again later.
    """
    with transaction() as session:
        payment = session.get_one(Payment, payment_id)
    if payment.status not in PENDING:
        return payment
    reply = gateway.query(payment.order_no)
    waiting = reply.status in {GatewayStatus.OPEN, GatewayStatus.NOT_FOUND}
    if waiting and now >= payment.expires_at:
        if reply.status is GatewayStatus.OPEN:
            reply = gateway.close(payment.order_no)
        else:
            reply = GatewayReply(status=GatewayStatus.CLOSED)
    elif waiting and payment.status is PaymentStatus.CREATED:
        return open_at_gateway(payment_id, gateway, notify_url=notify_url)
    with transaction() as session:
        return book_reply(session, payment_id, reply, now=now)


def poll_again_seconds(payment: Payment, *, now: datetime) -> int | None:
    """Tell when to ask again: seconds, then minutes, then hours; None when the outcome is final."""
    if payment.status not in PENDING:
        return None
    age = now - payment.created_at
    if age < timedelta(minutes=3):
        return 5
    return 60 if age < timedelta(hours=1) else 3_600


def get_own_payment(session: Session, payment_id: int, payer_id: int) -> Payment:
    """Return a payment its payer asks for.

    Raises:
        NotFound: no such payment, or somebody else's.
    """
    payment = session.exec(
        select(Payment).where(Payment.id == payment_id, Payment.payer_id == payer_id)
    ).one_or_none()
    if payment is None:
        raise NotFound("there is no such payment")
    return payment
