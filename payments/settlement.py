"""Turning a gateway's word into our books, once.

A callback, a poll and the answer to our own request may all bring the same news, in any order and
at the same moment: each ends here, under the payment's row lock. Paying is two statements: one
locks and reads the bills, one writes everything that follows.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing import late_fees
from billing.ledger import books, postings
from billing.rules.calendars import counts_on
from billing.terms import terms_on
from billing.waiting import decide_waiting
from core import outbox
from core.clock import billing_date
from core.db import HotStatement
from core.errors import IllegalTransition, NotFound
from payments.gateways.base import GatewayReply
from payments.models import get_payment, list_receipts, lock_payment, refund_no_of
from payments.returns.suspense import suspend
from payments.states import NEWS, PENDING, News, Outcome, PaymentStatus, sources_of

STRAY_REASON = "the bill was settled or changed before this payment arrived"


class Facts(NamedTuple):
    """A payment, locked."""

    id: int
    status: str  # the value of a PaymentStatus, as the database has it
    gateway: str
    gateway_ref: str | None
    amount_fen: int
    fee_fen: int
    fee_tax_fen: int


class Line(NamedTuple):
    """One bill of a payment, locked: what was asked for, and how the bill stands now."""

    account_id: int
    bill_id: int
    provider_code: str
    amount_fen: int
    advance_fen: int
    adjust_fen: int
    write_off_no: str
    held_by: int | None
    cancelled: bool
    open_fen: int
    paid_otherwise: bool = False  # the instalment, by another payment

    @property
    def key(self) -> tuple[int, int]:
        return self.account_id, self.bill_id

    def takes(self, payment_id: int) -> bool:
        """Tell whether the bill can still take what was chosen for it (rules 14, 29)."""
        if self.amount_fen == 0:
            return True  # nothing comes, so nothing can be too much
        if self.cancelled or self.paid_otherwise or self.held_by not in (None, payment_id):
            return False
        wanted_fen, owed_fen = self.amount_fen - self.advance_fen, self.open_fen + self.adjust_fen
        if self.adjust_fen and self.held_by is None:  # an option is for the bill as it stood then
            return wanted_fen == owed_fen
        return wanted_fen <= owed_fen


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
    values = {
        "payment_id": payment_id, "now": now, "unopened": sources_of(PaymentStatus.OPEN),
        "gateway_ref": reply.gateway_ref, "pay_url": reply.pay_url, "pay_code": reply.pay_code,
        "pay_fields": json.dumps(dict(reply.pay_fields)) if reply.pay_fields else None,
    }  # fmt: skip
    if not _OPEN.rows(session, values):
        get_payment(session, payment_id)


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
    gateway_ref = reply.gateway_ref or payment.gateway_ref  # its number may not be told again
    _apply(session, payment, lines, gateway_ref=gateway_ref, paid_at=paid_at, now=now)


_LOCK = HotStatement("""
    SELECT p.id, p.status, p.gateway, p.gateway_ref, p.amount_fen, p.fee_fen, p.fee_tax_fen,
           i.account_id, i.bill_id, a.provider_code, i.amount_fen, i.advance_fen, i.adjust_fen,
           i.write_off_no, b.held_by, b.cancelled_at IS NOT NULL,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen
    FROM payment p
    JOIN payment_item i ON i.payment_id = p.id
    JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    JOIN utility_account a ON a.id = i.account_id
    WHERE p.id = :payment_id
    ORDER BY i.account_id, i.bill_id
    FOR UPDATE OF p, b
""")


def _lock(session: Session, payment_id: int) -> tuple[Facts, list[Line]]:
    """Return a payment and its bills, locked: it first, they in key order, so nobody deadlocks.

    Raises:
        NotFound: no such payment.
    """
    rows = _LOCK.rows(session, {"payment_id": payment_id})
    if not rows:
        raise NotFound("there is no such payment")
    width = len(Facts._fields)
    return Facts(*rows[0][:width]), [Line(*row[width:]) for row in rows]


_LOCK_PAYMENTS = HotStatement(
    "SELECT id FROM payment WHERE id = ANY(:payment_ids) ORDER BY id FOR UPDATE"
)
_LOCK_BILLS = HotStatement("""
    SELECT b.id FROM payment_item i JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    WHERE i.payment_id = ANY(:payment_ids)
    ORDER BY b.account_id, b.id FOR UPDATE OF b
