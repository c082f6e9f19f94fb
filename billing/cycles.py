"""A bill that should have come and has not. Rule 22.

A company bills in its own cycle: each month, every second, the odd ones. In the other months no
bill is normal. When an account that had a bill in the cycle before has none in the latest cycle
whose bills should be here, its bill is *missing*; when most accounts have none, the file is.
"""

from calendar import monthrange
from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from billing.rules.terms import Cycle
from billing.terms import terms_on
from core import outbox
from core.clock import add_months, month_start
from core.db import UtcDateTime, count_changed
from core.keys import month_range

CHUNK_ACCOUNTS = 5_000


class MissingBill(SQLModel, table=True):
    """A bill that should have come in an account's cycle and has not (rule 22)."""

    __tablename__ = "missing_bill"
    __table_args__ = (
        Index("ix_missing_bill_awaited", "noticed_at", postgresql_where=text("arrived_at IS NULL")),
    )

    account_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("utility_account.id"), primary_key=True)
    )
    billing_month: date = Field(primary_key=True)
    expected_by_on: date
    noticed_at: datetime = Field(sa_type=UtcDateTime)
    arrived_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def last_expected(cycle: Cycle, today: date) -> date:
    """Return the latest billing month of a cycle whose bills should all have come before today."""
    month = month_start(today)
    while not is_billed(cycle, month) or expected_by(cycle, month) >= today:
        month = add_months(month, -1)
    return month


def expected_by(cycle: Cycle, month: date) -> date:
    """Return the last day on which a month's bill may come without being missed."""
    last_day = month.replace(day=monthrange(month.year, month.month)[1])
    return last_day + timedelta(days=cycle.expect_within_days)


def is_billed(cycle: Cycle, month: date) -> bool:
    """Tell whether a bill comes for a month."""
    return (month.year * 12 + month.month - cycle.anchor_month) % cycle.months == 0


def next_billed(cycle: Cycle, month: date) -> date:
    """Return the billing month that comes after a month."""
    month = add_months(month, 1)
    while not is_billed(cycle, month):
        month = add_months(month, 1)
    return month


# Two months of one company, each by the range of its keys. A cancelled bill counts as come.
_AWAITED = """
    SELECT b.account_id, n.account_id IS NULL AS missing
    FROM (SELECT DISTINCT b.account_id
          FROM bill b JOIN utility_account a ON a.id = b.account_id
          WHERE a.provider_code = :provider_code
            AND b.id >= :before_id AND b.id < :before_end_id) b
    LEFT JOIN (SELECT DISTINCT account_id FROM bill
               WHERE id >= :month_id AND id < :month_end_id) n ON n.account_id = b.account_id
"""

_COUNT = text(f"SELECT count(*), count(*) FILTER (WHERE missing) FROM ({_AWAITED}) awaited")  # noqa: S608  our own text

_NOTICE = text(f"""
    INSERT INTO missing_bill (account_id, billing_month, expected_by_on, noticed_at)
    SELECT account_id, :month, :expected_by_on, :now
    FROM ({_AWAITED}) awaited
    WHERE missing AND NOT EXISTS (SELECT FROM missing_bill m
                                  WHERE m.account_id = awaited.account_id
                                    AND m.billing_month = :month)
    ORDER BY account_id LIMIT :limit
    ON CONFLICT DO NOTHING
    RETURNING account_id
""")  # noqa: S608  our own text above


def notice_missing(session: Session, provider_code: str, *, today: date, now: datetime) -> int:
    """Note the bills of a company's latest cycle that have not come, each once, and tell.

    Returns:
        How many accounts were noted; at most ``CHUNK_ACCOUNTS`` a call, so call it until it is
        none. When more than half of the accounts miss theirs, it is the company's file that has not
        come: that is told instead, and no account is noted.
    """
    cycle = terms_on(session, provider_code, today).cycle
    month = last_expected(cycle, today)
    values: dict[str, Any] = {"provider_code": provider_code, "month": month, "now": now}
    values["before_id"], values["before_end_id"] = month_range(add_months(month, -cycle.months))
    values["month_id"], values["month_end_id"] = month_range(month)
    accounts, missing = session.execute(_COUNT, values).one()
    if missing * 2 > accounts:
        _tell_file_missing(session, provider_code, month, now=now)
        return 0
    values |= {"expected_by_on": expected_by(cycle, month), "limit": CHUNK_ACCOUNTS}
    noted = session.execute(_NOTICE, values).scalars().all() if missing else ()
    for account_id in noted:
        outbox.emit(session, "bill.missing", f"{account_id}.{month:%Y-%m}", now=now)
    return len(noted)


_TOLD = text("""
    SELECT EXISTS (SELECT FROM outbox_event
                   WHERE topic = 'bill_file.missing' AND subject_id = :provider_code
                     AND facts ->> 'month' = :month)
""")


def _tell_file_missing(session: Session, provider_code: str, month: date, *, now: datetime) -> None:
    """Tell once; and once more after a week or so, when the outbox has forgotten it was told."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('billing.cycles'), hashtext(:provider_code))"),
        {"provider_code": provider_code},
    )
    told = {"provider_code": provider_code, "month": str(month)}
    if not session.execute(_TOLD, told).scalar_one():
        outbox.emit(session, "bill_file.missing", provider_code, now=now, month=str(month))


# The range of a month's keys, as core.keys.month_range makes it.
_ARRIVED = text("""
    UPDATE missing_bill m SET arrived_at = :now
    FROM utility_account a, bill_file f
    WHERE f.id = :bill_file_id AND a.provider_code = f.provider_code AND m.account_id = a.id
      AND m.arrived_at IS NULL
      AND EXISTS (
        SELECT FROM bill b
        CROSS JOIN LATERAL (SELECT CAST(extract(year FROM m.billing_month) - 2000 AS bigint) * 12
                                   + CAST(extract(month FROM m.billing_month) AS bigint) - 1
                            AS no) k
        WHERE b.account_id = m.account_id AND b.id >= no << 51 AND b.id < (no + 1) << 51)
""")


def mark_arrived(session: Session, bill_file_id: int, *, now: datetime) -> int:
    """Note which missing bills of a file's company are here after all; returns how many."""
    done = session.execute(_ARRIVED, {"bill_file_id": bill_file_id, "now": now})
    return count_changed(done)


def list_missing(
    session: Session, account_ids: Collection[int], *, limit: int = 50
) -> list[MissingBill]:
    """Return the bills that some accounts still wait for, the newest month first."""
    return list(
        session.exec(
            select(MissingBill)
            .where(col(MissingBill.account_id).in_(account_ids))
            .where(col(MissingBill.arrived_at).is_(None))
            .order_by(col(MissingBill.billing_month).desc(), col(MissingBill.account_id))
            .limit(limit)
        )
    )
