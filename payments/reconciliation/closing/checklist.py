"""What a day's books wait for before they are closed: one check for each, green or saying why not.

``docs/day-close.md`` says of each why it blocks, asks for a reason, or only tells. Everything here
is counted by indexes that hold the day, or what waits, and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger.day_checks import wrong_with
from billing.ledger.days import next_to_close
from core.clock import billing_date, day_bounds
from payments.gateways.base import Gateway
from payments.reconciliation.gateway.arrivals import LATE_AFTER, due_at
from payments.reconciliation.gateway.sources import with_files

_DAY = timedelta(days=1)
STUCK_AFTER = _DAY  # what should take minutes and has taken so long needs a person
ASKED_FOR = 2 * _DAY  # how long a gateway is asked about a payment
JOBS_KEPT_DAYS = 7  # done jobs are forgotten after it


class State(StrEnum):
    DONE = "done"
    WAITING = "waiting"  # comes by itself, as a rule
    PROBLEM = "problem"  # a person has to do something


class Weight(StrEnum):
    """What a check that is not done means for closing."""

    BLOCKS = "blocks"
    ASKS = "asks"  # whoever closes all the same says why
    TELLS = "tells"


class Name(StrEnum):
    DAY_OVER = "day_over"
    EARLIER_DAYS = "earlier_days"
    PAYMENTS = "payments"
    CALLBACKS = "callbacks"
    GATEWAY_FILES = "gateway_files"
    WRITE_OFFS = "write_offs"
    COMPANY_LISTS = "company_lists"
    BANK_STATEMENTS = "bank_statements"
    DIFFERENCES = "differences"
    LATE_FEES = "late_fees"
    DEAD_JOBS = "dead_jobs"
    REFUNDS = "refunds"
    BOOKS = "books"


_BLOCKING = frozenset({Name.DAY_OVER, Name.EARLIER_DAYS, Name.BOOKS})
_TELLING = frozenset({Name.REFUNDS})


class Check(NamedTuple):
    """One line of the checklist.

    Args:
        how_many: of what it counts are not done.
        who: whose they are (gateways, companies, accounts); of the books what is wrong.
    """

    name: Name
    state: State
    how_many: int = 0
    who: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self.state is State.DONE

    @property
    def weight(self) -> Weight:
        if self.name in _BLOCKING:
            return Weight.BLOCKS
        return Weight.TELLS if self.name in _TELLING else Weight.ASKS

    @property
    def title(self) -> str:
        """English, and a sentence of the catalogue; so is ``remedy``."""
        return (_DONE if self.done else _OPEN)[self.name]

    @property
    def remedy(self) -> str:
        return "" if self.done else _REMEDIES[self.name]


_DONE = {
    Name.DAY_OVER: "The day is over.",
    Name.EARLIER_DAYS: "Every earlier day is closed.",
    Name.PAYMENTS: "Every payment of the day has its outcome.",
    Name.CALLBACKS: "What gateways told us is booked.",
    Name.GATEWAY_FILES: "Every gateway’s file is here and matched.",
    Name.WRITE_OFFS: "The companies have answered every write-off.",
    Name.COMPANY_LISTS: "Every company’s list is here and matched.",
    Name.BANK_STATEMENTS: "Our bank’s statements reach this day.",
    Name.DIFFERENCES: "No difference is overdue or without an owner.",
    Name.LATE_FEES: "The late fees of the day are counted.",
    Name.DEAD_JOBS: "No job gave up.",
    Name.REFUNDS: "No money is on its way back.",
    Name.BOOKS: "The books of the day hold.",
}
_OPEN = {
    Name.DAY_OVER: "The day is not over yet.",
    Name.EARLIER_DAYS: "Earlier days are still open.",
    Name.PAYMENTS: "Payments of the day have no outcome yet.",
    Name.CALLBACKS: "What gateways told us is not all booked.",
    Name.GATEWAY_FILES: "Gateways’ files of the day are missing.",
    Name.WRITE_OFFS: "Companies have not answered every write-off.",
    Name.COMPANY_LISTS: "Companies’ lists of the day are missing.",
    Name.BANK_STATEMENTS: "Our bank’s statement of the day is missing.",
    Name.DIFFERENCES: "Differences are overdue or without an owner.",
    Name.LATE_FEES: "The late fees of the day are not counted yet.",
    Name.DEAD_JOBS: "Jobs gave up.",
    Name.REFUNDS: "Money is on its way back to payers.",
    Name.BOOKS: "The books of the day do not hold.",
}
_REMEDIES = {
    Name.DAY_OVER: "Close it tomorrow.",
    Name.EARLIER_DAYS: "Close the oldest of them first.",
    Name.PAYMENTS: "Their gateways are asked by themselves. Call one that does not answer.",
    Name.CALLBACKS: "They are booked within minutes. Look whether a worker runs.",
    Name.GATEWAY_FILES: "They are asked for by themselves. Bring one that is late by hand.",
    Name.WRITE_OFFS: "They are asked by themselves. Call a company that does not answer.",
    Name.COMPANY_LISTS: "They are asked for by themselves. Bring one that is late by hand.",
    Name.BANK_STATEMENTS: "Bring the statement; the bank has it the next morning.",
    Name.DIFFERENCES: "Resolve what is overdue, and take what nobody looks after.",
    Name.LATE_FEES: "They are counted two hours after the day. Look whether a worker runs.",
    Name.DEAD_JOBS: "Call an engineer: what they should have done is not done.",
    Name.REFUNDS: "It takes its course: nothing is to be done.",
    Name.BOOKS: "Call an engineer, who runs `citybill ledger verify`.",
}
WORDS = frozenset({*_DONE.values(), *_OPEN.values(), *_REMEDIES.values()})


def checklist(
    session: Session, day: date, *, gateways: Mapping[str, Gateway], now: datetime
) -> tuple[Check, ...]:
    """Look at everything a day waits for, in the order in which it turns green.

    Args:
        gateways: by code; of those that have files, the day's is wanted.
    """
    started, ended = day_bounds(day)
    values = {"day": day, "started": started, "ended": ended, "now": now}
    found = {check.name: check for check in _checks(session, day, values, gateways, now=now)}
    return tuple(found[name] for name in Name)


def _checks(
    session: Session, day: date, values: dict[str, Any], gateways: Mapping[str, Gateway], *,
    now: datetime,
) -> Iterator[Check]:  # fmt: skip
    is_over = day < billing_date(now)
    yield Check(Name.DAY_OVER, State.DONE if is_over else State.WAITING)
    next_on = next_to_close(session, today=day)
    yield _problem(Name.EARLIER_DAYS, (day - next_on).days if next_on else 0)
    yield _gateway_files(session, values, gateways, now=now)
    yield _company_lists(session, values, now=now)
    yield _bank_statements(session, values, now=now)
    yield from _money(session, values, now=now)
    yield _late_fees(session, day, now=now)
    wrong = wrong_with(session, day)
    yield Check(Name.BOOKS, _state(len(wrong), State.PROBLEM), len(wrong), tuple(wrong))


def _problem(name: Name, count: int) -> Check:
    return Check(name, _state(count, State.PROBLEM), count)


def _state(count: int, otherwise: State) -> State:
    return otherwise if count else State.DONE


def _missing(name: Name, late: Sequence[str], waiting: Sequence[str]) -> Check:
    state = State.PROBLEM if late else _state(len(waiting), State.WAITING)
    return Check(name, state, len(late) + len(waiting), (*late, *waiting))


# A gateway that took nothing and is asked for nothing has no file of the day.
_GATEWAY_FILES = text("""
    SELECT g.source
    FROM unnest(CAST(:sources AS text[])) AS g (source)
    WHERE NOT EXISTS (SELECT FROM reconciliation r WHERE (r.source, r.day) = (g.source, :day))
      AND (EXISTS (SELECT FROM settlement_arrival a WHERE (a.source, a.day) = (g.source, :day))
           OR EXISTS (SELECT FROM payment p WHERE p.gateway = g.source
                      AND p.paid_at >= :started AND p.paid_at < :ended)
           OR EXISTS (SELECT FROM receipt m WHERE m.source = g.source
                      AND m.received_at >= :started AND m.received_at < :ended))
    ORDER BY g.source
