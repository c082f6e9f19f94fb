"""Which files should be here, which are, and asking a gateway for those that are not.

A gateway's file is expected of every day that is over since it first took money for us. One that is
not there yet is no difference and no error: it is asked for again, and in time called late. The
lists of companies are asked for by ``company_arrivals`` and told of here.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session

from core import outbox
from core.clock import BILLING_ZONE, billing_date
from core.db import HotStatement, transaction
from core.errors import BillFileError, NotFound, UpstreamUnavailable
from payments.gateways import gateway_named
from payments.gateways.base import Capabilities, FileState, Gateway, SettlementFetch
from payments.reconciliation.company.models import ConfirmationArrival
from payments.reconciliation.gateway import matching
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.intake.work import take_now
from payments.reconciliation.models import ArrivalState, Leg, SettlementArrival

LOOK_BACK_DAYS = 31
LATE = "late"
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

    def ask() -> str | None:
        gateway = gateway_named(dict(gateways), source)
        fetched = gateway.fetch_settlement(day)
        return None if _take(gateway, day, fetched, now=now) else fetched.state.value

    with transaction() as session:
        awaited = session.get(SettlementArrival, (source, day))
    return ask_for(awaited, ask, _ANSWERED, now=now)


def ask_for(
    awaited: SettlementArrival | ConfirmationArrival | None,
    ask: Callable[[], str | None],
    answered: HotStatement,
    *,
    now: datetime,
) -> int | None:
    """Ask for a file that should be here, if it is time; what is answered instead is kept.

    Args:
        ask: asks, and matches what comes; None: it came, or there will be none.
        answered: keeps an answer, while the file is still waited for.

    Returns:
        After how many seconds to ask again; None: no more.

    Raises:
        NotFound: nobody expects this file.
    """
    if awaited is None:
        raise NotFound("nobody expects this file", code="arrival.unexpected")
    if awaited.state is not ArrivalState.WAITING:
        return None
    if now < awaited.due_at:
        return int((awaited.due_at - now).total_seconds()) + 1
    try:
        answer = ask()
    except UpstreamUnavailable:
        answer = "unreachable"
    except BillFileError as refused:
        answer = f"refused: {refused}"
    if answer is None:
        return None
    with transaction() as session:
        values = {"source": _source_of(awaited), "day": awaited.day, "now": now}
        answered.rows(session, values | {"answer": answer[:500]})
    return pause_seconds(now - awaited.due_at)


def _source_of(awaited: SettlementArrival | ConfirmationArrival) -> str:
    return awaited.source if isinstance(awaited, SettlementArrival) else awaited.provider_code


_ANSWERED = HotStatement("""
    UPDATE settlement_arrival SET asked_at = :now, answer = :answer
    WHERE source = :source AND day = :day AND state = 'waiting'
    RETURNING day
""")


def _take(gateway: Gateway, day: date, fetched: SettlementFetch, *, now: datetime) -> bool:
    """Match what a gateway gave, or that it has nothing; tells whether it gave either."""
    match fetched.state:
        case FileState.READY:
            take_now(
                io.BytesIO(fetched.content), Given(Leg.GATEWAY, gateway.code, day),
                Way(CameBy.ASKED), {gateway.code: gateway}, file_name=fetched.file_name, now=now,
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

    @property
    def place(self) -> "ArrivalPlace":
        return ArrivalPlace(self.day, self.leg, self.source)


class ArrivalFilter(NamedTuple):
    """Which files; what is None does not matter."""

    source: str | None = None
    status: str | None = None  # a state, or "late": one that waits for hours
    first_on: date | None = None
    last_on: date | None = None


class ArrivalPlace(NamedTuple):
    """Where a list goes on: after this file."""

    day: date
    leg: Leg
    source: str


_ARRIVALS = """
    SELECT 'gateway' AS leg, source, day, state, due_at, asked_at, answer FROM settlement_arrival
    UNION ALL
    SELECT 'company', provider_code, day, state, due_at, asked_at, answer
    FROM confirmation_arrival
"""
# Each half is read by its own index, no further than the page.
_HALF = """
    SELECT '{leg}' AS leg, {source} AS source, day, state, due_at, asked_at, answer FROM {table}
    WHERE day BETWEEN :first_on AND :last_on AND day <= :after_day
      AND (day < :after_day OR '{leg}' < :after_leg
           OR ('{leg}' = :after_leg AND {source} > :after_source))
      AND (CAST(:source AS text) IS NULL OR {source} = :source)
      AND (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:late_before AS timestamptz) IS NULL OR due_at < :late_before)
    ORDER BY day DESC, {source} LIMIT :limit
