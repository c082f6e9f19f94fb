"""Running jobs: take the lease, do the work, write down how it went.

A job function gets the job's subject and returns None when it is done. It raises ``NotYet`` to be
called again later and ``UpstreamUnavailable`` when another system is away: neither is a failure.
Anything else it raises is a failure: tried again with growing pauses, and *dead* after
``MAX_ATTEMPTS``, with the reason on the row, for a person to see and to set going again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from core import log
from core.clock import utc_now
from core.db import HotStatement, count_changed, transaction
from core.errors import UpstreamUnavailable
from workers.app import Queue, bell, celery

LEASE = timedelta(seconds=60)
TURN_SECONDS = 2  # after which what was rung for together is given back to others
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
    task: str
    subject_id: str
    attempt: int
    request_id: str | None


class Ended(NamedTuple):
    """How a job went. ``uncount`` takes back an attempt that was none, so waiting never kills."""

    id: int
    attempt: int
    state: str
    due_at: datetime | None = None
    error: str | None = None
    uncount: int = 0


JOBS: dict[str, Callable[[str], None]] = {}


def job(name: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Register a function as the job ``name``; the part before the dot is its queue."""

    def register(work: Callable[[str], None]) -> Callable[[str], None]:
        JOBS[name] = work
        return work

    return register


def _answer(queue: Queue) -> None:
    """Have this process run jobs of a queue when it is rung for."""

    def rung(job_ids: list[int]) -> None:
        run(*job_ids)

    celery.task(name=bell(queue))(rung)


for _queue in Queue:
    _answer(_queue)

_TAKE = HotStatement("""
    UPDATE job SET state = 'running', attempts = attempts + 1, lease_until = :lease_until
    WHERE id = ANY(:ids) AND due_at <= :now
      AND (state = 'waiting' OR (state = 'running' AND lease_until < :now))
    RETURNING id, task, subject_id, attempts, request_id
""")

_FINISH = HotStatement("""
    UPDATE job SET state = e.state, lease_until = NULL, rung_at = NULL,
        due_at = coalesce(e.due_at, job.due_at), attempts = job.attempts - e.uncount,
        finished_at = CASE WHEN e.state IN ('done', 'dead') THEN CAST(:now AS timestamptz) END,
        last_error = e.error
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS integer[]), CAST(:states AS text[]),
                CAST(:due_ats AS timestamptz[]), CAST(:errors AS text[]),
                CAST(:uncounts AS integer[]))
         AS e (id, attempt, state, due_at, error, uncount)
    WHERE job.id = e.id AND job.attempts = e.attempt AND job.state = 'running'
    RETURNING job.id
""")

_RENEW = text("""
    UPDATE job SET lease_until = :until
    WHERE id = :id AND attempts = :attempt AND state = 'running'
""")


def run(*job_ids: int) -> int:
    """Do those jobs that are due and nobody else has, in turn; returns how many were done.

    What has not begun when the turn is over is given back, so that none waits long for a slow one.
    """
    started, now = time.monotonic(), utc_now()
    values = {"ids": list(job_ids), "now": now, "lease_until": now + LEASE}
    with transaction() as session:
        taken = sorted(Taken(*row) for row in _TAKE.rows(session, values))
    ended: list[Ended] = []
    for one in taken:
        if time.monotonic() - started > TURN_SECONDS and ended:
            ended += [_again(one, timedelta(0)) for one in taken[len(ended) :]]
            break
        ended.append(_do(one))
    if ended:
        _finish(ended)
    return len(ended)


def _do(taken: Taken) -> Ended:
    structlog.contextvars.bind_contextvars(job_id=taken.id, request_id=taken.request_id)
    try:
        with _heartbeat(taken):
            JOBS[taken.task](taken.subject_id)
    except NotYet as later:
        return _again(taken, timedelta(seconds=later.after_seconds))
    except UpstreamUnavailable as away:
        return _again(taken, _AWAY_PAUSE, str(away))
    except Exception as failure:  # noqa: BLE001  the edge: a failure must end on the row
        _log.error("job_failed", task=taken.task, attempt=taken.attempt, exc_info=failure)
        state = "dead" if _try_no(taken.attempt) == MAX_ATTEMPTS else "waiting"
        error = f"{type(failure).__name__}: {failure}"[:1000]
        return Ended(taken.id, taken.attempt, state, utc_now() + _pause(taken.attempt), error)
    finally:
        structlog.contextvars.clear_contextvars()
    return Ended(taken.id, taken.attempt, "done")


def _again(taken: Taken, pause: timedelta, error: str | None = None) -> Ended:
    return Ended(taken.id, taken.attempt, "waiting", utc_now() + pause, error, uncount=1)


def _try_no(attempt: int) -> int:
    """Return which try this is since the job was made or revived: 1 to ``MAX_ATTEMPTS``."""
    return (attempt - 1) % MAX_ATTEMPTS + 1


def _pause(attempt: int) -> timedelta:
    """Return how long to wait after a failed attempt: 2 s, 4 s, 8 s … an hour."""
    return min(timedelta(seconds=2 ** _try_no(attempt)), _LONGEST_PAUSE)


def _finish(ended: Sequence[Ended]) -> None:
    """Write down how jobs went, unless another worker has taken them over."""
    ids, attempts, states, due_ats, errors, uncounts = zip(*ended, strict=True)
    values = {
        "ids": list(ids), "attempts": list(attempts), "states": list(states),
        "due_ats": list(due_ats), "errors": list(errors), "uncounts": list(uncounts),
        "now": utc_now(),
    }  # fmt: skip
    with transaction() as session:
        _FINISH.rows(session, values)


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
