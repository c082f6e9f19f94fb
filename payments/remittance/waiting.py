"""What each company has not got yet of what we took for it, and why.

The reasons sum to what stands on its account in the ledger; a check holds them together.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import TextClause, text
from sqlmodel import Session, col, select

from billing.ledger import books
from core.clock import billing_date
from payments.reconciliation.bank.models import CLAIMS
from payments.remittance.days import TermsThrough, due_on, newest
from payments.remittance.deciding import to_send
from payments.remittance.models import (
    Remittance,
    RemittanceState,
    live_payments,
)
from providers.registry import provider_codes


class Why(StrEnum):
    """Why money is not with its company."""

    DAY_OPEN = "day_open"  # its day is not closed
    NOT_DUE = "not_due"  # T+N has not come
    DUE = "due"  # its day is closed and due; the next run makes a remittance of it
    NO_ACCOUNT = "no_account"  # the company's terms name none
    TOO_LITTLE = "too_little"  # carried to the next
    BELOW_ZERO = "below_zero"  # the same: more went back than came
    HELD = "held"  # payers' banks dispute it
    PROPOSED = "proposed"
    RELEASED = "released"
    APPROVED = "approved"
    RETURNED = "returned"  # the bank brought it back
    CLAIMED = "claimed"  # below zero: the company owes it to us


class Waiting(NamedTuple):
    """An amount that waits for one reason."""

    why: Why
    amount_fen: int
    from_on: date | None = None
    to_on: date | None = None
    due_on: date | None = None
    remittance_id: int | None = None
    number: str | None = None


class Owed(NamedTuple):
    """What we owe a company; what waits sums to it."""

    provider_code: str
    amount_fen: int
    waiting: tuple[Waiting, ...]
    sent_fen: int  # in a file, and not in our bank's statement yet


class Standing(NamedTuple):
    """All that is owed, and what gateways have not paid to us of what they took, by gateway."""

    owed: tuple[Owed, ...]
    not_arrived: tuple[tuple[str, int], ...]


def owed_to_companies(session: Session, *, now: datetime) -> Standing:
    """Return what we owe each company and why it has not got it, by company."""
    today = billing_date(now)
    lasts = {code: newest(session, code) for code in provider_codes()}
    balances = {code: debit - credit for code, debit, credit in books.balances(session)}
    sent = _sums(session, _SENT)
    claims = _sums(session, _CLAIMS)
    coming = _coming(session)
    found = []
    for code, last in lasts.items():
        waiting = list(_days(session, code, coming.get(code, {}), today=today))
        waiting += _under_way(session, code)
        waiting += _carried(last)
        if claims.get(code):
            waiting.append(Waiting(Why.CLAIMED, -claims[code]))
        amount_fen = -balances.get(books.payable(code), 0)
        rest_fen = amount_fen - sum(one.amount_fen for one in waiting)
        waiting[:0] = _open(session, code, rest_fen, today=today)
        if amount_fen or waiting or sent.get(code):
            found.append(Owed(code, amount_fen, tuple(waiting), sent.get(code, 0)))
    return Standing(tuple(found), tuple(_not_arrived(balances)))


def _not_arrived(balances: dict[str, int]) -> Iterable[tuple[str, int]]:
    stem = books.gateway("")
    for code, fen in balances.items():
        if code.startswith(stem) and fen > 0:
            yield code.removeprefix(stem), fen


# What closed days moved that no remittance is about: by the rollup, less what remittances moved on
# those days themselves. No transfer is read, however many a day has.
_CLOSED = text(f"""
    WITH covered AS (
        SELECT a.id, substr(a.code, 9) AS provider_code, coalesce((
                   SELECT max(to_on) FROM remittance r
                   WHERE r.provider_code = substr(a.code, 9)), '-infinity') AS to_on
        FROM ledger_account a WHERE a.code LIKE 'payable:%'
    ), own AS (
        SELECT provider_code, (at AT TIME ZONE 'Asia/Shanghai')::date AS day, sum(fen) AS fen
        FROM (SELECT r.provider_code, p.sent_at AS at, -p.amount_fen AS fen
              FROM remittance_payment p JOIN remittance r ON r.id = p.remittance_id
              UNION ALL
              SELECT r.provider_code, p.returned_at, p.amount_fen
              FROM remittance_payment p JOIN remittance r ON r.id = p.remittance_id
              UNION ALL
              SELECT r.provider_code, r.made_at, l.amount_fen
              FROM remittance_line l JOIN remittance r ON r.id = l.remittance_id
              WHERE l.kind IN ('fee', 'fee_tax')
              UNION ALL
              SELECT substr(source, {len(CLAIMS) + 1}), made_at, amount_fen
              FROM bank_match WHERE source LIKE '{CLAIMS}%'
              UNION ALL
              SELECT substr(source, {len(CLAIMS) + 1}), undone_at, -amount_fen
              FROM bank_match WHERE source LIKE '{CLAIMS}%') acts
        WHERE at IS NOT NULL GROUP BY 1, 2
    )
    SELECT c.provider_code, b.day,
           (b.credit_fen - b.debit_fen - coalesce(o.fen, 0))::bigint AS fen
    FROM covered c
    JOIN ledger_day_balance b ON b.ledger_account_id = c.id AND b.day > c.to_on
    LEFT JOIN own o ON (o.provider_code, o.day) = (c.provider_code, b.day)
    WHERE b.credit_fen - b.debit_fen <> coalesce(o.fen, 0)
    ORDER BY 1, 2
