"""What one "paid" changes: money on its bills, and what they cannot take any more on its way back.

Locking and deciding whether to pay at all is ``payments.settlement``'s.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session

from billing.ledger import books, postings
from billing.waiting import decide_waiting
from core import outbox
from core.db import HotStatement
from core.errors import IllegalTransition
from payments.gateways.base import GatewayReply
from payments.models import refund_no_of
from payments.states import Outcome, PaymentStatus, sources_of

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


# What one "paid" changes, in one statement. The states a row may come from are in its WHERE.
APPLY = HotStatement(f"""
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


class Applying(NamedTuple):
    """One "paid" that is to be written down: the values of ``APPLY``, and what they move."""

    payment_id: int
    lines: Sequence[Line]
    moves: Sequence[books.Move]
    values: dict[str, Any]


def applying(
    payment: Facts, lines: Sequence[Line], reply: GatewayReply, *, paid_at: datetime, now: datetime
) -> Applying:
    """Put the money on the bills; what a bill cannot take any more goes back (rules 14, 29)."""
    taken = {line.key: line.takes(payment.id) for line in lines}
    stray = [line for line in lines if not taken[line.key]]
    moves = _moves(payment, lines, taken)
    events = [outbox.Event("payment.paid", payment.id)]
    events += [outbox.Event("write_off.due", one.write_off_no) for one in lines if taken[one.key]]
    events += [outbox.Event("refund.requested", refund_no_of(one.write_off_no)) for one in stray]
    values = {
        "payment_id": payment.id, "paid_at": paid_at, "now": now,
        # Its number may not be told again.
        "gateway_ref": reply.gateway_ref or payment.gateway_ref,
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
    return Applying(payment.id, lines, moves, values)


def check_applied(session: Session, done: Applying, row: tuple[Any, ...], *, now: datetime) -> None:
    """See that all of it was written down, and do what is rarely to be done besides."""
    *counts, transfers, correction_waits = row
    if counts != [1, len(done.lines), len(done.lines)]:
        raise IllegalTransition(f"payment {done.payment_id} is not where it can become paid")
    if transfers < len(done.moves):  # an account of the ledger that is used for the first time
        books.post(session, done.moves, now=now)
    if correction_waits:  # it learns that the bill is paid (rule 13)
        decide_waiting(session, [line.key for line in done.lines], now=now)


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
