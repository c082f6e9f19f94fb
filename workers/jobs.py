"""Running jobs: take the lease, do the work, write down how it went.

A job function gets the job's subject and returns None when it is done. It raises ``NotYet`` to be
called again later and ``UpstreamUnavailable`` when another system is away: neither is a failure.
Anything else it raises is a failure: tried again with growing pauses, and *dead* after
``MAX_ATTEMPTS``, with the reason on the row, for a person to see and to set going again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from core import log
from core.clock import utc_now
from core.db import count_changed, transaction
from core.errors import UpstreamUnavailable
from workers.app import celery

LEASE = timedelta(seconds=60)
HEARTBEAT_SECONDS = 20
MAX_ATTEMPTS = 12
_LONGEST_PAUSE = timedelta(hours=1)
_AWAY_PAUSE = timedelta(seconds=15)
_log = log.logger(__name__)


class NotYet(Exception):
    """Call this job again in ``after_seconds``."""

    def __init__(self, after_seconds: int) -> None:
        super().__init__(f"again in {after_seconds} s")
        self.after_seconds = after_seconds


class Taken(NamedTuple):
    """A job this worker holds. ``attempt`` fences: a later attempt makes this one's word void."""

    id: int
    subject_id: str
    attempt: int
    request_id: str | None


JOBS: dict[str, Callable[[str], None]] = {}


def job(name: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Register a function as the job ``name``; the part before the dot is its queue."""

    def register(work: Callable[[str], None]) -> Callable[[str], None]:
        def rung(job_id: int) -> None:
            run(job_id)

        celery.task(name=name)(rung)
        JOBS[name] = work
        return work

    return register


_TAKE = text("""
    UPDATE job SET state = 'running', attempts = attempts + 1, lease_until = :lease_until
    WHERE id = :id AND due_at <= :now
      AND (state = 'waiting' OR (state = 'running' AND lease_until < :now))
    RETURNING id, subject_id, attempts, request_id, task
""")

_FINISH = text("""
    UPDATE job SET state = CAST(:state AS text), lease_until = NULL, rung_at = NULL,
        due_at = coalesce(CAST(:due_at AS timestamptz), due_at), attempts = attempts - :uncount,
        finished_at = CASE WHEN CAST(:state AS text) IN ('done', 'dead')
                           THEN CAST(:now AS timestamptz) END,
        last_error = :error
    WHERE id = :id AND attempts = :attempt AND state = 'running'
""")

_RENEW = text("""
    UPDATE job SET lease_until = :until
    WHERE id = :id AND attempts = :attempt AND state = 'running'
""")


def run(job_id: int) -> bool:
    """Do one job if it is due and nobody else has it; tells whether it was ours to do."""
    now = utc_now()
    with transaction() as session:
        row = session.execute(_TAKE, {"id": job_id, "now": now, "lease_until": now + LEASE}).first()
    if row is None:
        return False
    taken = Taken(row.id, row.subject_id, row.attempts, row.request_id)
    structlog.contextvars.bind_contextvars(job_id=job_id, request_id=taken.request_id)
    try:
        with _heartbeat(taken):
            JOBS[row.task](taken.subject_id)
    except NotYet as later:
        _finish(taken, "waiting", pause=timedelta(seconds=later.after_seconds), uncount=1)
    except UpstreamUnavailable as away:
        _finish(taken, "waiting", pause=_AWAY_PAUSE, error=str(away), uncount=1)
    except Exception as failure:  # noqa: BLE001  the edge: a failure must end on the row
        _log.error("job_failed", task=row.task, attempt=taken.attempt, exc_info=failure)
        state = "dead" if _try_no(taken.attempt) == MAX_ATTEMPTS else "waiting"
        error = f"{type(failure).__name__}: {failure}"[:1000]
        _finish(taken, state, pause=_pause(taken.attempt), error=error)
    else:
        _finish(taken, "done")
    finally:
        structlog.contextvars.clear_contextvars()
    return True


def _try_no(attempt: int) -> int:
    """Return which try this is since the job was made or revived: 1 to ``MAX_ATTEMPTS``."""
    return (attempt - 1) % MAX_ATTEMPTS + 1


def _pause(attempt: int) -> timedelta:
    """Return how long to wait after a failed attempt: 2 s, 4 s, 8 s … an hour."""
    return min(timedelta(seconds=2 ** _try_no(attempt)), _LONGEST_PAUSE)


def _finish(
    taken: Taken,
    state: str,
    *,
    pause: timedelta | None = None,
    error: str | None = None,
    uncount: int = 0,
) -> None:
    """Write down how it went, unless another worker has taken the job over.

    ``uncount`` takes back an attempt that was no failure, so that waiting never kills a job.
    """
    now = utc_now()
    with transaction() as session:
        session.execute(
            _FINISH,
            {
                "id": taken.id, "attempt": taken.attempt, "state": state, "error": error,
                "now": now, "due_at": now + pause if pause else None, "uncount": uncount,
            },
        )  # fmt: skip


@contextmanager
def _heartbeat(taken: Taken) -> Iterator[None]:
    """Renew the lease while the work goes on, however long it takes."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            values = {"id": taken.id, "attempt": taken.attempt, "until": utc_now() + LEASE}
            try:
                with transaction() as session:
                    session.execute(_RENEW, values)
            except SQLAlchemyError as away:  # the next beat is in time: a lease is three of them
                _log.warning("heartbeat_missed", reason=str(away), job_id=taken.id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def revive(session: Session, job_id: int, *, now: datetime) -> bool:
    """Set a dead job going again for as many tries; tells whether it was dead.

    ``attempts`` counts on: counted anew, it would let in a worker lost since the first round.
    """
    revived = session.execute(
        text(
            "UPDATE job SET state = 'waiting', due_at = :now, finished_at = NULL "
            "WHERE id = :id AND state = 'dead'"
        ),
        {"id": job_id, "now": now},
    )
    return count_changed(revived) == 1
