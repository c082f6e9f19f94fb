"""What staff see of money going back: payments found, and what waits for a person, with its age."""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import String, TextClause, cast, exists, func, text
from sqlmodel import Session, col, select

from core.clock import billing_date
from payments.gateways.base import Gateway
from payments.models import Payment, Receipt, ReceiptState, list_receipts
from payments.returns import came_back
from payments.returns.models import BankTransfer, Refund, RefundStatus, list_refunds
from payments.returns.receipts import receipt_of, return_no
from payments.returns.transfers import find_transfer, is_waiting, list_waiting
from payments.returns.ways_back import is_about_to_shut, shuts_at
from providers.registry import PROVIDERS

_S = RefundStatus
SHOWN = 200  # of each list at most
FOUND = 20  # payments at most
_TAIL = re.compile(r"[*•]+\s*([0-9A-Za-z]{4,})")
_ID = re.compile(r"[0-9]{1,18}|[1-8][0-9]{18}")
_RECENT = timedelta(days=400)

# Each by its own index; of numbers that gateways give, that begins with the gateway.
_BY_NUMBER = text("""
    SELECT id FROM payment WHERE order_no = :wanted
    UNION SELECT id FROM payment WHERE id = CAST(:digits AS bigint)
    UNION SELECT id FROM payment WHERE gateway = ANY(:gateways) AND gateway_ref = :wanted
    UNION SELECT payment_id FROM refund WHERE refund_no = :wanted
    UNION SELECT payment_id FROM payment_item WHERE write_off_no = :wanted
    UNION SELECT payment_id FROM receipt WHERE id = CAST(:receipt_id AS bigint)
    UNION SELECT payment_id FROM receipt WHERE source = ANY(:gateways) AND source_ref = :wanted
    UNION SELECT payment_id FROM chargeback WHERE gateway = ANY(:gateways) AND dispute_ref = :wanted
    ORDER BY id DESC LIMIT :limit
""")

_OF_ACCOUNTS = """
    SELECT DISTINCT p.id
    FROM utility_account a
    JOIN payment_item i ON i.account_id = a.id
    JOIN payment p ON p.id = i.payment_id
    WHERE {of_account} AND p.paid_at >= :since
    ORDER BY p.id DESC LIMIT :limit
"""
_BY_ACCOUNT = text(
    _OF_ACCOUNTS.format(of_account="a.provider_code = ANY(:companies) AND a.account_no = :wanted")
)
# Of a masked account the end alone is known: payments of the last months are looked through, which
# takes a second where there are millions of accounts.
_BY_TAIL = text(_OF_ACCOUNTS.format(of_account="right(a.account_no, length(:tail)) = :tail"))


def find_payments(
    session: Session, wanted: str, gateways: Mapping[str, Gateway], *, now: datetime
) -> list[Payment]:
    """Find payments by any number of theirs or by an account, the newest first.

    A number may be ours (payment, order, refund, write-off) or a gateway's in use (of the payment,
    of money that came a second time, of a dispute). An account may be masked, as pages show it:
    ``****4567``.
    """
    wanted = wanted.strip()
    if not wanted:
        return []
    values = {
        "wanted": wanted, "limit": FOUND, "since": now - _RECENT, "companies": list(PROVIDERS)
    }  # fmt: skip
    if masked := _TAIL.fullmatch(wanted):
        return _read(session, _BY_TAIL, values | {"tail": masked[1]})
    return find_by_number(session, wanted, gateways) or _read(session, _BY_ACCOUNT, values)


def find_by_number(
    session: Session, wanted: str, gateways: Mapping[str, Gateway]
) -> list[Payment]:  # fmt: skip
    """Find payments by a number of theirs, as ``find_payments`` does, and by no account."""
    values = {
        "wanted": wanted, "limit": FOUND, "gateways": list(gateways),
        "digits": int(wanted) if _ID.fullmatch(wanted) else None, "receipt_id": receipt_of(wanted),
    }  # fmt: skip
    return _read(session, _BY_NUMBER, values)


def _read(session: Session, query: TextClause, values: Mapping[str, object]) -> list[Payment]:
    ids = session.execute(query, values).scalars().all()
    found = select(Payment).where(col(Payment.id).in_(ids)).order_by(col(Payment.id).desc())
    return list(session.exec(found))


