"""One partition a month for bills, their past versions and the transfers about them."""

from datetime import date

from sqlalchemy import text
from sqlmodel import Session

from core.clock import add_months, month_start
from core.keys import month_range

PARTITIONED = ("bill", "bill_version", "ledger_transfer")


def ensure_months(session: Session, months: set[date]) -> None:
    """Make the partitions of ``months`` (any day in each) unless they are there.

    Idempotent and safe beside others doing the same; takes a short exclusive lock when it makes
    one, so call it in a transaction of its own. The database's own ``make_month`` makes them:
    the application may not make tables.
    """
    there = set(
        session.execute(
            text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        ).scalars()
    )
    for month in sorted({month_start(day) for day in months}):
        if {f"{table}_y{month:%Ym%m}" for table in PARTITIONED} <= there:
            continue
        first, after = month_range(month)
        session.execute(
            text("SELECT make_month(:suffix, :first, :after)"),
            {"suffix": f"y{month:%Ym%m}", "first": first, "after": after},
        )


def ensure_ahead(session: Session, *, today: date, back: int = 2, ahead: int = 3) -> None:
    """Make the partitions around today, so that no import has to wait for one."""
    ensure_months(session, {add_months(today, offset) for offset in range(-back, ahead + 1)})
