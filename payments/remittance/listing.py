"""Remittances as a list: filtered, the newest first, a page at a time."""

from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, text
from sqlmodel import Session, col, select

from core.errors import NotFound
from payments.reconciliation.bank.models import REMITTANCES, BankDue
from payments.remittance.models import (
    Remittance,
    RemittanceAct,
    RemittancePayment,
    RemittanceState,
    get_remittance,
)

PAGE = 50


class Stage(StrEnum):
    """Where a remittance stands, as people ask: its state, and whether the bank has booked it."""

    PROPOSED = "proposed"
    RELEASED = "released"
    APPROVED = "approved"
    SENT = "sent"
    PAID = "paid"  # sent, and all of it in our bank's statement
    RETURNED = "returned"
    CARRIED = "carried"


class Filter(NamedTuple):
    """What is looked for; none: everything."""

    stage: Stage | None = None
    provider_code: str | None = None
    from_on: date | None = None  # due on this day or later
    to_on: date | None = None


class Row(NamedTuple):
    one: Remittance
    stage: Stage


_SENT = RemittanceState.SENT


def _all_found() -> ColumnElement[bool]:
    """Tell, in SQL, whether every payment that lives stands in our bank's statement."""
    payment, due = RemittancePayment, BankDue
    return ~(
        select(col(payment.id))
        .where(payment.remittance_id == Remittance.id, col(payment.returned_at).is_(None))
        .where(
            ~select(col(due.id))
            .where(
                due.source == REMITTANCES,
                due.reference == payment.end_to_end_id,
                col(due.match_id).is_not(None),
            )
            .exists()
        )
        .exists()
    )


def find_remittances(
    session: Session, wanted: Filter, *, after: int | None = None, limit: int = PAGE
) -> list[Row]:
    """Return remittances, the newest first, from the one made before ``after`` on."""
    paid = and_(col(Remittance.state) == _SENT, _all_found())
    found = select(Remittance, paid.label("is_paid"))
    if wanted.stage is Stage.PAID:
        found = found.where(paid)
    elif wanted.stage is Stage.SENT:
        found = found.where(Remittance.state == _SENT, ~_all_found())
    elif wanted.stage is not None:
        found = found.where(Remittance.state == RemittanceState(wanted.stage.value))
    if wanted.provider_code is not None:
        found = found.where(Remittance.provider_code == wanted.provider_code)
    if wanted.from_on is not None:
        found = found.where(col(Remittance.due_on) >= wanted.from_on)
    if wanted.to_on is not None:
        found = found.where(col(Remittance.due_on) <= wanted.to_on)
    if after is not None:
        found = found.where(col(Remittance.id) < after)
    rows = session.exec(found.order_by(col(Remittance.id).desc()).limit(limit))
    return [Row(one, Stage.PAID if is_paid else Stage(one.state.value)) for one, is_paid in rows]


def stage_of(session: Session, remittance_id: int) -> Stage:
    """Tell where a remittance stands.

    Raises:
        NotFound: there is none.
    """
    of_one = select(col(Remittance.state), _all_found()).where(Remittance.id == remittance_id)
    found = session.exec(of_one).first()
    if found is None:
        raise NotFound("there is no such remittance")
    state, all_found = found
    return Stage.PAID if state is _SENT and all_found else Stage(state.value)


class Total(NamedTuple):
    """How many stand somewhere, and how much of them is still to be sent or found."""

    remittances: int
    amount_fen: int


def totals(session: Session) -> dict[Stage, Total]:
    """Return what is under way, by where it stands; what is paid or carried is over."""
    payment = RemittancePayment
    live = and_(
        col(payment.remittance_id) == col(Remittance.id), col(payment.returned_at).is_(None)
    )
    unsent = func.coalesce(
        select(func.sum(payment.amount_fen))
        .where(live, col(payment.sent_at).is_(None))
        .scalar_subquery(),
        0,
    )
    under_way = (
        select(col(Remittance.state), func.count(), func.sum(unsent))
        .where(col(Remittance.state).not_in([_SENT, RemittanceState.CARRIED]))
        .group_by(col(Remittance.state))
    )
    found = {
        Stage(state.value): Total(count, int(fen)) for state, count, fen in session.exec(under_way)
    }
    sent = select(func.count(), func.coalesce(func.sum(Remittance.net_fen), 0)).where(
        Remittance.state == _SENT, ~_all_found()
    )
    count, fen = session.exec(sent).one()
    return found | ({Stage.SENT: Total(count, int(fen))} if count else {})


def company_remittance(session: Session, remittance_id: int, provider_code: str) -> Remittance:
    """Return a remittance of a company's own.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    one = get_remittance(session, remittance_id)
    if one.provider_code != provider_code:
        raise NotFound("there is no such remittance")
    return one


def history(session: Session, remittance_id: int) -> list[RemittanceAct]:
    """Return what happened to a remittance, in order."""
    of_one = select(RemittanceAct).where(RemittanceAct.remittance_id == remittance_id)
    return list(session.exec(of_one.order_by(col(RemittanceAct.id))))


class Entry(NamedTuple):
    """One transfer in the ledger that a remittance made."""

    posted_at: datetime
    entry_key: str
    debit: str
    credit: str
    amount_fen: int


_ENTRIES = text("""
    SELECT t.posted_at, t.entry_key, d.code, c.code, t.amount_fen
    FROM ledger_transfer t
    JOIN ledger_account d ON d.id = t.debit_account_id
    JOIN ledger_account c ON c.id = t.credit_account_id
    WHERE t.account_id = 0 AND t.subject_id IN (
        SELECT CAST(:id AS bigint)
        UNION ALL SELECT id FROM remittance_payment WHERE remittance_id = :id)
    ORDER BY t.posted_at, t.entry_key
""")


def entries(session: Session, remittance_id: int) -> list[Entry]:
    """Return what a remittance moved in the ledger: its fee and its payments, in order."""
    return [Entry(*row) for row in session.execute(_ENTRIES, {"id": remittance_id})]


class Booked(NamedTuple):
    """Where our bank's statement has a payment."""

    entry_id: int
    entry_no: str
    booked_on: date


_BOOKED = text("""
    SELECT d.reference, e.id, e.entry_no, e.booked_on
    FROM remittance_payment p
    JOIN bank_due d ON (d.source, d.kind, d.reference)
                       = ('remittances', 'remittance', p.end_to_end_id)
    JOIN bank_entry e ON e.match_id = d.match_id
    WHERE p.remittance_id = :id ORDER BY e.booked_on, e.id
""")


def booked(session: Session, remittance_id: int) -> dict[str, list[Booked]]:
    """Return the bank's entries of a remittance's payments, by the payment's number."""
    found: dict[str, list[Booked]] = {}
    for number, *entry in session.execute(_BOOKED, {"id": remittance_id}):
        found.setdefault(number, []).append(Booked(*entry))
    return found
