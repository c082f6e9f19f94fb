"""What needs a person, and the few sums staff look at first. Each is read from what waits alone."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger.days import next_to_close
from core.clock import day_bounds

_REFUSALS_SHOWN_FOR = timedelta(days=7)
_LOOK_BACK = timedelta(days=366)  # a day that waits longer for its file is not told of any more


class Figures(NamedTuple):
    """Sums in fen.

    ``owed_fen`` is what residents owed, less credits, on the evening of ``owed_on``: the last
    closed day, if there is one.
    """

    unconfirmed: int
    returning_fen: int
    owed_on: date | None
    owed_fen: int


class Attention(NamedTuple):
    """What a person should look at, each by how many.

    ``refused_corrections`` are those of the last seven days, ``refused_in_file`` the bill file the
    latest of them came in.
    """

    refused_files: int
    unreconciled_days: int
    unclosed_days: int
    proposed_terms: int
    refused_corrections: int
    refused_in_file: int | None
    missing_bills: int
    proposed_refunds: int
    waiting_transfers: int
    open_chargebacks: int
    remittances: int  # to be released


# Summing open bills up would read all bills ever; the books know it, evening by evening.
_FIGURES = text("""
    SELECT u.items, r.fen + s.fen, o.day, o.fen
    FROM (SELECT count(*) AS items FROM payment_item WHERE outcome = 'paid') u,
         (SELECT coalesce(sum(amount_fen - charged_back_fen), 0)::bigint AS fen
          FROM refund WHERE status IN ('requested', 'pending', 'by_transfer')
          AND status NOT IN ('succeeded', 'declined', 'charged_back')) r,
         (SELECT coalesce(sum(amount_fen - charged_back_fen), 0)::bigint AS fen
          FROM receipt WHERE state = 'suspended') s,
         (SELECT max(b.day) AS day,
                 coalesce(sum(b.total_debit_fen - b.total_credit_fen), 0)::bigint AS fen
          FROM ledger_day_balance b JOIN ledger_account a ON a.id = b.ledger_account_id
          WHERE a.code LIKE 'receivable:%' AND b.day = (SELECT max(day) FROM ledger_day)) o
""")


def today_figures(session: Session) -> Figures:
    """Count what companies have not answered, what is on its way back, and what is owed."""
    return Figures(*session.execute(_FIGURES).one())


# Days with money and no run: its file is not here yet.
_UNRECONCILED = """
    SELECT source, day
    FROM (SELECT g.source, CAST(d.day AS date) AS day
          FROM unnest(CAST(:gateways AS text[])) AS g (source)
          CROSS JOIN generate_series(CAST(:since AS timestamp), CAST(:until AS timestamp),
                                     interval '1 day') AS d (day)
          WHERE NOT EXISTS (SELECT FROM reconciliation r
                            WHERE r.source = g.source AND r.day = CAST(d.day AS date))
            AND EXISTS (SELECT FROM payment p WHERE p.gateway = g.source
                        AND p.paid_at >= d.day AT TIME ZONE 'Asia/Shanghai'
                        AND p.paid_at < (d.day + interval '1 day') AT TIME ZONE 'Asia/Shanghai')
          UNION
          SELECT source, (received_at AT TIME ZONE 'Asia/Shanghai')::date
          FROM receipt WHERE source = ANY(:gateways)
           AND received_at >= CAST(:since AS timestamp) AT TIME ZONE 'Asia/Shanghai'
           AND received_at < CAST(:today AS timestamp) AT TIME ZONE 'Asia/Shanghai') taken
    WHERE NOT EXISTS (SELECT FROM reconciliation r
                      WHERE r.source = taken.source AND r.day = taken.day)
"""


def _days_before(today: date) -> dict[str, date]:
    return {"today": today, "since": today - _LOOK_BACK, "until": today - timedelta(days=1)}


def unreconciled(
    session: Session, *, gateways: Collection[str], today: date
) -> list[tuple[str, date]]:
    """Return the days before today on which these took money and whose file is not here."""
    values = {"gateways": list(gateways)} | _days_before(today)
    rows = session.execute(text(f"{_UNRECONCILED} ORDER BY day DESC, source"), values)
    return [(source, day) for source, day in rows]


_ATTENTION = text(f"""
    SELECT (SELECT count(*) FROM bill_file WHERE status = 'refused') AS refused_files,
           (SELECT count(*) FROM ({_UNRECONCILED}) d) AS unreconciled_days,
           (SELECT count(*) FROM provider_terms
            WHERE effective_on > :today AND approved_at IS NULL AND withdrawn_at IS NULL
           ) AS proposed_terms,
           c.refused_corrections, c.refused_in_file,
           (SELECT count(*) FROM missing_bill WHERE arrived_at IS NULL) AS missing_bills,
           (SELECT count(*) FROM refund WHERE status = 'proposed'
            AND status NOT IN ('succeeded', 'declined', 'charged_back')) AS proposed_refunds,
           (SELECT count(*) FROM bank_transfer
            WHERE sent_at IS NULL AND dropped_at IS NULL) AS waiting_transfers,
           (SELECT count(*) FROM chargeback WHERE state = 'open') AS open_chargebacks,
           (SELECT count(*) FROM remittance WHERE state IN ('proposed', 'returned')
            AND state NOT IN ('sent', 'carried')) AS remittances
    FROM (SELECT count(*) AS refused_corrections,
                 (array_agg(bill_file_id ORDER BY decided_at DESC, id DESC))[1] AS refused_in_file
          FROM bill_correction WHERE state = 'refused' AND decided_at >= :refused_since) c
""")  # noqa: S608  our own text


def attention(session: Session, *, gateways: Collection[str], today: date) -> Attention:
    """Find what a person should look at.

    Args:
        gateways: whose days before ``today`` are to be reconciled.
    """
    refused_since, _ = day_bounds(today - _REFUSALS_SHOWN_FOR)
    values = {"gateways": list(gateways), "refused_since": refused_since} | _days_before(today)
    row = session.execute(_ATTENTION, values).one()
    next_on = next_to_close(session, today=today)
    unclosed_days = (today - next_on).days if next_on else 0
    return Attention(**row._mapping, unclosed_days=unclosed_days)