""")


def _gateway_files(
    session: Session, values: dict[str, Any], gateways: Mapping[str, Gateway], *, now: datetime
) -> Check:
    sources = with_files(gateways)
    missing = session.execute(_GATEWAY_FILES, values | {"sources": list(sources)}).scalars()
    late: list[str] = []
    waiting: list[str] = []
    for source in missing:
        due = due_at(sources[source].capabilities, values["day"])
        (late if now > due + LATE_AFTER else waiting).append(source)
    return _missing(Name.GATEWAY_FILES, late, waiting)


_COMPANY_LISTS = text("""
    SELECT provider_code, due_at < :late_since AS late FROM confirmation_arrival
    WHERE day = :day AND state = 'waiting' ORDER BY provider_code
""")


def _company_lists(session: Session, values: dict[str, Any], *, now: datetime) -> Check:
    rows = session.execute(_COMPANY_LISTS, values | {"late_since": now - LATE_AFTER}).all()
    late = [row.provider_code for row in rows if row.late]
    waiting = [row.provider_code for row in rows if not row.late]
    return _missing(Name.COMPANY_LISTS, late, waiting)


# An account is known from its first statement on; from then on each day of it is wanted.
_BANK_STATEMENTS = text("""
    SELECT 'account-' || a.id FROM bank_account a
    WHERE NOT EXISTS (SELECT FROM bank_statement s
                      WHERE s.account_id = a.id AND s.covers_to >= :day)
    ORDER BY a.id
