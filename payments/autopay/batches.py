"""Orders gather in a batch until it is full or its cut-off has passed; then its file is written.

What a bank does with it, and what comes back, is ``payments.autopay.collections``.
"""

from datetime import date, datetime, time, timedelta

from sqlalchemy import text
from sqlmodel import Session, select

from billing.rules.calendars import add_working_days
from core.clock import BILLING_ZONE, billing_date, day_bounds
from core.db import count_changed
from payments.autopay.collection_models import BatchState, CollectionBatch
from payments.autopay.rules import RETRY_DAYS
from payments.gateways.collecting import CALENDAR, COLLECT_AFTER, Batch, Collecting, Debit
from payments.settlement import give_up
from payments.states import News

MOST_ENTRIES = 50_000  # in one file: five megabytes, which a bank takes within a timeout
_MARGIN = timedelta(days=7)  # how long a payment may wait above the silence for somebody to look

_OPEN_BATCH = text("""
    INSERT INTO collection_batch (gateway, state, opened_at, state_at, entries, total_fen)
    VALUES (:gateway, 'open', :now, :now, 0, 0)
    ON CONFLICT (gateway) WHERE state = 'open' DO NOTHING
""")

# Orders whose gateway has said that it takes them, and that no batch has yet. Their payments wait
# for as long as silence takes: nobody may pay the bill meanwhile.
_GATHER = text("""
    WITH batch AS (
        SELECT id FROM collection_batch WHERE gateway = :gateway AND state = 'open' FOR SHARE
    ), entered AS (
        INSERT INTO collection_entry (order_no, batch_id, payment_id, debtor_ref, amount_fen,
                                      state, entered_at, state_at)
        SELECT p.order_no, batch.id, p.id, p.mandate_ref, p.amount_fen, 'waiting', :now, :now
        FROM payment p, batch
        WHERE p.gateway = :gateway AND p.status = 'open' AND p.mandate_ref IS NOT NULL
          AND NOT EXISTS (SELECT FROM collection_entry e WHERE e.payment_id = p.id)
        LIMIT :most - (SELECT least(:most, count(*)) FROM collection_entry, batch
                       WHERE batch_id = batch.id AND state = 'waiting')
        ON CONFLICT DO NOTHING
        RETURNING payment_id
    )
    UPDATE payment SET expires_at = greatest(expires_at, :expires_at)
    FROM entered WHERE payment.id = entered.payment_id
""")


def gather(
    session: Session,
    gateway: Collecting,
    *,
    silence_days: int,
    now: datetime,
    most: int = MOST_ENTRIES,
) -> int:
    """Put orders that wait into the open batch until it is full, each once; returns how many."""
    expires_at = _expires_at(_silent_until(billing_date(now), silence_days))
    values = {"gateway": gateway.code, "now": now, "expires_at": expires_at, "most": most}
    session.execute(_OPEN_BATCH, values)
    return count_changed(session.execute(_GATHER, values))


def _collect_on(cut_on: date) -> date:
    return add_working_days(CALENDAR, cut_on, COLLECT_AFTER)


def _silent_until(given_on: date, silence_days: int) -> date:
    """Return the last day on which silence is no yes yet about a file the bank got on a day."""
    return add_working_days(CALENDAR, _collect_on(given_on), silence_days)


_WAIT = text("""
    UPDATE payment SET expires_at = greatest(expires_at, :expires_at)
    FROM collection_entry e
    WHERE e.batch_id = :batch_id AND e.state = 'waiting' AND payment.id = e.payment_id
""")


def begin_silence(
    session: Session, batch: CollectionBatch, *, silence_days: int, now: datetime
) -> None:
    """Have a batch's payments wait for as long as silence takes from when the bank got its file.

    Handed over days after it was cut, it is collected later, too.
    """
    batch.silent_until = _silent_until(billing_date(now), silence_days)
    values = {"batch_id": batch.id, "expires_at": _expires_at(batch.silent_until)}
    session.execute(_WAIT, values)


