"""Which companies' lists should be here, and asking a company for those that are not.

As ``arrivals`` does of gateways' files: one that is not there yet is asked for again, and in time
called late.
"""

import io
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from sqlmodel import Session

from billing.ledger import books
from core import outbox
from core.clock import BILLING_ZONE, billing_date
from core.db import HotStatement, transaction
from core.errors import Conflict, NotFound
from payments.reconciliation.company import lists as company
from payments.reconciliation.company.models import ConfirmationArrival
from payments.reconciliation.gateway.arrivals import ask_for, days_over, subject_of
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import Given, Way
from payments.reconciliation.intake.work import take_now
from payments.reconciliation.models import ArrivalState, Leg
from providers.base import (
    ConfirmationFetch,
    ConfirmationSource,
    ConfirmationState,
    UtilityClient,
)

DUE_AT = time(6, 0)  # of the next day, in the city's time

# What was paid first may have been written off there long before we heard of it. A company that has
# never written anything off would cost a walk through all items: the books know it.
_FIRST = HotStatement("""
    SELECT least(p.paid_at, i.outcome_at)
    FROM payment_item i
    JOIN utility_account a ON a.id = i.account_id
    JOIN payment p ON p.id = i.payment_id
    WHERE a.provider_code = :source AND i.outcome IN ('paid', 'written_off')
      AND EXISTS (SELECT FROM ledger_account l WHERE l.code = :payable)
    ORDER BY i.outcome_at LIMIT 1
""")
_EXPECT = HotStatement("""
    INSERT INTO confirmation_arrival (provider_code, day, state, due_at)
    SELECT :source, day, 'waiting', due_at
    FROM unnest(CAST(:days AS date[]), CAST(:due_ats AS timestamptz[])) AS e (day, due_at)
    ON CONFLICT (provider_code, day) DO NOTHING
    RETURNING day
""")


def expect(session: Session, clients: Mapping[str, UtilityClient], *, now: datetime) -> int:
    """Note the lists that should come, and have each asked for; returns how many are new."""
    found = 0
    for source in sorted(company.companies_with_lists().keys() & clients.keys()):
        client = clients[source]
        if not (isinstance(client, ConfirmationSource) and client.gives_confirmations):
            continue
        first = _FIRST.rows(session, {"source": source, "payable": books.payable(source)})
        days = days_over(billing_date(first[0][0]), billing_date(now)) if first else []
        values = {"source": source, "days": days, "due_ats": [due_at(day) for day in days]}
        for (day,) in sorted(_EXPECT.rows(session, values)):
            outbox.emit(session, "confirmation_file.expected", subject_of(source, day), now=now)
            found += 1
    return found


def due_at(day: date) -> datetime:
    """Return when a company's list of a day should be there."""
    return datetime.combine(day + timedelta(days=1), DUE_AT, tzinfo=BILLING_ZONE)


def fetch(
    source: str, day: date, clients: Mapping[str, UtilityClient], *, now: datetime
) -> int | None:
    """Ask a company for a day's list, and match what comes; no transaction is open while we wait.

    Returns:
        After how many seconds to ask again; None: it is here, or there will be none.

    Raises:
        NotFound: nobody expects this list, or the company gives none.
    """

    def ask() -> str | None:
        client = clients.get(source)
        if not isinstance(client, ConfirmationSource):
            raise NotFound(f"no live API that gives lists is configured for {source}",
                           code="utility.no_api")  # fmt: skip
        fetched = client.fetch_confirmations(day)
        if _take(source, day, fetched, now=now):
            return None
        return ": ".join(filter(None, [fetched.state.value, fetched.reason]))

    with transaction() as session:
        awaited = session.get(ConfirmationArrival, (source, day))
    return ask_for(awaited, ask, _ANSWERED, now=now)


_ANSWERED = HotStatement("""
    UPDATE confirmation_arrival SET asked_at = :now, answer = :answer
    WHERE provider_code = :source AND day = :day AND state = 'waiting'
    RETURNING day
""")


def _take(source: str, day: date, fetched: ConfirmationFetch, *, now: datetime) -> bool:
    """Match what a company gave, or that it has nothing; tells whether it gave either."""
    match fetched.state:
        case ConfirmationState.READY:
            take_now(
                io.BytesIO(fetched.content), Given(Leg.COMPANY, source, day), Way(CameBy.ASKED),
                {}, file_name=f"{source}-{day}", now=now,
            )  # fmt: skip
        case ConfirmationState.NO_DATA:
            with transaction() as session:
                company.reconcile_none_written_off(session, source, day=day, now=now)
        case _:
            return False
    return True


def ask_now(session: Session, source: str, day: date, *, now: datetime) -> None:
    """Have a list that is due asked for at once: a job that waits for its hour does not wait.

    Raises:
        NotFound: nobody expects this list.
        Conflict: it is here, or its hour has not come.
    """
    awaited = session.get(ConfirmationArrival, (source, day), populate_existing=True)
    if awaited is None:
        raise NotFound("nobody expects this list", code="arrival.unexpected")
    if awaited.state is not ArrivalState.WAITING:
        raise Conflict("this list is here already", code="arrival.here")
    if now < awaited.due_at:
        raise Conflict("this list is not due yet", code="arrival.not_due")
    if not _HURRY.rows(session, {"subject": subject_of(source, day), "now": now}):
        outbox.emit(session, "confirmation_file.expected", subject_of(source, day), now=now)


# A job that runs or waits is enough: one that gave up is replaced.
_HURRY = HotStatement("""
    WITH hurried AS (
        UPDATE job SET due_at = least(due_at, :now), rung_at = NULL
        WHERE task = 'payments.fetch_confirmation' AND subject_id = :subject AND state = 'waiting'
        RETURNING id
    )
    SELECT id FROM hurried
    UNION ALL
    SELECT id FROM job
    WHERE task = 'payments.fetch_confirmation' AND subject_id = :subject AND state = 'running'
    UNION ALL
    SELECT id FROM outbox_event
    WHERE topic = 'confirmation_file.expected' AND subject_id = :subject AND relayed_at IS NULL
""")
