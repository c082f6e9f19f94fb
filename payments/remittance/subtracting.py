"""What lessens a remittance beside what its days moved: our fee, and what payers' banks dispute."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books
from billing.rules.fees import FeeQuote, company_fee_of
from core.clock import day_bounds
from payments.remittance.days import TermsThrough
from payments.remittance.models import LineKind

_A_LOT_FEN = 10**12


class Moved(NamedTuple):
    """What a day moved for a company, of one kind; above zero it is the company's."""

    day: date
    kind: LineKind
    transfers: int
    amount_fen: int


# What each payment had confirmed on a day and before it: the fee is on all of a payment, once.
_CONFIRMED = text("""
    WITH here AS (
        SELECT t.posted_on AS day, split_part(t.entry_key, ':', 2)::bigint AS payment_id,
               sum(t.amount_fen)::bigint AS fen
        FROM ledger_transfer t JOIN ledger_account c ON c.id = t.credit_account_id
        WHERE t.posted_at >= :start AND t.posted_at < :after AND c.code = :payable
          AND split_part(t.entry_key, ':', 1) IN ('written_off', 'advance_passed')
        GROUP BY 1, 2
    ), seen AS (
        SELECT h.day, h.fen, (
            SELECT coalesce(sum(t.amount_fen), 0)::bigint
            FROM payment_item i
            JOIN ledger_transfer t ON (t.account_id, t.subject_id) = (i.account_id, i.bill_id)
             AND t.entry_key IN ('written_off:' || h.payment_id, 'advance_passed:' || h.payment_id)
            JOIN ledger_account c ON c.id = t.credit_account_id AND c.code = :payable
            WHERE i.payment_id = h.payment_id AND t.posted_on < h.day) AS before_fen
        FROM here h
    )
    SELECT day, before_fen, before_fen + fen AS through_fen, count(*) AS payments
    FROM seen GROUP BY 1, 2, 3
""")


def fees_borne(
    session: Session, provider_code: str, lines: Sequence[Moved], through: TermsThrough
) -> list[Moved]:
    """Return what the company bears of our fees, by day, under the terms of each day."""
    days = [line.day for line in lines if line.kind in {LineKind.COLLECTED, LineKind.ADVANCE}]
    charged = [day for day in days if company_fee_of(_A_LOT_FEN, through.on(day).fee) != (0, 0)]
    if not charged:
        return []
    values = {
        "start": day_bounds(min(charged))[0], "after": day_bounds(max(charged))[1],
        "payable": books.payable(provider_code),
    }  # fmt: skip
    sums: dict[tuple[date, LineKind], list[int]] = defaultdict(lambda: [0, 0])
    for day, before_fen, through_fen, payments in session.execute(_CONFIRMED, values):
        fee = through.on(day).fee
        told, known = company_fee_of(through_fen, fee), company_fee_of(before_fen, fee)
        for kind, fen in _more(told, known):
            sums[day, kind][0] += payments
            sums[day, kind][1] += fen * payments
    return [Moved(day, kind, count, -fen) for (day, kind), (count, fen) in sorted(sums.items())]


def _more(told: FeeQuote, known: FeeQuote) -> list[tuple[LineKind, int]]:
    """Return what a fee has grown by, with its tax: it never shrinks."""
    grown = (
        (LineKind.FEE, told.fee_fen - known.fee_fen),
        (LineKind.FEE_TAX, told.tax_fen - known.tax_fen),
    )
    return [(kind, fen) for kind, fen in grown if fen > 0]


# What payers' banks disputed when the last day ended, of bills the company had confirmed by then:
# of each dispute as much as its bills are, in the order in which a lost one would take them. When
# a dispute ended is when our books say so: its gateway may tell days later, of a day before.
_HELD = text("""
    WITH disputed AS (
        SELECT c.id, c.amount_fen, i.write_off_no, a.provider_code,
               coalesce(p.amount_fen, i.amount_fen - i.returned_fen) AS fen
        FROM chargeback c
        JOIN payment_item i ON i.payment_id = c.payment_id
        JOIN utility_account a ON a.id = i.account_id
        LEFT JOIN chargeback_part p
          ON (p.chargeback_id, p.account_id, p.bill_id) = (c.id, i.account_id, i.bill_id)
        WHERE c.opened_at < :after
          AND (i.outcome = 'written_off' OR p.chargeback_id IS NOT NULL)
          AND EXISTS (
              SELECT FROM ledger_transfer t
              WHERE (t.account_id, t.subject_id) = (i.account_id, i.bill_id)
                AND t.entry_key IN ('written_off:' || i.payment_id,
                                    'advance_passed:' || i.payment_id)
                AND t.posted_at < :after)
          AND (c.decided_at IS NULL OR EXISTS (
              SELECT FROM ledger_transfer t
              WHERE (t.account_id, t.subject_id) = (0, c.payment_id)
                AND t.entry_key = 'chargeback_won:' || c.id AND t.posted_at >= :after
          ) OR EXISTS (
              SELECT FROM ledger_transfer t
              WHERE (t.account_id, t.subject_id) = (p.account_id, p.bill_id)
                AND t.entry_key IN ('chargeback_lost:' || c.id, 'chargeback_advance:' || c.id)
                AND t.posted_at >= :after))
    ), taken AS (
        SELECT provider_code, least(fen, greatest(amount_fen - (
                   sum(fen) OVER (PARTITION BY id ORDER BY write_off_no) - fen), 0)) AS fen
        FROM disputed
    )
    SELECT coalesce(sum(fen), 0)::bigint FROM taken WHERE provider_code = :provider_code
""")


def held(session: Session, provider_code: str, to_on: date) -> int:
    """Return what a company is not paid yet: disputes that were open when ``to_on`` ended."""
    values = {"provider_code": provider_code, "after": day_bounds(to_on)[1]}
    return int(session.execute(_HELD, values).scalar_one())
