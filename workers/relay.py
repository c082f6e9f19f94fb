"""What follows from what: the one table *topic → jobs*, and the step that turns news into jobs.

Events become job rows in the transaction that marks them relayed, each follower once (unique by
event and task). Ringing comes after the commit, and a bell nobody hears is rung again. A job that
is due at once is born rung for: to note it afterwards would cost each of them another write.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlmodel import Session

from core import log
from core.db import HotStatement
from workers.app import Queue, bell, celery
from workers.jobs import MAX_ATTEMPTS

FOLLOWS: dict[str, tuple[str, ...]] = {
    "bill_file.received": ("bills.import_file",),
    "bill_file.arrived": ("bills.acknowledge",),
    "bill_file.refused": ("bills.acknowledge",),
    "bill_file.imported": (
        "bills.consume_credits",
        "bills.mark_arrived",
        "bills.acknowledge",
        "bills.find_news",
    ),
    "delivery.due": ("bills.fetch_files",),
    "bill_file.missing": (),
    "bills.recorded": (),
    "bills.pushed": ("bills.finish_push",),
    "company_webhook.received": ("bills.process_webhook",),
    "bill_correction.applied": ("bills.find_corrected",),
    "bill_correction.refused": (),
    "bill.missing": ("bills.tell_missing",),
    "bill_news.found": ("bills.tell_news",),
    "service_message.sent": ("bills.tell_service_message",),
    "service_message.over": ("bills.tell_service_over",),
    "offer.approved": ("bills.tell_offer",),
    "statements.due": ("bills.tell_statements",),
    "bill.owed_again": ("notices.owed_again",),
    "late_fees.assessed": (),
    "credits.consumed": (),
    "payment.created": ("payments.resolve",),
    "payment.paid": ("notices.receipt",),
    "payment.refused": ("payments.after_refusal",),
    "payment.expired": ("payments.after_refusal",),
    "gateway_callback.received": ("payments.callback",),
    "write_off.due": ("payments.write_off",),
    "write_off.accepted": ("notices.confirmed",),
    "write_off.refused": ("notices.not_taken", "notices.confirmed"),
    "refund.proposed": (),
    "refund.declined": ("notices.declined",),
    "refund.requested": ("payments.refund", "notices.on_its_way"),
    "refund.succeeded": ("notices.returned",),
    "receipt.suspended": ("payments.send_back",),
    "receipt.returned": ("notices.sent_again",),
    "receipt.came_back": ("notices.came_back",),
    "transfer.opened": (),
    "chargeback.opened": ("payments.dispute",),
    "chargeback.won": (),
    "chargeback.lost": (),
    "remittance.sent": ("notices.remitted",),
    "remittance.returned": ("notices.remittance_returned",),
    "mandate.created": ("payments.resolve_mandate",),
    "mandate.active": (),
    "mandate.refused": ("notices.mandate",),
    "mandate.paused": (),
    "mandate.frozen": ("notices.mandate",),
    "mandate.ended": ("payments.end_mandate", "notices.mandate"),
    "autopay.announced": ("notices.autopay",),
    "autopay.over_cap": ("notices.autopay",),
    "autopay.due": ("payments.debit_autopay",),
    "autopay.skipped": ("notices.autopay",),
    "autopay.done": ("notices.autopay",),
    "autopay.postponed": ("notices.autopay",),
    "autopay.failed": ("notices.autopay",),
    "settlement_file.expected": ("payments.fetch_settlement",),
    "confirmation_file.expected": ("payments.fetch_confirmation",),
    "book_file.received": ("bills.read_book",),
    "break.questioned": ("payments.query_again",),
    "reversal.due": ("payments.reverse_write_off",),
    "bank_match.decided": ("payments.match_bank",),
    "complaint.received": ("notices.complaint",),
    "complaint.answered": ("notices.complaint",),
    "complaint.closed": ("notices.complaint",),
    "complaint.lapsing": ("notices.complaint",),
    "carrier_call.kept": ("notices.read_call",),
    "replies.kept": ("notices.read_replies",),
    "alert.raised": ("upkeep.alert",),
    "home.invited": ("notices.home_invited",),
    "home.joined": ("notices.home_joined",),
    "person.erased": ("notices.forget_person",),
    "notice.again": ("notices.deliver_again",),
    "document_batch.ordered": ("bulk.cut_documents",),
    "document_share.due": ("bulk.draw_documents",),
}

# Not at once: the request that made the payment is asking its gateway at this moment.
DUE_LATER = {"payments.resolve": timedelta(seconds=5)}

RING_AGAIN = timedelta(seconds=30)
# Rung for together when many are due, so that a job does not cost a message each. Files to import
# take minutes: each is rung for alone.
_TOGETHER = {Queue.PAYMENTS: 20, Queue.NOTICES: 100}
# So many messages at least, before any carries two jobs: who asks far sides waits for each, and
# others go on beside it. Telling waits for nobody, and costs the less the more is told at once.
_BELLS = {Queue.PAYMENTS: 4, Queue.NOTICES: 1}
_log = log.logger(__name__)

_WAITING = HotStatement("""
    SELECT id, topic, subject_id, request_id FROM outbox_event
    WHERE relayed_at IS NULL ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")

