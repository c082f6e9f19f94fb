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


# What "paid" changes of some payments, in one statement. The states a row may come from are in its
# WHERE. No bill may be in two of them: what one leaves of it, the other must see.
APPLY = HotStatement(f"""
    WITH news AS (
        SELECT * FROM unnest(CAST(:payment_ids AS bigint[]), CAST(:gateway_refs AS text[]),
                             CAST(:paid_ats AS timestamptz[]))
               AS n (payment_id, gateway_ref, paid_at)
    ), line AS (
        SELECT * FROM unnest(CAST(:payments AS bigint[]), CAST(:account_ids AS bigint[]),
                             CAST(:bill_ids AS bigint[]), CAST(:paid AS bigint[]),
                             CAST(:adjusts AS bigint[]), CAST(:outcomes AS text[]),
                             CAST(:reasons AS text[]))
               AS l (payment_id, account_id, bill_id, paid_fen, adjust_fen, outcome, reason)
    ), paid AS (
        UPDATE payment p SET status = 'paid', status_at = :now, gateway_ref = n.gateway_ref,
                             paid_at = n.paid_at
        FROM news n WHERE p.id = n.payment_id AND p.status = ANY(:unpaid)
        RETURNING p.id
    ), bills AS (
        UPDATE bill b
        SET paid_fen = b.paid_fen + l.paid_fen, adjusted_fen = b.adjusted_fen + l.adjust_fen,
            held_by = nullif(b.held_by, l.payment_id)
        FROM line l WHERE b.account_id = l.account_id AND b.id = l.bill_id
        RETURNING b.id
    ), items AS (
        UPDATE payment_item i
        SET outcome = l.outcome, outcome_at = :now, reason = coalesce(l.reason, i.reason),
            returned_fen = CASE l.outcome WHEN 'returning' THEN i.amount_fen ELSE 0 END
        FROM line l
        WHERE i.payment_id = l.payment_id AND i.account_id = l.account_id
          AND i.bill_id = l.bill_id AND i.outcome = ANY(:undecided)
        RETURNING i.bill_id
    ), refunds AS (
        INSERT INTO refund (refund_no, payment_id, account_id, bill_id, amount_fen, fee_fen, reason,
                            status, requested_at)
        SELECT r.refund_no, i.payment_id, i.account_id, i.bill_id,
               i.amount_fen + r.fee_fen, r.fee_fen, :stray, 'requested', :now
        FROM unnest(CAST(:stray_nos AS text[]), CAST(:stray_fees AS bigint[]),
                    CAST(:stray_write_offs AS text[]))
             AS r (refund_no, fee_fen, write_off_no)
        JOIN payment_item i USING (write_off_no)
    ), transfers AS ({books.INSERT_MOVES} RETURNING 1), events AS ({outbox.INSERT_EVENTS})
    SELECT (SELECT count(*) FROM paid), (SELECT count(*) FROM bills),
           (SELECT count(*) FROM items), (SELECT count(*) FROM transfers),
           EXISTS (SELECT FROM line l JOIN bill_correction c USING (account_id, bill_id)
                   WHERE c.state = 'waiting')
""")  # noqa: S608  our own texts


class Paid(NamedTuple):
    """One payment whose money came: how it stood, locked, and what its gateway says."""

    payment: Facts
    lines: Sequence[Line]
    gateway_ref: str | None
    paid_at: datetime

    @property
    def stray(self) -> list[Line]:
        """What of its bills cannot take the money any more (rules 14, 29)."""
        return [line for line in self.lines if not line.takes(self.payment.id)]


def apply(session: Session, many: Sequence[Paid], *, now: datetime) -> None:
    """Put the money of payments on their bills; what a bill cannot take any more goes back.

    Raises:
        IllegalTransition: one of them is not where it can become paid.
    """
    if not many:
        return
    lines = [line for one in many for line in one.lines]
    moves = [move for one in many for move in _moves(one)]
    values = _values(many, now=now) | books.move_values(moves, now=now)
    values |= outbox.event_values([event for one in many for event in _events(one)], now=now)
    [(*counts, transfers, correction_waits)] = APPLY.rows(session, values)
    if counts != [len(many), len(lines), len(lines)]:
        ids = ", ".join(str(one.payment.id) for one in many)
        raise IllegalTransition(f"payment {ids} is not where it can become paid")
    if transfers < len(moves):  # an account of the ledger that is used for the first time
        books.post(session, moves, now=now)
    if correction_waits:  # it learns that the bill is paid (rule 13)
        decide_waiting(session, [line.key for line in lines], now=now)


def _values(many: Sequence[Paid], *, now: datetime) -> dict[str, Any]:
    lines = [(one.payment.id, line) for one in many for line in one.lines]
    strays = [line for one in many for line in one.stray]
    back = {line.key for line in strays}
    return {
        "payment_ids": [one.payment.id for one in many], "now": now,
        "gateway_refs": [one.gateway_ref for one in many],
        "paid_ats": [one.paid_at for one in many],
        "unpaid": sources_of(PaymentStatus.PAID), "undecided": sources_of(Outcome.PAID),
        "payments": [payment_id for payment_id, _ in lines],
        "account_ids": [line.account_id for _, line in lines],
        "bill_ids": [line.bill_id for _, line in lines],
        "paid": [0 if line.key in back else _on_bill(line) for _, line in lines],
        "adjusts": [0 if line.key in back else line.adjust_fen for _, line in lines],
        "outcomes": [
            Outcome.RETURNING if line.key in back else Outcome.PAID for _, line in lines
        ],
        "reasons": [STRAY_REASON if line.key in back else None for _, line in lines],
        "stray": STRAY_REASON, "stray_nos": [refund_no_of(line.write_off_no) for line in strays],
        "stray_write_offs": [line.write_off_no for line in strays],
        "stray_fees": [fee_fen for one in many for fee_fen in _stray_fees(one)],
    }  # fmt: skip


def _events(paid: Paid) -> list[outbox.Event]:
    stray = paid.stray
    taken = [line for line in paid.lines if line not in stray]
    return [
        outbox.Event("payment.paid", paid.payment.id),
        *(outbox.Event("write_off.due", line.write_off_no) for line in taken),
        *(outbox.Event("refund.requested", refund_no_of(line.write_off_no)) for line in stray),
    ]


def _on_bill(line: Line) -> int:
    return line.amount_fen - line.advance_fen


def _stray_fees(paid: Paid) -> list[int]:
    """Return what of the fee goes back with each stray bill: all with the last, if all are."""
    fees = [0] * len(paid.stray)
    if fees and len(fees) == len(paid.lines):
        fees[-1] = paid.payment.fee_fen + paid.payment.fee_tax_fen
    return fees


def _moves(paid: Paid) -> list[books.Move]:
    payment, stray = paid.payment, paid.stray
    moves = postings.fee_charged(payment.id, payment.gateway, payment.fee_fen, payment.fee_tax_fen)
    for line in paid.lines:
        if line in stray:
            moves += postings.stray(line.key, payment.gateway, payment.id, line.amount_fen)
        else:
            moves += postings.captured(
                line.key, line.provider_code, payment.gateway, payment.id,
                amount_fen=line.amount_fen, advance_fen=line.advance_fen,
                adjust_fen=line.adjust_fen,
            )  # fmt: skip
    if len(stray) == len(paid.lines):
        moves += postings.fee_given_back(payment.id, payment.fee_fen, payment.fee_tax_fen)
    return moves
