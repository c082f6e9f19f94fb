"""The few figures staff look at first."""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import day_bounds


class Figures(NamedTuple):
    """A day at a glance; amounts in fen."""

    open_bills: int
    open_fen: int
    payments: int
    paid_fen: int
    unconfirmed: int
    returning_fen: int


class Attention(NamedTuple):
    """What a person should look at."""

    breaks: int
    refused_files: int
    unreconciled_days: int


def today_figures(session: Session, *, day: date) -> Figures:
    """Count what is open, and what was paid on ``day``."""
    started, ended = day_bounds(day)
    row = session.execute(
        text("""
            SELECT b.bills, b.fen, p.payments, p.fen, u.items, r.fen
            FROM (SELECT count(*) AS bills, coalesce(sum(amount_fen - paid_fen), 0)::bigint AS fen
                  FROM bill WHERE amount_fen > paid_fen AND cancelled_at IS NULL) b,
                 (SELECT count(*) AS payments, coalesce(sum(amount_fen), 0)::bigint AS fen
                  FROM payment WHERE paid_at >= :started AND paid_at < :ended) p,
                 (SELECT count(*) AS items FROM payment_item WHERE outcome = 'paid') u,
                 (SELECT coalesce(sum(amount_fen), 0)::bigint AS fen
                  FROM refund WHERE status = 'requested') r
        """),
        {"started": started, "ended": ended},
    ).one()
    return Figures(*row)


def attention(session: Session, *, gateways: Collection[str], today: date) -> Attention:
    """Find what a person should look at.

    Args:
        gateways: whose days before ``today`` are to be reconciled.
    """
    started, _ = day_bounds(today)
    row = session.execute(
        text("""
            SELECT (SELECT count(*) FROM reconciliation_break),
                   (SELECT count(*) FROM bill_file WHERE status = 'refused'),
                   (SELECT count(DISTINCT (p.gateway, day))
                    FROM payment p, LATERAL (
                        SELECT (p.paid_at AT TIME ZONE 'Asia/Shanghai')::date AS day) d
                    WHERE p.gateway = ANY(:gateways) AND p.paid_at < :started
                      AND NOT EXISTS (SELECT FROM reconciliation r
                                      WHERE r.source = p.gateway AND r.day = d.day))
        """),
        {"gateways": list(gateways), "started": started},
    ).one()
    return Attention(*row)
