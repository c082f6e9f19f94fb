"""All payments as staff page through them: the newest first, by what they are."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, text, tuple_
from sqlmodel import Session, col, select

from billing.models import UtilityAccount
from core.clock import day_bounds
from payments.models import Payment, PaymentItem, get_payment
from payments.states import PaymentStatus

PAGE = 50

# What somebody has to do something about; each part is small and has an index of its own.
_NEEDS_A_PERSON = """
    SELECT payment_id AS id FROM bank_transfer WHERE sent_at IS NULL AND dropped_at IS NULL
    UNION SELECT payment_id FROM refund WHERE status = 'proposed'
    UNION SELECT payment_id FROM chargeback WHERE state = 'open'
    UNION SELECT p.id FROM reconciliation_break b JOIN payment p ON p.order_no = b.reference
          WHERE b.state = 'open'
    UNION SELECT i.payment_id FROM reconciliation_break b
          JOIN payment_item i ON i.write_off_no = b.reference WHERE b.state = 'open'
"""


class Filter(NamedTuple):
    """Which payments are looked for; what is none is not asked."""

    status: PaymentStatus | None = None
    gateway: str | None = None
    from_on: date | None = None  # begun on this Shanghai day or later
    to_on: date | None = None  # and on this one or earlier
    amount_fen: int | None = None
    company: str | None = None  # one of its bills is in it
    payer_id: int | None = None
    needs_a_person: bool = False


class Row(NamedTuple):
    """A payment with what its bills are."""

    payment: Payment
    companies: tuple[str, ...]
    bills: int


def find_payments(
    session: Session, wanted: Filter, *, after: int | None = None, limit: int = PAGE
) -> list[Row]:
    """Return payments, the newest first; ``after`` is the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    order = (col(Payment.created_at), col(Payment.id))
    found = select(Payment).where(*_asked(wanted))
    if after is not None:
        last = get_payment(session, after)
        found = found.where(tuple_(*order) < tuple_(last.created_at, last.id))
    newest = found.order_by(*(one.desc() for one in order)).limit(limit)
    payments = list(session.exec(newest))
    items = _items(session, [one.id for one in payments])
    return [Row(one, *items.get(one.id, ((), 0))) for one in payments]


def every_payment(session: Session, wanted: Filter) -> Iterator[Row]:
    """Yield all that ``find_payments`` finds, page by page."""
    after: int | None = None
    while rows := find_payments(session, wanted, after=after, limit=1_000):
        yield from rows
        after = rows[-1].payment.id
        session.expunge_all()


def _asked(wanted: Filter) -> list[ColumnElement[bool]]:
    named = (
        (Payment.status, wanted.status), (Payment.gateway, wanted.gateway),
        (Payment.amount_fen, wanted.amount_fen), (Payment.payer_id, wanted.payer_id),
    )  # fmt: skip
    asked = [col(column) == value for column, value in named if value is not None]
    if wanted.from_on is not None:
        asked.append(col(Payment.created_at) >= day_bounds(wanted.from_on)[0])
    if wanted.to_on is not None:
        asked.append(col(Payment.created_at) < day_bounds(wanted.to_on)[1])
    if wanted.company is not None:
        asked.append(_of_company(wanted.company))
    if wanted.needs_a_person:
        waiting = text(_NEEDS_A_PERSON).columns(Payment.__table__.c.id)  # type: ignore[attr-defined]
        asked.append(col(Payment.id).in_(waiting))
    return asked


def _of_company(company: str) -> ColumnElement[bool]:
    return exists().where(
        col(PaymentItem.payment_id) == col(Payment.id),
        col(PaymentItem.account_id) == col(UtilityAccount.id),
        col(UtilityAccount.provider_code) == company,
    )


_ITEMS = text("""
    SELECT i.payment_id, array_agg(DISTINCT a.provider_code ORDER BY a.provider_code), count(*)
    FROM payment_item i JOIN utility_account a ON a.id = i.account_id
    WHERE i.payment_id = ANY(:ids) GROUP BY 1
""")


def _items(session: Session, ids: Sequence[int]) -> dict[int, tuple[tuple[str, ...], int]]:
    rows = session.execute(_ITEMS, {"ids": list(ids)})
    return {payment_id: (tuple(codes), bills) for payment_id, codes, bills in rows}
