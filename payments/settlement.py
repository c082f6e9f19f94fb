"""Turning a gateway's word into our books, once.

A callback, a poll and the answer to our own request may all bring the same news, in any order and
at the same moment: each ends here, under the payment's row lock. Paying is two statements: one
locks and reads the bills, one writes everything that follows.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from billing import late_fees
from billing.rules.calendars import counts_on
from billing.terms import terms_on
from billing.waiting import decide_waiting
from core import outbox
from core.clock import billing_date
from core.db import Asked, HotStatement, together
from core.errors import NotFound
from payments.applying import Facts, Line, Paid, apply
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import Payment, get_payment, list_receipts, lock_payment
from payments.returns.suspense import suspend
from payments.states import NEWS, PENDING, News, Outcome, PaymentStatus, sources_of


def book_reply(session: Session, payment_id: int, reply: GatewayReply, *, now: datetime) -> None:
    """Enter a gateway's reply; the same reply again changes nothing.

    Money that is not what we asked for, or comes a second time, is suspended and sent back.

    Raises:
        NotFound: no such payment.
        AmountMismatch: the gateway took money and does not say how much, or said otherwise before.
    """
    match NEWS[reply.status]:
        case None:
            return
        case News.PAID:
            _book_paid(session, payment_id, reply, now=now)
        case News.OPENED:
            _book_open(session, payment_id, reply, now=now)
        case News.NO_ANSWER:
            lock_payment(session, payment_id).hear(News.NO_ANSWER, now=now)
            session.flush()
        case ended:
            give_up(session, payment_id, ended, now=now)


_OPEN = HotStatement("""
    UPDATE payment SET status = 'open', status_at = :now, gateway_ref = :gateway_ref,
                       pay_url = :pay_url, pay_code = :pay_code,
                       pay_fields = CAST(:pay_fields AS json)
    WHERE id = :payment_id AND status = ANY(:unopened)
    RETURNING id
""")


def _book_open(session: Session, payment_id: int, reply: GatewayReply, *, now: datetime) -> None:
    if not _OPEN.rows(session, _open_values(payment_id, reply, now=now)):
        get_payment(session, payment_id)


def _open_values(payment_id: int, reply: GatewayReply, *, now: datetime) -> dict[str, Any]:
    return {
        "payment_id": payment_id, "now": now, "unopened": sources_of(PaymentStatus.OPEN),
        "gateway_ref": reply.gateway_ref, "pay_url": reply.pay_url, "pay_code": reply.pay_code,
        "pay_fields": json.dumps(dict(reply.pay_fields)) if reply.pay_fields else None,
    }  # fmt: skip


def book_opened(payment: Payment, reply: GatewayReply, *, now: datetime) -> bool:
    """Enter the usual answer to an opening, as a transaction of its own.

    Args:
        payment: in no session; it is brought up to date.

    Returns:
        False: the payment has moved on meanwhile, and ``payment`` is out of date.
    """
    if not _OPEN.alone(_open_values(payment.id, reply, now=now)):
        return False
    payment.hear(News.OPENED, now=now)
    payment.gateway_ref, payment.pay_url = reply.gateway_ref, reply.pay_url
    payment.pay_code, payment.pay_fields = reply.pay_code, dict(reply.pay_fields) or None
    return True


def _book_paid(session: Session, payment_id: int, reply: GatewayReply, *, now: datetime) -> None:
    payment, lines = _lock(session, payment_id)
    if payment.status == PaymentStatus.PAID and reply.gateway_ref in {None, payment.gateway_ref}:
        return
    if payment.status == PaymentStatus.PAID:
        suspend(session, payment_id, reply, reason="paid a second time", now=now)
        return
    if reply.amount_fen != payment.amount_fen:
        suspend(session, payment_id, reply, reason="another amount than we asked for", now=now)
        give_up(session, payment_id, News.OTHER_AMOUNT, now=now)
        return
    paid_at = reply.paid_at or now
    if payment.status not in PENDING:
        if reply.gateway_ref in {one.source_ref for one in list_receipts(session, payment_id)}:
            # The same money, told of before with another amount: it is suspended already.
            suspend(session, payment_id, reply, reason="paid a second time", now=now)
            return
        lines = _without_instalments_paid(session, payment_id, lines)
    if billing_date(paid_at) < billing_date(now):
        lines = _without_undue_fees(session, payment_id, lines, paid_at=paid_at, now=now)
    apply(session, [_paid(payment, lines, reply, paid_at=paid_at)], now=now)


def _paid(payment: Facts, lines: list[Line], reply: GatewayReply, *, paid_at: datetime) -> Paid:
    return Paid(payment, lines, reply.gateway_ref or payment.gateway_ref, paid_at)  # told once


_LOCKING = """
    SELECT p.id, p.status, p.gateway, p.gateway_ref, p.amount_fen, p.fee_fen, p.fee_tax_fen,
           i.account_id, i.bill_id, a.provider_code, i.amount_fen, i.advance_fen, i.adjust_fen,
           i.write_off_no, b.held_by, b.cancelled_at IS NOT NULL,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen
    FROM payment p
    JOIN payment_item i ON i.payment_id = p.id
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    JOIN utility_account a ON a.id = i.account_id
    WHERE p.id {which}
    ORDER BY i.account_id, i.bill_id
    FOR UPDATE OF p, b
