"""What happened to a resident's money, or to an account's, newest first: one query, many kinds."""

from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import add_months, billing_date
from core.keys import month_key

_MONTHS = 24
_NEVER = datetime(2100, 1, 1, tzinfo=UTC)


class Happening(NamedTuple):
    """One thing that happened; ``what`` names the sentence that tells it.

    ``state`` is the state it came to, ``reference`` the bill, payment, refund or mandate it is
    about, ``company`` whose bill it is; ``note`` is a notice's title.
    """

    at: datetime
    what: str
    reference: str
    fen: int | None = None
    state: str | None = None
    company: str | None = None
    month: date | None = None
    note: str | None = None

    @property
    def on(self) -> date:
        return billing_date(self.at)


# Bills are dated by the day they were issued: when their file came is the company's affair.
_BILLS = """
    SELECT b.issued_on::timestamp AT TIME ZONE 'Asia/Shanghai' AS at, 'bill' AS what,
           b.account_id || '.' || b.id AS reference, b.amount_fen AS fen, NULL AS state,
           a.provider_code AS company, b.billing_month AS month
    FROM bill b JOIN utility_account a ON a.id = b.account_id
    WHERE b.account_id = ANY(:account_ids) AND b.id >= :oldest_id
    UNION ALL
    SELECT v.replaced_at, 'bill_corrected', v.account_id || '.' || v.id, v.amount_fen, NULL,
           a.provider_code, NULL
    FROM bill_version v JOIN utility_account a ON a.id = v.account_id
    WHERE v.account_id = ANY(:account_ids) AND v.id >= :oldest_id
    UNION ALL
    SELECT r.recorded_at, 'reminder', r.account_id || '.' || r.bill_id, nullif(r.fee_fen, 0), NULL,
           a.provider_code, NULL
    FROM bill_reminder r JOIN utility_account a ON a.id = r.account_id
    WHERE r.account_id = ANY(:account_ids) AND r.id >= :oldest_id
"""

# Of their own, and of their bills by somebody else (a guest, a neighbour, cash at a counter). Of an
# account there is nobody whose own they are.
_PAYMENTS = """
    SELECT p.created_at,
           CASE WHEN p.payer_id = :person_id OR CAST(:person_id AS bigint) IS NULL
                THEN 'payment' ELSE 'paid_for' END,
           p.id::text, p.amount_fen, p.status, NULL, NULL::date
    FROM payment p WHERE p.id IN (SELECT id FROM theirs)
"""

_MONEY_BACK = """
    SELECT coalesce(r.succeeded_at, r.declined_at, r.requested_at, r.proposed_at), 'refund',
           r.refund_no, r.amount_fen, r.status, NULL, NULL::date
    FROM refund r WHERE r.payment_id IN (SELECT id FROM theirs)
    UNION ALL
    SELECT coalesce(c.returned_at, c.received_at),
           CASE WHEN c.came_back_of IS NULL THEN 'receipt' ELSE 'came_back' END, 'S' || c.id,
           c.amount_fen, c.state, NULL, NULL
    FROM receipt c WHERE c.payment_id IN (SELECT id FROM theirs)
    UNION ALL
    SELECT coalesce(d.decided_at, d.opened_at), 'chargeback', d.payment_id::text, d.amount_fen,
           d.state, NULL, NULL
    FROM chargeback d WHERE d.payment_id IN (SELECT id FROM theirs)
"""

_AUTOPAY = """
    SELECT m.status_at, 'mandate', m.id::text, NULL::bigint, m.status, NULL, NULL::date
    FROM mandate m WHERE m.person_id = :person_id
    UNION ALL
    SELECT u.state_at, 'autopay', u.account_id || '.' || u.bill_id, u.amount_fen, u.state,
           a.provider_code, NULL
    FROM autopay_run u JOIN mandate m ON m.id = u.mandate_id
    JOIN utility_account a ON a.id = u.account_id
    WHERE m.person_id = :person_id AND u.state <> 'planned'
"""

_THEIRS = """
    SELECT id FROM payment WHERE payer_id = :person_id
    UNION SELECT payment_id FROM payment_item WHERE account_id = ANY(:account_ids)
"""

