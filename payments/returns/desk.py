"""What staff see of money going back: payments found, and what waits for a person, with its age."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from payments.gateways.base import Gateway
from payments.models import Payment
from payments.returns.models import UNDER_WAY, BankTransfer, Refund, RefundStatus
from payments.returns.transfers import list_waiting
from payments.returns.ways_back import is_about_to_shut, shuts_at

FOUND = 20  # payments at most
_TAIL = re.compile(r"[*•]+\s*([0-9A-Za-z]{4,})")
_RECENT = timedelta(days=400)

_BY_NUMBER = text("""
    SELECT id FROM payment
    WHERE order_no = :wanted OR gateway_ref = :wanted OR id::text = :wanted
       OR id IN (SELECT payment_id FROM refund WHERE refund_no = :wanted)
       OR id IN (SELECT payment_id FROM payment_item WHERE write_off_no = :wanted)
    ORDER BY id DESC LIMIT :limit
""")

# A whole account number goes by its index. Of a masked one the end is known only: then payments of
# the last months are looked through, which takes a second where there are millions of accounts.
_BY_ACCOUNT = text("""
    SELECT DISTINCT p.id
    FROM utility_account a
    JOIN payment_item i ON i.account_id = a.id
    JOIN payment p ON p.id = i.payment_id
    WHERE CASE WHEN :tail = '' THEN a.account_no = :wanted
               ELSE right(a.account_no, length(:tail)) = :tail END
      AND p.paid_at >= :since
    ORDER BY p.id DESC LIMIT :limit
""")


def find_payments(session: Session, wanted: str, *, now: datetime) -> list[Payment]:
    """Find payments by their number, order, gateway reference, refund or account, the newest first.

    An account may be masked, as pages show it: ``****4567``.
    """
    wanted = wanted.strip()
    if not wanted:
        return []
    masked = _TAIL.fullmatch(wanted)
    values = {
        "wanted": wanted, "limit": FOUND, "since": now - _RECENT,
        "tail": masked[1] if masked else "",
    }  # fmt: skip
    ids = [] if masked else session.execute(_BY_NUMBER, values).scalars().all()
    ids = ids or session.execute(_BY_ACCOUNT, values).scalars().all()
    found = select(Payment).where(col(Payment.id).in_(ids)).order_by(col(Payment.id).desc())
    return list(session.exec(found))


class Desk(NamedTuple):
    """What waits for a person, each the oldest first."""

    proposed: list["Case"]
    transfers: list[BankTransfer]
    under_way: list["Case"]


class Case(NamedTuple):
    """A refund that is not finished, since when it waits, and until when its gateway can send."""

    refund: Refund
    since: datetime
    shuts_at: datetime | None
    shuts_soon: bool  # within seven days, and it was not asked for yet (rule 46)


def desk(session: Session, gateways: Mapping[str, Gateway], *, now: datetime) -> Desk:
    """Return what waits: for approval, for a transfer, and for a gateway."""
    open_ones = (
        select(Refund, Payment)
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .where(col(Refund.status).in_([RefundStatus.PROPOSED, *UNDER_WAY]))
        .order_by(col(Refund.proposed_at), col(Refund.requested_at), col(Refund.refund_no))
        .limit(200)
    )
    cases = [
        case_of(refund, payment, gateways.get(payment.gateway), now=now)
        for refund, payment in session.exec(open_ones)
    ]
    return Desk(
        [one for one in cases if one.refund.status is RefundStatus.PROPOSED],
        list_waiting(session),
        [
            one for one in cases
            if one.refund.status in {RefundStatus.REQUESTED, RefundStatus.PENDING}
        ],
    )  # fmt: skip


def case_of(refund: Refund, payment: Payment, gateway: Gateway | None, *, now: datetime) -> Case:
    """Return how long a refund has waited, and whether its gateway's window is about to shut."""
    since = refund.requested_at or refund.proposed_at
    assert since is not None
    unasked = refund.status in {RefundStatus.PROPOSED, RefundStatus.REQUESTED}
    if gateway is None or payment.paid_at is None or not unasked:
        return Case(refund, since, None, False)
    can = gateway.capabilities
    soon = is_about_to_shut(can, payment.paid_at, now=now)
    return Case(refund, since, shuts_at(can, payment.paid_at), soon)
