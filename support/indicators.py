"""Open figures of the service, by company and month: nothing of anybody, and few enough to print.

A job counts them into a small table, the last three months anew each time; whoever asks reads that.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.rules.calendars import pay_by
from billing.terms import terms_of
from core.clock import add_months, billing_date, day_bounds, month_start
from core.keys import month_range
from support.models import ServiceIndicator

MONTHS_COUNTED = 3  # bills are paid in the months after theirs
MONTHS_SHOWN = 24
FEWEST = 5  # answers behind a median

# Counted by the days that matter, not by the bill: which of them were in time is the company's
# terms to say. A bill that credits covered has no payment.
_BILLS = text("""
    WITH paid AS MATERIALIZED (
        SELECT i.account_id, i.bill_id,
               (max(p.paid_at) AT TIME ZONE 'Asia/Shanghai')::date AS paid_on
        FROM payment_item i JOIN payment p ON p.id = i.payment_id
        WHERE i.payment_id >= :first_payment AND i.bill_id >= :first AND i.bill_id < :after
          AND i.outcome IN ('paid', 'written_off')
        GROUP BY 1, 2
    )
    SELECT a.provider_code, b.due_on, paid.paid_on,
           b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen <= 0 AS settled, count(*)
    FROM bill b
    JOIN utility_account a ON a.id = b.account_id
    LEFT JOIN paid ON paid.account_id = b.account_id AND paid.bill_id = b.id
    WHERE b.id >= :first AND b.id < :after AND b.amount_fen > 0 AND b.cancelled_at IS NULL
    GROUP BY 1, 2, 3, 4
""")

_WRITE_OFFS = text("""
    SELECT a.provider_code, count(*),
           count(*) FILTER (WHERE i.outcome = 'written_off'
                            AND i.outcome_at <= p.paid_at + interval '1 day')
    FROM payment p
    JOIN payment_item i ON i.payment_id = p.id
    JOIN utility_account a ON a.id = i.account_id
    WHERE p.id >= :first AND p.id < :after
      AND i.payment_id >= :first AND i.payment_id < :after
      AND p.paid_at IS NOT NULL AND i.outcome NOT IN ('waiting', 'not_paid')
      AND (i.outcome = 'written_off' OR p.paid_at <= :now - interval '1 day')
    GROUP BY 1
""")

# What its person closed before anybody answered is no complaint any more.
_COMPLAINTS = text("""
    SELECT coalesce(provider_code, ''), count(*),
           count(*) FILTER (WHERE answered_at <= first_due_at),
           CASE WHEN count(answered_at) >= :fewest THEN percentile_cont(0.5) WITHIN GROUP (
               ORDER BY extract(epoch FROM answered_at - received_at) / 60)::integer END
    FROM complaint
    WHERE received_at >= :since AND received_at < :until
      AND NOT (state = 'closed' AND answered_at IS NULL)
    GROUP BY 1
""")

_KEEP = text("""
    INSERT INTO service_indicator (provider_code, month, bills_issued, bills_due,
        bills_paid_in_time, write_offs, write_offs_in_a_day, complaints,
        complaints_answered_in_time, median_answer_minutes, counted_at)
    VALUES (:provider_code, :month, :bills_issued, :bills_due, :bills_paid_in_time, :write_offs,
        :write_offs_in_a_day, :complaints, :complaints_answered_in_time, :median_answer_minutes,
        :now)
""")


def count(session: Session, *, now: datetime) -> None:
    """Count the last months anew; those before stay as they were counted last."""
    today = billing_date(now)
    for back in range(MONTHS_COUNTED):
        month = add_months(month_start(today), -back)
        rows = list(_count_month(session, month, today=today, now=now))
        session.execute(text("DELETE FROM service_indicator WHERE month = :month"),
                        {"month": month})  # fmt: skip
        if rows:
            session.execute(_KEEP, rows)


def _count_month(
    session: Session, month: date, *, today: date, now: datetime
) -> Iterator[dict[str, Any]]:
    first, after = month_range(month)
    counted: dict[str, dict[str, int | None]] = defaultdict(_nothing)
    bills = session.execute(_BILLS, {"first": first, "after": after, "first_payment": first}).all()
    terms = terms_of(session, {row[0] for row in bills}, today)
    for code, due_on, paid_on, settled, number in bills:
        last_on = pay_by(due_on, terms[code].due)
        due = last_on < today
        in_time = due and settled and (paid_on is None or paid_on <= last_on)
        for name, holds in (
            ("bills_issued", True), ("bills_due", due), ("bills_paid_in_time", in_time),
        ):  # fmt: skip
            counted[code][name] = (counted[code][name] or 0) + holds * number
    values = {"first": first, "after": after, "now": now}
    for code, all_of_them, in_a_day in session.execute(_WRITE_OFFS, values):
        counted[code] |= {"write_offs": all_of_them, "write_offs_in_a_day": in_a_day}
    since, until = day_bounds(month)[0], day_bounds(add_months(month, 1))[0]
    values = {"since": since, "until": until, "fewest": FEWEST}
    for code, received, in_time, minutes in session.execute(_COMPLAINTS, values):
        counted[code] |= {
            "complaints": received, "complaints_answered_in_time": in_time,
            "median_answer_minutes": minutes,
        }  # fmt: skip
    for code, figures in counted.items():
        yield {"provider_code": code, "month": month, "now": now, **figures}


def _nothing() -> dict[str, int | None]:
    zero = dict.fromkeys(
        ("bills_issued", "bills_due", "bills_paid_in_time", "write_offs", "write_offs_in_a_day",
         "complaints", "complaints_answered_in_time"), 0,
    )  # fmt: skip
    return {**zero, "median_answer_minutes": None}


def list_indicators(session: Session, *, today: date) -> list[ServiceIndicator]:
    """Return the last two years, the newest month first, companies by their code."""
    since = add_months(month_start(today), 1 - MONTHS_SHOWN)
    found = select(ServiceIndicator).where(ServiceIndicator.month >= since)
    return list(
        session.exec(
            found.order_by(col(ServiceIndicator.month).desc(), col(ServiceIndicator.provider_code))
        )
    )