_HAPPENED = text(f"""
    WITH theirs AS ({_THEIRS}),
         happened (at, what, reference, fen, state, company, month) AS (
             {_BILLS} UNION ALL {_PAYMENTS} UNION ALL {_MONEY_BACK} UNION ALL {_AUTOPAY})
    SELECT at, what, reference, fen, state, company, month FROM happened
    WHERE at <= :until ORDER BY at DESC, what, reference LIMIT :limit
""")  # noqa: S608  our own text


def happened(
    session: Session,
    *,
    person_id: int | None,
    account_ids: Collection[int],
    now: datetime,
    until: datetime | None = None,
    limit: int,
) -> list[Happening]:
    """Return what happened to a person's money and to some accounts' bills, newest first.

    Args:
        person_id: none: of the accounts alone.
        until: leaves out what came later.
    """
    oldest = add_months(billing_date(now), -_MONTHS)
    values = {
        "person_id": person_id, "account_ids": list(account_ids), "limit": limit,
        "oldest_id": month_key(oldest, 0), "until": until or _NEVER,
    }  # fmt: skip
    return [Happening(*row) for row in session.execute(_HAPPENED, values)]


class Matter(NamedTuple):
    """Something of theirs that is not done; ``what`` names the sentence, ``href`` where it is."""

    what: str
    how_many: int
    fen: int | None
    reference: str | None  # of the one there is


# Each through what is theirs; what is over is found by no index and left out by its state.
_OPEN = text(f"""
    WITH theirs AS ({_THEIRS})
    SELECT 'overdue', count(*), sum(amount_fen + adjusted_fen - paid_fen - credited_fen)::bigint,
           NULL
    FROM bill
    WHERE account_id = ANY(:account_ids) AND id >= :oldest_id AND cancelled_at IS NULL
      AND amount_fen > 0 AND due_on < :today AND held_by IS NULL
      AND amount_fen + adjusted_fen - paid_fen - credited_fen > 0
    UNION ALL
    SELECT 'paying', count(*), sum(amount_fen)::bigint, min(id)::text
    FROM payment WHERE id IN (SELECT id FROM theirs) AND status IN ('created', 'unknown', 'open')
    UNION ALL
    SELECT 'not_confirmed', count(*), sum(amount_fen)::bigint, min(payment_id)::text
    FROM payment_item WHERE payment_id IN (SELECT id FROM theirs) AND outcome = 'paid'
    UNION ALL
    SELECT 'refund_proposed', count(*), sum(amount_fen)::bigint, min(refund_no)
    FROM refund WHERE payment_id IN (SELECT id FROM theirs) AND status = 'proposed'
    UNION ALL
    SELECT 'refund_under_way', count(*), sum(amount_fen)::bigint, min(refund_no)
    FROM refund
    WHERE payment_id IN (SELECT id FROM theirs) AND status IN ('requested', 'pending')
    UNION ALL
    SELECT 'transfer_waits', count(*), sum(amount_fen)::bigint, min(number)
    FROM bank_transfer
    WHERE payment_id IN (SELECT id FROM theirs) AND sent_at IS NULL AND dropped_at IS NULL
    UNION ALL
    SELECT 'disputed', count(*), sum(amount_fen)::bigint, min(payment_id)::text
    FROM chargeback WHERE payment_id IN (SELECT id FROM theirs) AND state = 'open'
    UNION ALL
    SELECT 'missing_bill', count(*), NULL, NULL
    FROM missing_bill WHERE account_id = ANY(:account_ids) AND arrived_at IS NULL
    UNION ALL
    SELECT 'correction_waits', count(*), NULL, NULL
    FROM bill_correction WHERE account_id = ANY(:account_ids) AND state = 'waiting'
""")  # noqa: S608  our own text


def open_matters(
    session: Session, *, person_id: int | None, account_ids: Collection[int], now: datetime
) -> list[Matter]:
    """Return what of a person's or of some accounts' is not done yet."""
    today = billing_date(now)
    values = {
        "person_id": person_id, "account_ids": list(account_ids), "today": today,
        "oldest_id": month_key(add_months(today, -_MONTHS), 0),
    }  # fmt: skip
    found = [Matter(*row) for row in session.execute(_OPEN, values)]
    return [
        one._replace(reference=one.reference if one.how_many == 1 else None)
        for one in found
        if one.how_many
    ]
