"""What a company is told of a remittance: the advice (划拨通知书), on pages, as PDF and as CSV."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from core.clock import billing_date, day_bounds
from core.masking import mask_no
from payments.remittance.models import (
    Basis,
    LineKind,
    Remittance,
    RemittanceLine,
    RemittancePayment,
    RemittanceState,
    get_remittance,
    live_payments,
)
from payments.remittance.planning import KIND, OWN_ACTS
from payments.remittance.sending import is_found
from providers.registry import get_provider


class Line(NamedTuple):
    """What one closed day moved, of one kind; below zero lessens what the company gets."""

    day: date
    kind: LineKind
    transfers: int  # of a fee: payments
    amount_fen: int


class Deduction(NamedTuple):
    """All of one kind that lessens what the company gets; ``amount_fen`` is above zero."""

    kind: LineKind
    transfers: int
    amount_fen: int


class Share(NamedTuple):
    """What goes to one of the company's accounts; the first is its primary account."""

    account_name: str
    account_masked: str
    bank_code: str
    amount_fen: int
    end_to_end_id: str  # how the bank's statement names it


class Item(NamedTuple):
    """One bill in a remittance; below zero: it was paid back, or a dispute over it was lost."""

    day: date  # on which it was written off, or taken back
    kind: LineKind
    bill_no: str
    account_masked: str
    reference: str  # the write-off's number; of a refund or a dispute its own
    paid_on: date | None
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A remittance as its company is told of it; all amounts fen.

    On a net basis ``net = gross - deductions + carried + released - held``; on a gross basis the
    deductions are not subtracted but claimed: ``net = gross + carried + released - held``.
    ``paid`` is the net, or zero when it is carried to the next one.
    """

    number: str
    provider_code: str
    company_name: str
    from_on: date
    to_on: date
    due_on: date
    sent_on: date | None
    state: RemittanceState
    is_paid: bool  # found in our bank's statement
    basis: Basis
    lines: tuple[Line, ...]  # by day and kind
    gross_fen: int
    deductions: tuple[Deduction, ...]
    carried_fen: int  # from the one before: too little to be paid, or below zero
    released_fen: int  # held back in the one before
    held_fen: int  # held back in this one: payers' banks dispute it
    net_fen: int
    paid_fen: int
    claimed_fen: int  # gross basis: what the company owes us, under this number
    shares: tuple[Share, ...]  # at most five; none while it has no account, or is carried
    made_at: datetime
    item_count: int
    items: Iterable[Item]  # read once, in the order of days; may be millions


def advice(session: Session, remittance_id: int) -> Advice:
    """Return what a company is told of a remittance.

    Raises:
        NotFound: there is none.
    """
    one = get_remittance(session, remittance_id)
    lines = list_lines(session, one.id)
    payments = live_payments(session, one.id)
    sent = [billing_date(payment.sent_at) for payment in payments if payment.sent_at]
    return Advice(
        number=one.number, provider_code=one.provider_code,
        company_name=get_provider(one.provider_code).name, from_on=one.from_on, to_on=one.to_on,
        due_on=one.due_on, sent_on=max(sent, default=None), state=one.state,
        is_paid=is_paid(session, one, payments), basis=one.basis, lines=lines,
        gross_fen=one.gross_fen, deductions=_deductions(lines), carried_fen=one.carried_fen,
        released_fen=one.released_fen, held_fen=one.held_fen, net_fen=one.net_fen,
        paid_fen=one.paid_fen, claimed_fen=one.claimed_fen,
        shares=tuple(_share(payment) for payment in payments), made_at=one.made_at,
        item_count=sum(line.transfers for line in lines if not line.kind.about_no_bill),
        items=iter_items(session, one, lines),
    )  # fmt: skip


def list_lines(session: Session, remittance_id: int) -> tuple[Line, ...]:
    """Return what the days of a remittance moved, by day and kind."""
    of_one = (
        select(RemittanceLine)
        .where(RemittanceLine.remittance_id == remittance_id)
        .order_by(col(RemittanceLine.day), col(RemittanceLine.kind))
    )
    return tuple(
        Line(row.day, row.kind, row.transfers, row.amount_fen) for row in session.exec(of_one)
    )


def _deductions(lines: Sequence[Line]) -> tuple[Deduction, ...]:
    found = []
    for kind in LineKind:
        of_kind = [line for line in lines if line.kind is kind and line.amount_fen < 0]
        if of_kind:
            transfers = sum(line.transfers for line in of_kind)
            found.append(Deduction(kind, transfers, -sum(line.amount_fen for line in of_kind)))
    return tuple(found)


def _share(payment: RemittancePayment) -> Share:
    return Share(
        payment.account_name, payment.account_masked, payment.bank_code, payment.amount_fen,
        payment.end_to_end_id,
    )  # fmt: skip


def is_paid(session: Session, one: Remittance, payments: Sequence[RemittancePayment]) -> bool:
    """Tell whether all of a remittance stands in our bank's statement."""
    sent = one.state is RemittanceState.SENT
    return sent and all(is_found(session, payment) for payment in payments)


