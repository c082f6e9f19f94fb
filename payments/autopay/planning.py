"""What autopay will do, in time for its payer to know: plan, announce, ask for the day's debits.

Each step is set-based and may be repeated, by any number at once: a run is one row for one version
of one bill under one mandate, and what may become of it stands in ``payments.autopay.states``. The
debit itself is ``payments.autopay.debits``.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlmodel import Session

from billing.bills import BillRef
from billing.homes.spans import seen_by
from billing.rules.calendars import pay_by
from billing.rules.terms import Terms
from billing.terms import terms_of
from core import outbox
from core.clock import add_months, billing_date
from core.db import transaction
from core.errors import Conflict, Invalid
from core.keys import month_range
from payments.autopay.mandates import CHANNEL
from payments.autopay.rules import (
    ANNOUNCE_AHEAD,
    CapKind,
    FirstBill,
    NotPaid,
    PayDay,
    Rules,
    debit_day,
    debit_moment,
    is_in_time,
    taken_at,
)
from payments.autopay.states import RunState, runs_before
from payments.gateways.base import Gateway
from payments.gateways.collecting import COLLECT_AFTER, Collecting
from payments.quotes import Standing, Wanted, quote, standing
from payments.routing import Way, route

BATCH = 500
ASK_BATCH = 20_000
MONTHS_BACK = 3  # of billing months: older bills come by post


def plan(gateways: Mapping[str, Gateway], *, now: datetime) -> None:
    """Do everything that is due by now, batch by batch."""
    with transaction() as session:
        drop(session, now=now)
    mandate_id: int | None = 0
    while mandate_id is not None:
        with transaction() as session:
            mandate_id = find_bills(session, gateways, after=mandate_id, now=now)
    place: Place | None = _START
    while place is not None:
        with transaction() as session:
            place = announce(session, gateways, after=place, now=now)
    asked = ASK_BATCH
    while asked == ASK_BATCH:
        with transaction() as session:
            asked = ask_for_debits(session, now=now)


def _named(states: list[str]) -> str:
    return ", ".join(f"'{state}'" for state in states)


# The states are written out, and a paid payment is looked for run by run: so it is the runs that
# wait which are read, however many there have been.
_DROP = text(f"""
    WITH gone AS MATERIALIZED (
        SELECT r.id, CASE WHEN b.paid_elsewhere_at IS NOT NULL THEN 'paid'
                          WHEN b.cancelled_at IS NOT NULL THEN 'cancelled'
                          WHEN b.version <> r.version THEN 'superseded'
                          WHEN m.status NOT IN ('active', 'paused') THEN 'ended'
                          ELSE 'paid' END AS reason
        FROM autopay_run r
        JOIN bill b ON b.account_id = r.account_id AND b.id = r.bill_id
        JOIN mandate m ON m.id = r.mandate_id
        WHERE r.state IN ({_named(runs_before(RunState.SKIPPED))})
          AND (b.cancelled_at IS NOT NULL OR b.version <> r.version
               OR b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen <= 0
               OR m.status NOT IN ('active', 'paused'))
          AND (SELECT status FROM payment WHERE id = r.payment_id) IS DISTINCT FROM 'paid'
        FOR UPDATE OF r SKIP LOCKED
    )
    UPDATE autopay_run r SET state = 'skipped', state_at = :now, reason = gone.reason
    FROM gone WHERE gone.id = r.id
    RETURNING r.id, r.announced_at IS NOT NULL