def _expires_at(silent_until: date) -> datetime:
    return day_bounds(silent_until)[1] + _MARGIN


def cut(
    session: Session,
    gateway: Collecting,
    *,
    cut_off: time,
    silence_days: int,
    now: datetime,
    most: int = MOST_ENTRIES,
) -> CollectionBatch | None:
    """Write the file of the open batch, if it is full or a cut-off has passed since it was opened.

    This is the last moment at which a debit can be stopped, so each is looked at once more (rule
    37): left out is what has ended, what is paused or revoked, what no batch was cut of for longer
    than a debit is tried, and a bill its company has changed, cancelled or been paid meanwhile. A
    batch of nothing stays open.
    """
    batch = session.exec(
        select(CollectionBatch)
        .where(CollectionBatch.gateway == gateway.code, CollectionBatch.state == BatchState.OPEN)
        .with_for_update()
    ).one_or_none()
    if batch is None:
        return None
    is_full = session.execute(_COUNT, {"batch_id": batch.id}).scalar_one() >= most
    if not is_full and batch.opened_at >= _last_cut_off(now, cut_off):
        return None
    stopped = {"batch_id": batch.id, "too_old": now - timedelta(days=RETRY_DAYS)}
    for payment_id in session.execute(_STOPPED, stopped).scalars().all():
        give_up(session, payment_id, News.CLOSED, now=now)
    rows = session.execute(_DEBITS, {"batch_id": batch.id}).all()
    session.execute(_DROP, {"batch_id": batch.id, "now": now})
    if not rows:
        return None
    assert batch.id is not None
    day = billing_date(now)
    made = Batch(
        batch_no=f"{day:%Y%m%d}{batch.id:08d}", collect_on=_collect_on(day), written_at=now,
        debits=tuple(Debit(*row) for row in rows),
    )  # fmt: skip
    batch.batch_no, batch.collect_on = made.batch_no, made.collect_on
    batch.silent_until = _silent_until(day, silence_days)
    batch.entries, batch.total_fen = len(made.debits), made.total_fen
    batch.content = gateway.write_batch(made)
    batch.state, batch.cut_at, batch.state_at = BatchState.CUT, now, now
    session.flush()
    return batch


def _last_cut_off(now: datetime, cut_off: time) -> datetime:
    today = datetime.combine(billing_date(now), cut_off, BILLING_ZONE)
    return today if now >= today else today - timedelta(days=1)


_COUNT = text("""
    SELECT count(*) FROM collection_entry WHERE batch_id = :batch_id AND state = 'waiting'
""")
_STOPPED = text("""
    SELECT e.payment_id
    FROM collection_entry e JOIN payment p ON p.id = e.payment_id
    WHERE e.batch_id = :batch_id AND e.state = 'waiting' AND p.status = 'open'
      AND (e.entered_at < :too_old
           OR EXISTS (SELECT FROM autopay_run r JOIN mandate m ON m.id = r.mandate_id
                   WHERE r.payment_id = p.id AND m.status <> 'active')
           OR EXISTS (SELECT FROM payment_item i JOIN bill_correction c USING (account_id, bill_id)
                      WHERE i.payment_id = p.id AND c.state = 'waiting'))
    ORDER BY e.payment_id
""")
# Shared locks: none of these can end before the file is written.
_DEBITS = text("""
    SELECT e.order_no, e.debtor_ref, e.amount_fen
    FROM collection_entry e JOIN payment p ON p.id = e.payment_id
    WHERE e.batch_id = :batch_id AND e.state = 'waiting' AND p.status = 'open'
    ORDER BY e.order_no FOR SHARE OF p
""")
_DROP = text("""
    UPDATE collection_entry e SET state = 'dropped', state_at = :now
    FROM payment p
    WHERE e.batch_id = :batch_id AND e.state = 'waiting' AND p.id = e.payment_id
      AND p.status <> 'open'
""")
