"""What a company is due, worked out of closed days: the next remittance, once, by whoever asks.

A closed day never changes, so a remittance is a number of days and its lines their sums; set-based,
however many bills a day has. ``docs/remitting.md`` says what is subtracted, and when.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books, postings
from billing.rules.terms import Basis, Terms
from billing.terms import terms_on
from core.clock import billing_date, day_bounds
from payments.remittance.days import TermsThrough, due_on, first_open_on, last_due, newest
from payments.remittance.models import (
    Act,
    LineKind,
    Remittance,
    RemittanceLine,
    RemittanceState,
    note,
)
from payments.remittance.shares import divide, is_enough, next_key
from payments.remittance.subtracting import Moved, fees_borne, held
from providers.registry import get_provider

# What is moved on a company's account by its bills; what remittances themselves move is not.
KIND = """
    CASE split_part(t.entry_key, ':', 1)
         WHEN 'written_off' THEN 'collected' WHEN 'advance_passed' THEN 'advance'
         WHEN 'refunded' THEN 'refunded' WHEN 'advance_refunded' THEN 'refunded'
         WHEN 'chargeback_lost' THEN 'charged_back' WHEN 'chargeback_advance' THEN 'charged_back'
         ELSE 'other' END
"""
PERIOD = "t.posted_at >= :start AND t.posted_at < :after"
OWN_ACTS = """
    ('remitted', 'remitted_undone', 'fee_borne', 'fee_tax_borne', 'claim_paid', 'claim_paid_undone')
"""
MOVED = f"""
    SELECT substr(a.code, 9) AS provider_code, t.posted_on AS day, {KIND} AS kind,
           count(*) AS transfers,
           sum(CASE WHEN t.credit_account_id = a.id THEN t.amount_fen
                    ELSE -t.amount_fen END)::bigint AS fen
    FROM ledger_transfer t
    JOIN ledger_account a ON a.id IN (t.debit_account_id, t.credit_account_id)
     AND a.code LIKE 'payable:%'
    WHERE {PERIOD} AND split_part(t.entry_key, ':', 1) NOT IN {OWN_ACTS}
    GROUP BY 1, 2, 3
"""  # noqa: S608  our own texts
_LINES = text(f"""
    SELECT day, kind, transfers, fen FROM ({MOVED}) m
    WHERE provider_code = :provider_code AND fen <> 0 ORDER BY day, kind
""")  # noqa: S608  our own text


class Days(NamedTuple):
    """Which days a remittance is about, and when it is due."""

    from_on: date
    to_on: date
    due_on: date


def propose(session: Session, provider_code: str, *, now: datetime) -> Remittance | None:
    """Work out a company's next remittance, if days are due that none is about.

    However often and by however many it is called, a day is in one remittance. What is too little
    to be paid, or below zero, is carried to the next.
    """
    _lock_company(session, provider_code)
    last = newest(session, provider_code)
    since = first_open_on(session, last)
    if since is None:
        return None
    through = TermsThrough(session, provider_code)
    to_on = last_due(session, since, through, today=billing_date(now))
    if to_on is None:
        return None
    moved_on = _first_moved_on(session, provider_code, since, to_on)
    lines = [] if moved_on is None else moved(session, provider_code, moved_on, to_on)
    lines += fees_borne(session, provider_code, lines, through)
    terms = terms_on(session, provider_code, billing_date(now))
    held_fen = held(session, provider_code, to_on) if terms.remit.basis is Basis.NET else 0
    if not lines and held_fen == (last.held_fen if last else 0):
        return None
    from_on = since if last is not None or not lines else min(line.day for line in lines)
    days = Days(from_on, to_on, due_on(to_on, through.on(to_on)))
    one = _remittance(session, provider_code, last, days, lines, terms, held_fen, now=now)
    return _keep(session, one, lines, terms, now=now)


def _lock_company(session: Session, provider_code: str) -> None:
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('remittance'), hashtext(:code))"),
        {"code": provider_code},
    )


_FIRST_MOVED_ON = text("""
    SELECT min(b.day) FROM ledger_day_balance b JOIN ledger_account a ON a.id = b.ledger_account_id
    WHERE a.code = :payable AND b.day BETWEEN :since AND :to_on AND b.debit_fen + b.credit_fen > 0
""")


def _first_moved_on(
    session: Session, provider_code: str, since: date, to_on: date
) -> date | None:  # fmt: skip
    """Return the first closed day from ``since`` on that moved anything for a company."""
    values = {"payable": books.payable(provider_code), "since": since, "to_on": to_on}
    found: date | None = session.execute(_FIRST_MOVED_ON, values).scalar_one()
    return found


def moved(session: Session, provider_code: str, from_on: date, to_on: date) -> list[Moved]:
    """Return what closed days moved for a company, by day and kind."""
    values = {
        "provider_code": provider_code, "start": day_bounds(from_on)[0],
        "after": day_bounds(to_on)[1],
    }  # fmt: skip
    rows = session.execute(_LINES, values)
    return [Moved(day, LineKind(kind), count, fen) for day, kind, count, fen in rows]


def _remittance(
    session: Session, provider_code: str, last: Remittance | None, days: Days,
    lines: Sequence[Moved], terms: Terms, held_fen: int, *, now: datetime,
) -> Remittance:  # fmt: skip
    """Return a remittance, not stored yet: what it comes to, and whether that is paid."""
    gross_fen = sum(line.amount_fen for line in lines if line.amount_fen > 0)
    deducted_fen = -sum(line.amount_fen for line in lines if line.amount_fen < 0)
    claimed_fen = deducted_fen if terms.remit.basis is Basis.GROSS else 0
    was_carried = last is not None and last.state is RemittanceState.CARRIED
    carried_fen = last.net_fen if last is not None and was_carried else 0
    released_fen = last.held_fen if last is not None else 0
    net_fen = gross_fen - deducted_fen + claimed_fen + carried_fen + released_fen - held_fen
    pays = is_enough(net_fen, terms)
    return Remittance(
        id=next_key(session, now=now),
        number=f"RM{days.to_on:%y%m%d}{get_provider(provider_code).biller_no}",
        provider_code=provider_code, from_on=days.from_on, to_on=days.to_on, due_on=days.due_on,
        previous_id=last.id if last else None, basis=terms.remit.basis, gross_fen=gross_fen,
        deducted_fen=deducted_fen, carried_fen=carried_fen, released_fen=released_fen,
        held_fen=held_fen, net_fen=net_fen, claimed_fen=claimed_fen, made_at=now, state_at=now,
        state=RemittanceState.PROPOSED if pays else RemittanceState.CARRIED,
    )  # fmt: skip


def _keep(
    session: Session, one: Remittance, lines: Sequence[Moved], terms: Terms, *, now: datetime
) -> Remittance:
    session.add(one)
    session.flush()
    session.add_all(
        RemittanceLine(
            provider_code=one.provider_code, day=line.day, kind=line.kind, remittance_id=one.id,
            transfers=line.transfers, amount_fen=line.amount_fen,
        )
        for line in lines
    )  # fmt: skip
    fee_fen, tax_fen = (
        -sum(line.amount_fen for line in lines if line.kind is kind)
        for kind in (LineKind.FEE, LineKind.FEE_TAX)
    )
    moves = postings.fee_borne(one.id, one.provider_code, fee_fen, tax_fen)
    books.post(session, moves, now=now)
    carried = one.state is RemittanceState.CARRIED
    note(session, one.id, Act.CARRIED if carried else Act.PROPOSED, now=now)
    if not carried:
        divide(session, one, terms)
    return one