""")  # noqa: S608  our own words


def drop(session: Session, *, now: datetime) -> int:
    """Skip what need not be paid any more, so that it vanishes at once (rule 37)."""
    gone = sorted(session.execute(_DROP, {"now": now}).all())  # told in order, whatever the plan
    announced = [outbox.Event("autopay.skipped", run_id) for run_id, told in gone if told]
    _emit(session, announced, now=now)
    return len(gone)


def _emit(session: Session, events: Sequence[outbox.Event], *, now: datetime) -> None:
    if events:
        session.execute(text(outbox.INSERT_EVENTS), outbox.event_values(events, now=now))


# Bills that came before the payer agreed are not covered, in whatever version (rule 41). A mandate
# for an account goes before one for its household, if the bill is its payer's to see: who has moved
# out may still have one. What was an account's first bill stays it when
# it is corrected.
_FIND = text(f"""
    SELECT m.id AS mandate_id, m.gateway, m.enrolled_at, m.cap_kind, m.cap_fen, m.first_bill,
           m.first_factor, m.pay_day, m.pay_day_n, m.in_parts, b.account_id, b.id AS bill_id,
           b.version, b.issued_on, b.due_on, a.provider_code,
           EXISTS (SELECT FROM autopay_run e WHERE e.mandate_id = m.id
                   AND e.account_id = b.account_id AND e.bill_id = b.id AND e.first)
           OR row_number() OVER (PARTITION BY m.id, b.account_id ORDER BY b.issued_on, b.id) = 1
               AND NOT EXISTS (
                   SELECT FROM autopay_run e WHERE e.mandate_id = m.id
                   AND e.account_id = b.account_id AND e.bill_id <> b.id) AS first
    FROM mandate m
    JOIN LATERAL (
        SELECT m.account_id WHERE m.account_id IS NOT NULL
        UNION ALL
        SELECT h.account_id FROM household_account h WHERE h.household_id = m.household_id
    ) s ON true
    JOIN bill b ON b.account_id = s.account_id AND b.id >= :first_id
    JOIN utility_account a ON a.id = b.account_id
    WHERE m.id >= :after AND m.status IN ('active', 'paused') AND b.cancelled_at IS NULL
      AND EXISTS (SELECT FROM household_account h JOIN household_member hm USING (household_id)
                  WHERE h.account_id = b.account_id AND hm.person_id = m.person_id
                    AND stands_today(hm.from_on, hm.until_on) AND {seen_by("hm")})
      AND (m.account_id IS NOT NULL OR NOT EXISTS (
          SELECT FROM mandate o JOIN household_account h ON h.account_id = o.account_id
          JOIN household_member om ON om.household_id = h.household_id
          WHERE o.account_id = b.account_id AND o.status IN ('active', 'paused')
            AND om.person_id = o.person_id AND stands_today(om.from_on, om.until_on)
            AND {seen_by("om")}))
      AND b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen > 0
      AND b.recorded_at >= m.enrolled_at
      AND b.issued_on >= (m.enrolled_at AT TIME ZONE 'Asia/Shanghai')::date
      AND NOT EXISTS (
          SELECT FROM bill_version v JOIN bill_file f ON f.id = v.bill_file_id
          WHERE v.account_id = b.account_id AND v.id = b.id AND f.received_at < m.enrolled_at)
      AND NOT EXISTS (
          SELECT FROM autopay_run r WHERE r.mandate_id = m.id AND r.account_id = b.account_id
          AND r.bill_id = b.id AND r.version = b.version)
    ORDER BY m.id, b.account_id, b.issued_on, b.id
    LIMIT :limit
""")  # noqa: S608  our own words

_PLAN = text("""
    INSERT INTO autopay_run (mandate_id, account_id, bill_id, version, first, state, state_at,
                             pay_by_on, tell_on, debit_on, tries)
    SELECT *, 0 FROM (
        SELECT mandate_id, account_id, bill_id, version, first, 'planned',
               CAST(:now AS timestamptz), pay_by_on, tell_on, debit_on
        FROM unnest(CAST(:mandate_ids AS bigint[]), CAST(:account_ids AS bigint[]),
                    CAST(:bill_ids AS bigint[]), CAST(:versions AS int[]),
                    CAST(:firsts AS boolean[]), CAST(:pay_by_ons AS date[]),
                    CAST(:tell_ons AS date[]), CAST(:debit_ons AS date[]))
             AS n (mandate_id, account_id, bill_id, version, first, pay_by_on, tell_on, debit_on)
    ) n
    ON CONFLICT (mandate_id, account_id, bill_id, version) DO NOTHING