# The bill of a transfer, and what names it to the company: a refund's number, a dispute's, or the
# write-off's, through the payment its entry key ends in.
_ITEMS = text(f"""
    SELECT t.posted_on, {KIND} AS kind, coalesce(b.bill_no, '') AS bill_no,
           coalesce(u.account_no, '') AS account_no,
           coalesce(i.write_off_no, c.dispute_ref, split_part(t.entry_key, ':', 2)) AS reference,
           (p.paid_at AT TIME ZONE 'Asia/Shanghai')::date AS paid_on,
           CASE WHEN t.credit_account_id = a.id THEN t.amount_fen ELSE -t.amount_fen END AS fen
    FROM ledger_transfer t
    JOIN ledger_account a ON a.id IN (t.debit_account_id, t.credit_account_id)
     AND a.code = 'payable:' || :provider_code
    LEFT JOIN bill b ON (b.account_id, b.id) = (t.account_id, t.subject_id)
    LEFT JOIN utility_account u ON u.id = t.account_id
    LEFT JOIN payment_item i ON (i.account_id, i.bill_id) = (t.account_id, t.subject_id)
     AND split_part(t.entry_key, ':', 1) IN ('written_off', 'advance_passed')
     AND i.payment_id::text = split_part(t.entry_key, ':', 2)
    LEFT JOIN chargeback c
      ON c.id = CASE WHEN split_part(t.entry_key, ':', 1) IN ('chargeback_lost',
                                                              'chargeback_advance')
                     THEN split_part(t.entry_key, ':', 2)::bigint END
    LEFT JOIN refund r ON split_part(t.entry_key, ':', 1) IN ('refunded', 'advance_refunded')
     AND r.refund_no = split_part(t.entry_key, ':', 2)
    LEFT JOIN payment p ON p.id = coalesce(i.payment_id, c.payment_id, r.payment_id)
    WHERE t.posted_at >= :start AND t.posted_at < :after
      AND split_part(t.entry_key, ':', 1) NOT IN {OWN_ACTS}
    ORDER BY t.account_id, t.subject_id, t.entry_key
""")  # noqa: S608  our own texts


def iter_items(session: Session, one: Remittance, lines: Sequence[Line]) -> Iterator[Item]:
    """Yield the bills of a remittance, day by day: no more than a day is held at once."""
    for day in sorted({line.day for line in lines}):
        start, after = day_bounds(day)
        values = {"provider_code": one.provider_code, "start": start, "after": after}
        found = session.execute(_ITEMS, values, execution_options={"yield_per": 2_000})
        for posted_on, kind, bill_no, account_no, reference, paid_on, fen in found:
            masked = mask_no(account_no) if account_no else ""
            yield Item(posted_on, LineKind(kind), bill_no, masked, reference, paid_on, fen)
