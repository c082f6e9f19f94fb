"""Closing a day with its checklist: nothing is left open that nobody gave a reason for.

``billing.ledger.days.close_day`` sums up and seals, and holds what no reason helps against: a day
that is not over, and one before which another is open.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.ledger.books import last_closed
from billing.ledger.days import close_day, next_to_close
from billing.ledger.models import LedgerDay
from core.clock import billing_date
from core.db import transaction
from core.errors import Conflict, Invalid
from payments.gateways.base import Gateway
from payments.reconciliation.closing.checklist import Check, Name, State, Weight, checklist
from payments.reconciliation.closing.models import DayClosing

MAX_REASON = 500
_ENFORCED = frozenset({Name.DAY_OVER, Name.EARLIER_DAYS})  # close_day refuses them in its own words


class Closing(NamedTuple):
    """How a day was closed: the reason, where one was asked for, and the checks not done then."""

    despite: str | None
    open: tuple[Check, ...]


def close(
    session: Session,
    day: date,
    *,
    gateways: Mapping[str, Gateway],
    closed_by: str,
    despite: str,
    now: datetime,
) -> LedgerDay:
    """Close a day and keep what its checklist said; a closed day is left as it is.

    Args:
        despite: why it is closed although checks ask for a reason; blank: nothing asks for one.

    Raises:
        Invalid: the reason is longer than ``MAX_REASON``.
        Conflict: as ``close_day``; ``day.blocked``: the books of the day do not hold;
            ``day.open_checks``: checks are not done, ``checks``, and no reason was given.
    """
    closed = session.get(LedgerDay, day)
    if closed is not None:
        return closed
    before = last_closed(session)
    checks = checklist(session, day, gateways=gateways, now=now)
    reason = despite.strip()
    if len(reason) > MAX_REASON:
        raise Invalid(f"say why in at most {MAX_REASON} characters", code="day.reason")
    if before is None or day > before:
        _refuse_open(day, checks, reason)
    closed = close_day(session, day, closed_by=closed_by, now=now)
    if (closed.closed_by, closed.closed_at) == (closed_by, now):  # and not a colleague, just now
        _keep(session, day, checks, reason)
    return closed


def _refuse_open(day: date, checks: tuple[Check, ...], reason: str) -> None:
    """Refuse what a reason is missing for, or what no reason helps against."""
    weighty = [check for check in checks if not check.done]
    if any(check.name in _ENFORCED for check in weighty):
        return
    blocked = [check for check in weighty if check.weight is Weight.BLOCKS]
    asks = [check for check in weighty if check.weight is Weight.ASKS]
    told = {"checks": [check.name.value for check in blocked or asks]}
    if blocked:
        first = blocked[0].who[0]
        raise Conflict(f"{day} cannot be closed: {first}", code="day.blocked", **told)
    if asks and not reason:
        names = ", ".join(told["checks"])
        raise Conflict(
            f"{day} still waits for {names}: mend that, or say why it is closed all the same",
            code="day.open_checks", **told,
        )  # fmt: skip


def _keep(session: Session, day: date, checks: tuple[Check, ...], reason: str) -> None:
    open_ = [check for check in checks if not check.done]
    asked = any(check.weight is Weight.ASKS for check in open_)
    found = [check._asdict() for check in open_]
    kept = {"day": day, "despite": reason if asked else None, "found": found}
    session.execute(insert(DayClosing).values(kept).on_conflict_do_nothing())


def closing_of(session: Session, day: date) -> Closing | None:
    """Return how a day was closed; None of one that is open, or was closed with no checklist."""
    kept = session.get(DayClosing, day)
    if kept is None:
        return None
    return Closing(
        kept.despite,
        tuple(
            Check(Name(one["name"]), State(one["state"]), one["how_many"], tuple(one["who"]))
            for one in kept.found
        ),
    )


class ClosedDay(NamedTuple):
    """A closed day in a list, with the reason it was closed for, where one was asked for."""

    row: LedgerDay
    despite: str | None


def list_closed(
    session: Session, *, before: date | None = None, limit: int | None = None
) -> list[ClosedDay]:
    """Return closed days, the newest first; ``before`` is the last one of the page before."""
    found = (
        select(LedgerDay, DayClosing.despite)
        .join(DayClosing, col(DayClosing.day) == col(LedgerDay.day), isouter=True)
        .order_by(col(LedgerDay.day).desc())
        .limit(limit)
    )
    if before is not None:
        found = found.where(col(LedgerDay.day) < before)
    return [ClosedDay(row, despite) for row, despite in session.exec(found)]


def close_all(
    day: date,
    *,
    gateways: Mapping[str, Gateway],
    closed_by: str,
    despite: str,
    now: datetime,
    progress: Callable[[date], None] = lambda closed: None,
) -> None:
    """Close every day that is over, up to and with ``day``, each in a transaction of its own.

    Raises:
        Conflict: as ``close``; the days before stay closed.
    """
    while True:
        with transaction() as session:
            next_on = next_to_close(session, today=billing_date(now))
            if next_on is None or next_on > day:
                return
            close(
                session, next_on, gateways=gateways, closed_by=closed_by, despite=despite, now=now
            )
        progress(next_on)