""")


def find_bills(
    session: Session,
    gateways: Mapping[str, Gateway],
    *,
    after: int,
    now: datetime,
    limit: int = BATCH,
) -> int | None:
    """Plan bills that mandates from number ``after`` on cover; returns where to go on, if there is.

    A mandate whose bills were more than the limit is where the next call begins again.
    """
    first_id, _ = month_range(add_months(billing_date(now), -MONTHS_BACK))
    values = {"first_id": first_id, "after": after, "limit": limit}
    rows = session.execute(_FIND, values).all()
    if not rows:
        return None
    terms = terms_of(session, {row.provider_code for row in rows}, billing_date(now))
    days = [_days(row, terms[row.provider_code], gateways, now=now) for row in rows]
    session.execute(
        _PLAN,
        {
            "now": now, "mandate_ids": [row.mandate_id for row in rows],
            "account_ids": [row.account_id for row in rows],
            "bill_ids": [row.bill_id for row in rows], "versions": [row.version for row in rows],
            "firsts": [row.first for row in rows], "pay_by_ons": [one.pay_by_on for one in days],
            "tell_ons": [one.tell_on for one in days], "debit_ons": [one.debit_on for one in days],
        },
    )  # fmt: skip
    last: int = rows[-1].mandate_id
    return last if len(rows) == limit else None


class _Days(NamedTuple):
    pay_by_on: date
    tell_on: date
    debit_on: date


def _days(row: Row[Any], terms: Terms, gateways: Mapping[str, Gateway], *, now: datetime) -> _Days:
    """Return when a new bill would be announced and debited; one too late is told of at once."""
    pay_by_on, today = pay_by(row.due_on, terms.due), billing_date(now)
    day = _debit_day(row, terms, gateways, now=now)
    if day is None:
        return _Days(pay_by_on, today, pay_by_on)
    return _Days(pay_by_on, max(today, day - ANNOUNCE_AHEAD), day)


def _debit_day(
    row: Row[Any], terms: Terms, gateways: Mapping[str, Gateway], *, now: datetime
) -> date | None:
    return debit_day(
        rules_of(row), terms, issued_on=row.issued_on, pay_by_on=pay_by(row.due_on, terms.due),
        told_at=now, collect_after=_collect_after(gateways, row.gateway),
    )  # fmt: skip


def _collect_after(gateways: Mapping[str, Gateway], code: str) -> int:
    return COLLECT_AFTER if isinstance(gateways.get(code), Collecting) else 0


def rules_of(row: Row[Any]) -> Rules:
    """Return the rules of a mandate whose columns a row has."""
    return Rules(
        cap_kind=CapKind(row.cap_kind), cap_fen=row.cap_fen, first_bill=FirstBill(row.first_bill),
        first_factor=row.first_factor, pay_day=PayDay(row.pay_day), pay_day_n=row.pay_day_n,
        in_parts=row.in_parts,
    )  # fmt: skip


# The page first: joined first, as statistics of yesterday have it, each page would read all that
# is left.
_TO_TELL = text("""
    WITH page AS MATERIALIZED (
        SELECT id, tell_on, mandate_id, account_id, bill_id, version, first FROM autopay_run
        WHERE state = 'planned' AND tell_on <= :today AND (tell_on, id) > (:after_on, :after_id)
        ORDER BY tell_on, id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    SELECT r.id, r.tell_on, r.account_id, r.bill_id, r.first, b.issued_on, b.due_on,
           a.provider_code, m.gateway, m.enrolled_at, m.cap_kind, m.cap_fen, m.first_bill,
           m.first_factor, m.pay_day, m.pay_day_n, m.in_parts,
           m.status = 'active' AND b.version = r.version AND b.held_by IS NULL
               AND b.cancelled_at IS NULL
               AND b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen > 0 AS stands
    FROM page r
    JOIN mandate m ON m.id = r.mandate_id
    JOIN bill b ON b.account_id = r.account_id AND b.id = r.bill_id
    JOIN utility_account a ON a.id = r.account_id
    ORDER BY r.tell_on, r.id
""")

_TELL = text("""
    UPDATE autopay_run r
    SET state = n.state, reason = n.reason, amount_fen = n.amount_fen, debit_on = n.debit_on,
        first_debit_on = n.debit_on, pay_by_on = n.pay_by_on, announced_at = :now, state_at = :now
    FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:reasons AS text[]),
                CAST(:amounts AS bigint[]), CAST(:debit_ons AS date[]), CAST(:pay_by_ons AS date[]))
         AS n (id, state, reason, amount_fen, debit_on, pay_by_on)
    WHERE r.id = n.id AND r.state = 'planned'