""")


def _bank_statements(session: Session, values: dict[str, Any], *, now: datetime) -> Check:
    missing = list(session.execute(_BANK_STATEMENTS, values).scalars())
    is_late = now > values["ended"] + STUCK_AFTER
    return _missing(Name.BANK_STATEMENTS, missing if is_late else (), () if is_late else missing)


# A debit by mandate may be under way for days: its bank says nothing of what it collected.
_MONEY = text("""
    SELECT p.count AS payments, p.oldest AS payment_at,
           c.waiting AS callbacks, c.dead AS dead_callbacks,
           w.count AS write_offs, w.oldest AS write_off_at,
           d.count AS differences, j.count AS dead_jobs, r.count + s.count AS refunds
    FROM (SELECT count(*), min(created_at) AS oldest FROM payment
          WHERE status IN ('created', 'open', 'unknown') AND created_at < :ended
            AND mandate_ref IS NULL) p,
         (SELECT count(*) AS waiting, count(*) FILTER (WHERE dead) AS dead
          FROM (SELECT CAST(subject_id AS bigint) AS id, false AS dead FROM job
                WHERE state IN ('waiting', 'running') AND task = 'payments.callback'
                UNION ALL
                SELECT CAST(subject_id AS bigint), true FROM job
                WHERE state = 'dead' AND task = 'payments.callback'
                UNION ALL
                SELECT CAST(subject_id AS bigint), false FROM outbox_event
                WHERE relayed_at IS NULL AND topic = 'gateway_callback.received') k
          JOIN gateway_callback g USING (id)
          WHERE g.received_at < :ended AND g.processed_at IS NULL) c,
         (SELECT count(*), min(outcome_at) AS oldest FROM payment_item
          WHERE outcome = 'paid' AND outcome_at < :ended) w,
         (SELECT count(*) FROM reconciliation_break
          WHERE state = 'open' AND day <= :day AND kind <> 'late'
            AND (owner_id IS NULL OR due_at < :now)) d,
         (SELECT count(*) FROM job WHERE state = 'dead') j,
         (SELECT count(*) FROM refund
          WHERE status NOT IN ('proposed', 'succeeded', 'declined', 'charged_back')
            AND requested_at < :ended) r,
         (SELECT count(*) FROM receipt WHERE state = 'suspended' AND received_at < :ended) s
""")


def _money(session: Session, values: dict[str, Any], *, now: datetime) -> Iterator[Check]:
    found = session.execute(_MONEY, values).one()
    asked_enough = found.payment_at is not None and found.payment_at < now - ASKED_FOR
    unanswered = found.write_off_at is not None and found.write_off_at < now - STUCK_AFTER
    for name, count, is_stuck in (
        (Name.PAYMENTS, found.payments, asked_enough),
        (Name.CALLBACKS, found.callbacks, found.dead_callbacks > 0),
        (Name.WRITE_OFFS, found.write_offs, unanswered),
        (Name.DIFFERENCES, found.differences, True),
        (Name.DEAD_JOBS, found.dead_jobs, True),
        (Name.REFUNDS, found.refunds, False),
    ):
        yield Check(name, _state(count, State.PROBLEM if is_stuck else State.WAITING), count)


# A run counts up to the day before its own, and what earlier ones missed with it.
_LATE_FEES = text("""
    SELECT coalesce(bool_or(state = 'done'), false) AS done,
           coalesce(bool_or(state = 'dead'), false) AS dead
    FROM job WHERE schedule_key = ANY(:keys) AND subject_id > :day
""")
LATE_FEES = "bills.late_fees"
_EPOCH = date(1970, 1, 1)


def _late_fees(session: Session, day: date, *, now: datetime) -> Check:
    """Look at the runs that counted the day, by their keys: a run each day of UTC."""
    today = billing_date(now)
    first = max(day, today - timedelta(days=JOBS_KEPT_DAYS + 1))
    numbers = range((first - _EPOCH).days, (today - _EPOCH).days + 1)
    values = {"keys": [f"{LATE_FEES}:{at}" for at in numbers], "day": str(day)}
    found = session.execute(_LATE_FEES, values).one()
    if found.done:
        return Check(Name.LATE_FEES, State.DONE)
    return Check(Name.LATE_FEES, State.PROBLEM if found.dead else State.WAITING, 1)