""")


def lock_all(session: Session, payment_ids: Collection[int]) -> None:
    """Lock many payments, then their bills, each by key: as one payment does, so none deadlocks."""
    values = {"payment_ids": list(payment_ids)}
    _LOCK_PAYMENTS.rows(session, values)
    _LOCK_BILLS.rows(session, values)


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


# What one "paid" changes, in one statement. The states a row may come from are in its WHERE.
_APPLY = HotStatement(f"""
    WITH line AS (
        SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:bill_ids AS bigint[]),
                             CAST(:paid AS bigint[]), CAST(:adjusts AS bigint[]),
                             CAST(:outcomes AS text[]), CAST(:reasons AS text[]))
               AS l (account_id, bill_id, paid_fen, adjust_fen, outcome, reason)
    ), paid AS (
        UPDATE payment SET status = 'paid', status_at = :now, gateway_ref = :gateway_ref,
                           paid_at = :paid_at
        WHERE id = :payment_id AND status = ANY(:unpaid)
        RETURNING id
    ), bills AS (
        UPDATE bill b
        SET paid_fen = b.paid_fen + l.paid_fen, adjusted_fen = b.adjusted_fen + l.adjust_fen,
            held_by = nullif(b.held_by, :payment_id)
        FROM line l WHERE b.account_id = l.account_id AND b.id = l.bill_id
        RETURNING b.id
    ), items AS (
        UPDATE payment_item i
        SET outcome = l.outcome, outcome_at = :now, reason = coalesce(l.reason, i.reason),
            returned_fen = CASE l.outcome WHEN 'returning' THEN i.amount_fen ELSE 0 END
        FROM line l
        WHERE i.payment_id = :payment_id AND i.account_id = l.account_id
          AND i.bill_id = l.bill_id AND i.outcome = ANY(:undecided)
        RETURNING i.bill_id
    ), refunds AS (
        INSERT INTO refund (refund_no, payment_id, account_id, bill_id, amount_fen, fee_fen, reason,
                            status, requested_at)
        SELECT r.refund_no, i.payment_id, i.account_id, i.bill_id,
               i.amount_fen + r.fee_fen, r.fee_fen, :stray, 'requested', :now
        FROM unnest(CAST(:stray_nos AS text[]), CAST(:stray_accounts AS bigint[]),
                    CAST(:stray_bills AS bigint[]), CAST(:stray_fees AS bigint[]))
             AS r (refund_no, account_id, bill_id, fee_fen)
        JOIN payment_item i ON i.payment_id = :payment_id AND i.account_id = r.account_id
                           AND i.bill_id = r.bill_id
    ), transfers AS ({books.INSERT_MOVES} RETURNING 1), events AS ({outbox.INSERT_EVENTS})
    SELECT (SELECT count(*) FROM paid), (SELECT count(*) FROM bills),
           (SELECT count(*) FROM items), (SELECT count(*) FROM transfers),
           EXISTS (SELECT FROM line l JOIN bill_correction c USING (account_id, bill_id)
                   WHERE c.state = 'waiting')
""")  # noqa: S608  our own texts


def _apply(
    session: Session,
    payment: Facts,
    lines: Sequence[Line],
    *,
    gateway_ref: str | None,
    paid_at: datetime,
    now: datetime,
) -> None:
    """Put the money on the bills; what a bill cannot take any more goes back (rules 14, 29)."""
    taken = {line.key: line.takes(payment.id) for line in lines}
    stray = [line for line in lines if not taken[line.key]]
    moves = _moves(payment, lines, taken)
    events = [outbox.Event("payment.paid", payment.id)]
    events += [outbox.Event("write_off.due", one.write_off_no) for one in lines if taken[one.key]]
    events += [outbox.Event("refund.requested", refund_no_of(one.write_off_no)) for one in stray]
    values = {
        "payment_id": payment.id, "gateway_ref": gateway_ref, "paid_at": paid_at, "now": now,
        "unpaid": sources_of(PaymentStatus.PAID), "undecided": sources_of(Outcome.PAID),
        "account_ids": [line.account_id for line in lines],
        "bill_ids": [line.bill_id for line in lines],
        "paid": [_on_bill(line) if taken[line.key] else 0 for line in lines],
        "adjusts": [line.adjust_fen if taken[line.key] else 0 for line in lines],
        "outcomes": [Outcome.PAID if taken[line.key] else Outcome.RETURNING for line in lines],
        "reasons": [None if taken[line.key] else STRAY_REASON for line in lines],
        "stray": STRAY_REASON, "stray_nos": [refund_no_of(line.write_off_no) for line in stray],
        "stray_accounts": [line.account_id for line in stray],
        "stray_bills": [line.bill_id for line in stray],
        "stray_fees": _stray_fees(payment, lines, stray),
    }  # fmt: skip
    values |= books.move_values(moves, now=now) | outbox.event_values(events, now=now)
    (*counts, transfers, correction_waits) = _APPLY.rows(session, values)[0]
    if counts != [1, len(lines), len(lines)]:
        raise IllegalTransition(f"payment {payment.id} is not where it can become paid")
    if transfers < len(moves):  # an account of the ledger that is used for the first time
        books.post(session, moves, now=now)
    if correction_waits:  # it learns that the bill is paid (rule 13)
        decide_waiting(session, [line.key for line in lines], now=now)


def _on_bill(line: Line) -> int:
    return line.amount_fen - line.advance_fen


def _stray_fees(payment: Facts, lines: Sequence[Line], stray: Sequence[Line]) -> list[int]:
    """Return what of the fee goes back with each stray bill: all with the last, if all are."""
    fees = [0] * len(stray)
    if stray and len(stray) == len(lines):
        fees[-1] = payment.fee_fen + payment.fee_tax_fen
    return fees


def _moves(
    payment: Facts, lines: Sequence[Line], taken: dict[tuple[int, int], bool]
) -> list[books.Move]:
    moves = postings.fee_charged(payment.id, payment.gateway, payment.fee_fen, payment.fee_tax_fen)
    for line in lines:
        if taken[line.key]:
            moves += postings.captured(
                line.key, line.provider_code, payment.gateway, payment.id,
                amount_fen=line.amount_fen, advance_fen=line.advance_fen,
                adjust_fen=line.adjust_fen,
            )  # fmt: skip
        else:
            moves += postings.stray(line.key, payment.gateway, payment.id, line.amount_fen)
    if not any(taken.values()):
        moves += postings.fee_given_back(payment.id, payment.fee_fen, payment.fee_tax_fen)
    return moves


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
