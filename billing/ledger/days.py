"""The daily close: a Shanghai day is summed up, sealed, and takes no transfer any more.

Days are closed one after the other, those without a transfer included, so that the seals make a
chain. ``docs/ledger.md`` has the recipe of a seal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from billing.ledger import seals
from billing.ledger.books import EVER, last_closed
from billing.ledger.models import LedgerDay
from core.clock import billing_date, day_bounds
from core.db import transaction
from core.errors import Conflict

_ONE_DAY = timedelta(days=1)
_LOOK_BACK_DAYS = 366


class DayAccount(NamedTuple):
    """What a ledger account moved on a day; the balance is that evening's, debits less credits."""

    code: str
    debit_fen: int
    credit_fen: int
    balance_fen: int


@dataclass(frozen=True)
class DayView:
    """A day of the books; without ``closed_at`` it is open, computed from what stands there now.

    ``seal`` and ``before`` are hashes in hex: the day's, and that of the day before it.
    """

    day: date
    closed_at: datetime | None
    closed_by: str | None
    transfers: int
    amount_fen: int
    seal: str | None
    before: str | None
    accounts: tuple[DayAccount, ...]


def close_day(session: Session, day: date, *, closed_by: str, now: datetime) -> LedgerDay:
    """Sum a day up, seal it and let nobody post on it any more; a closed day is left as it is.

    Waits for transfers of the day that are being posted at this moment; those that come later are
    refused by the database. The first day ever closed is where the chain begins.

    Raises:
        Conflict: ``day.not_over``; ``day.gap``: an earlier day must be closed first, ``next_on``;
            ``day.before_books``: it lies before the first closed day; ``day.busy``: somebody went
            on posting on it for longer than we wait.
    """
    closed = session.get(LedgerDay, day)
    if closed is not None:
        return closed
    if billing_date(now) <= day:
        raise Conflict(
            f"{day} is not over in Shanghai: close it from {day + _ONE_DAY} on",
            code="day.not_over",
        )
    _refuse_stale_reads(session)
    _wait(session, "SELECT pg_advisory_xact_lock(hashtext('ledger.close'))", day)
    closed = session.get(LedgerDay, day)  # by another, while we waited
    if closed is not None:
        return closed
    before = last_closed(session)
    _refuse_gap(session, day, before)
    _wait_for_posters(session, day, first_ever=before is None)
    if before is None:
        _refuse_unclosed(session, day)
    start, after = day_bounds(day)
    values = {"day": day, "start": start, "after": after, "closed_by": closed_by, "now": now}
    session.execute(_CLOSE, values)
    return session.get_one(LedgerDay, day)


def _refuse_stale_reads(session: Session) -> None:
    # A snapshot taken before the locks would not show what was posted while we waited for them.
    level = session.execute(text("SELECT current_setting('transaction_isolation')")).scalar_one()
    assert level == "read committed", level


def _wait(session: Session, lock: str, day: date, **values: int) -> None:
    try:
        session.execute(text(lock), values)
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise Conflict(
                f"somebody is still posting on {day}, or closing: try again in a moment",
                code="day.busy",
            ) from error
        raise


def _wait_for_posters(session: Session, day: date, *, first_ever: bool) -> None:
    """Lock the day against posters, who hold a shared lock on it until they commit.

    The first time, no closed day yet keeps anybody from posting before the books begin: so the year
    before is locked as well.
    """
    day_no = (day - date(2000, 1, 1)).days
    _wait(
        session,
        "SELECT count(pg_advisory_xact_lock(hashtext('ledger.day'), at)) "
        "FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) at",
        day,
        first=day_no - (_LOOK_BACK_DAYS if first_ever else 0),
        last=day_no,
    )


def _gap(next_on: date) -> Conflict:
    return Conflict(
        f"an earlier day is not closed: close {next_on} first", code="day.gap", next_on=str(next_on)
    )


def _refuse_gap(session: Session, day: date, before: date | None) -> None:
    if before is None:
        return
    if day < before:
        raise Conflict(
            f"{day} lies before the first closed day: nothing can be posted on it any more",
            code="day.before_books",
        )
    if day > before + _ONE_DAY:
        raise _gap(before + _ONE_DAY)


def _refuse_unclosed(session: Session, day: date) -> None:
    first_on = _first_posted_on(session)
    if first_on is not None and first_on < day:
        raise _gap(first_on)


def _first_posted_on(session: Session) -> date | None:
    found: date | None = session.execute(
        text("SELECT min(posted_on) FROM ledger_transfer")
    ).scalar_one()
    return found


