"""A person's own payments, the newest first, and the one they mean by a number on a paper."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from core.db import HotStatement
from payments.models import ReceiptState
from payments.returns.models import UNDER_WAY, RefundStatus
from payments.states import Outcome, PaymentStatus
from payments.views import PublicStatus, public_outcome, public_status

PAGE = 20
_LEAST_DIGITS = 3  # of a number's end: fewer fit everything


class OwnPayment(NamedTuple):
    """A payment in a list. ``companies`` are codes; ``returning``: some of it is coming back."""

    id: int
    order_no: str
    status: PublicStatus
    ended_early: bool
    amount_fen: int
    fee_fen: int  # of it, with its tax
    gateway: str
    created_at: datetime
    paid_at: datetime | None
    companies: tuple[str, ...]
    bills: int
    returning: bool


# Numbers as they stand on our pages and on papers: ours, the order's, the gateway's, and what a
# company or a refund calls a part of it.
_OWN = HotStatement("""
    SELECT p.id, p.order_no, p.status, p.status_at < p.expires_at, p.amount_fen,
           p.fee_fen + p.fee_tax_fen, p.gateway, p.created_at, p.paid_at,
           i.companies, i.bills, i.outcomes,
           EXISTS (SELECT FROM refund r WHERE r.payment_id = p.id AND r.status = ANY(:waiting))
           OR EXISTS (SELECT FROM receipt c WHERE c.payment_id = p.id AND c.state = :suspended)
    FROM payment p
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT a.provider_code ORDER BY a.provider_code) AS companies,
               count(*) AS bills, array_agg(DISTINCT x.outcome) AS outcomes
        FROM payment_item x JOIN utility_account a ON a.id = x.account_id
        WHERE x.payment_id = p.id) i
    WHERE p.payer_id = :person_id AND (CAST(:after AS bigint) IS NULL OR p.id < :after)
      AND (:ending = '' OR right(p.order_no, length(:ending)) = :ending
           OR right(CAST(p.id AS text), length(:ending)) = :ending
           OR right(p.gateway_ref, length(:ending)) = :ending
           OR EXISTS (SELECT FROM payment_item x WHERE x.payment_id = p.id
                      AND (right(x.write_off_no, length(:ending)) = :ending
                           OR right(x.utility_ref, length(:ending)) = :ending))
           OR EXISTS (SELECT FROM refund r WHERE r.payment_id = p.id
                      AND right(r.refund_no, length(:ending)) = :ending))
    ORDER BY p.id DESC LIMIT :limit
""")


def list_payments(
    session: Session,
    person_id: int,
    *,
    ending: str = "",
    after: int | None = None,
    limit: int = PAGE,
) -> list[OwnPayment]:
    """Return a person's payments, the newest first.

    Args:
        ending: only those with a number that ends so.
        after: the last one of the page before.
    """
    values = {
        "person_id": person_id, "after": after, "ending": ending, "limit": limit,
        "waiting": [*UNDER_WAY, RefundStatus.PROPOSED], "suspended": ReceiptState.SUSPENDED,
    }  # fmt: skip
    return [_own(*row) for row in _OWN.rows(session, values)]


def _own(
    payment_id: int, order_no: str, status: str, early: bool, amount_fen: int, fee_fen: int,
    gateway: str, created_at: datetime, paid_at: datetime | None, companies: list[str], bills: int,
    outcomes: list[str], returning: bool,
) -> OwnPayment:  # fmt: skip
    kind = PaymentStatus(status)
    told = {public_outcome(Outcome(one)) for one in outcomes or ()}
    return OwnPayment(
        payment_id, order_no, public_status(kind, told), kind is PaymentStatus.EXPIRED and early,
        amount_fen, fee_fen, gateway, created_at, paid_at, tuple(companies or ()), bills, returning,
    )  # fmt: skip


def find_payments(session: Session, person_id: int, typed: str, *, limit: int) -> list[OwnPayment]:
    """Return a person's payments that have a number which ends as somebody typed."""
    ending = "".join(typed.split())
    if sum(one.isdecimal() for one in ending) < _LEAST_DIGITS:
        return []
    return list_payments(session, person_id, ending=ending, limit=limit)


def every_payment(session: Session, person_id: int) -> Iterator[OwnPayment]:
    """Yield all of a person's payments, page by page."""
    after: int | None = None
    while found := list_payments(session, person_id, after=after, limit=1_000):
        yield from found
        after = found[-1].id
