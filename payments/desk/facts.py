"""What staff see of one payment beside what its payer sees: whom we asked, what was heard, posted.

Callbacks are counted and never shown: what a gateway sends holds its payer's names and accounts.
"""

from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from payments.attempts import PaymentAttempt
from payments.models import Payment, PaymentItem, list_items, list_receipts
from payments.reconciliation.models import ReconciliationBreak
from payments.returns.models import Refund, list_refunds


class Posting(NamedTuple):
    """One transfer of the ledger; ``entry_key`` says why."""

    posted_at: datetime
    entry_key: str
    debit: str
    credit: str
    amount_fen: int


class Heard(NamedTuple):
    """How often a gateway called us about a payment, and what has not been read yet."""

    calls: int
    unread: int
    last_at: datetime | None


class SettledRow(NamedTuple):
    """A row of a gateway's own file about a payment."""

    day: date
    file_name: str
    kind: str
    amount_fen: int
    fee_fen: int
    happened_at: datetime


class Facts(NamedTuple):
    """One payment from behind the counter."""

    attempts: list[PaymentAttempt]
    heard: Heard
    items: list[PaymentItem]
    refunds: list[Refund]
    settled: list[SettledRow]
    breaks: list[ReconciliationBreak]
    postings: list[Posting]


_HEARD = text("""
    SELECT count(*), count(*) FILTER (WHERE processed_at IS NULL), max(received_at)
    FROM gateway_callback WHERE reference = ANY(:names) AND gateway = :gateway
""")

# In the gateway's files of the days around: a file's rows are found by file.
_SETTLED = text("""
    SELECT DISTINCT f.day, f.file_name, r.kind, r.amount_fen, r.fee_fen, r.happened_at
    FROM settlement_file f JOIN settlement_row r ON r.settlement_file_id = f.id
    WHERE f.source = :gateway AND r.reference = ANY(:names)
      AND r.kind IN ('payment', 'refund')
      AND f.day >= CAST(:began_at AS date) - 2
    ORDER BY r.happened_at
""")

# A posting about a bill may be of another payment of it: the key's second part says whose it is.
_POSTINGS = text("""
    SELECT t.posted_at, t.entry_key, d.code, c.code, t.amount_fen
    FROM ledger_transfer t
    JOIN ledger_account d ON d.id = t.debit_account_id
    JOIN ledger_account c ON c.id = t.credit_account_id
    WHERE (t.account_id, t.subject_id) IN (
        SELECT account_id, bill_id FROM payment_item WHERE payment_id = :payment_id
        UNION ALL SELECT 0, CAST(:payment_id AS bigint)
        UNION ALL SELECT 0, id FROM receipt WHERE payment_id = :payment_id)
      AND (t.account_id = 0 OR split_part(t.entry_key, ':', 2) = ANY(:whose))
    ORDER BY t.posted_at, t.entry_key
""")


def facts_of(session: Session, payment: Payment) -> Facts:
    """Return what we know of a payment."""
    items, refunds = list_items(session, payment.id), list_refunds(session, payment.id)
    disputes = session.execute(
        text("SELECT id FROM chargeback WHERE payment_id = :id"), {"id": payment.id}
    ).scalars()
    at_gateway = [payment.order_no, *(one.refund_no for one in refunds)]
    named = [*at_gateway, *(one.write_off_no for one in items)]
    receipts = [one.id for one in list_receipts(session, payment.id)]
    values = {
        "names": at_gateway, "gateway": payment.gateway, "began_at": payment.created_at,
        "payment_id": payment.id,
        "whose": [str(payment.id), *at_gateway, *map(str, disputes), *map(str, receipts)],
    }  # fmt: skip
    attempts = select(PaymentAttempt).where(PaymentAttempt.payment_id == payment.id)
    breaks = select(ReconciliationBreak).where(col(ReconciliationBreak.reference).in_(named))
    return Facts(
        attempts=list(session.exec(attempts.order_by(col(PaymentAttempt.attempt_no)))),
        heard=Heard(*session.execute(_HEARD, values).one()),
        items=items,
        refunds=refunds,
        settled=[SettledRow(*row) for row in session.execute(_SETTLED, values)],
        breaks=list(session.exec(breaks.order_by(col(ReconciliationBreak.id)))),
        postings=[Posting(*row) for row in session.execute(_POSTINGS, values)],
    )