"""
_GATEWAYS = _HALF.format(leg="gateway", source="source", table="settlement_arrival")
_COMPANIES = _HALF.format(leg="company", source="provider_code", table="confirmation_arrival")
_NEWEST = HotStatement(f"""
    SELECT * FROM (({_GATEWAYS}) UNION ALL ({_COMPANIES})) a
    ORDER BY day DESC, leg DESC, source LIMIT :limit
""")  # noqa: S608  our own texts


def list_arrivals(
    session: Session,
    wanted: ArrivalFilter = ArrivalFilter(),  # noqa: B008  nobody changes a tuple
    *,
    now: datetime,
    after: ArrivalPlace | None = None,
    limit: int = 200,
) -> list[Arrival]:
    """Return the files that should be here, gateways' and companies', newest day first.

    Args:
        after: the last one of the page before.
    """
    place = after or ArrivalPlace(date.max, Leg.GATEWAY, "")
    is_late = wanted.status == LATE
    values = {
        "source": wanted.source, "state": ArrivalState.WAITING if is_late else wanted.status,
        "late_before": now - LATE_AFTER if is_late else None,
        "first_on": wanted.first_on or date.min, "last_on": wanted.last_on or date.max,
        "after_day": place.day, "after_leg": place.leg, "after_source": place.source,
        "limit": limit,
    }  # fmt: skip
    return [
        Arrival(
            Leg(leg), source, day, ArrivalState(state), due_at, asked_at, answer,
            late=state == ArrivalState.WAITING and now > due_at + LATE_AFTER,
        )
        for leg, source, day, state, due_at, asked_at, answer in _NEWEST.rows(session, values)
    ]  # fmt: skip


def every_arrival(session: Session, wanted: ArrivalFilter, *, now: datetime) -> Iterator[Arrival]:
    """Yield all of them, newest day first."""
    after: ArrivalPlace | None = None
    while found := list_arrivals(session, wanted, now=now, after=after, limit=1_000):
        yield from found
        after = found[-1].place


class Asked(NamedTuple):
    """How asking one source for its files stands, of the days that are still looked at."""

    leg: Leg
    source: str
    newest_on: date | None  # the newest day that is here
    came_at: datetime | None
    waits_on: date | None  # the oldest day that is not
    due_at: datetime | None
    answer: str | None  # what was said of it last


_ASKED = HotStatement("""
    WITH every AS (
        SELECT 'gateway' AS leg, a.source, a.day, a.state, a.due_at, a.answer, f.received_at
        FROM settlement_arrival a LEFT JOIN settlement_file f ON f.id = a.settlement_file_id
        WHERE a.day >= :since
        UNION ALL
        SELECT 'company', a.provider_code, a.day, a.state, a.due_at, a.answer, f.received_at
        FROM confirmation_arrival a
        LEFT JOIN confirmation_file f ON f.id = a.confirmation_file_id
        WHERE a.day >= :since
    )
    SELECT leg, source, max(day) FILTER (WHERE state <> 'waiting'), max(received_at),
           min(day) FILTER (WHERE state = 'waiting'), min(due_at) FILTER (WHERE state = 'waiting'),
           (array_agg(answer ORDER BY day) FILTER (WHERE state = 'waiting'))[1]
    FROM every GROUP BY leg, source ORDER BY leg DESC, source
""")


def how_asked(session: Session, *, now: datetime) -> list[Asked]:
    """Return how asking each gateway and each company stands, gateways first."""
    since = billing_date(now) - timedelta(days=LOOK_BACK_DAYS)
    rows = _ASKED.rows(session, {"since": since})
    return [Asked(Leg(leg), *told) for leg, *told in rows]


_LATE = HotStatement(f"""
    SELECT count(*) FROM ({_ARRIVALS}) a WHERE state = 'waiting' AND due_at < :since
""")  # noqa: S608  our own texts


def count_late(session: Session, *, now: datetime) -> int:
    """Return how many files should have been here for hours."""
    [(count,)] = _LATE.rows(session, {"since": now - LATE_AFTER})
    return int(count)
