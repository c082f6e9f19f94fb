"""Refunds and chargebacks of all time as the console lists them, page by page."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, literal_column, text, tuple_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.clock import day_bounds
from core.errors import NotFound
from payments.models import Payment, Receipt
from payments.returns.models import Chargeback, ChargebackState, Refund, RefundStatus

PAGE = 50


class RefundFilter(NamedTuple):
    """Which refunds; what is None does not matter."""

    status: RefundStatus | None = None
    automatic: bool | None = None  # by itself, or proposed by somebody
    first_on: date | None = None  # the days they began
    last_on: date | None = None


class Listed(NamedTuple):
    """A refund in the list; ``came_back_at`` of one that came back after it was sent."""

    refund: Refund
    payment: Payment
    came_back_at: datetime | None


# Since when there is a refund: it never changes, so that a page goes on where the last one ended.
_began_at: ColumnElement[datetime] = func.coalesce(Refund.proposed_at, Refund.requested_at)


def find_refunds(
    session: Session, wanted: RefundFilter, *, after: str | None = None, limit: int = PAGE
) -> list[Listed]:
    """Return refunds with their payments, the newest first.

    Args:
        after: the number of the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    found = _refunds(wanted)
    if after is not None:
        last = session.get(Refund, after)
        if last is None:
            raise NotFound("there is no such refund")
        began_at = last.proposed_at or last.requested_at
        found = found.where(tuple_(_began_at, col(Refund.refund_no)) < (began_at, after))
    return [Listed(*row) for row in session.exec(found.limit(limit))]


def every_refund(session: Session, wanted: RefundFilter) -> Iterator[Listed]:
    """Yield all of them, the newest first."""
    for row in session.exec(_refunds(wanted).execution_options(yield_per=1_000)):
        yield Listed(*row)


def _refunds(wanted: RefundFilter) -> Any:
    found = (
        select(Refund, Payment, col(Receipt.received_at))
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .outerjoin(Receipt, col(Receipt.came_back_of) == col(Refund.refund_no))
        .order_by(_began_at.desc(), col(Refund.refund_no).desc())
    )
    if wanted.status is not None:
        found = found.where(Refund.status == wanted.status)
    if wanted.automatic is not None:
        by = col(Refund.proposed_by)
        found = found.where(by.is_(None) if wanted.automatic else by.is_not(None))
    if wanted.first_on is not None:
        found = found.where(_began_at >= day_bounds(wanted.first_on)[0])
    if wanted.last_on is not None:
        found = found.where(_began_at < day_bounds(wanted.last_on)[1])
    return found


class ChargebackFilter(NamedTuple):
    """Which chargebacks; what is None does not matter."""

    state: ChargebackState | None = ChargebackState.OPEN
    gateway: str | None = None


# As the index has it: with a bound value it would not be known for the same.
_due_at: ColumnElement[datetime] = literal_column("coalesce(evidence_due_at, 'infinity')")
_FOLLOWS = text("""
    (coalesce(evidence_due_at, 'infinity'), id)
    > (coalesce(CAST(:due_at AS timestamptz), 'infinity'), :after)
""")


def find_chargebacks(
    session: Session, wanted: ChargebackFilter, *, after: int | None = None, limit: int = PAGE
) -> list[Chargeback]:
    """Return chargebacks: open ones by when their evidence is due, others the newest first.

    Args:
        after: the id of the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    found = _chargebacks(wanted)
    last = None if after is None else session.get(Chargeback, after)
    if after is not None and last is None:
        raise NotFound("there is no such chargeback")
    if last is not None and wanted.state is ChargebackState.OPEN:
        found = found.where(_FOLLOWS.bindparams(due_at=last.evidence_due_at, after=last.id))
    elif last is not None:
        order = tuple_(col(Chargeback.opened_at), col(Chargeback.id))
        found = found.where(order < (last.opened_at, last.id))
    return list(session.exec(found.limit(limit)))


def every_chargeback(session: Session, wanted: ChargebackFilter) -> Iterator[Sequence[Chargeback]]:
    """Yield all of them in the same order, a thousand in each list."""
    yield from session.exec(_chargebacks(wanted).execution_options(yield_per=1_000)).partitions()


def _chargebacks(wanted: ChargebackFilter) -> SelectOfScalar[Chargeback]:
    found = select(Chargeback)
    if wanted.state is not None:
        found = found.where(Chargeback.state == wanted.state)
    if wanted.gateway is not None:
        found = found.where(Chargeback.gateway == wanted.gateway)
    if wanted.state is ChargebackState.OPEN:
        return found.order_by(_due_at, col(Chargeback.id))
    return found.order_by(col(Chargeback.opened_at).desc(), col(Chargeback.id).desc())
