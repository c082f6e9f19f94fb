"""One partition a month for bills, their past versions and the transfers about them."""

from datetime import date

from sqlalchemy import text
from sqlmodel import Session

from billing.models import PARTITIONED
from core.clock import add_months, month_start
from core.keys import month_range


def ensure_months(session: Session, months: set[date]) -> None:
    """Make the partitions of ``months`` (any day in each) unless they are there.

    Idempotent and safe beside others doing the same; takes a short exclusive lock when it makes
    one, so call it in a transaction of its own.
    """
    there = set(
        session.execute(
            text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        ).scalars()
    )
    for month in sorted({month_start(day) for day in months}):
        wanted = {f"{table}_y{month:%Ym%m}": table for table in PARTITIONED}
        if wanted.keys() <= there:
            continue
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext('billing.partitions'))"))
        first, after = month_range(month)
        for name, table in wanted.items():
            session.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} "
                    f"FOR VALUES FROM ({first}) TO ({after})"
                )
            )
        if f"ledger_transfer_y{month:%Ym%m}" not in there:
            session.execute(
                text(
                    f"CREATE OR REPLACE TRIGGER append_only_whole "
                    f"BEFORE TRUNCATE ON ledger_transfer_y{month:%Ym%m} "
                    f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
                )
            )


def ensure_ahead(session: Session, *, today: date, back: int = 2, ahead: int = 3) -> None:
    """Make the partitions around today, so that no import has to wait for one."""
    ensure_months(session, {add_months(today, offset) for offset in range(-back, ahead + 1)})
