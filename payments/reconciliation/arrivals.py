"""Which files should be here, which are, and asking a gateway for those that are not.

A gateway's file is expected of every day that is over since it first took money for us. One that is
not there yet is no difference and no error: it is asked for again, and in time called late. The
lists of companies are asked for by ``company_arrivals`` and told of here.
"""

import io
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session

from core import outbox
from core.clock import BILLING_ZONE, billing_date
from core.db import HotStatement, transaction
from core.errors import NotFound, SettlementFileError, UpstreamUnavailable
from payments.gateways import gateway_named
from payments.gateways.base import Capabilities, FileState, Gateway, SettlementFetch
from payments.reconciliation import matching
from payments.reconciliation.models import ArrivalState, Leg, SettlementArrival

LOOK_BACK_DAYS = 31
LATE_AFTER = timedelta(hours=3)  # a file that was due so long ago needs a person
_SOON, _SOON_SECONDS = timedelta(hours=6), 600
_LONG, _LONG_SECONDS = timedelta(days=7), 3_600
_DAILY_SECONDS = 86_400

_FIRST = HotStatement("""
    SELECT min(paid_at) FROM payment WHERE gateway = :source AND paid_at IS NOT NULL
""")
_EXPECT = HotStatement("""
    INSERT INTO settlement_arrival (source, day, state, due_at)
    SELECT :source, day, 'waiting', due_at
    FROM unnest(CAST(:days AS date[]), CAST(:due_ats AS timestamptz[])) AS e (day, due_at)
    ON CONFLICT (source, day) DO NOTHING
    RETURNING day
""")


def expect(session: Session, gateways: Mapping[str, Gateway], *, now: datetime) -> int:
    """Note the files that should come, and have each asked for; returns how many are new."""
    found = 0
    for source, gateway in sorted(gateways.items()):
        if not (gateway.capabilities.settlement_file and gateway.capabilities.settlement_fetched):
            continue
        [(first_at,)] = _FIRST.rows(session, {"source": source})
        days = [] if first_at is None else days_over(billing_date(first_at), billing_date(now))
        due_ats = [due_at(gateway.capabilities, day) for day in days]
        values = {"source": source, "days": days, "due_ats": due_ats}
        for (day,) in sorted(_EXPECT.rows(session, values)):
            outbox.emit(session, "settlement_file.expected", subject_of(source, day), now=now)
            found += 1
    return found


def days_over(first_on: date, today: date) -> list[date]:
    """Return the days that are over and of which files are still asked for."""
    start = max(first_on, today - timedelta(days=LOOK_BACK_DAYS))
    return [start + timedelta(days=at) for at in range((today - start).days)]


def due_at(can: Capabilities, day: date) -> datetime:
    """Return when a gateway's file of a day is there, by its own word."""
    on = day + timedelta(days=can.settlement_days)
    return datetime.combine(on, can.settlement_at, tzinfo=BILLING_ZONE)


def subject_of(source: str, day: date) -> str:
    """Return what an event about a source's file of a day is about."""
    return f"{source} {day}"


def read_subject(subject: str) -> tuple[str, date]:
    """Return the source and day an event is about."""
    source, _, day = subject.rpartition(" ")
    return source, date.fromisoformat(day)


def fetch(source: str, day: date, gateways: Mapping[str, Gateway], *, now: datetime) -> int | None:
    """Ask a gateway for a day's file, and match what comes; no transaction is open while we wait.

    Returns:
        After how many seconds to ask again; None: it is here, or there will be none.

    Raises:
        NotFound: nobody expects this file, or there is no such gateway.
    """
    with transaction() as session:
        arrival = session.get(SettlementArrival, (source, day))
    if arrival is None:
        raise NotFound("nobody expects this file", code="settlement_file.unexpected")
    if arrival.state is not ArrivalState.WAITING:
        return None
    if now < arrival.due_at:
        return int((arrival.due_at - now).total_seconds()) + 1
    gateway = gateway_named(dict(gateways), source)
    try:
        fetched = gateway.fetch_settlement(day)
        if _take(gateway, day, fetched, now=now):
            return None
        answer = fetched.state.value
    except UpstreamUnavailable:
        answer = "unreachable"
    except SettlementFileError as refused:
        answer = f"refused: {refused}"[:500]
    with transaction() as session:
        _ANSWERED.rows(session, {"source": source, "day": day, "now": now, "answer": answer})
    return pause_seconds(now - arrival.due_at)


_ANSWERED = HotStatement("""
    UPDATE settlement_arrival SET asked_at = :now, answer = :answer
    WHERE source = :source AND day = :day AND state = 'waiting'
    RETURNING day
""")


def _take(gateway: Gateway, day: date, fetched: SettlementFetch, *, now: datetime) -> bool:
    """Match what a gateway gave, or that it has nothing; tells whether it gave either."""
    match fetched.state:
        case FileState.READY:
            with transaction() as session:
                matching.reconcile(
                    session, gateway, io.BytesIO(fetched.content), day=day,
                    file_name=fetched.file_name, now=now,
                )  # fmt: skip
        case FileState.NO_DATA:
            with transaction() as session:
                matching.reconcile_nothing(session, gateway.code, day=day, now=now)
        case _:
            return False
    return True


def pause_seconds(late: timedelta) -> int:
    """Return when to ask again for what is so late: soon, then hourly, then daily."""
    if late < _SOON:
        return _SOON_SECONDS
    return _LONG_SECONDS if late < _LONG else _DAILY_SECONDS


class Arrival(NamedTuple):
    """A day's file of one source, as staff see it."""

    leg: Leg
    source: str
    day: date
    state: ArrivalState
    due_at: datetime
    asked_at: datetime | None
    answer: str | None
    late: bool


_ARRIVALS = """
    SELECT 'gateway' AS leg, source, day, state, due_at, asked_at, answer FROM settlement_arrival
    UNION ALL
    SELECT 'company', provider_code, day, state, due_at, asked_at, answer
    FROM confirmation_arrival
"""
_NEWEST = HotStatement(f"""
    SELECT * FROM ({_ARRIVALS}) a ORDER BY day DESC, leg DESC, source LIMIT :limit
""")  # noqa: S608  our own texts


def list_arrivals(session: Session, *, now: datetime, limit: int = 200) -> list[Arrival]:
    """Return the files that should be here, gateways' and companies', newest day first."""
    return [
        Arrival(
            Leg(leg), source, day, ArrivalState(state), due_at, asked_at, answer,
            late=state == ArrivalState.WAITING and now > due_at + LATE_AFTER,
        )
        for leg, source, day, state, due_at, asked_at, answer in _NEWEST.rows(
            session, {"limit": limit}
        )
    ]  # fmt: skip


_LATE = HotStatement(f"""
    SELECT count(*) FROM ({_ARRIVALS}) a WHERE state = 'waiting' AND due_at < :since
""")  # noqa: S608  our own texts


def count_late(session: Session, *, now: datetime) -> int:
    """Return how many files should have been here for hours."""
    [(count,)] = _LATE.rows(session, {"since": now - LATE_AFTER})
    return int(count)
