"""The few figures staff look at first."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.days import next_to_close
from core.clock import day_bounds

_REFUSALS_SHOWN_FOR = timedelta(days=7)


class Figures(NamedTuple):
    """A day at a glance; amounts in fen."""

    open_bills: int
    open_fen: int
    payments: int
    paid_fen: int
    unconfirmed: int
    returning_fen: int


class Attention(NamedTuple):
    """What a person should look at, each by how many.

    ``refused_corrections`` are those of the last seven days, ``refused_in_file`` the bill file the
    latest of them came in.
    """

    breaks: int
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


_FIGURES = text("""
    SELECT b.bills, b.fen, p.payments, p.fen, u.items, r.fen + s.fen
    FROM (SELECT count(*) AS bills, coalesce(sum(open_fen), 0)::bigint AS fen
          FROM (SELECT amount_fen + adjusted_fen - paid_fen - credited_fen AS open_fen
                FROM bill WHERE cancelled_at IS NULL) owed
          WHERE open_fen > 0) b,
         (SELECT count(*) AS payments, coalesce(sum(amount_fen), 0)::bigint AS fen
          FROM payment WHERE paid_at >= :started AND paid_at < :ended) p,
         (SELECT count(*) AS items FROM payment_item WHERE outcome = 'paid') u,
         (SELECT coalesce(sum(amount_fen - charged_back_fen), 0)::bigint AS fen
          FROM refund WHERE status IN ('requested', 'pending', 'by_transfer')) r,
         (SELECT coalesce(sum(amount_fen - charged_back_fen), 0)::bigint AS fen
          FROM receipt WHERE state = 'suspended') s
""")


def today_figures(session: Session, *, day: date) -> Figures:
    """Count what is open or on its way back, and what was paid on ``day``."""
    started, ended = day_bounds(day)
    return Figures(*session.execute(_FIGURES, {"started": started, "ended": ended}).one())


# Days with payments and no run: its file is not here yet.
_UNRECONCILED = """
    SELECT source, day
    FROM (SELECT gateway AS source, (paid_at AT TIME ZONE 'Asia/Shanghai')::date AS day
          FROM payment WHERE gateway = ANY(:gateways) AND paid_at < :started
          UNION
          SELECT source, (received_at AT TIME ZONE 'Asia/Shanghai')::date
          FROM receipt WHERE source = ANY(:gateways) AND received_at < :started) taken
    WHERE NOT EXISTS (SELECT FROM reconciliation r
                      WHERE r.source = taken.source AND r.day = taken.day)
"""


def unreconciled(
    session: Session, *, gateways: Collection[str], today: date
) -> list[tuple[str, date]]:
    """Return the days before today on which these took money and whose file is not here."""
    started, _ = day_bounds(today)
    values = {"gateways": list(gateways), "started": started}
    rows = session.execute(text(f"{_UNRECONCILED} ORDER BY day DESC, source"), values)
    return [(source, day) for source, day in rows]


_ATTENTION = text(f"""
    SELECT (SELECT count(*) FROM reconciliation_break WHERE state = 'open') AS breaks,
           (SELECT count(*) FROM bill_file WHERE status = 'refused') AS refused_files,
           (SELECT count(*) FROM ({_UNRECONCILED}) d) AS unreconciled_days,
           (SELECT count(*) FROM provider_terms
            WHERE effective_on > :today AND approved_at IS NULL AND withdrawn_at IS NULL
           ) AS proposed_terms,
           c.refused_corrections, c.refused_in_file,
           (SELECT count(*) FROM missing_bill WHERE arrived_at IS NULL) AS missing_bills,
           (SELECT count(*) FROM refund WHERE status = 'proposed') AS proposed_refunds,
           (SELECT count(*) FROM bank_transfer
            WHERE sent_at IS NULL AND dropped_at IS NULL) AS waiting_transfers,
           (SELECT count(*) FROM chargeback WHERE state = 'open') AS open_chargebacks
    FROM (SELECT count(*) AS refused_corrections,
                 (array_agg(bill_file_id ORDER BY decided_at DESC, id DESC))[1] AS refused_in_file
          FROM bill_correction WHERE state = 'refused' AND decided_at >= :refused_since) c
""")  # noqa: S608  our own text


def attention(session: Session, *, gateways: Collection[str], today: date) -> Attention:
    """Find what a person should look at.

    Args:
        gateways: whose days before ``today`` are to be reconciled.
    """
    started, _ = day_bounds(today)
    refused_since, _ = day_bounds(today - _REFUSALS_SHOWN_FOR)
    values = {
        "gateways": list(gateways), "started": started, "today": today,
        "refused_since": refused_since,
    }  # fmt: skip
    row = session.execute(_ATTENTION, values).one()
    next_on = next_to_close(session, today=today)
    unclosed_days = (today - next_on).days if next_on else 0
    return Attention(**row._mapping, unclosed_days=unclosed_days)