# One statement, so that everything is computed from the same rows; its rows refer to each other,
# and foreign keys are looked at when it ends. A row for every account that ever moved, so that a
# balance is one look-up and the transfers since.
_CLOSE = text(f"""
    WITH parts AS (
        SELECT CAST(:day AS date) AS day, found.* FROM ({seals.PARTS}) found
    ), before AS (
        SELECT day, sha256 FROM ledger_day WHERE day = CAST(:day AS date) - 1
    ), rollup AS (
        SELECT CAST(:day AS date) AS day, ledger_account_id,
               coalesce(m.debit_fen, 0) AS debit_fen, coalesce(m.credit_fen, 0) AS credit_fen,
               coalesce(b.total_debit_fen, 0) + coalesce(m.debit_fen, 0) AS total_debit_fen,
               coalesce(b.total_credit_fen, 0) + coalesce(m.credit_fen, 0) AS total_credit_fen
        FROM ({seals.MOVED}) m
        FULL JOIN (SELECT * FROM ledger_day_balance WHERE day = CAST(:day AS date) - 1) b
             USING (ledger_account_id)
    ), sums AS (
        SELECT CAST(:day AS date) AS day,
               (SELECT coalesce(sum(rows), 0)::bigint FROM parts) AS transfers,
               (SELECT coalesce(sum(debit_fen), 0)::bigint FROM rollup) AS amount_fen,
               before.day AS before_on, before.sha256 AS before_sha256,
               CAST(:closed_by AS text) AS closed_by, CAST(:now AS timestamptz) AS closed_at
        FROM (VALUES (1)) one LEFT JOIN before ON true
    ), kept_day AS (
        INSERT INTO ledger_day (day, transfers, amount_fen, before_on, before_sha256, sha256,
                                closed_by, closed_at)
        SELECT day, transfers, amount_fen, before_on, before_sha256,
               {seals.seal("sums", "parts", "rollup")}, closed_by, closed_at
        FROM sums
    ), kept_rollup AS (
        INSERT INTO ledger_day_balance (day, ledger_account_id, debit_fen, credit_fen,
                                        total_debit_fen, total_credit_fen)
        SELECT day, ledger_account_id, debit_fen, credit_fen, total_debit_fen, total_credit_fen
        FROM rollup
    )
    INSERT INTO ledger_seal_part (day, part_no, rows, row_digests, sha256)
    SELECT day, part_no, rows, row_digests, sha256 FROM parts
""")  # noqa: S608  our own text


def next_to_close(session: Session, *, today: date) -> date | None:
    """Return the oldest day that is over and not closed; None when there is none.

    Args:
        today: the day it is in Shanghai.
    """
    before = last_closed(session)
    found = before + _ONE_DAY if before is not None else _first_posted_on(session)
    return found if found is not None and found < today else None


def close_through(
    day: date,
    *,
    closed_by: str,
    now: datetime,
    progress: Callable[[date], None] = lambda closed: None,
) -> int:
    """Close every day that is over and not closed, up to and with ``day``; returns how many.

    Each in a transaction of its own: what is closed when one is refused stays closed.

    Raises:
        Conflict: as ``close_day``.
    """
    count = 0
    while True:
        with transaction() as session:
            next_on = next_to_close(session, today=billing_date(now))
            if next_on is None or next_on > day:
                return count
            close_day(session, next_on, closed_by=closed_by, now=now)
        count += 1
        progress(next_on)


def list_days(session: Session, *, limit: int) -> list[LedgerDay]:
    """Return the closed days, the newest first."""
    newest = select(LedgerDay).order_by(col(LedgerDay.day).desc()).limit(limit)
    return list(session.exec(newest))


_CLOSED_ACCOUNTS = text("""
    SELECT a.code, b.debit_fen, b.credit_fen, b.total_debit_fen - b.total_credit_fen
    FROM ledger_day_balance b JOIN ledger_account a ON a.id = b.ledger_account_id
    WHERE b.day = :day ORDER BY a.code
""")

# Of a day that is open: what its accounts moved on it, and where the day before left them.
_OPEN_ACCOUNTS = text(f"""
    SELECT a.code, coalesce(m.debit_fen, 0), coalesce(m.credit_fen, 0),
           coalesce(b.total_debit_fen - b.total_credit_fen, 0)
           + coalesce(t.debit_fen - t.credit_fen, 0) + coalesce(m.debit_fen - m.credit_fen, 0)
    FROM ledger_account a
    LEFT JOIN ledger_day_balance b ON b.ledger_account_id = a.id AND b.day = :before
    LEFT JOIN ({seals.MOVED.replace(":start", ":since").replace(":after", ":start")}) t
         ON t.ledger_account_id = a.id
    LEFT JOIN ({seals.MOVED}) m ON m.ledger_account_id = a.id
    WHERE coalesce(b.ledger_account_id, t.ledger_account_id, m.ledger_account_id) IS NOT NULL
    ORDER BY a.code
""")  # noqa: S608  our own text


def show_day(session: Session, day: date) -> DayView:
    """Return a day of the books: as it was sealed, or as it stands while it is open."""
    closed = session.get(LedgerDay, day)
    if closed is not None:
        rows = session.execute(_CLOSED_ACCOUNTS, {"day": day})
        return DayView(
            day, closed.closed_at.astimezone(UTC), closed.closed_by, closed.transfers,
            closed.amount_fen, closed.sha256.hex(),
            closed.before_sha256.hex() if closed.before_sha256 else None,
            tuple(DayAccount(*row) for row in rows),
        )  # fmt: skip
    return _show_open(session, day)


def _show_open(session: Session, day: date) -> DayView:
    before = last_closed(session, before=day)
    start, after = day_bounds(day)
    values = {
        "before": before,
        "since": day_bounds(before)[1] if before else EVER,
        "start": start,
        "after": after,
    }
    counted = session.execute(
        text(f"SELECT count(*) FROM ledger_transfer WHERE {seals.PERIOD}"),  # noqa: S608  our own text
        {"start": start, "after": after},
    ).scalar_one()
    accounts = tuple(DayAccount(*row) for row in session.execute(_OPEN_ACCOUNTS, values))
    return DayView(
        day, None, None, counted, sum(one.debit_fen for one in accounts), None, None, accounts
    )