""")  # noqa: S608  our own texts


def _coming(session: Session) -> dict[str, dict[date, int]]:
    """Return what closed days moved for each company that no remittance is about."""
    moved: dict[str, dict[date, int]] = defaultdict(dict)
    for code, day, fen in session.execute(_CLOSED):
        moved[code][day] = fen
    return moved


def _days(
    session: Session, provider_code: str, moved: dict[date, int], *, today: date
) -> Iterable[Waiting]:  # fmt: skip
    """Yield what waits for its day, one for each day on which it is due."""
    through = TermsThrough(session, provider_code)
    groups: dict[tuple[Why, date], list[date]] = defaultdict(list)
    for day in moved:
        due = due_on(day, through.on(day))
        groups[Why.DUE if due <= today else Why.NOT_DUE, due].append(day)
    for (why, due), days in groups.items():
        yield Waiting(why, sum(moved[day] for day in days), days[0], days[-1], due)


def _open(
    session: Session, provider_code: str, amount_fen: int, *, today: date
) -> Iterable[Waiting]:  # fmt: skip
    """Yield what stands on the account and is of no closed day: it waits for the close."""
    if not amount_fen:
        return
    closed_on = books.last_closed(session)
    first = closed_on + timedelta(days=1) if closed_on else today
    due = due_on(first, TermsThrough(session, provider_code).on(first))
    yield Waiting(Why.DAY_OPEN, amount_fen, min(first, today), today, due)


_WHY = {
    RemittanceState.PROPOSED: Why.PROPOSED,
    RemittanceState.RELEASED: Why.RELEASED,
    RemittanceState.APPROVED: Why.APPROVED,
    RemittanceState.RETURNED: Why.RETURNED,
}


def _under_way(session: Session, provider_code: str) -> Iterable[Waiting]:
    """Yield remittances that are worked out and not sent, the oldest first."""
    under_way = (
        select(Remittance)
        .where(Remittance.provider_code == provider_code)
        .where(col(Remittance.state).not_in([RemittanceState.SENT, RemittanceState.CARRIED]))
        .order_by(col(Remittance.to_on))
    )
    for one in session.exec(under_way).all():
        payments = live_payments(session, one.id)
        amount_fen = sum(payment.amount_fen for payment in to_send(payments))
        why = _WHY[one.state] if payments else Why.NO_ACCOUNT
        yield Waiting(
            why, amount_fen if payments else one.net_fen, one.from_on, one.to_on, one.due_on,
            one.id, one.number,
        )  # fmt: skip


def _carried(last: Remittance | None) -> Iterable[Waiting]:
    if last is None:
        return
    said = last.from_on, last.to_on, last.due_on, last.id, last.number
    if last.state is RemittanceState.CARRIED and last.net_fen:
        why = Why.BELOW_ZERO if last.net_fen < 0 else Why.TOO_LITTLE
        yield Waiting(why, last.net_fen, *said)
    if last.held_fen:
        yield Waiting(Why.HELD, last.held_fen, *said)


_SENT = text("""
    SELECT r.provider_code, sum(p.amount_fen)::bigint
    FROM remittance_payment p JOIN remittance r ON r.id = p.remittance_id
    WHERE p.sent_at IS NOT NULL AND p.returned_at IS NULL
      AND NOT EXISTS (SELECT FROM bank_due d
                      WHERE (d.source, d.kind, d.reference)
                            = ('remittances', 'remittance', p.end_to_end_id)
                        AND d.match_id IS NOT NULL)
    GROUP BY 1
""")
_CLAIMS = text(f"""
    SELECT r.provider_code, (sum(r.claimed_fen) - coalesce((
               SELECT sum(m.amount_fen) FROM bank_match m
               WHERE m.source = '{CLAIMS}' || r.provider_code AND m.undone_at IS NULL), 0))::bigint
    FROM remittance r WHERE r.claimed_fen > 0 GROUP BY 1
""")  # noqa: S608  our own text


def _sums(session: Session, query: TextClause) -> dict[str, int]:
    return {code: int(fen) for code, fen in session.execute(query)}