class Case(NamedTuple):
    """Money on its way back: its number there, since when it waits, and until when it can go."""

    number: str
    row: Refund | Receipt
    status: RefundStatus
    since: datetime
    shuts_on: date | None
    shuts_soon: bool  # within seven days, and it was not asked for yet (rule 46)
    back: Receipt | None = None  # what came back of it after it was sent, which goes on by itself

    @property
    def pill(self) -> str:
        """How far it has come, as lists show it."""
        return self.status.value if self.back is None else "came_back"


class Desk(NamedTuple):
    """What waits for a person or for a gateway, each the oldest first."""

    proposed: list[Case]
    transfers: list[BankTransfer]
    under_way: list[Case]


_HAS_TRANSFER = exists().where(
    col(BankTransfer.number) == func.concat("S", cast(col(Receipt.id), String))
)


def desk(session: Session, gateways: Mapping[str, Gateway], *, now: datetime) -> Desk:
    """Return what waits: for approval, for a transfer, and for a gateway."""
    of_refunds = (
        select(Refund, Payment)
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .order_by(func.coalesce(Refund.requested_at, Refund.proposed_at), col(Refund.refund_no))
        .limit(SHOWN)
    )
    of_receipts = (
        select(Receipt, Payment)
        .join(Payment, col(Payment.id) == col(Receipt.payment_id))
        .where(Receipt.state == ReceiptState.SUSPENDED, ~_HAS_TRANSFER)
        .order_by(col(Receipt.received_at), col(Receipt.id))
        .limit(SHOWN)
    )
    proposed = of_refunds.where(Refund.status == RefundStatus.PROPOSED)
    sent_for = of_refunds.where(col(Refund.status).in_([_S.REQUESTED, _S.PENDING]))
    under_way = [
        *(_of_refund(row, payment, gateways, now=now) for row, payment in session.exec(sent_for)),
        *(_of_receipt(row, None, gateways, now=now) for row, _ in session.exec(of_receipts)),
    ]
    return Desk(
        [_of_refund(row, payment, gateways, now=now) for row, payment in session.exec(proposed)],
        list_waiting(session),
        sorted(under_way, key=lambda one: one.since)[:SHOWN],
    )


def cases_of(
    session: Session, payment: Payment, gateways: Mapping[str, Gateway], *, now: datetime
) -> list[Case]:
    """Return all money of a payment that is on its way back or has gone."""
    rows: list[Refund | Receipt] = [
        *list_refunds(session, payment.id),
        *list_receipts(session, payment.id),
    ]
    return [case_of(session, row, payment, gateways, now=now) for row in rows]


def case_of(
    session: Session,
    row: Refund | Receipt,
    payment: Payment,
    gateways: Mapping[str, Gateway],
    *,
    now: datetime,
) -> Case:
    """Return how far money has come, and whether its gateway's window is about to shut."""
    if isinstance(row, Refund):
        case = _of_refund(row, payment, gateways, now=now)
    else:
        case = _of_receipt(row, find_transfer(session, return_no(row)), gateways, now=now)
    return case._replace(back=came_back.find(session, case.number))


def _of_refund(
    row: Refund, payment: Payment, gateways: Mapping[str, Gateway], *, now: datetime
) -> Case:
    since = row.requested_at or row.proposed_at
    assert since is not None
    until, soon = None, False
    if payment.paid_at is not None and row.status in {_S.PROPOSED, _S.REQUESTED}:
        until, soon = _window(gateways.get(payment.gateway), payment.paid_at, now=now)
    return Case(row.refund_no, row, row.status, since, until, soon)


def _of_receipt(
    row: Receipt, transfer: BankTransfer | None, gateways: Mapping[str, Gateway], *, now: datetime
) -> Case:
    """Tell suspended money in the words of a refund."""
    status = _S.PENDING if row.asked_at else _S.REQUESTED
    if is_waiting(transfer):
        status = _S.BY_TRANSFER
    elif row.state is ReceiptState.RETURNED:
        status = _S.SUCCEEDED if row.to_send_fen else _S.CHARGED_BACK
    until, soon = None, False
    if status is _S.REQUESTED:
        until, soon = _window(gateways.get(row.source), row.received_at, now=now)
    return Case(return_no(row), row, status, row.received_at, until, soon)


def _window(
    gateway: Gateway | None, taken_at: datetime, *, now: datetime
) -> tuple[date | None, bool]:
    """Return the last day on which the gateway sends it back, and whether that is near."""
    until = None if gateway is None else shuts_at(gateway.capabilities, taken_at)
    if gateway is None or until is None:
        return None, False
    return billing_date(until), is_about_to_shut(gateway.capabilities, taken_at, now=now)