_MAKE = HotStatement("""
    WITH relayed AS (
        UPDATE outbox_event SET relayed_at = :now WHERE id = ANY(:relayed)
    )
    INSERT INTO job (task, subject_id, event_id, request_id, due_at, rung_at, state, attempts)
    SELECT task, subject_id, event_id, request_id, due_at,
           CASE WHEN due_at <= :now THEN CAST(:now AS timestamptz) END, 'waiting', 0
    FROM unnest(CAST(:tasks AS text[]), CAST(:subjects AS text[]), CAST(:events AS bigint[]),
                CAST(:requests AS text[]), CAST(:due_ats AS timestamptz[]))
         AS f (task, subject_id, event_id, request_id, due_at)
    ON CONFLICT (event_id, task) DO NOTHING
    RETURNING id, task, rung_at IS NOT NULL
""")

# The rows are chosen once, apart: chosen in a subquery, a plan that runs it again for another row
# takes more than the limit. What kills its workers is dead after as many of them as what fails.
_DUE = HotStatement(f"""
    WITH due AS MATERIALIZED (
        SELECT id, state = 'running' AND attempts > 0 AND attempts % {MAX_ATTEMPTS} = 0 AS kills
        FROM job
        WHERE state IN ('waiting', 'running') AND due_at <= :now
          AND (rung_at IS NULL OR rung_at < :again)
          AND (state = 'waiting' OR lease_until < :now)
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE job SET rung_at = CASE WHEN NOT kills THEN CAST(:now AS timestamptz) END,
        state = CASE WHEN kills THEN 'dead' ELSE state END,
        lease_until = CASE WHEN NOT kills THEN lease_until END,
        finished_at = CASE WHEN kills THEN CAST(:now AS timestamptz) END,
        last_error = CASE WHEN kills THEN 'its worker did not survive it' ELSE last_error END
    FROM due WHERE job.id = due.id
    RETURNING job.id, job.task, kills
""")  # noqa: S608  our own number


class Waiting(NamedTuple):
    """An event nobody has followed yet."""

    id: int
    topic: str
    subject_id: str
    request_id: str | None


class Due(NamedTuple):
    """A job to ring for."""

    id: int
    task: str


class Relayed(NamedTuple):
    """How many events became jobs, and those jobs that are due: to be rung for after the commit."""

    events: int
    due: list[Due]


def relay(session: Session, *, now: datetime, limit: int = 500) -> Relayed:
    """Turn waiting events into jobs. A topic nobody lists is an error.

    Raises:
        KeyError: an event whose topic is not in FOLLOWS.
    """
    events = [Waiting(*row) for row in _WAITING.rows(session, {"limit": limit})]
    follows = [(task, event) for event in events for task in FOLLOWS[event.topic]]
    values = {
        "tasks": [task for task, _ in follows],
        "subjects": [event.subject_id for _, event in follows],
        "events": [event.id for _, event in follows],
        "requests": [event.request_id for _, event in follows],
        "due_ats": [now + DUE_LATER.get(task, timedelta(0)) for task, _ in follows],
        "relayed": [event.id for event in events], "now": now,
    }  # fmt: skip
    made = _MAKE.rows(session, values) if events else []
    return Relayed(len(events), [Due(job_id, task) for job_id, task, is_due in made if is_due])


def ring(*, now: datetime, limit: int = 500, new: Sequence[Due] = ()) -> int:
    """Ring for jobs that are due and not held: new ones, retries, and those whose worker died.

    Redis being away costs delay and nothing else: half a minute later they are rung for again.

    Args:
        new: those that ``relay`` has just made.
    """
    found = _DUE.alone({"now": now, "again": now - RING_AGAIN, "limit": limit})
    due = [*new, *(Due(job_id, task) for job_id, task, kills in found if not kills)]
    try:
        for queue, job_ids in _bells(due):
            celery.send_task(bell(queue), args=[job_ids])
    except (OperationalError, RedisError, OSError) as away:
        _log.warning("redis_away", reason=str(away), jobs=len(due))
    return len(due)


def _bells(due: Sequence[Due]) -> Iterator[tuple[Queue, list[int]]]:
    """Divide jobs that are due, by id and task, into what is rung for at once: kind after kind.

    What is of one kind can be done as a set (``workers.jobs``).
    """
    by_queue: dict[Queue, list[int]] = {}
    for task, job_id in sorted((one.task, one.id) for one in due):
        by_queue.setdefault(Queue(task.partition(".")[0]), []).append(job_id)
    for queue, job_ids in by_queue.items():
        size = min(_TOGETHER.get(queue, 1), 1 + len(job_ids) // _BELLS.get(queue, 1))
        for start in range(0, len(job_ids), size):
            yield queue, job_ids[start : start + size]