""")


class Place(NamedTuple):
    """How far announcing has come: by the day of telling, then by number."""

    tell_on: date
    run_id: int


_START = Place(date.min, 0)


class Told(NamedTuple):
    """What a payer is told of one bill: what will be debited and when, or why it will not."""

    run_id: int
    reason: NotPaid | None
    amount_fen: int | None
    debit_on: date
    pay_by_on: date

    def event(self) -> outbox.Event:
        if self.reason is None:
            return outbox.Event("autopay.announced", self.run_id)
        if self.reason in {NotPaid.OVER_CAP, NotPaid.NOT_FIXED}:
            return outbox.Event("autopay.over_cap", self.run_id)
        return outbox.Event("autopay.skipped", self.run_id)


def announce(
    session: Session,
    gateways: Mapping[str, Gateway],
    *,
    after: Place,
    now: datetime,
    limit: int = BATCH,
) -> Place | None:
    """Tell payers what will be debited, three days before or more; returns where to go on.

    What is over the cap is told just as early, so that it can be paid by hand (rule 41).
    """
    values = {
        "today": billing_date(now), "after_on": after.tell_on, "after_id": after.run_id,
        "limit": limit,
    }  # fmt: skip
    rows = session.execute(_TO_TELL, values).all()
    if not rows:
        return None
    to_tell = [row for row in rows if row.stands]
    refs = [(row.account_id, row.bill_id) for row in to_tell]
    found, terms = standing(session, refs, now=now)
    told = [_tell(row, found, terms, gateways, now=now) for row in to_tell]
    session.execute(
        _TELL,
        {
            "now": now, "ids": [one.run_id for one in told],
            "states": [RunState.TOLD if one.reason else RunState.ANNOUNCED for one in told],
            "reasons": [one.reason for one in told],
            "amounts": [one.amount_fen for one in told],
            "debit_ons": [one.debit_on for one in told],
            "pay_by_ons": [one.pay_by_on for one in told],
        },
    )  # fmt: skip
    _emit(session, [one.event() for one in told], now=now)
    return Place(rows[-1].tell_on, rows[-1].id)


def _mode(gateways: Mapping[str, Gateway], code: str) -> str:
    return gateways[code].capabilities.modes[0] if code in gateways else ""


def _tell(
    row: Row[Any],
    found: Mapping[BillRef, Standing],
    terms: Mapping[str, Terms],
    gateways: Mapping[str, Gateway],
    *,
    now: datetime,
) -> Told:
    own, mode = terms[row.provider_code], _mode(gateways, row.gateway)
    pay_by_on = pay_by(row.due_on, own.due)
    day = _debit_day(row, own, gateways, now=now)
    enrolled_on = billing_date(row.enrolled_at)
    if not is_in_time(own.due.calendar, enrolled_on=enrolled_on, pay_by_on=pay_by_on):
        return Told(row.id, NotPaid.ENROLLED_LATE, None, pay_by_on, pay_by_on)
    if day is None:
        return Told(row.id, NotPaid.TOO_LATE, None, pay_by_on, pay_by_on)
    wanted = [Wanted((row.account_id, row.bill_id), None)]
    try:  # as it will stand on that day: an early payer's discount may be over by then
        asked = quote(
            wanted, found, terms, mode=mode, channel=CHANNEL,
            now=taken_at(day, _collect_after(gateways, row.gateway)),
        )  # fmt: skip
        if row.gateway in gateways:  # some take no small amounts
            route(
                gateways, Way(mode, row.gateway), channel=CHANNEL, amount_fen=asked.amount_fen
            )  # fmt: skip
    except (Invalid, Conflict):
        return Told(row.id, NotPaid.NOT_TAKEN, None, day, pay_by_on)
    reason = rules_of(row).why_not(asked.amount_fen, first=row.first)
    return Told(row.id, reason, asked.amount_fen, day, pay_by_on)


_ASK = text(f"""
    WITH due AS MATERIALIZED (
        SELECT id FROM autopay_run
        WHERE state IN ({_named(runs_before(RunState.DEBITING))}) AND debit_on <= :today
          AND (asked_on IS NULL OR asked_on < :today)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE autopay_run r SET asked_on = :today FROM due WHERE due.id = r.id
    RETURNING r.id
""")  # noqa: S608  our own words


def ask_for_debits(session: Session, *, now: datetime, limit: int = ASK_BATCH) -> int:
    """Have debits made that are due, each asked for once a day; returns how many."""
    today = billing_date(now)
    if now < debit_moment(today):
        return 0
    due = sorted(session.execute(_ASK, {"today": today, "limit": limit}).scalars())
    _emit(session, [outbox.Event("autopay.due", run_id) for run_id in due], now=now)
    return len(due)