"""
# Of one it has a text of its own: of an array PostgreSQL takes a plan anew each time, outside
# ``acting``, because it expects ten.
_LOCK = HotStatement(_LOCKING.format(which="= :payment_id"))
_LOCK_ALL = HotStatement(_LOCKING.format(which="= ANY(:payment_ids)"))


def _lock(session: Session, payment_id: int) -> tuple[Facts, list[Line]]:
    """Return a payment and its bills, locked: it first, they in key order, so nobody deadlocks.

    Raises:
        NotFound: no such payment.
    """
    found = _read_locked(_LOCK.rows(session, {"payment_id": payment_id}))
    if not found:
        raise NotFound("there is no such payment")
    return found[payment_id]


def _read_locked(rows: Sequence[tuple[Any, ...]]) -> dict[int, tuple[Facts, list[Line]]]:
    width, found = len(Facts._fields), dict[int, tuple[Facts, list[Line]]]()
    for row in rows:
        payment = Facts(*row[:width])
        found.setdefault(payment.id, (payment, []))[1].append(Line(*row[width:]))
    return found


_LOCK_PAYMENTS = HotStatement(
    "SELECT id FROM payment WHERE id = ANY(:payment_ids) ORDER BY id FOR UPDATE"
)
_LOCK_BILLS = HotStatement("""
    SELECT b.id FROM payment_item i JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    WHERE i.payment_id = ANY(:payment_ids)
    ORDER BY b.account_id, b.id FOR UPDATE OF b
""")


def ask_locks(payment_ids: Collection[int]) -> list[Asked]:
    """Return what locks many payments, then their bills, each by key.

    As one payment does it, so none deadlocks; asked before anything else of them.
    """
    values = {"payment_ids": list(payment_ids)}
    return [Asked(_LOCK_PAYMENTS, values), Asked(_LOCK_BILLS, values)]


def book_replies(session: Session, replies: Mapping[int, GatewayReply], *, now: datetime) -> None:
    """Enter gateways' replies about many payments, as ``book_reply`` does for each.

    The usual ones, paid today and as asked for, are locked in one go and booked in one statement.
    """
    ids = list(replies)
    *_, rows = together(session, [*ask_locks(ids), Asked(_LOCK_ALL, {"payment_ids": ids})])
    found = _read_locked(rows)
    times = Counter(line.key for _, lines in found.values() for line in lines)
    usual = []
    for payment_id, reply in replies.items():
        payment, lines = found[payment_id]
        alone = all(times[line.key] == 1 for line in lines)  # what one leaves, the next must see
        if alone and _is_usual(payment, reply, now=now):
            usual.append(_paid(payment, lines, reply, paid_at=reply.paid_at or now))
        else:
            book_reply(session, payment_id, reply, now=now)
    apply(session, usual, now=now)


def _is_usual(payment: Facts, reply: GatewayReply, *, now: datetime) -> bool:
    return (
        reply.status is GatewayStatus.PAID
        and payment.status in PENDING
        and reply.amount_fen == payment.amount_fen
        and billing_date(reply.paid_at or now) >= billing_date(now)
    )


_PAID_OTHERWISE = text("""
    SELECT i.account_id, i.bill_id
    FROM payment_item i JOIN payment_item o USING (account_id, bill_id, option_code)
    WHERE i.payment_id = :payment_id AND o.payment_id <> i.payment_id
      AND option_code LIKE 'instalment-%' AND o.outcome IN ('waiting', 'paid', 'written_off')
""")


def _without_instalments_paid(session: Session, payment_id: int, lines: list[Line]) -> list[Line]:
    """Mark what another payment has paid since this one ended: an instalment is paid once."""
    found = {tuple(row) for row in session.execute(_PAID_OTHERWISE, {"payment_id": payment_id})}
    return [line._replace(paid_otherwise=line.key in found) for line in lines]


def _without_undue_fees(
    session: Session, payment_id: int, lines: list[Line], *, paid_at: datetime, now: datetime
) -> list[Line]:
    """Take back late fees that were counted while this money was already on its way (rule 20).

    Tried for each bill, and undone if the bill cannot take the money even so.
    """
    for at, line in enumerate(lines):
        terms = terms_on(session, line.provider_code, billing_date(paid_at))
        attempt = session.begin_nested()
        waived_fen = late_fees.waive_after(
            session, line.key, paid_on=counts_on(paid_at, terms),
            amount_fen=line.amount_fen - line.advance_fen - line.adjust_fen,
            why=str(payment_id), now=now,
        )  # fmt: skip
        lines[at] = line._replace(open_fen=line.open_fen - waived_fen)
        if not lines[at].takes(payment_id):
            lines[at] = line
            attempt.rollback()
    return lines


_RELEASE = text("""
    WITH items AS (
        UPDATE payment_item SET outcome = 'not_paid', outcome_at = :now
        WHERE payment_id = :payment_id AND outcome = ANY(:undecided)
    )
    UPDATE bill b SET held_by = NULL
    FROM payment_item i
    WHERE i.payment_id = :payment_id AND b.account_id = i.account_id AND b.id = i.bill_id
      AND b.held_by = :payment_id
""")


def give_up(session: Session, payment_id: int, news: News, *, now: datetime) -> None:
    """End a payment that came to nothing, and set its bills free; one that has ended stays.

    What waited for its end, a correction of a bill, lands now (rule 13).
    """
    payment = lock_payment(session, payment_id)
    if not payment.hear(news, now=now):
        return
    outbox.emit(session, f"payment.{payment.status}", payment.id, now=now)
    _, lines = _lock(session, payment_id)
    values = {
        "payment_id": payment_id, "now": now, "undecided": sources_of(Outcome.NOT_PAID),
    }  # fmt: skip
    session.execute(_RELEASE, values)
    decide_waiting(session, [line.key for line in lines], now=now)
